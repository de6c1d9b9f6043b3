"""``lading compose down``."""

from __future__ import annotations

from lading.cli.main import complain
from lading.compose import ending, labels, locking, resources, state
from lading.compose.application import Application
from lading.errors import Conflict, LadingError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.compose.model_service import Service


def down(context: Context, parsed: Parsed) -> int:
    """Stop and remove containers, then networks; with flags volumes and images. What is not there is no failure."""
    app = Application(context, parsed)
    return take_down(
        app,
        list(parsed.args),
        timeout=ending.seconds(parsed["timeout"]),
        volumes=parsed["volumes"],
        images=parsed["rmi"],
        orphans=parsed["remove-orphans"],
    )


def take_down(
    app: Application,
    named: list[str],
    *,
    timeout: float | None = None,
    volumes: bool = False,
    images: str = "",
    orphans: bool = False,
) -> int:
    """Everything of a project, or of its ``named`` services, away. The status: 1 when something could not go."""
    services: dict[str, Service] = {}
    if app.has_file():
        project = app.load(named)
        name, services = project.name, app.services
    else:
        name = app.name()
    with locking.Lock(app, name):
        return _away(app, name, named, services, timeout, volumes, images, orphans)


def _away(
    app: Application,
    name: str,
    named: list[str],
    services: dict[str, Service],
    timeout: float | None,
    volumes: bool,
    images: str,
    orphans: bool,
) -> int:
    state.finish_removals(app.context.node, name)
    found = state.members(app.context.node, name, named, oneoffs=None)
    if services and not named:
        orphaned = [m for m in found if m.service not in services]
        if orphaned and not (orphans or app.asked("COMPOSE_REMOVE_ORPHANS")):
            app.warn_of_orphans([m.name for m in orphaned])
            found = [m for m in found if m.service in services]
    inherited: set[str] = set()
    if volumes:
        inherited = {v for m in found for v in state.anonymous(app.context.volumes, m.record).values()}
    ending.remove(app, found, timeout=timeout, volumes=volumes, services=services)
    status = 0
    users = app.context.node.volumes_in_use() if inherited else {}
    for volume in sorted(inherited.difference(users)):
        app.context.volumes.remove(volume, force=True)
    if not named:
        status = _networks(app, name)
        left = state.members(app.context.node, name, oneoffs=None)
        if not left:
            resources.forget_files(app, name)
    if volumes:
        status = max(status, _volumes(app, name, named))
    if images:
        _images(app, name, found, images)
    return status


def _networks(app: Application, project: str) -> int:
    status = 0
    store = app.context.node.networks
    for network in store.list():
        if network.labels.get(labels.PROJECT) != project:
            continue
        try:
            store.remove(network.name)
            app.say(f" Network {network.name}  Removed")
        except Conflict as error:
            app.say(f" Network {network.name}  Resource is still in use")
            if error.reason == "internal":
                raise
        except NotFound:
            pass
        except LadingError as error:
            complain(error)
            status = 1
    return status


def _volumes(app: Application, project: str, named: list[str]) -> int:
    status = 0
    users = app.context.node.volumes_in_use()
    for volume in app.context.volumes.list():
        if volume.labels.get(labels.PROJECT) != project:
            continue
        if named and users.get(volume.name):
            continue
        try:
            app.context.volumes.remove(volume.name, in_use=lambda n: users.get(n, []))
            app.say(f" Volume {volume.name}  Removed")
        except NotFound:
            pass
        except LadingError as error:
            complain(error)
            status = 1
    return status


def _images(app: Application, project: str, found: list[state.Member], which: str) -> None:
    wanted = {m.record.container.image: m.service for m in found}
    for known in app.services.values():
        if known.image:
            wanted.setdefault(known.image, "")
    for name in app.services:
        wanted.setdefault(f"{project}-{name}", name)
    for image, service in wanted.items():
        if not image or (which == "local" and image != f"{project}-{service}"):
            continue
        try:
            app.context.images.remove(image, in_use=app.context.node.images_in_use())
            app.say(f" Image {image}  Removed")
        except NotFound:
            continue
        except LadingError as error:
            app.say(f" Image {image}  {error.message}")
