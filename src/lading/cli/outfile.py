"""Where ``--output`` writes: a new file that appears whole or not at all, or through whatever stands there already.

The file is made without a name (open(2), O_TMPFILE), so that not even a kill leaves a part of it, and gets one when it is whole.
Only a regular file is replaced by a rename. A device, a FIFO, a socket's end or one of our own descriptors
(``/dev/stdout``) is written *through*: a rename would put a file in its place, and ``-o /dev/null`` would take the
machine's null device away.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from lading.errors import InvalidInput, LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

_OWN = r"/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/fd/(\d+)"
_LINKS = 40
_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS)
"""What is said where no file can be without a name; or where the directory is not there, which is told then."""


class writing:  # noqa: N801  (reads as a verb where it is used)
    """A binary stream to ``path``; standard output when that is empty or ``-``. A failure leaves no file behind.

    ``flag``: what stands before the path on the command line, for errors.
    """

    def __init__(self, path: str, flag: str = "--output ") -> None:
        self._path = path
        self._flag = flag
        self._place = ""
        self._temporary = ""
        self._stream: BinaryIO | None = None

    def __enter__(self) -> BinaryIO:
        if not self._path or self._path == "-":
            return _standard_output()
        place, descriptor = _resolve(self._path)
        if descriptor == 1:
            return _standard_output()
        try:
            if descriptor >= 0:
                self._stream = os.fdopen(os.dup(descriptor), "wb")
            elif _written_through(place):
                # Neither O_CREAT nor O_TRUNC: it is there, and it is not a file.
                self._stream = os.fdopen(os.open(place, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC), "wb")
            else:
                if os.path.isdir(place):
                    raise InvalidInput(f"{self._flag}{self._path}: is a directory")
                self._stream = self._open(place)
        except OSError as error:
            raise _unwritable(f"{self._flag}{self._path}", error) from None
        return self._stream

    def _open(self, place: str) -> BinaryIO:
        try:
            flags = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
            stream = os.fdopen(os.open(os.path.dirname(place) or ".", flags, 0o666), "wb")
        except OSError as error:
            if error.errno not in _NAMELESS:
                raise
            temporary = f"{place}.{os.getpid()}.part"
            stream = open(temporary, "xb")
            self._temporary = temporary
        self._path, self._place = place, place
        return stream

    def _name(self) -> None:
        """Give the whole file its name, or one beside it to be renamed from, where there is one already."""
        assert self._stream is not None
        self._stream.flush()
        fd = f"/proc/self/fd/{self._stream.fileno()}"
        for name in (self._place, f"{self._place}.{os.getpid()}.part"):
            # With a directory's descriptor it is linkat(2), which can follow that link.
            directory = os.open(os.path.dirname(name) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.link(fd, os.path.basename(name), dst_dir_fd=directory, follow_symlinks=True)
            except FileExistsError:
                continue
            finally:
                os.close(directory)
            self._temporary = "" if name == self._place else name
            return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def __exit__(self, kind: object, *_: object) -> None:
        if self._stream is None:
            if kind is None:
                sys.stdout.buffer.flush()
            return
        done = False
        try:
            try:
                if kind is None and self._place and not self._temporary:
                    self._name()
                self._stream.close()
            except OSError:
                # The last bytes did not fit. A failure on the way is the one to tell.
                if kind is None:
                    raise
            if kind is None and self._temporary:
                if _written_through(self._path):
                    raise InvalidInput(
                        f"{self._flag}{self._path}: became something else than a file meanwhile"
                    )
                os.replace(self._temporary, self._path)
                done = True
        except OSError as error:
            raise _unwritable(f"{self._flag}{self._path}", error) from None
        finally:
            if self._temporary and not done:
                os.unlink(self._temporary)


def _standard_output() -> BinaryIO:
    if os.isatty(1):
        raise InvalidInput("standard output is a terminal", hint="use --output FILE, or redirect it")
    return sys.stdout.buffer


def _resolve(path: str) -> tuple[str, int]:
    """What the links at ``path`` lead to, and our descriptor where they name one (else -1).

    A link that is followed keeps its name: what it points at is replaced, as ``cp`` and a shell's ``>`` do.
    """
    import re

    place = path
    for _ in range(_LINKS):
        directory = os.path.realpath(os.path.dirname(place) or ".")
        place = os.path.join(directory, os.path.basename(place))
        own = re.fullmatch(_OWN, place)
        if own is not None and directory.startswith((f"/proc/{os.getpid()}/", "/proc/self/")):
            return place, int(own[1])
        if own is not None or not os.path.islink(place):
            return place, -1
        place = os.path.join(directory, os.readlink(place))
    raise InvalidInput(f"{path}: too many levels of symbolic links")


def _written_through(place: str) -> bool:
    try:
        there = os.stat(place)
    except OSError:
        return False
    return not (stat.S_ISREG(there.st_mode) or stat.S_ISDIR(there.st_mode))


def _unwritable(what: str, error: OSError) -> LadingError:
    return LadingError(f"{what}: {error.strerror or error}", reason="io")
