"""The image of every service, here before containers are made: found, pulled or built, by ``pull_policy`` and flags.

Source: Compose specification, "pull_policy".
"""

from __future__ import annotations

import time

from lading.compose.workers import Task, run
from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats.compose.document import retold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.compose.application import Application
    from lading.formats.compose.model import Project
    from lading.images import Image

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def name_of(project: Project, service: str) -> str:
    """What a service's image is called: as the file says, else after project and service."""
    return project.services[service].image or f"{project.name}-{service}"


def policy_of(project: Project, service: str, asked: str = "policy") -> str:
    """``always``, ``missing``, ``never``, ``build``, or ``every_SECONDS``; ``asked`` is ``--pull``."""
    policy = asked if asked not in ("", "policy") else project.services[service].pull_policy
    if policy in ("", "if_not_present", "missing"):
        return "missing"
    words = {"daily": "every_1d", "weekly": "every_1w"}
    policy = words.get(policy, policy)
    if policy == "refresh":
        raise InvalidInput(f"services.{service}.pull_policy: write every_1d, or always")
    return policy


def period(policy: str, where: str) -> int:
    """The seconds of ``every_1d12h``. Raises :class:`InvalidInput`."""
    total, digits = 0, ""
    for char in policy.removeprefix("every_"):
        if char.isascii() and char.isdigit() and len(digits) < 10:
            digits += char
        elif char in _UNITS and digits:
            total += int(digits) * _UNITS[char]
            digits = ""
        else:
            total = 0
            break
    if not total or digits:
        raise InvalidInput(
            f"{where}.pull_policy: {policy[:40]!r} has no duration", hint="write every_12h or every_7d"
        )
    return total


def resolve(
    app: Application,
    project: Project,
    services: Sequence[str],
    *,
    build: bool = False,
    no_build: bool = False,
    pull: str = "policy",
    quiet_pull: bool = False,
    quiet_build: bool = False,
) -> dict[str, str]:
    """See that the image of every one of ``services`` is here: their digests. Raises what pulling and building raise."""
    tasks: dict[str, Task] = {}
    builds: list[str] = []
    for name in services:
        service = project.services[name]
        policy = policy_of(project, name, pull)
        here = is_here(app, project, name)
        if service.build is not None and (build or policy == "build" or (here is None and policy != "never")):
            if no_build:
                raise NotFound(
                    f"services.{name}: the image {name_of(project, name)} is not here, and --no-build says not to build it"
                )
            builds.append(name)
        elif service.build is None and policy == "build":
            raise InvalidInput(f"services.{name}.pull_policy: build, and there is nothing to build it of")
        elif service.build is None or pull == "always":
            _pull(app, project, name, policy, here, tasks, quiet_pull)
    if tasks:
        run(list(tasks.values()), limit=app.parallel)
    if builds:
        from lading.compose import building

        building.build_all(app, project, builds, quiet=quiet_build)
    found = {}
    for name in services:
        image = is_here(app, project, name)
        if image is None:
            raise NotFound(f"services.{name}: the image {name_of(project, name)} is not here")
        found[name] = image.digest
    return found


def is_here(app: Application, project: Project, name: str) -> Image | None:
    """A service's image where it is here, else None."""
    try:
        return app.context.images.get(name_of(project, name), project.services[name].platform)
    except NotFound:
        return None


def _pull(
    app: Application,
    project: Project,
    name: str,
    policy: str,
    here: Image | None,
    tasks: dict[str, Task],
    quiet: bool,
) -> None:
    image = name_of(project, name)
    platform = project.services[name].platform
    if policy == "never":
        if here is None:
            raise NotFound(
                f"services.{name}: the image {image} is not here, and its pull policy is never",
                hint=f"lading pull {image}",
            )
        return
    if policy.startswith("every_"):
        seconds = period(policy, f"services.{name}")
        if here is not None and time.time() - pulled(app, image) < seconds:
            return
    elif policy == "missing" and here is not None:
        return
    key = f"{image} {platform}"
    if key in tasks:
        return

    def work() -> object:
        return pull(app, image, platform)

    def done(_: object) -> None:
        note(app, image)
        if not quiet:
            app.say(f" Image {image}  Pulled")

    if not quiet:
        app.say(f" Image {image}  Pulling")
    tasks[key] = Task(f"services.{name}: image {image}", work, done=done)


def pull(app: Application, image: str, platform: str = "") -> str:
    """Fetch an image, in a process of its own: its digest."""
    from lading.cli.context import Context

    context = Context(app.context.roots)
    from lading.images.pull import PullOptions

    try:
        return context.images.pull(
            image, platform=platform, options=PullOptions(config=context.roots.config)
        ).digest
    except LadingError as error:
        raise retold(error, f"image {image}: {error.message}") from None


def _note_path(app: Application, image: str) -> str:
    from lading.compose.resources import digest

    return f"{app.context.roots.data}/compose/.pulled-{digest(image)[:32]}"


def pulled(app: Application, image: str) -> float:
    """When an image was last pulled by a policy that asks; 0.0: never."""
    import os

    try:
        return os.stat(_note_path(app, image)).st_mtime
    except OSError:
        return 0.0


def note(app: Application, image: str) -> None:
    """Remember that it was pulled now. A file that cannot be written means that it is pulled again."""
    from lading.roots import keep_private

    try:
        keep_private(f"{app.context.roots.data}/compose")
        with open(_note_path(app, image), "w"):
            pass
    except OSError:
        pass
