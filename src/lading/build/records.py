"""What the cache of builds holds, as people see it: a record for each step's result and for each directory that commands mount.

One result may be known by several keys (:mod:`lading.build.cache`); it is one record. What records take together is what would go
with them: layers that an image has as well are not counted.
"""

from __future__ import annotations

import os

from lading.build.cache import KIND, LayerMade
from lading.errors import Corrupt, LadingError
from lading.images.files import read, try_lock
from lading.images.pins import LAYER
from lading.images.travelling import BLOBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.images import Images
    from lading.images.pins import Pin
    from lading.roots import Roots

STEP, MOUNT = "regular", "exec.cachemount"
GIT, WEB = "source.git.checkout", "source.http"
KINDS = (STEP, MOUNT, GIT, WEB)
"""The kinds of records, in BuildKit's words where it has some."""

DIRECTORIES = (("caches", MOUNT, "cache mount"), ("git", GIT, "repository"), ("web", WEB, "download"))
"""What lies beside the store: below which directory, of which kind, and how it is called."""


class Record:
    """``id``: how it is called; ``keys``: of its pins; ``holds``: what they hold; ``used``: seconds since 1970.

    ``size``: bytes of its own layer or directory; ``shared``: an image has that layer; ``in_use``: a living process works with
    it. ``path``: the directory of a mounted cache, a repository or a download; empty for steps.
    """

    __slots__ = (
        "description",
        "holds",
        "id",
        "in_use",
        "keys",
        "kind",
        "path",
        "seconds",
        "shared",
        "size",
        "used",
    )

    def __init__(self, id: str, kind: str, description: str) -> None:
        self.id = id
        self.kind = kind
        self.description = description
        self.keys: list[str] = []
        self.holds: set[str] = set()
        self.used = 0.0
        self.size = 0
        self.seconds = 0.0
        self.shared = False
        self.in_use = False
        self.path = ""

    def encode(self) -> dict[str, object]:
        """The record for programs."""
        return {
            "id": self.id,
            "type": self.kind,
            "description": self.description,
            "size": self.size,
            "seconds": self.seconds,
            "last_used": self.used,
            "shared": self.shared,
            "in_use": self.in_use,
            "reclaimable": not self.in_use,
            "keys": self.keys,
            "holds": sorted(self.holds),
            "path": self.path,
        }


class Ledger:
    """All records at one moment. ``blobs``: pins that say which blob a layer became, by the layer's key.

    Call under the store's exclusive lock when something is removed by it; a look needs none.
    """

    def __init__(self, roots: Roots, images: Images) -> None:
        self._images = images
        self.data = roots.data + "/build"
        self.held = _held(images.root)
        self.of_images = _of_images(images)
        self.blobs: dict[str, list[Pin]] = {}
        self._sizes: dict[str, int] = {}
        for pin in _readable(images, BLOBS):
            for held in pin.holds:
                if held.startswith(LAYER):
                    self.blobs.setdefault(held, []).append(pin)
        self.records = [*self._steps()]
        for directory, kind, called in DIRECTORIES:
            self.records += self._directories(f"{self.data}/{directory}", kind, called)
        self.records.sort(key=lambda record: record.used)

    def _steps(self) -> list[Record]:
        found: dict[tuple[str, ...], Record] = {}
        for pin in _readable(self._images, KIND):
            try:
                layers = [
                    LayerMade(str(d), str(c), int(n))
                    for d, c, n in pin.about["layers"]  # type: ignore[attr-defined]
                ]
                name, seconds = str(pin.about["name"]), float(pin.about["seconds"])  # type: ignore[arg-type]
            except (KeyError, TypeError, ValueError):
                continue  # check() finds it
            identity = (name, *(layer.diff_id for layer in layers))
            record = found.get(identity)
            if record is None:
                record = found[identity] = Record(pin.name[:12], STEP, name)
                record.size = layers[-1].size if layers else 0
            record.keys.append(pin.name)
            record.holds.update(pin.holds)
            record.used = max(record.used, pin.used)
            record.seconds = max(record.seconds, seconds)
            top = _top(layers)
            record.shared = top in self.of_images
            record.in_use = record.in_use or top in self.held
        return list(found.values())

    def _directories(self, base: str, kind: str, called: str) -> Iterator[Record]:
        """Records of what has ``files``, an ``id`` and a ``lock`` in a directory of its own."""
        for name in _names(base):
            path = f"{base}/{name}"
            try:
                there = os.stat(path)
                os.stat(path + "/files")
            except OSError:
                continue
            told = read(path + "/id") or b""
            record = Record(name[:12], kind, f"{called} {told.decode('utf-8', 'replace').strip()}")
            record.keys = [name]
            record.path = path
            record.used = there.st_mtime
            record.size = tree_size(path + "/files")
            record.in_use = _locked(path + "/lock")
            yield record

    def size_of(self, held: str) -> int:
        """Bytes of a layer or a blob that a pin holds."""
        known = self._sizes.get(held)
        if known is None:
            try:
                if held.startswith(LAYER):
                    layer = self._images.layers.by_key(held.removeprefix(LAYER))
                    known = layer.size if layer is not None else 0
                else:
                    known = self._images.content.size(held)
            except LadingError:
                known = 0
            self._sizes[held] = known
        return known

    def total(self, records: list[Record]) -> int:
        """Bytes that ``records`` take, and nothing but the cache: each layer once, none that an image has."""
        layers: set[str] = set()
        size = 0
        for record in records:
            layers |= record.holds
            if record.path:
                size += record.size
        return size + sum(self.weight(held) for held in layers)

    def weight(self, held: str) -> int:
        """Bytes that go when no record holds a layer any more, those of its blobs among them."""
        blobs = {d for pin in self.blobs.get(held, ()) for d in pin.holds if not d.startswith(LAYER)}
        size = 0 if held in self.of_images else self.size_of(held)
        return size + sum(self.size_of(blob) for blob in blobs - self.of_images)


def _top(layers: list[LayerMade]) -> str:
    from lading.images.snapshots import key_of

    return f"{LAYER}{key_of(layers[-1].diff_id)}" if layers else ""


def _readable(images: Images, kind: str) -> Iterator[Pin]:
    """The pins of a kind; those that are broken are for check()."""
    for name in _names(f"{images.root}/pins/{kind}"):
        try:
            pin = images.pins.get(kind, name)
        except Corrupt:
            continue
        if pin is not None:
            yield pin


def _held(root: str) -> set[str]:
    """What living processes have leased. Nothing of a dead one is removed: that is the collector's."""
    names: set[str] = set()
    for name in _names(root + "/leases"):
        path = f"{root}/leases/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if not try_lock(fd):
                names.update((read(path) or b"").decode(errors="replace").splitlines())
        finally:
            os.close(fd)
    return names


def _of_images(images: Images) -> set[str]:
    """Layers and blobs that images have."""
    from lading.images.oci import format_of

    found: set[str] = set()
    for image in images.list():
        found.update(f"{LAYER}{path.split('/')[-2]}" for path in image.layers)
        form = format_of(image.descriptor.media_type)
        found.update(d.digest for d in form.references(images.content, image.descriptor))
        for source in image.diff_ids:
            from lading.images.snapshots import key_of

            found.add(f"{LAYER}{key_of(source)}")
    return found


def tree_size(path: str) -> int:
    """Bytes of the files below a directory; what vanishes meanwhile is nothing."""
    size = 0
    pending = [path]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    size += entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue
    return size


def _locked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)


def _names(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except FileNotFoundError:
        return []
