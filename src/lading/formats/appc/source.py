"""What a text on the command line means: one grammar for images by name, by ID, by file, by URL and from a registry.

Source: Rocket's documentation, "image fetching behavior" and "distribution points". The text alone decides; nothing is looked
up, so the same command means the same thing in every directory.
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.formats.appc.errors import shown
from lading.formats.appc.values import id_prefix
from lading.formats.appc.wanted import Wanted, wanted

ID, NAME, FILE, URL, REGISTRY = "id", "name", "file", "url", "registry"


class Source:
    """Where an image comes from.

    ``kind``  ``id``, ``name`` (discovery), ``file``, ``url`` or ``registry``.
    ``text``  hex digits of the ID, a path, a URL, or an OCI reference; for a name what was typed.
    """

    __slots__ = ("kind", "text", "wanted")

    def __init__(self, kind: str, text: str, wanted: Wanted | None = None) -> None:
        self.kind = kind
        self.text = text
        self.wanted = wanted

    def __repr__(self) -> str:
        return f"Source({self.kind!r}, {self.text!r})"


def source(text: str) -> Source:
    """``sha512-…``, ``/path`` and ``./path``, ``file://``, ``https://``, ``docker://``, or a name.

    Raises :class:`InvalidInput`, :class:`Unsupported` (another scheme).
    """
    scheme, colon, rest = text.partition("://")
    if colon:
        return _with_scheme(scheme.lower(), rest, text)
    if text.startswith("sha512-"):
        digits = id_prefix(text)
        if digits is None:
            raise InvalidInput(
                f"image {shown(text)} is not an image ID",
                hint="sha512- and four to 128 lower-case hex digits",
            )
        return Source(ID, digits)
    if text.startswith(("/", "./", "../")) or text in (".", ".."):
        return Source(FILE, text)
    if text.startswith("docker:"):
        raise InvalidInput(f"image {shown(text)}: two slashes are missing", hint=f"docker://{text[7:]}")
    return Source(NAME, text, wanted(text))


def _with_scheme(scheme: str, rest: str, text: str) -> Source:
    if scheme in ("http", "https"):
        if not rest.partition("/")[0]:
            raise InvalidInput(f"image {shown(text)}: the URL has no host")
        return Source(URL, text)
    if scheme == "file":
        host, slash, path = rest.partition("/")
        if not slash or host not in ("", "localhost"):
            raise InvalidInput(
                f"image {shown(text)}: not a file of this machine", hint="file:///absolute/path"
            )
        return Source(FILE, "/" + path)
    if scheme == "docker":
        # docker:///redis is the default registry, as is docker://redis.
        reference = rest.lstrip("/")
        if not reference:
            raise InvalidInput(f"image {shown(text)} names no image", hint="for example docker://busybox")
        return Source(REGISTRY, reference)
    raise Unsupported(
        f"image {shown(text)}: the scheme {shown(scheme)} is not supported",
        hint="use docker://, https://, http:// or file://",
    )
