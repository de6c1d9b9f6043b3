"""Untagging and removing images."""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput
from lading.formats.digest import is_digest
from lading.formats.reference import Reference
from lading.images.collect import collect
from lading.images.files import Lock
from lading.images.image import MARK, Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lading.images import Images
    from lading.images.aliases import Alias

    InUse = Collection[str] | Callable[[], Collection[str]]


class RemoveReport:
    """What a removal did: names ``untagged``, ids of images ``removed``, ``blobs`` and ``layers`` gone, bytes ``freed``."""

    __slots__ = ("blobs", "freed", "layers", "removed", "untagged")

    def __init__(self) -> None:
        self.untagged: list[str] = []
        self.removed: list[str] = []
        self.blobs: list[str] = []
        self.layers: list[str] = []
        self.freed = 0


class Removing:
    """The right to remove images, for the time of a ``with`` block.

    Containers are recorded without a lock of the store's. So whoever removes says so first (:data:`MARK`), and then asks
    who is using images; whoever records a container does it first, and then looks for the mark
    (:meth:`Images.confirm`). One of the two sees the other. A mark that a killed process left costs its readers a lock.
    """

    def __init__(self, root: str) -> None:
        self._lock = Lock(root + "/lock", exclusive=True)
        self._mark = f"{root}/{MARK}"

    def __enter__(self) -> None:
        self._lock.__enter__()
        os.close(os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))

    def __exit__(self, *_: object) -> None:
        try:
            os.unlink(self._mark)
        finally:
            self._lock.__exit__()


def users(in_use: InUse) -> Collection[str]:
    """Ids or digests of images that are used now; to be called inside of :class:`Removing`."""
    return in_use() if callable(in_use) else in_use


def used(image: Image, in_use: Collection[str]) -> bool:
    """Whether ``in_use`` (ids or manifest digests) speaks of ``image``."""
    return image.id in in_use or image.digest in in_use


def remove(images: Images, reference: str, *, force: bool, in_use: InUse) -> RemoveReport:
    """See :meth:`Images.remove`. With ``force`` an image that containers use loses its names and stays as a dangling one."""
    report = RemoveReport()
    images.lease().close()  # makes the store if there is none
    with Removing(images.root):
        image = images.get(reference)
        names = [r for r, named in images.names.list() if named.image == image.digest]
        aliases = [alias for alias in images.aliases.list() if alias.target.digest == image.digest]
        one = _named(reference, names)
        other = [] if one is not None else _aliased(reference, aliases)
        if (
            one is None
            and not other
            and len({r.name for r in names} | {a.name for a in aliases}) > 1
            and not force
        ):
            every = [r.familiar for r in names] + [a.text for a in aliases]
            raise Conflict(
                f"image {image.short_id} has several names: {', '.join(every)}",
                hint="name one of them, or use --force",
                reason="several-names",
            )
        going, also = names, aliases
        if one is not None:
            going, also = [one], []
        elif other:
            going, also = [], other
        last = len(going) == len(names) and len(also) == len(aliases)
        in_use_now = used(image, users(in_use))
        if last and in_use_now and not force:
            raise Conflict(
                f"image {reference} is used by a container",
                hint="remove the container first",
                reason="in-use",
            )
        for name in going:
            images.names.remove(name)
            report.untagged.append(name.familiar)
        for alias in also:
            images.aliases.remove(alias)
            report.untagged.append(alias.text)
        if last and not in_use_now:
            images.resolved.remove(image.digest)
            report.removed.append(image.id)
            collect(images, report)
    return report


def _named(reference: str, names: list[Reference]) -> Reference | None:
    """Which of an image's names ``reference`` is; None when it is an id or a digest."""
    if is_digest(reference):
        return None
    try:
        parsed = Reference.parse(reference)
    except InvalidInput:
        return None
    return parsed if parsed in names else None


def _aliased(reference: str, aliases: list[Alias]) -> list[Alias]:
    """The aliases that ``reference`` may mean: those of its name, which ends where a version or a label begins."""
    name = reference.partition(",")[0].partition(":")[0]
    return [alias for alias in aliases if alias.name == name]
