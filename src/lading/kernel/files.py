"""Files by descriptor: openat2(2) and the handful of plain calls that setting up a root needs.

The plain ones only forward to ``os``; they are here so that a plan made of kernel calls can be recorded by the fake.
"""

from __future__ import annotations

import _struct as struct
import os

from lading.errors import KernelError
from lading.kernel.libc import buffer, call

O_PATH = 0o10000000
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_STATX_MNT_ID = 0x1000


class Files:
    """File calls. Failures are :class:`KernelError` and name the path."""

    def openat2(self, dirfd: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
        """openat2(2), close-on-exec; ``resolve`` is a set of ``RESOLVE_*``."""
        how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
        while True:
            try:
                return call("openat2", dirfd, os.fsencode(path), how, len(how), about=path)
            except KernelError as error:
                # EAGAIN: a rename raced with the walk and the kernel could not prove that it stayed inside.
                if error.errno != 11:
                    raise

    def open(self, path: str, flags: int, mode: int = 0o777, *, dirfd: int | None = None) -> int:
        """open(2), close-on-exec."""
        try:
            return os.open(path, flags | os.O_CLOEXEC, mode, dir_fd=dirfd)
        except OSError as error:
            raise KernelError(f"open({path})", error.errno or 0) from None

    def close(self, fd: int) -> None:
        """close(2)."""
        os.close(fd)

    def mkdirat(self, dirfd: int, name: str, mode: int) -> None:
        """mkdirat(2)."""
        try:
            os.mkdir(name, mode, dir_fd=dirfd)
        except OSError as error:
            raise KernelError(f"mkdir({name})", error.errno or 0) from None

    def mknodat(self, dirfd: int, name: str, mode: int, device: int = 0) -> None:
        """mknodat(2); ``mode`` has the file type."""
        try:
            os.mknod(name, mode, device, dir_fd=dirfd)
        except OSError as error:
            raise KernelError(f"mknod({name})", error.errno or 0) from None

    def symlinkat(self, target: str, dirfd: int, name: str) -> None:
        """symlinkat(2)."""
        try:
            os.symlink(target, name, dir_fd=dirfd)
        except OSError as error:
            raise KernelError(f"symlink({name})", error.errno or 0) from None

    def unlinkat(self, dirfd: int, name: str) -> None:
        """unlinkat(2)."""
        try:
            os.unlink(name, dir_fd=dirfd)
        except OSError as error:
            raise KernelError(f"unlink({name})", error.errno or 0) from None

    def exchange(self, one: str, other: str) -> None:
        """Let two names change places, of whatever kind what they name is (renameat2(2), RENAME_EXCHANGE)."""
        call(
            "renameat2",
            _AT_FDCWD,
            os.fsencode(one),
            _AT_FDCWD,
            os.fsencode(other),
            _RENAME_EXCHANGE,
            about=other,
        )

    def fstat(self, fd: int) -> os.stat_result:
        """fstat(2)."""
        return os.fstat(fd)

    def chmodat(self, dirfd: int, name: str, mode: int) -> None:
        """fchmodat(2)."""
        try:
            os.chmod(name, mode, dir_fd=dirfd)
        except OSError as error:
            raise KernelError(f"chmod({name})", error.errno or 0) from None

    def chownat(self, dirfd: int, name: str, uid: int, gid: int) -> None:
        """fchownat(2), not following a link."""
        try:
            os.chown(name, uid, gid, dir_fd=dirfd, follow_symlinks=False)
        except OSError as error:
            raise KernelError(f"chown({name})", error.errno or 0) from None

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        """fchown(2)."""
        try:
            os.fchown(fd, uid, gid)
        except OSError as error:
            raise KernelError("fchown", error.errno or 0) from None

    def fchdir(self, fd: int) -> None:
        """fchdir(2)."""
        os.fchdir(fd)

    def chdir(self, path: str) -> None:
        """chdir(2)."""
        try:
            os.chdir(path)
        except OSError as error:
            raise KernelError(f"chdir({path})", error.errno or 0) from None

    def chroot(self, path: str) -> None:
        """chroot(2)."""
        try:
            os.chroot(path)
        except OSError as error:
            raise KernelError(f"chroot({path})", error.errno or 0) from None

    def getcwd(self) -> str:
        """The raw getcwd(2): ``(unreachable)…`` for a directory outside this process's root."""
        path = buffer(4096)
        call("getcwd", path, 4096)
        return os.fsdecode(path.value)

    def dup2(self, fd: int, target: int) -> None:
        """dup2(2); the copy survives execve."""
        os.dup2(fd, target, inheritable=True)

    def dup_above(self, fd: int, minimum: int) -> int:
        """fcntl(F_DUPFD_CLOEXEC): a copy with a number of at least ``minimum``."""
        import fcntl

        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, minimum)

    def ioctl(self, fd: int, request: int, argument: int | bytes = 0) -> int:
        """ioctl(2): the call's result; ``argument`` is a number or the bytes of a structure that is only read."""
        import fcntl

        try:
            result = fcntl.ioctl(fd, request, argument)
        except OSError as error:
            raise KernelError(f"ioctl({request:#x})", error.errno or 0) from None
        return result if isinstance(result, int) else 0

    def ioctl_read(self, fd: int, request: int, size: int) -> bytes:
        """ioctl(2) that fills a structure of ``size`` bytes."""
        import fcntl

        try:
            return fcntl.ioctl(fd, request, bytes(size))
        except OSError as error:
            raise KernelError(f"ioctl({request:#x})", error.errno or 0) from None

    def umask(self, mask: int) -> int:
        """umask(2): the old mask."""
        return os.umask(mask)

    def write(self, fd: int, data: bytes) -> None:
        """write(2), once: files of procfs and cgroupfs take a value in one write."""
        try:
            os.write(fd, data)
        except OSError as error:
            raise KernelError(
                f"write({data[:60].decode(errors='replace').strip()})", error.errno or 0
            ) from None

    def read(self, fd: int, size: int = 65536) -> bytes:
        """read(2)."""
        try:
            return os.read(fd, size)
        except OSError as error:
            raise KernelError("read", error.errno or 0) from None

    def readlinkat(self, dirfd: int, name: str) -> str:
        """readlinkat(2)."""
        try:
            return os.readlink(name, dir_fd=dirfd)
        except OSError as error:
            raise KernelError(f"readlink({name})", error.errno or 0) from None

    def mount_id(self, fd: int) -> int:
        """The number of the mount that ``fd`` was reached through (statx(2), since Linux 5.8)."""
        data = buffer(256)
        call("statx", fd, b"", 0x1000, _STATX_MNT_ID, data)
        return int(struct.unpack_from("Q", data.raw, 0x90)[0])
