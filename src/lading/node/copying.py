"""Files of a container from outside: cp, diff, commit, export.

The container's root is a descriptor, of the running container's own root or of an overlay that is attached nowhere, and
every path is resolved inside it by openat2(2): a link in the container, or one swapped in while we look, leads nowhere
else (CVE-2018-15664, CVE-2019-14271). Nothing of the container is executed or loaded.
"""

from __future__ import annotations

import os
import stat as modes
from contextlib import contextmanager

from lading.errors import Exhausted, InvalidInput, KernelError, LadingError, NotFound, Unsupported
from lading.kernel import overlay
from lading.kernel.mounts import MOUNT_ATTR_NOSYMFOLLOW, OPEN_TREE_CLONE
from lading.kernel.paths import make_directory_inside, open_inside, open_plain
from lading.node.engine import engine_of
from lading.node.fileids import Ids
from lading.node.model import RUNNING
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator
    from typing import BinaryIO

    from lading.formats.rootfs import Rootfs
    from lading.images import Image
    from lading.node.model import ContainerRecord, PodRecord
    from lading.node.shop import Shop

_CHUNK = 1 << 20
_O_PATH = os.O_PATH | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40  # as the kernel
_ENXIO, _ENOENT, _ENOTDIR, _ENOSPC, _ELOOP, _EDQUOT = 6, 2, 20, 28, 40, 122


def _target(shop: Shop, reference: str) -> tuple[PodRecord, ContainerRecord]:
    record, container = shop.records.resolve(reference)
    return record, container or record.container


def _rootfs(shop: Shop, record: PodRecord, made: ContainerRecord) -> tuple[Image, Rootfs]:
    image = shop.images.get(made.image_id)
    return image, shop.images.rootfs(image, shop.container_directory(record, made))


class _Root:
    """A container's root as a descriptor; close it. ``ids`` are those of its files."""

    def __init__(self, shop: Shop, reference: str, *, write: bool) -> None:
        self.kernel = shop.kernel
        self.name = reference
        self.ids = Ids(0)
        record, made = _target(shop, reference)
        if alive(made.pid, made.pid_start):
            try:
                self.fd = os.open(f"/proc/{made.pid}/root", _DIRECTORY)
            except OSError:
                if alive(made.pid, made.pid_start):
                    raise
            else:
                # Ended meanwhile, its number may have become a process of the host's, whose root is the host's.
                if alive(made.pid, made.pid_start):
                    self.ids = Ids(record.users)
                    return
                os.close(self.fd)
        _, rootfs = _rootfs(shop, record, made)
        if not rootfs.lower:
            self.fd = os.open(rootfs.upper, _DIRECTORY)
            return
        stack = overlay.Stack(
            rootfs.lower, rootfs.upper, rootfs.work, userxattr=rootfs.userxattr, read_only=not write
        )
        self.fd = overlay.mount_apart(shop.kernel, stack)

    def open(self, path: str, flags: int) -> int:
        """Open below the root. Raises NotFound, KernelError."""
        try:
            return open_inside(self.kernel, self.fd, path, flags)
        except KernelError as error:
            if error.errno in (_ENOENT, _ENOTDIR):
                raise NotFound(
                    f"{self.name}: {path} does not exist in the container", reason="no-path"
                ) from None
            raise

    def parent_of(self, path: str) -> tuple[int, str]:
        """The directory that holds ``path``'s last component, and that component (empty: the root itself)."""
        clean = [part for part in path.split("/") if part not in ("", ".")]
        if not clean or clean[-1] == "..":
            return self.open(path, _O_PATH | os.O_DIRECTORY), ""
        return self.open("/".join(clean[:-1]), _O_PATH | os.O_DIRECTORY), clean[-1]

    def followed(self, path: str) -> str:
        """``path``, or what a link there leads to inside the container, link after link. Raises NotFound, InvalidInput."""
        for _ in range(_MOST_LINKS):
            parent, name = self.parent_of(path)
            try:
                if not name or not modes.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode):
                    return path
                to = os.readlink(name, dir_fd=parent)
            except FileNotFoundError:
                return path
            finally:
                os.close(parent)
            path = to if to.startswith("/") else f"{os.path.dirname(path.rstrip('/'))}/{to}"
        raise InvalidInput(f"{self.name}: {path}: too many symbolic links", reason="loop")

    def close(self) -> None:
        os.close(self.fd)


def stat(shop: Shop, reference: str, path: str, *, follow: bool = False) -> dict[str, object] | None:
    """What is at ``path``, its last component not followed unless asked for."""
    root = _Root(shop, reference, write=False)
    try:
        try:
            parent, name = root.parent_of(root.followed(path) if follow else path)
        except NotFound:
            return None
        try:
            info = os.stat(name, dir_fd=parent, follow_symlinks=False) if name else os.fstat(parent)
            link = os.readlink(name, dir_fd=parent) if modes.S_ISLNK(info.st_mode) else ""
        except FileNotFoundError:
            return None
        finally:
            os.close(parent)
        return {
            "name": name or "/",
            "size": info.st_size,
            "mode": info.st_mode,
            "mtime": info.st_mtime,
            "linkTarget": link,
        }
    finally:
        root.close()


def out(shop: Shop, reference: str, path: str, stream: BinaryIO, *, follow: bool = False) -> None:
    """Write ``path`` as a tar stream; a directory's contents are below its name (``.`` for a path that ends in ``/.``).

    What a followed link leads to has the link's name.
    """
    import tarfile

    root = _Root(shop, reference, write=False)
    try:
        shown = os.path.basename(path.rstrip("/"))
        path = root.followed(path) if follow else path
        parent, name = root.parent_of(path)
        try:
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                if not name or path.endswith("/."):
                    inner = root.open(path, _DIRECTORY)
                    try:
                        _add_directory(archive, inner, shown if follow and shown else ".", {}, root.ids)
                    finally:
                        os.close(inner)
                else:
                    _add(archive, parent, name, shown if follow else name, {}, root.ids)
        except FileNotFoundError:
            raise NotFound(f"{reference}: {path} does not exist in the container", reason="no-path") from None
        finally:
            os.close(parent)
    finally:
        root.close()


def _add(
    archive: tarfile.TarFile, parent: int, name: str, shown: str, links: dict[tuple[int, int], str], ids: Ids
) -> None:
    import tarfile

    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if modes.S_ISDIR(info.st_mode):
        try:
            fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        except OSError:
            return  # replaced while we looked
        try:
            _add_directory(archive, fd, shown, links, ids)
        finally:
            os.close(fd)
        return
    entry = _entry(info, shown, ids)
    key = (info.st_dev, info.st_ino)
    if info.st_nlink > 1 and key in links:
        entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, links[key], 0
    elif modes.S_ISREG(info.st_mode):
        try:
            fd = open_plain(name, dir_fd=parent)
        except OSError as error:
            if error.errno in (_ENXIO, _ELOOP):
                return  # replaced while we looked
            raise
        with open(fd, "rb") as content:
            entry.size = os.fstat(fd).st_size
            links[key] = shown
            archive.addfile(entry, content)
        return
    elif modes.S_ISLNK(info.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=parent)
    elif modes.S_ISCHR(info.st_mode) or modes.S_ISBLK(info.st_mode):
        entry.type = tarfile.CHRTYPE if modes.S_ISCHR(info.st_mode) else tarfile.BLKTYPE
        entry.devmajor, entry.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
    elif modes.S_ISFIFO(info.st_mode):
        entry.type = tarfile.FIFOTYPE
    else:
        return  # sockets have no form in a tar
    links[key] = shown
    archive.addfile(entry)


def _add_directory(
    archive: tarfile.TarFile, fd: int, shown: str, links: dict[tuple[int, int], str], ids: Ids
) -> None:
    import tarfile

    entry = _entry(os.fstat(fd), shown, ids)
    entry.type = tarfile.DIRTYPE
    archive.addfile(entry)
    for name in sorted(os.listdir(fd)):
        try:
            _add(archive, fd, name, f"{shown}/{name}", links, ids)
        except FileNotFoundError:
            continue  # a running container removes files while we read


def _entry(info: os.stat_result, name: str, ids: Ids) -> tarfile.TarInfo:
    import tarfile

    entry = tarfile.TarInfo(name)
    entry.mode = modes.S_IMODE(info.st_mode)
    entry.uid, entry.gid = ids.inside(info.st_uid), ids.inside(info.st_gid)
    entry.mtime = int(info.st_mtime)
    return entry


# -- into the container --------------------------------------------------------------------------------------------


def into(shop: Shop, reference: str, path: str, stream: BinaryIO, *, archive: bool) -> None:
    """Unpack a tar stream below the directory ``path``. Raises NotFound, InvalidInput, Exhausted."""
    import tarfile

    root = _Root(shop, reference, write=True)
    try:
        target = root.open(path, _DIRECTORY)
        try:
            with tarfile.open(fileobj=stream, mode="r|") as source, root.ids.acting(root.kernel):
                for entry in source:
                    _place(root, target, source, entry, owners=archive)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            # Names with NUL, owners and devices beyond what the kernel has: whoever wrote it made no tar of files.
            raise InvalidInput(f"cp to {reference}:{path}: not a tar stream: {error}") from None
        except OSError as error:
            if error.errno in (_ENOSPC, _EDQUOT):
                raise Exhausted(f"cp to {reference}:{path}: the disk is full") from None
            raise LadingError(f"cp to {reference}:{path}: {error.strerror}") from None
        finally:
            os.close(target)
    finally:
        root.close()


def _place(
    root: _Root, target: int, source: tarfile.TarFile, entry: tarfile.TarInfo, *, owners: bool
) -> None:
    parts = [part for part in entry.name.split("/") if part not in ("", ".")]
    if ".." in parts or entry.name.startswith("/"):
        raise InvalidInput(f"tar entry {entry.name!r} leads out of its directory", reason="escape")
    uid, gid = (root.ids.outside(id) for id in ((entry.uid, entry.gid) if owners else (0, 0)))
    if not parts:
        return
    parent = make_directory_inside(root.kernel, target, "/".join(parts[:-1]))
    name = parts[-1]
    try:
        if entry.isdir():
            _place_directory(parent, name, entry.mode & 0o7777, uid, gid)
            return
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            raise InvalidInput(f"cannot replace the directory {entry.name!r} by a file") from None
        if entry.isreg():
            content = source.extractfile(entry)
            assert content is not None
            fd = os.open(
                name,
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
                dir_fd=parent,
            )
            with open(fd, "wb") as file:
                while block := content.read(_CHUNK):
                    file.write(block)
                file.flush()
                os.fchown(fd, uid, gid)
                os.fchmod(fd, entry.mode & 0o7777)
                os.utime(fd, (entry.mtime, entry.mtime))
            return
        if entry.issym():
            os.symlink(entry.linkname, name, dir_fd=parent)
        elif entry.islnk():
            _link(root, target, parent, name, entry.linkname)
            return
        elif entry.ischr() or entry.isblk() or entry.isfifo():
            kind = modes.S_IFCHR if entry.ischr() else modes.S_IFBLK if entry.isblk() else modes.S_IFIFO
            os.mknod(
                name, kind | (entry.mode & 0o7777), os.makedev(entry.devmajor, entry.devminor), dir_fd=parent
            )
        else:
            raise InvalidInput(f"tar entry {entry.name!r} is of a kind that cp does not know")
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def _place_directory(parent: int, name: str, mode: int, uid: int, gid: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not modes.S_ISDIR(info.st_mode) and not modes.S_ISLNK(info.st_mode):
            raise InvalidInput(f"cannot replace the file {name!r} by a directory") from None
        return
    fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        os.fchown(fd, uid, gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def _link(root: _Root, target: int, parent: int, name: str, to: str) -> None:
    parts = [part for part in to.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise InvalidInput(
            f"tar entry {name!r}: its link target {to!r} leads out of its directory", reason="escape"
        )
    where = open_inside(root.kernel, target, "/".join(parts[:-1]), _O_PATH | os.O_DIRECTORY)
    try:
        os.link(parts[-1], name, src_dir_fd=where, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(where)


# -- as an image ---------------------------------------------------------------------------------------------------


@contextmanager
def _without_links(shop: Shop, reference: str, rootfs: Rootfs) -> Iterator[Rootfs]:
    """``rootfs`` with a writable directory in which the kernel follows no link.

    It is read by paths, and a container that runs turns directories into links meanwhile: they would lead to the host.
    """
    directory, name = os.path.split(rootfs.upper)
    fd = os.open(directory, _O_PATH | os.O_DIRECTORY)
    try:
        mount = shop.kernel.open_tree("", OPEN_TREE_CLONE, dirfd=fd)
    finally:
        os.close(fd)
    try:
        shop.kernel.mount_setattr(mount, set_=MOUNT_ATTR_NOSYMFOLLOW)
        yield rootfs.replace(upper=f"/proc/self/fd/{mount}/{name}")
    except OSError as error:
        if error.errno not in (_ENOENT, _ENOTDIR, _ELOOP):
            raise
        raise LadingError(
            f"{reference}: its files changed while they were read", hint="pause it first", reason="changed"
        ) from None
    finally:
        os.close(mount)


def changes(shop: Shop, reference: str) -> Iterator[object]:
    """Added, changed and deleted paths. Raises LadingError (``changed``) where directories go while they are read."""
    record, made = _target(shop, reference)
    with _without_links(shop, reference, _rootfs(shop, record, made)[1]) as rootfs:
        yield from shop.images.changes(rootfs)


def export(shop: Shop, reference: str, stream: BinaryIO) -> None:
    """The whole root as one tar. Raises LadingError as :func:`changes` does."""
    record, made = _target(shop, reference)
    with _without_links(shop, reference, _rootfs(shop, record, made)[1]) as rootfs:
        shop.images.export(rootfs, stream)


@contextmanager
def root(shop: Shop, reference: str) -> Iterator[Rootfs]:
    """A container's root to be read by paths, in which no link of its own leads anywhere. Raises as :func:`changes` does."""
    record, made = _target(shop, reference)
    with _without_links(shop, reference, _rootfs(shop, record, made)[1]) as rootfs:
        yield rootfs


def ended_root(shop: Shop, reference: str) -> Rootfs:
    """The root of a container that has ended and that only its maker knows: it may be taken away by a rename."""
    return _rootfs(shop, *_target(shop, reference))[1]


def _command(record: PodRecord, made: ContainerRecord, image: Image) -> str:
    """What the container ran without its entrypoint: a step's ``created_by``, as ``docker commit`` writes it."""
    spec = record.pod.spec
    for definition in (*spec.init_containers, *spec.containers):
        if definition.name == made.name and definition.args:
            return " ".join(definition.args).replace("$$", "$")
    return " ".join(image.config.config.cmd) if image.config.config is not None else ""


def commit(
    shop: Shop,
    reference: str,
    name: str,
    *,
    author: str,
    message: str,
    changes: list[str],
    pause: bool,
) -> Image:
    """An image of the container, frozen meanwhile (unless ``pause`` is off) so that no file is half written."""
    record, made = _target(shop, reference)
    image, rootfs = _rootfs(shop, record, made)

    def make() -> Image:
        with _without_links(shop, reference, rootfs) as still:
            return shop.images.commit(
                image,
                still.upper,
                changes=changes,
                author=author,
                message=message,
                names=[name] if name else [],
                lower=still.lower,
                base=still.base,
                created_by=_command(record, made, image),
            )

    if pause and made.state == RUNNING and alive(made.pid, made.pid_start):
        from lading.node.freezing import Freezing, let_run

        with Freezing(shop, record, made):
            try:
                engine_of(shop, record).get(made.id).pause()
            except Unsupported as error:
                if error.reason == "no-cgroup":
                    error.hint = "commit without it: --pause=false"
                raise
            try:
                committed = make()
            finally:
                let_run(shop, record, made)
    else:
        committed = make()
    shop.records.event(record, "commit", {"imageID": committed.id}, made)
    return committed
