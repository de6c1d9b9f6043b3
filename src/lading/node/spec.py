"""A Pod's container as a runtime-spec ``config.json``. Pure: everything looked up outside comes in as an argument.

Defaults are Docker's, so that an image that runs there runs here. What the Pod's schema can say and this file does not
honour has been refused by :mod:`lading.node.admission`.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput
from lading.formats.oci_runtime import (
    Capabilities,
    Device,
    DeviceCgroup,
    Linux,
    Mount,
    Namespace,
    Process,
    Root,
    Seccomp,
    Spec,
    User,
)
from lading.node import environment, spec_mounts, spec_resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_image import RunConfig
    from lading.formats.oci_limits import BlockIO
    from lading.formats.pod import Container, Pod, SecurityContext
    from lading.node.users import Identity

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP "
    "CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE"
).split()
MASKED = (
    "/proc/asound /proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list "
    "/proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap"
).split()
READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split()


class Surroundings:
    """What was found and made for one container before its spec is written.

    ``joined`` maps a namespace kind (``network``, ``ipc``, ``uts``, ``pid``) to the path it is joined by; ``shared`` names
    those it shares with the host. Every other namespace is new. ``directory`` has the generated files named in
    ``files``, of which those ``kept`` stay the image's own; ``mounts`` are the volumes' mounts, ``opened`` the descriptors in
    them; ``devices`` those of the host to pass in, by path in the container.
    ``profile`` names a ``seccomp`` profile that other containers have too.
    """

    __slots__ = (
        "block_io",
        "cgroup",
        "devices",
        "directory",
        "facts",
        "files",
        "hostname",
        "identity",
        "init",
        "joined",
        "kept",
        "mounts",
        "oom_score_adj",
        "opened",
        "ordinary",
        "profile",
        "seccomp",
        "shared",
        "shm_source",
        "swap_accounting",
    )

    def __init__(self, identity: Identity, hostname: str, cgroup: str, directory: str = "") -> None:
        self.identity = identity
        self.hostname = hostname
        self.cgroup = cgroup
        self.directory = directory
        self.files: list[str] = []
        self.kept: list[str] = []
        self.joined: dict[str, str] = {}
        self.shared: set[str] = set()
        self.mounts: list[Mount] = []
        self.opened: list[int] = []
        self.oom_score_adj: int | None = None
        self.devices: list[Device] = []
        self.facts = environment.Facts([])
        self.seccomp: Seccomp | None = None
        self.block_io: BlockIO | None = None  # limits of block devices, in the place of what extras say
        self.profile = ""
        self.shm_source = ""
        self.swap_accounting = False
        self.ordinary = False  # whether it is an ordinary user's, below a user namespace of his own
        self.init = ""

    def close(self) -> None:
        """Close the descriptors that ``mounts`` are named by: the container runs, or never will."""
        while self.opened:
            os.close(self.opened.pop())


def command(container: Container, image: RunConfig, values: dict[str, str]) -> list[str]:
    """The argument vector: the image's entrypoint and command unless the Pod says otherwise.

    Raises :class:`InvalidInput` (reason ``no-command``).
    """
    own: list[str] = []
    if container.command or container.extras.entrypoint_given:
        given = [*container.command, *container.args]
    elif container.args:
        own, given = image.entrypoint, container.args
    else:
        return _some([*image.entrypoint, *image.cmd], container)
    # What the image says is passed as it stands: only a Pod's words are expanded.
    return _some([*own, *(environment.expand(word, values) for word in given)], container)


def _some(words: list[str], container: Container) -> list[str]:
    if not words:
        raise InvalidInput(
            f"container {container.name}: neither it nor its image {container.image} says what to run",
            hint="give a command",
            reason="no-command",
        )
    return words


def capabilities(context: SecurityContext | None, privileged: bool) -> list[str]:
    """The bounding set: Docker's fourteen, changed by ``add`` and ``drop``; all of them when privileged."""
    from lading.formats.capnames import NAMES

    every = ["CAP_" + name for name in NAMES]
    change = context.capabilities if context is not None else None
    if privileged:
        return every
    if change is None:
        return list(DEFAULT_CAPABILITIES)
    add = [_capability(name) for name in change.add]
    drop = [_capability(name) for name in change.drop]
    if "CAP_ALL" in add:
        chosen = [name for name in every if name not in drop]
    elif "CAP_ALL" in drop:
        chosen = []
    else:
        chosen = [name for name in DEFAULT_CAPABILITIES if name not in drop]
    for name in add:
        if name != "CAP_ALL" and name not in chosen:
            if name not in every:
                raise InvalidInput(f"capability {name} is unknown", hint="see capabilities(7)")
            chosen.append(name)
    return chosen


def _capability(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else "CAP_" + upper


def is_privileged(container: Container) -> bool:
    """Whether the container asks for every right there is."""
    return container.security_context is not None and bool(container.security_context.privileged)


def build(pod: Pod, container: Container, image: RunConfig, around: Surroundings) -> Spec:
    """The whole ``config.json``. Raises :class:`InvalidInput` for contradictions that only show here."""
    context = container.security_context
    privileged = is_privileged(container)
    identity = around.identity
    values = environment.environment(
        pod, container, image.env, hostname=around.hostname, home=identity.home, facts=around.facts
    )
    bounding = capabilities(context, privileged)
    args = command(container, image, environment.declared(pod, container, around.facts))
    if around.init:
        args = ["/dev/init", "--", *args]
    process = Process(
        cwd=container.working_dir or image.working_dir or "/",
        terminal=container.tty,
        user=User(uid=identity.uid, gid=identity.gid, additional_gids=identity.groups),
        args=args,
        env=[f"{name}={value}" for name, value in values.items()],
        capabilities=Capabilities(bounding=bounding, effective=list(bounding), permitted=list(bounding)),
        rlimits=spec_resources.rlimits(container),
        no_new_privileges=no_new_privileges(container),
        oom_score_adj=around.oom_score_adj
        if container.extras.oom_score_adj is None
        else container.extras.oom_score_adj,
    )
    root = Root(path="rootfs", readonly=bool(context is not None and context.read_only_root_filesystem))
    spec = Spec(
        oci_version="1.2.0",
        process=process,
        root=root,
        mounts=_mounts(container, around, privileged, root.readonly),
        linux=_linux(pod, container, around, privileged),
    )
    if "uts" not in around.joined and "uts" not in around.shared:
        spec.hostname = around.hostname
    return spec


def no_new_privileges(container: Container) -> bool:
    """``allowPrivilegeEscalation: false`` or ``--security-opt no-new-privileges``."""
    context = container.security_context
    return container.extras.no_new_privileges or (
        context is not None and context.allow_privilege_escalation is False
    )


def _mounts(container: Container, around: Surroundings, privileged: bool, read_only: bool) -> list[Mount]:
    base = spec_mounts.defaults(
        container,
        privileged=privileged,
        shared=around.shared,
        ordinary=around.ordinary,
        shm_source=around.shm_source,
    )
    own = list(around.mounts)
    own += [spec_mounts.tmpfs(item.path, item.options) for item in container.extras.tmpfs]
    if container.extras.read_only_tmpfs and read_only:
        taken = {mount.destination.rstrip("/") for mount in own}
        own += [spec_mounts.tmpfs(path, []) for path in ("/run", "/tmp", "/var/tmp") if path not in taken]
    names = [name for name in around.files if name not in around.kept]
    files = spec_mounts.generated(around.directory, names=names, read_only=False)
    made = spec_mounts.ordered(base + files, own)
    if around.init:
        made.append(Mount(destination="/dev/init", type="bind", source=around.init, options=["bind", "ro"]))
    if container.extras.console and not container.tty:
        made.append(
            Mount(destination="/dev/console", type="bind", source="/dev/null", options=["bind", "nosuid"])
        )
    return made


def _linux(pod: Pod, container: Container, around: Surroundings, privileged: bool) -> Linux:
    resources = spec_resources.resources(
        container,
        swap_accounting=around.swap_accounting,
        weighed=not around.ordinary and not pod.spec.extras.container and _is_weighed(pod),
    )
    if around.block_io is not None:
        resources.block_io = around.block_io
    resources.devices = spec_resources.device_rules(privileged=privileged)
    for rule in container.extras.device_cgroup_rules:
        resources.devices.append(spec_resources.parse_device_rule(rule))
    for device, wanted in zip(around.devices, container.extras.devices, strict=False):
        resources.devices.append(
            DeviceCgroup(
                allow=True,
                type="b" if device.type == "b" else "c",
                major=device.major,
                minor=device.minor,
                access=wanted.permissions or "rwm",
            )
        )
    masked, read_only = _hidden(container, privileged)
    return Linux(
        namespaces=_namespaces(container, around),
        resources=resources,
        cgroups_path=around.cgroup,
        sysctl=sysctls(pod, container, around),
        devices=around.devices,
        seccomp=around.seccomp,
        masked_paths=masked,
        readonly_paths=read_only,
    )


def _is_weighed(pod: Pod) -> bool:
    """Whether a container of the pod asks for a share of the processors.

    Only they compete with those that ask for none, inside the pod's own group. Where nobody does, nobody gets the least weight:
    the kernel counts loads in whole numbers, and the only group of weight 2 in its pod's waited 300 ms for a busy processor
    where one of 1024 waited 60.
    """
    return any(
        container.extras.cpu_shares is not None
        or (container.resources is not None and "cpu" in container.resources.requests)
        for container in pod.spec.init_containers + pod.spec.containers
    )


def _hidden(container: Container, privileged: bool) -> tuple[list[str], list[str]]:
    context = container.security_context
    unmask = container.extras.unmask
    unmasked = privileged or (context is not None and context.proc_mount == "Unmasked")
    if unmasked or "ALL" in unmask or "all" in unmask:
        return [], []
    return [p for p in MASKED if p not in unmask], [p for p in READ_ONLY if p not in unmask]


def _namespaces(container: Container, around: Surroundings) -> list[Namespace]:
    kinds = ["pid", "network", "ipc", "uts", "mount"]
    if container.extras.cgroupns != "host":
        kinds.append("cgroup")
    made = []
    for kind in kinds:
        if kind not in around.shared:
            made.append(Namespace(type=kind, path=around.joined.get(kind, "")))
    return made


def sysctl_namespace(name: str) -> str:
    """The kind of namespace that a sysctl belongs to; empty for one of the whole machine."""
    if name.startswith("net."):
        return "network"
    if name.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or name in (
        "kernel.sem",
        "kernel.sem_next_id",
    ):
        return "ipc"
    return "uts" if name in ("kernel.hostname", "kernel.domainname") else ""


def sysctls(pod: Pod, container: Container, around: Surroundings) -> dict[str, str]:
    """The Pod's and the container's sysctls. Raises :class:`InvalidInput` for one that would change the host."""
    made: dict[str, str] = {}
    if pod.spec.security_context is not None:
        made.update({item.name.replace("/", "."): item.value for item in pod.spec.security_context.sysctls})
    made.update(container.extras.sysctls)
    for name in made:
        owner = sysctl_namespace(name)
        if not owner:
            raise InvalidInput(f"sysctl {name} belongs to no namespace: setting it would change the host")
        if owner in around.shared:
            raise InvalidInput(f"sysctl {name} would change the host's {owner} namespace, which is shared")
    return made
