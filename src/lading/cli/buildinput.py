"""What goes into ``lading build``: from its flags and its word for the context to a request."""

from __future__ import annotations

import os
import sys

from lading.errors import InvalidInput
from lading.formats.dockerfile.remote import is_http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.progress import Progress
    from lading.build.request import Request
    from lading.build.workshop import Settings
    from lading.cli.context import Context
    from lading.flags import Parsed


def request(context: Context, parsed: Parsed, progress: Progress) -> Request:
    """The request; its :meth:`Request.close` is the caller's. Raises :class:`DockerfileError`, :class:`InvalidInput`, …"""
    from lading.build.arrivals import Arrivals
    from lading.build.fetching import Fetching
    from lading.build.origins import LARGEST_FILE
    from lading.build.request import Request
    from lading.cli.buildoutput import platform_names
    from lading.formats import platform as platforms
    from lading.formats.dockerfile import parse
    from lading.kernel import Kernel

    where = parsed.args[0] if parsed.args else "."
    settings = _settings(parsed)
    data = context.roots.data + "/build"
    fetching = Fetching(context.images, data, context.roots.config, settings, progress)
    arrivals = Arrivals(Kernel(), context.images, fetching, data)
    stream = sys.stdin.buffer
    file, text = parsed["file"], None
    if file == "-":
        if where == "-":
            raise InvalidInput(
                "the Dockerfile and the context cannot both come from standard input",
                hint="put the Dockerfile into the archive",
            )
        file, text = "", stream.read(LARGEST_FILE + 1)
    elif is_http(file):
        with os.fdopen(fetching.downloads.get(file, limit=LARGEST_FILE).open(), "rb") as fetched:
            file, text = "", fetched.read()
    origin = arrivals.origin(where, file=file, text=text, stream=stream)
    try:
        here = platforms.host()
        platform = platforms.parse(next(iter(platform_names(parsed)), ""))
        made = Request(
            parse(origin.data, origin.name), platform=platform, build_platform=here, settings=settings
        )
    except BaseException:
        if origin.context is not None:
            origin.context.close()
        raise
    if origin.context is not None:
        made.contexts[""] = origin.context
    try:
        made.fetching = fetching
        made.ignore = origin.ignore
        for row in parsed["build-context"]:
            arrivals.named(made, row)
        _fill(made, parsed)
    except BaseException:
        made.close()
        raise
    return made


def _settings(parsed: Parsed) -> Settings:
    from lading.build.workshop import Settings
    from lading.images.make import source_date

    settings = Settings()
    if os.environ.get("SOURCE_DATE_EPOCH"):
        settings.moment = source_date(0)
    return settings


def _fill(made: Request, parsed: Parsed) -> None:
    """What flags say that need no look at anything."""
    settings = made.settings
    made.args = pairs(parsed["build-arg"], "--build-arg", environ=True)
    if settings.moment is not None:
        made.args.setdefault("SOURCE_DATE_EPOCH", str(settings.moment))
    made.labels = pairs(parsed["label"], "--label", environ=False)
    made.target = parsed["target"]
    made.no_cache = parsed["no-cache"]
    made.no_cache_stages = frozenset(
        name.lower() for text in parsed["no-cache-filter"] for name in text.split(",") if name
    )
    made.pull = parsed["pull"]


def pairs(texts: list[str], flag: str, *, environ: bool) -> dict[str, str]:
    """``NAME=VALUE`` rows; a name alone takes the caller's variable where ``environ`` says so."""
    made = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise InvalidInput(f"{flag} {text!r} has no name", hint="write NAME=VALUE")
        if not equals and environ:
            found = os.environ.get(name)
            if found is None:
                continue
            value = found
        made[name] = value
    return made
