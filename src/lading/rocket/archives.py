"""``lading aci``: image archives checked, made, shown, unpacked, and moved into the store and out of it."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from lading.cli.outfile import writing
from lading.cli.output import each
from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats import jsontext
from lading.formats.appc.convert import to_oci
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.labels import mapping
from lading.formats.appc.pod import PodManifest
from lading.formats.appc.record import LARGEST, Manifest, spelled, unknown_fields
from lading.formats.appc.source import FILE, source
from lading.formats.appc.values import image_id_of
from lading.formats.appc.wanted import Wanted, wanted
from lading.images.aci import FORMAT, archive, root
from lading.images.aci import build as building
from lading.images.aci.receive import receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.images import Image, Images


def validate(context: Context, parsed: Parsed) -> int:
    """Check files and say what each is."""
    return each(parsed.args, _validate)


def _validate(path: str) -> str:
    with _about(path):
        pieces = archive.pieces_of(path)
        head = next(pieces, b"")
        if head.lstrip()[:1] == b"{":
            return f"{path}: {_manifest(path, _all(path, head, pieces))}"
        found = archive.examine(_again(head, pieces), what=path)
    _say_unknown(path, found.unknown)
    name = Wanted(found.manifest.name, mapping(found.manifest.labels))
    return f"{path}: valid image {_printable(str(name))}, {found.entries} entries, {found.image_id}"


@contextmanager
def _about(path: str) -> Iterator[None]:
    """Errors within are about the file ``path``, and say so: what reads archives does not know where they come from."""
    try:
        yield
    except LadingError as error:
        if path not in error.message:
            error.message = f"{path}: {error.message}"
        raise


def _again(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _all(path: str, text: bytes, rest: Iterator[bytes]) -> bytes:
    for piece in rest:
        text += piece
        if len(text) > LARGEST:
            raise InvalidInput(f"{path}: more than the {LARGEST} bytes that a manifest may have")
    return text


def _manifest(path: str, text: bytes) -> str:
    value = jsontext.loads(text, what=path)
    pod = type(value) is dict and value.get("acKind") == "PodManifest"
    kind: type[Manifest] = PodManifest if pod else ImageManifest
    made = kind.parse(text, what=path)
    _say_unknown(path, unknown_fields(made, spelled(value)))
    return "valid pod manifest" if pod else "valid image manifest"


def _say_unknown(path: str, fields: list[str]) -> None:
    for field in fields:
        _note(f"{path}: nobody knows the field {field}")


def _note(text: str) -> None:
    """A line on standard error. Control characters are shown escaped, whatever an archive calls its things."""
    print(_printable(text), file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


# --- making ---------------------------------------------------------------------------------------------------------


def build(context: Context, parsed: Parsed) -> int:
    """Make an archive; its image ID is printed when the archive goes into a file."""
    _refuse_other_suffix(parsed["output"])
    if parsed["image"]:
        _refuse(parsed, "with --image", manifest=parsed["manifest"], directory=parsed.args)
        built = _build_from_image(context, parsed)
    else:
        _refuse(parsed, "without --image", name=parsed["name"], layers=parsed["layers"])
        built = _build_from_directory(parsed)
    for name in built.skipped:
        _note(f"{name}: no archive can hold what this is; left out")
    for text in built.lost:
        _note(f"the manifest cannot say {text}")
    if parsed["output"] not in ("", "-"):
        print(built.image_id)
    return 0


def _refuse(parsed: Parsed, when: str, **values: object) -> None:
    for name, value in values.items():
        if value:
            what = "a directory" if name == "directory" else f"--{name}"
            raise InvalidInput(f"{what} means nothing {when}")


def _build_from_directory(parsed: Parsed) -> building.Built:
    if not parsed.args:
        raise InvalidInput("what to build is missing", hint="name a directory, or an image with --image")
    (directory,) = parsed.args
    text, rootfs = parsed["manifest"], directory
    if not text:
        text, rootfs = os.path.join(directory, "manifest"), os.path.join(directory, "rootfs")
        for path in (text, rootfs):
            if not os.path.exists(path):
                raise NotFound(
                    f"{path} does not exist", hint="name the manifest of a root with --manifest FILE"
                )
    _refuse_inside(parsed["output"], rootfs)
    manifest = ImageManifest.parse(_all(text, b"", archive.pieces_of(text)), what=text, strict=True)
    with writing(parsed["output"]) as out:
        return building.build(manifest, rootfs, out, compression=parsed["compression"])


def _refuse_other_suffix(output: str) -> None:
    """Source: spec/aci.md, "Image Archives": the suffix is ``.aci``, however the archive is compressed."""
    if (
        output in ("", "-")
        or output.endswith(".aci")
        or (os.path.exists(output) and not os.path.isfile(output))
    ):
        return  # a pipe or a terminal has whatever name it has
    raise InvalidInput(f"--output {output}: an image archive's name ends in .aci", hint=f"write {output}.aci")


def _refuse_inside(output: str, rootfs: str) -> None:
    """An archive in the directory that it is made of would hold the beginning of itself."""
    place, inside = os.path.realpath(output), os.path.realpath(rootfs)
    if output and output != "-" and os.path.commonpath([place, inside]) == inside:
        raise InvalidInput(f"--output {output} is inside of {rootfs}", hint="write the archive elsewhere")


def _build_from_image(context: Context, parsed: Parsed) -> building.Built:
    if not parsed["name"]:
        raise InvalidInput("--image needs --name", hint="for example --name example.com/app:1.0")
    name = wanted(parsed["name"])
    image = _image(context, parsed["image"])
    directory = parsed["layers"]
    with context.images.lease() as lease:
        lease.add(image.digest, *("layer:" + path.split("/")[-2] for path in image.layers))
        with writing(parsed["output"]) as out:
            if not directory:
                return building.from_image(
                    image, out, name=name.name, labels=name.labels, compression=parsed["compression"]
                )

            def beside(layer: str) -> AbstractContextManager[BinaryIO]:
                os.makedirs(directory, exist_ok=True)
                return writing(os.path.join(directory, layer + ".aci"))

            return building.layers_from_image(
                image, out, beside, name=name.name, labels=name.labels, compression=parsed["compression"]
            )


# --- showing and unpacking ------------------------------------------------------------------------------------------


def cat_manifest(context: Context, parsed: Parsed) -> int:
    """Print a manifest, byte for byte unless it is to be indented."""
    path = _file(parsed.args[0])
    if path:
        with _about(path):
            text = archive.manifest_of(archive.pieces_of(path), what=path)
    else:
        text = root.manifest_of(context.images, _image(context, parsed.args[0]))
    if parsed["pretty-print"]:
        text = jsontext.dumps(jsontext.loads(text), indent=4).encode() + b"\n"
    elif not text.endswith(b"\n"):
        text += b"\n"
    sys.stdout.buffer.write(text)
    return 0


def extract(context: Context, parsed: Parsed) -> int:
    """Unpack one archive into a new directory."""
    text, directory = parsed.args
    path = _file(text)
    pieces = archive.pieces_of(path) if path else root.archive_of(context.images, _image(context, text))
    with _about(path or text):
        archive.extract(pieces, directory, root_only=parsed["rootfs-only"], what=path or text)
    return 0


def render(context: Context, parsed: Parsed) -> int:
    """Write a whole root into a new directory."""
    text, directory = parsed.args
    if _file(text):
        raise InvalidInput(
            f"{text} is a file: what it depends on is known of images only",
            hint="`lading aci import` it first",
        )
    root.render(context.images, _image(context, text), directory, root_only=parsed["rootfs-only"])
    return 0


# --- in and out -----------------------------------------------------------------------------------------------------


def import_(context: Context, parsed: Parsed) -> int:
    """Keep archives as images."""

    def keep(path: str) -> str:
        with _about(path):
            image = receive(context.images, archive.pieces_of(path), what=path)
        manifest = ImageManifest.parse(root.manifest_of(context.images, image))
        for text in to_oci(manifest).lost:
            if not text.endswith("in the layers"):
                _note(f"{manifest.name}: `lading run` does not do {text}")
        return image_id_of(image.id)

    return each(parsed.args, keep)


def export(context: Context, parsed: Parsed) -> int:
    """Write an archive as it came."""
    write_archive(context.images, _image(context, parsed.args[0]), parsed["output"])
    return 0


def write_archive(images: Images, image: Image, path: str, flag: str = "--output ") -> None:
    """Write the archive of ``image`` as it came to ``path``; to standard output when that is empty or ``-``."""
    with images.lease() as lease:
        lease.add(image.digest)
        envelope = root.envelope_of(images, image)
        lease.add(envelope.aci.digest)
        with writing(path, flag) as out:
            for piece in images.content.chunks(envelope.aci.digest):
                out.write(piece)


# --- what a word means ----------------------------------------------------------------------------------------------


def _file(text: str) -> str:
    """The path that a text names, by the text alone; empty when it names an image."""
    if text == "-":
        return text
    try:
        found = source(text)
    except LadingError:
        return ""
    return found.text if found.kind == FILE else ""


def _image(context: Context, text: str) -> Image:
    """An image here by its own name or ID, or by any that the store knows. Raises :class:`NotFound`."""
    found = FORMAT.find(context.images, text)
    if found is not None:
        return found
    try:
        return context.images.get(text)
    except LadingError as error:
        if os.path.exists(text):
            raise NotFound(f"image {text!r} is not here", hint=f"for the file write ./{text}") from None
        if isinstance(error, NotFound):
            raise NotFound(f"image {text!r} is not here", hint="`lading aci import FILE`") from None
        raise
