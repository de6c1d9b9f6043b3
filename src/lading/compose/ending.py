"""Stopping and removing many containers: who depends on others first, the rest side by side."""

from __future__ import annotations

from lading.compose import carrying, state
from lading.compose.workers import Task, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lading.compose.application import Application
    from lading.formats.compose.model_service import Service


def remove(
    app: Application,
    found: Sequence[state.Member],
    *,
    timeout: float | None = None,
    volumes: bool = False,
    services: Mapping[str, Service] | None = None,
) -> None:
    """Stop and remove containers."""
    in_waves(
        app,
        found,
        lambda hand, member: hand.remove(member.record, volumes=volumes),
        timeout=timeout,
        services=services,
    )


def stop(
    app: Application,
    found: Sequence[state.Member],
    *,
    timeout: float | None = None,
    services: Mapping[str, Service] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Stop those that run."""
    in_waves(
        app,
        [m for m in found if m.running],
        lambda hand, member: hand.stop(member.record),
        timeout=timeout,
        services=services,
        meanwhile=meanwhile,
    )


def in_waves(
    app: Application,
    found: Sequence[state.Member],
    act: Callable[[carrying.Hand, state.Member], object],
    *,
    timeout: float | None = None,
    services: Mapping[str, Service] | None = None,
    last_first: bool = True,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """``act`` for every container, dependents before what they depend on (after it without ``last_first``)."""
    known = services or {}
    roots = app.context.roots
    for wave in state.waves(list(found), last_first=last_first):
        tasks = []
        for member in wave:

            def work(member: state.Member = member) -> object:
                return act(carrying.Hand(roots, known.get(member.service), timeout), member)

            tasks.append(Task(f"container {member.name}", work, done=lambda result: _tell(app, result)))
        run(tasks, limit=app.parallel, meanwhile=meanwhile)


def _tell(app: Application, result: object) -> None:
    if isinstance(result, dict):
        app.say(f" Container {result['name']}  {result['said']}")


def seconds(value: int | None) -> float | None:
    """``--timeout``: -1 waits for ever. Raises :class:`InvalidInput`."""
    from lading.errors import InvalidInput

    if value is not None and value < -1:
        raise InvalidInput(f"--timeout {value} is negative")
    return None if value is None else float(2**31 if value == -1 else value)
