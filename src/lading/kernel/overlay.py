"""overlayfs over many layers, on every kernel: the one place that knows how the layers are handed over.

Since Linux 6.8 they are given one by one (``lowerdir+``). Before, all names stand in one string that has to fit the page of
mount(2)'s options, so they are written relative to the layers' common directory; and mount(2) needs a place in a mount
namespace that nobody else sees. Source: Linux Documentation/filesystems/overlayfs.rst, "Multiple lower layers".

Layers that are to show other ids than they have (Linux 5.19) are covered by idmapped mounts of themselves, in a mount
namespace of a child's own: overlayfs then finds these under the names it is given, and keeps them.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, KernelError, LadingError
from lading.kernel.files import O_PATH
from lading.kernel.mounts import MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_RDONLY, MS_REC, OPEN_TREE_CLONE
from lading.kernel.namespaces import CLONE_NEWNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import NoReturn

    from lading.kernel import Kernel

_EINVAL = 22
_EOPNOTSUPP = 95
_PAGE = 4095


def is_opaque(path: str | bytes) -> bool:
    """Whether overlayfs, as it is mounted here, shows nothing of lower layers in a directory.

    Layers say so twice, for mounts by root and in a user namespace. Only the attribute that the mount itself goes by is
    overlayfs's own: the other one it copies up with a directory's own attributes, and there it means nothing.
    """
    try:
        if os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y":
            return True
        trusted = True
    except OSError as error:
        trusted = error.errno != _EOPNOTSUPP
    try:
        if os.getxattr(path, "user.overlay.opaque", follow_symlinks=False) != b"y":
            return False
    except OSError:
        return False
    from lading.kernel import userns

    return not trusted or os.geteuid() != 0 or userns.inside()


class Stack:
    """What to mount: ``lower`` layers top-most first, and ``upper`` with ``work`` (empty: read-only).

    ``users``  a descriptor of the user namespace by whose mapping the layers' ids are shown; -1: as they are.
    """

    __slots__ = ("lower", "read_only", "upper", "users", "userxattr", "volatile", "work")

    def __init__(
        self,
        lower: Sequence[str],
        upper: str = "",
        work: str = "",
        *,
        userxattr: bool = False,
        volatile: bool = False,
        read_only: bool = False,
        users: int = -1,
    ) -> None:
        self.lower = lower
        self.upper = upper
        self.work = work
        self.userxattr = userxattr
        self.volatile = bool(upper) and volatile
        self.read_only = read_only
        self.users = users

    @property
    def flags(self) -> list[str]:
        """Options without a value."""
        return [name for name in ("userxattr", "volatile") if getattr(self, name)]


def mount(kernel: Kernel, stack: Stack) -> int:
    """A detached mount. The caller's mount namespace is its own: an old kernel's way leaves a mount over a layer in it."""
    if stack.users >= 0:
        return _in_child(kernel, stack)
    made = _by_layer(kernel, stack)
    return made if made >= 0 else _by_page(kernel, stack)


def mount_apart(kernel: Kernel, stack: Stack) -> int:
    """A detached mount, for a caller whose mount namespace is everybody's: an old kernel's way is gone by a child."""
    made = _by_layer(kernel, stack) if stack.users < 0 else -1
    return made if made >= 0 else _in_child(kernel, stack)


def takes_layers(release: str) -> bool:
    """Whether to ask a kernel of this release for ``lowerdir+``: an old one writes a line into its log for every question."""
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    if not major.isdigit() or not minor.isdigit():
        return True
    return (int(major), int(minor)) >= (6, 8)


def _by_layer(kernel: Kernel, stack: Stack) -> int:
    """The mount, or -1 where this kernel does not take layers one by one."""
    if not takes_layers(os.uname().release):
        return -1
    options: list[tuple[str, str | None]] = [("lowerdir+", layer) for layer in stack.lower]
    if stack.upper:
        options += [("upperdir", stack.upper), ("workdir", stack.work)]
    options += [(flag, None) for flag in stack.flags]
    try:
        return kernel.new_filesystem(
            "overlay", "overlay", options, MOUNT_ATTR_RDONLY if stack.read_only else 0
        )
    except KernelError as error:
        # Up to 6.4 overlayfs says so only when the whole is made: its options were still one string behind the new calls.
        if error.errno != _EINVAL:
            raise
        return -1


def _by_page(kernel: Kernel, stack: Stack) -> int:
    base = os.path.commonpath(stack.lower)
    if len(stack.lower) == 1:
        base = os.path.dirname(base)
    names = [os.path.relpath(layer, base) for layer in stack.lower]
    escaped = [name.replace("\\", "\\\\").replace(":", "\\:") for name in names]
    words = ["lowerdir=" + ":".join(escaped)]
    if stack.upper:
        words += [f"upperdir={stack.upper}", f"workdir={stack.work}"]
    words += stack.flags
    data = ",".join(word.replace(",", "\\,") for word in words)
    if len(data) >= _PAGE:
        raise InvalidInput(
            f"{len(names)} layers do not fit the page this kernel allows for mount options",
            hint="squash the image, or use Linux 6.8 or newer",
        )
    kernel.chdir(base)
    # Over a layer, never over "/": that name keeps meaning the host's root, whatever is mounted on it.
    anchor = stack.upper or stack.lower[0]
    kernel.mount("overlay", anchor, "overlay", MS_RDONLY if stack.read_only else 0, data)
    kernel.chdir("/")
    return kernel.open_tree(anchor, OPEN_TREE_CLONE)


def _in_child(kernel: Kernel, stack: Stack) -> int:
    """Mount in a forked child's own namespace, and take the mount over as a descriptor (unix(7), SCM_RIGHTS)."""
    import _socket

    covers = _covers(kernel, stack) if stack.users >= 0 else []
    pid = 0
    try:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            pid = os.fork()
            if pid == 0:
                _hand_over(kernel, stack, covers, theirs)
            theirs.close()
            words, rights_got, _flags, _address = ours.recvmsg(2048, _socket.CMSG_SPACE(4))
        finally:
            theirs.close()
            ours.close()
            if pid:
                os.waitpid(pid, 0)
    finally:
        for _, cover in covers:
            os.close(cover)
    for level, kind, data in rights_got:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fd = int.from_bytes(data[:4], "little")
            os.set_inheritable(fd, False)
            return fd
    hint = "layers with other ids need Linux 5.19" if covers else ""
    raise LadingError(
        f"cannot stack the layers: {words.decode(errors='replace')}", hint=hint, reason="overlay"
    )


def _hand_over(
    kernel: Kernel, stack: Stack, covers: list[tuple[str, int]], theirs: _socket.socket
) -> NoReturn:
    """In the child: mount, and send the mount, or what was in the way."""
    import _socket

    status = 70
    try:
        kernel.unshare(CLONE_NEWNS)
        kernel.mount("", "/", "", MS_REC | MS_PRIVATE)
        for place, cover in covers:
            kernel.move_mount(cover, kernel.open(place, O_PATH | os.O_DIRECTORY))
        if covers and stack.upper:
            _work_as_owner(kernel, covers[-1][1])
        fd = _by_layer(kernel, stack) if covers else -1
        if fd < 0:
            fd = _by_page(kernel, stack)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))
        theirs.sendmsg([b"mount"], [rights])
        status = 0
    except BaseException as error:
        theirs.send(str(error).encode()[:2000] or b"?")
    finally:
        os._exit(status)


def _work_as_owner(kernel: Kernel, cover: int) -> None:
    """What overlayfs makes of its own accord, it makes as who mounted it: that is to be somebody whom the mapping knows."""
    from lading.kernel import idmap

    shown = kernel.fstat(cover)
    idmap.act_as(kernel, shown.st_uid, shown.st_gid)


def _covers(kernel: Kernel, stack: Stack) -> list[tuple[str, int]]:
    """Idmapped, detached mounts of the layers, and over which directory each goes.

    ``upper`` and ``work`` must lie on one mount, so the directory that has both is one, the last. Raises :class:`Unsupported`.
    """
    from lading.kernel import idmap

    places = list(stack.lower)
    if stack.upper:
        places.append(os.path.commonpath((stack.upper, stack.work)))
    made: list[tuple[str, int]] = []
    try:
        for place in places:
            made.append((place, kernel.open_tree(place, OPEN_TREE_CLONE)))
            idmap.show(kernel, made[-1][1], stack.users, f"layer {place}")
    except BaseException:
        for _, cover in made:
            os.close(cover)
        raise
    return made
