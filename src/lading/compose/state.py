"""What there is of a project on this machine, by its labels."""

from __future__ import annotations

from lading.compose import labels
from lading.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from lading.node import Node, PodRecord
    from lading.volumes import Volumes

RUNNING = ("running", "paused", "restarting")


class Member:
    """One container of a project."""

    __slots__ = ("labels", "record")

    def __init__(self, record: PodRecord) -> None:
        self.record = record
        self.labels = labels_of(record)

    @property
    def id(self) -> str:
        """The container's id."""
        return self.record.id

    @property
    def name(self) -> str:
        """What it is called."""
        return self.record.name

    @property
    def project(self) -> str:
        """Whose it is."""
        return self.labels.get(labels.PROJECT, "")

    @property
    def service(self) -> str:
        """What it is a container of."""
        return self.labels.get(labels.SERVICE, "")

    @property
    def number(self) -> int:
        """Which one; 0 where nobody says."""
        text = self.labels.get(labels.NUMBER, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

    @property
    def oneoff(self) -> bool:
        """Whether it is one of ``compose run``."""
        return self.labels.get(labels.ONEOFF, "False").lower() == "true"

    @property
    def state(self) -> str:
        """The container's state."""
        return self.record.container.state

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self.state in RUNNING

    @property
    def needs(self) -> list[str]:
        """The services that it depends on, as they were when it was made."""
        return [row.partition(":")[0] for row in self.labels.get(labels.DEPENDS, "").split(",") if row]


def labels_of(record: PodRecord) -> dict[str, str]:
    """The labels of a pod of one."""
    return record.pod.spec.containers[0].extras.labels


def members(
    node: Node, project: str, services: Collection[str] = (), *, oneoffs: bool | None = False
) -> list[Member]:
    """A project's containers by service and number; ``oneoffs``: those of ``run``, None for both kinds."""
    found = []
    for record in node.list(all=True):
        if not record.single or labels_of(record).get(labels.PROJECT) != project:
            continue
        member = Member(record)
        if (oneoffs is None or member.oneoff == oneoffs) and (not services or member.service in services):
            found.append(member)
    return sorted(found, key=lambda m: (m.service, m.number, m.name))


def finish_removals(node: Node, project: str) -> None:
    """Go on with the removal of containers that a kill cut short: nobody sees them any more, and their names are taken."""
    for record in node.half_removed():
        if record.single and labels_of(record).get(labels.PROJECT) == project:
            try:
                node.remove(record.id, force=True)
            except NotFound:
                continue  # another command was faster


def anonymous(volumes: Volumes, record: PodRecord) -> dict[str, str]:
    """A container's anonymous volumes by target, those that came over from a container before it, too."""
    made = {}
    for target, name in record.container.volumes.items():
        try:
            if volumes.get(name).anonymous:
                made[target] = name
        except NotFound:
            continue  # removed by hand
    return made


def waves(found: list[Member], *, last_first: bool = True) -> list[list[Member]]:
    """Members in groups that may be stopped at once: who depends on others goes before them (or after)."""
    left = {m.service for m in found}
    needs: dict[str, set[str]] = {name: set() for name in left}
    for member in found:
        needs[member.service] |= {n for n in member.needs if n in left and n != member.service}
    made: list[list[Member]] = []
    while left:
        free = {name for name in left if not needs[name] & left} or set(left)  # a circle: all at once
        made.append([m for m in found if m.service in free])
        left -= free
    return made[::-1] if last_first else made
