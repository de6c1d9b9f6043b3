"""What a project's records leave open: names, the default network, dependencies that other fields imply, profiles,
and each service's environment and labels out of its files.

Source: Compose specification, "Networks" (the default network), "Profiles", "env_file", "depends_on".
"""

from __future__ import annotations

import posixpath

from lading.errors import InvalidInput, NotFound
from lading.formats import env
from lading.formats.compose import dotenv, durations
from lading.formats.compose.model import Network, Project, Volume
from lading.formats.compose.model_service import ServiceDependency

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lading.formats.compose.loading import ReadFile
    from lading.formats.compose.model import Config
    from lading.formats.compose.model_service import Service
    from lading.formats.compose.shapes import Shape


def defaults(project: Project) -> None:
    """What goes without saying whatever ``config`` is told: where a secret is found, that a bound directory is made."""
    for service in project.services.values():
        _spans(service)
        for reference in service.secrets:
            reference.target = reference.target or f"/run/secrets/{reference.source}"
        devices = list(service.gpus)
        if service.deploy is not None and service.deploy.resources is not None:
            reserved = service.deploy.resources.reservations
            devices += reserved.devices if reserved is not None else []
        for device in devices:
            if not device.count and not device.device_ids:
                device.count = "all"
        for mount in service.volumes:
            if mount.bind is not None and mount.bind.create_host_path is None:
                mount.bind.create_host_path = True


def fill(project: Project, environ: Mapping[str, str]) -> None:
    """Names, the default network, and the dependencies that are not spelt out, into ``project``."""
    for service in project.services.values():
        build = service.build
        if build is not None and not build.dockerfile and not build.dockerfile_inline:
            build.dockerfile = "Dockerfile"
        if build is not None:
            build.args = {k: v for k, v in _known(build.args, environ).items() if v is not None}
        if service.pull_policy == "if_not_present":
            service.pull_policy = "missing"
        for hook in service.pre_start:
            hook.image = hook.image or service.image
        for mount in service.volumes:
            mount.target = posixpath.normpath(mount.target) if mount.target else mount.target
        if not service.networks and not service.network_mode and service.provider is None:
            service.networks = {"default": None}
        _imply(service)
    if any("default" in s.networks for s in project.services.values()):
        project.networks.setdefault("default", Network())
    collections: tuple[dict[str, Network] | dict[str, Volume] | dict[str, Config], ...] = (
        project.networks,
        project.volumes,
        project.configs,
        project.secrets,
    )
    for section in collections:
        for key, entry in section.items():
            if not entry.name:
                entry.name = key if entry.external else f"{project.name}_{key}"


def prune(project: Project) -> None:
    """Take out the networks, volumes, configs, secrets and models that no service uses."""
    services = list(project.services.values())
    networks = {name for s in services for name in s.networks}
    volumes = {m.source for s in services for m in s.volumes if m.type == "volume"}
    configs = {reference.source for s in services for reference in s.configs}
    secrets = {reference.source for s in services for reference in s.secrets}
    secrets |= {r.source for s in services if s.build is not None for r in s.build.secrets}
    models = {name for s in services for name in s.models}
    project.networks = {k: v for k, v in project.networks.items() if k in networks}
    project.volumes = {k: v for k, v in project.volumes.items() if k in volumes}
    project.configs = {k: v for k, v in project.configs.items() if k in configs}
    project.secrets = {k: v for k, v in project.secrets.items() if k in secrets}
    project.models = {k: v for k, v in project.models.items() if k in models}


def _imply(service: Service) -> None:
    """What a service needs before it can be made: whoever it links to, shares a namespace with, or takes volumes of."""
    for mode in (service.network_mode, service.ipc, service.pid):
        if mode.startswith("service:"):
            _needs(service, mode.partition(":")[2], restart=True)
    for link in service.links:
        _needs(service, link.partition(":")[0], restart=True)
    for source in service.volumes_from:
        if not source.startswith("container:"):
            _needs(service, source.partition(":")[0], restart=False)


def _needs(service: Service, name: str, *, restart: bool) -> None:
    if name and name not in service.depends_on:
        service.depends_on = {
            **service.depends_on,
            name: ServiceDependency(condition="service_started", restart=restart),
        }


def active(project: Project, profiles: Collection[str], named: Collection[str]) -> None:
    """Leave out of ``project`` the services that no profile asks for; those that are ``named`` are asked for by that.

    A dependency that is left out is an error where it is required (:func:`lading.formats.compose.checking.check` says so).
    """
    wanted = set(profiles)
    for name in named:
        if name in project.services:
            wanted |= set(project.services[name].profiles)
    if "*" in profiles:
        return
    kept = {
        name: service
        for name, service in project.services.items()
        if not service.profiles or name in named or wanted.intersection(service.profiles)
    }
    for name, service in kept.items():
        for needed, dependency in service.depends_on.items():
            if needed in kept or needed not in project.services:
                continue
            if dependency.required:
                raise InvalidInput(
                    f"services.{name}.depends_on: {needed} is only there with the profile "
                    f"{' or '.join(project.services[needed].profiles)}",
                    hint=f"add --profile {project.services[needed].profiles[0]}, or required: false",
                    reason="profile",
                )
        service.depends_on = {
            k: v for k, v in service.depends_on.items() if k in kept or k not in project.services
        }
    project.services = kept


def environments(project: Project, read: ReadFile, environ: Mapping[str, str], warnings: list[str]) -> None:
    """Read every service's ``env_file`` and ``label_file``, and give names without a value the caller's. Raises NotFound."""
    for name, service in project.services.items():
        values: dict[str, str | None] = {}
        for index, file in enumerate(service.env_file):
            where = f"services.{name}.env_file[{index}]"
            data = read(file.path)
            if data is None:
                if file.required:
                    raise NotFound(
                        f"{where}: {file.path} does not exist", hint="make it, or write required: false"
                    )
                continue
            if file.format not in ("", "raw"):
                raise InvalidInput(
                    f"{where}.format: {file.format[:40]!r} is not known: leave it out, or write raw"
                )
            if file.format == "raw":
                values.update(env.file_pairs(data, environ, where=file.path))
            else:
                own = {k: v for k, v in _known(service.environment, environ).items() if v is not None}
                lookup = {**{k: v for k, v in values.items() if v is not None}, **own, **environ}

                def unset(variable: str, path: str = file.path) -> None:
                    text = f"{path}: the variable {variable!r} is not set: an empty text takes its place"
                    if text not in warnings:
                        warnings.append(text)

                parsed = dotenv.parse(data, where=file.path, lookup=lookup, unset=unset)
                alone = {k: lookup.get(k) for k, v in parsed.items() if v is None}
                values.update({k: v for k, v in {**parsed, **alone}.items() if v is not None})
        values.update(service.environment)
        service.environment = _known(values, environ)
        service.env_file = []
        _labels(name, service, read)


def _spans(service: Service) -> None:
    """Durations in Go's form, which has neither days nor weeks."""
    fields: list[tuple[Shape, str]] = [(service, "stop_grace_period")]
    if service.healthcheck is not None:
        fields += [
            (service.healthcheck, f) for f in ("interval", "timeout", "start_period", "start_interval")
        ]
    for record, field in fields:
        text = getattr(record, field)
        if text and ("d" in text or "w" in text):
            try:
                setattr(record, field, durations.normal(text))
            except InvalidInput:
                continue  # checking says so


def _known(values: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, str | None]:
    return {key: environ.get(key) if value is None else value for key, value in values.items()}


def _labels(name: str, service: Service, read: ReadFile) -> None:
    """Labels of files into ``labels``; values refer to lines above them alone."""
    labels: dict[str, str] = {}
    for index, path in enumerate(service.label_file):
        data = read(path)
        if data is None:
            raise NotFound(f"services.{name}.label_file[{index}]: {path} does not exist")
        parsed = dotenv.parse(data, where=path, lookup=labels)
        labels.update({k: v for k, v in parsed.items() if v is not None})
    if service.label_file:
        service.labels = {**labels, **service.labels}
