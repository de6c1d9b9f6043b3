"""OCI runtime-spec 1.2 as records: ``config.json`` and ``state.json``.

Source: https://github.com/opencontainers/runtime-spec (config.md, config-linux.md, runtime.md, features.md). Decode with
``strict=False``: the specification demands that readers ignore properties they do not know. Fields that are known here
but that this kernel or runtime cannot honour are refused by name in ``lading.runtime``.
"""

from __future__ import annotations

from lading.formats.schema import Record, elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_limits import (
        BlockIO,
        HugepageLimit,
        InterfacePriority,
        NetworkResources,
        Pids,
        Rdma,
        ThrottleDevice,
        WeightDevice,
    )
    from lading.formats.oci_special import (
        ExecCPUAffinity,
        Hook,
        Hooks,
        IntelRdt,
        IOPriority,
        MemoryPolicy,
        NetDevice,
        Personality,
        Scheduler,
        TimeOffset,
    )
else:
    __getattr__ = elsewhere(
        __name__,
        {
            "lading.formats.oci_limits": "Pids WeightDevice ThrottleDevice BlockIO HugepageLimit InterfacePriority "
            "NetworkResources Rdma",
            "lading.formats.oci_special": "Scheduler IOPriority ExecCPUAffinity Hook Hooks TimeOffset NetDevice "
            "IntelRdt Personality MemoryPolicy",
        },
    )

#: What most containers do without, and other modules declare.
__all__ = [
    "BlockIO",
    "ExecCPUAffinity",
    "Hook",
    "Hooks",
    "HugepageLimit",
    "IOPriority",
    "IntelRdt",
    "InterfacePriority",
    "MemoryPolicy",
    "NetDevice",
    "NetworkResources",
    "Personality",
    "Pids",
    "Rdma",
    "Scheduler",
    "ThrottleDevice",
    "TimeOffset",
    "WeightDevice",
]


class Root(Record):
    path: str
    readonly: bool = False


class IDMapping(Record):
    _wire = {"container_id": "containerID", "host_id": "hostID"}
    _keep_empty = ("container_id", "host_id", "size")
    container_id: int
    host_id: int
    size: int


class Mount(Record):
    destination: str
    type: str = ""
    source: str = ""
    options: list[str] = []
    uid_mappings: list[IDMapping] = []
    gid_mappings: list[IDMapping] = []


class Box(Record):
    height: int = 0
    width: int = 0


class User(Record):
    _keep_empty = ("uid", "gid")
    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: list[int] = []
    username: str = ""


class Capabilities(Record):
    bounding: list[str] = []
    effective: list[str] = []
    inheritable: list[str] = []
    permitted: list[str] = []
    ambient: list[str] = []


class Rlimit(Record):
    _keep_empty = ("hard", "soft")
    type: str
    hard: int
    soft: int


class Process(Record):
    _wire = {
        "apparmor_profile": "apparmorProfile",
        "selinux_label": "selinuxLabel",
        "io_priority": "ioPriority",
        "exec_cpu_affinity": "execCPUAffinity",
    }
    _keep_empty = ("cwd",)
    cwd: str = ""
    terminal: bool = False
    console_size: Box | None = None
    user: User = User()
    args: list[str] = []
    command_line: str = ""
    env: list[str] = []
    capabilities: Capabilities | None = None
    rlimits: list[Rlimit] = []
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    selinux_label: str = ""
    io_priority: IOPriority | None = None
    exec_cpu_affinity: ExecCPUAffinity | None = None


class Namespace(Record):
    type: str
    path: str = ""


class Device(Record):
    type: str
    path: str
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class DeviceCgroup(Record):
    _keep_empty = ("allow",)
    allow: bool
    type: str = ""
    major: int | None = None
    minor: int | None = None
    access: str = ""


class Memory(Record):
    _wire = {"disable_oom_killer": "disableOOMKiller", "kernel_tcp": "kernelTCP"}
    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool | None = None
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class CPU(Record):
    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


class Resources(Record):
    _wire = {"block_io": "blockIO"}
    devices: list[DeviceCgroup] = []
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = None
    hugepage_limits: list[HugepageLimit] = []
    network: NetworkResources | None = None
    rdma: dict[str, Rdma] = {}
    unified: dict[str, str] = {}


class SyscallArg(Record):
    index: int
    value: int
    op: str
    value_two: int = 0


class Syscall(Record):
    names: list[str]
    action: str
    errno_ret: int | None = None
    args: list[SyscallArg] = []


class Seccomp(Record):
    default_action: str
    default_errno_ret: int | None = None
    architectures: list[str] = []
    flags: list[str] = []
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: list[Syscall] = []


class Linux(Record):
    _wire = {"cgroups_path": "cgroupsPath"}
    uid_mappings: list[IDMapping] = []
    gid_mappings: list[IDMapping] = []
    sysctl: dict[str, str] = {}
    resources: Resources | None = None
    cgroups_path: str = ""
    namespaces: list[Namespace] = []
    devices: list[Device] = []
    net_devices: dict[str, NetDevice] = {}
    seccomp: Seccomp | None = None
    rootfs_propagation: str = ""
    masked_paths: list[str] = []
    readonly_paths: list[str] = []
    mount_label: str = ""
    intel_rdt: IntelRdt | None = None
    personality: Personality | None = None
    memory_policy: MemoryPolicy | None = None
    time_offsets: dict[str, TimeOffset] = {}


class Spec(Record):
    """``config.json``. ``solaris``, ``windows``, ``vm`` and ``zos`` are kept only to be refused by name."""

    _wire = {"oci_version": "ociVersion"}
    oci_version: str = ""
    process: Process | None = None
    root: Root | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: list[Mount] = []
    hooks: Hooks | None = None
    annotations: dict[str, str] = {}
    linux: Linux | None = None
    solaris: object = None
    windows: object = None
    vm: object = None
    zos: object = None


class State(Record):
    """The state that ``lading-runtime state`` prints and hooks read on stdin (runtime.md, State)."""

    _wire = {"oci_version": "ociVersion"}
    _keep_empty = ("pid",)
    oci_version: str
    id: str
    status: str
    bundle: str
    pid: int = 0
    annotations: dict[str, str] = {}
