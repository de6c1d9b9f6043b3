"""How containers get their roots: layers stacked by overlayfs, or a private copy of them where overlayfs is not to be had.

``LADING_STORAGE`` says ``overlay``, ``copy``, or ``auto`` (the default): then overlayfs is tried out once below the image
store, and what came of it is remembered in its file ``storage`` until the kernel or the file system is another one.

What overlayfs needs and some lack: a kernel (or user namespace) that has it, a file system that may be its upper layer
(not overlayfs itself, not NFS), whiteouts (mknod of the device 0/0), extended attributes, and file types in directories.
Source: Linux Documentation/filesystems/overlayfs.rst, "Upper and Lower".
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, Unsupported
from lading.images.files import disk_error, read, write_atomically
from lading.roots import keep_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel

OVERLAY, COPY = "overlay", "copy"
_CHOICES = ("auto", OVERLAY, COPY)


class Choice:
    """``kind`` is ``overlay`` or ``copy``; ``reason`` says why it is a copy, empty when that was asked for."""

    __slots__ = ("kind", "reason")

    def __init__(self, kind: str, reason: str = "") -> None:
        self.kind = kind
        self.reason = reason


def wanted() -> str:
    """``LADING_STORAGE``. Raises :class:`InvalidInput`."""
    value = os.environ.get("LADING_STORAGE", "") or "auto"
    if value not in _CHOICES:
        raise InvalidInput(f"LADING_STORAGE={value[:80]!r} is not one of {', '.join(_CHOICES)}")
    return value


def choose(root: str, kernel: Kernel | None, *, userxattr: bool) -> Choice:
    """How the roots of new containers are made over the image store ``root``.

    Raises :class:`InvalidInput` for an unknown ``LADING_STORAGE``, :class:`Unsupported` (reason ``no-overlay``) where
    overlayfs was asked for and does not work.
    """
    asked = wanted()
    if asked == COPY:
        return Choice(COPY)
    here = _here(root, userxattr)
    known = read(root + "/storage")
    words = known.decode("utf-8", "replace").split("\n") if known is not None else []
    if words[:1] == [here]:
        problem = words[1] if len(words) > 1 else ""
    else:
        from lading.images.storage_trial import overlay_problem

        answer = overlay_problem(root, kernel, userxattr=userxattr)
        if answer is None:
            return Choice(OVERLAY)
        problem = answer
        write_atomically(root + "/storage", f"{here}\n{problem}\n".encode())
    if not problem:
        return Choice(OVERLAY)
    if asked == OVERLAY:
        raise Unsupported(
            f"LADING_STORAGE=overlay: {problem}",
            hint="leave it out: containers then get private copies of their images",
            reason="no-overlay",
        )
    return Choice(COPY, problem)


def _here(root: str, userxattr: bool) -> str:
    """What the answer depends on: another kernel or file system is tried out anew."""
    try:
        try:
            device = os.stat(root).st_dev
        except FileNotFoundError:
            keep_private(root)
            device = os.stat(root).st_dev
    except OSError as error:
        raise disk_error(error, f"cannot make the image store {root}") from None
    return f"{os.uname().release} {device:x}{' user' if userxattr else ''}"
