"""A volume's files so that all of them change at once, as Kubernetes lays them out.

The files are in a directory with a name of its own, ``..data`` is a link to it, and what a container opens are links
through ``..data``: replacing that one link by rename(2) replaces every file in the same instant. A program that watches for
changes watches ``..data`` (kubernetes.io, "Mounted ConfigMaps are updated automatically").
"""

from __future__ import annotations

import os
import stat
import time

from lading.errors import InvalidInput
from lading.kernel import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.sources import File

_DATA, _NEXT = "..data", "..data_tmp"
_GROUP_READ, _GROUP_ENTER = 0o440, 0o2550


def write(directory: str, files: list[File], *, group: int | None = None) -> None:
    """Make ``directory`` hold exactly ``files``, group-readable by ``group`` if one is given.

    Nothing is touched when it does already. What a kill interrupted is finished by the next call.
    Raises :class:`InvalidInput` for a file where another one has a directory.
    """
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755 if group is None else 0o2755)
    if group is not None:
        os.chown(directory, -1, group)
    before = _current(directory)
    if before and _same(f"{directory}/{before}", files):
        _links(directory, files)
        return
    fresh = f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{os.urandom(4).hex()}"
    for file in files:
        _file(f"{directory}/{fresh}", file, group)
    os.makedirs(f"{directory}/{fresh}", exist_ok=True)
    _open_up(f"{directory}/{fresh}", group)
    if os.path.lexists(f"{directory}/{_NEXT}"):
        os.unlink(f"{directory}/{_NEXT}")
    os.symlink(fresh, f"{directory}/{_NEXT}")
    os.rename(f"{directory}/{_NEXT}", f"{directory}/{_DATA}")
    _links(directory, files)
    for name in os.listdir(directory):
        if name.startswith("..") and name not in (_DATA, fresh):
            tree.remove(f"{directory}/{name}")


def _current(directory: str) -> str:
    try:
        return os.readlink(f"{directory}/{_DATA}")
    except OSError:
        return ""


def _same(place: str, files: list[File]) -> bool:
    found = 0
    for _root, _directories, names in os.walk(place):
        found += len(names)
    if found != len({file.path for file in files}):
        return False
    for file in files:
        try:
            with open(f"{place}/{file.path}", "rb") as stream:
                if stream.read() != file.data:
                    return False
                if file.mode & ~stat.S_IMODE(os.fstat(stream.fileno()).st_mode):
                    return False
        except OSError:
            return False
    return True


def _file(place: str, file: File, group: int | None) -> None:
    path = f"{place}/{file.path}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InvalidInput(f"path {file.path!r}: another item's path is in its way") from None
    with open(fd, "wb") as stream:
        stream.write(file.data)
        if group is not None:
            os.fchown(fd, -1, group)
        os.fchmod(fd, file.mode | (_GROUP_READ if group is not None else 0))


def _open_up(place: str, group: int | None) -> None:
    """Directories are everybody's to enter, whatever the umask; with a group also that group's."""
    for root, _directories, _names in os.walk(place):
        os.chmod(root, 0o755 if group is None else 0o755 | _GROUP_ENTER)
        if group is not None:
            os.chown(root, -1, group)


def _links(directory: str, files: list[File]) -> None:
    wanted = {file.path.partition("/")[0] for file in files}
    for name in wanted:
        if not os.path.lexists(f"{directory}/{name}"):
            os.symlink(f"{_DATA}/{name}", f"{directory}/{name}")
    for name in os.listdir(directory):
        if not name.startswith("..") and name not in wanted:
            tree.remove(f"{directory}/{name}")
