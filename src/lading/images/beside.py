"""A directory that a user names, made beside its place, so that it appears whole or not at all, and leaves nothing.

It is made in ``NAME.lading-unfinished-XXXXXX``, a directory that its maker holds a lock on (flock(2)): who finds one unlocked
knows that its maker was killed, and removes it. That is done by the next command that makes a directory in the same place.
::

    NAME.lading-unfinished-XXXXXX/new    what is being made, and what was replaced until it is removed
    NAME.lading-unfinished-XXXXXX/old    what was replaced, where the file system cannot exchange two names
    NAME.lading-unfinished-XXXXXX/of     then: a link that says how it was called
"""

from __future__ import annotations

import errno
import os
import re

from lading.errors import InvalidInput, KernelError
from lading.images.files import disk_error, remove_at, remove_tree, try_lock
from lading.kernel import Kernel
from lading.kernel.mounts import unescape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 180
_UNFINISHED = re.compile(rb".+\.lading-unfinished-[0-9a-f]{12}", re.DOTALL)
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EPERM)


class Making:
    """A context manager: ``path`` is where to make the directory, which is there and empty.

    With ``overwrite`` it takes the place of a directory that is there, in one step where the file system can.
    Raises :class:`InvalidInput` for one that is there otherwise, for what is no directory or not called by its name, and for one
    that is more than its user's: of the machine itself, where others write as well, or where something is mounted in.
    """

    def __init__(self, directory: str, *, overwrite: bool = False) -> None:
        self._said = directory.rstrip("/") or "/"
        self._final = os.path.join(os.getcwd(), self._said)
        self._overwrite = overwrite
        self._wrapper = ""
        self._fd = -1
        self.path = ""

    def __enter__(self) -> Making:
        final, said = self._final, self._said
        if os.path.basename(final) in (".", ".."):  # no name that anything could be given (rename(2), EBUSY)
            raise InvalidInput(f"{said} is no name of a directory", hint="write out how it is called")
        if os.path.lexists(final):
            if not self._overwrite:
                raise InvalidInput(f"{said} is there already", hint="name a new directory")
            if os.path.islink(final) or not os.path.isdir(final):
                raise InvalidInput(f"{said} is no directory", hint="name one, or a new one")
            _refuse_precious(final, said)
        try:
            finish_others(os.path.dirname(final))
            self._take()
            self.path = f"{self._wrapper}/new"
            os.mkdir(self.path, 0o755)
        except OSError as error:
            self._leave()
            raise disk_error(error, f"cannot make {said}") from None
        return self

    def _take(self) -> None:
        place, name = os.path.split(self._final)
        front = os.fsdecode(os.fsencode(name)[:_LONGEST])
        while True:
            self._wrapper = os.path.join(place, f"{front}.lading-unfinished-{os.urandom(6).hex()}")
            os.mkdir(self._wrapper, 0o700)
            # Between the two somebody may have taken it for a dead one's.
            try:
                self._fd = os.open(self._wrapper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if try_lock(self._fd) and os.path.exists(self._wrapper):
                return
            os.close(self._fd)
            self._fd = -1

    def write_manifest(self, text: bytes) -> None:
        """The file ``manifest`` in it."""
        with open(self.path + "/manifest", "xb") as file:
            file.write(text)

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._put()
        except (OSError, KernelError) as error:
            what = f"cannot make {self._said}"
            if isinstance(error, KernelError):
                error = OSError(error.errno, os.strerror(error.errno))
            raise disk_error(error, what) from None
        finally:
            self._leave()

    def _put(self) -> None:
        if not self._overwrite or not os.path.lexists(self._final):
            _refuse_empty(self._final)
            os.rename(self.path, self._final)
            return
        try:
            Kernel().exchange(self.path, self._final)
            return
        except KernelError as error:
            if error.errno not in _CANNOT:
                raise
        os.symlink(os.path.basename(self._final), f"{self._wrapper}/of")
        os.rename(self._final, f"{self._wrapper}/old")
        try:
            os.rename(self.path, self._final)
        except OSError:
            os.rename(f"{self._wrapper}/old", self._final)
            raise

    def _leave(self) -> None:
        if self._wrapper and self._fd >= 0:
            remove_tree(self._wrapper)
            os.close(self._fd)
            self._fd = -1


def _refuse_precious(final: str, said: str) -> None:
    """Everything in it would go: nobody means that of ``/tmp`` or ``/usr``, and of what is mounted nobody can."""
    real = os.path.realpath(final)
    hint = "name a directory below it"
    if os.path.dirname(real) == "/":
        raise InvalidInput(f"{said} is a directory of the machine, and all that is in it would go", hint=hint)
    found = os.stat(real)
    if found.st_mode & 0o1002:
        raise InvalidInput(f"{said} is for others to write in, too, and all of theirs would go", hint=hint)
    mounted = next((place for place in _mounts() if f"{place}/".startswith(f"{real}/")), "")
    if mounted:
        raise InvalidInput(
            f"{said}: something is mounted at {mounted}", hint="unmount it, or name another directory"
        )


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo") as stream:
        return [unescape(line.split()[4]) for line in stream]


def _refuse_empty(final: str) -> None:
    """rename(2) replaces an empty directory, which somebody may have made meanwhile."""
    if os.path.lexists(final):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), final)


def finish_others(place: str) -> None:
    """Remove what makers who were killed left in the directory ``place``, and put back what one of them had just taken away.

    What cannot be removed stays: it is another user's, or stands on a disk that cannot be written.
    """
    for name in _left(place):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if os.fstat(fd).st_uid != os.geteuid() or not try_lock(fd):
                continue
            _put_back(fd, place)
            parent = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                remove_at(parent, os.path.basename(name))
            finally:
                os.close(parent)
        except OSError:
            continue
        finally:
            os.close(fd)


def _left(place: str) -> Iterator[str]:
    try:
        names = os.listdir(os.fsencode(place))
    except OSError:
        return
    for name in sorted(names):
        if _UNFINISHED.fullmatch(name):
            yield os.path.join(place, os.fsdecode(name))


def _put_back(wrapper: int, place: str) -> None:
    try:
        called = os.readlink("of", dir_fd=wrapper)
    except OSError:
        return
    if called and "/" not in called and not os.path.lexists(os.path.join(place, called)):
        try:
            os.rename("old", os.path.join(place, called), src_dir_fd=wrapper)
        except FileNotFoundError:
            pass


__all__ = ["Making", "finish_others"]
