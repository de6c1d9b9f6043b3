"""``lading aci fetch``: images brought here from where their names lead, from URLs, files and registries."""

from __future__ import annotations

import sys

from lading.cli.output import each
from lading.errors import InvalidInput
from lading.formats.appc.values import image_id_of
from lading.images.aci.finding import KIND
from lading.rocket.rkt.choosing import NEVER, NEW, UPDATE, Chooser
from lading.rocket.rkt.insecure import ASIDE, FETCH, Insecure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed

_POLICIES = {"never": NEVER, "missing": NEW, "always": UPDATE}


def fetch(context: Context, parsed: Parsed) -> int:
    """Fetch images and print their IDs."""
    aside = Insecure(frozenset(_insecure(parsed["insecure"])))
    if parsed["signature"] and len(parsed.args) > 1:
        raise InvalidInput("--signature is of one image")
    chooser = Chooser(context, _POLICIES[parsed["pull"]], aside, quiet=parsed["quiet"], flag="--pull")

    def bring(text: str) -> str:
        image = chooser.image(text, parsed["signature"])
        return image_id_of(image.id) if image.kind == KIND else image.id

    return each(parsed.args, bring)


def _insecure(texts: list[str]) -> set[str]:
    """What ``--insecure`` puts aside, each said aloud."""
    words = {word.strip() for text in texts for word in text.split(",")} - {""}
    if "all" in words:
        words = words - {"all"} | set(FETCH)
    words.discard("none")
    for word in sorted(words):
        if word not in FETCH:
            raise InvalidInput(
                f"--insecure: {word[:60]!r} is not known", hint=f"known are {', '.join(FETCH)}, all and none"
            )
        print(f"warning: --insecure {word}: {ASIDE[word]}", file=sys.stderr, flush=True)
    return words
