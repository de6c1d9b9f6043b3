"""Files that say whom to trust: read only while nobody else may change them."""

from __future__ import annotations

import os
import stat

from lading.errors import Denied, InvalidInput
from lading.images.files import disk_error


def read_guarded(path: str, limit: int, *, kind: str, reason: str) -> bytes:
    """The content of a file of at most ``limit`` bytes; ``kind`` ("key file") and ``reason`` are for the errors.

    Raises :class:`Denied` (``unsafe-permissions``) when others may change it, :class:`InvalidInput` (``reason``) when it is
    no plain file or too large, and what a file that cannot be read does.
    """
    try:
        # A pipe must not hold us up before we see that it is one.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise disk_error(error, f"cannot read {path}") from None
    try:
        there = os.fstat(file)
        if not stat.S_ISREG(there.st_mode) or there.st_size > limit:
            raise InvalidInput(f"{path} is no {kind}", reason=reason)
        check_owner(there, path)
        return os.read(file, limit)
    finally:
        os.close(file)


def check_owner(there: os.stat_result, path: str) -> None:
    """Raise :class:`Denied` when somebody else may change ``path``, or who owns it can."""
    if there.st_mode & 0o022:
        raise Denied(
            f"{path}: others may write to it, so the keys could be anybody's",
            hint=f"chmod go-w {path}",
            reason="unsafe-permissions",
        )
    if there.st_uid not in (0, os.geteuid(), _nobody()):
        raise Denied(
            f"{path}: belongs to user {there.st_uid}", hint=f"chown root {path}", reason="unsafe-permissions"
        )


def _nobody() -> int:
    """Who owns what is root's outside of a user namespace; nobody's (-1) where all users are seen."""
    try:
        with open("/proc/self/uid_map") as file:
            if file.read().split() == ["0", "0", "4294967295"]:
                return -1
        with open("/proc/sys/kernel/overflowuid") as file:
            return int(file.read())
    except (OSError, ValueError):
        return -1
