"""Pods and containers as rows: written before anything is taken, forgotten after everything is released.

Everything a pod takes from the machine (its directory, cgroup, network attachment, runtime state) carries the pod's or
the container's id, so the pod's row *is* the journal: as long as it stands, ``check --repair`` knows what to look for.
``stage`` says how far it is: ``creating`` (nobody was told of it yet), ``live``, ``removing``.
"""

from __future__ import annotations

import os
import time

from lading.errors import Conflict, InvalidInput, NotFound
from lading.formats import jsontext
from lading.formats.pod import Pod
from lading.node.database import Database, _module
from lading.node.model import ContainerRecord, Ended, Event, NetworkRecord, PodRecord, PortRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CREATING, LIVE, REMOVING = "creating", "live", "removing"
#: How many events are kept.
EVENTS_KEPT = 20_000

_POD = "id, name, pod, created, phase, reason, message, stopped, keeper_pid, keeper_start, keeper_socket, network, stage"
_CONTAINER = (
    "id, pod_id, name, kind, place, image, image_id, state, pid, pid_start, exit_code, oom_killed, started, finished, "
    "restarts, health, ready, extra"
)
_EXTRA = (
    "error",
    "reason",
    "message",
    "health_log",
    "volumes",
    "anonymous",
    "up",
    "turned",
    "first",
    "pipes",
)
_READ = (*_EXTRA, "last")


def new_id() -> str:
    """64 random hexadecimal digits."""
    return os.urandom(32).hex()


# Records has a method called ``list``, which hides the type inside the class.
_Pods = list[PodRecord]
_Events = list[Event]
_Names = dict[str, list[str]]


class Records:
    """The node's records in ``path``. Safe to use from many processes at once."""

    def __init__(self, path: str) -> None:
        self.database = Database(path)

    # -- pods ------------------------------------------------------------------------------------------------------

    def insert(self, record: PodRecord, *, stage: str = LIVE) -> None:
        """Write a new pod and its containers, and the event. Raises Conflict (``name-taken``)."""
        with self.database as db:
            try:
                db.connection().execute(
                    f"INSERT INTO pods ({_POD}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    (
                        record.id,
                        record.name,
                        jsontext.dumps(record.pod.encode()),
                        record.created,
                        record.phase,
                        record.reason,
                        record.message,
                        int(record.stopped),
                        record.keeper_pid,
                        record.keeper_start,
                        record.keeper_socket,
                        "",
                        stage,
                    ),
                )
            except _module().IntegrityError:
                raise self._taken(record.name) from None
            for container in record.containers:
                db.connection().execute(
                    f"INSERT INTO containers ({_CONTAINER}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    _container_row(container),
                )
            self._event(record, "create", {})

    def _taken(self, name: str) -> Conflict:
        rows = self.database.query("SELECT id FROM pods WHERE name = ?", (name,))
        by = f" by {rows[0][0][:12]}" if rows else ""
        return Conflict(
            f"the name {name!r} is taken{by}",
            hint=f"remove it (lading rm {name}) or choose another name",
            reason="name-taken",
        )

    def update(self, record: PodRecord, *columns: str) -> None:
        """Write the named fields of a pod (``phase``, ``keeper_pid``, …; ``network`` means networks and ports)."""
        values: list[object] = []
        for column in columns:
            if column == "network":
                values.append(
                    jsontext.dumps(
                        {
                            "networks": [network.encode() for network in record.networks],
                            "ports": [port.encode() for port in record.ports],
                        }
                    )
                )
            else:
                value = getattr(record, column)
                values.append(int(value) if isinstance(value, bool) else value)
        names = ", ".join(f"{column} = ?" for column in columns)
        with self.database as db:
            db.query(f"UPDATE pods SET {names} WHERE id = ?", (*values, record.id))

    def stage(self, pod_id: str, stage: str) -> None:
        """Move a pod to another stage of its life."""
        with self.database as db:
            db.query("UPDATE pods SET stage = ? WHERE id = ?", (stage, pod_id))

    def rename(self, record: PodRecord, name: str) -> None:
        """Give the pod another name. Raises Conflict (``name-taken``)."""
        with self.database as db:
            try:
                db.connection().execute("UPDATE pods SET name = ? WHERE id = ?", (name, record.id))
            except _module().IntegrityError:
                raise self._taken(name) from None
            old, record.name = record.name, name
            self._event(record, "rename", {"oldName": old})

    def delete(self, record: PodRecord) -> None:
        """Forget a pod whose every resource has been released."""
        with self.database as db:
            db.query("DELETE FROM containers WHERE pod_id = ?", (record.id,))
            db.query("DELETE FROM pods WHERE id = ?", (record.id,))
            self._event(record, "destroy", {})

    def get(self, pod_id: str) -> PodRecord | None:
        """The pod of exactly this id."""
        rows = self.database.query(f"SELECT {_POD} FROM pods WHERE id = ?", (pod_id,))
        return self._assemble(rows)[0] if rows else None

    def list(self, *, stages: tuple[str, ...] = (CREATING, LIVE, REMOVING)) -> _Pods:
        """Every pod in one of ``stages``, newest first."""
        marks = ",".join("?" * len(stages))
        return self._assemble(
            self.database.query(
                f"SELECT {_POD} FROM pods WHERE stage IN ({marks}) ORDER BY created DESC", stages
            )
        )

    def staged(self, pod_id: str = "") -> dict[str, str]:
        """Pod id → stage, of every pod or of one."""
        if pod_id:
            return dict(self.database.query("SELECT id, stage FROM pods WHERE id = ?", (pod_id,)))
        return dict(self.database.query("SELECT id, stage FROM pods"))

    def _assemble(self, rows: Any) -> _Pods:
        made = []
        few = len(rows) == 1
        containers: dict[str, Any] = {}
        where = " WHERE pod_id = ?" if few else ""
        for row in self.database.query(
            f"SELECT {_CONTAINER} FROM containers{where} ORDER BY place", (rows[0][0],) if few else ()
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
            made.append(record)
        return made

    def resolve(self, reference: str) -> tuple[PodRecord, ContainerRecord | None]:
        """The pod (and the container, for ``POD/CONTAINER`` and container ids) that ``reference`` means.

        A name wins over an id prefix. Raises NotFound, and InvalidInput when a prefix fits several.
        """
        head, slash, tail = reference.partition("/")
        if not head or (slash and not tail):
            raise InvalidInput(f"container {reference!r}: the name is empty")
        rows = self.database.query("SELECT id FROM pods WHERE name = ? OR id = ?", (head, head))
        inner = ""
        if not rows and _is_hex(head):
            low, high = head, head + "g"
            rows = self.database.query("SELECT id FROM pods WHERE id >= ? AND id < ? LIMIT 2", (low, high))
            if not rows and not slash:
                found = self.database.query(
                    "SELECT pod_id, id FROM containers WHERE id >= ? AND id < ? LIMIT 2", (low, high)
                )
                rows = [(row[0],) for row in found]
                inner = found[0][1] if found else ""
        if not rows:
            raise NotFound(f"no such container or pod: {reference}", hint="see `lading ps -a`")
        if len(rows) > 1:
            raise InvalidInput(f"{reference!r} is the beginning of several ids", hint="write more of it")
        record = self.get(rows[0][0])
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

    # -- containers ------------------------------------------------------------------------------------------------

    def save(
        self,
        record: PodRecord,
        container: ContainerRecord,
        action: str = "",
        attributes: dict[str, str] | None = None,
    ) -> None:
        """Write a container as it is now and, with ``action``, the event that brought it there: one transaction.

        For its keeper: to that, a container which a command has paused runs (:meth:`set_state`), and that stays written.
        """
        with self.database as db:
            row = _container_row(container)
            db.query(
                "UPDATE containers SET "
                "state=CASE WHEN state='paused' AND pid=?2 AND ?1='running' THEN state ELSE ?1 END, "
                "pid=?2, pid_start=?3, exit_code=?4, oom_killed=?5, started=?6, finished=?7, restarts=?8, health=?9, "
                "ready=?10, extra=?11, image_id=?12 WHERE id = ?13",
                (*row[7:], row[6], container.id),
            )
            if action:
                self._event(record, action, attributes or {}, container)

    def set_state(self, record: PodRecord, container: ContainerRecord, action: str) -> None:
        """Write a container's state alone: its keeper may write everything else at the same time."""
        with self.database as db:
            db.query(
                "UPDATE containers SET state = ? WHERE id = ? AND pid = ?",
                (container.state, container.id, container.pid),
            )
            self._event(record, action, {}, container)

    def set_pod(self, record: PodRecord, action: str) -> None:
        """Write a changed Pod."""
        with self.database as db:
            db.query("UPDATE pods SET pod = ? WHERE id = ?", (jsontext.dumps(record.pod.encode()), record.id))
            self._event(record, action, {})

    def names_using_volume(self) -> _Names:
        """Volume name → names of the containers that mount it."""
        users: _Names = {}
        rows = self.database.query(
            "SELECT p.name, c.name, c.extra, p.id = c.id FROM containers c JOIN pods p ON p.id = c.pod_id "
            "WHERE c.extra LIKE '%\"volumes\"%'"
        )
        for pod, name, extra, single in rows:
            for volume in jsontext.loads(extra).get("volumes", {}).values():
                users.setdefault(volume, []).append(pod if single else f"{pod}/{name}")
        return users

    def container_ids(self) -> set[str]:
        """The ids of all containers."""
        return {row[0] for row in self.database.query("SELECT id FROM containers")}

    def image_ids(self) -> set[str]:
        """The images that containers were made of."""
        return {row[0] for row in self.database.query("SELECT DISTINCT image_id FROM containers")}

    # -- events ----------------------------------------------------------------------------------------------------

    def event(
        self,
        record: PodRecord,
        action: str,
        attributes: dict[str, str] | None = None,
        container: ContainerRecord | None = None,
    ) -> None:
        """Write one event."""
        with self.database:
            self._event(record, action, attributes or {}, container)

    def _event(
        self,
        record: PodRecord,
        action: str,
        attributes: dict[str, str],
        container: ContainerRecord | None = None,
    ) -> None:
        connection = self.database.connection()
        kind, name, identity = ("container" if record.single else "pod"), record.name, record.id
        if container is not None and not record.single:
            kind, name, identity = "container", f"{record.name}/{container.name}", container.id
        shown = record.containers[0] if container is None and record.containers else container
        if shown is not None and shown.image:
            attributes = {"image": shown.image, **attributes}
        cursor = connection.execute(
            "INSERT INTO events (time, kind, action, id, name, attributes) VALUES (?,?,?,?,?,?)",
            (time.time(), kind, action, identity, name, jsontext.dumps(attributes)),
        )
        number = cursor.lastrowid
        if number % 500 == 0:
            connection.execute("DELETE FROM events WHERE number <= ?", (number - EVENTS_KEPT,))

    def events(self, after: int = 0, since: float = 0.0) -> _Events:
        """Events numbered above ``after`` and not before ``since``, oldest first."""
        rows = self.database.query(
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


def _is_hex(text: str) -> bool:
    return len(text) <= 64 and all(letter in "0123456789abcdef" for letter in text)


def _container_row(container: ContainerRecord) -> tuple[object, ...]:
    extra = {}
    for name in _EXTRA:
        value = getattr(container, name)
        if value:
            extra[name] = value
    if container.last is not None:
        extra["last"] = container.last.encode()
    return (
        container.id,
        container.pod_id,
        container.name,
        container.kind,
        container.index,
        container.image,
        container.image_id,
        container.state,
        container.pid,
        container.pid_start,
        container.exit_code,
        int(container.oom_killed),
        container.started,
        container.finished,
        container.restarts,
        container.health,
        int(container.ready),
        jsontext.dumps(extra) if extra else "",
    )


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
