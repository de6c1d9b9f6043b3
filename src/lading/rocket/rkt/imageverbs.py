"""``lading rkt image …``: the image store as Rocket's users know it. What does the work is what ``lading aci`` does it with."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager

from lading.cli.outfile import writing
from lading.cli.output import each
from lading.errors import Conflict, Corrupt, InvalidInput, LadingError, NotFound, Unsupported
from lading.formats import jsontext
from lading.formats.appc.labels import mapping
from lading.formats.appc.source import ID, NAME, REGISTRY, source
from lading.images.aci import FORMAT, archive, root
from lading.images.aci.build import from_image
from lading.images.aci.finding import KIND
from lading.images.moments import all_came, used
from lading.rocket.archives import write_archive
from lading.rocket.rkt import spoken
from lading.rocket.rkt.appimages import app_image, find_id, id_of, shown_names
from lading.rocket.rkt.looking import time_of
from lading.rocket.rkt.statuses import FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.images import Image, Images

HEADINGS = {
    "id": "ID",
    "name": "NAME",
    "size": "SIZE",
    "importtime": "IMPORT TIME",
    "lastused": "LAST USED",
}
SORTED = ("name", "importtime", "lastused", "size")
_SHORT_ID = len("sha512-") + 12
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


# --- what there is --------------------------------------------------------------------------------------------------


class Row:
    """One image under one of its names; times in seconds since 1970."""

    __slots__ = ("came", "id", "name", "size", "used")

    def __init__(self, id: str, name: str, size: int, came: float, used: float) -> None:
        self.id = id
        self.name = name
        self.size = size
        self.came = came
        self.used = used

    def cells(self, now: float, *, full: bool) -> dict[str, str]:
        """What stands in each column."""
        moment = spoken.moment if full else lambda when: spoken.ago(now - when)
        return {
            "id": self.id if full else self.id[:_SHORT_ID],
            "name": self.name,
            "size": str(self.size) if full else binary(self.size),
            "importtime": moment(self.came),
            "lastused": moment(self.used),
        }

    def members(self) -> dict[str, object]:
        """What ``--format json`` shows; times in nanoseconds."""
        return {
            "id": self.id,
            "name": self.name,
            "import_time": int(self.came * 1e9),
            "last_used_time": int(self.used * 1e9),
            "size": self.size,
        }


def list_(context: Context, parsed: Parsed) -> int:
    """List the images of the store, whatever format they came in."""
    fields = _words(parsed["fields"], tuple(HEADINGS), "fields")
    order = _words(parsed["sort"], SORTED, "sort")
    found = arranged(rows(context.images), order, descending=parsed["order"] == "desc")
    if parsed["format"]:
        indent = 4 if parsed["format"] == "json-pretty" else 0
        print(jsontext.dumps([row.members() for row in found], indent=indent))
        return 0
    now = time.time()
    lines = [] if parsed["no-legend"] else [[HEADINGS[field] for field in fields]]
    for row in found:
        cells = row.cells(now, full=parsed["full"])
        lines.append([cells[field] for field in fields])
    sys.stdout.write(spoken.tabulated(lines))
    return 0


def rows(images: Images) -> list[Row]:
    """A row for every name of every image; one for an image without a name."""
    made = []
    every = images.list()
    arrivals = all_came(images, every)
    for image in every:
        id, arrived = id_of(image), arrivals[image.digest]
        last = max(arrived, used(images, image))
        made += [Row(id, name, image.size, arrived, last) for name in shown_names(image)]
    return made


def arranged(found: list[Row], order: list[str], *, descending: bool) -> list[Row]:
    """Rows sorted by the columns ``order``, the first of them counting most."""
    keys: dict[str, Callable[[Row], object]] = {
        "name": lambda row: row.name,
        "importtime": lambda row: row.came,
        "lastused": lambda row: row.used,
        "size": lambda row: row.size,
    }
    return sorted(found, key=lambda row: [keys[name](row) for name in order], reverse=descending)


def binary(size: int) -> str:
    """``512B``, ``1.5MiB``, ``143MiB``: one digit after the point below ten."""
    if size < 10:
        return f"{size}B"
    value, index = float(size), 0
    while value >= 1024 and index < len(_UNITS) - 1:
        value /= 1024
        index += 1
    value = int(value * 10 + 0.5) / 10
    return f"{value:.1f}{_UNITS[index]}" if value < 10 else f"{value:.0f}{_UNITS[index]}"


def _words(text: str, known: tuple[str, ...], flag: str) -> list[str]:
    words = [word for word in text.split(",") if word]
    for word in words:
        if word not in known:
            raise InvalidInput(f"--{flag}: {word[:60]!r} is not known", hint=f"known are {', '.join(known)}")
    if not words:
        raise InvalidInput(f"--{flag} names nothing", hint=f"known are {', '.join(known)}")
    return list(dict.fromkeys(words))


# --- taking out -----------------------------------------------------------------------------------------------------


def cat_manifest(context: Context, parsed: Parsed) -> int:
    """Print the manifest of an image; of an OCI image, the one that it has as an app of a pod."""
    text = app_image(context.images, image_of(context.images, parsed.args[0])).original
    if parsed["pretty-print"]:
        text = jsontext.dumps(jsontext.loads(text), indent=2).encode()
    sys.stdout.buffer.write(text.rstrip(b"\n") + b"\n")
    return 0


def export(context: Context, parsed: Parsed) -> int:
    """Write the archive of an image as it came, so that its signature still is one of it; of an OCI image a new one."""
    text, path = parsed.args
    image = image_of(context.images, text)
    if os.path.lexists(path) and not parsed["overwrite"]:
        raise InvalidInput(f"{path} is there already", hint="--overwrite takes its place")
    if image.kind == KIND:
        write_archive(context.images, image, path, "")
        return 0
    manifest = app_image(context.images, image).manifest
    with _held(context.images, image), writing(path, "") as out:
        built = from_image(image, out, name=manifest.name, labels=mapping(manifest.labels))
    for name in built.skipped:
        _note(f"{name}: no archive can hold what this is; left out")
    return 0


@contextmanager
def _held(images: Images, image: Image) -> Iterator[None]:
    """The layers of ``image`` stay meanwhile, whoever removes it."""
    with images.lease() as lease:
        lease.add(image.digest, *("layer:" + path.split("/")[-2] for path in image.layers))
        yield


def extract(context: Context, parsed: Parsed) -> int:
    """Unpack the archive of an image, without what it depends on."""
    text, directory = parsed.args
    image = image_of(context.images, text)
    if image.kind != KIND:
        _render(context.images, image, parsed)
        return 0
    pieces = root.archive_of(context.images, image)
    root_only, overwrite = parsed["rootfs-only"], parsed["overwrite"]
    archive.extract(pieces, directory, root_only=root_only, what=text, overwrite=overwrite)
    return 0


def render(context: Context, parsed: Parsed) -> int:
    """Write the root of an image with everything it depends on."""
    _render(context.images, image_of(context.images, parsed.args[0]), parsed)
    return 0


def _render(images: Images, image: Image, parsed: Parsed) -> None:
    """An OCI image depends on nothing: what its layers make together is what its archive would have."""
    root.render(
        images,
        image,
        parsed.args[1],
        root_only=parsed["rootfs-only"],
        text=app_image(images, image).original,
        overwrite=parsed["overwrite"],
    )


# --- keeping house --------------------------------------------------------------------------------------------------


def verify(context: Context, parsed: Parsed) -> int:
    """Compare images on disk with what they were when they came."""
    from lading.images.aci import verifying

    def look(text: str) -> str:
        image = image_of(context.images, text)
        if image.kind != KIND:
            raise Unsupported(
                f"image {text} came from a registry: its layers are not compared",
                hint="`lading check` reads the content of every image through",
            )
        wrong = list(verifying.verify(context.images, image))
        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise Corrupt(
                f"image {text} ({id_of(image)[:_SHORT_ID]}) is not as it was: {wrong[0]}{more}",
                hint="remove it, and fetch it again",
            )
        return f'successfully verified checksum for image: "{text}" ("{id_of(image)}")'

    return FAILED if each(parsed.args, look) else 0


def rm(context: Context, parsed: Parsed) -> int:
    """Remove images."""

    def remove(text: str) -> str:
        image = image_of(context.images, text)
        # An archive goes by its digest, for its name may be another's too; a name of the store's own goes alone.
        found = source(text)
        return _removed(context, image, found.text if image.kind != KIND and found.kind != ID else "")

    return _counted(parsed.args, remove)


def gc(context: Context, parsed: Parsed) -> int:
    """Remove App Container images that nothing used for a while, and that no pod and no image which stays needs."""
    grace = time_of("--grace-period", parsed["grace-period"])
    idle = unused(context.images, context.node.images_in_use(), time.time() - grace)

    def remove(image: Image) -> str:
        try:
            return _removed(context, image, "")
        except Conflict:
            return ""  # a pod has been made of it since

    done = [line for image in idle if (line := remove(image))]
    print("\n".join(done), end="\n" if done else "")
    _note(f"{len(done)} image(s) successfully removed")
    return 0


def unused(images: Images, in_use: set[str], before: float) -> list[Image]:
    """The archives of the store that were last used ``before``, without those that a pod or another image needs."""
    every = [image for image in images.list() if image.kind == KIND]
    stays = [
        image
        for image in every
        if image.digest in in_use or image.id in in_use or used(images, image) > before
    ]
    needed = {
        found.digest for image in stays for found in FORMAT.references(images.content, image.descriptor)
    }
    return [image for image in every if image.digest not in needed]


def _removed(context: Context, image: Image, reference: str) -> str:
    """Remove one image; what is said then."""
    shown = shown_names(image)[0]
    in_use = context.node.images_in_use
    try:
        report = context.images.remove(reference or image.digest, in_use=in_use)
    except Conflict as error:
        if error.reason != "several-names" or {image.digest, image.id} & in_use():
            raise
        report = context.images.remove(image.digest, force=True, in_use=in_use)  # an ID means all of them
    if not report.removed:
        return f'the image has other names; removed one: "{id_of(image)}" ("{", ".join(report.untagged)}")'
    return f'successfully removed aci for image: "{id_of(image)}" ("{shown}")'


def _counted(texts: list[str], act: Callable[[str], str]) -> int:
    done = 0

    def counted(text: str) -> str:
        nonlocal done
        line = act(text)
        done += 1
        return line

    status = each(texts, counted)
    if done:
        _note(f"{done} image(s) successfully removed")
    return FAILED if status else 0


# --- what a word means ----------------------------------------------------------------------------------------------


def image_of(images: Images, text: str) -> Image:
    """The image here that ``text`` names as Rocket's users write it: ID, name, or ``docker://REFERENCE``.

    A name that is no archive's may be one of the store's own. Raises :class:`NotFound`, :class:`InvalidInput`.
    """
    found = source(text)
    image: Image | None = None
    if found.kind == ID:
        image = find_id(images, text)
    elif found.kind == NAME:
        image = FORMAT.find(images, text) or _known(images, text)
    elif found.kind == REGISTRY:
        image = _known(images, found.text)
    else:
        raise InvalidInput(f"{text} is a {found.kind}, not an image here", hint=f"`lading rkt fetch {text}`")
    if image is None:
        hint = "" if found.kind == ID else f"`lading rkt fetch {text}`"
        raise NotFound(f"image {text!r} is not here", hint=hint or "`lading rkt image list` shows what is")
    return image


def _known(images: Images, reference: str) -> Image | None:
    try:
        return images.get(reference)
    except LadingError:
        return None


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
