"""ADD of an archive: its entries instead of itself."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.copying import Place
    from lading.build.trees import Tree


def unpack(place: Place, tree: Tree, name: str, destination: str) -> bool:
    """Unpack the file ``name`` into the directory ``destination`` when it is an archive; whether it was one."""
    return False
