"""Meta discovery without a network: which pages to ask, and what a page says about an image.

Source: spec/discovery.md. Fetching, caching and the walk from a page to its parent are the caller's; here texts go in and
URLs come out. Whatever a page says stays within what it may speak of: prefixes match at the borders of a name's components.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.appc.errors import shown
from lading.formats.appc.metatags import read
from lading.formats.appc.names import below, parents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.appc.image import ImageManifest
    from lading.formats.appc.wanted import Wanted

LATEST = "latest"
_URL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?#[]@!$&'()*+,;=%")
_LONGEST = 8192


class Endpoint:
    """Where an image and its signature are."""

    __slots__ = ("aci", "signature")

    def __init__(self, aci: str, signature: str) -> None:
        self.aci = aci
        self.signature = signature

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and (self.aci, self.signature) == (other.aci, other.signature)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Endpoint({self.aci!r}, {self.signature!r})"


class Found:
    """What one page says of one image, in the page's order; ``skipped`` are templates that could not be used, with the reason."""

    __slots__ = ("endpoints", "keys", "skipped")

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.keys: list[str] = []
        self.skipped: list[tuple[str, str]] = []


def pages(name: str, *, scheme: str = "https", port: int = 0) -> list[str]:
    """The discovery URLs of an image name: its own, then its parents'. ``port`` 0 is the scheme's own."""
    made: list[str] = []
    for prefix in parents(name):
        host, slash, path = prefix.partition("/")
        made.append(f"{scheme}://{host}{f':{port}' if port else ''}{slash}{path}?ac-discovery=1")
    return made


def endpoints(html: str, wanted: Wanted) -> Found:
    """What the page ``html`` says about ``wanted``. Raises :class:`InvalidInput` (``discovery-page``) for one beyond limits."""
    found = Found()
    values = {"version": LATEST, **wanted.labels, "name": wanted.name}
    if not values["version"]:
        values["version"] = LATEST
    for tag in read(html):
        if not below(wanted.name, tag.prefix):
            continue
        if tag.kind == "discovery":
            _add(found, tag.value, values)
        elif tag.kind == "discovery-pubkeys":
            why = _unusable(tag.value)
            if why:
                found.skipped.append((tag.value, why))
            elif tag.value not in found.keys:
                found.keys.append(tag.value)
    return found


def _add(found: Found, template: str, values: Mapping[str, str]) -> None:
    if "{ext}" not in template:
        found.skipped.append((template, "it has no {ext}"))
        return
    aci, missing = render(template, {**values, "ext": "aci"})
    signature, _ = render(template, {**values, "ext": "aci.asc"})
    why = _unusable(aci) if missing is None else f"nothing is known for {{{missing}}}"
    if why:
        found.skipped.append((template, why))
        return
    made = Endpoint(aci, signature)
    if made not in found.endpoints:
        found.endpoints.append(made)


def render(template: str, values: Mapping[str, str]) -> tuple[str, str | None]:
    """The template with its variables replaced, and the first variable that has no value (None when all have).

    Each is replaced once: a value that looks like a variable is none. Characters that a URL cannot have are percent-encoded.
    """
    made: list[str] = []
    missing: str | None = None
    rest = template
    while True:
        before, brace, after = rest.partition("{")
        made.append(before)
        if not brace:
            return _encoded("".join(made)), missing
        name, end, rest = after.partition("}")
        if end and name in values:
            made.append(values[name])
            continue
        missing = name if missing is None else missing
        made.append(f"{{{name}{end}")


def _encoded(url: str) -> str:
    return "".join(c if c in _URL else "".join(f"%{b:02X}" for b in c.encode()) for c in url)


def _unusable(url: str) -> str:
    scheme, colon, rest = url.partition("://")
    if not colon or not scheme.isascii() or not scheme.isalpha():
        return "it is not an absolute URL"
    if scheme.lower() not in ("https", "http"):
        return f"the scheme {shown(scheme)} is not supported"
    if not rest.partition("/")[0]:
        return "it has no host"
    if len(url) > _LONGEST:
        return f"it is longer than {_LONGEST} characters"
    return "" if _URL.issuperset(url) else "it has characters that a URL cannot have"


def check_found(manifest: ImageManifest, wanted: Wanted) -> None:
    """The image that arrived must be the one that was asked for: same name, and every label with its value.

    Raises :class:`InvalidInput` (reason ``other-image``).
    """
    if manifest.name != wanted.name:
        raise InvalidInput(
            f"asked for {wanted.name}, and what arrived is {shown(manifest.name)}", reason="other-image"
        )
    for name, value in wanted.labels.items():
        offered = {label.name: label.value for label in manifest.labels}
        if offered.get(name) != value:
            has = f"has {shown(offered[name])}" if name in offered else "has no such label"
            raise InvalidInput(
                f"asked for {wanted.name} with {name}={value}, and what arrived {has}", reason="other-image"
            )
