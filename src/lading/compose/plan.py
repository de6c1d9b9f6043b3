"""What has to be done so that a service has the containers that the file says: a pure decision.

Source: docker compose's documentation of ``up``: containers whose definition or image has changed are made anew, others stay.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CREATE, RECREATE, START, KEEP, REMOVE, ADOPT = "create", "recreate", "start", "keep", "remove", "adopt"


class Found:
    """A container as it is. ``replaces``: it was made to take the place of the container with this id."""

    __slots__ = ("hash", "id", "image", "name", "number", "replaces", "running")

    def __init__(
        self,
        *,
        id: str,
        name: str,
        number: int,
        hash: str = "",
        image: str = "",
        running: bool = False,
        replaces: str = "",
    ) -> None:
        self.id = id
        self.name = name
        self.number = number
        self.hash = hash
        self.image = image
        self.running = running
        self.replaces = replaces


class Step:
    """One thing to do about one container; ``found`` is what is there, but for ``create``."""

    __slots__ = ("found", "kind", "number")

    def __init__(self, kind: str, number: int, found: Found | None = None) -> None:
        self.kind = kind
        self.number = number
        self.found = found

    def __repr__(self) -> str:
        return f"{self.kind} {self.number}"


def plan(
    found: Sequence[Found],
    *,
    count: int,
    hash: str,
    image: str,
    force: bool = False,
    keep: bool = False,
) -> list[Step]:
    """The steps for one service of ``count`` containers with this ``hash`` and ``image``.

    ``force`` makes every container anew, ``keep`` none. Of a replacement that was cut short either the container that it
    was to replace is still there, and the replacement goes; or it is not, and the replacement is adopted under its name.
    """
    steps: list[Step] = []
    there = {one.id for one in found}
    settled: list[Found] = []
    for one in found:
        if one.replaces and one.replaces in there:
            steps.append(Step(REMOVE, one.number, one))
        else:
            settled.append(one)
    kept: list[Found] = []
    numbers: set[int] = set()
    for one in sorted(settled, key=lambda f: (f.number, not f.running, f.name)):
        if len(kept) >= count or one.number in numbers:
            steps.append(Step(REMOVE, one.number, one))
        else:
            kept.append(one)
            numbers.add(one.number)
    for one in kept:
        changed = one.hash != hash or one.image != image
        if force or (changed and not keep):
            kind = RECREATE
        elif one.replaces and _interim(one):
            kind = ADOPT
        else:
            kind = KEEP if one.running else START
        steps.append(Step(kind, one.number, one))
    number = 1
    for _ in range(count - len(kept)):
        while number in numbers:
            number += 1
        numbers.add(number)
        steps.append(Step(CREATE, number))
    return steps


def interim(name: str, old: str) -> str:
    """What the replacement of the container ``old`` (an id) is called until that is gone."""
    return f"{old[:12]}_{name}"[:128]


def _interim(one: Found) -> bool:
    return one.name.startswith(f"{one.replaces[:12]}_")
