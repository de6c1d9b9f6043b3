"""From directories to tar: a container's changes as a layer, or everything it sees as one flat archive.

Deterministic: names sorted, hard links to the first name, holes kept, and no trace of the machine but what files say.
"""

from __future__ import annotations

import errno
import os
import stat

from lading.errors import LadingError, Unsupported
from lading.images import union
from lading.images.changes import mounted_over
from lading.images.files import disk_error
from lading.images.tarentry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARDLINK,
    REGULAR,
    SYMLINK,
    Entry,
    show,
)
from lading.images.tarwrite import TarWriter
from lading.images.unpacked import OWNER_XATTR
from lading.kernel.paths import open_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Owner = Callable[[int, int], tuple[int, int]]

_CHUNK = 1 << 20
_KINDS = {
    stat.S_IFREG: REGULAR,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
}


def owner_on_disk() -> Owner:
    """How owners on disk become owners in an archive: themselves for root, the user's own range for anybody else."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        return lambda u, g: (u, g)
    from lading.kernel.idmap import granted

    uids, gids = granted(uid)

    def inside(number: int, own: int, ranges: list[tuple[int, int]]) -> int:
        if number == own:
            return 0
        first = 1
        for start, count in ranges:
            if start <= number < start + count:
                return first + number - start
            first += count
        return 65534

    return lambda u, g: (inside(u, uid, uids), inside(g, gid, gids))


class Times:
    """Times of an archive's files: none after ``latest`` (nanoseconds since 1970); with ``exact`` all of them then."""

    __slots__ = ("exact", "latest")

    def __init__(self, latest: int, *, exact: bool = False) -> None:
        self.latest = latest
        self.exact = exact

    def of(self, mtime: int) -> int:
        """The time that the archive tells."""
        return self.latest if self.exact else min(mtime, self.latest)


class Packer:
    """Writes files of the host into ``tar`` under names of the archive.

    ``holes``: which files have holes, and where their data is, from a :class:`~lading.images.unpacked.Tar`; None: look. What was
    found is in the attribute of this name.
    """

    def __init__(
        self,
        tar: TarWriter,
        *,
        owner: Owner | None = None,
        times: Times | None = None,
        holes: Mapping[bytes, list[tuple[int, int]]] | None = None,
    ) -> None:
        self._tar = tar
        self._given = holes
        self.holes: dict[bytes, list[tuple[int, int]]] = {}
        self._times = times
        self._owner = owner or owner_on_disk()
        self._links: dict[tuple[int, int], bytes] = {}
        self.skipped: list[str] = []  # sockets: archives have no form for them

    def add(
        self, name: bytes, path: bytes, there: os.stat_result, attributes: Sequence[str] | None = None
    ) -> bool:
        """Add what is at ``path`` as ``name``; False for what an archive cannot hold.

        A file that changes meanwhile is kept to the size it had at first. ``attributes``: the names of its extended attributes.
        """
        kind = _KINDS.get(stat.S_IFMT(there.st_mode))
        if kind is None:
            self.skipped.append(show(name))
            return False
        uid, gid = self._owner(there.st_uid, there.st_gid)
        mtime = there.st_mtime_ns if self._times is None else self._times.of(there.st_mtime_ns)
        entry = Entry(name, kind, mode=stat.S_IMODE(there.st_mode), uid=uid, gid=gid, mtime=mtime)
        try:
            if kind != DIRECTORY and there.st_nlink > 1:
                first = self._links.setdefault((there.st_dev, there.st_ino), name)
                if first != name:
                    entry.kind, entry.linkname = HARDLINK, first
                    self._tar.add(entry)
                    return True
            if attributes is None:
                attributes = union.attributes(path)
            if attributes:
                self._recorded_owner(entry, path, kind)
                entry.xattrs = union.xattrs(path, attributes)
            if kind == SYMLINK:
                entry.mode = 0o777
                entry.linkname = os.readlink(path)
            elif kind in (CHARACTER, BLOCK):
                entry.device = (os.major(there.st_rdev), os.minor(there.st_rdev))
            for key in entry.xattrs or ():
                if b"=" in key:
                    raise Unsupported(
                        f"{show(name)}: an archive cannot hold the extended attribute {show(key)}: its name has a '='",
                        hint="remove it with setfattr -x",
                    )
            if kind == REGULAR:
                self._file(entry, path)
            else:
                self._tar.add(entry)
        except OSError as error:
            written = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EPIPE)  # nothing that is read says so
            raise disk_error(
                error, "cannot write the archive" if written else f"cannot read {show(name)}"
            ) from None
        return True

    @staticmethod
    def _recorded_owner(entry: Entry, path: bytes, kind: int) -> None:
        if kind not in (REGULAR, DIRECTORY):
            return
        try:
            uid, _, gid = os.getxattr(path, OWNER_XATTR, follow_symlinks=False).partition(b":")
            entry.uid, entry.gid = int(uid), int(gid)
        except (OSError, ValueError):
            pass

    def _file(self, entry: Entry, path: bytes) -> None:
        try:
            fd = open_plain(path)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ELOOP):
                raise LadingError(f"{show(entry.name)} changed while it was read", reason="changed") from None
            raise
        try:
            there = os.fstat(fd)
            entry.size = entry.stored = there.st_size
            if self._given is not None:
                entry.sparse = self._given.get(entry.name)
            elif there.st_blocks * 512 < there.st_size:
                entry.sparse = holes(fd, there.st_size)
            if entry.sparse is not None:
                self.holes[entry.name] = entry.sparse
                entry.stored = sum(length for _, length in entry.sparse)
            self._tar.add(entry)
            for offset, length in entry.sparse if entry.sparse is not None else ((0, there.st_size),):
                self._copy(fd, offset, length)
        finally:
            os.close(fd)

    def _copy(self, fd: int, offset: int, length: int) -> None:
        while length:
            data = os.pread(fd, min(_CHUNK, length), offset)
            if not data:
                data = bytes(min(_CHUNK, length))  # it shrank: the archive keeps its promise
            self._tar.data(data)
            offset += len(data)
            length -= len(data)


def holes(fd: int, size: int) -> list[tuple[int, int]] | None:
    """Where a file has data; None when it has no holes worth the trouble."""
    parts: list[tuple[int, int]] = []
    position = 0
    try:
        while position < size:
            try:
                start = os.lseek(fd, position, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            stop = min(os.lseek(fd, start, os.SEEK_HOLE), size)
            if stop <= start:
                break
            parts.append((start, stop - start))
            position = stop
    except OSError:
        return None
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
    return None if parts == [(0, size)] else parts


def pack_changes(
    upper: str,
    out: Callable[[bytes], object],
    *,
    owner: Owner | None = None,
    lower: Sequence[str] = (),
    times: Times | None = None,
) -> list[str]:
    """A container's writable layer as the tar of an image layer: whiteouts in the archive's form. Names left out are returned.

    ``lower`` are the layers below it: mount points that only the runtime made then stay out.

    Source: OCI image-spec, layer.md, "Representing Changes".
    """
    return packed_changes(upper, out, owner=owner, lower=lower, times=times).skipped


class Packed:
    """What came into an archive: ``kept``, the names on disk, each with its file's size; ``skipped``, what was left out.

    ``size``: bytes of the archive; ``holes``: as :class:`Packer` found them.
    """

    __slots__ = ("holes", "kept", "size", "skipped")

    def __init__(self, kept: dict[bytes, int], packer: Packer, tar: TarWriter) -> None:
        self.kept = kept
        self.skipped = packer.skipped
        self.holes = packer.holes
        self.size = tar.size


def packed_changes(
    upper: str,
    out: Callable[[bytes], object],
    *,
    owner: Owner | None = None,
    lower: Sequence[str] = (),
    times: Times | None = None,
    holes: Mapping[bytes, list[tuple[int, int]]] | None = None,
    told: bool = False,
) -> Packed:
    """As :func:`pack_changes`, with all that is to be known of it.

    ``told``: the archive speaks of the root directory itself. ``holes``: as :class:`Packer` wants them.
    """
    tar = TarWriter(out)
    packer = Packer(tar, owner=owner, times=times, holes=holes)
    root = os.fsencode(upper)
    if told:
        packer.add(b"./", root, os.lstat(root))
    hidden = mounted_over(upper, lower)
    kept: dict[bytes, int] = {}
    pending: list[tuple[bytes, bytes]] = [(b"", root)]
    while pending:
        name, path = pending.pop()
        below = []
        if name and union.is_opaque(path):
            tar.add(Entry(name + b"/.wh..wh..opq", mode=0o600))
        for entry in sorted(os.listdir(path)):
            here = path + b"/" + entry
            there = os.lstat(here)
            inner = name + b"/" + entry if name else entry
            if b"/" + inner in hidden:
                continue
            if entry.startswith(b".wh."):
                raise Unsupported(
                    f"{show(inner)}: a file whose name begins with .wh. cannot be in a layer",
                    hint="rename it in the container",
                )
            if union.is_whiteout(there):
                kept[inner] = 0
                tar.add(Entry(name + b"/.wh." + entry if name else b".wh." + entry, mode=0o600))
                continue
            attributes = union.attributes(here)
            if stat.S_ISDIR(there.st_mode):
                if attributes:
                    union.refuse_redirect(here)
                below.append((inner, here))
            elif attributes:
                union.refuse_metacopy(here, there)
            if packer.add(inner, here, there, attributes):
                kept[inner] = there.st_size if stat.S_ISREG(there.st_mode) else 0
        pending.extend(reversed(below))
    tar.close()
    return Packed(kept, packer, tar)


def pack_union(
    directories: Sequence[str], out: Callable[[bytes], object], *, owner: Owner | None = None
) -> list[str]:
    """Everything the union of ``directories`` (top-most first) shows, as a flat tar. Names left out are returned."""
    tar = TarWriter(out)
    packer = Packer(tar, owner=owner)
    for node in union.walk(directories):
        packer.add(node.name, node.path, node.there)
    tar.close()
    return packer.skipped
