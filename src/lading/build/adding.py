"""ADD of what is not in the context: URLs and git repositories."""

from __future__ import annotations

from lading.errors import Unsupported
from lading.formats.dockerfile.transfers import is_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.graph import CopyOp
    from lading.build.instructions import StageState
    from lading.formats.dockerfile import Add


def remote_selections(state: StageState, made: Add, op: CopyOp, inputs: list[int]) -> list[str]:
    """Put what ``made`` takes from elsewhere into ``op`` and ``inputs``; the sources that are left are the context's."""
    for source in made.sources:
        if is_url(source):
            raise Unsupported(f"ADD {source}: sources at URLs are not supported")
    return list(made.sources)
