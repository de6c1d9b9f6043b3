"""``hostPath`` volumes: what stands at a path of the host, made if it has to be, and of the kind that was asked for.

Source: core/v1 HostPathVolumeSource. ``noFollow`` is Lading's own: no part of the path may be a link, and what was looked at
is what is mounted, whatever the path names by then.
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, KernelError
from lading.kernel.files import RESOLVE_NO_SYMLINKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.podvolumes import Volume
    from lading.kernel import Kernel

_CHECKS = {
    "Directory": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}
_ELOOP = 40


def source(kernel: Kernel, volume: Volume, opened: list[int]) -> str:
    """The path to mount. A descriptor that it is named by is added to ``opened``, for the caller to close.

    Raises :class:`InvalidInput`.
    """
    wanted = volume.host_path
    assert wanted is not None
    path, kind = wanted.path, wanted.type
    try:
        if kind.endswith("OrCreate") and not os.path.lexists(path):
            _make(path, directory=kind == "DirectoryOrCreate")
        if wanted.no_follow:
            opened.append(_open(kernel, volume.name, path))
            path = f"/proc/self/fd/{opened[-1]}"
        info = os.stat(path)
    except OSError as error:
        raise InvalidInput(f"volume {volume.name}: hostPath {wanted.path}: {error.strerror}") from None
    check = _CHECKS.get(kind.removesuffix("OrCreate"))
    if check is not None and not check(info.st_mode):
        raise InvalidInput(f"volume {volume.name}: hostPath {wanted.path} is not of type {kind}")
    return path


def _open(kernel: Kernel, name: str, path: str) -> int:
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return kernel.openat2(root, path.lstrip("/") or ".", os.O_PATH, RESOLVE_NO_SYMLINKS)
    except KernelError as error:
        if error.errno == _ELOOP:
            raise InvalidInput(
                f"volume {name}: hostPath {path} leads through a symbolic link, which noFollow forbids",
                hint="name the place itself",
                reason="link",
            ) from None
        raise InvalidInput(f"volume {name}: hostPath {path}: {os.strerror(error.errno)}") from None
    finally:
        os.close(root)


def _make(path: str, *, directory: bool) -> None:
    """An empty file or directory with the modes that the API promises, whatever the umask; another pod may be faster."""
    mode = 0o755 if directory else 0o644
    try:
        if directory:
            os.makedirs(os.path.dirname(path.rstrip("/")), exist_ok=True)
            os.mkdir(path, mode)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
    except FileExistsError:
        return
    os.chmod(path, mode)
