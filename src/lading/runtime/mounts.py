"""The mounts of a container's configuration, made one after another below an opened root.

Every target is a descriptor that openat2(2) found inside the root, every mount is made detached and then attached to
that descriptor. A link that is swapped in between (CVE-2021-30465) changes nothing: no name is looked up twice.
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, KernelError, Unsupported
from lading.kernel.files import O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_XDEV
from lading.kernel.mounts import AT_RECURSIVE, OPEN_TREE_CLONE
from lading.kernel.paths import make_directory_inside, make_file_inside, open_inside
from lading.runtime import procmounts
from lading.runtime.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Mount
    from lading.kernel import Kernel

#: The kernel's own windows: their masks would protect nothing if the name led elsewhere.
_REAL_DIRECTORIES = ("proc", "sysfs")
_EINVAL, _ENOTDIR = 22, 20
#: File systems of the container's own, of which nobody needs a descriptor once they are there.
_PLAIN = ("tmpfs", "devpts", "mqueue")


def add(
    kernel: Kernel,
    root_fd: int,
    mount: Mount,
    *,
    label: str = "",
    source: int = -1,
    wanted: bool = True,
    make_way: bool = False,
) -> int:
    """Make one mount and return its descriptor. ``source`` is what :func:`make_bind` made before, with more power.

    Unless the descriptor is ``wanted`` it may be -1: there are quicker ways then. ``make_way``: a file of the root's that is
    where a directory is to be mounted is removed. Raises :class:`KernelError` and :class:`InvalidInput` that name the
    destination.
    """
    options = Options(mount.options)
    try:
        if options.remount:
            return _remount(kernel, root_fd, mount, options)
        if options.bind or mount.type == "bind":
            made = source if source >= 0 else make_bind(kernel, mount, options)
            target = _bind_target(kernel, root_fd, mount.destination, made, make_way)
            procmounts.check_target(kernel, root_fd, mount, target, made)
        else:
            made, target = _new(kernel, root_fd, mount, options, label, wanted)
        if made >= 0:
            _put(kernel, mount, made, target)
        kernel.close(target)
        for flag, recursive in options.propagation:
            kernel.mount_setattr(made, propagation=flag, recursive=recursive)
    except KernelError as error:
        raise KernelError(
            f"mount on {mount.destination}: {error.call}", error.errno, hint=error.hint
        ) from None
    return made


def make_bind(kernel: Kernel, mount: Mount, options: Options, userns_fd: int = -1) -> int:
    """A detached copy of ``mount.source`` with its attributes; ``userns_fd`` gives the mapping of an idmapped one."""
    if options.data:
        raise InvalidInput(
            f"mount on {mount.destination}: option {options.data[0][0]!r} means nothing for a bind mount"
        )
    flags = OPEN_TREE_CLONE | (AT_RECURSIVE if options.recursive else 0)
    if mount.source.startswith("/proc/self/fd/"):
        here = _in_this_namespace(kernel, mount)
        made = kernel.open_tree("", flags, dirfd=here)
        kernel.close(here)
    else:
        made = kernel.open_tree(mount.source, flags)
    if userns_fd >= 0:
        from lading.kernel import idmap

        what = f"mount on {mount.destination}: {mount.source}"
        try:
            idmap.show(kernel, made, userns_fd, what, recursive=options.idmap == "ridmap")
        except BaseException:
            kernel.close(made)
            raise
    _attributes(kernel, made, options)
    return made


def _in_this_namespace(kernel: Kernel, mount: Mount) -> int:
    """An ``O_PATH`` descriptor of what the caller's descriptor shows, by our own mounts.

    The caller opened it in another mount namespace, and open_tree(2) clones only mounts of this one (EINVAL). Its name is
    looked up again here, and only the very same inode is taken: a name that was swapped in between leads nowhere.
    """
    given = os.stat(mount.source)
    root = os.open("/", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = open_inside(kernel, root, os.readlink(mount.source))
    finally:
        os.close(root)
    status = kernel.fstat(found)
    if (status.st_dev, status.st_ino) != (given.st_dev, given.st_ino):
        kernel.close(found)
        raise InvalidInput(f"mount on {mount.destination}: its source was moved while it was mounted")
    return found


def _attributes(kernel: Kernel, made: int, options: Options) -> None:
    if options.set or options.clear:
        kernel.mount_setattr(made, set_=options.set, clear=options.clear)
    if options.tree_set or options.tree_clear:
        kernel.mount_setattr(made, set_=options.tree_set, clear=options.tree_clear, recursive=True)


def _put(kernel: Kernel, mount: Mount, made: int, target: int) -> None:
    try:
        kernel.move_mount(made, target)
    except KernelError as error:
        if error.errno != _EINVAL or _is_directory(kernel, made) or not _is_directory(kernel, target):
            raise
        raise InvalidInput(
            f"mount on {mount.destination}: {mount.source} is no directory, and the container has one there",
            hint="mount it on another path",
        ) from None


def _is_directory(kernel: Kernel, fd: int) -> bool:
    return stat.S_ISDIR(kernel.fstat(fd).st_mode)


def _bind_target(kernel: Kernel, root_fd: int, destination: str, made: int, make_way: bool) -> int:
    if not _is_directory(kernel, made):
        return make_file_inside(kernel, root_fd, destination)
    try:
        return make_directory_inside(kernel, root_fd, destination)
    except KernelError as error:
        if error.errno != _ENOTDIR or not make_way or not _removed(kernel, root_fd, destination):
            raise
    return make_directory_inside(kernel, root_fd, destination)


def _removed(kernel: Kernel, root_fd: int, destination: str) -> bool:
    """Whether the file, or the link to one, at ``destination`` is gone. One in a mount is not the root's, and stays."""
    head, _, name = destination.rstrip("/").rpartition("/")
    try:
        parent = kernel.openat2(
            root_fd, head.lstrip("/") or ".", O_PATH | os.O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_XDEV
        )
    except KernelError:
        return False
    try:
        kernel.unlinkat(parent, name)
    except KernelError:
        return False
    finally:
        kernel.close(parent)
    return True


def _new(
    kernel: Kernel, root_fd: int, mount: Mount, options: Options, label: str, wanted: bool
) -> tuple[int, int]:
    if not mount.type:
        raise InvalidInput(f"mount on {mount.destination}: neither a type nor the option bind")
    if options.idmap:
        raise Unsupported(f"mount on {mount.destination}: {options.idmap} on a mount of type {mount.type}")
    there = True
    try:
        target = open_inside(kernel, root_fd, mount.destination, O_PATH | os.O_DIRECTORY)
    except KernelError as error:
        if error.errno != 2:
            raise
        there = False
        target = make_directory_inside(kernel, root_fd, mount.destination)
    procmounts.check_target(kernel, root_fd, mount, target)
    if mount.type in _REAL_DIRECTORIES:
        _insist_on_directory(kernel, root_fd, mount.destination)
    data = list(options.data)
    if mount.type == "tmpfs" and there and not any(key == "mode" for key, _ in data):
        # A tmpfs is born 1777; one that covers a directory of the image keeps that directory's mode.
        data.append(("mode", format(stat.S_IMODE(kernel.fstat(target).st_mode), "o")))
    if label and mount.type not in ("proc", "sysfs", "mqueue"):
        data.append(("context", label))
    source = mount.source or mount.type
    quick = mount.type in _PLAIN and not wanted and not _takes_more(options)
    if quick and kernel.mount_on(target, mount.type, source, data, options.set):
        return -1, target
    made = kernel.new_filesystem(mount.type, source, data, options.set)
    if options.tree_set or options.tree_clear:
        kernel.mount_setattr(made, set_=options.tree_set, clear=options.tree_clear, recursive=True)
    if options.copy_up:
        _copy_up(kernel, target, made, mount)
    return made, target


def _takes_more(options: Options) -> bool:
    """Whether something is to be done with the mount once it is made."""
    return bool(options.propagation or options.tree_set or options.tree_clear or options.copy_up)


def _insist_on_directory(kernel: Kernel, root_fd: int, destination: str) -> None:
    head, _, name = destination.rstrip("/").rpartition("/")
    parent = open_inside(kernel, root_fd, head or "/")
    try:
        kernel.close(kernel.open(name, O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dirfd=parent))
    except KernelError:
        raise InvalidInput(
            f"mount on {destination}: it must be mounted on ordinary directory, no link"
        ) from None
    finally:
        kernel.close(parent)


def _copy_up(kernel: Kernel, source: int, made: int, mount: Mount) -> None:
    if mount.type != "tmpfs":
        raise Unsupported(f"mount on {mount.destination}: tmpcopyup on type {mount.type}")
    from lading.runtime.copyup import copy_tree

    directory = kernel.open(".", os.O_RDONLY | os.O_DIRECTORY, dirfd=source)
    copy_tree(directory, made)
    kernel.close(directory)


def _remount(kernel: Kernel, root_fd: int, mount: Mount, options: Options) -> int:
    """``remount``: change the attributes of what is mounted there already."""
    target = open_inside(kernel, root_fd, mount.destination)
    _attributes(kernel, target, options)
    return target
