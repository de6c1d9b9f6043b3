"""How a front comes to its place: what listens there, and what that means."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lading.errors import Conflict
from lading.node import front, sockets
from lading.node.front import Front
from lading.node.shop import Shop
from lading.roots import Roots


@pytest.fixture
def made(tmp_path: Path) -> Front:
    places = {
        "LADING_ROOT": f"{tmp_path}/data",
        "LADING_RUN": f"{tmp_path}/run",
        "LADING_CONFIG": f"{tmp_path}/etc",
    }
    return Front(Shop(Roots.default(places)), f"{tmp_path}/family.sock", 1)


def test_hands_at_their_end_are_waited_for_and_are_no_other_keeper(made: Front) -> None:
    """They have taken their names away, exit, and listen until they have."""
    theirs = sockets.listen(made.socket)
    theirs.setblocking(True)

    def end() -> None:
        sockets.accept(theirs).close()  # the front has called
        theirs.close()

    hands = threading.Thread(target=end)
    hands.start()
    ours = made._succeed()
    hands.join()
    caller = sockets.connect(made.socket)
    sockets.accept(ours).close()
    caller.close()
    ours.close()


def test_who_goes_on_listening_is_another_keeper(made: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "_GOING", 0.05)
    theirs = sockets.listen(made.socket)
    with pytest.raises(Conflict, match="listens at"):
        made._succeed()
    theirs.close()
