"""One call of a foreign OCI runtime: its process, its terminal's way back, and what it says when it fails.

The command line is runc's as containerd and Podman use it: ``--root --log --log-format json COMMAND``. Errors are read
from that log, never from standard error, which in ``create`` and ``exec`` is the container's own.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from lading.errors import CommandNotExecutable, CommandNotFound, LadingError
from lading.formats import jsontext
from lading.kernel.process import PR_SET_PDEATHSIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from lading.formats.rootfs import Rootfs
    from lading.kernel import Kernel
    from lading.runtime import Stdio

_SET_SUBREAPER = 36
_NEWNS = 0x00020000
_MS_REC, _MS_SLAVE = 0x4000, 0x80000
_SIGKILL = 9
#: Seconds that a process which the runtime left behind is given to end.
_LAST_BREATH = 1.0
_TEXT_LIMIT = 64 << 10
#: Seconds that one command of a runtime may take. It holds its container's keeper meanwhile.
_DEADLINE = 60.0
_reaping = allocate_lock()


class Adoption:
    """This process takes orphans of its descendants as children meanwhile (prctl(2), PR_SET_CHILD_SUBREAPER).

    ``expected`` is the one that is wanted. Others that were born in a container (crun leaves the process between itself
    and the container's) are reaped: a pid namespace does not end before the last of its dead is buried. One thread at a
    time, as the attribute is the whole process's.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.expected = 0
        self._before: set[int] = set()

    def __enter__(self) -> Adoption:
        _reaping.acquire()
        self._before = set(_children())
        self.kernel.prctl(_SET_SUBREAPER, 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._bury()
        finally:
            self.kernel.prctl(_SET_SUBREAPER, 0)
            _reaping.release()

    def _bury(self) -> None:
        end = time.monotonic() + _LAST_BREATH
        for pid in _children():
            if pid in self._before or pid == self.expected:
                continue
            while (state := _state_inside(pid)) and time.monotonic() < end:
                if state == "Z":
                    os.waitpid(pid, 0)
                    break
                time.sleep(0.001)


def _children() -> list[int]:
    """The children of every thread of this process (proc(5), task/TID/children)."""
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as stream:
                found += [int(word) for word in stream.read().split()]
        except OSError:
            continue  # the thread has ended
    return found


def _state_inside(pid: int) -> str:
    """The state letter of a process that lives in a pid namespace below ours; empty for any other."""
    state, depth = "", 0
    for line in _lines(f"/proc/{pid}/status"):
        if line.startswith("State:"):
            state = line.split()[1]
        elif line.startswith("NSpid:"):
            depth = len(line.split()) - 1
    return state if depth > 1 else ""


class ConsoleSocket:
    """Where a runtime sends the master of a terminal it made (runc, "console-socket")."""

    def __init__(self, directory: str) -> None:
        import _socket

        self._name = f"console-{os.urandom(4).hex()}"
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # Named through our descriptor: sun_path holds 108 bytes, and a run root may be longer.
        self.path = f"/proc/{os.getpid()}/fd/{self._directory}/{self._name}"
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._socket.bind(self.path)
        self._socket.listen(1)

    def receive(self) -> int:
        """The master, once the runtime's call has come back. Raises :class:`LadingError` when it sent none."""
        from lading.runtime.console import receive_master

        self._socket.settimeout(10.0)
        try:
            connection, _ = self._socket._accept()  # type: ignore[attr-defined]
        except OSError:
            raise LadingError("the runtime sent no terminal", reason="runtime") from None
        try:
            return receive_master(connection)
        finally:
            os.close(connection)

    def close(self) -> None:
        """Take the socket away."""
        self._socket.close()
        try:
            os.unlink(self._name, dir_fd=self._directory)
        except OSError:
            pass
        os.close(self._directory)


class Call:
    """One command of the runtime at ``path``.

    ``stdio``         the streams that the container's process inherits; without them the runtime gets ``/dev/null``.
    ``rootfs``        layers to stack over ``DIRECTORY/rootfs``, which only the runtime and the container see.
    ``text``          what it reads on standard input.
    ``runs_command``  its failure may be that of the container's command: 126 and 127.
    """

    def __init__(self, path: str, root: str, directory: str, words: list[str]) -> None:
        self.path = path
        self.root = root
        self.directory = directory
        self.words = words
        self.stdio: Stdio | None = None
        self.rootfs: Rootfs | None = None
        self.text = ""
        self.runs_command = False

    def run(self, kernel: Kernel) -> None:
        """Run it to its end. Raises what the runtime said, in one line."""
        log = f"{self.directory}/log-{os.getpid()}-{os.urandom(4).hex()}"
        argv = [self.path, "--root", self.root, "--log", log, "--log-format", "json", *self.words]
        said_read, said_write = os.pipe2(os.O_CLOEXEC)
        fed_read, fed_write = os.pipe2(os.O_CLOEXEC) if self.text else (-1, -1)
        if self.rootfs is not None:
            from lading.runtime import rootfs  # noqa: F401 - loaded before the fork: afterwards nothing may be
        pid = os.fork()
        if pid == 0:
            try:
                self._become(kernel, argv, fed_read, said_write)
            except BaseException as error:
                os.write(said_write, str(error).encode())
            finally:
                os._exit(125)
        os.close(said_write)
        if self.text:
            os.close(fed_read)
            self._feed(fed_write)
        try:
            said, status = self._ended(kernel, pid, said_read)
            if status != 0:
                raise self._failure(log, status, said)
        finally:
            os.close(said_read)
            if os.path.lexists(log):
                os.unlink(log)

    def _ended(self, kernel: Kernel, pid: int, said_read: int) -> tuple[bytes, int]:
        """What it said on standard error, and its status. Raises :class:`LadingError` when it hangs, which ends it."""
        import select

        said = b""
        pidfd = kernel.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.register(said_read, select.POLLIN)
            end = time.monotonic() + _DEADLINE
            ended = False
            while not ended:
                ready = [fd for fd, _ in poll.poll(max(0.0, end - time.monotonic()) * 1000)]
                if not ready:
                    _kill_tree(pid)
                    os.waitpid(pid, 0)
                    raise LadingError(
                        f"runtime {self.path}: `{self.words[0]}` did not end within {_DEADLINE:.0f} s and was killed",
                        hint="run the container without --runtime, or ask the runtime's makers why it hangs",
                        reason="runtime-hangs",
                    )
                ended = pidfd in ready
                if said_read in ready:
                    block = os.read(said_read, 4096)
                    said = (said + block)[:_TEXT_LIMIT]
                    if not block:
                        poll.unregister(said_read)
        finally:
            os.close(pidfd)
        # Not to its end: what the runtime left behind may hold the other side.
        os.set_blocking(said_read, False)
        return said + _all_of(said_read), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _feed(self, fd: int) -> None:
        try:
            os.write(fd, self.text.encode())  # some hundred bytes: a pipe holds 64 KiB
        except BrokenPipeError:
            pass
        finally:
            os.close(fd)

    def _become(self, kernel: Kernel, argv: list[str], fed: int, said: int) -> None:
        kernel.prctl(PR_SET_PDEATHSIG, _SIGKILL)
        import _signal  # type: ignore[import-not-found]

        for number in (1, 2, 3, 10, 12, 13, 15):
            _signal.signal(number, _signal.SIG_DFL)
        if self.rootfs is not None:
            from lading.runtime import rootfs

            kernel.unshare(_NEWNS)
            kernel.mount("", "/", "", _MS_REC | _MS_SLAVE)
            place = rootfs.place(kernel, self.rootfs, "", f"{self.directory}/rootfs")
            rootfs.attach(kernel, self.rootfs, "", place)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        given = self.stdio
        ends = [fed, null, said] if given is None else [given.stdin, given.stdout, given.stderr]
        # Above the standard three first: one end may lie where another belongs.
        import fcntl

        moved = [fcntl.fcntl(fd if fd >= 0 else null, fcntl.F_DUPFD_CLOEXEC, 10) for fd in ends]
        for number, fd in enumerate(moved):
            os.dup2(fd, number, inheritable=True)
        os.chdir("/")
        os.execv(self.path, argv)

    def _failure(self, log: str, status: int, said: bytes) -> LadingError:
        name = self.path.rpartition("/")[2]
        text = _last_error(log) or said.decode("utf-8", "replace")
        line = " ".join(text.split())
        if not line:
            line = f"it failed with status {status} and said nothing"
        message = f"runtime {name}: {line}"
        if self.runs_command:
            missing, forbidden = _command_failure(line, status)
            if missing:
                return CommandNotFound(message)
            if forbidden:
                return CommandNotExecutable(message)
        return LadingError(message, reason="runtime")


def _kill_tree(pid: int) -> None:
    """A runtime that hangs, and what it began: a shell's child, a container's half-made first process."""
    below: list[int] = []
    for thread in _names(f"/proc/{pid}/task"):
        for line in _lines(f"/proc/{pid}/task/{thread}/children"):
            below += [int(word) for word in line.split()]
    try:
        os.kill(pid, _SIGKILL)
    except ProcessLookupError:
        return
    for child in below:
        _kill_tree(child)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _command_failure(line: str, status: int) -> tuple[bool, bool]:
    """Whether it was the command that does not exist, or cannot be executed, in the words of runc, crun and ours."""
    low = line.lower()
    about_command = "exec" in low
    missing = status == 127 or ("executable file" in low and "not found" in low)
    missing = missing or (about_command and low.rstrip('"').endswith("no such file or directory"))
    forbidden = status == 126 or (
        about_command
        and (
            "permission denied" in low
            or "not permitted" in low
            or "is a directory" in low
            or "format error" in low
        )
    )
    return missing, forbidden and not missing


def _last_error(log: str) -> str:
    found = ""
    for line in _lines(log):
        try:
            entry = jsontext.loads(line)
        except LadingError:
            found = line
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal") and entry.get("msg"):
            found = str(entry["msg"])
    return found


def _lines(path: str) -> Iterator[str]:
    try:
        with open(path, errors="replace") as stream:
            yield from stream.read(_TEXT_LIMIT).splitlines()
    except OSError:
        return


def _all_of(fd: int) -> bytes:
    said = b""
    try:
        while len(said) < _TEXT_LIMIT and (block := os.read(fd, 4096)):
            said += block
    except BlockingIOError:
        pass
    return said
