"""Devices of the host that a container was given: ``--device``, and all of them with ``--privileged``."""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput
from lading.formats.oci_runtime import Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container

#: Made by the runtime, or belonging to a terminal or mount of the container's own.
_OWN = frozenset(
    "console core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split()
)


def collect(container: Container, *, privileged: bool) -> list[Device]:
    """The device nodes to make. Raises :class:`InvalidInput` for a path that is no device."""
    made = []
    for wanted in container.extras.devices:
        if os.path.isdir(wanted.path):
            raise InvalidInput(f"--device {wanted.path} is a directory", hint="name each device")
        made.append(_device(wanted.path, wanted.container_path or wanted.path))
    if privileged:
        taken = {device.path for device in made}
        for path in _nodes("/dev"):
            if path not in taken:
                try:
                    made.append(_device(path, path))
                except InvalidInput:
                    continue  # unplugged since
    return made


def _device(path: str, inside: str) -> Device:
    try:
        info = os.stat(path)
    except OSError as error:
        raise InvalidInput(f"device {path}: {error.strerror}") from None
    if not (stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)):
        raise InvalidInput(f"device {path} is not a device")
    return Device(
        type="b" if stat.S_ISBLK(info.st_mode) else "c",
        path=inside,
        major=os.major(info.st_rdev),
        minor=os.minor(info.st_rdev),
        file_mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
    )


def _nodes(directory: str) -> list[str]:
    found = []
    for entry in os.scandir(directory):
        if directory == "/dev" and entry.name in _OWN:
            continue
        if entry.is_dir(follow_symlinks=False):
            found += _nodes(entry.path)
        elif not entry.is_symlink():
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                found.append(entry.path)
    return found
