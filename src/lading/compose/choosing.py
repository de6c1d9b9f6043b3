"""Which containers a verb is about: those of the services named, of the project that flags, variables or the file say."""

from __future__ import annotations

from lading.compose import state
from lading.errors import Conflict, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.compose.application import Application


def chosen(
    app: Application,
    services: Sequence[str],
    *,
    index: int | None = None,
    oneoffs: bool | None = False,
) -> tuple[str, list[state.Member]]:
    """The project's name and the containers, by service and number. Raises NotFound for a service that nobody knows."""
    name = app.name() if not app.has_file() else app.load(services, environments=False).name
    found = state.members(app.context.node, name, oneoffs=oneoffs)
    known = {m.service for m in found} | set(app.services)
    for service in services:
        if service not in known:
            raise NotFound(f"there is no service {service!r} in the project {name}", reason="no-service")
    found = [m for m in found if not services or m.service in services]
    if index is not None:
        found = [m for m in found if m.number == index]
    return name, found


def one(app: Application, service: str, index: int | None = None) -> state.Member:
    """The container that ``exec`` and its like mean: the ``index``th, or the first that runs. Raises NotFound and Conflict."""
    _, found = chosen(app, [service], index=index)
    for member in found:
        if member.running:
            return member
    if index is not None and not found:
        raise NotFound(f"service {service} has no container {index}")
    if found:
        raise Conflict(
            f"service {service} is not running", hint=f"lading compose start {service}", reason="not-running"
        )
    raise Conflict(
        f"service {service} has no container", hint=f"lading compose up -d {service}", reason="not-running"
    )
