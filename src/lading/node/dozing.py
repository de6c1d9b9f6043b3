"""How a keeper of one container falls asleep, and how it wakes.

A keeper is forked from a command and so has everything loaded that a start needs: some 10 MB, for the one thing to do that
is left, waiting. Once its container runs and nothing else is due, it executes a bare interpreter in its place
(:mod:`lading.node.dormant`). execve(2) keeps the process: its number and start time, by which the records know it, its
children, and the descriptors it is told to keep. What cannot be found in the records again goes along in a memory file.

Not for a pod of several containers, nor for one with probes or health checks: those have something to do all the time.
"""

from __future__ import annotations

import marshal
import os
import sys
import time

from lading.errors import LadingError
from lading.node import sequence
from lading.node.engine import engine_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

    from lading.node.runner import PodRunner
    from lading.node.running import Running
    from lading.node.shop import Shop

#: Seconds after its start at which a keeper first looks whether it can sleep: most containers that end soon have by then.
_SOON = 0.5
#: Seconds until it looks again, when it could not, or was woken.
_LATER = 30.0
_SIGTERM = 15
_SIG_BLOCK, _SIG_UNBLOCK = 0, 1
#: With the same patience as is had with the modules on waking: Lading may just be replaced by another version.
_CODE = """\
import sys, time; sys.path.append({!r})
for _ in range(240):
    try: from lading.node.dormant import main; break
    except Exception: sys.path_importer_cache.clear(); time.sleep(0.5)
main({})"""


def keep(runner: PodRunner, listener: _socket.socket, after: float = _SOON) -> None:
    """Keep a pod until its end; asleep, where that is possible."""
    from lading.node import lifecycle

    loop = runner.loop

    def rest() -> None:
        if may_sleep(runner, listener):
            _sleep(runner, listener)  # returns only when that failed
        slim(runner.shop)
        if runner.record.single and runner.checks is None:
            loop.after(_LATER, rest)

    loop.after(after, rest)
    loop.run(lambda: runner.finished)
    lifecycle.close(runner.shop, listener, runner.record, loop)


def slim(shop: Shop) -> None:
    """Give memory back that only starting needed: database pages and free heap."""
    import gc

    shop.close()
    gc.collect()
    gc.freeze()
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        pass


def may_sleep(runner: PodRunner, listener: _socket.socket) -> bool:
    """Whether the pod is one running container, with nothing due and nobody to talk to."""
    running = runner.running[runner.record.container.name]
    if not runner.record.single or runner.checks is not None or runner.sequence.stopping:
        return False
    if running.unit.state != sequence.RUNNING or running.handle is None:
        return False
    if running.streams is not None and not running.streams.idle:
        return False
    sources = running.streams.sources if running.streams is not None else {}
    return runner.loop.waits_for({listener.fileno(), running.pidfd, *sources})


def _sleep(runner: PodRunner, listener: _socket.socket) -> None:
    import _signal  # type: ignore[import-not-found]

    program = _program()
    if not program:
        return
    # A handler does not survive execve: until the next one is there, SIGTERM waits. One that arrived before (its handler has
    # run when this returns) is known to the loop alone.
    _signal.pthread_sigmask(_SIG_BLOCK, [_SIGTERM])
    try:
        if not runner.loop.signalled():
            _replace(runner, listener, program)
    finally:
        _signal.pthread_sigmask(_SIG_UNBLOCK, [_SIGTERM])


def _replace(runner: PodRunner, listener: _socket.socket, program: str) -> None:
    """Execute ``program`` as the one that sleeps; returns only when that failed."""
    state = _state(runner, runner.running[runner.record.container.name], listener)
    memory = os.memfd_create("lading-keeper")
    try:
        os.write(memory, marshal.dumps(state))
        runner.shop.close()
        source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        code = _CODE.format(source, memory)
        for fd in (memory, *state["inherited"]):
            os.set_inheritable(fd, True)
        os.execv(program, [program, "-I", "-S", "-B", "-c", code, "lading-keeper", runner.record.name])
    except OSError:
        for fd in state["inherited"]:
            os.set_inheritable(fd, False)
    finally:
        os.close(memory)


def _program() -> str:
    """The file of the running interpreter; empty when it has been replaced meanwhile."""
    try:
        path = os.readlink("/proc/self/exe")
        found, ours = os.stat(path), os.stat("/proc/self/exe")
    except OSError:
        return ""
    return path if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino) else ""


def _state(runner: PodRunner, running: Running, listener: _socket.socket) -> dict[str, Any]:
    roots, streams, attachment = runner.shop.roots, running.streams, runner.attachment
    state: dict[str, Any] = {
        "path": sys.path,
        "executable": sys.executable,
        "roots": (roots.data, roots.run, roots.config, roots.uid),
        "pod": runner.record.id,
        "log": runner.shop.log_path(runner.record, running.record),
        "started": running.unit.started_at,
        "size": runner.size,
        "quick_deaths": running.unit.restarts.quick_deaths,
        "listener": listener.fileno(),
        "pidfd": running.pidfd,
        "sources": streams.sources if streams is not None else {},
        "stdin": streams.stdin if streams is not None else -1,
        "console": streams.console if streams is not None else -1,
        "bounds": (streams.log.max_size, streams.log.max_files) if streams is not None else (),
        "pending": streams.log.pending if streams is not None else {},
        "lost": streams.log.lost if streams is not None else 0,
        "namespace": attachment.namespace if attachment is not None else -1,
        "reserved": attachment.reserved if attachment is not None else [],
    }
    fds = {state["listener"], state["pidfd"], state["stdin"], state["namespace"]}
    state["inherited"] = sorted(fd for fd in fds | set(state["sources"]) | set(state["reserved"]) if fd >= 0)
    return state


def wake(state: dict[str, Any]) -> None:
    """Be a whole keeper again, and keep the pod to its end. Does not return."""
    from lading.node import detached
    from lading.node.shop import Shop
    from lading.roots import Roots

    since = time.monotonic()
    shop = Shop(Roots(*state["roots"]))
    record = None
    try:
        record = shop.records.get(state["pod"])
        if record is not None:
            from lading.node import lifecycle, sockets
            from lading.node.loop import Loop
            from lading.node.runner import PodRunner

            runner = PodRunner(shop, Loop(), record)
            listener = lifecycle.serve(shop, runner.loop, runner, sockets.adopt(state["listener"]))
            _resume(runner, state)
            keep(runner, listener, _LATER)
    except BaseException:
        if record is not None:
            detached.crashed(shop, record, since)
    finally:
        os._exit(0)


def _resume(runner: PodRunner, state: dict[str, Any]) -> None:
    """Put the runner into the state in which it fell asleep."""
    from lading.network import Attachment
    from lading.node import podnetwork

    shop, record, loop = runner.shop, runner.record, runner.loop
    request = podnetwork.request_of(record)
    if request is not None and not podnetwork.alone(record):
        attachment = shop.networks.attachment(record.id) or Attachment(id=record.id, mode=request.mode)
        attachment.namespace, attachment.reserved = state["namespace"], state["reserved"]
        runner.attachment = attachment
    running = runner.running[record.container.name]
    try:
        running.handle = engine_of(shop, record).get(record.container.id)
        running.spec = running.handle.spec
    except LadingError:
        pass  # its state was damaged meanwhile: what is left is to reap it
    running.pidfd = state["pidfd"]
    runner.size = state["size"]
    runner.started = runner.sequence.initialized = True
    unit = running.unit
    runner.sequence.started(unit, state["started"])
    unit.restarts.quick_deaths = state["quick_deaths"]
    unit.hook, unit.state = "", sequence.RUNNING
    streams = runner.streams_of(running)
    streams.log.pending, streams.log.lost = state["pending"], state["lost"]
    streams.resume(state["sources"], state["stdin"], state["console"])
    loop.watch(running.pidfd, lambda _events: runner.ended(running))
    loop.on_signal(_SIGTERM, runner.stop)
    try:
        terminated = state["terminated"] or os.eventfd_read(state["event"]) > 0
    except BlockingIOError:
        terminated = False
    os.close(state["event"])
    if terminated:
        loop.after(0.0, runner.stop)
    runner.turn()
