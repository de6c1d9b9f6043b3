"""How a container's root is put together: the value that walks from ``images`` through ``node`` to ``runtime``."""

from __future__ import annotations

from lading.formats.schema import Record


class Rootfs(Record):
    """A root file system that the container's own mount namespace assembles; the host never sees a mount.

    ``lower``   absolute layer directories, top-most first, as overlayfs wants them. Empty: ``upper`` is a plain root.
    ``upper``   the writable directory (the container's own changes); empty for a read-only root without one.
    ``work``    overlayfs work directory on the file system of ``upper``.
    ``userxattr``  overlay metadata lives in ``user.overlay.*`` (rootless).
    ``base``    of a plain root that began as a private copy of an image: the layers to compare it with, top-most first.
    ``volatile``   skip overlayfs syncs; only for containers that start once, and whose files need not outlast a crash.
    ``mapped``   the container is in a user namespace, and the ids of its files are the namespace's: on the disk is what the
                container sees, and layers are shared with everybody who sees the same.
    """

    lower: list[str] = []
    upper: str = ""
    work: str = ""
    base: list[str] = []
    userxattr: bool = False
    volatile: bool = False
    mapped: bool = False
