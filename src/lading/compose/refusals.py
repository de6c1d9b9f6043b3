"""What a Compose file can say and Lading does not do, refused by its path: nothing is ignored."""

from __future__ import annotations

from lading.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.compose.model import Network, Project, Volume
    from lading.formats.compose.model_service import Deploy, Service

_WINDOWS = "for Windows containers only"
_SWARM = "there is no cluster of nodes"
_SERVICE = {
    "cpu_count": _WINDOWS,
    "cpu_percent": _WINDOWS,
    "isolation": _WINDOWS,
    "credential_spec": _WINDOWS,
    "cpu_rt_period": "real-time scheduling limits are not supported",
    "cpu_rt_runtime": "real-time scheduling limits are not supported",
    "external_links": "join the network that the other container is in, and use its name",
    "gpus": "pass the device files with devices",
    "models": "models are not served here",
    "provider": "providers are not supported",
    "pre_start": "containers that run before a service's are not supported: give them a service and depends_on",
    "pull_refresh_after": "write pull_policy: every_12h, or another duration",
    "storage_opt": "storage options are not supported",
    "use_api_socket": "there is no API socket",
}
_MOUNTS = {
    "image": "mounting an image is not supported",
    "npipe": _WINDOWS,
    "cluster": _SWARM,
}


def check(project: Project) -> None:
    """Raise :class:`Unsupported` for the first thing that would have no effect."""
    if project.models:
        raise _no("models", "models are not served here")
    for name, service in project.services.items():
        _service(service, f"services.{name}")
    for name, network in project.networks.items():
        _network(network, f"networks.{name}")
    for name, volume in project.volumes.items():
        _volume(volume, f"volumes.{name}")
    for section, entries in (("configs", project.configs), ("secrets", project.secrets)):
        for name, entry in entries.items():
            where = f"{section}.{name}"
            if entry.external:
                raise _no(
                    f"{where}.external", f"there is no store of {section} here", "use file or environment"
                )
            for field in ("driver", "driver_opts", "template_driver"):
                if getattr(entry, field):
                    raise _no(f"{where}.{field}", _SWARM)


def _no(where: str, why: str, hint: str = "") -> Unsupported:
    return Unsupported(f"{where}: not supported: {why}", hint=hint)


def _service(service: Service, where: str) -> None:
    for field, why in _SERVICE.items():
        if getattr(service, field) not in ("", None, False, [], {}):
            raise _no(f"{where}.{field}", why)
    if service.deploy is not None:
        _deploy(service.deploy, f"{where}.deploy")
    _logging(service, where)
    for name, joined in service.networks.items():
        for field in ("interface_name", "link_local_ips", "driver_opts"):
            if joined is not None and getattr(joined, field):
                raise _no(f"{where}.networks.{name}.{field}", "it cannot be chosen here")
    for index, mount in enumerate(service.volumes):
        path = f"{where}.volumes[{index}]"
        if mount.type in _MOUNTS:
            raise _no(f"{path}.type: {mount.type}", _MOUNTS[mount.type])
        if mount.volume is not None and mount.volume.labels:
            raise _no(f"{path}.volume.labels", "give the volume a name, and labels below volumes:")
        if mount.bind is not None and mount.bind.recursive in ("writable", "readonly"):
            raise _no(f"{path}.bind.recursive: {mount.bind.recursive}", "enabled and disabled are")
    for index, port in enumerate(service.ports):
        path = f"{where}.ports[{index}]"
        if port.mode not in ("", "ingress", "host"):
            raise _no(f"{path}.mode: {port.mode}", "the modes are ingress and host, and here they are one")
    if service.blkio_config is not None and service.blkio_config.weight_device:
        raise _no(f"{where}.blkio_config.weight_device", "weights of single devices are not supported")
    for field in ("post_start", "pre_stop"):
        for index, hook in enumerate(getattr(service, field)):
            if not hook.command:
                raise _no(f"{where}.{field}[{index}].command: an empty one", "there is nothing to run")
    _build(service, where)


def _build(service: Service, where: str) -> None:
    build = service.build
    if build is None:
        return
    for field, why in (
        ("isolation", _WINDOWS),
        ("privileged", "RUN --security=insecure with entitlements asks for that step by step"),
    ):
        if getattr(build, field):
            raise _no(f"{where}.build.{field}", why)


def _deploy(deploy: Deploy, where: str) -> None:
    if deploy.mode not in ("", "replicated"):
        raise _no(f"{where}.mode: {deploy.mode}", _SWARM)
    for field in ("endpoint_mode", "placement", "update_config", "rollback_config"):
        if getattr(deploy, field) not in ("", None, {}):
            raise _no(f"{where}.{field}", _SWARM, "leave it out here, in a file of its own for the cluster")
    if deploy.labels:
        raise _no(
            f"{where}.labels", "a service is no object that could wear them", "use labels of the service"
        )
    policy = deploy.restart_policy
    if policy is not None:
        for field in ("delay", "window"):
            if getattr(policy, field):
                raise _no(f"{where}.restart_policy.{field}", "restarts wait longer each time, up to a minute")
    if deploy.resources is not None:
        for kind in ("limits", "reservations"):
            entry = getattr(deploy.resources, kind)
            for field in ("generic_resources", "devices"):
                if entry is not None and getattr(entry, field):
                    raise _no(f"{where}.resources.{kind}.{field}", "pass the device files with devices")
        reserved = deploy.resources.reservations
        if reserved is not None and reserved.pids is not None:
            raise _no(f"{where}.resources.reservations.pids", "processes can be limited, not reserved")


def _logging(service: Service, where: str) -> None:
    logging = service.logging
    if logging is None:
        return
    if logging.driver not in ("", "json-file", "local"):
        raise _no(
            f"{where}.logging.driver: {logging.driver}",
            "logs are files of timestamped lines, see lading compose logs",
        )
    for option, text in logging.options.items():
        if option not in ("max-size", "max-file") and (option, text) != ("compress", "false"):
            raise _no(
                f"{where}.logging.options.{option}",
                "a log is files of timestamped lines, of which max-size and max-file are known",
                "leave it out",
            )


def _network(network: Network, where: str) -> None:
    if network.enable_ipv4 is False:
        raise _no(f"{where}.enable_ipv4: false", "every network has IPv4")
    if network.driver not in ("", "default", "bridge", "macvlan"):
        raise _no(f"{where}.driver: {network.driver}", "the drivers are bridge and macvlan")
    if network.ipam is not None:
        if network.ipam.driver not in ("", "default"):
            raise _no(f"{where}.ipam.driver: {network.ipam.driver}", "addresses are given out by Lading")
        if network.ipam.options:
            raise _no(f"{where}.ipam.options", "the built-in driver has none")


def _volume(volume: Volume, where: str) -> None:
    if volume.driver not in ("", "default", "local", "tmpfs"):
        raise _no(f"{where}.driver: {volume.driver}", "the drivers are local and tmpfs")
