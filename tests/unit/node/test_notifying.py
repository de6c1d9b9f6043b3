"""sd_notify(3): who is told, and that nobody has to be there."""

from __future__ import annotations

import os
import socket

import pytest

from lading.formats.pod import Container, ExecAction, Probe
from lading.node import notifying
from lading.node.model import INIT, MAIN
from lading.node.notifying import Announcer, notify
from lading.node.restart import pod_policy
from lading.node.sequence import Sequence, Unit


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told(tmp_path, abstract):
    place = f"\0lading-{os.getpid()}-{os.urandom(4).hex()}" if abstract else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(place)
        heard.settimeout(60)
        assert notify("READY=1\nSTATUS=up", {"NOTIFY_SOCKET": place.replace("\0", "@")})
        assert heard.recv(4096) == b"READY=1\nSTATUS=up"


@pytest.mark.parametrize("place", ["", "relative", "vsock:2:1234", "@", "/nowhere/at/all", "/" + "x" * 200])
def test_nobody_there_is_no_error(place):
    assert notify("READY=1", {"NOTIFY_SOCKET": place}) is False
    assert notify("READY=1", {}) is False


def unit(name: str, kind: str = MAIN, **fields: object) -> Unit:
    return Unit(Container(name=name, **fields), kind, pod_policy("Never", kind), 0.0)  # type: ignore[arg-type]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(notifying, "notify", said.append)
    return said


def test_a_pod_is_up_when_all_of_it_runs(told: list[str]) -> None:
    init, one, two = unit("init", INIT), unit("one"), unit("two")
    sequence = Sequence([init, one, two])
    announcer = Announcer(sequence)

    def then(*happened: tuple[str, Unit]) -> list[str]:
        for what, which in happened:
            sequence.started(which, 1.0) if what == "up" else sequence.exited(which, 0, 1.0)
        sequence.actions(1.0)
        announcer.look()
        return told

    assert then() == []
    assert then(("up", init)) == []
    assert then(("end", init)) == []
    assert then(("up", one)) == []
    assert then(("up", two)) == ["READY=1"]
    assert then(("end", one)) == ["READY=1"]
    sequence.stop(2.0)
    assert then() == then() == ["READY=1", "STOPPING=1"]


def test_a_pod_with_a_probe_is_up_when_it_passes(told: list[str]) -> None:
    one = unit("one", readiness_probe=Probe(exec=ExecAction(command=["true"])))
    sequence = Sequence([one])
    announcer = Announcer(sequence)
    sequence.actions(0.0)
    sequence.started(one, 0.0)
    sequence.actions(0.0)
    announcer.look()
    assert told == []
    assert one.probes is not None
    sequence.probed(one, one.probes.states["readiness"], True, 1.0)
    announcer.look()
    assert told == ["READY=1"]


@pytest.mark.parametrize(("code", "said"), [(0, ["READY=1"]), (1, [])])
def test_what_ended_at_once_was_up_if_it_did_its_work(told: list[str], code: int, said: list[str]) -> None:
    one = unit("one")
    sequence = Sequence([one])
    sequence.actions(0.0)
    sequence.started(one, 0.0)
    sequence.exited(one, code, 0.0)
    Announcer(sequence).look()
    assert told == said
