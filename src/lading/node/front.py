"""The front of a keeper family: it owns the place where servers call, and looks after the hands that do the work.

A server's keeper is several processes, for one can start only one container at a time. The *hands* (:mod:`lading.node.hand`)
are forked from the front while it is small and has one thread. All of them accept callers from one listening socket, so
the kernel gives each caller to a hand that has nothing to do; the front itself serves nobody, and nothing is lost with it.
It puts a new hand in the place of one that was killed, ends all of them on SIGTERM, and is known by a lock that dies with
it: the next ``python -m lading.node.keeper`` at the same socket finds the lock free and the hands at work, and becomes
their front.
"""

from __future__ import annotations

import os
import time

from lading.errors import Conflict, LadingError, NotFound
from lading.node import sockets, wire
from lading.node.shop import before_fork, process_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from lading.node.shop import Shop

_SIGTERM = 15
_SIG_BLOCK, _SIG_UNBLOCK = 0, 1
#: A hand that died younger than this (seconds) is not replaced at once: whatever kills it may do so again.
_YOUNG = 1.0
#: Seconds that hands whose front was killed, and that have no pods, have to be gone.
_GOING = 30.0


def default_hands() -> int:
    """Two more than processors: hands that wait for the records' lock, the disk or a newborn leave nobody idle."""
    return len(os.sched_getaffinity(0)) + 2


class Front:
    """The family at ``socket``, of ``count`` hands."""

    def __init__(self, shop: Shop, socket: str, count: int) -> None:
        self.shop = shop
        self.socket = socket
        self.count = count
        self.hands: dict[int, int] = {}  # pid: pidfd
        self.listener: _socket.socket | None = None
        self._born: dict[int, float] = {}
        self._lock = -1
        self._ending = False
        self._wake = -1

    def run(self) -> None:
        """Keep the family until SIGTERM has ended every pod.

        Raises :class:`Conflict` when another keeper answers at the socket.
        """
        os.makedirs(os.path.dirname(self.socket), 0o700, exist_ok=True)
        self._lock = _lock(self.socket)
        self._signals()
        self.listener = self._inherit() or self._succeed()
        _warm(self.shop)
        while True:
            while not self._ending and len(self.hands) < self.count:
                self._fork()
            self._wait()
            if self._ending and not self.hands:
                break
        self.listener.close()
        for path in (self.socket, _lock_path(self.socket)):
            _unlink(path)

    # -- the way in ------------------------------------------------------------------------------------------------

    def _signals(self) -> None:
        import _signal  # type: ignore[import-not-found]

        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        for number in (1, 2, 13):
            _signal.signal(number, _signal.SIG_IGN)
        _signal.signal(_SIGTERM, lambda _number, _frame: os.eventfd_write(self._wake, 1))

    def _succeed(self) -> _socket.socket:
        """The family's socket, once nobody listens there.

        With the lock being ours this can only be hands at their end: they give nothing away any more, yet what they listen
        with is open until they have exited. Who takes that for another keeper leaves the place to nobody.
        """
        end = time.monotonic() + _GOING
        while True:
            try:
                sockets.connect(self.socket).close()
            except NotFound:
                return sockets.listen(self.socket)
            if time.monotonic() > end:
                raise Conflict(f"a keeper listens at {self.socket} already")
            time.sleep(0.01)
            if (listener := self._inherit()) is not None:
                return listener

    def _inherit(self) -> _socket.socket | None:
        """Become the front of hands whose own was killed: their listening socket, or None when there are none."""
        listener: _socket.socket | None = None
        for pid, path in hand_sockets(self.socket):
            try:
                sock = sockets.connect(path)
            except NotFound:
                _unlink(path)  # killed, too, or at its end
                continue
            try:
                wire.send(sock, {"op": "heir", "pid": os.getpid(), "start": process_start(os.getpid())})
                data, fds = wire.receive(sock)
            except OSError:
                continue  # it had nothing left to keep and ended at this moment
            finally:
                sock.close()
            if not data or not fds:
                continue  # it ends, and takes its name away itself
            if listener is None:
                listener = sockets.adopt(fds.pop())
            for fd in fds:
                os.close(fd)
            self._know(pid)
        return listener

    def _know(self, pid: int) -> None:
        try:
            self.hands[pid] = self.shop.kernel.pidfd_open(pid)
        except LadingError:
            return  # gone already
        self._born[pid] = time.monotonic()

    # -- hands -----------------------------------------------------------------------------------------------------

    def _fork(self) -> None:
        import _signal

        before_fork()
        front = os.getpid()
        # A SIGTERM between the fork and the hand's own handler would be noted by a copy of ours, and lost.
        _signal.pthread_sigmask(_SIG_BLOCK, [_SIGTERM])
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self._become_hand(front)
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(status)
        _signal.pthread_sigmask(_SIG_UNBLOCK, [_SIGTERM])
        self._know(pid)

    def _become_hand(self, front: int) -> None:
        import gc

        # What is garbage here is the front's: an object finalised on this side would close a descriptor by a number
        # that means something else by then.
        gc.freeze()
        for fd in (self._lock, self._wake, *self.hands.values()):
            os.close(fd)
        from lading.node.hand import Hand

        assert self.listener is not None
        Hand(self.shop, self.socket, self.listener, front).run()

    def _wait(self) -> None:
        import select

        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for fd in self.hands.values():
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll()}
        if self._wake in ready:
            os.eventfd_read(self._wake)
            self._ending = True
            for fd in self.hands.values():
                try:
                    self.shop.kernel.pidfd_send_signal(fd, _SIGTERM)
                except LadingError:
                    continue  # ended by itself
        for pid, fd in list(self.hands.items()):
            if fd in ready:
                self._lost(pid)

    def _lost(self, pid: int) -> None:
        os.close(self.hands.pop(pid))
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass  # born of another front
        _unlink(hand_socket(self.socket, pid))
        young = time.monotonic() - self._born.pop(pid) < _YOUNG
        if young and not self._ending:
            time.sleep(_YOUNG)


def hand_socket(socket: str, pid: int) -> str:
    """Where the hand ``pid`` of the family at ``socket`` is spoken to alone."""
    return f"{socket}.{pid}"


def hand_sockets(socket: str) -> list[tuple[int, str]]:
    """The pids and sockets of a family's hands; some may be dead."""
    directory, _, base = socket.rpartition("/")
    found = []
    for name in os.listdir(directory):
        stem, _, pid = name.rpartition(".")
        if stem == base and pid.isdigit():
            found.append((int(pid), f"{directory}/{name}"))
    return sorted(found)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _lock_path(socket: str) -> str:
    return f"{socket}.lock"


def _lock(socket: str) -> int:
    import fcntl

    fd = os.open(_lock_path(socket), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Conflict(f"a keeper listens at {socket} already") from None
    return fd


def _warm(shop: Shop) -> None:
    """Load before the fork what every pod needs: the hands share its memory, and no first pod waits for it."""
    import gc

    from lading.kernel.cgroups import detect, manager
    from lading.kernel.libc import bind_all
    from lading.node import adopting, hand, lifecycle, prepare, sandbox, seccomp_profile, spec  # noqa: F401

    bind_all()
    manager("/lading", detect())  # whichever of its three kinds this machine has

    for part in (shop.images, shop.networks, shop.runtime):
        assert part is not None
    shop.close()
    gc.collect()
    gc.freeze()
