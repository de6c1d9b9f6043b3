"""Which app of a pod is entered or attached to, and by which of its streams."""

from __future__ import annotations

import pytest
from tests.unit.rocket.rkt.conftest import Node, member, record, uuid

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.node import PodRecord
from lading.rocket.rkt.entering import endpoints, offered, running


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("stdin", ["stdin"]),
        ("stdin,stdout,stderr", ["stdin", "stdout", "stderr"]),
        ("stderr, stdout,stderr", ["stderr", "stdout"]),
        ("tty", ["tty-in", "tty-out"]),
        ("tty-out", ["tty-out"]),
        ("tty-in,tty-out", ["tty-in", "tty-out"]),
    ],
)
def test_modes(mode: str, found: list[str]) -> None:
    assert endpoints(mode) == found


@pytest.mark.parametrize("mode", ["stdin,tty", "x", "stdin,", "list,stdin", "auto,tty", "STDIN", "-"])
def test_modes_that_are_none(mode: str) -> None:
    with pytest.raises(InvalidInput):
        endpoints(mode)


def test_what_there_is_to_attach_to() -> None:
    assert offered(tty=False, stdin=False) == ["stdout", "stderr"]
    assert offered(tty=False, stdin=True) == ["stdin", "stdout", "stderr"]
    assert offered(tty=True, stdin=True) == ["tty-in", "tty-out"]
    assert offered(tty=True, stdin=False) == ["tty-out"]


def _found(made: PodRecord, name: str = "", *others: PodRecord) -> str:
    return running(Node(made, *others), uuid(made)[:6], name, "enter").reference  # type: ignore[arg-type]


def test_the_only_app_needs_no_name_and_one_of_several_does(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = record(state="running"), record("a", "b", state="running")
    assert _found(one) == f"{one.id}/main"
    assert _found(two, "b") == f"{two.id}/b"
    assert _found(one, "more", member(one, "more")) == f"{one.id}-more"
    with pytest.raises(InvalidInput):
        _found(two)
    assert capsys.readouterr().err == "pod contains multiple apps:\n\ta\n\tb\n"


@pytest.mark.parametrize(
    ("made", "name", "error"),
    [
        (record(), "", Conflict),
        (record(state="exited"), "", Conflict),
        (record(state="paused"), "", Conflict),
        (record(state="running"), "other", NotFound),
    ],
)
def test_what_cannot_be_entered(made: PodRecord, name: str, error: type[LadingError]) -> None:
    with pytest.raises(error):
        _found(made, name)


def test_an_app_that_has_ended_in_a_pod_that_runs() -> None:
    made = record("a", "b", state="running")
    made.containers[1].state = "exited"
    assert _found(made, "a") == f"{made.id}/a"
    with pytest.raises(Conflict):
        _found(made, "b")
