"""The waist: the Kubernetes v1 Pod as records.

Source: the Kubernetes API reference, core/v1 Pod. Every field that a manifest may carry is declared here, so that one
which Lading does not support is refused by its name (``lading.node.admission``) and a misspelt one by the schema.

What a container needs beyond Kubernetes (Docker's and Rocket's flags: ulimits, devices, an init, a health check…) is the
typed field ``extras`` of pod and container, on the wire ``x-lading``. Faces fill it; the node reads it; nothing else
about a container travels beside its Pod.

Quantities are kept as text (``100m``, ``64Mi``) and read by ``lading.formats.quantity``.
"""

from __future__ import annotations

from lading.formats.schema import Record, elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.podenv import (
        EnvFromSource,
        EnvVarSource,
        KeySelector,
        NameReference,
    )
    from lading.formats.podextras import BlockLimit, Companion, ListenSocket, SystemCalls
    from lading.formats.podlife import (
        ExecAction,
        ExitCodes,
        GRPCAction,
        HTTPGetAction,
        HTTPHeader,
        Lifecycle,
        LifecycleHandler,
        Probe,
        RestartRule,
        SleepAction,
        TCPSocketAction,
    )
    from lading.formats.podsecurity import (
        AppArmorProfile,
        CapabilityChange,
        PodSecurityContext,
        SeccompProfile,
        SecurityContext,
        SELinuxOptions,
        Sysctl,
    )
    from lading.formats.podvolumes import (
        ObjectFieldSelector,
        ResourceFieldSelector,
        Volume,
        VolumeDevice,
        VolumeMount,
    )
else:
    __getattr__ = elsewhere(
        __name__,
        {
            "lading.formats.podenv": "KeySelector EnvVarSource NameReference EnvFromSource",
            "lading.formats.podextras": "BlockLimit Companion ListenSocket SystemCalls",
            "lading.formats.podlife": "ExitCodes RestartRule ExecAction HTTPHeader HTTPGetAction TCPSocketAction "
            "GRPCAction SleepAction Probe LifecycleHandler Lifecycle ",
            "lading.formats.podsecurity": "CapabilityChange SeccompProfile AppArmorProfile SELinuxOptions SecurityContext "
            "Sysctl PodSecurityContext ",
            "lading.formats.podvolumes": "ObjectFieldSelector ResourceFieldSelector Volume VolumeDevice VolumeMount",
        },
    )

#: What most pods do without, and other modules declare.
__all__ = [
    "AppArmorProfile",
    "BlockLimit",
    "CapabilityChange",
    "Companion",
    "EnvFromSource",
    "EnvVarSource",
    "ExecAction",
    "ExitCodes",
    "GRPCAction",
    "HTTPGetAction",
    "HTTPHeader",
    "KeySelector",
    "Lifecycle",
    "LifecycleHandler",
    "ListenSocket",
    "NameReference",
    "ObjectFieldSelector",
    "PodSecurityContext",
    "Probe",
    "ResourceFieldSelector",
    "RestartRule",
    "SELinuxOptions",
    "SeccompProfile",
    "SecurityContext",
    "SleepAction",
    "Sysctl",
    "SystemCalls",
    "TCPSocketAction",
    "Volume",
    "VolumeDevice",
    "VolumeMount",
]


class ObjectMeta(Record):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    resource_version: str = ""
    generation: int = 0
    finalizers: list[str] = []
    owner_references: list[object] = []
    managed_fields: list[object] = []
    self_link: str = ""


# -- environment ---------------------------------------------------------------------------------------------------


class EnvVar(Record):
    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


# -- containers ----------------------------------------------------------------------------------------------------


class ContainerPort(Record):
    _wire = {"host_ip": "hostIP"}
    container_port: int
    host_port: int = 0
    host_ip: str = ""
    protocol: str = "TCP"
    name: str = ""


class ResourceRequirements(Record):
    limits: dict[str, str | int | float] = {}
    requests: dict[str, str | int | float] = {}
    claims: list[object] = []


class Ulimit(Record):
    """``RLIMIT_*`` by Docker's name (``nofile``); -1 is unlimited."""

    _keep_empty = ("soft", "hard")
    name: str
    soft: int
    hard: int


class HostDevice(Record):
    path: str
    container_path: str = ""
    permissions: str = "rwm"


class TmpfsMount(Record):
    """``--tmpfs PATH[:OPTIONS]``; ``options`` as ``mount(8)`` takes them (``size=64m``, ``mode=1777``)."""

    path: str
    options: list[str] = []


class BindMount(Record):
    """``-v`` and ``--mount`` outside a Pod's volumes: exactly one of ``source`` (bind) and ``volume`` (named).

    Both empty is an anonymous volume. ``copy_up`` fills an empty volume from the image. ``sub_path``: the part of the volume
    to mount.
    """

    target: str
    source: str = ""
    volume: str = ""
    read_only: bool = False
    propagation: str = ""
    recursive: bool = True
    copy_up: bool = True
    create_source: bool = False
    options: list[str] = []
    driver: str = ""
    driver_options: dict[str, str] = {}
    sub_path: str = ""


class Healthcheck(Record):
    """Docker's health check; ``test`` as in an image (``["CMD", …]``, ``["CMD-SHELL", …]``, ``["NONE"]``); seconds."""

    test: list[str] = []
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    start_interval: float = 5.0
    retries: int = 3


class ContainerExtras(Record):
    """What Docker's and Rocket's users can ask of a container and a Kubernetes Pod has no field for."""

    user: str = ""  # "name[:group]", "uid[:gid]"; a /path in either place is its owner; overrides the image's
    numeric_names: bool = False  # a number in it is first looked for among the names in the image's own files
    group_add: list[str] = []
    hostname: str = ""
    keep_hosts: bool = False  # without hostAliases an /etc/hosts of the image that says something stays
    must_have_directory: bool = False  # the working directory is there, or nothing is executed: none is made
    make_way: bool = False  # a file of the image that is where a directory is mounted is removed
    console: bool = False  # without a terminal /dev/console swallows what is written to it
    mounts: list[BindMount] = []
    tmpfs: list[TmpfsMount] = []
    ulimits: list[Ulimit] = []
    devices: list[HostDevice] = []
    listen: list[ListenSocket] = []
    device_cgroup_rules: list[str] = []
    sysctls: dict[str, str] = {}
    shm_size: int | None = None  # bytes
    memory_swap: int | None = None  # bytes, memory plus swap; -1 is unlimited
    memory_reservation: int | None = None
    memory_swappiness: int | None = None
    pids_limit: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    blkio_weight: int | None = None
    block_bandwidth: list[BlockLimit] = []  # bytes a second
    block_operations: list[BlockLimit] = []  # a second
    oom_score_adj: int | None = None
    oom_kill_disable: bool = False
    init: bool = False
    pre_start: list[str] = []  # a command that is run in the container before its own, each time it starts
    post_stop: list[str] = []  # and one after it has ended
    stop_signal: str = ""
    default_action: bool = False  # its stop signal ends it also as the first process of its PID namespace
    stop_timeout: int | None = None  # seconds
    healthcheck: Healthcheck | None = None
    restart: str = ""  # no | on-failure[:N] | always | unless-stopped; empty: the pod's restartPolicy
    entrypoint_given: bool = False  # --entrypoint was used: the image's Cmd no longer applies
    read_only_tmpfs: bool = False
    apparmor: str = ""
    selinux: list[str] = []
    seccomp: str = ""  # "", "unconfined", or a profile's path
    system_calls: SystemCalls | None = None
    no_new_privileges: bool = False
    unmask: list[str] = []
    cgroup_parent: str = ""
    cgroupns: str = ""  # "", "private", "host"
    userns: str = ""
    labels: dict[str, str] = {}
    platform: str = ""
    open_stdin: bool = False
    image_name: str = ""  # what the image is shown as, where `image` says by its digest which it is
    log_size: int | None = None  # bytes of one file of its log
    log_files: int | None = None  # how many of them are kept, the current one included
    discard: list[str] = []  # of stdout and stderr: /dev/null, and no log


class Container(Record):
    name: str
    image: str = ""
    image_pull_policy: str = ""
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    ports: list[ContainerPort] = []
    env: list[EnvVar] = []
    env_from: list[EnvFromSource] = []
    resources: ResourceRequirements | None = None
    resize_policy: list[object] = []
    restart_policy: str = ""  # of its own; "Always" on an init container makes it a sidecar
    restart_policy_rules: list[RestartRule] = []
    volume_mounts: list[VolumeMount] = []
    volume_devices: list[VolumeDevice] = []
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    security_context: SecurityContext | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    extras: ContainerExtras = ContainerExtras()
    _wire = {"extras": "x-lading"}


class HostAlias(Record):
    ip: str
    hostnames: list[str] = []


class DNSOption(Record):
    name: str = ""
    value: str | None = None


class DNSConfig(Record):
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[DNSOption] = []


class NetworkRequest(Record):
    """One network a pod joins: its name, and what the pod is called and numbered there.

    The highest ``gateway_priority`` gives the default route.
    """

    name: str
    aliases: list[str] = []
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    gateway_priority: int = 0


class ConfigSource(Record):
    """A ConfigMap or Secret that came in the same manifest as the Pod that names it.

    ``values`` are text; ``binary`` is base64, for files only. A Secret's are here as plain as a ConfigMap's: the node's
    records are readable by their owner alone, and ``inspect`` leaves the values out.
    """

    kind: str
    name: str
    values: dict[str, str] = {}
    binary: dict[str, str] = {}


class PodExtras(Record):
    """``networks`` empty means the default bridge.

    ``network_mode``: "", ``none``, ``host``, ``container:ID``, ``ns:PATH``, or ``disconnected`` (off its last network).
    """

    networks: list[NetworkRequest] = []
    network_mode: str = ""
    pid_mode: str = ""  # "", host, container:ID
    ipc_mode: str = ""  # "", private, host, shareable, container:ID
    uts_mode: str = ""  # "", host
    publish_all: bool = False
    remove: bool = False  # --rm: collect when it ends
    volatile: bool = False  # what it writes need not outlast this machine's running, and is mounted once
    container: bool = False  # a pod of one made by `run`: shown by `ps` under the container's name
    runtime: str = ""  # path of a foreign OCI runtime
    sources: list[ConfigSource] = []
    companions: list[Companion] = []  # programs of the host that serve this pod
    fail_together: bool = False  # the pod ends when the first of its main containers has failed for good
    own_files: list[str] = []  # of hosts, hostname and resolv.conf in /etc: those that are the images' own
    pod: str = ""  # run --pod: the pod whose namespaces it joins, by id once it is recorded


class PodSpec(Record):
    _wire = {
        "host_pid": "hostPID",
        "host_ipc": "hostIPC",
        "extras": "x-lading",
        "set_hostname_as_fqdn": "setHostnameAsFQDN",
    }
    containers: list[Container]
    init_containers: list[Container] = []
    ephemeral_containers: list[object] = []
    volumes: list[Volume] = []
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    dns_config: DNSConfig | None = None
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    host_users: bool | None = None
    share_process_namespace: bool = False
    security_context: PodSecurityContext | None = None
    hostname: str = ""
    subdomain: str = ""
    hostname_override: str = ""
    host_aliases: list[HostAlias] = []
    set_hostname_as_fqdn: bool = False
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: object = None
    tolerations: list[object] = []
    topology_spread_constraints: list[object] = []
    scheduler_name: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    preemption_policy: str = ""
    runtime_class_name: str = ""
    service_account_name: str = ""
    service_account: str = ""
    automount_service_account_token: bool | None = None
    enable_service_links: bool | None = None
    image_pull_secrets: list[object] = []
    readiness_gates: list[object] = []
    scheduling_gates: list[object] = []
    resource_claims: list[object] = []
    resources: ResourceRequirements | None = None
    overhead: dict[str, str | int | float] = {}
    workload_ref: object = None
    scheduling_group: object = None
    eviction_responders: list[object] = []
    os: object = None
    extras: PodExtras = PodExtras()


class Pod(Record):
    _keep_empty = ("api_version", "kind")
    api_version: str = "v1"
    kind: str = "Pod"
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec
    status: object = None
