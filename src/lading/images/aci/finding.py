"""Which local image somebody means. On the way of every container of such an image, so it needs little."""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.appc.labels import match, platform_labels
from lading.formats.appc.values import id_prefix
from lading.formats.appc.wanted import Wanted, wanted
from lading.formats.platform import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.images import Images
    from lading.images.aliases import Alias
    from lading.images.image import Image

KIND = "aci"


def find(images: Images, text: str) -> Image | None:
    """The image of the ID ``sha512-…``, whole or shortened, or the newest of a name with the labels given.

    Of several that differ in what was not asked for, those for this machine come first. Raises :class:`InvalidInput`
    for the beginning of more than one ID.
    """
    digits = id_prefix(text)
    if digits is not None:
        return _by_id(images, digits)
    try:
        asked = wanted(text)
    except InvalidInput:
        return None
    aliases = candidates(images, asked)
    return images.resolved.get(aliases[0].target.digest) if aliases else None


def candidates(images: Images, asked: Wanted) -> list[Alias]:
    """The aliases of that name and those labels: for this machine first, the newest first of each."""
    here = platform_labels(host())
    found = [a for a in images.aliases.named(KIND, asked.name) if not match(asked.labels, a.labels)]
    found.sort(key=lambda alias: alias.came, reverse=True)
    found.sort(key=lambda alias: any(alias.labels.get(name, value) != value for name, value in here.items()))
    return found


def _by_id(images: Images, digits: str) -> Image | None:
    found: dict[str, list[str]] = {}
    for digest in images.resolved.list():
        image = images.resolved.get(digest)
        if image is not None and image.kind == KIND and image.id.partition(":")[2].startswith(digits):
            found.setdefault(image.id, []).append(digest)
    if len(found) > 1:
        raise InvalidInput(
            f"image ID sha512-{digits[:32]} is ambiguous: {len(found)} images begin with it",
            reason="ambiguous",
        )
    same = next(iter(found.values()), [])
    if len(same) < 2:
        return images.resolved.get(same[0]) if same else None
    # One archive, fetched when its dependencies were others: the one that came last is meant.
    came = {alias.target.digest: alias.came for alias in images.aliases.list()}
    return images.resolved.get(max(same, key=lambda digest: came.get(digest, 0)))
