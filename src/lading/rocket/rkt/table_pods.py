"""Names, arguments and flags of the verbs that look after pods."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Command


def commands() -> list[Command]:
    """The verbs."""
    return []
