"""Keeping the store in order: prune, usage, check and repair."""

from __future__ import annotations

import os

from lading.errors import Corrupt, LadingError
from lading.images import leases, rendering
from lading.images.collect import collect, remove_layer
from lading.images.files import Lock, is_temporary, remove_tree, try_lock, walk_files
from lading.images.image import STEP
from lading.images.names import Named
from lading.images.oci import format_of
from lading.images.pins import LAYER
from lading.images.remove import RemoveReport, Removing, used, users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from lading.formats.oci_image import Descriptor
    from lading.images import Images
    from lading.images.image import Image
    from lading.images.remove import InUse


class Usage:
    """Bytes on disk: ``content`` of blobs, ``layers`` of unpacked files, ``partial`` of interrupted transfers.

    ``images`` counts them, ``active`` those that containers use; ``reclaimable`` is what ``prune --all`` would free.
    """

    __slots__ = ("active", "content", "images", "layers", "partial", "reclaimable")

    def __init__(self) -> None:
        self.images = self.active = self.content = self.layers = self.partial = self.reclaimable = 0


class Finding:
    """Something that is not as it should be. ``object`` names it, ``problem`` says what, ``repaired`` whether it was mended."""

    __slots__ = ("object", "problem", "repaired")

    def __init__(self, object: str, problem: str, repaired: bool) -> None:
        self.object = object
        self.problem = problem
        self.repaired = repaired

    def __repr__(self) -> str:
        return f"Finding({self.object}: {self.problem}{', repaired' if self.repaired else ''})"


def prune(images: Images, *, in_use: InUse, all: bool) -> RemoveReport:
    """See :meth:`Images.prune`."""
    report = RemoveReport()
    images.lease().close()
    with Removing(images.root):
        now = users(in_use)
        names: dict[str, list[str]] = {}
        for reference, named in images.names.list():
            names.setdefault(named.image, []).append(reference.canonical)
        aliases = list(images.aliases.list())
        for alias in aliases:
            names.setdefault(alias.target.digest, []).append(alias.text)
        for image in images.list():
            if used(image, now) or (names.get(image.digest) and not all):
                continue
            for reference, named in list(images.names.list()):
                if named.image == image.digest:
                    images.names.remove(reference)
                    report.untagged.append(reference.familiar)
            for alias in aliases:
                if alias.target.digest == image.digest:
                    images.aliases.remove(alias)
                    report.untagged.append(alias.text)
            images.resolved.remove(image.digest)
            report.removed.append(image.id)
        _forget_steps(images, now)
        collect(images, report)
        for path in _abandoned(images.root + "/ingest"):
            report.freed += _size(path)
            os.unlink(path)
        for path in _abandoned(images.root + "/staging"):
            remove_tree(path)
    return report


def _forget_steps(images: Images, in_use: Collection[str]) -> None:
    """What a build that was killed recorded to make its containers of (snapshots.py)."""
    held = leases.held(images.root)[0]
    for digest in images.resolved.list():
        image = images.resolved.get(digest)
        if image is not None and image.kind == STEP and digest not in held and digest not in in_use:
            images.resolved.remove(digest)


def usage(images: Images, *, in_use: Collection[str] = ()) -> Usage:
    """See :meth:`Images.usage`."""
    made = Usage()
    keep_blobs: set[str] = set()
    keep_layers: set[str] = set()
    for image in images.list():
        made.images += 1
        if used(image, in_use):
            made.active += 1
            keep_layers.update(path.split("/")[-2] for path in image.layers)
            form = format_of(image.descriptor.media_type)
            keep_blobs.update(d.digest for d in form.references(images.content, image.descriptor))
    for digest, size in images.content.list():
        made.content += size
        if digest not in keep_blobs:
            made.reclaimable += size
    for key in images.layers.list():
        try:
            layer = images.layers.by_key(key)
        except Corrupt:
            continue
        if layer is not None:
            made.layers += layer.size
            if key not in keep_layers:
                made.reclaimable += layer.size
    for path in walk_files(images.root + "/ingest"):
        made.partial += _size(path)
    made.reclaimable += made.partial
    return made


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _abandoned(directory: str) -> Iterator[str]:
    """Files and directories on their way whose maker is gone: nobody holds their lock.

    Each is locked until the next one is asked for, so that nobody resumes what is being removed.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in names:
        path = f"{directory}/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            # Whoever finished a moment ago has removed it, and whoever makes it has perhaps not yet locked it.
            if try_lock(fd) and os.path.lexists(path) and not _runs(_maker(name)):
                yield path
        finally:
            os.close(fd)


def _maker(name: str) -> str:
    """The process's number in ``PID-…``, ``new.PID-…`` and ``DIGEST.PID-…``; a text that is none for what has no one maker."""
    return name.rpartition(".")[2].partition("-")[0]


def _runs(pid: str) -> bool:
    """Whether a process of this number lives, and is no zombie."""
    try:
        with open(f"/proc/{int(pid)}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, ValueError):
        return False


def check(
    images: Images, repair: bool, *, verify: bool = True, progress: Callable[[str], None] | None = None
) -> list[Finding]:
    """See :meth:`Images.check`."""
    if not os.path.isdir(images.root):
        return []
    findings: list[Finding] = []
    images.lease().close()
    with Lock(images.root + "/lock", exclusive=True):
        _leftovers(images, repair, findings)
        if verify:
            _blobs(images, repair, findings, progress or (lambda _: None))
            _kept_once(images, findings, progress or (lambda _: None))
        broken = _layers(images, repair, findings)
        missing = _records(images, broken)
        _names(images, repair, missing, findings)
        _pins(images, repair, findings)
    for digest in sorted(missing):
        _restore(images, repair, digest, findings)
    return findings


def _leftovers(images: Images, repair: bool, findings: list[Finding]) -> None:
    """What interrupted processes left: staging directories, unnamed files, leases. Resumable transfers are none."""
    for path in _abandoned(images.root + "/staging"):
        findings.append(Finding(path, "a layer that was never finished", repair))
        if repair:
            remove_tree(path)
    for path in _abandoned(images.root + "/ingest"):
        if "." in os.path.basename(path):
            findings.append(Finding(path, "content that was never finished", repair))
            if repair:
                os.unlink(path)
    for part in ("names", "resolved", "pins"):
        for path in walk_files(f"{images.root}/{part}"):
            if is_temporary(os.path.basename(path)):
                findings.append(Finding(path, "a record that was never finished", repair))
                if repair:
                    os.unlink(path)
    for path in _abandoned(images.root + "/leases"):
        findings.append(Finding(path, "a lease of a process that is gone", repair))
    if repair:
        leases.held(images.root)


def _blobs(images: Images, repair: bool, findings: list[Finding], progress: Callable[[str], None]) -> None:
    for digest, _ in list(images.content.list()):
        progress(f"verifying {digest}")
        if not images.content.verify(digest):
            findings.append(Finding(digest, "the content does not match its digest", repair))
            if repair:
                images.content.remove(digest)


def _kept_once(images: Images, findings: list[Finding], progress: Callable[[str], None]) -> None:
    """Layers whose files are the only place where their content is. What is wrong with one cannot be mended, but told.

    It stays: containers and images work with what there is of it.
    """
    for key in images.layers.list():
        try:
            layer = images.layers.by_key(key)
        except Corrupt:
            continue
        if layer is None or layer.tar is None or images.content.has(layer.diff_id):
            continue
        progress(f"verifying layer {layer.diff_id}")
        if os.path.isdir(layer.path) and not rendering.intact(layer):
            of = sorted({image.short_id for image in images.list() if layer.diff_id in image.diff_ids})
            which = f", of {'image ' + ', '.join(of) if of else 'no image'}"
            findings.append(
                Finding(f"layer {key}{which}", "its files are not those it was made of: make it again", False)
            )


def _layers(images: Images, repair: bool, findings: list[Finding]) -> set[str]:
    """Keys of unpacked layers that are no good; removed when repairing."""
    bad = set()
    held = leases.held(images.root)[0]
    for key in images.layers.list():
        try:
            layer = images.layers.by_key(key)
            problem = "the record is missing" if layer is None else ""
            if layer is not None and not os.path.isdir(layer.path):
                problem = "the files are missing"
            if not problem and not images.layers.settled(key) and f"layer:{key}" not in held:
                problem = "it may never have reached the disk"
        except Corrupt:
            problem = "the record is broken"
        if problem:
            bad.add(key)
            findings.append(Finding(f"layer {key}", problem, repair))
            if repair:
                remove_layer(images, key)
    return bad


def _records(images: Images, broken: set[str]) -> set[str]:
    """Digests of recorded images that lack a layer or whose record is unreadable."""
    bad = set()
    for digest in images.resolved.list():
        try:
            image = images.resolved.get(digest)
        except Corrupt:
            bad.add(digest)
            continue
        if image is not None and not all(
            os.path.isdir(path) and path.split("/")[-2] not in broken for path in image.layers
        ):
            bad.add(digest)
    return bad


def _names(images: Images, repair: bool, missing: set[str], findings: list[Finding]) -> None:
    for path, reference in list(images.names.files()):
        if reference is None:
            continue
        try:
            named: Named | None = images.names.get(reference)
        except Corrupt:
            findings.append(Finding(f"name {reference.familiar}", "the record is broken", repair))
            if repair:
                os.unlink(path)
            continue
        if named is None:
            continue
        if _unrecorded(images, repair, named.image, reference.familiar, missing, findings):
            images.names.remove(reference)
    for path in list(images.aliases.files()):
        try:
            alias = images.aliases.read(path)
        except Corrupt:
            findings.append(Finding(path, "the record of a name is broken", repair))
            if repair:
                images.aliases.unlink(path)
            continue
        if alias is None:
            continue
        if _unrecorded(images, repair, alias.target.digest, alias.text, missing, findings):
            images.aliases.unlink(path)


def _pins(images: Images, repair: bool, findings: list[Finding]) -> None:
    """Pins that cannot be read, or hold what is not here: whose they are makes or fetches it again."""
    for kind in images.pins.kinds():
        for name in list(os.listdir(f"{images.root}/pins/{kind}")):
            if is_temporary(name):
                continue
            try:
                pin = images.pins.get(kind, name)
                lacking = [] if pin is None else [held for held in pin.holds if not _here(images, held)]
                problem = f"{lacking[0]} is not here" if lacking else ""
            except LadingError:
                problem = "it is broken"
            if problem:
                findings.append(Finding(f"record {kind}/{name}", problem, repair))
                if repair:
                    os.unlink(f"{images.root}/pins/{kind}/{name}")


def _here(images: Images, held: str) -> bool:
    if held.startswith(LAYER):
        return os.path.isdir(images.layers.directory(held.removeprefix(LAYER)))
    return images.content.has(held)


def _unrecorded(
    images: Images, repair: bool, digest: str, name: str, missing: set[str], findings: list[Finding]
) -> bool:
    """Report a name whose image is not recorded; whether the name has to go, because its content is not here either."""
    if digest in missing or os.path.exists(images.resolved.path(digest)):
        return False
    findings.append(Finding(f"name {name}", "its image is not recorded", repair))
    if not repair:
        return False
    if images.content.has(digest):
        missing.add(digest)
        return False
    return True


def _restore(images: Images, repair: bool, digest: str, findings: list[Finding]) -> None:
    """Unpack an image's missing layers again from its blobs; forget a step of a build, which has none."""
    image = _recorded(images, digest)
    if image is not None and image.kind == STEP:
        findings.append(
            Finding(f"step {digest}", "layers that a build's command began with are missing", repair)
        )
        if repair:
            from lading.images import snapshots

            snapshots.forget(images, [digest])
        return
    mended = False
    if repair and images.content.has(digest):
        try:
            target = _described(images, digest)
            with images.lease() as lease:
                images.register(target, [], lease=lease)
            mended = True
        except LadingError:
            pass
    problem = "unpacked layers or the record are missing"
    if repair and not mended:
        problem += " and its content is not complete: pull or load it again"
    findings.append(Finding(f"image {digest}", problem, mended))


def _recorded(images: Images, digest: str) -> Image | None:
    try:
        return images.resolved.get(digest)
    except Corrupt:
        return None


def _described(images: Images, digest: str) -> Descriptor:
    """The descriptor of a stored manifest: of its record or a name of it, or else by what it says itself."""
    from lading.formats.oci_image import Descriptor
    from lading.images.oci import manifest_type

    image = _recorded(images, digest)
    if image is not None:
        return image.descriptor
    targets = [named.target for _, named in images.names.list()]
    targets += [alias.target for alias in images.aliases.list()]
    for target in targets:
        if target.digest == digest:
            return target
    kind = manifest_type(images.content, digest)
    return Descriptor(media_type=kind, digest=digest, size=images.content.size(digest))
