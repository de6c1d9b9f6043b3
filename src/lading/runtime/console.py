"""The terminal of a container: a pty of its own devpts, ``/dev/console``, and the way of the master to its user.

The slave is taken from the master (TIOCGPTPEER) and bound by descriptor, never by a name below ``/dev/pts`` that the
container could have replaced (CVE-2025-52565).
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, KernelError
from lading.kernel.files import O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS
from lading.kernel.mounts import OPEN_TREE_CLONE
from lading.kernel.paths import make_directory_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Box
    from lading.kernel import Kernel
    from lading.runtime.execute import ExecJob
    from lading.runtime.job import Job

DEVPTS_SUPER_MAGIC = 0x1CD1
_NO_LINKS = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
_TIOCGPTPEER = 0x5441
_TIOCSPTLCK = 0x40045431
_TIOCSWINSZ = 0x5414
_TIOCSCTTY = 0x540E
_TCGETS, _TCSETS = 0x5401, 0x5402
_ONLCR = 0x04


def way_out(job: Job | ExecJob, path: str) -> int:
    """Give the job a socket to send its terminal's master through; our end of it, -1 when it goes to ``path``."""
    if path:
        job.console_fd = connect(path)
        return -1
    import _socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    job.console_fd = theirs.detach()
    return ours.detach()


def open_pty(kernel: Kernel, root_fd: int, size: Box | None, *, plain_lines: bool = False) -> tuple[int, int]:
    """(master, slave) of the devpts mounted below ``root_fd``, of the host's when the container has none.

    ``plain_lines``: line feeds pass as they are. Whoever shows them adds the carriage return, and a file wants none.
    """
    try:
        master = kernel.openat2(root_fd, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, _NO_LINKS)
    except KernelError as error:
        if error.errno != 2:
            raise
        master = kernel.openat2(root_fd, "/dev/ptmx", os.O_RDWR | os.O_NOCTTY, RESOLVE_NO_MAGICLINKS)
    found = kernel.fstat(master)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(5, 2):
        raise InvalidInput("/dev/pts/ptmx in the container is not the terminal multiplexer")
    kernel.ioctl(master, _TIOCSPTLCK, b"\0\0\0\0")
    slave = kernel.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if size is not None and (size.height or size.width):
        resize(kernel, master, size.height, size.width)
    if plain_lines:
        # struct termios of the kernel: iflag, oflag, cflag, lflag, line, 19 characters (termbits.h).
        settings = bytearray(kernel.ioctl_read(slave, _TCGETS, 36))
        settings[4] &= ~_ONLCR & 0xFF
        kernel.ioctl(slave, _TCSETS, bytes(settings))
    return master, slave


def resize(kernel: Kernel, fd: int, height: int, width: int) -> None:
    """Tell a terminal its size in characters."""
    import struct

    kernel.ioctl(fd, _TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def bind_console(kernel: Kernel, root_fd: int, slave: int) -> None:
    """Make ``/dev/console`` the container's terminal."""
    dev = make_directory_inside(kernel, root_fd, "/dev")
    try:
        try:
            kernel.mknodat(dev, "console", stat.S_IFREG | 0o666)
        except KernelError as error:
            if error.errno != 17:
                raise
        target = kernel.openat2(dev, "console", O_PATH | os.O_NOFOLLOW, _NO_LINKS)
        if stat.S_ISLNK(kernel.fstat(target).st_mode):
            raise InvalidInput("/dev/console in the container's root is a link")
        copy = kernel.open_tree("", OPEN_TREE_CLONE, dirfd=slave)
        kernel.move_mount(copy, target)
        kernel.close(copy)
        kernel.close(target)
    finally:
        kernel.close(dev)


def take_terminal(kernel: Kernel, slave: int) -> None:
    """Make ``slave`` the controlling terminal of this session and its standard streams."""
    kernel.ioctl(slave, _TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        kernel.dup2(slave, fd)
    if slave > 2:
        kernel.close(slave)


def send_master(socket_fd: int, master: int, name: bytes = b"/dev/ptmx") -> None:
    """Send the master over a connected Unix socket (SCM_RIGHTS), as runc's console socket has it."""
    import _socket

    sock = _socket.socket(fileno=os.dup(socket_fd))
    sock.sendmsg([name], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, master.to_bytes(4, "little"))])
    sock.close()


def receive_master(socket_fd: int) -> int:
    """The descriptor that :func:`send_master` sent; -1 when the other side closed instead."""
    import _socket

    sock = _socket.socket(fileno=os.dup(socket_fd))
    try:
        _, extra, _, _ = sock.recvmsg(256, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    finally:
        sock.close()
    for level, kind, data in extra:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            return int.from_bytes(data[:4], "little")
    return -1


def last_words(socket_fd: int) -> bytes:
    """What a process that is dead by now wrote to the terminal whose master it sent; empty when it got not that far."""
    os.set_blocking(socket_fd, False)
    try:
        master = receive_master(socket_fd)
    except BlockingIOError:
        return b""
    if master < 0:
        return b""
    os.set_blocking(master, False)
    try:
        return os.read(master, 65536)
    except OSError:  # nothing (EAGAIN), or the slave is closed and nothing is left (EIO)
        return b""
    finally:
        os.close(master)


def connect(path: str) -> int:
    """A connected descriptor of the Unix socket at ``path``."""
    import _socket

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise InvalidInput(f"console socket {path}: {error.strerror}") from None
    return sock.detach()
