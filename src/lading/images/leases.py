"""Leases: what a living process is working with must not be collected.

A lease is a file that its owner keeps locked and to which it appends the names of what it uses: a line for each digest
(``sha256:…``), unpacked layer (``layer:KEY``) or manifest. When the owner ends, however it ends, the kernel drops the
lock, and the collector removes the file. No clock is involved: a pull may take hours, and a crash expires at once.

Adding a line takes the store's lock shared, collecting takes it exclusively; so a name is either in the lease before the
collector reads it, or is looked up only after the collector has finished.
"""

from __future__ import annotations

import os

from lading.images.files import Lock, OwnFile, disk_error, try_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Lease:
    """Keeps content alive while the process works with it. A context manager."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._held: set[str] = set()
        try:
            self._file = OwnFile(root + "/leases")
        except OSError as error:
            raise disk_error(error, f"cannot write below {root}") from None

    def add(self, *names: str) -> None:
        """Hold ``names`` from now on: digests, or ``layer:KEY``. After this returns it is safe to look whether they exist."""
        new = [n for n in names if n not in self._held]
        if not new:
            return
        try:
            with Lock(self._root + "/lock", exclusive=False):
                self._file.write("".join(f"{n}\n" for n in new).encode())
        except OSError as error:
            raise disk_error(error, f"cannot write below {self._root}") from None
        self._held.update(new)

    def close(self) -> None:
        """End the lease."""
        self._file.drop()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def held(root: str) -> tuple[set[str], list[str]]:
    """What living leases hold, and the paths of dead ones (removed here). Call under the exclusive store lock."""
    names: set[str] = set()
    dead: list[str] = []
    for path in _files(root + "/leases"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            if try_lock(fd):
                dead.append(path)
                os.unlink(path)
                continue
            text = b""
            while piece := os.read(fd, 1 << 16):
                text += piece
            names.update(text.decode(errors="replace").splitlines())
        except FileNotFoundError:
            continue
        finally:
            os.close(fd)
    return names, dead


def _files(directory: str) -> Iterator[str]:
    try:
        entries = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in entries:
        yield f"{directory}/{name}"
