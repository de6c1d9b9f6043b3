"""Which pods a command is about: UUIDs on its line, or the one in the file that ``--uuid-file-save`` wrote."""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, LadingError, NotFound
from lading.flags import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Parsed

_MOST = 4096


def chosen(parsed: Parsed) -> list[str]:
    """The UUIDs or beginnings of them, at least one. Raises :class:`UsageError` for none, and for both ways at once."""
    path = parsed["uuid-file"]
    if path and parsed.args:
        raise UsageError("--uuid-file and a UUID contradict each other", hint="say it in one way")
    if path:
        return [read(path)]
    if not parsed.args:
        raise UsageError("which pod is missing", hint="name its UUID, or a file with --uuid-file")
    return list(parsed.args)


def read(path: str) -> str:
    """The UUID in a file. Raises :class:`NotFound`, :class:`InvalidInput`."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidInput(f"--uuid-file {path} is no file")
            text = file.read(_MOST)
    except FileNotFoundError:
        raise NotFound(
            f"--uuid-file {path} does not exist", hint="--uuid-file-save of run or prepare makes it"
        ) from None
    except OSError as error:
        raise LadingError(f"--uuid-file {path}: {error.strerror}", reason="io") from None
    found = text.decode("utf-8", "replace").strip()
    if len(found) != 36:
        raise InvalidInput(f"--uuid-file {path} holds no UUID")
    return found
