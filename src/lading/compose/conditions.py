"""Whether a dependency is where the service that waits for it wants it. Source: Compose specification, "depends_on"."""

from __future__ import annotations

from lading.errors import LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.compose.application import Application
    from lading.node import PodRecord

STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"


class Failed(LadingError):
    """A dependency can no longer become what is waited for."""

    reason = "dependency-failed"

    container = ""


def met(condition: str, records: Sequence[PodRecord]) -> bool:
    """Whether the condition holds for every container of a service. Raises :class:`Failed` when it never will."""
    return all(_met(condition, record) for record in records)


def _met(condition: str, record: PodRecord) -> bool:
    container = record.container
    ended = container.state == "exited"
    if condition == COMPLETED:
        if ended and container.exit_code:
            raise _failed(record, f"exited ({container.exit_code}), and was to complete successfully")
        return ended
    if condition != HEALTHY:
        return True
    if ended:
        raise _failed(record, f"exited ({container.exit_code}) before it was healthy")
    if container.health == "unhealthy":
        raise _failed(record, "is unhealthy")
    if container.state == "running" and not container.health:
        raise _failed(record, "has no health check, and is waited for to be healthy")
    return container.health == "healthy"


def _failed(record: PodRecord, why: str) -> Failed:
    error = Failed(f"container {record.name} {why}")
    error.container = record.id
    return error


def settled(records: Sequence[PodRecord]) -> bool:
    """Whether every container runs and, where it has a health check, is healthy: ``--wait``. Raises :class:`Failed`."""
    for record in records:
        container = record.container
        if container.state == "exited":
            if container.exit_code:
                raise _failed(record, f"exited ({container.exit_code})")
            continue
        if container.health == "unhealthy":
            raise _failed(record, "is unhealthy")
        if container.state != "running" or container.health == "starting":
            return False
    return True


def tell_last_lines(app: Application, error: Failed, name: str = "log") -> None:
    """Show what the container said last, for a person who asks why it failed."""
    try:
        lines = list(app.context.node.logs(error.container, tail=10))
    except LadingError:
        return
    for line in lines:
        app.say(f"{name} | {line.text.decode('utf-8', 'replace')}")
