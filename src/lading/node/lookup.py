"""Finding pods in the records: by id, by what a person calls them, and by what they use.

:mod:`lading.node.records` writes them; a run reads nothing back.
"""

from __future__ import annotations

from lading.errors import Conflict, InvalidInput, NotFound
from lading.formats import jsontext
from lading.formats.pod import Pod
from lading.node.model import ContainerRecord, Ended, Event, NetworkRecord, PodRecord, PortRecord
from lading.node.records import CONTAINER, EXTRA, POD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lading.node.database import Database

_READ = (*EXTRA, "last")


def get(database: Database, pod_id: str) -> PodRecord | None:
    """The pod of exactly this id."""
    rows = database.query(f"SELECT {POD} FROM pods WHERE id = ?", (pod_id,))
    return _assemble(database, rows)[0] if rows else None


def pods(database: Database, stages: tuple[str, ...]) -> list[PodRecord]:
    """Every pod in one of ``stages``, newest first."""
    marks = ",".join("?" * len(stages))
    return _assemble(
        database,
        database.query(f"SELECT {POD} FROM pods WHERE stage IN ({marks}) ORDER BY created DESC", stages),
    )


def mentioning(database: Database, pod_id: str, *, ended: bool = True) -> list[PodRecord]:
    """The pods of one in whose Pod this id stands somewhere, oldest first: few of many, so no other is decoded.

    Without the ``ended`` ones no other Pod is even read: a machine may have a thousand.
    """
    chosen = "SELECT id FROM containers WHERE id = pod_id" + ("" if ended else " AND state != 'exited'")
    rows = database.query(
        f"SELECT {POD} FROM pods WHERE id IN ({chosen}) AND instr(pod, ?) > 0 AND id != ? ORDER BY created",
        (pod_id, pod_id),
    )
    return _assemble(database, rows) if rows else []


def staged(database: Database, pod_id: str = "") -> dict[str, str]:
    """Pod id → stage, of every pod or of one."""
    if pod_id:
        return dict(database.query("SELECT id, stage FROM pods WHERE id = ?", (pod_id,)))
    return dict(database.query("SELECT id, stage FROM pods"))


def resolve(database: Database, reference: str) -> tuple[PodRecord, ContainerRecord | None]:
    """The pod (and the container, for ``POD/CONTAINER`` and container ids) that ``reference`` means.

    A name wins over an id prefix. Raises NotFound, and InvalidInput when a prefix fits several.
    """
    head, slash, tail = reference.partition("/")
    if not head or (slash and not tail):
        raise InvalidInput(f"container {reference!r}: the name is empty")
    rows = database.query("SELECT id FROM pods WHERE name = ? OR id = ?", (head, head))
    inner = ""
    if not rows and _is_hex(head):
        low, high = head, head + "g"
        rows = database.query("SELECT id FROM pods WHERE id >= ? AND id < ? LIMIT 2", (low, high))
        if not rows and not slash:
            found = database.query(
                "SELECT pod_id, id FROM containers WHERE id >= ? AND id < ? LIMIT 2", (low, high)
            )
            rows = [(row[0],) for row in found]
            inner = found[0][1] if found else ""
    if not rows:
        raise NotFound(f"no such container or pod: {reference}", hint="see `lading ps -a`")
    if len(rows) > 1:
        raise InvalidInput(f"{reference!r} is the beginning of several ids", hint="write more of it")
    record = get(database, rows[0][0])
    if record is None:
        raise NotFound(f"no such container or pod: {reference}", hint="see `lading ps -a`")
    if tail or inner:
        for container in record.containers:
            if container.name == tail or container.id == inner or (tail and container.id == tail):
                return record, container
        raise NotFound(
            f"pod {record.name} has no container {tail!r}",
            hint="it has " + ", ".join(c.name for c in record.containers),
        )
    return record, None


def _is_hex(text: str) -> bool:
    return len(text) <= 64 and all(letter in "0123456789abcdef" for letter in text)


def name_taken(database: Database, name: str) -> Conflict:
    """The error for a name that another pod has."""
    rows = database.query("SELECT id FROM pods WHERE name = ?", (name,))
    by = f" by {rows[0][0][:12]}" if rows else ""
    return Conflict(
        f"the name {name!r} is taken{by}",
        hint=f"remove it (lading rm {name}) or choose another name",
        reason="name-taken",
    )


def names_using_volume(database: Database) -> dict[str, list[str]]:
    """Volume name → names of the containers that mount it."""
    users: dict[str, list[str]] = {}
    rows = database.query(
        "SELECT p.name, c.name, c.extra, p.id = c.id FROM containers c JOIN pods p ON p.id = c.pod_id "
        "WHERE c.extra LIKE '%\"volumes\"%'"
    )
    for pod, name, extra, single in rows:
        for volume in jsontext.loads(extra).get("volumes", {}).values():
            users.setdefault(volume, []).append(pod if single else f"{pod}/{name}")
    return users


def container_ids(database: Database) -> set[str]:
    """The ids of all containers."""
    return {row[0] for row in database.query("SELECT id FROM containers")}


def image_ids(database: Database) -> set[str]:
    """The images that containers were made of."""
    return {row[0] for row in database.query("SELECT DISTINCT image_id FROM containers")}


def events(database: Database, after: int = 0, since: float = 0.0) -> list[Event]:
    """Events numbered above ``after`` and not before ``since``, oldest first."""
    rows = database.query(
        "SELECT number, time, kind, action, id, name, attributes FROM events WHERE number > ? AND time >= ? "
        "ORDER BY number",
        (after, since),
    )
    return [
        Event(
            number=row[0],
            time=row[1],
            kind=row[2],
            action=row[3],
            id=row[4],
            name=row[5],
            attributes=jsontext.loads(row[6]),
        )
        for row in rows
    ]


# -- rows as records -------------------------------------------------------------------------------------------------


def _assemble(database: Database, rows: Any) -> list[PodRecord]:
    made = []
    few = len(rows) == 1
    containers: dict[str, Any] = {}
    where = " WHERE pod_id = ?" if few else ""
    for row in database.query(
        f"SELECT {CONTAINER} FROM containers{where} ORDER BY place", (rows[0][0],) if few else ()
    ):
        containers.setdefault(row[1], []).append(_container(row))
    for row in rows:
        record = PodRecord(
            id=row[0],
            name=row[1],
            pod=Pod.decode(jsontext.loads(row[2]), where=f"pod {row[1]}"),
            created=row[3],
            phase=row[4],
            reason=row[5],
            message=row[6],
            stopped=bool(row[7]),
            keeper_pid=row[8],
            keeper_start=row[9],
            keeper_socket=row[10],
            containers=containers.get(row[0], []),
        )
        if row[11]:
            network = jsontext.loads(row[11])
            record.networks = [NetworkRecord.decode(n) for n in network["networks"]]
            record.ports = [PortRecord.decode(p) for p in network["ports"]]
        if record.pod.spec.host_users is False:
            from lading.node import idranges

            record.users = idranges.of(database, idranges.whose(record.id, record.pod))
        made.append(record)
    return made


def _container(row: tuple[Any, ...]) -> ContainerRecord:
    extra = jsontext.loads(row[17]) if row[17] else {}
    if "last" in extra:
        extra["last"] = Ended.decode(extra["last"])
    return ContainerRecord(
        id=row[0],
        pod_id=row[1],
        name=row[2],
        kind=row[3],
        index=row[4],
        image=row[5],
        image_id=row[6],
        state=row[7],
        pid=row[8],
        pid_start=row[9],
        exit_code=row[10],
        oom_killed=bool(row[11]),
        started=row[12],
        finished=row[13],
        restarts=row[14],
        health=row[15],
        ready=bool(row[16]),
        **{name: extra[name] for name in _READ if name in extra},  # a newer Lading may have written more
    )
