"""What becomes of a build: ``--output`` and what stands for it, in typed form.

``type=image`` (the default), ``docker``, ``oci``, ``registry``, ``local``, ``tar``, ``cacheonly``; a directory alone is
``type=local,dest=DIR``, and ``-`` alone ``type=tar,dest=-``.
Source: docs.docker.com/reference/cli/docker/buildx/build, "--output"; BuildKit, docs/attestations and README.md.
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.formats import platform as platforms
from lading.formats.mountspec import csv
from lading.formats.reference import Reference
from lading.images.newlayer import LEVELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

IMAGE, DOCKER, OCI, REGISTRY, LOCAL, TAR, NOTHING = "image docker oci registry local tar cacheonly".split()
KINDS = (IMAGE, DOCKER, OCI, REGISTRY, LOCAL, TAR, NOTHING)
IMAGES = (IMAGE, DOCKER, OCI, REGISTRY)
"""The kinds that are images, with layers and a configuration."""

_FORM = frozenset(
    "compression compression-level force-compression oci-mediatypes name rewrite-timestamp annotation push "
    "store unpack name-canonical dangling-name-prefix push-by-digest oci-artifact tar context attestation-prefix".split()
)
_KNOWN = {
    IMAGE: _FORM - {"tar"},
    REGISTRY: _FORM - {"tar", "push"},
    DOCKER: _FORM - {"push", "tar"},
    OCI: _FORM - {"push"},
    LOCAL: frozenset({"platform-split"}),
    TAR: frozenset({"platform-split"}),
    NOTHING: frozenset(),
}
_PLACES = ("manifest", "index", "manifest-descriptor", "index-descriptor")


class Annotation:
    """``place``: manifest, index, manifest-descriptor or index-descriptor; ``platform``: of which, empty for all."""

    __slots__ = ("key", "place", "platform", "value")

    def __init__(self, place: str, platform: str, key: str, value: str) -> None:
        self.place = place
        self.platform = platform
        self.key = key
        self.value = value


class Form:
    """How layers and manifests of an image are written.

    ``force``: base images' layers are compressed in this way as well; ``docker``: Docker's media types instead of OCI's.
    ``chosen``: somebody has said how layers are compressed. ``as_kept``: new layers are not, before the image travels
    (:mod:`lading.images.travelling`).
    """

    __slots__ = ("annotations", "as_kept", "chosen", "compression", "docker", "force", "level")

    def __init__(self, compression: str = "gzip", level: int | None = None) -> None:
        self.compression = compression
        self.level = level
        self.force = False
        self.chosen = False
        self.as_kept = False
        self.docker = False
        self.annotations: list[Annotation] = []


class Output:
    """One output. ``dest``: a path, ``-``, or empty; ``split``: None as BuildKit does: when there are several platforms."""

    __slots__ = ("archive", "dest", "form", "kind", "names", "push", "rewrite", "split")

    def __init__(self, kind: str = IMAGE, dest: str = "") -> None:
        self.kind = kind
        self.dest = dest
        self.form = Form()
        self.names: list[str] = []
        self.push = kind == REGISTRY
        self.archive = True
        self.rewrite: bool | None = None
        self.split: bool | None = None

    @property
    def streams(self) -> bool:
        """Whether it is one stream of bytes."""
        return self.kind in (TAR, DOCKER, OCI) and bool(self.dest) and self.archive

    @property
    def is_image(self) -> bool:
        """Whether it has a configuration and an id."""
        return self.kind in IMAGES

    @property
    def stored(self) -> bool:
        """Whether the image is in the store afterwards."""
        return self.kind in (IMAGE, REGISTRY) or (self.kind == DOCKER and not self.dest)


def choose(
    texts: Sequence[str],
    *,
    load: bool = False,
    push: bool = False,
    names: Collection[str] = (),
    annotations: Sequence[str] = (),
) -> list[Output]:
    """The outputs of a build; without any, an image in the store. Raises :class:`InvalidInput`, :class:`Unsupported`."""
    made = [parse(text) for text in texts]
    if push:
        ready = [o for o in made if o.kind in (IMAGE, REGISTRY)]
        for output in ready:
            output.push = True
        if not ready:
            made.append(Output(REGISTRY))
    if load and not any(o.stored for o in made):
        made.append(Output(DOCKER))
    made = made or [Output()]
    told = [one for text in annotations for one in annotation(text)]
    if told and not any(o.is_image for o in made):
        raise InvalidInput("--annotation goes with an image, and no output is one")
    for output in made:
        if not output.is_image:
            continue
        if told and output.form.docker:
            raise InvalidInput(
                "--annotation: Docker's manifests have no annotations", hint="leave oci-mediatypes out"
            )
        output.form.annotations += told
        output.names += [name for name in names if name not in output.names]
        for name in output.names:
            if Reference.parse(name).digest:
                raise InvalidInput(f"the name {name!r} has a digest", hint="leave out @ and what follows")
        if output.push and not output.names:
            raise InvalidInput("an image that is pushed needs a name", hint="give one with --tag")
    streams = [o for o in made if o.dest == "-"]
    if len(streams) > 1:
        raise InvalidInput("two outputs want standard output", hint="give one of them a file with dest=")
    return made


def parse(text: str) -> Output:
    """One ``--output``. Raises :class:`InvalidInput`, :class:`Unsupported`."""
    if "=" not in text:
        if not text:
            raise InvalidInput("--output is empty", hint="write a directory, or type=KIND")
        return Output(TAR, "-") if text == "-" else Output(LOCAL, text)
    rows: list[tuple[str, str]] = []
    kind = dest = ""
    for field in csv(text):
        name, equals, value = field.partition("=")
        lowered = name.strip().lower()
        if not equals:
            raise InvalidInput(f"--output {text!r}: {field!r} is no NAME=VALUE")
        if lowered == "type":
            kind = value
        elif lowered in ("dest", "destination"):
            dest = value
        else:
            rows.append((name.strip() if lowered.startswith("annotation") else lowered, value))
    if kind not in KINDS:
        raise InvalidInput(
            f"--output {text!r}: type {kind!r} is not one of {', '.join(KINDS)}",
            hint="for example type=local,dest=DIR",
        )
    output = Output(kind, dest)
    for name, value in rows:
        _attribute(output, name, value, text)
    _check(output, text)
    return output


def _check(output: Output, text: str) -> None:
    kind, dest = output.kind, output.dest
    if kind in (LOCAL, TAR, OCI) and not dest:
        if kind == LOCAL:
            raise InvalidInput(f"--output {text!r} has no dest=DIRECTORY")
        output.dest = "-"
    if dest and kind in (IMAGE, REGISTRY, NOTHING):
        raise InvalidInput(f"--output {text!r}: type={kind} has no dest")
    if (kind == LOCAL or not output.archive) and output.dest == "-":
        raise InvalidInput(f"--output {text!r}: a directory cannot be standard output", hint="use type=tar")
    form = output.form
    if form.compression == "uncompressed" and form.level is not None:
        raise InvalidInput(f"--output {text!r}: a compression level goes with gzip or zstd")
    if form.level is not None:
        lowest, highest = LEVELS[form.compression]
        if not lowest <= form.level <= highest:
            raise InvalidInput(
                f"--output {text!r}: level {form.level} of {form.compression} is not {lowest} to {highest}"
            )
    if form.docker and form.compression == "zstd":
        raise InvalidInput(
            f"--output {text!r}: Docker's media types have none for zstd", hint="leave oci-mediatypes out"
        )
    if form.docker and form.annotations:
        raise InvalidInput(
            f"--output {text!r}: Docker's manifests have no annotations", hint="leave oci-mediatypes out"
        )


def _attribute(output: Output, name: str, value: str, text: str) -> None:
    key = name.partition(".")[0].partition("[")[0]
    base = "annotation" if key.startswith("annotation") else name
    if base not in _KNOWN[output.kind]:
        known = ", ".join(sorted(_KNOWN[output.kind])) or "none"
        raise InvalidInput(f"--output {text!r}: type={output.kind} has no {name!r}", hint=f"it has {known}")
    form = output.form
    form.chosen |= name in ("compression", "compression-level", "force-compression")
    if base == "annotation":
        form.annotations.append(_annotation_of(name, value, text))
    elif name == "name":
        output.names += [n for n in csv(value) if n and n not in output.names]
    elif name == "compression":
        if value not in ("gzip", "zstd", "uncompressed"):
            if value == "estargz":
                raise Unsupported(f"--output {text!r}: compression estargz is not supported")
            raise InvalidInput(f"--output {text!r}: compression {value!r} is not gzip, zstd or uncompressed")
        form.compression = value
    elif name == "compression-level":
        if not (value.isascii() and value.isdigit() and len(value) < 4):
            raise InvalidInput(f"--output {text!r}: compression-level {value!r} is no number")
        form.level = int(value)
    elif name == "force-compression":
        form.force = _truth(value, name, text)
    elif name == "oci-mediatypes":
        form.docker = not _truth(value, name, text)
    elif name == "push":
        output.push = _truth(value, name, text)
    elif name == "tar":
        output.archive = _truth(value, name, text)
    elif name == "rewrite-timestamp":
        output.rewrite = _truth(value, name, text)
    elif name == "platform-split":
        output.split = _truth(value, name, text)
    elif name in ("store", "unpack"):
        # Every image is in the store here, and unpacked.
        if name == "store" and not _truth(value, name, text):
            raise Unsupported(
                f"--output {text!r}: an image that is not stored is not supported", hint="use type=oci"
            )
    else:
        raise Unsupported(f"--output {text!r}: {name} is not supported")


def annotation(text: str) -> list[Annotation]:
    """One ``--annotation``: ``[PLACE[,PLACE…]:]KEY=VALUE``, a place being for example ``index`` or ``manifest[linux/arm64]``.

    Raises :class:`InvalidInput`.
    """
    left, equals, value = text.partition("=")
    place, colon, key = left.rpartition(":")
    if not equals or not key:
        raise InvalidInput(f"--annotation {text!r} is no KEY=VALUE")
    places = (
        [_place(word, f"--annotation {text!r}") for word in place.split(",")] if colon else [("manifest", "")]
    )
    return [Annotation(name, platform, key, value) for name, platform in places]


def _annotation_of(name: str, value: str, text: str) -> Annotation:
    """``annotation.KEY``, ``annotation-index.KEY``, ``annotation-manifest[linux/amd64].KEY``…"""
    rest = name.removeprefix("annotation")
    if rest.startswith("."):
        place, key = "manifest", rest[1:]
    else:
        cut = rest.find("].") + 1 if "[" in rest.partition(".")[0] else rest.find(".")
        place, key = rest[1:cut] if rest[:1] == "-" else f"manifest{rest[:cut]}", rest[cut + 1 :]
        if cut <= 0 or rest[0] not in "-[":
            raise InvalidInput(
                f"--output {text!r}: {name!r} is no annotation", hint="write annotation.KEY=VALUE"
            )
    if not key:
        raise InvalidInput(f"--output {text!r}: {name!r} has no key")
    where, platform = _place(place, f"--output {text!r}")
    return Annotation(where, platform, key, value)


def _place(text: str, what: str) -> tuple[str, str]:
    name, bracket, rest = text.partition("[")
    if name not in _PLACES or (bracket and not rest.endswith("]")):
        raise InvalidInput(f"{what}: {text!r} is not one of {', '.join(_PLACES)}")
    platform = platforms.text(platforms.parse(rest[:-1])) if bracket else ""
    if platform and name.startswith("index"):
        raise InvalidInput(f"{what}: an index is of no platform")
    return name, platform


def _truth(value: str, name: str, text: str) -> bool:
    if value in ("true", "1", "True", "TRUE", "t"):
        return True
    if value in ("false", "0", "False", "FALSE", "f"):
        return False
    raise InvalidInput(f"--output {text!r}: {name}={value!r} is neither true nor false")
