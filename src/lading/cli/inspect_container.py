"""A container as ``docker inspect`` shows it, made of its record and its Pod."""

from __future__ import annotations

from lading.cli.inspect import definition_of, labels_of, when
from lading.cli.listing import container_name
from lading.cli.networks import outer_name
from lading.cli.translate import plain
from lading.errors import LadingError
from lading.formats import quantity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.formats.oci_image import RunConfig
    from lading.formats.pod import Container
    from lading.node import ContainerRecord, PodRecord


def container_json(
    context: Context, record: PodRecord, container: ContainerRecord, *, size: bool = False
) -> dict[str, object]:
    """One container of ``record``."""
    definition = definition_of(record, container)
    image = _image_config(context, container)
    argv = _argv(definition, image)
    made: dict[str, object] = {
        "Id": container.id,
        "Created": when(record.created),
        "Path": argv[0] if argv else "",
        "Args": argv[1:],
        "State": _state(container),
        "Image": container.image_id,
        "Name": "/" + container_name(record, container),
        "RestartCount": container.restarts,
        "Driver": "overlay",
        "Platform": definition.extras.platform or "linux",
        "Pod": record.id,
        "LogPath": f"{context.roots.pods}/{record.id}",
        "HostConfig": _host_config(record, definition),
        "Mounts": _mounts(context, container, definition),
        "Config": _config(record, definition, image, container),
        "NetworkSettings": _network(record),
    }
    if size:
        made["SizeRw"] = context.node.written(record, container)
    return made


def _image_config(context: Context, container: ContainerRecord) -> RunConfig:
    from lading.formats.oci_image import RunConfig

    try:
        return context.images.get(container.image_id).config.config or RunConfig()
    except LadingError:
        return RunConfig()


def _argv(definition: Container, image: RunConfig) -> list[str]:
    words = [plain(w) for w in definition.args]
    if definition.command or definition.extras.entrypoint_given:
        return [*(plain(w) for w in definition.command), *words]
    return [*image.entrypoint, *(words or image.cmd)]


def _state(container: ContainerRecord) -> dict[str, object]:
    state = container.state
    made: dict[str, object] = {
        "Status": state,
        "Running": state in ("running", "paused", "restarting"),
        "Paused": state == "paused",
        "Restarting": state == "restarting",
        "OOMKilled": container.oom_killed,
        "Dead": False,
        "Pid": container.pid if state in ("running", "paused") else 0,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": when(container.started),
        "FinishedAt": when(container.finished),
    }
    if container.health:
        log = [_probe(entry) for entry in container.health_log if isinstance(entry, dict)]
        made["Health"] = {"Status": container.health, "FailingStreak": _streak(log), "Log": log}
    return made


def _probe(entry: dict[str, object]) -> dict[str, object]:
    return {
        "Start": when(float(str(entry.get("start", 0)))),
        "End": when(float(str(entry.get("end", 0)))),
        "ExitCode": entry.get("exitCode", 0),
        "Output": entry.get("output", ""),
    }


def _streak(log: list[dict[str, object]]) -> int:
    count = 0
    for entry in reversed(log):
        if entry["ExitCode"] == 0:
            break
        count += 1
    return count


def _config(
    record: PodRecord, definition: Container, image: RunConfig, container: ContainerRecord
) -> dict[str, object]:
    extras = definition.extras
    env = {text.partition("=")[0]: text for text in image.env}
    for variable in definition.env:
        env[variable.name] = f"{variable.name}={plain(variable.value)}"
    command = [plain(w) for w in definition.args] or (
        [] if definition.command or extras.entrypoint_given else list(image.cmd)
    )
    made: dict[str, object] = {
        "Hostname": extras.hostname or record.pod.spec.hostname or record.id[:12],
        "User": extras.user or image.user,
        "Tty": definition.tty,
        "OpenStdin": definition.stdin,
        "StdinOnce": definition.stdin_once,
        "Env": list(env.values()),
        "Cmd": command,
        "Image": container.image or definition.image,
        "WorkingDir": definition.working_dir or image.working_dir,
        "Entrypoint": [plain(w) for w in definition.command]
        if definition.command or extras.entrypoint_given
        else list(image.entrypoint),
        "Labels": {**image.labels, **labels_of(record, definition)},
        "ExposedPorts": {f"{p.container_port}/{p.protocol.lower()}": {} for p in definition.ports}
        | {key: {} for key in image.exposed_ports},
        "StopSignal": extras.stop_signal or image.stop_signal or "SIGTERM",
    }
    if extras.stop_timeout is not None:
        made["StopTimeout"] = extras.stop_timeout
    if extras.healthcheck is not None:
        check = extras.healthcheck
        made["Healthcheck"] = {
            "Test": check.test,
            "Interval": int(check.interval * 1e9),
            "Timeout": int(check.timeout * 1e9),
            "StartPeriod": int(check.start_period * 1e9),
            "Retries": check.retries,
        }
    return made


def _host_config(record: PodRecord, definition: Container) -> dict[str, object]:
    spec, extras = record.pod.spec, definition.extras
    limits = definition.resources.limits if definition.resources is not None else {}
    security = definition.security_context
    capabilities = security.capabilities if security is not None else None
    policy, _, count = (extras.restart or {"Always": "always", "OnFailure": "on-failure"}.get(
        spec.restart_policy, "no")).partition(":")  # fmt: skip
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in definition.ports:
        if port.host_port:
            bindings.setdefault(f"{port.container_port}/{port.protocol.lower()}", []).append(
                {"HostIp": port.host_ip, "HostPort": str(port.host_port) if port.host_port > 0 else ""}
            )
    options = []
    if extras.no_new_privileges:
        options.append("no-new-privileges")
    if extras.seccomp:
        options.append(f"seccomp={extras.seccomp}")
    if extras.apparmor:
        options.append(f"apparmor={extras.apparmor}")
    return {
        "Binds": [
            _bind(m.source or m.volume, m.target, m.read_only) for m in extras.mounts if m.source or m.volume
        ],
        "NetworkMode": _network_mode(record),
        "PortBindings": bindings,
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(count or 0)},
        "AutoRemove": spec.extras.remove,
        "CapAdd": capabilities.add if capabilities is not None else None,
        "CapDrop": capabilities.drop if capabilities is not None else None,
        "Dns": spec.dns_config.nameservers if spec.dns_config is not None else [],
        "DnsSearch": spec.dns_config.searches if spec.dns_config is not None else [],
        "ExtraHosts": [f"{n}:{a.ip}" for a in spec.host_aliases for n in a.hostnames],
        "GroupAdd": extras.group_add,
        "IpcMode": spec.extras.ipc_mode or ("host" if spec.host_ipc else "private"),
        "PidMode": spec.extras.pid_mode or ("host" if spec.host_pid else ""),
        "UTSMode": spec.extras.uts_mode,
        "UsernsMode": "auto" if record.users else extras.userns,
        "IDMappings": id_mappings(record),
        "CgroupnsMode": extras.cgroupns or "private",
        "CgroupParent": extras.cgroup_parent,
        "Privileged": bool(security is not None and security.privileged),
        "PublishAllPorts": spec.extras.publish_all,
        "ReadonlyRootfs": bool(security is not None and security.read_only_root_filesystem),
        "SecurityOpt": options,
        "Tmpfs": {t.path: ",".join(t.options) for t in extras.tmpfs},
        "ShmSize": extras.shm_size or 64 << 20,
        "Runtime": spec.extras.runtime or "lading",
        "CpuShares": extras.cpu_shares or 0,
        "Memory": quantity.units(limits["memory"]) if "memory" in limits else 0,
        "NanoCpus": quantity.nanos(limits["cpu"]) if "cpu" in limits else 0,
        "CpuPeriod": extras.cpu_period or 0,
        "CpuQuota": extras.cpu_quota or 0,
        "CpusetCpus": extras.cpuset_cpus,
        "CpusetMems": extras.cpuset_mems,
        "MemoryReservation": extras.memory_reservation or 0,
        "MemorySwap": extras.memory_swap or 0,
        "MemorySwappiness": extras.memory_swappiness,
        "OomKillDisable": extras.oom_kill_disable,
        "OomScoreAdj": extras.oom_score_adj or 0,
        "PidsLimit": extras.pids_limit,
        "BlkioWeight": extras.blkio_weight or 0,
        "Ulimits": [{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in extras.ulimits],
        "Devices": [
            {
                "PathOnHost": d.path,
                "PathInContainer": d.container_path or d.path,
                "CgroupPermissions": d.permissions,
            }
            for d in extras.devices
        ],
        "Sysctls": extras.sysctls,
        "Init": extras.init,
    }


def id_mappings(record: PodRecord) -> dict[str, list[str]] | None:
    """Which ids of the host the pod has, INSIDE:OUTSIDE:HOW MANY as in ``podman inspect``; None: all, as they are."""
    if not record.users:
        return None
    from lading.node.idranges import SIZE

    row = f"0:{record.users}:{SIZE}"
    return {"UidMap": [row], "GidMap": [row]}


def _bind(source: str, target: str, read_only: bool) -> str:
    return f"{source}:{target}:ro" if read_only else f"{source}:{target}"


def _network_mode(record: PodRecord) -> str:
    spec = record.pod.spec
    if spec.host_network:
        return "host"
    if spec.extras.network_mode:
        return spec.extras.network_mode
    return spec.extras.networks[0].name if spec.extras.networks else "bridge"


def _mounts(context: Context, container: ContainerRecord, definition: Container) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for mount in definition.extras.mounts:
        name = mount.volume or container.volumes.get(mount.target, "")
        entry: dict[str, object] = {"Type": "volume" if not mount.source else "bind"}
        if name and not mount.source:
            entry["Name"] = name
            entry["Driver"] = mount.driver or "local"
        entry["Source"] = mount.source or _volume_path(context, name)
        entry["Destination"] = mount.target
        entry["Mode"] = ",".join(["ro"] * mount.read_only + mount.options)
        entry["RW"] = not mount.read_only
        entry["Propagation"] = mount.propagation or ("rprivate" if mount.source else "")
        made.append(entry)
    for target in definition.extras.tmpfs:
        made.append({"Type": "tmpfs", "Source": "", "Destination": target.path, "Mode": ",".join(target.options),
                     "RW": "ro" not in target.options, "Propagation": ""})  # fmt: skip
    for volume in definition.volume_mounts:
        made.append({"Type": "volume", "Name": volume.name, "Destination": volume.mount_path,
                     "RW": not volume.read_only, "Mode": "", "Propagation": volume.mount_propagation})  # fmt: skip
    return made


def _volume_path(context: Context, name: str) -> str:
    if not name:
        return ""
    try:
        return context.volumes.source(name).path
    except LadingError:
        return ""


def _network(record: PodRecord) -> dict[str, object]:
    ports: dict[str, object] = {}
    for definition in record.pod.spec.containers:
        for declared in definition.ports:
            ports[f"{declared.container_port}/{declared.protocol.lower()}"] = None
    for port in record.ports:
        key = f"{port.port}/{port.protocol}"
        listed = ports.get(key)
        entry = {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}
        ports[key] = [*listed, entry] if isinstance(listed, list) else [entry]
    asked = record.pod.spec.extras.networks
    from lading.node.model import NetworkRecord

    aliases = {outer_name(n.name): n.aliases for n in asked}
    places = {outer_name(n.name): n for n in record.networks}
    if not (record.pod.spec.host_network or record.pod.spec.extras.network_mode):
        for name in [outer_name(n.name) for n in asked] or ["bridge"]:
            places.setdefault(name, NetworkRecord(name=name))  # where it will be once it runs
    networks = {
        name: {
            "IPAddress": n.ipv4,
            "IPPrefixLen": n.ipv4_prefix,
            "Gateway": n.gateway4,
            "GlobalIPv6Address": n.ipv6,
            "GlobalIPv6PrefixLen": n.ipv6_prefix,
            "IPv6Gateway": n.gateway6,
            "MacAddress": n.mac,
            "Aliases": aliases.get(name, []),
        }
        for name, n in places.items()
    }
    first = record.networks[0] if record.networks else None
    return {
        "Ports": ports,
        "IPAddress": first.ipv4 if first is not None else "",
        "IPPrefixLen": first.ipv4_prefix if first is not None else 0,
        "Gateway": first.gateway4 if first is not None else "",
        "GlobalIPv6Address": first.ipv6 if first is not None else "",
        "MacAddress": first.mac if first is not None else "",
        "Networks": networks,
    }
