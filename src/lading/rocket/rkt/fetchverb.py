"""``lading rkt fetch``: images brought here before somebody runs them."""

from __future__ import annotations

from lading.cli.output import each
from lading.errors import InvalidInput
from lading.rocket.rkt.appimages import id_of
from lading.rocket.rkt.choosing import Chooser, policy
from lading.rocket.rkt.insecure import of_line
from lading.rocket.rkt.statuses import FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed

_SHORT_ID = len("sha512-") + 32


def fetch(context: Context, parsed: Parsed) -> int:
    """Fetch images and print their IDs, shortened unless they are to be whole."""
    if parsed["signature"] and len(parsed.args) > 1:
        raise InvalidInput("--signature is of one image")
    aside = of_line(parsed.globals, parsed["insecure-options"])
    chooser = Chooser(context, policy(parsed.values), aside)

    def bring(text: str) -> str:
        found = id_of(chooser.image(text, parsed["signature"]))
        return found if parsed["full"] else found[:_SHORT_ID]

    return FAILED if each(parsed.args, bring) else 0
