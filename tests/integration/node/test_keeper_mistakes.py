"""A mistake in what keeps a pod: the pod goes on under another keeper, and no other pod notices.

The mistake is made by the test: the first output that says ``boom`` cannot be dealt with.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.formats.pod import Pod
from lading.node import Node, sockets, streams, wire
from lading.node.front import hand_sockets
from lading.node.shop import process_start
from lading.roots import Roots
from support.orphans import EXITS_ARE_TOLD, as_init

pytestmark = pytest.mark.root
Make = Callable[..., Pod]
SAYS = "while [ ! -e /go ]; do sleep 0.05; done; echo boom; while [ ! -e /on ]; do sleep 0.05; done; echo later; exit 7"
MISTAKE = """
import os
from lading.node import streams
write = streams.LogWriter.write
def cursed(self, stream, data, now):
    if b"boom" in data and (ALWAYS or not os.path.exists(DONE)):
        open(DONE, "a").close()
        raise ZeroDivisionError("the mistake")
    write(self, stream, data, now)
streams.LogWriter.write = cursed
"""


def _until(check: Callable[[], object], what: str = "it never became true") -> None:
    end = time.monotonic() + 60.0
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def _touch(node: Node, name: str, path: str) -> None:
    from lading.node import ExecRequest

    assert node.exec(name, ExecRequest(command=["touch", path])).wait() == 0


def _error_of(roots: Roots, pod: str) -> str:
    with open(f"{roots.pods}/{pod}/keeper-error") as file:
        return file.read()


@pytest.fixture
def family(roots: Roots, tmp_path: Path) -> Iterator[str]:
    """The socket of a keeper of one hand, which makes the mistake once."""
    os.makedirs(roots.run, exist_ok=True)
    path = f"{roots.run}/family.sock"
    mistake = MISTAKE.replace("ALWAYS", "False").replace("DONE", repr(f"{tmp_path}/done"))
    code = f"{mistake}\nimport sys\nfrom lading.node.keeper import main\nsys.exit(main(sys.argv[1:]))"
    env = {
        **os.environ,
        "LADING_ROOT": roots.data,
        "LADING_RUN": roots.run,
        "LADING_CONFIG": roots.config,
    }
    command = [sys.executable, "-c", code, "--socket", path, "--hands", "1"]
    with subprocess.Popen(command, env=env) as front:
        try:
            _until(lambda: os.path.exists(path) and hand_sockets(path))
            yield path
        finally:
            front.send_signal(signal.SIGTERM)
            assert front.wait(60) == 0


def _ask(path: str, **request: object) -> dict[str, object]:
    sock = sockets.connect(path)
    try:
        return wire.ask(sock, request)
    finally:
        sock.close()


def test_of_a_hand_one_pod_gets_another_keeper(family: str, node: Node, roots: Roots, one: Make) -> None:
    for pod in (
        one("sh", "-c", SAYS, name="cursed"),
        one("sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; exit 3", name="blessed"),
    ):
        _ask(family, op="run", pod=pod.encode())
    before, beside = node.inspect("cursed"), node.inspect("blessed")
    assert before.keeper_pid == beside.keeper_pid
    waiting = sockets.connect(family)
    wire.send(waiting, {"op": "wait", "id": before.id})
    attached = node.attach("cursed")
    _touch(node, "cursed", "/go")
    _until(lambda: node.inspect("cursed").keeper_pid != before.keeper_pid)
    answer = wire.message(*wire.receive(waiting))
    assert wire.decode_error(answer["error"]).reason == "keeper-lost"  # type: ignore[arg-type]
    waiting.close()
    assert attached.wait() == 255
    after = node.inspect("cursed")
    assert after.container.pid == before.container.pid
    assert process_start(after.keeper_pid) == after.keeper_start > 0
    assert "ZeroDivisionError: the mistake" in _error_of(roots, after.id)
    assert node.inspect("blessed").keeper_pid == beside.keeper_pid
    assert process_start(beside.keeper_pid) == beside.keeper_start
    # Both are kept: what they say is logged, and how they end is known.
    _touch(node, "blessed", "/go")
    assert node.wait("blessed") == 3
    _touch(node, "cursed", "/on")
    node.wait("cursed")
    assert [line.text for line in node.logs("cursed")] == [b"later"]
    _until(lambda: not os.path.exists(f"/proc/{before.container.pid}"), "nobody reaped it")
    _until(lambda: not node.inspect("cursed").keeper_pid)
    assert node.check() == []


@pytest.mark.parametrize("always", [False, True])
def test_of_a_keeper_of_its_own(
    node: Node, roots: Roots, one: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    monkeypatch.setattr(streams.LogWriter, "write", streams.LogWriter.write)  # to be put back
    exec(MISTAKE.replace("ALWAYS", str(always)).replace("DONE", repr(f"{tmp_path}/done")), {})
    script = SAYS.replace("echo later", "echo boom") if always else SAYS
    before = node.run_detached(one("sh", "-c", script, name="cursed"))
    _touch(node, "cursed", "/go")
    _until(lambda: node.inspect("cursed").keeper_pid != before.keeper_pid)
    assert node.inspect("cursed").container.pid == before.container.pid
    first = _error_of(roots, before.id)
    assert "ZeroDivisionError: the mistake" in first
    _until(lambda: process_start(node.inspect("cursed").keeper_pid), "nobody keeps it")
    _touch(node, "cursed", "/on")
    if not always:
        node.wait("cursed")
        _until(lambda: not node.inspect("cursed").keeper_pid)
        assert [line.text for line in node.logs("cursed")] == [b"later"]
        assert node.check() == []
        return
    # The same again, and soon: nobody tries a third time by himself.
    heir = node.inspect("cursed")
    _until(lambda: not process_start(heir.keeper_pid))
    assert node.inspect("cursed").keeper_pid == heir.keeper_pid
    both = _error_of(roots, before.id)
    assert both.startswith(first)
    assert "ZeroDivisionError: the mistake" in both[len(first) :]
    assert node.check()
    node.remove("cursed", force=True)
    assert node.check() == []


def test_a_pod_that_cannot_even_begin_leaves_nothing(
    node: Node, roots: Roots, one: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lading.node import births

    def start(*_arguments: object) -> None:
        raise ZeroDivisionError("the mistake")

    monkeypatch.setattr(births, "start", start)
    with pytest.raises(LadingError, match="the mistake"):
        node.run_detached(one("true", name="unborn"))
    monkeypatch.undo()
    found = node.inspect("unborn")
    _until(lambda: node.inspect("unborn").keeper_pid == 0)
    assert "ZeroDivisionError: the mistake" in _error_of(roots, found.id)
    assert node.check() == []
    node.start("unborn")
    assert node.wait("unborn") == 0


def test_what_runs_in_the_foreground_goes_on_in_the_background(
    node: Node, roots: Roots, one: Make, tmp_path: Path
) -> None:
    """And its new keeper ends it in good order when it is told to end, as any keeper does."""
    code = MISTAKE.replace("ALWAYS", "False").replace("DONE", repr(f"{tmp_path}/done"))
    words = ["run", "--name", "cursed", "--network", "none", "busybox", "sh", "-c"]
    words.append("trap 'exit 9' TERM; echo boom; while :; do sleep 0.05; done")
    env = {**os.environ, "LADING_ROOT": roots.data, "LADING_RUN": roots.run, "LADING_CONFIG": roots.config}
    program = f"import sys\n{code}\nfrom lading.cli.main import main\nsys.exit(main({words!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 125
    assert "internal error: ZeroDivisionError" in done.stderr
    record = node.inspect("cursed")
    assert record.state == "running"
    assert process_start(record.keeper_pid) == record.keeper_start
    as_init(record.container.pid)
    os.kill(record.keeper_pid, signal.SIGTERM)
    assert node.wait("cursed") == (9 if EXITS_ARE_TOLD else 255)
    _until(lambda: not node.inspect("cursed").keeper_pid)
    assert node.check() == []
