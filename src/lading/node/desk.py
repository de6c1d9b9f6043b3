"""Where a keeper receives commands: one socket, any number of callers, requests for the pods it keeps.

=========  ================================================  =====================================================
request    fields                                            answer
=========  ================================================  =====================================================
run        pod (a Pod as JSON)                               id, name; once the containers that come first run
start      id                                                the same
stop       id, timeout (seconds or null), signal             id, code; once the pod has ended
wait       id                                                the same
remove     id, force, volumes (the anonymous ones, too)      nothing, or as stop; once it is gone
policy     id, policy (Docker's restart policy)              nothing
connect    id, network (a NetworkRequest)                    nothing; once it is on that network
disconnect id, network (a name)                              nothing; once it is off it
attach     id, container, stdin                              tty; then the packets of :mod:`lading.node.wire`
exec       id, container, process (runtime-spec), fds        pid, and the terminal's master when one was asked for;
                                                             then ``x`` with the exit code
pods       none                                              ids of the pods kept, by all hands of a family
heir       pid, start (of the new front)                     the family's listening socket (:mod:`lading.node.front`)
pass       request, fds (the caller's socket first)          none: the caller gets its own
=========  ================================================  =====================================================

Only ``run``, ``start`` and ``heir`` need a hand of a family; a keeper of a single pod refuses them. What concerns a pod
that somebody else keeps is passed on, with the caller's connection.
"""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput, LadingError, NotFound, Unsupported
from lading.node import aside, sockets, wire
from lading.node.clients import Client
from lading.node.loop import READ, Share
from lading.node.runner import PodRunner
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

    from lading.node.hand import Hand
    from lading.node.loop import Loop
    from lading.node.model import PodRecord
    from lading.node.running import Running
    from lading.node.shop import Shop

_WRITABLE = 4
#: What any hand of a family can do; the rest is about a pod, and its own keeper's.
_ANYBODYS = ("run", "start", "pods", "heir", "pass")


class Desk:
    """The requests of every caller. ``hand``: of a family, which takes further pods; they are known by ``socket``."""

    def __init__(
        self,
        shop: Shop,
        loop: Loop,
        runners: dict[str, PodRunner],
        *,
        hand: Hand | None = None,
        socket: str = "",
    ) -> None:
        self.shop = shop
        self.loop = loop
        self.runners = runners
        self.hand = hand
        self.socket = socket

    def accept(self, listener: _socket.socket) -> None:
        """Take every caller that waits."""
        while True:
            try:
                sock = sockets.accept(listener)
            except OSError:
                return
            self.serve(sock)

    def accept_one(self, listener: _socket.socket) -> None:
        """Take one caller and do what it asks, before another hand's share is taken."""
        try:
            sock = sockets.accept(listener)
        except OSError:
            return  # another hand was faster
        self.serve(sock).ready(READ)

    def lost(self, runner: PodRunner) -> None:
        """A mistake of ours, in what keeps one of many pods."""
        from lading.node import heirs

        heirs.abandon(runner, self.loop)
        heirs.bequeath(self.shop, runner.record)

    def serve(self, sock: _socket.socket) -> Caller:
        """Listen to one caller."""
        caller = Caller(self, sock)
        self.loop.watch(sock.fileno(), caller.ready)
        return caller


class Caller:
    """One connection."""

    def __init__(self, desk: Desk, sock: _socket.socket) -> None:
        self.desk = desk
        self.sock = sock
        self.client: Client | None = None
        self.running: tuple[PodRunner, Running] | None = None
        self._waits_for: PodRunner | None = None

    def ready(self, events: int) -> None:
        """The socket has something, takes something, or is gone."""
        try:
            self._ready(events)
        except Exception:  # a mistake of ours, which ends this conversation and no keeper
            import traceback

            traceback.print_exc()
            self.gone()

    def _ready(self, events: int) -> None:
        if self.sock.fileno() < 0:
            return
        if self.client is not None and events & _WRITABLE:
            self.client.flush()
        if not events & ~_WRITABLE:
            return
        try:
            data, fds = wire.receive(self.sock)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        try:
            if not data:
                self.gone()
            elif data[:1] == b"{":
                self._request(data, fds)
            elif self.client is not None:
                self._input(data)
        finally:
            for fd in fds:
                os.close(fd)

    def gone(self) -> None:
        """The caller has left, or is asked to."""
        if self._waits_for is not None:
            calls = self._waits_for.at_end
            calls[:] = [call for call in calls if call != self._tell_end]
            self._waits_for = None
        if self.client is not None:
            self.client.leave()
            self.client = None
        if self.sock.fileno() >= 0:
            self.desk.loop.forget(self.sock.fileno())
            self.sock.close()

    def attach(self, running: Running, runner: PodRunner, *, stdin: bool) -> None:
        """Give this caller a container's streams."""
        self.running = (runner, running)
        self.client = Client(runner.streams_of(running), self.sock, stdin)

    def _input(self, data: bytes) -> None:
        assert self.client is not None
        client, kind = self.client, data[:1]
        if kind == b"0" and client.with_stdin:
            client.streams.feed(data[1:])
        elif kind == b"c" and client.with_stdin:
            client.streams.close_stdin()
        elif kind == b"s" and data[1:].isdigit() and self.running is not None:
            self.running[0].signal(self.running[1], int(data[1:]))
        elif kind == b"r" and len(data) == 5:
            client.resize(int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big"))

    def _answer(self, message: dict[str, object], fds: list[int] | None = None) -> None:
        if self.sock.fileno() >= 0:
            try:
                wire.send(self.sock, message, fds)
            except OSError:
                self.gone()

    def _request(self, data: bytes, fds: list[int]) -> None:
        try:
            self._carry_out(wire.message(data, fds), fds)
        except LadingError as error:
            self._answer({"error": wire.encode_error(error)})

    def _carry_out(self, request: dict[str, Any], fds: list[int]) -> None:
        try:
            operation = request.get("op")
            act = getattr(self, f"_do_{operation}", None) if isinstance(operation, str) else None
            if act is None:
                raise Unsupported(f"keeper request {operation!r}")
            if operation in _ANYBODYS or not self._passed_on(request, fds):
                act(request, fds)
        except LadingError as error:
            self._answer({"error": wire.encode_error(error)})
        except (KeyError, TypeError, ValueError) as error:
            self._answer({"error": wire.encode_error(InvalidInput(f"keeper request: {error!r}"))})
        except Exception as error:
            # Out of descriptors, a full disk, a mistake of ours: nothing that one caller asks may end a keeper of many pods.
            self._answer({"error": wire.encode_error(error)})

    def _runner(self, request: dict[str, Any]) -> PodRunner:
        runner = self.desk.runners.get(request["id"])
        if runner is None or runner.finished:
            raise NotFound(f"this keeper does not keep {request['id'][:12]}", reason="no-keeper")
        return runner

    def _wait_for(self, runner: PodRunner) -> None:
        """Answer this caller when the pod has ended; forgotten when the caller leaves before that."""
        self._waits_for = runner
        runner.at_end.append(self._tell_end)

    def _tell_end(self) -> None:
        runner = self._waits_for
        if runner is not None and runner.lost is not None:
            self._answer({"error": wire.encode_error(runner.lost)})
        elif runner is not None:
            self._answer({"id": runner.record.id, "code": runner.exit_code})

    def _running(self, runner: PodRunner, request: dict[str, Any]) -> Running:
        name = request.get("container") or runner.record.container.name
        if name not in runner.running:
            raise NotFound(f"pod {runner.record.name} has no container {name!r}")
        return runner.running[name]

    # -- requests --------------------------------------------------------------------------------------------------

    def _do_pods(self, request: dict[str, Any], fds: list[int]) -> None:
        desk = self.desk
        if desk.hand is None:
            self._answer({"ids": list(desk.runners)})
            return
        rows = desk.shop.records.database.query(
            "SELECT id, keeper_pid, keeper_start FROM pods WHERE keeper_socket >= ? AND keeper_socket < ?",
            (f"{desk.hand.family}.", f"{desk.hand.family}/"),
        )
        self._answer({"ids": [row[0] for row in rows if alive(row[1], row[2])]})

    def _do_heir(self, request: dict[str, Any], fds: list[int]) -> None:
        hand = self.desk.hand
        if hand is None:
            raise Unsupported("this keeper keeps one pod")
        hand.follow(int(request["pid"]), int(request["start"]))
        self._answer({}, [hand.listener.fileno()])

    def _do_pass(self, request: dict[str, Any], fds: list[int]) -> None:
        if not fds:
            raise InvalidInput("keeper request pass: no connection came with it")
        caller = self.desk.serve(sockets.adopt(fds.pop(0)))
        caller._carry_out({**request["request"], "passed": True}, fds)

    def _passed_on(self, request: dict[str, Any], fds: list[int]) -> bool:
        """Whether another keeper has the pod and answers this caller from now on."""
        runner = self.desk.runners.get(request["id"])
        if request.get("passed") or (runner is not None and not runner.finished):
            return False
        rows = self.desk.shop.records.database.query(
            "SELECT keeper_socket, keeper_pid, keeper_start FROM pods WHERE id = ?", (request["id"],)
        )
        if not rows or rows[0][1] == os.getpid() or not alive(rows[0][1], rows[0][2]):
            return False
        try:
            other = sockets.connect(rows[0][0])
        except NotFound:
            return False
        try:
            wire.send(other, {"op": "pass", "request": request}, [self.sock.fileno(), *fds])
        finally:
            other.close()
        self.gone()
        return True

    def _do_run(self, request: dict[str, Any], fds: list[int]) -> None:
        from lading.formats.pod import Pod
        from lading.node import lifecycle, prepare

        self._must_keep_many()
        desk = self.desk
        pod = lifecycle.admitted(Pod.decode(request["pod"], where="pod"))
        record = prepare.record_of(desk.shop, pod, None)
        lifecycle.claim(desk.shop, record)
        record.keeper_socket = desk.socket
        lifecycle.insert(desk.shop, record)
        self._begin(record, request)

    def _do_start(self, request: dict[str, Any], fds: list[int]) -> None:
        from lading.node import detached

        self._must_keep_many()
        desk = self.desk
        found = desk.shop.records.get(request["id"])
        if found is None:
            raise NotFound(f"no such container or pod: {request['id']}")
        record = detached.take_over(desk.shop, found, desk.socket)
        self._begin(record, request)

    def _must_keep_many(self) -> None:
        if self.desk.hand is None:
            raise Unsupported("this keeper keeps one pod")

    def _begin(self, record: PodRecord, request: dict[str, Any]) -> None:
        desk = self.desk
        runners, share = desk.runners, Share(desk.loop)
        runner = PodRunner(desk.shop, share, record)
        share.failed = lambda: desk.lost(runner)
        runners[record.id] = runner
        runner.at_end.append(lambda: _drop(runners, record.id))
        if request.get("wait"):
            self._wait_for(runner)
            share.call(runner.begin)
            return

        def first(error: LadingError | None) -> None:
            if error is not None:
                self._answer({"error": wire.encode_error(error)})
            else:
                self._answer({"id": record.id, "name": record.name})

        runner.on_first(first)
        share.call(runner.begin)

    def _do_stop(self, request: dict[str, Any], fds: list[int]) -> None:
        runner = self._runner(request)
        timeout, signal = request.get("timeout"), int(request.get("signal") or 0)
        timeout = None if timeout is None else float(timeout)
        self._wait_for(runner)
        runner.stop(timeout, signal)

    def _do_wait(self, request: dict[str, Any], fds: list[int]) -> None:
        self._wait_for(self._runner(request))

    def _do_policy(self, request: dict[str, Any], fds: list[int]) -> None:
        from lading.node.restart import parse_policy

        runner = self._runner(request)
        for running in runner.running.values():
            running.unit.restarts.policy = parse_policy(request["policy"])
        self._answer({})

    def _do_connect(self, request: dict[str, Any], fds: list[int]) -> None:
        from lading.node import connecting

        connecting.in_keeper(self._runner(request), request)
        self._answer({})

    _do_disconnect = _do_connect

    def _do_remove(self, request: dict[str, Any], fds: list[int]) -> None:
        runner = self.desk.runners.get(request["id"])
        if runner is not None and not runner.finished:
            if not request.get("force"):
                raise Conflict(f"container {runner.record.name} is running", reason="running")
            extras = runner.record.pod.spec.extras
            runner.volumes_too = extras.remove or bool(request.get("volumes"))
            extras.remove = True
            self._wait_for(runner)
            runner.stop(0.0)
            return
        from lading.node import remove

        record = self.desk.shop.records.get(request["id"])
        if record is not None:
            remove.collect(self.desk.shop, record, volumes=bool(request.get("volumes")))
        self._answer({})

    def _do_attach(self, request: dict[str, Any], fds: list[int]) -> None:
        runner = self._runner(request)
        running = self._running(runner, request)
        if runner.ending:  # all that it said has been told, and nobody would tell this one how it ended
            raise Conflict(f"container {running.record.name} is not running", reason="state")
        self._answer({"tty": running.container.tty})
        self.attach(running, runner, stdin=bool(request.get("stdin")))

    def _do_exec(self, request: dict[str, Any], fds: list[int]) -> None:
        from lading.formats.oci_runtime import Process
        from lading.runtime import Stdio

        runner = self._runner(request)
        running = self._running(runner, request)
        if running.handle is None:
            raise Conflict(f"container {running.record.name} is not running", reason="state")
        ends = [*fds, -1, -1, -1][:3]
        process = Process.decode(request["process"], where="process")
        kernel = self.desk.shop.kernel
        # The child answers, and keeps the connection until then.
        pid = aside.serve(kernel, running.handle, process, Stdio(*ends), self.sock.fileno())
        pidfd = kernel.pidfd_open(pid)

        def ended(_events: int) -> None:
            self.desk.loop.forget(pidfd)
            os.close(pidfd)
            os.waitpid(pid, 0)
            self.gone()

        self.desk.loop.watch(pidfd, ended)


def _drop(runners: dict[str, PodRunner], pod_id: str) -> None:
    runners.pop(pod_id, None)
