"""What commands change of a recorded pod, while its keeper may be writing too: its name, its Pod, a container's state."""

from __future__ import annotations

from lading.formats import jsontext
from lading.node.database import _module
from lading.node.lookup import name_taken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.model import ContainerRecord, PodRecord
    from lading.node.records import Records


def rename(records: Records, record: PodRecord, name: str) -> None:
    """Give the pod another name. Raises Conflict (``name-taken``)."""
    with records.database as db:
        try:
            db.connection().execute("UPDATE pods SET name = ? WHERE id = ?", (name, record.id))
        except _module().IntegrityError:
            raise name_taken(records.database, name) from None
        old, record.name = record.name, name
        records.event(record, "rename", {"oldName": old})


def set_state(records: Records, record: PodRecord, container: ContainerRecord, action: str) -> None:
    """Write a container's state alone: its keeper may write everything else at the same time."""
    with records.database as db:
        db.query(
            "UPDATE containers SET state = ? WHERE id = ? AND pid = ?",
            (container.state, container.id, container.pid),
        )
        records.event(record, action, None, container)


def set_pod(records: Records, record: PodRecord, action: str) -> None:
    """Write a changed Pod."""
    with records.database as db:
        db.query("UPDATE pods SET pod = ? WHERE id = ?", (jsontext.dumps(record.pod.encode()), record.id))
        records.event(record, action)
