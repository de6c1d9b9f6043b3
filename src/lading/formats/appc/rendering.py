"""In which order images are laid over each other, and how much of each: the dependency graph as a list.

Source: spec/ace.md, "Filesystem Setup"; spec/aci.md, ``pathWhitelist``. Dependencies come in listed order, depth first, each
below the image that has it, so the last one listed wins over the first. A path stays when it is in the whitelist of every
image on the way from the top that has one.
"""

from __future__ import annotations

from lading.errors import Exhausted, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEEPEST = 64
"""Images below each other; a person makes five."""
MOST = 400
"""Layers of one root: overlayfs takes 500."""


class Described:
    """What rendering wants to know of an image: its whitelist (None: all stays) and its dependencies' image IDs, in order."""

    __slots__ = ("dependencies", "whitelist")

    def __init__(self, whitelist: frozenset[str] | None, dependencies: Sequence[str] = ()) -> None:
        self.whitelist = whitelist
        self.dependencies = list(dependencies)


class Rendered:
    """One layer of the result: an image's root, whole (``keep`` None) or the paths of it that stay."""

    __slots__ = ("image_id", "keep")

    def __init__(self, image_id: str, keep: frozenset[str] | None) -> None:
        self.image_id = image_id
        self.keep = keep

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rendered) and (self.image_id, self.keep) == (other.image_id, other.keep)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Rendered({self.image_id!r}, {'all' if self.keep is None else sorted(self.keep)})"


def order(top: str, lookup: Callable[[str], Described]) -> list[Rendered]:
    """The layers of the image ``top``, bottom first. ``lookup`` describes an image by its ID, or raises.

    What occurs twice in the same extent stands once, at its upper place: there it hides whatever it would have hidden below.
    So a graph of many diamonds is as long as it has images. Raises :class:`InvalidInput` (``dependency-loop``),
    :class:`Exhausted`.
    """
    made: list[Rendered] = []  # top first
    seen: set[tuple[str, frozenset[str] | None]] = set()
    way: list[str] = []
    # Depth first from the top, the last dependency first; a None says that the image on the way is finished.
    pending: list[tuple[str, frozenset[str] | None] | None] = [(top, None)]
    while pending:
        entry = pending.pop()
        if entry is None:
            way.pop()
            continue
        image_id, above = entry
        if image_id in way:
            raise InvalidInput(
                f"image {image_id[:19]} depends on itself, through {len(way) - way.index(image_id)} images",
                reason="dependency-loop",
            )
        if entry in seen:
            continue
        seen.add(entry)
        described = lookup(image_id)
        keep = _both(above, described.whitelist)
        if keep is None or keep or not way:
            made.append(Rendered(image_id, keep))
        if max(len(seen), len(described.dependencies)) > MOST or len(way) >= DEEPEST:
            raise Exhausted(
                f"image {top[:19]} has more than {MOST} layers or {DEEPEST} images below each other"
            )
        way.append(image_id)
        pending.append(None)
        if keep is None or keep:
            pending.extend((dependency, keep) for dependency in described.dependencies)
    return made[::-1]


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
