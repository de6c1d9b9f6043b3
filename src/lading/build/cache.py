"""The cache: what a step gave, by its key. It lives in the image store as pins: a result and its layers stay and go together.

A step has one record a key: by what it is defined by, and by what its inputs contained (:mod:`lading.build.solver`). Both are
equal in form, and either may be gone. ``lading builder prune`` removes records by age and size; layers go when no record, image
or container has them.
"""

from __future__ import annotations

from lading.errors import Corrupt, NotFound
from lading.images import snapshots
from lading.images.pins import LAYER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.images import Images
    from lading.images.leases import Lease
    from lading.images.pins import Pin

KIND = "step"


class LayerMade:
    """One layer of a result: its diff-id, when it was made (RFC 3339, empty for a base image's), bytes of its files."""

    __slots__ = ("created", "diff_id", "size")

    def __init__(self, diff_id: str, created: str = "", size: int = 0) -> None:
        self.diff_id = diff_id
        self.created = created
        self.size = size


class Result:
    """What a step gave: the layers of its file system, bottom first."""

    __slots__ = ("layers",)

    def __init__(self, layers: list[LayerMade]) -> None:
        self.layers = layers

    @property
    def diff_ids(self) -> list[str]:
        """The diff-ids, bottom first."""
        return [layer.diff_id for layer in self.layers]

    def rows(self) -> list[list[object]]:
        """The layers as JSON has them."""
        return [[layer.diff_id, layer.created, layer.size] for layer in self.layers]

    @classmethod
    def of_rows(cls, rows: object) -> Result:
        """The inverse. Raises :class:`TypeError` and :class:`ValueError`."""
        return cls([LayerMade(str(d), str(created), int(size)) for d, created, size in rows])  # type: ignore[attr-defined]


class StepCache:
    """Results in ``images``. What is found is leased to the caller, so that it stays for as long as the build lasts.

    A context manager.
    """

    def __init__(self, images: Images, lease: Lease) -> None:
        self._images = images
        self._lease = lease

    def __enter__(self) -> StepCache:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def get(self, key: str) -> Result | None:
        """The result of the step with this key, None where the cache knows none. It counts as used now."""
        try:
            pin = self._images.pins.get(KIND, key)
            if pin is None:
                return None
            result = _decode(pin)
            self._lease.add(*pin.holds)
            # Collected between the look and the lease: then it is as if it had never been there.
            self._images.pins.use(KIND, key)
        except (Corrupt, NotFound):
            return None
        return result

    def put(self, key: str, result: Result, *, name: str, size: int, seconds: float) -> None:
        """Record a result, whose layers the caller's lease holds. ``size``: bytes of the layer that the step itself made.

        ``name`` is what people are told of the step, ``seconds`` how long it took.
        """
        snapshot = snapshots.of_layers(self._images, result.diff_ids, lease=self._lease)
        holds = {f"{LAYER}{path.split('/')[-2]}" for path in snapshot.directories}
        holds.update(f"{LAYER}{snapshots.key_of(diff_id)}" for diff_id in result.diff_ids)
        self._images.layers.settle(held.removeprefix(LAYER) for held in holds)
        about = {
            "layers": result.rows(),
            "name": name,
            "size": size,
            "seconds": round(seconds, 3),
        }
        self._images.pins.put(KIND, key, holds=holds, about=about)

    def list(self) -> Iterator[Pin]:
        """Every record."""
        return self._images.pins.list(KIND)


def _decode(pin: Pin) -> Result:
    try:
        return Result.of_rows(pin.about["layers"])
    except (KeyError, TypeError, ValueError):
        raise Corrupt(
            f"the record of step {pin.name} is broken", hint="run `lading check --repair`"
        ) from None
