"""Whether a project makes sense: what is named exists, nothing contradicts, nobody waits for himself.

Source: Compose specification, element by element. Every message begins with the path of what is wrong.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.compose import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lading.formats.compose.model import Config, Project
    from lading.formats.compose.model_service import FileReference, Service

_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_POLICIES = ("always", "never", "missing", "if_not_present", "build", "daily", "weekly", "refresh")


def check(project: Project) -> None:
    """Raise :class:`InvalidInput` for the first contradiction."""
    written.check(project)
    _names(project)
    for name, service in project.services.items():
        where = f"services.{name}"
        _image(project, service, where)
        _networks(project, service, where)
        _dependencies(project, name, service)
        _files(service.configs, project.configs, f"{where}.configs", "configs")
        _files(service.secrets, project.secrets, f"{where}.secrets", "secrets")
        if service.build is not None:
            _files(service.build.secrets, project.secrets, f"{where}.build.secrets", "secrets")
        _mounts(project, service, where)
        _scale(service, where)
        _limits(service, where)
        _health(service, where)
        _watches(service, where)
        _policy(service, where)
    _circles(project)
    _sources(project.configs, "configs")
    _sources(project.secrets, "secrets")
    for section, entries in (("networks", project.networks), ("volumes", project.volumes)):
        for key, entry in entries.items():
            if entry.external and (entry.driver or entry.driver_opts or entry.labels):
                raise InvalidInput(
                    f"{section}.{key}: external says that it exists already; nothing but its name goes with that"
                )


def _names(project: Project) -> None:
    owners: dict[str, str] = {}
    for name, service in project.services.items():
        given = service.container_name
        if given and given in owners:
            raise InvalidInput(
                f"services.{name}.container_name: {given[:80]!r} is the container of {owners[given]} already"
            )
        owners[given] = name


def _image(project: Project, service: Service, where: str) -> None:
    if not service.image and service.build is None and service.provider is None:
        raise InvalidInput(f"{where}: neither an image nor a build context is given", reason="no-image")
    build = service.build
    if build is not None and build.dockerfile and build.dockerfile_inline:
        raise InvalidInput(f"{where}.build: dockerfile and dockerfile_inline contradict each other")
    for name, context in build.additional_contexts.items() if build is not None else ():
        kind, colon, other = (context or "").partition(":")
        if (
            kind == "service"
            and colon
            and (other not in project.services or project.services[other].build is None)
        ):
            raise InvalidInput(
                f"{where}.build.additional_contexts.{name}: {other[:80]!r} is no service that is built",
                reason="undefined",
            )
    if build is not None and service.platform and build.platforms and service.platform not in build.platforms:
        raise InvalidInput(
            f"{where}.build.platforms: the service's own platform {service.platform} is missing"
        )


def _networks(project: Project, service: Service, where: str) -> None:
    if service.network_mode and service.networks:
        raise InvalidInput(f"{where}.network_mode: it does not go with networks")
    for name in service.networks:
        if name not in project.networks:
            raise _undefined(f"{where}.networks.{name}", "network", name, project.networks, "networks")
    for field in ("network_mode", "pid", "ipc"):
        mode: str = getattr(service, field)
        kind, colon, other = mode.partition(":")
        if kind == "service" and colon and other not in project.services:
            raise _undefined(f"{where}.{field}", "service", other, project.services, "services")
    for index, port in enumerate(service.ports):
        if port.host_ip and not _is_address(port.host_ip):
            raise InvalidInput(f"{where}.ports[{index}].host_ip: {port.host_ip[:60]!r} is no address")
    for field in ("links", "volumes_from"):
        for index, text in enumerate(getattr(service, field)):
            other = text.partition(":")[0]
            if other != "container" and other not in project.services:
                raise _undefined(f"{where}.{field}[{index}]", "service", other, project.services, "services")


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _undefined(where: str, kind: str, name: str, known: Collection[str], section: str) -> InvalidInput:
    from lading.flags import nearest

    near = nearest(name, list(known))
    return InvalidInput(
        f"{where}: there is no {kind} {name[:80]!r}",
        hint=f"did you mean {near!r}?" if near else f"define it below {section}:",
        reason="undefined",
    )


def _dependencies(project: Project, name: str, service: Service) -> None:
    for other, dependency in service.depends_on.items():
        where = f"services.{name}.depends_on.{other}"
        if dependency.condition not in _CONDITIONS:
            raise InvalidInput(
                f"{where}.condition: {dependency.condition[:60]!r} is not {', '.join(_CONDITIONS)}"
            )
        if other not in project.services:
            if dependency.required:
                raise _undefined(where, "service", other, project.services, "services")
            continue
        checks = project.services[other].healthcheck
        if dependency.condition == "service_healthy" and checks is not None and checks.disable:
            raise InvalidInput(
                f"{where}.condition: {other} has its health check disabled: it never gets healthy"
            )
    service.depends_on = {k: v for k, v in service.depends_on.items() if k in project.services}


def _files(granted: list[FileReference], known: Mapping[str, Config], where: str, section: str) -> None:
    for index, reference in enumerate(granted):
        if reference.source not in known:
            raise _undefined(f"{where}[{index}]", section[:-1], reference.source, known, section)
        if reference.mode and not _octal(reference.mode):
            raise InvalidInput(
                f"{where}[{index}].mode: {reference.mode[:40]!r} is not a mode", hint="write 0440"
            )
        for field in ("uid", "gid"):
            value: str = getattr(reference, field)
            if value and not (value.isascii() and value.isdigit() and len(value) < 10):
                raise InvalidInput(f"{where}[{index}].{field}: {value[:40]!r} is not a number")


def _octal(text: str) -> bool:
    digits = text.removeprefix("0o")
    return bool(digits) and set(digits) <= set("01234567") and len(digits) < 8


def _mounts(project: Project, service: Service, where: str) -> None:
    seen: dict[str, str] = {}
    for index, text in enumerate(service.tmpfs):
        target = text.partition(":")[0]
        if target in seen:
            raise InvalidInput(
                f"{where}.tmpfs[{index}]: {target[:80]} is the target of {seen[target]} already"
            )
        seen[target] = f"tmpfs[{index}]"
    for index, mount in enumerate(service.volumes):
        path = f"{where}.volumes[{index}]"
        if mount.type not in ("bind", "volume", "tmpfs", "image", "npipe", "cluster"):
            raise InvalidInput(f"{path}.type: {mount.type[:40]!r} is not bind, volume, tmpfs or image")
        if not mount.target:
            raise InvalidInput(f"{path}.target: required field is missing", reason="missing-field")
        if mount.type == "bind" and not mount.source:
            raise InvalidInput(f"{path}.source: required field is missing", reason="missing-field")
        if mount.type == "volume" and mount.source and mount.source not in project.volumes:
            raise _undefined(path, "volume", mount.source, project.volumes, "volumes")
        if mount.bind is not None and mount.bind.selinux not in ("", "z", "Z"):
            raise InvalidInput(f"{path}.bind.selinux: {mount.bind.selinux[:40]!r} is not z or Z")
        if mount.target in seen:
            raise InvalidInput(f"{path}.target: {mount.target} is the target of {seen[mount.target]} already")
        seen[mount.target] = f"volumes[{index}]"
        for kind in ("bind", "volume", "tmpfs", "image"):
            if getattr(mount, kind) is not None and kind != mount.type:
                raise InvalidInput(f"{path}.{kind}: it does not go with type {mount.type}")


def _scale(service: Service, where: str) -> None:
    deploy = service.deploy.replicas if service.deploy is not None else None
    if service.scale is not None and deploy is not None and service.scale != deploy:
        raise InvalidInput(f"{where}.scale: deploy.replicas says another number, {deploy}")
    if service.replicas < 0:
        raise InvalidInput(f"{where}.scale: {service.replicas} is negative")
    if service.container_name and service.replicas > 1:
        raise InvalidInput(
            f"{where}.container_name: there cannot be {service.replicas} containers of one name"
        )


def _limits(service: Service, where: str) -> None:
    """What a service says of itself and what ``deploy`` says: the same, where both do."""
    limits = service.deploy.resources if service.deploy is not None else None
    if limits is None:
        return
    for field, record, name in (
        ("cpus", limits.limits, "cpus"),
        ("mem_limit", limits.limits, "memory"),
        ("mem_reservation", limits.reservations, "memory"),
        ("pids_limit", limits.limits, "pids"),
    ):
        own, other = getattr(service, field), getattr(record, name) if record is not None else None
        if own and other and written.size(field, own) != written.size(field, other):
            raise InvalidInput(f"{where}.{field}: deploy.resources says another limit, {other}")


def _health(service: Service, where: str) -> None:
    test = service.healthcheck.test if service.healthcheck is not None else []
    if test and test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise InvalidInput(
            f"{where}.healthcheck.test: {test[0][:40]!r} is not NONE, CMD or CMD-SHELL",
            hint='write ["CMD", …], or a text for the shell',
        )


def _watches(service: Service, where: str) -> None:
    for index, rule in enumerate(service.develop.watch if service.develop is not None else ()):
        path = f"{where}.develop.watch[{index}]"
        if not rule.path:
            raise InvalidInput(f"{path}.path: required field is missing", reason="missing-field")
        if rule.action not in ACTIONS:
            raise InvalidInput(f"{path}.action: {rule.action[:40]!r} is not one of {', '.join(ACTIONS)}")
        if not rule.target and rule.action.startswith("sync"):
            raise InvalidInput(f"{path}.target: required field is missing", reason="missing-field")


ACTIONS = ("rebuild", "restart", "sync", "sync+restart", "sync+exec")


def _policy(service: Service, where: str) -> None:
    policy = service.pull_policy
    if policy and policy not in _POLICIES and not policy.startswith("every_"):
        raise InvalidInput(
            f"{where}.pull_policy: {policy[:40]!r} is not always, missing, never, build, daily, weekly or every_DURATION"
        )


def _circles(project: Project) -> None:
    done: set[str] = set()
    for start in project.services:
        path: list[str] = []
        stack = [(start, iter(project.services[start].depends_on))]
        while stack:
            name, waiting = stack[-1]
            if name not in path:
                path.append(name)
            for other in waiting:
                if other in path:
                    chain = " → ".join([*path[path.index(other) :], other])
                    raise InvalidInput(
                        f"services.{name}.depends_on: services wait for each other: {chain}", reason="cycle"
                    )
                if other not in done and other in project.services:
                    stack.append((other, iter(project.services[other].depends_on)))
                    break
            else:
                stack.pop()
                path.pop()
                done.add(name)


def _sources(entries: Mapping[str, Config], section: str) -> None:
    for name, entry in entries.items():
        where = f"{section}.{name}"
        if section == "secrets" and entry.content is not None:
            raise InvalidInput(
                f"{where}.content: unknown field", hint="use environment or file", reason="unknown-field"
            )
        given = [
            word
            for word, there in (
                ("file", bool(entry.file)),
                ("environment", bool(entry.environment)),
                ("content", entry.content is not None),
                ("external", entry.external),
            )
            if there
        ]
        if len(given) > 1:
            raise InvalidInput(f"{where}: {' and '.join(given)} contradict each other")
        if not given and not entry.driver:
            words = "file, environment, content" if section == "configs" else "file, environment"
            raise InvalidInput(f"{where}: one of {words} or external is needed", reason="missing-field")
