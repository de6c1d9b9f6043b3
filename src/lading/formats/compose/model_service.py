"""A service as records, every short form written out. Source: Compose specification, "Services", "Build", "Deploy", "Develop"."""

from __future__ import annotations

from lading.formats.compose.shapes import Shape


class FileReference(Shape):
    """A service's grant of a config or secret."""

    _numbers = ("mode",)
    source: str
    target: str = ""
    uid: str = ""
    gid: str = ""
    mode: str = ""
    """octal digits"""


class Ulimit(Shape):
    """``RLIMIT_*``; -1 is unlimited. ``single`` is there where one number was written for both."""

    _keep_empty = ("soft", "hard")
    single: int | None = None
    soft: int = 0
    hard: int = 0


class Build(Shape):
    """``build``. A path as its short form is the context."""

    _numbers = ("args", "shm_size", "labels")
    context: str = ""
    dockerfile: str = ""
    dockerfile_inline: str = ""
    entitlements: list[str] = []
    args: dict[str, str | None] = {}
    ssh: list[str] = []
    labels: dict[str, str] = {}
    cache_from: list[str] = []
    cache_to: list[str] = []
    no_cache: bool = False
    no_cache_filter: list[str] = []
    additional_contexts: dict[str, str] = {}
    network: str = ""
    provenance: str = ""
    sbom: str = ""
    pull: bool = False
    target: str = ""
    shm_size: str = ""
    extra_hosts: dict[str, list[str]] = {}
    isolation: str = ""
    privileged: bool = False
    secrets: list[FileReference] = []
    tags: list[str] = []
    ulimits: dict[str, Ulimit] = {}
    platforms: list[str] = []


class ServiceDependency(Shape):
    """What a service waits for in another."""

    _keep_empty = ("condition", "required")
    condition: str
    restart: bool = False
    required: bool = True


class Device(Shape):
    """A device file of the host."""

    source: str
    target: str = ""
    permissions: str = ""


class EnvFile(Shape):
    """A file of variables; ``format`` is empty or ``raw``."""

    path: str
    required: bool = True
    format: str = ""


class Healthcheck(Shape):
    """``healthcheck``; ``test`` begins with NONE, CMD or CMD-SHELL."""

    test: list[str] = []
    timeout: str = ""
    interval: str = ""
    retries: int | None = None
    start_period: str = ""
    start_interval: str = ""
    disable: bool = False


class Logging(Shape):
    """``logging``."""

    _numbers = ("options",)
    driver: str = ""
    options: dict[str, str | None] = {}


class Joined(Shape):
    """A service in one network."""

    _numbers = ("driver_opts",)
    aliases: list[str] = []
    interface_name: str = ""
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: list[str] = []
    mac_address: str = ""
    driver_opts: dict[str, str] = {}
    priority: float = 0.0
    gw_priority: int = 0


class ServicePort(Shape):
    """One published port; ``published`` may be a range, of which one is taken."""

    _numbers = ("published",)
    _keep_empty = ("protocol", "target")
    name: str = ""
    mode: str = ""
    host_ip: str = ""
    target: int
    published: str = ""
    protocol: str = "tcp"
    app_protocol: str = ""


class BindOptions(Shape):
    """``bind`` of a mount."""

    propagation: str = ""
    create_host_path: bool | None = None
    recursive: str = ""
    selinux: str = ""


class VolumeOptions(Shape):
    """``volume`` of a mount."""

    nocopy: bool = False
    subpath: str = ""
    labels: dict[str, str] = {}


class TmpfsOptions(Shape):
    """``tmpfs`` of a mount; ``mode`` as :class:`FileReference` has it."""

    _numbers = ("size", "mode")
    size: str = ""
    mode: str = ""


class ImageOptions(Shape):
    """``image`` of a mount."""

    subpath: str = ""


class Mount(Shape):
    """One of ``volumes``. ``type``: bind, volume, tmpfs, image, npipe, cluster."""

    type: str
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind: BindOptions | None = None
    volume: VolumeOptions | None = None
    tmpfs: TmpfsOptions | None = None
    image: ImageOptions | None = None


class BlockLimit(Shape):
    """Bytes or operations a second of one device."""

    _numbers = ("rate",)
    path: str = ""
    rate: str = ""


class BlockWeight(Shape):
    """The weight of one device."""

    path: str = ""
    weight: int = 0


class BlockIO(Shape):
    """``blkio_config``."""

    weight: int | None = None
    weight_device: list[BlockWeight] = []
    device_read_bps: list[BlockLimit] = []
    device_read_iops: list[BlockLimit] = []
    device_write_bps: list[BlockLimit] = []
    device_write_iops: list[BlockLimit] = []


class Hook(Shape):
    """``post_start``, ``pre_stop`` and what ``sync+exec`` runs."""

    _numbers = ("environment",)
    _nulls = ("command",)
    command: list[str] | None = None
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    environment: dict[str, str | None] = {}


class StartHook(Hook):
    """``pre_start``: what runs to its end in a container of its own before the service's."""

    image: str = ""
    per_replica: bool = False


class Watch(Shape):
    """One rule of ``develop.watch``."""

    path: str
    action: str
    target: str = ""
    ignore: list[str] = []
    include: list[str] = []
    exec: Hook | None = None
    initial_sync: bool = False


class Develop(Shape):
    """``develop``."""

    watch: list[Watch] = []


class DeviceRequest(Shape):
    """Devices of a driver: ``gpus``, ``deploy.resources.reservations.devices``. ``count``: a number or ``all``."""

    _numbers = ("count", "options")
    capabilities: list[str] = []
    driver: str = ""
    count: str = ""
    device_ids: list[str] = []
    options: dict[str, str] = {}


class DiscreteResource(Shape):
    """So many of a kind."""

    kind: str = ""
    value: int = 0


class GenericResource(Shape):
    """A resource of a cluster's nodes."""

    discrete_resource_spec: DiscreteResource | None = None


class Limits(Shape):
    """``deploy.resources.limits`` and ``reservations``."""

    _numbers = ("cpus", "memory")
    cpus: str = ""
    memory: str = ""
    pids: int | None = None
    generic_resources: list[GenericResource] = []
    devices: list[DeviceRequest] = []


class Resources(Shape):
    """``deploy.resources``."""

    limits: Limits | None = None
    reservations: Limits | None = None


class RestartPolicy(Shape):
    """``deploy.restart_policy``."""

    condition: str = ""
    delay: str = ""
    max_attempts: int | None = None
    window: str = ""


class UpdateConfig(Shape):
    """How a cluster replaces a service's containers."""

    parallelism: int | None = None
    delay: str = ""
    failure_action: str = ""
    monitor: str = ""
    max_failure_ratio: float = 0.0
    order: str = ""


class Preference(Shape):
    """What a cluster spreads containers over."""

    spread: str = ""


class Placement(Shape):
    """Where a cluster runs containers."""

    constraints: list[str] = []
    preferences: list[Preference] = []
    max_replicas_per_node: int | None = None


class Deploy(Shape):
    """``deploy``."""

    mode: str = ""
    endpoint_mode: str = ""
    replicas: int | None = None
    labels: dict[str, str] = {}
    rollback_config: UpdateConfig | None = None
    update_config: UpdateConfig | None = None
    resources: Resources | None = None
    restart_policy: RestartPolicy | None = None
    placement: Placement | None = None


class CredentialSpec(Shape):
    """An account of Windows."""

    config: str = ""
    file: str = ""
    registry: str = ""


class Provider(Shape):
    """A program that provides the service in place of a container. Values of ``options`` are lists."""

    type: str
    options: dict[str, list[str]] = {}


class ServiceModel(Shape):
    """A service's use of a model: the variables that tell it where that is."""

    endpoint_var: str = ""
    model_var: str = ""


class Service(Shape):
    """One service. Fields in the specification's order."""

    _numbers = tuple(
        (
            "cpu_shares cpu_quota cpu_period cpu_rt_period cpu_rt_runtime cpus mem_limit mem_reservation memswap_limit "
            "shm_size environment labels annotations sysctls expose group_add cpu_count cpu_percent storage_opt"
        ).split()
    )
    _nulls = ("command", "entrypoint", "develop", "deploy", "pid")
    annotations: dict[str, str] = {}
    attach: bool | None = None
    build: Build | None = None
    blkio_config: BlockIO | None = None
    cap_add: list[str] = []
    cap_drop: list[str] = []
    cgroup: str = ""
    cgroup_parent: str = ""
    command: list[str] | None = None
    configs: list[FileReference] = []
    container_name: str = ""
    cpu_count: str = ""
    cpu_percent: str = ""
    cpu_period: str = ""
    cpu_quota: str = ""
    cpu_rt_period: str = ""
    cpu_rt_runtime: str = ""
    cpu_shares: str = ""
    cpus: str = ""
    cpuset: str = ""
    credential_spec: CredentialSpec | None = None
    depends_on: dict[str, ServiceDependency] = {}
    deploy: Deploy | None = None
    develop: Develop | None = None
    device_cgroup_rules: list[str] = []
    devices: list[Device] = []
    dns: list[str] = []
    dns_opt: list[str] = []
    dns_search: list[str] = []
    domainname: str = ""
    entrypoint: list[str] | None = None
    env_file: list[EnvFile] = []
    environment: dict[str, str | None] = {}
    expose: list[str] = []
    external_links: list[str] = []
    extra_hosts: dict[str, list[str]] = {}
    gpus: list[DeviceRequest] = []
    group_add: list[str] = []
    healthcheck: Healthcheck | None = None
    hostname: str = ""
    image: str = ""
    init: bool | None = None
    ipc: str = ""
    isolation: str = ""
    label_file: list[str] = []
    labels: dict[str, str] = {}
    links: list[str] = []
    logging: Logging | None = None
    mac_address: str = ""
    mem_limit: str = ""
    mem_reservation: str = ""
    mem_swappiness: int | None = None
    memswap_limit: str = ""
    models: dict[str, ServiceModel | None] = {}
    network_mode: str = ""
    networks: dict[str, Joined | None] = {}
    oom_kill_disable: bool = False
    oom_score_adj: int | None = None
    pid: str = ""
    pids_limit: int | None = None
    platform: str = ""
    ports: list[ServicePort] = []
    post_start: list[Hook] = []
    pre_start: list[StartHook] = []
    pre_stop: list[Hook] = []
    privileged: bool = False
    profiles: list[str] = []
    provider: Provider | None = None
    pull_policy: str = ""
    pull_refresh_after: str = ""
    read_only: bool = False
    restart: str = ""
    runtime: str = ""
    scale: int | None = None
    secrets: list[FileReference] = []
    security_opt: list[str] = []
    shm_size: str = ""
    stdin_open: bool = False
    stop_grace_period: str = ""
    stop_signal: str = ""
    storage_opt: dict[str, str] = {}
    sysctls: dict[str, str] = {}
    tmpfs: list[str] = []
    tty: bool = False
    ulimits: dict[str, Ulimit] = {}
    use_api_socket: bool = False
    user: str = ""
    userns_mode: str = ""
    uts: str = ""
    volumes: list[Mount] = []
    volumes_from: list[str] = []
    working_dir: str = ""

    @property
    def replicas(self) -> int:
        """How many containers the file asks for: ``scale``, ``deploy.replicas``, or one."""
        if self.scale is not None:
            return self.scale
        if self.deploy is not None and self.deploy.replicas is not None:
            return self.deploy.replicas
        return 1
