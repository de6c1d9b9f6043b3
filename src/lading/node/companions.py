"""Companions: programs of the host that each serve one pod, from before its first container runs until after its last.

The keeper makes a companion's socket, which listens on the pod's own loopback, tells its address to the pod's containers, and
starts the program with the socket as descriptor 3 (sd_listen_fds(3)). One that ends is started again: what asks it meanwhile
waits in the socket. In the pod's directory stands for each which process it is and where it listens, so that whoever comes
after a keeper that was killed goes on with it, or ends it.
"""

from __future__ import annotations

import _socket
import os

from lading.errors import InvalidInput, LadingError, TimedOut
from lading.formats import jsontext
from lading.kernel.process import PR_SET_PDEATHSIG
from lading.node import podsockets
from lading.node.shop import alive, process_start, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.oci_runtime import Spec
    from lading.formats.podextras import Companion
    from lading.kernel import Kernel
    from lading.node.loop import Timer
    from lading.node.runner import PodRunner
    from lading.node.shop import Shop

#: What a value of ``env`` has in the place of the address.
ADDRESS = "{address}"
_DESCRIPTOR, _READY = 3, 4
_SIGTERM, _SIGKILL = 15, 9
#: Seconds until one that has ended is started again, and that it gets to end when it is told to.
_AGAIN, _GRACE = 1.0, 2.0
#: Seconds that the first container waits for one that says when it is ready.
_PATIENCE = 20.0


class _One:
    """One companion: its socket, the address of that, and its process (``pidfd`` -1: none)."""

    def __init__(self, wanted: Companion, record: str) -> None:
        self.wanted = wanted
        self.record = record
        self.socket: _socket.socket | None = None
        self.address = ""
        self.pid = self.start = 0
        self.pidfd = -1
        self.told = -1  # where it says that it is ready, as long as that is awaited
        self.patience: Timer | None = None

    def note(self) -> None:
        """Write down which process it is."""
        text = jsontext.dumps({"pid": self.pid, "start": self.start, "address": self.address})
        fresh = f"{self.record}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
        os.rename(fresh, self.record)


class Companions:
    """All companions of one pod."""

    def __init__(self, runner: PodRunner) -> None:
        self.runner = runner
        directory = _directory(runner.shop, runner.record.id)
        os.makedirs(directory, 0o700, exist_ok=True)
        wanted = runner.record.pod.spec.extras.companions
        self._all = [_One(companion, f"{directory}/{companion.name}") for companion in wanted]
        self._closed = False
        self._then: Callable[[], None] | None = None
        self._killer: Timer | None = None

    def open(self) -> None:
        """Make the sockets. The programs start as soon as the keeper has nothing else to do; now those that say they are ready.

        What they say is heard in the keeper's loop, which has other pods as well. Until all of them have said it
        :attr:`awaited` holds the pod's containers back; one that ends before, or takes too long, is the end of the pod.
        """
        for one in self._all:
            program = one.wanted.command[0]
            if not os.access(program, os.X_OK):
                raise InvalidInput(
                    f"companion {one.wanted.name}: {program} cannot be executed on this machine"
                )
            self._listen(one, one.wanted.listen)
            one.note()
        for one in self._all:
            if one.wanted.ready:
                self._start_awaited(one)
        self.runner.loop.after(0.0, self._start_all)

    @property
    def awaited(self) -> bool:
        """Whether one of them has yet to say that it is ready."""
        return any(one.patience is not None for one in self._all)

    def _start_awaited(self, one: _One) -> None:
        self._spawn(one)
        loop = self.runner.loop
        loop.watch(one.pidfd, lambda _events: self._ended(one))
        loop.watch(one.told, lambda _events: self._heard(one))
        one.patience = loop.after(_PATIENCE, lambda: self._late(one))

    def _heard(self, one: _One) -> None:
        """It has said that it is ready, or will not say it any more."""
        said = _read(one.told)
        awaited = one.patience is not None
        self._deafen(one)
        if not awaited:
            return
        if not said:
            why = _last_line(one.record + ".log")
            error = LadingError(
                f"companion {one.wanted.name} ended before it was ready: {why}", reason="companion"
            )
            self.runner.give_up(error)
        elif not self.awaited:
            self.runner.turn()

    def _late(self, one: _One) -> None:
        if one.patience is not None:
            self._deafen(one)
            self.runner.give_up(
                TimedOut(
                    f"companion {one.wanted.name} is not ready after {_PATIENCE:.0f} s",
                    hint=f"see {one.record}.log",
                )
            )

    def _deafen(self, one: _One) -> None:
        """Hear no more whether it is ready."""
        if one.patience is not None:
            one.patience.cancel()
            one.patience = None
        if one.told >= 0:
            self.runner.loop.forget(one.told)
            os.close(one.told)
            one.told = -1

    def _listen(self, one: _One, place: str) -> None:
        address, _, port = place.rpartition(":")
        one.socket = podsockets.listen(self.runner, address, int(port), f"companion {one.wanted.name}")
        one.address = f"{address}:{one.socket.getsockname()[1]}"

    def _start_all(self) -> None:
        for one in self._all:
            self._start(one)

    def _start(self, one: _One) -> None:
        if self._closed or one.pidfd >= 0 or one.socket is None:
            return
        try:
            self._spawn(one)
        except (LadingError, OSError) as error:
            self.runner.record.message = f"companion {one.wanted.name}: {error}"
            self.runner.loop.after(_AGAIN, lambda: self._start(one))
            return
        self.runner.loop.watch(one.pidfd, lambda _events: self._ended(one))
        if one.told >= 0:  # started again: nobody waits for it, and its pipe shall have a reader
            self.runner.loop.watch(one.told, lambda _events: self._heard(one))

    def _spawn(self, one: _One) -> None:
        kernel = self.runner.shop.kernel
        read, write = os.pipe2(os.O_CLOEXEC)
        one.told, tells = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if one.wanted.ready else (-1, -1)
        try:
            one.pid = kernel.fork()
            if one.pid == 0:
                _become(kernel, one, read, write, tells)
            one.start = process_start(one.pid)
            one.pidfd = kernel.pidfd_open(one.pid)
            # Until it is written down, it dies with us; afterwards repair finds it.
            one.note()
            os.write(write, b"1")
        except BaseException:
            if one.pid:
                os.kill(one.pid, _SIGKILL)
                os.waitpid(one.pid, 0)
            if one.pidfd >= 0:
                os.close(one.pidfd)
            if one.told >= 0:
                os.close(one.told)
            one.pid, one.start, one.pidfd, one.told = 0, 0, -1, -1
            raise
        finally:
            os.close(read)
            os.close(write)
            if tells >= 0:
                os.close(tells)

    def _ended(self, one: _One) -> None:
        if one.told >= 0:
            self._heard(one)
        self._forget(one)
        if self._closed:
            self._gone()
        else:
            self.runner.loop.after(_AGAIN, lambda: self._start(one))

    def _forget(self, one: _One) -> None:
        self.runner.loop.forget(one.pidfd)
        os.close(one.pidfd)
        self._deafen(one)
        try:
            os.waitpid(one.pid, 0)
        except ChildProcessError:
            pass  # a child of the keeper before us
        one.pid, one.start, one.pidfd = 0, 0, -1

    def add_to(self, spec: Spec) -> None:
        """Tell a container where they are. What it says itself of a variable stays."""
        _tell(spec, [(one.wanted, one.address) for one in self._all])

    def adopt(self) -> None:
        """Go on with those of a keeper that was killed, and start what ended meanwhile at the same address."""
        kernel = self.runner.shop.kernel
        for one in self._all:
            pid, start, one.address = _recorded(one.record)
            if alive(pid, start):
                self._watch(one, pid, start)
            try:
                if one.pidfd >= 0:
                    one.socket = _socket.socket(fileno=kernel.pidfd_getfd(one.pidfd, _DESCRIPTOR))
                else:
                    self._listen(one, one.address or one.wanted.listen)
            except (LadingError, OSError) as error:
                self.runner.record.message = f"companion {one.wanted.name} cannot be started again: {error}"
        self.runner.loop.after(0.0, self._start_all)

    def _watch(self, one: _One, pid: int, start: int) -> None:
        try:
            pidfd = self.runner.shop.kernel.pidfd_open(pid)
        except LadingError:
            return  # it has ended at this moment
        if not alive(pid, start):
            os.close(pidfd)
            return
        one.pid, one.start, one.pidfd = pid, start, pidfd
        self.runner.loop.watch(pidfd, lambda _events: self._ended(one))

    def end(self, then: Callable[[], None]) -> None:
        """End them, and forget them once they are gone; ``then`` is called after that, at once where there are none.

        The loop has other pods as well, so it is what waits. One that has not ended in time is killed.
        """
        self._closed = True
        self._then = then
        kernel = self.runner.shop.kernel
        for one in self._all:
            # One that is not ready yet has nobody that it could have let down.
            send_signal(kernel, one.pid, one.start, _SIGKILL if one.patience is not None else _SIGTERM)
            self._deafen(one)
        self._killer = self.runner.loop.after(_GRACE, self._kill)
        self._gone()

    def _kill(self) -> None:
        for one in self._all:
            send_signal(self.runner.shop.kernel, one.pid, one.start, _SIGKILL)

    def _gone(self) -> None:
        """Go on with the end, if that was the last one."""
        if self._then is None or any(one.pidfd >= 0 for one in self._all):
            return
        if self._killer is not None:
            self._killer.cancel()
        for one in self._all:
            if one.socket is not None:
                one.socket.close()
                one.socket = None
            _unlink(one.record)
        then, self._then = self._then, None
        then()


def _tell(spec: Spec, addresses: list[tuple[Companion, str]]) -> None:
    if spec.process is None:
        return
    own = {text.partition("=")[0] for text in spec.process.env}
    for companion, address in addresses:
        for name, value in companion.env.items():
            if name not in own:
                spec.process.env.append(f"{name}={value.replace(ADDRESS, address)}")


def lend(shop: Shop, pod_id: str, spec: Spec) -> None:
    """Tell a container that lives in a pod where that pod's companions are, as the pod's own are told."""
    house = shop.records.get(pod_id)
    wanted = house.pod.spec.extras.companions if house is not None else []
    directory = _directory(shop, pod_id)
    found = [(companion, _recorded(f"{directory}/{companion.name}")[2]) for companion in wanted]
    _tell(spec, [(companion, address) for companion, address in found if address])


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 64)
    except BlockingIOError:
        return b""


def _above(fd: int) -> int:
    """``fd`` under a number that no program of ours expects something at."""
    while 0 <= fd <= _READY:
        fd = os.dup(fd)
    return fd


def _last_line(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            lines = stream.read(64 << 10).decode(errors="replace").splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"


def _become(kernel: Kernel, one: _One, read: int, write: int, tells: int) -> None:
    """In the new process: wait until we are written down, then be the program. Never returns."""
    try:
        from lading.runtime import command

        kernel.prctl(PR_SET_PDEATHSIG, _SIGKILL)
        os.close(write)
        os.setsid()
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        log = os.open(f"{one.record}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number, fd in ((0, null), (1, log), (2, log)):
            os.dup2(fd, number)
        if not os.read(read, 1):
            os._exit(1)
        kernel.prctl(PR_SET_PDEATHSIG, 0)
        assert one.socket is not None
        listens, tells = _above(one.socket.fileno()), _above(tells)  # neither may be in the way of the other
        os.dup2(listens, _DESCRIPTOR)
        if tells >= 0:
            os.dup2(tells, _READY)
        kernel.close_range(_DESCRIPTOR + 1 + (tells >= 0))
        command.default_signals(kernel)
        told = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": one.wanted.name}
        os.execve(one.wanted.command[0], one.wanted.command, {**os.environ, **told})
    except BaseException as error:
        os.write(2, f"{one.wanted.name}: {error}\n".encode())
    finally:
        os._exit(127)


def _directory(shop: Shop, pod_id: str) -> str:
    return f"{shop.pod_directory(pod_id)}/.companions"


def _recorded(path: str) -> tuple[int, int, str]:
    try:
        with open(path, "rb") as stream:
            found = jsontext.loads(stream.read(4096))
        return int(found["pid"]), int(found["start"]), str(found["address"])
    except (OSError, LadingError, KeyError, TypeError, ValueError):
        return 0, 0, ""


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def kill_recorded(shop: Shop, pod_id: str) -> None:
    """End what a keeper that was killed left of a pod's companions."""
    directory = _directory(shop, pod_id)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in names:
        if "." not in name:
            pid, start, _ = _recorded(f"{directory}/{name}")
            send_signal(shop.kernel, pid, start, _SIGKILL)
            _unlink(f"{directory}/{name}")
