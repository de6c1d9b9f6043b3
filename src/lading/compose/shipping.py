"""``lading compose pull`` and ``push``."""

from __future__ import annotations

from lading.cli.main import complain
from lading.compose import imaging
from lading.compose.application import Application, with_needs
from lading.compose.workers import Task, run
from lading.errors import LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.compose.model import Project


def pull(context: Context, parsed: Parsed) -> int:
    """Pull the images of the services, side by side."""
    app = Application(context, parsed)
    project = app.load(parsed.args)
    named = list(parsed.args)
    services = with_needs(project, named) if parsed["include-deps"] or not named else named
    tasks: dict[str, Task] = {}
    for name in services:
        service = project.services[name]
        image = imaging.name_of(project, name)
        key = f"{image} {service.platform}"
        if service.build is not None and (parsed["ignore-buildable"] or not service.image):
            app.say(f" {name}  Skipped - it is built here")
            continue
        if imaging.policy_of(project, name) == "never" or key in tasks:
            continue
        if parsed["policy"] == "missing" and imaging.is_here(app, project, name):
            continue

        def work(image: str = image, platform: str = service.platform) -> object:
            try:
                return imaging.pull(app, image, platform)
            except LadingError as error:
                if not parsed["ignore-pull-failures"]:
                    raise
                complain(error)
                return ""

        def done(result: object, image: str = image) -> None:
            if result:
                imaging.note(app, image)
            if not parsed["quiet"]:
                app.say(f" Image {image}  {'Pulled' if result else 'Not pulled'}")

        tasks[key] = Task(f"services.{name}: image {image}", work, done=done)
    run(list(tasks.values()), limit=app.parallel)
    return 0


def push(context: Context, parsed: Parsed) -> int:
    """Push the images that are built here."""
    app = Application(context, parsed)
    project = app.load(parsed.args)
    named = list(parsed.args)
    services = with_needs(project, named) if parsed["include-deps"] or not named else named
    for name in services:
        service = project.services[name]
        if service.build is None or not service.image:
            if not parsed["quiet"]:
                app.say(
                    f" {name}  Skipped - {'it has no image name' if service.build else 'it is not built here'}"
                )
            continue
        try:
            push_one(app, project, name, quiet=parsed["quiet"])
        except LadingError as error:
            if not parsed["ignore-push-failures"]:
                raise
            complain(error)
    return 0


def push_one(app: Application, project: Project, name: str, *, quiet: bool) -> None:
    """Push a service's image, under its name and its further tags. Raises what pushing raises."""
    from lading.images.pull import PullOptions

    service = project.services[name]
    tags = service.build.tags if service.build is not None else []
    for image in [service.image, *tags]:
        options = PullOptions(config=app.context.roots.config)
        app.context.images.push(image, image, options=options, progress=None)
        if not quiet:
            app.say(f" Image {image}  Pushed")
