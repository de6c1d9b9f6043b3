"""Unpacking one layer into a directory: a security boundary.

The archive comes from a stranger and we may be root. The rules that keep every entry inside its root:

* Nothing is ever named by a path from the root of the host. Each operation names one last component relative to an open
  directory, and directories are opened component by component with ``O_NOFOLLOW`` from the layer's own root.
* A symbolic link met on the way is resolved by us, inside the layer, with ``..`` stopping at its root (as a chroot would).
* The last component is never followed: what is in the way is removed, then the entry is made with ``O_EXCL``.
* Names with ``..``, whiteouts of ``..``, overlayfs's own extended attributes, and hard links to outside are refused.

What a layer says about the layers below it is stored in overlayfs's terms: a whiteout is a character device 0/0, an
opaque directory carries ``trusted.overlay.opaque`` (and ``user.overlay.opaque``, for mounts in a user namespace).
Sources: OCI image-spec layer.md; Linux Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat

from lading.errors import Exhausted, InvalidInput, LadingError
from lading.images.files import disk_error, remove_at
from lading.images.limits import Limits
from lading.images.rooted import RootedReader, bad_link, through_link, twice
from lading.images.tarentry import BLOCK, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, Entry, show
from lading.images.tarread import TarReader
from lading.images.unpack_attributes import Attributes
from lading.images.unpacked import (
    Unpacked,
    hostile,
    make_mark,
    mark_opaque,
    umask,
)
from lading.kernel import userns

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORIES = 100
_OPEN_ON_THE_WAY = 16
_SYMLINK_DEPTH = 40
_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."
_NO_WHITEOUTS = (errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_CHECK_SPACE_EVERY = 32 << 20
_MOST_LOOKED_AT = 100_000_000  # names, in all; some ten seconds


class Extractor:
    """Writes the entries of one layer below the open directory ``root``. Use once, then :meth:`close`."""

    def __init__(
        self,
        root: int,
        *,
        limits: Limits | None = None,
        keep_owner: bool | None = None,
        differences: bool = True,
    ) -> None:
        """``keep_owner``: give files their owners (default: when we are root, here or in a user namespace).

        ``differences``: the archive is a layer that speaks of those below it. Without, it is as :mod:`lading.images.rooted`
        has it: no whiteouts, nothing twice, nothing through a link.
        """
        self._root = root
        self._differences = differences  # names may come again, and what is in the way goes
        self._deletes = differences  # whiteouts mean what they mean in layers
        self._limits = limits or Limits()
        self._uid = os.geteuid()
        self._gid = os.getegid()
        if keep_owner is None:
            keep_owner = self._uid == 0 and userns.has_range()
        self._give = Attributes(keep_owner)
        self._masked = 0o7000 | umask()
        self._fds: dict[bytes, int] = {}
        self._dirs: dict[bytes, Entry | None] = {b"": None}
        self._opaque: set[bytes] = set()
        self._whiteouts: set[bytes] = set()
        self._marks = False
        self._links: dict[bytes, bytes] = {}
        self._aliases: dict[bytes, bytes] = {}
        self._entries = 0
        self._looked = 0
        self._size = 0
        self._next_space_check = _CHECK_SPACE_EVERY

    def close(self) -> None:
        """Close every directory opened on the way."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def extract(self, reader: TarReader | RootedReader) -> Unpacked:
        """Write everything ``reader`` yields, then directory attributes.

        Raises :class:`InvalidInput` (reason ``hostile-archive``), :class:`Corrupt`, :class:`Unsupported`,
        :class:`Exhausted` (reasons ``disk-full``, ``too-large``, ``too-many``). The caller removes the directory then.
        """
        entry = None
        try:
            while (entry := reader.next()) is not None:
                self._one(entry, reader)
            entry = None
            self._finish_directories()
            return self._result()
        except OSError as error:
            where = f"cannot unpack {show(entry.name)}" if entry else "cannot unpack the archive"
            if error.errno == errno.ENAMETOOLONG:
                raise InvalidInput(f"{where}: the name is too long", reason="hostile-archive") from None
            raise disk_error(error, where) from None

    def _one(self, entry: Entry, reader: TarReader | RootedReader) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise Exhausted(f"the archive has more than {self._limits.entries} entries", reason="too-many")
        if len(self._fds) > _OPEN_DIRECTORIES:
            self.close()
        name = entry.name
        if name[:2] == b"./":
            name = name[2:]
        if name[-1:] == b"/":
            name = name[:-1]
        if b"/." in name or b"//" in name or name[:1] in (b"/", b".", b""):
            name = self._normal(entry.name)
        elif len(name) > self._limits.path:
            raise hostile(f"{show(name)}: the name is longer than {self._limits.path} bytes")
        parent, _, base = name.rpartition(b"/")
        directory = self._fds.get(parent)
        if directory is None:
            if not base:
                return self._directory_entry(entry, b"", b"", b"")
            directory, parent = self._parent(parent)
            name = parent + b"/" + base if parent else base
        elif self._aliases and parent in self._aliases:
            parent = self._aliases[parent]
            name = parent + b"/" + base if parent else base
        kind = entry.kind
        if base[:4] == _WHITEOUT and self._deletes:
            self._whiteout(directory, parent, base)
        elif kind == REGULAR:
            self._file(entry, reader, directory, name, base)
        elif kind == DIRECTORY:
            self._directory_entry(entry, name, parent, base)
        elif kind == SYMLINK:
            self._symlink(entry, directory, name, base)
        elif kind == HARDLINK:
            self._hardlink(entry, directory, name, base)
        else:
            self._node(entry, directory, name, base)
        return None

    def _normal(self, name: bytes) -> bytes:
        """Without empty and ``.`` components; absolute names are taken from the layer's root, as every unpacker does."""
        parts = []
        for part in name.split(b"/"):
            if part == b"..":
                raise hostile(f"{show(name)}: the name leaves its directory")
            if part and part != b".":
                parts.append(part)
        made = b"/".join(parts)
        if len(made) > self._limits.path:
            raise hostile(f"{show(name)}: the name is longer than {self._limits.path} bytes")
        return made

    # --- directories on the way -------------------------------------------------------------------------------------

    def _parent(self, path: bytes, *, create: bool = True) -> tuple[int, bytes]:
        """An open descriptor of the directory ``path``, and its real name when links lead elsewhere.

        Raises :class:`FileNotFoundError` without ``create``.
        """
        if not path:
            if b"" not in self._fds:
                self._fds[b""] = os.dup(self._root)
            return self._fds[b""], b""
        found = self._fds.get(path)
        if found is not None:
            return found, self._aliases.get(path, path)
        above, _, last = path.rpartition(b"/")
        if above in self._fds and (above not in self._aliases):
            # The usual case: the directory above is open already.
            try:
                fd = os.open(last, _DIRECTORY_FLAGS, dir_fd=self._fds[above])
                self._fds[path] = fd
                return fd, path
            except OSError:
                pass
        return self._walk(path, create)

    def _walk(self, path: bytes, create: bool) -> tuple[int, bytes]:
        """Step from the root through ``path``, following links inside the layer only."""
        todo = path.split(b"/")
        todo.reverse()
        stack: list[tuple[bytes, int]] = [(b"", os.dup(self._root))]
        closed = 1  # entries of the stack from 1 up to here have lent their descriptor to deeper ones
        followed = 0
        try:
            while todo:
                part = todo.pop()
                if not part or part == b".":
                    continue
                if part == b"..":
                    if len(stack) > 1:
                        os.close(stack.pop()[1])
                        if stack[-1][1] < 0:
                            stack[-1] = (stack[-1][0], self._reopen(stack[-1][0]))
                            closed = len(stack) - 1
                    continue
                real, fd = stack[-1]
                name = real + b"/" + part if real else part
                try:
                    child = os.open(part, _DIRECTORY_FLAGS, dir_fd=fd)
                except FileNotFoundError:
                    if not create:
                        raise
                    child = self._implicit(fd, name, part)
                except OSError as error:
                    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                        raise
                    if not self._differences:
                        raise through_link(path) from None
                    link = self._readlink(fd, part)
                    if link is None:
                        if not create:
                            raise FileNotFoundError(errno.ENOENT, "not a directory") from None
                        # A file, or a whiteout, stands where a directory is needed: the later entry wins.
                        self._clear(fd, name, part)
                        child = self._implicit(fd, name, part)
                    else:
                        followed += 1
                        if followed > _SYMLINK_DEPTH:
                            raise hostile(f"{show(path)}: too many symbolic links on the way") from None
                        if link[:1] == b"/":
                            for _, open_fd in stack[closed:]:
                                os.close(open_fd)
                            del stack[1:]
                            closed = 1
                        todo.extend(reversed(link.split(b"/")))
                        if len(todo) > 4096:
                            raise hostile(f"{show(path)}: symbolic links make the name too long") from None
                        continue
                stack.append((name, child))
                if len(stack) - closed > _OPEN_ON_THE_WAY:
                    os.close(stack[closed][1])
                    stack[closed] = (stack[closed][0], -1)
                    closed += 1
            real, fd = stack.pop()
        finally:
            for _, open_fd in stack:
                if open_fd >= 0:
                    os.close(open_fd)
        if real != path:
            self._aliases[path] = real
        old = self._fds.pop(path, None)
        if old is not None:
            os.close(old)
        self._fds[path] = fd
        return fd, real

    def _reopen(self, name: bytes) -> int:
        """Step from the root down real directories again."""
        fd = os.dup(self._root)
        for part in name.split(b"/"):
            try:
                child = os.open(part, _DIRECTORY_FLAGS, dir_fd=fd)
            finally:
                os.close(fd)
            fd = child
        return fd

    def _implicit(self, fd: int, name: bytes, part: bytes) -> int:
        if part[:4] == _WHITEOUT and self._deletes:
            raise hostile(f"{show(name)}: a directory has a whiteout's name")
        os.mkdir(part, 0o700, dir_fd=fd)
        self._dirs[name] = None
        if name in self._whiteouts:
            self._whiteouts.discard(name)
            self._opaque.add(name)
        return os.open(part, _DIRECTORY_FLAGS, dir_fd=fd)

    @staticmethod
    def _readlink(fd: int, part: bytes) -> bytes | None:
        try:
            return os.readlink(part, dir_fd=fd)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            raise

    def _clear(self, directory: int, name: bytes, base: bytes) -> None:
        """Remove what stands at ``name``, and forget what was known about it and below it."""
        below = name + b"/"
        if name in self._dirs:
            # Each replaced directory costs a look at all names: an archive that does nothing else must end.
            self._looked += len(self._dirs) + len(self._links) + len(self._opaque) + len(self._whiteouts)
            if self._looked > _MOST_LOOKED_AT:
                raise Exhausted("the archive replaces too many directories", reason="too-many")
            for known in (self._dirs, self._links):
                for path in [p for p in known if p == name or p.startswith(below)]:
                    del known[path]
            for paths in (self._opaque, self._whiteouts):
                for path in [p for p in paths if p.startswith(below)]:
                    paths.discard(path)
            self._opaque.discard(name)
        # Links elsewhere may lead through it, so every open directory is looked up anew.
        self.close()
        self._aliases.clear()
        remove_at(directory, base)

    def _make_room(self, name: bytes, base: bytes) -> int:
        """Remove what is in the way of ``name``; the directory's descriptor, opened again."""
        if not self._differences:
            raise twice(name)
        parent = name.rpartition(b"/")[0]
        fd, _ = self._parent(parent)
        kept = os.dup(fd)
        try:
            self._clear(kept, name, base)
        finally:
            os.close(kept)
        return self._parent(parent)[0]

    # --- entries ----------------------------------------------------------------------------------------------------

    def _file(
        self, entry: Entry, reader: TarReader | RootedReader, directory: int, name: bytes, base: bytes
    ) -> None:
        stored = entry.stored
        size = self._size = self._size + stored
        if size > self._limits.bytes or entry.size > self._limits.bytes:
            raise Exhausted(
                f"{show(name)}: the archive unpacks to more than {self._limits.bytes} bytes",
                reason="too-large",
            )
        if size >= self._next_space_check:
            self._check_space(size)
        try:
            fd = os.open(base, _CREATE_FLAGS, entry.mode & 0o777 | 0o200, dir_fd=directory)
        except FileExistsError:
            directory = self._make_room(name, base)
            self._whiteouts.discard(name)
            fd = os.open(base, _CREATE_FLAGS, entry.mode & 0o777 | 0o200, dir_fd=directory)
        try:
            if entry.sparse is not None:
                self._sparse(fd, entry, reader)
            elif stored:
                data = reader.whole()
                if data is None or os.write(fd, data) != stored:
                    self._large(fd, reader, data)
            if entry.uid != self._uid or entry.gid != self._gid:
                self._give.owner(entry, fd)
            if entry.mode & self._masked or not entry.mode & 0o200:
                os.fchmod(fd, entry.mode)
            if entry.xattrs:
                self._give.xattrs(entry, fd)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    @staticmethod
    def _large(fd: int, reader: TarReader | RootedReader, data: bytes | None) -> None:
        if data is not None:
            # A short write: begin again and insist.
            os.lseek(fd, 0, os.SEEK_SET)
            pieces = iter((memoryview(data),))
        else:
            pieces = reader.data()
        for piece in pieces:
            while piece:
                piece = piece[os.write(fd, piece) :]

    def _sparse(self, fd: int, entry: Entry, reader: TarReader | RootedReader) -> None:
        os.ftruncate(fd, entry.size)
        parts = iter(entry.sparse or ())
        offset = left = 0
        for piece in reader.data():
            while piece:
                while not left:
                    offset, left = next(parts)
                done = os.pwrite(fd, piece[:left], offset)
                offset += done
                left -= done
                piece = piece[done:]

    def _directory_entry(self, entry: Entry, name: bytes, parent: bytes, base: bytes) -> None:
        if name:
            directory = self._parent(parent)[0]
            try:
                os.mkdir(base, 0o700, dir_fd=directory)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(base, dir_fd=directory, follow_symlinks=False).st_mode):
                    directory = self._make_room(name, base)
                    os.mkdir(base, 0o700, dir_fd=directory)
            if name in self._whiteouts:
                self._whiteouts.discard(name)
                self._opaque.add(name)
        if not self._differences and self._dirs.get(name) is not None:
            raise twice(name or b"rootfs")
        self._dirs[name] = entry

    def _symlink(self, entry: Entry, directory: int, name: bytes, base: bytes) -> None:
        target = entry.linkname
        if not target or len(target) > self._limits.path:
            raise hostile(f"{show(name)}: the symbolic link's target is empty or too long")
        try:
            os.symlink(target, base, dir_fd=directory)
        except FileExistsError:
            directory = self._make_room(name, base)
            self._whiteouts.discard(name)
            os.symlink(target, base, dir_fd=directory)
        self._give.unopened(entry, directory, base)

    def _hardlink(self, entry: Entry, directory: int, name: bytes, base: bytes) -> None:
        target = self._normal(entry.linkname)
        if not target:
            raise hostile(f"{show(name)}: the hard link has no target")
        above, _, last = target.rpartition(b"/")
        try:
            source, above = self._parent(above, create=False)
        except FileNotFoundError:
            self._outside_link(name, target, directory, base)
            return
        target = above + b"/" + last if above else last
        if target == name and self._differences:
            return
        if target in self._whiteouts:
            raise hostile(f"{show(name)}: the hard link's target {show(target)} is deleted by this layer")
        if last[:4] == _WHITEOUT and self._deletes:
            raise hostile(f"{show(name)}: the hard link's target {show(target)} is a whiteout")
        try:
            self._link(source, last, directory, base)
        except FileNotFoundError:
            self._outside_link(name, target, directory, base)
        except FileExistsError:
            directory = self._make_room(name, base)
            self._whiteouts.discard(name)
            try:
                self._link(self._parent(above, create=False)[0], last, directory, base)
            except FileNotFoundError:
                self._outside_link(name, target, directory, base)

    @staticmethod
    def _link(source: int, last: bytes, directory: int, base: bytes) -> None:
        try:
            os.link(last, base, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        except PermissionError:
            if stat.S_ISDIR(os.stat(last, dir_fd=source, follow_symlinks=False).st_mode):
                raise hostile(f"{show(base)}: a hard link to a directory") from None
            raise

    def _outside_link(self, name: bytes, target: bytes, directory: int, base: bytes) -> None:
        """The target is in a layer below: whoever stacks the layers makes the link."""
        if not self._deletes:
            raise bad_link(name, target)
        try:
            os.stat(base, dir_fd=directory, follow_symlinks=False)
            self._make_room(name, base)
        except FileNotFoundError:
            pass
        self._links[name] = target

    def _node(self, entry: Entry, directory: int, name: bytes, base: bytes) -> None:
        kinds = {CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK, FIFO: stat.S_IFIFO}
        mode = kinds[entry.kind] | 0o600
        major, minor = entry.device
        if major >= 1 << 12 or minor >= 1 << 20:
            raise InvalidInput(f"{show(name)}: the device {major}:{minor} does not exist on Linux")
        device = os.makedev(major, minor)
        try:
            os.stat(base, dir_fd=directory, follow_symlinks=False)
            directory = self._make_room(name, base)
            self._whiteouts.discard(name)
        except FileNotFoundError:
            pass
        try:
            os.mknod(base, mode, device, dir_fd=directory)
        except PermissionError:
            if entry.kind == FIFO:
                raise
            self._give.note("device nodes cannot be made in a user namespace and were left out")
            return
        if entry.kind == CHARACTER and not device:
            self._whiteouts.add(name)
            return
        self._give.unopened(entry, directory, base)

    def _whiteout(self, directory: int, parent: bytes, base: bytes) -> None:
        if base == _OPAQUE:
            self._opaque.add(parent)
            return
        if base.startswith(_AUFS):
            return  # aufs's own bookkeeping: it hides nothing
        hidden = base[4:]
        if hidden in (b"", b".", b".."):
            raise hostile(f"{show(parent + b'/' + base)}: a whiteout of nothing")
        name = parent + b"/" + hidden if parent else hidden
        try:
            os.mknod(hidden, stat.S_IFCHR | 0o600, 0, dir_fd=directory)
        except FileExistsError:
            # A whiteout hides layers below, never its own: what is here stays, alone.
            if name in self._dirs:
                self._opaque.add(name)
            return
        except OSError as error:
            # Below overlayfs, for one, nobody can make a whiteout.
            if error.errno not in _NO_WHITEOUTS:
                raise
            make_mark(directory, base)
            self._marks = True
            return
        self._whiteouts.add(name)

    # --- at the end ---------------------------------------------------------------------------------------------------

    def _finish_directories(self) -> None:
        """Owners, modes, attributes and times of directories, after everything below them has been written."""
        for name, entry in reversed(list(self._dirs.items())):
            if len(self._fds) > _OPEN_DIRECTORIES:
                self.close()
            fd, real = self._parent(name, create=False)
            if real != name:
                raise LadingError(f"{show(name)}: the layer changed while it was unpacked")
            if name in self._opaque:
                self._marks |= mark_opaque(fd, self._uid)
            if entry is None:
                self._unsaid(fd, name)
                continue
            if entry.uid != self._uid or entry.gid != self._gid:
                self._give.owner(entry, fd)
            if entry.xattrs:
                self._give.xattrs(entry, fd)
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime, entry.mtime))

    def _unsaid(self, fd: int, name: bytes) -> None:
        """Attributes of a directory that the archive does not speak of."""
        os.fchmod(fd, 0o755)
        os.utime(fd, ns=(0, 0))

    def _check_space(self, size: int) -> None:
        self._next_space_check = size + _CHECK_SPACE_EVERY
        there = os.fstatvfs(self._root)
        if there.f_bavail * there.f_frsize < self._limits.reserve:
            raise Exhausted(
                f"cannot unpack: less than {self._limits.reserve >> 20} MiB are left on the disk",
                hint="free some space, for example with `lading system prune`",
                reason="disk-full",
            )

    def _result(self) -> Unpacked:
        made = Unpacked()
        made.entries = self._entries
        made.size = self._size
        made.implicit = sorted(n for n, e in self._dirs.items() if e is None and n not in self._opaque)
        made.links = [(n, t) for n, t in self._links.items() if not self._exists(n)]
        made.marks = self._marks
        made.notes = [
            f"{text} ({count} times)" if count > 1 else text for text, count in self._give.notes.items()
        ]
        return made

    def _exists(self, name: bytes) -> bool:
        above, _, last = name.rpartition(b"/")
        try:
            os.stat(last, dir_fd=self._parent(above, create=False)[0], follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True
