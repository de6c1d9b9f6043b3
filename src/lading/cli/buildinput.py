"""What goes into ``lading build``: from its flags and its word for the context to a request."""

from __future__ import annotations

import os

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.request import Request
    from lading.cli.context import Context
    from lading.flags import Parsed


def request(context: Context, parsed: Parsed) -> Request:
    """The request. Raises :class:`DockerfileError`, :class:`InvalidInput`, :class:`NotFound`."""
    from lading.build.origins import of_directory
    from lading.build.request import Request
    from lading.build.workshop import Settings
    from lading.cli.buildoutput import platform_names
    from lading.formats import platform as platforms
    from lading.formats.dockerfile import parse
    from lading.images.make import source_date
    from lading.kernel import Kernel

    where = parsed.args[0] if parsed.args else "."
    settings = Settings()
    if os.environ.get("SOURCE_DATE_EPOCH"):
        settings.moment = source_date(0)
    origin = of_directory(Kernel(), where, file=parsed["file"], data=context.roots.data + "/build")
    here = platforms.host()
    platform = platforms.parse(next(iter(platform_names(parsed)), ""))
    dockerfile = parse(origin.data, origin.name)
    made = Request(dockerfile, platform=platform, build_platform=here, settings=settings)
    if origin.context is not None:
        made.contexts[""] = origin.context
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
    return made


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
