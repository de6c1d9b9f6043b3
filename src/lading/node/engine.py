"""The seam to whatever runs containers: the runtime of this house, or a foreign OCI runtime by its command line.

A pod says which one it is (``extras.runtime``, empty for our own) and every later command asks :func:`engine_of`. What the
node needs of an engine says :mod:`lading.node.handle`.
``docs/decisions/0010-foreign-runtimes.md`` tells why the seam is here and not lower.
"""

from __future__ import annotations

from lading.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.handle import Engine
    from lading.node.model import PodRecord
    from lading.node.shop import Shop


def engine_of(shop: Shop, record: PodRecord) -> Engine:
    """What runs this pod's containers."""
    path = record.pod.spec.extras.runtime
    if not path:
        return shop.runtime
    from lading.node.foreign import Foreign

    return Foreign(path, shop.roots.bundles, shop.kernel)


def resolve(name: str, *, uid: int = 0) -> str:
    """The program that ``--runtime NAME|PATH`` means to user ``uid``, as an absolute path; empty for our own.

    Raises :class:`InvalidInput` (reason ``unknown-runtime``), :class:`Unsupported` for an ordinary user.
    """
    if name in ("", "lading"):
        return ""
    from lading.node.foreign import find

    if uid:
        raise Unsupported(
            f"runtime {name}: an ordinary user's containers are run by Lading's own runtime only"
        )

    return find(name)
