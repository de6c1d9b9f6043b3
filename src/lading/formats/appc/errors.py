"""The one error of this format: what is wrong with which field."""

from __future__ import annotations

from lading.errors import InvalidInput

_SHOWN = 80


def bad(where: str, why: str, *, hint: str = "", reason: str = "") -> InvalidInput:
    """An error about the field ``where`` (``app.ports[0].name``); ``why`` goes on from there."""
    return InvalidInput(f"{where}: {why}" if where else why, hint=hint, reason=reason)


def shown(text: str) -> str:
    """A text from outside for an error: quoted, on one line, not too long."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def join(where: str, field: str) -> str:
    """The path one level deeper."""
    return f"{where}.{field}" if where else field
