"""Unpacking in a process of its own, so that whoever makes the archive meanwhile has a processor for himself.

Threads would hinder each other: both sides make thousands of short system calls, and each has to wait for the interpreter's lock
after each of them. The child reads the archive from a pipe, writes below a directory that is staged for it, and says at its end
what it has found. It dies with its parent.
"""

from __future__ import annotations

import os

from lading import errors
from lading.errors import LadingError
from lading.formats import jsontext
from lading.images.files import disk_error
from lading.images.limits import Limits
from lading.images.unpacked import Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PIECE = 1 << 18
_PIPE = 1 << 20
_AHEAD = 8
_F_SETPIPE_SZ = 1031
_SIGKILL = 9


class Apart:
    """Unpacks the plain archive that is written to it into ``directory``. The caller has no threads.

    Small writes are gathered. :meth:`close` at the end, whatever happened; before :meth:`finish` it stops the child.
    """

    def __init__(self, directory: str, limits: Limits) -> None:
        self._pending = bytearray()
        plain, self._plain = os.pipe2(os.O_CLOEXEC)
        self._report, report = os.pipe2(os.O_CLOEXEC)
        try:
            _widen(plain)
            parent = os.getpid()
            self._pid = os.fork()
        except OSError as error:
            for fd in (plain, self._plain, self._report, report):
                os.close(fd)
            raise disk_error(error, "cannot start a process to unpack in") from None
        if self._pid == 0:
            _unpack(directory, limits, plain, self._plain, report, parent)
        os.close(plain)
        os.close(report)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """The next bytes. Raises what went wrong with those before."""
        if len(data) < _PIECE:
            self._pending += data
            if len(self._pending) < _PIECE:
                return
            data, self._pending = self._pending, bytearray()
        elif self._pending:
            self._send(self._pending)
            self._pending = bytearray()
        self._send(data)

    def _send(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._plain, view) :]
        except BrokenPipeError:
            raise self._ended() or _silent() from None

    def finish(self) -> Unpacked:
        """Wait for the rest; what the archive turned out to hold. Raises what unpacking raises."""
        if self._pending:
            self._send(self._pending)
        os.close(self._plain)
        self._plain = -1
        error = self._ended()
        if error is not None:
            raise error
        return self._made

    def _ended(self) -> LadingError | None:
        """Hear the child's report and take leave of it; the error that it tells of, if any."""
        said = bytearray()
        while piece := os.read(self._report, _PIPE):
            said += piece
        os.waitpid(self._pid, 0)
        self._pid = 0
        try:
            report = jsontext.loads(bytes(said))
        except LadingError:
            return _silent()
        if "error" in report:
            kind = getattr(errors, str(report["kind"]), LadingError)
            return kind(report["error"], hint=report["hint"], reason=report["reason"])
        self._made = Unpacked.decode(report)
        return None

    def close(self) -> None:
        """Let go of everything."""
        if self._pid:
            os.kill(self._pid, _SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        for fd in (self._plain, self._report):
            if fd >= 0:
                os.close(fd)
        self._plain = self._report = -1


class Beside:
    """The same in a thread, for a process that has threads already: one that forks may find a lock closed for ever."""

    def __init__(self, directory: str, limits: Limits) -> None:
        import threading

        from lading.images.layers import Pipe

        self._pipe = Pipe(_AHEAD)
        self._error: BaseException | None = None
        self._made = Unpacked()
        self._thread = threading.Thread(target=self._run, args=(directory, limits), daemon=True)
        self._thread.start()

    def _run(self, directory: str, limits: Limits) -> None:
        try:
            self._made = _extract(directory, limits, self._pipe)
        except BaseException as error:
            self._error = error
            self._pipe.close()

    def write(self, data: bytes) -> None:
        """The next bytes. Raises what went wrong with those before."""
        try:
            self._pipe.put(bytes(data))
        except LadingError:  # the other end is closed
            raise self._error or _silent() from None

    def finish(self) -> Unpacked:
        """Wait for the rest; what the archive turned out to hold. Raises what unpacking raises."""
        self._pipe.end()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._made

    def close(self) -> None:
        """Stop, and let go of everything."""
        self._pipe.close()
        self._thread.join()


def _silent() -> LadingError:
    return LadingError("the process that unpacked was killed", reason="aborted")


def _widen(pipe: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE)
    except OSError:
        pass  # a user may have no more of them (fs.pipe-user-pages-soft); a narrow one does as well


def _unpack(directory: str, limits: Limits, plain: int, writing: int, report: int, parent: int) -> None:
    """The child. Never returns."""
    try:
        import signal

        from lading.kernel import Kernel
        from lading.kernel.process import PR_SET_PDEATHSIG

        os.close(writing)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells both, and the parent decides
        Kernel().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        try:
            made = _extract(directory, limits, _pieces(plain)).encode()
        except LadingError as error:
            kind = type(error).__name__ if type(error).__init__ is LadingError.__init__ else "LadingError"
            made = {"kind": kind, "error": error.message, "hint": error.hint, "reason": error.reason}
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            made = {"kind": "LadingError", "error": told, "hint": "", "reason": "internal"}
        view = memoryview(jsontext.dumps(made).encode())
        while view:
            view = view[os.write(report, view) :]
    finally:
        os._exit(0)


def _pieces(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, _PIPE):
        yield piece


def _extract(directory: str, limits: Limits, pieces: Iterable[bytes]) -> Unpacked:
    from lading.images.tarread import TarReader
    from lading.images.unpack import Extractor

    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    extractor = Extractor(root, limits=limits)
    try:
        reader = TarReader(pieces)
        made = extractor.extract(reader)
        reader.stream.drain()
        return made
    finally:
        extractor.close()
        os.close(root)
