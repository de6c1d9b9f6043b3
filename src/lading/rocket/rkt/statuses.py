"""How a verb ends: 0, an app's own status where the verb is about one, or 254 for everything that went wrong."""

from __future__ import annotations

from functools import wraps

from lading.errors import LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.cli.context import Context
    from lading.flags import Parsed

    Action = Callable[[Context, Parsed], int]

FAILED = 254
"""Rocket's exit status for whatever is not an app's."""


def as_rocket(action: Action) -> Action:
    """``action``, ending as Rocket's verbs do. A command that an app does not have stays 127, or 126, as in a shell."""

    @wraps(action)
    def guarded(context: Context, parsed: Parsed) -> int:
        try:
            return action(context, parsed)
        except LadingError as error:
            if error.exit_status == LadingError.exit_status:
                error.exit_status = FAILED
            raise

    return guarded
