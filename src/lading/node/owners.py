"""Users and groups by a file of the image: who owns it.

A path is looked up in the container's layers, as the container would see it. Links lead nowhere but inside of its root.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.node import layered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def numbered(user: str, layers: Sequence[str]) -> str:
    """``USER[:GROUP]`` with a number in the place of each path: ``/a/file:/b/file`` is the owner of one, the group of another.

    ``layers`` are top-most first. Raises :class:`InvalidInput` for a path where the image has nothing.
    """
    name, colon, group = user.partition(":")
    if name.startswith("/"):
        name = str(_owner(name, layers)[0])
    if group.startswith("/"):
        group = str(_owner(group, layers)[1])
    return f"{name}{colon}{group}"


def _owner(path: str, layers: Sequence[str]) -> tuple[int, int]:
    found = layered.find(layers, path)
    if found is None:
        raise InvalidInput(
            f"user {path!r}: the image has no such file, so nobody owns it", hint="give a name or a number"
        )
    return found[1].st_uid, found[1].st_gid
