"""Image commands: list, tag, remove, history, archives, registries, bootstrap."""

from __future__ import annotations

import sys
import time

from lading.cli.outfile import writing
from lading.cli.output import confirm, each, filters, inspected, labels_match, listing, truth
from lading.errors import InvalidInput, Unsupported
from lading.formats import duration, sizes
from lading.formats.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lading.cli.context import Context
    from lading.cli.pruning import Choice
    from lading.flags import Parsed
    from lading.images import Image, Images

IMAGE_COLUMNS = (
    ("REPOSITORY", "repository"),
    ("TAG", "tag"),
    ("IMAGE ID", "id"),
    ("CREATED", "created_since"),
    ("SIZE", "size"),
)
IMAGE_FILTERS = ("reference", "dangling", "label", "before", "since")
NONE = "<none>"


def images(context: Context, parsed: Parsed) -> int:
    """List images, one row a name."""
    wanted = filters(parsed["filter"], IMAGE_FILTERS)
    if parsed.args:
        wanted.setdefault("reference", []).append(parsed.args[0])
    now = time.time()
    rows = []
    found = _matching(context, context.images.list(), wanted)
    for image in found:
        for name in image.names or [""]:
            if "reference" in wanted and not any(_matches(name, pattern) for pattern in wanted["reference"]):
                continue
            row = _row(image, name, now, full=parsed["no-trunc"])
            if parsed["digests"] or parsed["format"]:
                row["digest"] = _digest(context.images, image, name)
            rows.append(row)
    if parsed["quiet"]:
        seen: dict[object, dict[str, object]] = {}
        for row in rows:
            seen.setdefault(row["id"], row)
        rows = list(seen.values())
    columns: tuple[tuple[str, str], ...] = IMAGE_COLUMNS
    if parsed["digests"]:
        columns = (*columns[:2], ("DIGEST", "digest"), *columns[2:])
    listing(rows, columns, template=parsed["format"], quiet="id" if parsed["quiet"] else "")
    return 0


def split_name(name: str) -> tuple[str, str]:
    """``("localhost:5000/web", "1.0")`` of a familiar name; ``<none>`` for what is missing."""
    if not name:
        return NONE, NONE
    plain, _, labels = name.partition(",")  # names of other formats have them; a reference has no comma
    body, at, _ = plain.partition("@")
    head, slash, last = body.rpartition("/")
    repository, colon, tag = last.partition(":")
    words = [tag] if colon else []
    shown = ",".join(words + ([labels] if labels else []))
    return head + slash + repository, shown or (NONE if at else "latest")


def _row(image: Image, name: str, now: float, *, full: bool) -> dict[str, object]:
    repository, tag = split_name(name)
    created = _moment(image.created, now)
    return {
        "repository": repository,
        "tag": tag,
        "name": name or NONE,
        "id": image.id if full else image.short_id,
        "created": image.created,
        "created_at": image.created,
        "created_since": f"{duration.ago(now - created)} ago" if created is not None else "N/A",
        "size": sizes.decimal3(image.size),
        "bytes": image.size,
        "platform": _platform(image),
        "labels": ",".join(f"{k}={v}" for k, v in _labels(image).items()),
    }


def _digest(store: Images, image: Image, name: str) -> str:
    """What registries know the image by; of one that was made here and has not travelled nobody knows that yet."""
    from lading.images.travelling import is_final

    digest = image.targets.get(name, image.digest)
    return digest if is_final(store, digest) else NONE


def _platform(image: Image) -> str:
    from lading.formats import platform

    return platform.text(image.platform)


def _labels(image: Image) -> dict[str, str]:
    return image.config.config.labels if image.config.config is not None else {}


def _moment(text: str, now: float) -> float | None:
    if not text:
        return None
    try:
        moment = duration.moment(text, now)
    except InvalidInput:
        return None
    # Reproducible builds write the epoch or Go's zero time where they mean "no time".
    return moment if moment > 0 else None


def _matches(name: str, pattern: str) -> bool:
    """Whether a reference pattern fits: the whole name, or its repository. As Docker's, ``*`` ends at a slash."""
    import fnmatch

    if not name:
        return False
    repository, tag = split_name(name)
    wanted = pattern.split("/")
    for text in (repository, f"{repository}:{tag}", name):
        parts = text.split("/")
        if len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted)):
            return True
    return False


def _matching(context: Context, found: list[Image], wanted: dict[str, list[str]]) -> list[Image]:
    dangling = truth(wanted, "dangling")
    if dangling is not None:
        found = [i for i in found if (not i.names) == dangling]
    if "label" in wanted:
        found = [i for i in found if labels_match(wanted["label"], _labels(i))]
    for key, newer in (("before", False), ("since", True)):
        for reference in wanted.get(key, ()):
            mark = context.images.get(reference)
            at = _moment(mark.created, 0.0) or 0.0
            found = [i for i in found if i.id != mark.id and ((_moment(i.created, 0.0) or 0.0) > at) == newer]
    return found


def tag(context: Context, parsed: Parsed) -> int:
    """Give an image another name."""
    context.images.tag(parsed.args[0], parsed.args[1])
    return 0


def rmi(context: Context, parsed: Parsed) -> int:
    """Remove names of images, and images without names."""

    def act(reference: str) -> str:
        report = context.images.remove(reference, force=parsed["force"], in_use=context.node.images_in_use)
        return "\n".join(_removed(report))

    return each(parsed.args, act, may_miss=parsed["force"])


def _removed(report: Any) -> list[str]:
    return [*(f"Untagged: {name}" for name in report.untagged), *(f"Deleted: {i}" for i in report.removed)]


HISTORY_COLUMNS = (
    ("IMAGE", "id"),
    ("CREATED", "created_since"),
    ("CREATED BY", "created_by"),
    ("SIZE", "size"),
    ("COMMENT", "comment"),
)


def history(context: Context, parsed: Parsed) -> int:
    """Show how an image was made, newest step first."""
    image = context.images.get(parsed.args[0])
    now = time.time()
    rows = []
    human = parsed["human"]
    for step in context.images.history(image):
        created = _moment(step.created, now)
        made_by = " ".join(step.created_by.split())
        if not parsed["no-trunc"] and len(made_by) > 45:
            made_by = made_by[:44] + "…"
        rows.append(
            {
                "id": (image.id if parsed["no-trunc"] else image.short_id) if step.id else "<missing>",
                "created": step.created,
                "created_at": step.created,
                "created_since": (f"{duration.ago(now - created)} ago" if human else step.created)
                if created is not None
                else "N/A",
                "created_by": made_by,
                "size": sizes.decimal3(step.size) if human else str(step.size),
                "comment": step.comment,
            }
        )
    listing(rows, HISTORY_COLUMNS, template=parsed["format"], quiet="id" if parsed["quiet"] else "")
    return 0


def inspect(context: Context, parsed: Parsed) -> int:
    """Show images in full."""
    from lading.cli.inspect import image_json

    return inspected(
        parsed.args, lambda name: image_json(context.images, context.images.get(name)), parsed["format"]
    )


def bootstrap(context: Context, parsed: Parsed) -> int:
    """Make a base image from Debian packages."""
    include = [package for text in parsed["include"] for package in text.split(",") if package]
    quiet = parsed["quiet"]

    def progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    image = context.images.bootstrap(parsed.args[0], include=include, progress=None if quiet else progress)
    if quiet:
        print(image.id)
    else:
        # The same packages may have other names.
        asked = Reference.parse(parsed.args[0], default_tag="").familiar
        name = next((name for name in image.names if name.startswith(asked)), image.id)
        print(f"{name}: {image.short_id}, {sizes.decimal3(image.size)}")
    return 0


def prune(context: Context, parsed: Parsed) -> int:
    """Remove images that nothing uses."""
    from lading.cli.pruning import Choice

    choice = Choice(parsed["filter"])
    what = "every image that no container uses" if parsed["all"] else "every image without a name"
    if not confirm(f"This removes {what}. Go on?", parsed["force"]):
        return 1
    report = prune_unnamed(context, choice, all=parsed["all"])
    print("\n".join([*_removed(report), f"Total reclaimed space: {sizes.decimal(report.freed)}"]))
    return 0


def prune_unnamed(context: Context, choice: Choice, *, all: bool) -> Any:
    """Remove the images without a name (with ``all``: every one) that no container uses and that ``choice`` takes."""
    now = time.time()
    spared = {
        image.digest
        for image in context.images.list()
        if not choice.takes(_moment(image.created, now) or 0.0, _labels(image))
    }
    return context.images.prune(in_use=lambda: context.node.images_in_use() | spared, all=all)


def save(context: Context, parsed: Parsed) -> int:
    """Write images into an archive."""
    out = parsed["output"]
    if not out and parsed["format"] == "oci-dir":
        raise InvalidInput("--format oci-dir needs --output DIRECTORY")
    for reference in parsed.args:
        context.images.get(reference)
    if parsed["format"] == "oci-dir":
        context.images.save(parsed.args, out, format="oci-dir", platform=parsed["platform"])
        return 0
    with writing(out) as stream:
        context.images.save(parsed.args, stream, format=parsed["format"], platform=parsed["platform"])
    return 0


def load(context: Context, parsed: Parsed) -> int:
    """Read images out of an archive."""
    path = parsed["input"]
    if path and path != "-":
        found = context.images.load(path, platform=parsed["platform"])
    else:
        if sys.stdin.isatty():
            raise InvalidInput("standard input is a terminal", hint="use --input FILE, or redirect it")
        found = context.images.load(sys.stdin.buffer, platform=parsed["platform"])
    for image in found:
        for name in image.names or [image.id]:
            print(name if parsed["quiet"] else f"Loaded image: {name}")
    return 0


def import_(context: Context, parsed: Parsed) -> int:
    """Make an image of a tar archive of files, and print its id; what could not be kept of it is noted."""
    path = parsed.args[0]
    names = parsed.args[1:]
    if path.startswith(("http://", "https://")):
        raise Unsupported(
            f"{path}: fetching archives is not supported",
            hint="fetch it with curl, and use - for standard input",
        )
    options = {
        "changes": parsed["change"],
        "names": names,
        "message": parsed["message"],
        "platform": parsed["platform"],
    }
    if path == "-":
        image = context.images.import_(sys.stdin.buffer, **options)
    else:
        with open(path, "rb") as stream:
            image = context.images.import_(stream, **options)
    for directory in image.layers:
        layer = context.images.layers.by_key(directory.split("/")[-2])
        for note in layer.notes if layer is not None else ():
            print(f"lading import: note: {note}", file=sys.stderr)
    print(image.id)
    return 0
