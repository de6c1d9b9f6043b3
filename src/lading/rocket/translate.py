"""A reified App Container pod as a Pod of the engine.

``docs/decisions/0014-app-container.md`` has the table: what is one word's meaning in the other language. Nothing of the engine
knows the words of this module; what a Pod could not say before has fields of its own there, named for what they do.
"""

from __future__ import annotations

from lading.errors import Unsupported
from lading.formats.appc import callsets
from lading.formats.appc.environ import environment
from lading.formats.appc.isolators import APP, POD, bounding_set, gather
from lading.formats.appc.pod import EMPTY
from lading.formats.appc.reify import app_of, forwarded, placed
from lading.formats.pod import (
    BindMount,
    BlockLimit,
    CapabilityChange,
    Container,
    ContainerExtras,
    ContainerPort,
    EnvVar,
    ListenSocket,
    ObjectMeta,
    Pod,
    PodExtras,
    PodSecurityContext,
    PodSpec,
    ResourceRequirements,
    SecurityContext,
    SELinuxOptions,
    Sysctl,
    SystemCalls,
    Volume,
    VolumeMount,
)
from lading.formats.podvolumes import EmptyDirVolumeSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.appc.app import App
    from lading.formats.appc.image import ImageManifest
    from lading.formats.appc.isolators import Isolation, NameSet, Resource
    from lading.formats.appc.pod import PodManifest, RuntimeApp
    from lading.formats.appc.reify import Placed

_LONGEST_NAME = 63
PROTOCOLS = {"tcp": "TCP", "udp": "UDP"}


class Translated:
    """``pod`` without a name, and what is not done as the manifest says: ``notes``, a sentence each."""

    __slots__ = ("notes", "pod")

    def __init__(self, pod: Pod, notes: list[str]) -> None:
        self.pod = pod
        self.notes = notes


def translate(
    manifest: PodManifest,
    images: Mapping[str, ImageManifest],
    *,
    uuid: str,
    metadata_url: str = "",
) -> Translated:
    """The Pod that executes ``manifest``, which is reified; ``images`` has manifests by image ID.

    ``metadata_url``: what ``AC_METADATA_URL`` is to be; empty leaves it out. Raises :class:`InvalidInput` and
    :class:`Unsupported`, naming the app.
    """
    notes: list[str] = []
    volumes: dict[str, Volume] = {}
    made = [
        _container(manifest, app, images.get(app.image.id), volumes, metadata_url, notes)
        for app in manifest.apps
    ]
    by_name = {container.name: container for container in made}
    for port in forwarded(manifest, images):
        protocol = PROTOCOLS.get(port.protocol.lower())
        if protocol is None:
            raise Unsupported(
                f"port {port.name!r}: protocol {port.protocol!r}: only tcp and udp are published"
            )
        by_name[port.app].ports.append(
            ContainerPort(
                container_port=port.port, host_port=port.host_port, host_ip=port.host_ip, protocol=protocol
            )
        )
    isolation = gather(manifest.isolators, POD)
    _report(isolation, "the pod", notes)
    for name, resource in (("cpu", isolation.cpu), ("memory", isolation.memory)):
        if (
            resource is not None
        ):  # an app's limits hold for the app; apps of one pod have no group in common to limit
            notes.append(f"the pod: isolator resource/{name}: limits are set for each app")
    spec = PodSpec(
        containers=made,
        volumes=list(volumes.values()),
        restart_policy="Never",
        share_process_namespace=True,
        extras=PodExtras(fail_together=True),
    )
    if isolation.sysctls:
        spec.security_context = PodSecurityContext(
            sysctls=[Sysctl(name=name, value=value) for name, value in isolation.sysctls.items()]
        )
    return Translated(Pod(metadata=ObjectMeta(uid=uuid), spec=spec), notes)


def _container(
    manifest: PodManifest,
    app: RuntimeApp,
    image: ImageManifest | None,
    volumes: dict[str, Volume],
    metadata_url: str,
    notes: list[str],
) -> Container:
    where = f"app {app.name!r}"
    if len(app.name) > _LONGEST_NAME:
        raise Unsupported(f"{where}: a name of more than {_LONGEST_NAME} characters", hint="name it shorter")
    runs = app_of(app, image)
    isolation = gather(runs.isolators, APP)
    _report(isolation, where, notes)
    extras = ContainerExtras(
        user=f"{runs.user}:{runs.group}",
        group_add=[str(number) for number in runs.supplementary_gids],
        oom_score_adj=isolation.oom_score_adj,
        cpu_shares=isolation.cpu_shares,
        apparmor=isolation.apparmor,
        system_calls=_system_calls(isolation.seccomp, where),
        seccomp="unconfined" if isolation.seccomp is not None and isolation.seccomp.unfiltered else "",
        block_bandwidth=_block(isolation.block_bandwidth),
        block_operations=_block(isolation.block_iops),
        pre_start=runs.handler("pre-start"),
        post_stop=runs.handler("post-stop"),
    )
    container = Container(
        name=app.name,
        image=app.image.id.replace("-", ":", 1),
        command=[_literal(word) for word in runs.exec],
        working_dir=runs.working_directory or "/",
        env=[
            EnvVar(name=name, value=_literal(value))
            for name, value in environment(runs, name=app.name, metadata_url=metadata_url).items()
        ],
        resources=_resources(isolation),
        security_context=_security(app, isolation),
        extras=extras,
    )
    for mount in placed(manifest, app, image):
        _mount(mount, container, volumes)
    extras.listen = _activated(runs, where)
    return container


def _literal(text: str) -> str:
    """Text that a Pod's expansion of ``$(NAME)`` leaves as it was: here nothing is expanded."""
    return text.replace("$", "$$")


def _mount(mount: Placed, container: Container, volumes: dict[str, Volume]) -> None:
    volume = mount.volume
    if volume.kind != EMPTY:
        container.extras.mounts.append(
            BindMount(
                target=mount.path,
                source=volume.source,
                read_only=mount.read_only,
                recursive=volume.recursive is not False,
                copy_up=False,
            )
        )
        return
    name = f"empty-{list(volumes).index(volume.name) if volume.name in volumes else len(volumes)}"
    if volume.name not in volumes:
        mode = int(volume.mode, 8) if volume.mode else None
        source = EmptyDirVolumeSource(mode=mode, uid=volume.uid, gid=volume.gid)
        volumes[volume.name] = Volume(name=name, empty_dir=source)
    container.volume_mounts.append(VolumeMount(name=name, mount_path=mount.path, read_only=mount.read_only))


def _security(app: RuntimeApp, isolation: Isolation) -> SecurityContext:
    made = SecurityContext(
        read_only_root_filesystem=app.read_only_root_fs or None,
        allow_privilege_escalation=False if isolation.no_new_privileges else None,
        capabilities=CapabilityChange(
            drop=["ALL"],
            add=[name.removeprefix("CAP_") for name in bounding_set(isolation.capabilities)],
        ),
    )
    context = isolation.selinux
    if context is not None:
        made.se_linux_options = SELinuxOptions(
            user=context.user, role=context.role, type=context.type, level=context.level
        )
    return made


def _resources(isolation: Isolation) -> ResourceRequirements | None:
    made = ResourceRequirements()
    for name, resource, unit in (("cpu", isolation.cpu, "m"), ("memory", isolation.memory, "")):
        if resource is None:
            continue
        if resource.limit is not None:
            made.limits[name] = f"{resource.limit}{unit}"
        if resource.request is not None:
            made.requests[name] = f"{resource.request}{unit}"
    return made if made.limits or made.requests else None


def _block(resource: Resource | None) -> list[BlockLimit]:
    """A limit counts for every disk, in both directions: an isolator names no device."""
    if resource is None or resource.limit is None:
        return []
    return [BlockLimit(read=resource.limit, write=resource.limit)]


def _system_calls(wanted: NameSet | None, where: str) -> SystemCalls | None:
    """None for the profile that every container has, and for none at all."""
    if wanted is None or wanted.unfiltered or wanted.default:
        return None
    names, sets = list(wanted.names), []
    everything = False
    for wildcard in wanted.wildcards:
        if wildcard in callsets.USUAL:
            # Whoever takes the usual calls away leaves nothing of them.
            everything = everything or not wanted.retain
            sets.append("default")
        elif wildcard in callsets.UNUSUAL:
            names += callsets.BLACKLIST
        elif wildcard in callsets.SYSTEMD:
            sets.append(callsets.SYSTEMD[wildcard])
        elif wildcard == callsets.ALL:
            everything = True
        elif wildcard != callsets.EMPTY:
            raise Unsupported(
                f"{where}: the set of system calls {wildcard}", hint=f"known are {', '.join(callsets.KNOWN)}"
            )
    if everything:  # of nothing but what a start takes
        return SystemCalls(mode="retain", errno=wanted.errno)
    mode = "retain" if wanted.retain else "remove"
    return SystemCalls(
        mode=mode, names=list(dict.fromkeys(names)), sets=list(dict.fromkeys(sets)), errno=wanted.errno
    )


def _report(isolation: Isolation, where: str, notes: list[str]) -> None:
    notes += [f"{where}: isolator {name}: {why}" for name, why in isolation.ignored]
    if isolation.network_bandwidth is not None:
        notes.append(f"{where}: isolator resource/network-bandwidth: not enforced")


def _activated(app: App, where: str) -> list[ListenSocket]:
    """The sockets that listen before the app runs, one a port."""
    made = []
    for port in app.ports:
        if not port.socket_activated:
            continue
        protocol = PROTOCOLS.get(port.protocol.lower())
        if protocol is None:
            raise Unsupported(
                f"{where}: port {port.name!r}: protocol {port.protocol!r}: only tcp and udp are listened at"
            )
        made += [
            ListenSocket(port=port.port + step, protocol=protocol, name=port.name)
            for step in range(port.count)
        ]
    return made
