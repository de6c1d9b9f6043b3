"""Caches shared with other machines: ``--cache-to`` and ``--cache-from`` in typed form, and the form of what is shared.

BuildKit's cache manifests name results by digests of its own low-level steps, which mean nothing here. So the cache is an OCI
manifest with an artifact type of its own: its layers are the blobs of the layers, and its configuration says which keys they
answer. Keys speak of content alone, so another machine's build finds all of it. ``type=inline`` writes the same records into an
annotation of the image itself.
"""

from __future__ import annotations

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.mountspec import csv
from lading.formats.oci_image import Descriptor
from lading.formats.reference import Reference
from lading.formats.schema import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ARTIFACT = "application/vnd.lading.build.cache.v1"
CONFIG = "application/vnd.lading.build.cache.config.v1+json"
ANNOTATION = "io.lading.build.cache"
REGISTRY, LOCAL, INLINE = "registry", "local", "inline"
_OTHERS = ("gha", "s3", "azblob")
MOST_RECORDS = 100_000
MOST_LAYERS = 10_000
MAX_CONFIG = 64 << 20

_KNOWN = {
    (
        REGISTRY,
        True,
    ): "ref mode compression compression-level force-compression oci-mediatypes image-manifest ignore-error".split(),
    (
        LOCAL,
        True,
    ): "dest mode tag compression compression-level force-compression oci-mediatypes image-manifest ignore-error".split(),
    (INLINE, True): [],
    (REGISTRY, False): ["ref"],
    (LOCAL, False): ["src", "tag", "digest"],
}


class Place:
    """One ``--cache-to`` or ``--cache-from``. ``where``: a reference or a directory; ``whole``: ``mode=max``."""

    __slots__ = ("compression", "digest", "force", "kind", "level", "tag", "tolerant", "where", "whole")

    def __init__(self, kind: str, where: str = "") -> None:
        self.kind = kind
        self.where = where
        self.whole = False
        self.tag = "latest"
        self.digest = ""
        self.compression = "gzip"
        self.level: int | None = None
        self.force = False
        self.tolerant = False

    @property
    def name(self) -> str:
        """How people are told of it."""
        return self.where or self.kind


class SharedLayer(Record):
    """``blob``: an index into the manifest's layers."""

    _keep_empty = ("blob",)
    blob: int
    diff_id: str


class SharedRecord(Record):
    """A step's result: the ``keys`` that it answers, and its layers, bottom first, each an index with its time and size."""

    _keep_empty = ("layers",)
    keys: list[str]
    name: str = ""
    layers: list[int] = []
    created: list[str] = []
    sizes: list[int] = []


class SharedConfig(Record):
    """The configuration of a cache manifest; in an annotation ``layers`` is empty, indexes are the image's."""

    version: int = 1
    layers: list[SharedLayer] = []
    records: list[SharedRecord] = []


def decode(data: bytes | str, what: str) -> SharedConfig:
    """Parse and check. Raises :class:`InvalidInput`, :class:`Unsupported` for another version."""
    made = SharedConfig.decode(jsontext.loads(data, what=what), where=what, strict=False)
    if made.version != 1:
        raise Unsupported(f"{what} is of version {made.version}")
    if len(made.records) > MOST_RECORDS or len(made.layers) > MOST_LAYERS:
        raise InvalidInput(f"{what} has too many records or layers")
    for layer in made.layers:
        digests.check(layer.diff_id, what=f"{what}: diff-id")
    for record in made.records:
        if not len(record.layers) == len(record.created) == len(record.sizes):
            raise InvalidInput(f"{what}: a record's layers, times and sizes are not as many")
        for key in record.keys:
            if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
                raise InvalidInput(f"{what}: {key[:80]!r} is no key")
        if any(size < 0 for size in record.sizes) or any(index < 0 for index in record.layers):
            raise InvalidInput(f"{what}: a record has a negative number")
    return made


def check_indexes(made: SharedConfig, layers: int, what: str) -> None:
    """Raise :class:`InvalidInput` for a record that speaks of a layer that is not there."""
    if any(index >= layers for record in made.records for index in record.layers):
        raise InvalidInput(f"{what} speaks of layers that it does not have")


def places(texts: Sequence[str], *, to: bool) -> list[Place]:
    """``--cache-to`` or ``--cache-from``. Raises :class:`InvalidInput`, :class:`Unsupported`."""
    return [_place(text, to=to) for text in texts]


def _place(text: str, *, to: bool) -> Place:
    flag = f"{'--cache-to' if to else '--cache-from'} {text!r}"
    if "=" not in text:
        Reference.parse(text)
        return Place(REGISTRY, text)
    fields: dict[str, str] = {}
    for field in csv(text):
        name, equals, value = field.partition("=")
        if not equals:
            raise InvalidInput(f"{flag}: {field!r} is no NAME=VALUE")
        fields[name.strip().lower()] = value
    kind = fields.pop("type", "")
    if kind in _OTHERS:
        raise Unsupported(f"{flag}: type={kind} is not supported", hint="use type=registry or type=local")
    known = _KNOWN.get((kind, to))
    if known is None:
        kinds = (
            "registry, local or inline"
            if to
            else "registry or local (an image with an inline cache is a registry's)"
        )
        raise InvalidInput(f"{flag}: type={kind!r} is not {kinds}")
    for name in fields:
        if name not in known:
            raise InvalidInput(
                f"{flag}: type={kind} has no {name!r}", hint=f"it has {', '.join(known) or 'nothing'}"
            )
    made = Place(kind, fields.get("ref") or fields.get("dest") or fields.get("src") or "")
    if kind != INLINE and not made.where:
        raise InvalidInput(f"{flag} has no {'ref' if kind == REGISTRY else 'dest' if to else 'src'}=")
    if kind == REGISTRY and Reference.parse(made.where).digest and to:
        raise InvalidInput(f"{flag}: a digest follows from the content", hint="name a tag")
    _more(made, fields, flag)
    return made


def _more(made: Place, fields: dict[str, str], flag: str) -> None:
    from lading.build.outputs import parse

    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidInput(f"{flag}: mode={mode!r} is neither min nor max")
    made.whole = mode == "max"
    made.tag = fields.get("tag") or "latest"
    made.digest = fields.get("digest", "")
    if made.digest:
        digests.check(made.digest, what=f"{flag}: digest")
    for name in ("oci-mediatypes", "image-manifest"):
        if fields.get(name, "true") not in ("true", "1"):
            raise Unsupported(f"{flag}: {name}=false is not supported: a cache is an OCI manifest")
    made.tolerant = _truth(fields.get("ignore-error", "false"), flag)
    names = ("compression", "compression-level", "force-compression")
    form = ",".join(f"{name}={fields[name]}" for name in names if name in fields)
    try:
        told = parse(f"type=image,{form}" if form else "type=image").form
    except LadingError as error:
        raise InvalidInput(f"{flag}: {error.message.partition(': ')[2] or error.message}") from None
    made.compression, made.level, made.force = told.compression, told.level, told.force


def _truth(value: str, flag: str) -> bool:
    if value not in ("true", "false", "1", "0"):
        raise InvalidInput(f"{flag}: {value!r} is neither true nor false")
    return value in ("true", "1")


def described(media_type: str, data: bytes) -> Descriptor:
    """The descriptor of ``data``."""
    return Descriptor(media_type=media_type, digest=digests.of(data), size=len(data))
