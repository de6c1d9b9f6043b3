"""From a Pod to a record, and from a record to everything one container needs before its spec is written.

:func:`record_of` makes the record of a new pod (images resolved, names made up, volumes named); :func:`surroundings` is
called each time a container starts.
"""

from __future__ import annotations

import os
import stat
import time

from lading.errors import Conflict, InvalidInput, LadingError, NotFound, Unsupported
from lading.formats.oci_image import RunConfig
from lading.node import engine, etcfiles, layered, mountpoints, refused, spec, spec_mounts, users
from lading.node.model import INIT, MAIN, SIDECAR, ContainerRecord, PodRecord
from lading.node.records import new_id
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Mount, Seccomp
    from lading.formats.pod import BindMount, Container, Pod
    from lading.formats.podvolumes import Volume
    from lading.formats.rootfs import Rootfs
    from lading.images import Image
    from lading.network import Attachment
    from lading.node import environment
    from lading.node.shop import Shop

_HOST_PATH_CHECKS = {
    "Directory": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}


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
            image=container.image,
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
    """The container's image by its pull policy (IfNotPresent without one). Raises what the image store raises."""
    policy = container.image_pull_policy or "IfNotPresent"
    platform = container.extras.platform
    if policy != "Always":
        try:
            return shop.images.get(container.image, platform)
        except NotFound:
            if policy == "Never":
                raise
    return shop.images.pull(container.image, platform=platform, progress=progress)  # type: ignore[arg-type]


def _from_image(container: Container, image: Image) -> None:
    """What an image says about a container's life, unless its Pod said otherwise."""
    config = image.config.config
    if config is None:
        return
    extras = container.extras
    lifecycle = container.lifecycle
    if config.stop_signal and not extras.stop_signal and not (lifecycle and lifecycle.stop_signal):
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
                setattr(made, name, value / 1e9)
        if check.retries and made.retries == default.retries:
            made.retries = check.retries
        extras.healthcheck = made


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
    rootfs = shop.images.rootfs(image, directory, volatile=pod.spec.extras.remove)
    config = image.config.config or RunConfig()
    layers = [rootfs.upper, *rootfs.lower] if rootfs.upper else rootfs.lower
    identity = _identity(pod, container, config, layers)
    around = spec.Surroundings(
        identity, etcfiles.hostname(pod, record.id), shop.cgroup(record, made), shop.pod_directory(record.id)
    )
    if attachment is not None:
        addresses = [a.partition("/")[0] for i in attachment.interfaces for a in i.addresses]
        around.facts.pod_ips = addresses
    if container.env or pod.spec.volumes:
        _machine(around, pod, container)
    if not spec.is_privileged(container):
        around.profile, around.seccomp = _seccomp(pod, container)
    if container.extras.init:
        around.init = find_init()
    if container.extras.devices or spec.is_privileged(container):
        from lading.node import hostdevices

        around.devices = hostdevices.collect(container, privileged=spec.is_privileged(container))
    if container.volume_mounts or container.extras.mounts:
        around.mounts = _mounts(shop, record, made, container, rootfs, around)
    around.swap_accounting = container.resources is not None and os.path.exists(
        "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
    )
    return Ready(around, image, mountpoints.below(rootfs, shop.roots.data), config)


def _machine(around: spec.Surroundings, pod: Pod, container: Container) -> None:
    """What the downward API can say of the machine, when anything asks for it."""
    if not pod.spec.volumes and all(variable.value_from is None for variable in container.env):
        return
    around.facts.host_ip = _host_address()
    if pod.spec.host_network:
        around.facts.pod_ips = [around.facts.host_ip]
    around.facts.node = os.uname().nodename
    around.facts.cpus = os.cpu_count() or 1
    around.facts.memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _host_address() -> str:
    """The address this machine reaches others from; the loopback's when it reaches nobody.

    Connecting a datagram socket sends nothing: the kernel only chooses the route (RFC 5737 names the address).
    """
    import _socket

    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(("192.0.2.1", 9))
        return str(sock.getsockname()[0])
    except OSError:
        return "127.0.0.1"
    finally:
        sock.close()


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
    identity = users.resolve(
        container.extras.user or config.user,
        lambda path: layered.read(layers, path),
        run_as_user=run_as_user,
        run_as_group=run_as_group,
        extra_groups=container.extras.group_add,
        supplemental=supplemental,
        merge=merge,
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


def find_init() -> str:
    """A static init program of the host to be pid 1 with ``--init``. Raises :class:`Unsupported` when there is none."""
    for name in ("catatonit", "tini-static", "docker-init", "tini"):
        for directory in ("/usr/libexec/podman", "/usr/bin", "/usr/local/bin", "/sbin"):
            path = f"{directory}/{name}"
            if os.access(path, os.X_OK) and _is_static(path):
                return path
    raise Unsupported(
        "--init needs a static init program and this machine has none",
        hint="install catatonit or tini (Debian: apt install catatonit)",
    )


def _is_static(path: str) -> bool:
    """Whether an ELF program needs no interpreter, so that it runs in any image (elf(5), PT_INTERP)."""
    with open(path, "rb") as stream:
        head = stream.read(4096)
    if head[:5] != b"\x7fELF\x02":
        return False
    offset = int.from_bytes(head[32:40], "little")
    size, count = int.from_bytes(head[54:56], "little"), int.from_bytes(head[56:58], "little")
    return all(
        int.from_bytes(head[offset + n * size : offset + n * size + 4], "little") != 3 for n in range(count)
    )


# -- volumes -------------------------------------------------------------------------------------------------------


def _mounts(
    shop: Shop,
    record: PodRecord,
    made: ContainerRecord,
    container: Container,
    rootfs: Rootfs,
    around: spec.Surroundings,
) -> list[Mount]:
    mounts: list[Mount] = []
    volumes = {volume.name: volume for volume in record.pod.spec.volumes}
    for wanted in container.volume_mounts:
        volume = volumes.get(wanted.name)
        if volume is None:
            raise InvalidInput(
                f"container {container.name}: volumeMounts names {wanted.name!r}, which is no volume"
            )
        source = volume_source(shop, record, volume, around.facts)
        sub = wanted.sub_path
        if wanted.sub_path_expr:
            from lading.node import environment

            values = environment.environment(
                record.pod, container, [], hostname=around.hostname, home="", facts=around.facts
            )
            sub = environment.expand(wanted.sub_path_expr, values)
        if sub:
            if source.kind != "bind":
                raise Unsupported(f"volume {volume.name}: subPath of a memory volume is not supported")
            source = spec_mounts.Source("bind", sub_path(shop, source.path, sub))
        claim = volume.persistent_volume_claim
        written = _is_written(volume)
        mounts.append(
            spec_mounts.volume(
                source,
                wanted.mount_path,
                read_only=wanted.read_only or written or (claim is not None and claim.read_only),
                recursive_read_only=wanted.recursive_read_only in ("Enabled", "IfPossible"),
                propagation=wanted.mount_propagation,
            )
        )
    for bind in container.extras.mounts:
        mounts.append(_bind(shop, made, bind, rootfs))
    return mounts


def _bind(shop: Shop, made: ContainerRecord, bind: BindMount, rootfs: Rootfs) -> Mount:
    if bind.source:
        if not os.path.lexists(bind.source):
            if not bind.create_source:
                raise InvalidInput(
                    f"bind source {bind.source} does not exist", hint="make it first", reason="no-source"
                )
            os.makedirs(bind.source, exist_ok=True)
        source = spec_mounts.Source("bind", bind.source, [o for o in bind.options if o not in ("z", "Z")])
    else:
        source = named_volume(
            shop,
            bind.volume,
            driver=bind.driver,
            options=bind.driver_options,
            anonymous=bind.volume in made.anonymous,
            copy_from=(rootfs, bind.target) if bind.copy_up else None,
        )
    return spec_mounts.volume(
        source,
        bind.target,
        read_only=bind.read_only,
        propagation=bind.propagation,
        recursive=bind.recursive,
    )


def named_volume(
    shop: Shop,
    name: str,
    *,
    driver: str = "",
    options: dict[str, str] | None = None,
    anonymous: bool = False,
    copy_from: tuple[Rootfs, str] | None = None,
) -> spec_mounts.Source:
    """The named volume's source, made when it does not exist, filled from the image when it is new and empty."""
    volumes = shop.volumes
    try:
        volume = volumes.get(name)
    except NotFound:
        volume = volumes.create(name, driver or "local", options or {}, anonymous=anonymous)
    found = volumes.source(name)
    if found.kind == "bind" and copy_from is not None and not volume.populated:
        from lading.formats.rootfs import Rootfs
        from lading.volumes.copyup import copy_up

        # Of a private copy (no layers below) nothing but the copy itself is there to read.
        shown = copy_from[0]
        image = Rootfs(lower=shown.lower) if shown.lower else Rootfs(upper=shown.upper)
        with volumes.filling(name) as filling:
            if not volumes.get(name).populated:
                copy_up(shop.kernel, image, copy_from[1], found.path, filling.marker)
                volumes.mark_populated(name)
    return spec_mounts.Source(found.kind, found.path, found.options)


def volume_source(
    shop: Shop, record: PodRecord, volume: Volume, facts: environment.Facts
) -> spec_mounts.Source:
    """Where a Pod's volume lies on this machine, made if it has to be."""
    fs_group = record.pod.spec.security_context.fs_group if record.pod.spec.security_context else None
    if volume.empty_dir is not None:
        if volume.empty_dir.medium == "Memory":
            return spec_mounts.Source("bind", f"{shop.memory_directory(record.id)}/{volume.name}")
        path = f"{shop.pod_directory(record.id)}/volumes/{volume.name}"
        if not os.path.isdir(path):
            os.makedirs(path)
            os.chmod(path, 0o777)
            _own(path, fs_group)
        return spec_mounts.Source("bind", path)
    if volume.host_path is not None:
        return spec_mounts.Source("bind", _host_path(volume))
    if volume.persistent_volume_claim is not None:
        source = named_volume(shop, volume.persistent_volume_claim.claim_name)
        if source.kind == "bind":
            _own(source.path, fs_group)
        return source
    if _is_written(volume):
        from lading.node import atomicdir, sources

        path = f"{shop.pod_directory(record.id)}/volumes/{volume.name}"
        atomicdir.write(path, sources.files(volume, record.pod, facts), group=fs_group)
        return spec_mounts.Source("bind", path)
    raise Unsupported(f"volume {volume.name}: its source is not supported")


def _is_written(volume: Volume) -> bool:
    """Whether its files are made from the pod's own data; containers may only read those."""
    from lading.node import sources

    return sources.is_written(volume)


def _own(path: str, fs_group: int | None) -> None:
    """fsGroup: the volume's root belongs to the group, which new files inherit (kubernetes.io, fsGroup)."""
    if fs_group is None:
        return
    for root, directories, files in os.walk(path):
        for name in ["", *files]:
            place = f"{root}/{name}" if name else root
            info = os.lstat(place)
            if stat.S_ISLNK(info.st_mode):
                continue
            fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fchown(fd, -1, fs_group)
                extra = 0o2770 if not name else 0o660
                os.fchmod(fd, stat.S_IMODE(info.st_mode) | extra)
            finally:
                os.close(fd)
        directories.sort()


def _host_path(volume: Volume) -> str:
    wanted = volume.host_path
    assert wanted is not None
    path, kind = wanted.path, wanted.type
    if kind == "DirectoryOrCreate" and not os.path.lexists(path):
        os.makedirs(path, 0o755)
    elif kind == "FileOrCreate" and not os.path.lexists(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    try:
        info = os.stat(path)
    except OSError as error:
        raise InvalidInput(f"volume {volume.name}: hostPath {path}: {error.strerror}") from None
    expected = kind.removesuffix("OrCreate")
    check = _HOST_PATH_CHECKS.get(expected)
    if check is not None and not check(info.st_mode):
        raise InvalidInput(f"volume {volume.name}: hostPath {path} is not of type {kind}")
    return path


def sub_path(shop: Shop, volume: str, sub: str) -> str:
    """A path to bind for ``subPath``: a descriptor's, so that no link swapped in later can lead out of the volume.

    CVE-2021-25741 is this check done by name. The descriptor stays open in this process.
    """
    if sub.startswith("/") or ".." in sub.split("/"):
        raise InvalidInput(f"subPath {sub!r} must be relative and stay inside its volume")
    from lading.kernel.paths import make_directory_inside, open_inside

    root = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            found = open_inside(shop.kernel, root, sub)
        except LadingError:
            found = make_directory_inside(shop.kernel, root, sub)
    finally:
        os.close(root)
    return f"/proc/self/fd/{found}"


# -- joining other containers --------------------------------------------------------------------------------------


def other_process(shop: Shop, reference: str, what: str) -> int:
    """The pid of a running container that another one wants to share ``what`` with. Raises NotFound, Conflict."""
    record, container = shop.records.resolve(reference)
    target = container or record.container
    if container is None:  # of a pod any container will do: they share what can be joined
        target = next((c for c in record.containers if alive(c.pid, c.pid_start)), target)
    if not alive(target.pid, target.pid_start):
        raise Conflict(f"{what} container:{reference}: it is not running", hint=f"lading start {reference}")
    return target.pid
