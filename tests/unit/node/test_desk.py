"""A keeper's desk survives whatever its callers send, and forgets those who left."""

from __future__ import annotations

import _socket
import os
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from lading.node import sockets, wire
from lading.node.desk import Desk
from lading.node.loop import Loop

POD = "a" * 64


class Runner:
    """Of a pod that never ends."""

    def __init__(self) -> None:
        self.finished = False
        self.exit_code = 0
        self.at_end: list[Any] = []
        self.stops: list[tuple[object, int]] = []
        container = SimpleNamespace(name="main")
        self.record = SimpleNamespace(id=POD, name="pod", container=container)
        self.running: dict[str, Any] = {"main": SimpleNamespace(handle=self, record=container)}

    def stop(self, grace: object, signal: int) -> None:
        self.stops.append((grace, signal))

    def exec(self, *_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")


class Place:
    """A desk, and callers at it."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.runner = Runner()
        self.desk = Desk(None, self.loop, {POD: self.runner})  # type: ignore[arg-type,dict-item]

    def caller(self) -> _socket.socket:
        ours, theirs = sockets.pair()
        theirs.setblocking(False)
        self.desk.serve(theirs)
        return ours

    def ask(self, packet: bytes) -> dict[str, Any]:
        with closing(self.caller()) as sock:
            sock.send(packet)
            self.loop.turn()
            return wire.message(sock.recv(wire.PACKET), [])


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.loop.close()


@pytest.mark.parametrize(
    "packet",
    [
        b"{",
        b"{" * 60_000,
        b'{"op": null}',
        b'{"op": "_do_stop"}',
        b'{"op": "stop"}',
        b'{"op": "stop", "id": {}}',
        b'{"op": "stop", "id": "%s", "timeout": "soon"}' % POD.encode(),
        b'{"op": "stop", "id": "%s", "timeout": [1]}' % POD.encode(),
        b'{"op": "stop", "id": "%s", "signal": [9]}' % POD.encode(),
        b'{"op": "attach", "id": "%s", "container": "no"}' % POD.encode(),
        b'{"op": "exec", "id": "%s", "process": 7}' % POD.encode(),
        b'{"op": "exec", "id": "%s", "process": {"args": ["x"], "cwd": "/"}}' % POD.encode(),
        b'{"op": "policy", "id": "%s", "policy": 3}' % POD.encode(),
        b'{"op": "run", "pod": {}}',
        b'{"op": "heir", "pid": 1, "start": 1}',
        b'{"op": "pass", "request": {}}',
        b'{"memory": true}',
    ],
)
def test_what_cannot_be_done_is_answered_and_nothing_else_happens(place: Place, packet: bytes) -> None:
    answer = place.ask(packet)
    assert isinstance(answer["error"]["message"], str)
    assert place.runner.stops == [] and place.runner.at_end == []
    place.ask(b'{"op": "pods"}')  # and the keeper goes on


def test_callers_who_wait_and_leave_are_forgotten(place: Place) -> None:
    for operation in ("wait", "stop"):
        for _ in range(3):
            with closing(place.caller()) as sock:
                wire.send(sock, {"op": operation, "id": POD, "timeout": 1})
                place.loop.turn()
                assert len(place.runner.at_end) == 1
            place.loop.turn()
            assert place.runner.at_end == []
    assert place.runner.stops == [(1.0, 0)] * 3


def test_packets_that_are_no_requests_of_who_is_not_attached_are_ignored(place: Place) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with closing(place.caller()) as sock:
        for packet in (b"0input", b"c", b"s9", b"r\0\1\0\1", b"\xff" * 1000):
            sock.send(packet)
            place.loop.turn()
        wire.send(sock, {"op": "pods"})
        place.loop.turn()
        assert wire.message(sock.recv(wire.PACKET), [])["ids"] == [POD]
    place.loop.turn()
    assert len(os.listdir("/proc/self/fd")) == before
