"""``lading aci fetch``: images brought here from where their names lead, from URLs, files and registries."""

from __future__ import annotations

import sys

from lading.cli.deferred import progress
from lading.cli.output import each
from lading.errors import InvalidInput, NotFound
from lading.formats.appc.source import FILE, ID, REGISTRY, source
from lading.formats.appc.values import image_id_of
from lading.images.aci import FORMAT
from lading.images.aci.fetch import FetchOptions
from lading.images.aci.fetch import fetch as fetched
from lading.images.aci.trust import TrustStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed

_ASIDE = {
    "image": "signatures are not looked at",
    "tls": "any certificate will do, so any host can be in the place of the one that is asked",
    "http": "plain HTTP will do, and whoever is on the way can change what comes over it",
}


def fetch(context: Context, parsed: Parsed) -> int:
    """Fetch images and print their IDs."""
    aside = _insecure(parsed["insecure"])
    if parsed["signature"] and len(parsed.args) > 1:
        raise InvalidInput("--signature is of one image")
    options = FetchOptions(
        context.roots.config,
        TrustStore.of(context.roots),
        pull=parsed["pull"],
        unsigned="image" in aside,
        http="http" in aside,
        tls="tls" not in aside,
        signature=parsed["signature"],
    )
    return each(parsed.args, lambda text: _fetch(context, text, options, quiet=parsed["quiet"]))


def _fetch(context: Context, text: str, options: FetchOptions, *, quiet: bool) -> str:
    found = source(text)
    if found.kind == ID:
        image = FORMAT.find(context.images, f"sha512-{found.text}")
        if image is None:
            raise NotFound(
                f"image {text} is not here", hint="an ID leads nowhere: fetch it by name, URL or file"
            )
        return image_id_of(image.id)
    if found.kind == REGISTRY:
        return _pull(context, found.text, options, quiet=quiet)
    if found.kind == FILE and options.pull == "never":
        raise InvalidInput("--pull never means nothing for a file")
    return image_id_of(fetched(context.images, found, options, progress(quiet)).id)


def _pull(context: Context, reference: str, options: FetchOptions, *, quiet: bool) -> str:
    from lading.images.pull import PullOptions

    if options.signature:
        raise InvalidInput("--signature means nothing for an image of a registry")
    if options.pull != "always":
        try:
            return context.images.get(reference).id
        except NotFound:
            if options.pull == "never":
                raise
    insecure = options.http or not options.tls
    pull = PullOptions(config=context.roots.config, insecure=insecure)
    return context.images.pull(reference, options=pull, progress=progress(quiet)).id


def _insecure(texts: list[str]) -> set[str]:
    """What ``--insecure`` puts aside, each said aloud."""
    words = {word.strip() for text in texts for word in text.split(",")} - {""}
    if "all" in words:
        words = words - {"all"} | set(_ASIDE)
    words.discard("none")
    for word in sorted(words):
        if word not in _ASIDE:
            raise InvalidInput(
                f"--insecure: {word[:60]!r} is not known", hint=f"known are {', '.join(_ASIDE)}, all and none"
            )
        print(f"warning: --insecure {word}: {_ASIDE[word]}", file=sys.stderr, flush=True)
    return words
