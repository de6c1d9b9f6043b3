"""From a Pod to a record, and from a record to everything one container needs before its spec is written.

:func:`record_of` makes the record of a new pod (images resolved, names made up, volumes named); :func:`surroundings` is
called each time a container starts.
"""

from __future__ import annotations

import os
import time

from lading.errors import InvalidInput, NotFound, RemoteError, TimedOut
from lading.formats.oci_image import RunConfig
from lading.node import engine, etcfiles, layered, mountpoints, refused, spec, users
from lading.node.model import INIT, MAIN, SIDECAR, ContainerRecord, PodRecord
from lading.node.records import new_id
from lading.roots import keep_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Seccomp
    from lading.formats.pod import Container, Pod
    from lading.formats.rootfs import Rootfs
    from lading.images import Image
    from lading.network import Attachment
    from lading.node.shop import Shop

#: Nanoseconds between two health checks, as in Docker: a keeper has more to do.
_SHORTEST = 1_000_000


# -- a new pod -----------------------------------------------------------------------------------------------------


def containers_of(pod: Pod) -> list[tuple[Container, str]]:
    """The pod's containers in the order they start, each with its kind."""
    made = [(c, SIDECAR if c.restart_policy == "Always" else INIT) for c in pod.spec.init_containers]
    return made + [(c, MAIN) for c in pod.spec.containers]


def record_of(shop: Shop, pod: Pod, progress: object) -> PodRecord:
    """The record of a new pod, with every image here (pulled by ``imagePullPolicy``). Raises what resolving raises."""
    refused.check(pod)
    if pod.spec.extras.runtime:
        pod.spec.extras.runtime = engine.resolve(pod.spec.extras.runtime, uid=shop.roots.uid)
    if pod.spec.extras.pod:
        from lading.node import membership

        membership.join(shop, pod)
    if pod.spec.host_users is False:
        from lading.node import podusers

        podusers.check(shop, pod)
    pod_id = new_id()
    name = pod.metadata.name
    if not name:
        from lading.node.names import made_up

        name = pod.metadata.name = made_up()
    record = PodRecord(id=pod_id, name=name, pod=pod, created=time.time())
    pod.metadata.uid = pod.metadata.uid or _uuid(pod_id)
    for place, (container, kind) in enumerate(containers_of(pod)):
        image = resolve_image(shop, container, progress)
        made = ContainerRecord(
            id=pod_id if record.single else new_id(),
            pod_id=pod_id,
            name=container.name,
            kind=kind,
            index=place,
            image=container.extras.image_name or container.image,
            image_id=image.digest,
        )
        _from_image(container, image)
        _name_volumes(container, image, made)
        record.containers.append(made)
    return record


def _uuid(hexadecimal: str) -> str:
    h = hexadecimal
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:32]}"


def resolve_image(shop: Shop, container: Container, progress: object = None) -> Image:
    """The container's image by its pull policy (IfNotPresent without one). Raises what the image store raises.

    Also :class:`Denied`: by the policy for images, which says whose signatures they need.
    """
    policy = container.image_pull_policy or "IfNotPresent"
    platform = container.extras.platform
    if policy != "Always":
        try:
            found = shop.images.get(container.image, platform)
            if shop.roots.policy:
                from lading.images.signing import gate

                gate.using(shop.images, container.image, found, shop.roots.policy)
            return found
        except NotFound:
            if policy == "Never":
                raise
        try:
            return shop.images.pull(container.image, platform=platform, progress=progress)  # type: ignore[arg-type]
        except (RemoteError, TimedOut) as error:
            # Most often a typing error, which a registry's address alone would not show.
            kind = TimedOut if isinstance(error, TimedOut) else RemoteError
            raise kind(
                f"image {container.image!r} is not here, and fetching it failed: {error.message}",
                hint=error.hint,
                reason=error.reason,
            ) from None
    return shop.images.pull(container.image, platform=platform, progress=progress)  # type: ignore[arg-type]


def _from_image(container: Container, image: Image) -> None:
    """What an image says about a container's life, unless its Pod said otherwise."""
    config = image.config.config
    if config is None:
        return
    extras = container.extras
    lifecycle = container.lifecycle
    if config.stop_signal and not extras.stop_signal and not (lifecycle and lifecycle.stop_signal):
        _known(config.stop_signal, container)
        extras.stop_signal = config.stop_signal
    check = config.healthcheck
    if check is not None and check.test and (extras.healthcheck is None or not extras.healthcheck.test):
        from lading.formats.pod import Healthcheck

        own = extras.healthcheck
        default = Healthcheck()
        made = own or Healthcheck()
        made.test = check.test
        for name in ("interval", "timeout", "start_period", "start_interval"):
            value = getattr(check, name)
            if value and getattr(made, name) == getattr(default, name):
                if value < _SHORTEST:
                    raise InvalidInput(
                        f"image {container.image!r}: the {name} of its health check, {value} ns, is below a millisecond",
                        hint=f"choose one by --health-{name.replace('_', '-')}",
                    )
                setattr(made, name, value / 1e9)
        if check.retries and made.retries == default.retries:
            made.retries = check.retries
        extras.healthcheck = made


def _known(stop_signal: str, container: Container) -> None:
    """Refuse an image whose containers nobody could stop: a keeper that is asked to has to know the signal."""
    from lading.formats import signals

    try:
        signals.number(stop_signal)
    except InvalidInput as error:
        raise InvalidInput(
            f"image {container.image!r}: its StopSignal: {error.message}", hint="choose one by --stop-signal"
        ) from None


def _name_volumes(container: Container, image: Image, made: ContainerRecord) -> None:
    """Anonymous volumes get names here, so that they are recorded before they are made."""
    extras = container.extras
    config = image.config.config
    covered = {m.target.rstrip("/") for m in extras.mounts} | {t.path.rstrip("/") for t in extras.tmpfs}
    covered |= {m.mount_path.rstrip("/") for m in container.volume_mounts}
    if config is not None and config.volumes:
        from lading.formats.pod import BindMount

        for target in config.volumes:
            if target.startswith("/") and target.rstrip("/") not in covered:
                extras.mounts.append(BindMount(target=target))
    for mount in extras.mounts:
        if mount.source:
            continue
        if not mount.volume:
            mount.volume = new_id()
            made.anonymous.append(mount.volume)
        made.volumes[mount.target] = mount.volume


# -- one start -----------------------------------------------------------------------------------------------------


class Ready:
    """What one start of one container needs."""

    __slots__ = ("around", "image", "rootfs", "run_config")

    def __init__(
        self, around: spec.Surroundings, image: Image, rootfs: Rootfs, run_config: RunConfig
    ) -> None:
        self.around = around
        self.image = image
        self.rootfs = rootfs
        self.run_config = run_config


def make_roots(shop: Shop, record: PodRecord) -> None:
    """Make what :func:`surroundings` would make first of the containers' roots: a container stays what it began as."""
    keep_private(shop.roots.pods)
    for made in record.containers:
        shop.images.rootfs(shop.images.get(made.image_id), shop.container_directory(record, made))


def surroundings(
    shop: Shop,
    record: PodRecord,
    made: ContainerRecord,
    container: Container,
    attachment: Attachment | None,
) -> Ready:
    """Prepare the writable layer, volumes, user and generated files of one container."""
    pod = record.pod
    image = shop.images.get(made.image_id)
    directory = shop.container_directory(record, made)
    # An upper directory that is not synchronised is mounted once and never again.
    once = not (container.extras.pre_start or container.extras.post_stop)
    rootfs = shop.images.rootfs(
        image, directory, volatile=(pod.spec.extras.remove or pod.spec.extras.volatile) and once
    )
    config = image.config.config or RunConfig()
    layers = [rootfs.upper, *rootfs.lower] if rootfs.upper else rootfs.lower
    identity = _identity(pod, container, config, layers)
    around = spec.Surroundings(
        identity, etcfiles.hostname(pod, record.id), shop.cgroup(record, made), shop.pod_directory(record.id)
    )
    if container.extras.keep_hosts and not pod.spec.host_aliases:
        around.kept = ["hosts"] if layered.read(layers, "/etc/hosts").strip() else []
    if attachment is not None:
        addresses = [a.partition("/")[0] for i in attachment.interfaces for a in i.addresses]
        around.facts.pod_ips = addresses
    if container.env or pod.spec.volumes:
        from lading.node import machine

        machine.tell(around, pod, container)
    if not spec.is_privileged(container):
        around.profile, around.seccomp = _seccomp(pod, container)
    if container.extras.init:
        from lading.node import machine

        around.init = machine.find_init()
    if container.extras.devices or spec.is_privileged(container):
        from lading.node import hostdevices

        around.devices = hostdevices.collect(container, privileged=spec.is_privileged(container))
    if container.extras.block_bandwidth or container.extras.block_operations:
        from lading.node import blocklimits

        around.block_io = blocklimits.collect(container)
    if container.volume_mounts or container.extras.mounts:
        from lading.node import podvolumes

        around.mounts = podvolumes.mounts(shop, record, made, container, rootfs, around)
    if not pod.spec.extras.container:
        from lading.node import machine

        around.oom_score_adj = machine.oom_score_adj(pod, container, powerful=shop.roots.uid == 0)
    # A user who may make no group can ask for no share, and a pod that asks for none shall not fail for want of it.
    around.ordinary = bool(shop.roots.uid)
    around.swap_accounting = container.resources is not None and os.path.exists(
        "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
    )
    return Ready(around, image, mountpoints.below(rootfs, shop.roots.data), config)


def _identity(pod: Pod, container: Container, config: RunConfig, layers: list[str]) -> users.Identity:
    own = container.security_context
    shared = pod.spec.security_context
    run_as_user = own.run_as_user if own is not None else None
    run_as_group = own.run_as_group if own is not None else None
    non_root = own.run_as_non_root if own is not None else None
    supplemental: list[int] = []
    merge = True
    if shared is not None:
        run_as_user = shared.run_as_user if run_as_user is None else run_as_user
        run_as_group = shared.run_as_group if run_as_group is None else run_as_group
        non_root = shared.run_as_non_root if non_root is None else non_root
        supplemental = list(shared.supplemental_groups)
        if shared.fs_group is not None:
            supplemental.append(shared.fs_group)
        merge = shared.supplemental_groups_policy != "Strict"
    named = container.extras.user or config.user
    if non_root and run_as_user is None and named.partition(":")[0] and not users.is_number(named):
        # What a name means is the image's to say, so it proves nothing: the kubelet refuses it, too.
        raise InvalidInput(
            f"container {container.name}: runAsNonRoot is set, and the image's user {named!r} is a name, not a number",
            hint="set runAsUser",
            reason="runs-as-root",
        )
    if "/" in named:
        from lading.node import owners

        named = owners.numbered(named, layers)
    identity = users.resolve(
        named,
        lambda path: layered.read(layers, path),
        run_as_user=run_as_user,
        run_as_group=run_as_group,
        extra_groups=container.extras.group_add,
        supplemental=supplemental,
        merge=merge,
        numeric_names=container.extras.numeric_names,
    )
    if non_root and identity.uid == 0:
        raise InvalidInput(
            f"container {container.name}: runAsNonRoot is set, but it would run as root",
            hint="set runAsUser",
            reason="runs-as-root",
        )
    return identity


def _seccomp(pod: Pod, container: Container) -> tuple[str, Seccomp | None]:
    """The profile, and its name where other containers have the very same one."""
    own = container.security_context
    profile = own.seccomp_profile if own is not None else None
    if profile is None and pod.spec.security_context is not None:
        profile = pod.spec.security_context.seccomp_profile
    path = container.extras.seccomp
    if profile is not None:
        if profile.type == "Unconfined":
            path = "unconfined"
        elif profile.type == "Localhost":
            path = f"/var/lib/kubelet/seccomp/{profile.localhost_profile}"
    if path == "unconfined":
        return "", None
    if path:
        return "", _seccomp_file(path)
    if container.extras.system_calls is not None:
        from lading.node import systemcalls

        return "", systemcalls.profile(container.extras.system_calls, spec.capabilities(own, False))
    from lading.node.seccomp_profile import shared_profile

    return shared_profile(spec.capabilities(own, False))


def _seccomp_file(path: str) -> Seccomp:
    from lading.formats import jsontext
    from lading.formats.oci_runtime import Seccomp

    try:
        with open(path, "rb") as stream:
            text = stream.read(4 << 20)
    except OSError as error:
        raise InvalidInput(f"seccomp profile {path}: {error.strerror}") from None
    return Seccomp.decode(jsontext.loads(text, what=path), where=path, strict=False)
