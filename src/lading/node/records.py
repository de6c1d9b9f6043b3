"""Pods and containers as rows: written before anything is taken, forgotten after everything is released.

Everything a pod takes from the machine (its directory, cgroup, network attachment, runtime state) carries the pod's or
the container's id, so the pod's row *is* the journal: as long as it stands, ``check --repair`` knows what to look for.
``stage`` says how far it is: ``creating`` (nobody was told of it yet), ``live``, ``removing``.
"""

from __future__ import annotations

import os
import time

from lading.formats import jsontext
from lading.node.database import Database, _module
from lading.node.model import ContainerRecord, PodRecord

CREATING, LIVE, REMOVING = "creating", "live", "removing"
#: How many events are kept.
EVENTS_KEPT = 20_000

POD = "id, name, pod, created, phase, reason, message, stopped, keeper_pid, keeper_start, keeper_socket, network, stage"
CONTAINER = (
    "id, pod_id, name, kind, place, image, image_id, state, pid, pid_start, exit_code, oom_killed, started, finished, "
    "restarts, health, ready, extra"
)
EXTRA = (
    "error",
    "reason",
    "message",
    "health_log",
    "volumes",
    "anonymous",
    "up",
    "turned",
    "stage",
    "first",
    "pipes",
)


def new_id() -> str:
    """64 random hexadecimal digits."""
    return os.urandom(32).hex()


# Records has a method called ``list``, which hides the type inside the class.
_Pods = list[PodRecord]


class Records:
    """The node's records in ``path``. Safe to use from many processes at once."""

    def __init__(self, path: str) -> None:
        self.database = Database(path)

    # -- pods ------------------------------------------------------------------------------------------------------

    def insert(self, record: PodRecord, *, stage: str = LIVE) -> None:
        """Write a new pod and its containers, the range of its users if it wants one, and the event.

        Raises Conflict (``name-taken``), Exhausted (``id-ranges``).
        """
        with self.database as db:
            try:
                db.connection().execute(
                    f"INSERT INTO pods ({POD}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
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
                from lading.node import lookup

                raise lookup.name_taken(self.database, record.name) from None
            for container in record.containers:
                db.connection().execute(
                    f"INSERT INTO containers ({CONTAINER}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    _container_row(container),
                )
            if record.pod.spec.host_users is False:
                from lading.node import idranges

                house = record.pod.spec.extras.pod
                record.users = idranges.of(db, house) if house else idranges.take(db, record.id)
            self.event(record, "create")

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

    def delete(self, record: PodRecord) -> None:
        """Forget a pod whose every resource has been released."""
        with self.database as db:
            db.query("DELETE FROM containers WHERE pod_id = ?", (record.id,))
            db.query("DELETE FROM pods WHERE id = ?", (record.id,))
            if record.pod.spec.host_users is False:
                from lading.node import idranges

                idranges.give_back(db, record.id)
            self.event(record, "destroy")

    # -- reading: see lookup -------------------------------------------------------------------------------------------

    def get(self, pod_id: str) -> PodRecord | None:
        """The pod of exactly this id."""
        from lading.node import lookup

        return lookup.get(self.database, pod_id)

    def list(self, *, stages: tuple[str, ...] = (CREATING, LIVE, REMOVING)) -> _Pods:
        """Every pod in one of ``stages``, newest first."""
        from lading.node import lookup

        return lookup.pods(self.database, stages)

    def resolve(self, reference: str) -> tuple[PodRecord, ContainerRecord | None]:
        """The pod, and the container if it means one, see :func:`lading.node.lookup.resolve`."""
        from lading.node import lookup

        return lookup.resolve(self.database, reference)

    # -- containers ------------------------------------------------------------------------------------------------

    def save(
        self,
        record: PodRecord,
        container: ContainerRecord,
        action: str = "",
        attributes: dict[str, str] | None = None,
    ) -> None:
        """Write a container as it is now and, with ``action``, the event that brought it there: one transaction.

        For its keeper: to that, a container which a command has paused runs (:func:`lading.node.amending.set_state`), and
        that stays written.
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
                self.event(record, action, attributes, container)

    # -- events ----------------------------------------------------------------------------------------------------

    def event(
        self,
        record: PodRecord,
        action: str,
        attributes: dict[str, str] | None = None,
        container: ContainerRecord | None = None,
    ) -> None:
        """Write one event, in the transaction that is under way or in one of its own."""
        kind, name, identity = ("container" if record.single else "pod"), record.name, record.id
        if container is not None and not record.single:
            kind, name, identity = "container", f"{record.name}/{container.name}", container.id
        shown = record.containers[0] if container is None and record.containers else container
        if shown is not None and shown.image:
            attributes = {"image": shown.image, **(attributes or {})}
        with self.database as db:
            connection = db.connection()
            cursor = connection.execute(
                "INSERT INTO events (time, kind, action, id, name, attributes) VALUES (?,?,?,?,?,?)",
                (time.time(), kind, action, identity, name, jsontext.dumps(attributes or {})),
            )
            number = cursor.lastrowid
            if number % 500 == 0:
                connection.execute("DELETE FROM events WHERE number <= ?", (number - EVENTS_KEPT,))


def _container_row(container: ContainerRecord) -> tuple[object, ...]:
    extra = {}
    for name in EXTRA:
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
