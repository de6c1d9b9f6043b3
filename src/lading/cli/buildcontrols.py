"""Build arguments that steer the builder itself: ``BUILDKIT_…`` and ``SOURCE_DATE_EPOCH``.

Source: the Dockerfile reference, "BuildKit built-in build args", and BuildKit's docs/build-repro.md.
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.request import Request
    from lading.flags import Parsed

_TRUE, _FALSE = ("1", "t", "true"), ("", "0", "f", "false")
_EPOCH = "SOURCE_DATE_EPOCH"


def steer(request: Request, parsed: Parsed) -> None:
    """Do what the arguments of ``request`` say. Raises :class:`InvalidInput` for no value of theirs, :class:`Unsupported`."""
    given = request.args
    request.hostname = given.get("BUILDKIT_SANDBOX_HOSTNAME", "")
    request.cache_namespace = given.get("BUILDKIT_CACHE_MOUNT_NS", "")
    if switched(given, "BUILDKIT_INLINE_CACHE") and "type=inline" not in parsed["cache-to"]:
        parsed["cache-to"].append("type=inline")
    if switched(given, "BUILDKIT_MULTI_PLATFORM"):
        raise Unsupported(
            "BUILDKIT_MULTI_PLATFORM=1 is not supported: an image for one platform is one, and no index",
            hint="leave it out, or name several platforms with --platform",
        )
    _language(given.get("BUILDKIT_SYNTAX", ""))
    _time(request)


def switched(given: dict[str, str], name: str) -> bool:
    """Whether a switch among the build arguments is on. Raises :class:`InvalidInput` for what is neither on nor off."""
    value = given.get(name, "").lower()
    if value not in _TRUE + _FALSE:
        raise InvalidInput(f"--build-arg {name}={given[name]} is neither true nor false")
    return value in _TRUE


def _language(image: str) -> None:
    from lading.formats.dockerfile.parser import speaks

    if image and image != "dockerfile.v0" and not speaks(image):
        raise Unsupported(
            f"--build-arg BUILDKIT_SYNTAX={image[:80]} is a language of its own, which this builder does not speak"
        )


def _time(request: Request) -> None:
    """The time of what is made: the argument's, the caller's variable, the file's default, in this order."""
    settings = request.settings
    text, where = request.args.get(_EPOCH), f"--build-arg {_EPOCH}"
    if text is None and settings.moment is not None:
        request.args[_EPOCH] = str(settings.moment)
        return
    if text is None:
        where = f"ARG {_EPOCH}"
        for argument in request.dockerfile.args:
            for definition in argument.definitions:
                if definition.name == _EPOCH:
                    text = definition.value
    if not text:
        return
    if text == "context":
        raise Unsupported(
            f"{where}=context is not supported",
            hint=f"give seconds, such as {_EPOCH}=$(git log -1 --format=%ct)",
        )
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InvalidInput(f"{where}={text[:80]!r} is not a whole number of seconds")
    settings.moment = int(text)
