"""Reading and writing the one-value files of a control group, with errors that name the file and the
value."""

from __future__ import annotations

import os
from errno import EACCES, EBUSY, EINVAL, ENODEV, ENOENT, EPERM, EROFS

from lading.errors import Denied, KernelError, NotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def write(path: str, value: str) -> None:
    """Write ``value`` in one ``write(2)``.

    Raises :class:`Denied` (EACCES, EPERM, EROFS), :class:`Unsupported` when the file does not exist, and
    :class:`KernelError` for a value the kernel refuses.
    """
    write_each(path, (value,))


def write_each(path: str, values: Sequence[str]) -> None:
    """Write ``values`` in order, each in one ``write(2)``. Raises as :func:`write` does."""
    if not values:
        return
    fd = open_to_write(path, values[0])
    value = ""
    try:
        for value in values:
            os.write(fd, value.encode())
    except OSError as error:
        raise failure(path, value, error) from None
    finally:
        os.close(fd)


def open_to_write(path: str, value: str = "") -> int:
    """A descriptor to write ``value`` to later. Raises as :func:`write` does."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise failure(path, value, error) from None


_HINTS = {
    EBUSY: "the group is in use in a way that forbids it",
    EINVAL: "the kernel refuses this value",
    ENODEV: "there is no such device, or its scheduler has no such policy",
}


def failure(path: str, value: str, error: OSError) -> Denied | Unsupported | KernelError:
    """The error to raise for a failed write of ``value`` to ``path``."""
    name = path.rpartition("/")[2]
    code = error.errno or 0
    if code in (EACCES, EPERM, EROFS):
        return Denied(
            f"setting {name} to {value!r} in {path}: {os.strerror(code)}",
            hint="limits need root or a delegated cgroup v2 group",
        )
    if code == ENOENT and not os.path.exists(path):
        if os.path.isdir(path.rpartition("/")[0]):
            return Unsupported(f"{name}: this kernel, or this group, does not have the file {path}")
        return Unsupported(f"{name}: the control group directory {path.rpartition('/')[0]} does not exist")
    return KernelError(f"writing {value!r} to {path}", code, hint=_HINTS.get(code, ""))


def read(path: str) -> str:
    """The text of ``path`` without its last newline. Raises :class:`NotFound` or :class:`KernelError`."""
    fd = open_to_read(path)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError as error:
        if error.errno == ENODEV:  # the group went away between open and read
            raise NotFound(f"{path}: the control group is gone") from None
        raise KernelError(f"reading {path}", error.errno or 0) from None
    finally:
        os.close(fd)
    return os.fsdecode(b"".join(parts)).rstrip("\n")


def open_to_read(path: str) -> int:
    """A descriptor of ``path``. Raises :class:`NotFound` or :class:`KernelError`."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == ENOENT:
            raise NotFound(f"{path}: no such file") from None
        raise KernelError(f"opening {path}", error.errno or 0) from None


def read_int(path: str, default: int = 0) -> int:
    """A number; ``max`` is -1; ``default`` when the file is missing or something else."""
    try:
        text = read(path)
    except (NotFound, KernelError):
        return default
    if text == "max":
        return -1
    try:
        return int(text)
    except ValueError:
        return default


def read_table(path: str) -> dict[str, int]:
    """``key value`` lines; empty when the file is missing."""
    try:
        text = read(path)
    except (NotFound, KernelError):
        return {}
    table: dict[str, int] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if value.lstrip("-").isdigit():
            table[key] = int(value)
    return table


def subdirectories(directory: str) -> list[str]:
    """Every directory below ``directory``, deepest first, and then itself; empty when it does not exist."""
    try:
        with os.scandir(directory) as entries:
            children = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    found: list[str] = []
    for child in children:
        found += subdirectories(child)
    found.append(directory)
    return found


def pids_of(directory: str, file: str = "cgroup.procs") -> list[int]:
    """The processes of one directory, without those of its children. Empty when it is gone."""
    try:
        return [int(word) for word in read(directory + "/" + file).split()]
    except (NotFound, KernelError):
        return []
