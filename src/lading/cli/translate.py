"""Docker's words to a Pod: a pure function from the options of ``run`` to ``formats.pod``.

A container is a pod of one; what Kubernetes has no field for travels in ``extras``. Nothing is looked up here: files that
flags name were read before, and ``environ``, ``cwd`` and the like are arguments.

Kubernetes expands ``$(NAME)`` in commands and values and Docker does not, so every dollar that would begin such an
expression is doubled on the way in (``literal``) and halved again where Docker's users look (``plain``).
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.formats.pod import (
    Container,
    ContainerExtras,
    ContainerPort,
    DNSConfig,
    DNSOption,
    EnvVar,
    HostAlias,
    HostDevice,
    NetworkRequest,
    ObjectMeta,
    Pod,
    PodExtras,
    PodSpec,
    Ulimit,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from lading.formats.pod import BindMount

PULL_POLICIES = {"always": "Always", "missing": "IfNotPresent", "never": "Never"}
ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as".split()
ANY_PORT = -1
"""``hostPort`` of a port that the network may choose: no manifest can say it, Docker's ``-p 80`` does."""


class Surroundings:
    """What the translation may know of the world: environment, directory, files read for flags that name them."""

    __slots__ = ("cwd", "environ", "free_port", "read_file", "volumes_of")

    def __init__(
        self,
        environ: Mapping[str, str],
        cwd: str,
        read_file: Callable[[str, str], bytes],
        volumes_of: Callable[[str], Sequence[BindMount]],
        free_port: Callable[[str, str, int, int], int],
    ) -> None:
        self.environ = environ
        self.cwd = cwd
        self.read_file = read_file
        self.volumes_of = volumes_of
        self.free_port = free_port


def literal(text: str) -> str:
    """``text`` so that Kubernetes' ``$(NAME)`` expansion gives it back unchanged."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text


def plain(text: str) -> str:
    """The inverse of :func:`literal`."""
    return text.replace("$$", "$") if "$$" in text else text


def pod_from_run(options: Mapping[str, Any], args: Sequence[str], around: Surroundings) -> Pod:
    """The Pod that ``run`` or ``create`` with these flags (:mod:`lading.cli.runflags`) and arguments asks for.

    Raises :class:`InvalidInput` and :class:`Unsupported`, naming the flag.
    """
    name = options["name"]
    if name:
        check_name(name)
    extras = ContainerExtras()
    container = Container(name="main", image=args[0], extras=extras)
    spec = PodSpec(containers=[container], extras=PodExtras(container=True, remove=options["rm"]))
    pod = Pod(metadata=ObjectMeta(name=name), spec=spec)
    container.image_pull_policy = PULL_POLICIES[options["pull"]]
    extras.platform = options["platform"]
    _command(options, args, container)
    _identity(options, container, around)
    if options["annotation"]:
        pod.metadata.annotations = _pairs(options["annotation"], "--annotation")
    _terminal(options, container)
    _life(options, spec, container)
    _files(options, container, around)
    _network(options, spec, container, around)
    _limits(options, container)
    _rights(options, spec, container)
    return pod


def check_name(name: str) -> str:
    """``name`` itself when a container may be called so: letters, digits, ``_``, ``.`` and ``-``. Raises InvalidInput."""
    body = name.replace("_", "a").replace(".", "a").replace("-", "a")
    if not name[:1].isalnum() or not body.isalnum() or not name.isascii() or not 2 <= len(name) <= 128:
        raise InvalidInput(
            f"container name {name[:80]!r}: a name is 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit"
        )
    return name


def _command(options: Mapping[str, Any], args: Sequence[str], container: Container) -> None:
    container.args = [literal(a) for a in args[1:]]
    entrypoint = options["entrypoint"]
    if entrypoint is not None:
        container.extras.entrypoint_given = True
        if entrypoint:
            container.command = [literal(entrypoint)]
    workdir = options["workdir"]
    if workdir and not workdir.startswith("/"):
        raise InvalidInput(f"--workdir {workdir!r} is not an absolute path")
    container.working_dir = workdir


def _identity(options: Mapping[str, Any], container: Container, around: Surroundings) -> None:
    extras = container.extras
    extras.user = options["user"]
    if extras.user.startswith(":") or extras.user.count(":") > 1:
        raise InvalidInput(f"--user {extras.user!r} is not USER[:GROUP]")
    extras.group_add = options["group-add"]
    hostname = options["hostname"]
    if hostname:
        body = hostname.replace("-", "a").replace(".", "a").replace("_", "a")
        if len(hostname) > 63 or not body.isalnum() or not hostname.isascii() or hostname[0] in "-.":
            raise InvalidInput(f"--hostname {hostname[:80]!r} is not up to 63 letters, digits, '.' and '-'")
        extras.hostname = hostname
    if options["env"] or options["env-file"]:
        values: dict[str, str] = {}
        from lading.formats import env

        for path in options["env-file"]:
            values.update(env.file_pairs(around.read_file("--env-file", path), around.environ, where=path))
        for text in options["env"]:
            made = env.pair(text, around.environ)
            if made is not None:
                values[made[0]] = made[1]
        container.env = [EnvVar(name=n, value=literal(v)) for n, v in values.items()]
    labels: dict[str, str] = {}
    for path in options["label-file"]:
        text = around.read_file("--label-file", path).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines()]
        labels.update(_pairs([line for line in lines if line and line[0] != "#"], f"--label-file {path}"))
    labels.update(_pairs(options["label"], "--label"))
    extras.labels = labels


def _pairs(texts: Sequence[str], flag: str) -> dict[str, str]:
    made: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name:
            raise InvalidInput(f"{flag} {text!r} has no name", hint="write NAME=VALUE")
        made[name] = value
    return made


def _terminal(options: Mapping[str, Any], container: Container) -> None:
    container.tty = options["tty"]
    container.stdin = options["interactive"] or any(s.lower() == "stdin" for s in options["attach"])
    container.extras.open_stdin = container.stdin
    container.stdin_once = container.stdin


def _life(options: Mapping[str, Any], spec: PodSpec, container: Container) -> None:
    extras = container.extras
    spec.restart_policy, extras.restart = restart_policy(options["restart"])
    if extras.restart and spec.extras.remove:
        raise InvalidInput(f"--rm and --restart {options['restart']} contradict each other")
    extras.init = options["init"]
    if options["stop-signal"]:
        from lading.formats import signals

        extras.stop_signal = signals.name(signals.number(options["stop-signal"]))
    if options["stop-timeout"] is not None:
        timeout = options["stop-timeout"]
        if timeout < -1:
            raise InvalidInput(f"--stop-timeout {timeout} is negative")
        extras.stop_timeout = timeout
        spec.termination_grace_period_seconds = timeout if timeout >= 0 else 2**31
    else:
        spec.termination_grace_period_seconds = 10
    _health(options, extras)


def restart_policy(text: str) -> tuple[str, str]:
    """``(pod's restartPolicy, extras.restart)`` of Docker's ``--restart``. Raises :class:`InvalidInput`."""
    word, colon, count = text.partition(":")
    if word == "on-failure":
        if colon and not (count.isascii() and count.isdigit()):
            raise InvalidInput(f"--restart {text!r}: {count!r} is not a number of restarts")
        return "OnFailure", text
    if not colon:
        if word in ("no", ""):
            return "Never", ""
        if word in ("always", "unless-stopped"):
            return "Always", word
    raise InvalidInput(f"--restart {text!r} is not no, on-failure[:N], always or unless-stopped")


def _health(options: Mapping[str, Any], extras: ContainerExtras) -> None:
    given = [
        f
        for f in ("cmd", "interval", "timeout", "start-period", "start-interval", "retries")
        if options[f"health-{f}"] not in ("", None)
    ]
    if not given and not options["no-healthcheck"]:
        return
    from lading.formats import duration
    from lading.formats.pod import Healthcheck

    if options["no-healthcheck"]:
        if given:
            raise InvalidInput(f"--no-healthcheck and --health-{given[0]} contradict each other")
        extras.healthcheck = Healthcheck(test=["NONE"])
        return
    check = Healthcheck()
    if options["health-cmd"]:
        check.test = ["CMD-SHELL", options["health-cmd"]]
    for field in ("interval", "timeout", "start-period", "start-interval"):
        text = options[f"health-{field}"]
        if text:
            value = duration.seconds(text)
            if 0 < value < 0.001:
                raise InvalidInput(f"--health-{field} {text}: shorter than a millisecond")
            if value or field == "start-period":
                setattr(check, field.replace("-", "_"), value)
    retries = options["health-retries"]
    if retries is not None:
        if retries < 0:
            raise InvalidInput(f"--health-retries {retries} is negative")
        check.retries = retries or check.retries
    extras.healthcheck = check


def _files(options: Mapping[str, Any], container: Container, around: Surroundings) -> None:
    extras = container.extras
    if options["read-only"]:
        _security(container).read_only_root_filesystem = True
    if options["shm-size"]:
        from lading.formats import sizes

        extras.shm_size = sizes.parse(options["shm-size"], what="--shm-size")
        if not extras.shm_size:
            raise InvalidInput("--shm-size must be more than 0")
    if not (options["volume"] or options["mount"] or options["tmpfs"] or options["volumes-from"]):
        return
    from lading.formats import mountspec
    from lading.formats.pod import TmpfsMount

    binds: dict[str, BindMount] = {}
    for text in options["volumes-from"]:
        source, colon, mode = text.partition(":")
        if colon and mode not in ("ro", "rw"):
            raise InvalidInput(f"--volumes-from {text!r}: {mode!r} is not ro or rw")
        for mount in around.volumes_of(source):
            binds[mount.target] = mount.replace(read_only=mount.read_only or mode == "ro")
    own: set[str] = set()
    memory: list[TmpfsMount] = []
    for text in options["volume"]:
        made = mountspec.volume(text, cwd=around.cwd)
        if not made.source and options["volume-driver"]:
            made.driver = options["volume-driver"]
        _once(own, made.target)
        binds[made.target] = made
    for text in options["mount"]:
        spelt = mountspec.mount(text, cwd=around.cwd)
        if isinstance(spelt, TmpfsMount):
            _once(own, spelt.path)
            binds.pop(spelt.path, None)
            memory.append(spelt)
        else:
            _once(own, spelt.target)
            binds[spelt.target] = spelt
    for text in options["tmpfs"]:
        spelt = mountspec.tmpfs(text)
        _once(own, spelt.path)
        binds.pop(spelt.path, None)
        memory.append(spelt)
    extras.mounts = list(binds.values())
    extras.tmpfs = memory


def _once(seen: set[str], target: str) -> None:
    if target in seen:
        raise InvalidInput(f"two mounts have the target {target}")
    seen.add(target)


# -- network -------------------------------------------------------------------------------------------------------


def _network(options: Mapping[str, Any], spec: PodSpec, container: Container, around: Surroundings) -> None:
    mode, networks = _networks(options)
    spec.extras.network_mode = mode
    spec.extras.networks = networks
    if mode == "host":
        spec.host_network = True
    spec.extras.publish_all = options["publish-all"]
    if (options["publish"] or options["publish-all"]) and mode.startswith("container:"):
        raise InvalidInput(
            f"--publish does not go with --network {mode}",
            hint="publish on the container that owns the network",
        )
    _ports(options, container, around)
    _names(options, spec, mode)


def _networks(options: Mapping[str, Any]) -> tuple[str, list[NetworkRequest]]:
    texts = options["network"]
    if len(texts) == 1:
        mode = texts[0]
        kind, colon, rest = mode.partition(":")
        if mode in ("none", "host") or (kind in ("container", "ns") and colon):
            if colon and not rest:
                raise InvalidInput(f"--network {mode!r}: nothing follows {kind}:")
            for flag in ("network-alias", "ip", "ip6", "mac-address"):
                if options[flag]:
                    raise InvalidInput(f"--{flag} does not go with --network {mode}")
            return mode, []
    requests: list[NetworkRequest] = []
    for text in texts:
        request = _request(text)
        if request.name in ("none", "host") or request.name.partition(":")[0] in ("container", "ns"):
            raise InvalidInput(f"--network {request.name} does not go with further networks")
        if any(request.name == r.name for r in requests):
            raise InvalidInput(f"--network {request.name} is given twice")
        requests.append(request)
    own = options["network-alias"] or options["ip"] or options["ip6"] or options["mac-address"]
    if own:
        if not requests:
            requests.append(NetworkRequest(name="bridge"))
        first = requests[0]
        if options["network-alias"] and first.name in ("bridge", "default"):
            raise InvalidInput(
                "--network-alias needs a network of your own: names are not resolved on the default bridge"
            )
        first.aliases = [*first.aliases, *options["network-alias"]]
        first.ipv4 = first.ipv4 or _address(options["ip"], "--ip", 4)
        first.ipv6 = first.ipv6 or _address(options["ip6"], "--ip6", 6)
        first.mac = first.mac or _mac(options["mac-address"])
    for request in requests:
        if request.name == "default":
            request.name = "bridge"
    if len(requests) == 1 and requests[0] == NetworkRequest(name="bridge"):
        return "", []
    return "", requests


def _request(text: str) -> NetworkRequest:
    """``NAME``, or Docker's ``name=NAME,alias=A,ip=…,ip6=…,mac-address=…``."""
    if "=" not in text:
        if not text:
            raise InvalidInput("--network is empty")
        return NetworkRequest(name=text)
    from lading.formats.mountspec import csv

    request = NetworkRequest(name="")
    for field in csv(text):
        key, _, value = field.partition("=")
        if key == "name":
            request.name = value
        elif key == "alias":
            request.aliases = [*request.aliases, value]
        elif key == "ip":
            request.ipv4 = _address(value, "--network ip", 4)
        elif key == "ip6":
            request.ipv6 = _address(value, "--network ip6", 6)
        elif key == "mac-address":
            request.mac = _mac(value)
        elif key in ("driver-opt", "gw-priority", "link-local-ip"):
            raise Unsupported(f"--network {text!r}: {key} is not supported")
        else:
            raise InvalidInput(f"--network {text!r}: field {key!r} is unknown")
    if not request.name:
        raise InvalidInput(f"--network {text!r}: name is missing")
    return request


def _address(text: str, flag: str, family: int) -> str:
    if not text:
        return ""
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET if family == 4 else _socket.AF_INET6, text)
    except (OSError, ValueError):
        raise InvalidInput(f"{flag} {text!r} is not an IPv{family} address") from None
    return text


def _mac(text: str) -> str:
    if not text:
        return ""
    parts = text.lower().replace("-", ":").split(":")
    if len(parts) != 6 or not all(len(p) == 2 and set(p) <= set("0123456789abcdef") for p in parts):
        raise InvalidInput(f"--mac-address {text!r} is not six bytes in hex", hint="write 92:d0:c6:0a:29:33")
    if int(parts[0], 16) & 1:
        raise InvalidInput(f"--mac-address {text!r} is a multicast address")
    return ":".join(parts)


def _ports(options: Mapping[str, Any], container: Container, around: Surroundings) -> None:
    if not (options["publish"] or options["expose"]):
        return
    from lading.formats import ports

    made: list[ContainerPort] = []
    taken: dict[tuple[str, int, str], str] = {}
    for text in options["publish"]:
        for one in ports.publish(text):
            host_port = one.host_port or ANY_PORT
            if one.host_end:
                host_port = around.free_port(one.protocol, one.host_ip, one.host_port, one.host_end)
            if host_port != ANY_PORT:
                key = (one.host_ip, host_port, one.protocol)
                if key in taken and taken[key] != text:
                    raise InvalidInput(
                        f"--publish {text}: port {host_port} of the host is published by {taken[key]} already"
                    )
                taken[key] = text
            made.append(
                ContainerPort(
                    container_port=one.port,
                    host_port=host_port,
                    host_ip=one.host_ip,
                    protocol=one.protocol.upper(),
                )
            )
    for text in options["expose"]:
        for number, protocol in ports.exposed(text):
            if not any(p.container_port == number and p.protocol == protocol.upper() for p in made):
                made.append(ContainerPort(container_port=number, protocol=protocol.upper()))
    container.ports = made


def _names(options: Mapping[str, Any], spec: PodSpec, mode: str) -> None:
    hosts = options["add-host"]
    if hosts and mode.startswith("container:"):
        raise InvalidInput(f"--add-host does not go with --network {mode}")
    for text in hosts:
        name, mark, address = text.partition("=")
        if not mark:
            name, mark, address = text.partition(":")
        address = address[1:-1] if address.startswith("[") and address.endswith("]") else address
        if not name or not address:
            raise InvalidInput(f"--add-host {text!r} is not NAME:ADDRESS")
        if address != "host-gateway":
            _address(address, f"--add-host {name}", 6 if ":" in address else 4)
        spec.host_aliases.append(HostAlias(ip=address, hostnames=[name]))
    if options["dns"] or options["dns-search"] or options["dns-option"]:
        if mode.startswith("container:"):
            raise InvalidInput(f"--dns does not go with --network {mode}")
        for server in options["dns"]:
            _address(server, "--dns", 6 if ":" in server else 4)
        made = []
        for option in options["dns-option"]:
            name, mark, value = option.partition(":")
            made.append(DNSOption(name=name, value=value if mark else None))
        spec.dns_config = DNSConfig(nameservers=options["dns"], searches=options["dns-search"], options=made)


# -- limits --------------------------------------------------------------------------------------------------------


def _limits(options: Mapping[str, Any], container: Container) -> None:
    extras = container.extras
    limits: dict[str, str | int | float] = {}
    if options["cpus"]:
        limits["cpu"] = cpus(options["cpus"])
        if options["cpu-period"] is not None or options["cpu-quota"] is not None:
            raise InvalidInput("--cpus does not go with --cpu-period and --cpu-quota")
    memory = _size(options, "memory")
    if memory:
        if memory < 6 << 20:
            raise InvalidInput(f"--memory {options['memory']} is less than the 6m that a container needs")
        limits["memory"] = str(memory)
    if limits:
        from lading.formats.pod import ResourceRequirements

        container.resources = ResourceRequirements(limits=limits)
    swap = options["memory-swap"]
    if swap:
        extras.memory_swap = -1 if swap == "-1" else _size(options, "memory-swap")
        if swap != "-1" and not memory:
            raise InvalidInput("--memory-swap needs --memory")
        if memory and extras.memory_swap is not None and 0 < extras.memory_swap < memory:
            raise InvalidInput(
                f"--memory-swap {swap} is less than --memory {options['memory']}: it counts both"
            )
    reservation = _size(options, "memory-reservation")
    if reservation:
        if memory and reservation > memory:
            raise InvalidInput("--memory-reservation is more than --memory")
        extras.memory_reservation = reservation
    extras.memory_swappiness = _within(options, "memory-swappiness", 0, 100)
    extras.pids_limit = _within(options, "pids-limit", -1, 4194304)
    extras.cpu_shares = _within(options, "cpu-shares", 0, 262144) or None
    extras.cpu_period = _within(options, "cpu-period", 0, 1000000) or None
    if extras.cpu_period and extras.cpu_period < 1000:
        raise InvalidInput("--cpu-period is from 1000 to 1000000 microseconds")
    extras.cpu_quota = _within(options, "cpu-quota", -1, 2**53) or None
    if extras.cpu_quota and 0 < extras.cpu_quota < 1000:
        raise InvalidInput("--cpu-quota is at least 1000 microseconds")
    extras.blkio_weight = _within(options, "blkio-weight", 0, 1000) or None
    if extras.blkio_weight and extras.blkio_weight < 10:
        raise InvalidInput("--blkio-weight is from 10 to 1000")
    extras.oom_score_adj = _within(options, "oom-score-adj", -1000, 1000)
    extras.oom_kill_disable = options["oom-kill-disable"]
    extras.cpuset_cpus = _list_of_numbers(options, "cpuset-cpus")
    extras.cpuset_mems = _list_of_numbers(options, "cpuset-mems")
    extras.ulimits = [ulimit(text) for text in options["ulimit"]]


def cpus(text: str, flag: str = "--cpus") -> str:
    """A number of CPUs as a quantity: at least a hundredth. Raises :class:`InvalidInput`."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit()) or len(text) > 20 or len(fraction) > 9:
        raise InvalidInput(f"{flag} {text!r} is not a number of CPUs", hint="write 1.5 or 2")
    if int(digits) * 100 < 10 ** len(fraction):
        raise InvalidInput(f"{flag} {text} is less than 0.01")
    return f"{whole or '0'}.{fraction}" if fraction else whole


def _size(options: Mapping[str, Any], flag: str) -> int:
    if not options[flag]:
        return 0
    from lading.formats import sizes

    return sizes.parse(options[flag], what=f"--{flag}")


def _within(options: Mapping[str, Any], flag: str, least: int, most: int) -> int | None:
    value: int | None = options[flag]
    if value is not None and not least <= value <= most:
        raise InvalidInput(f"--{flag} {value} is not from {least} to {most}")
    return value


def _list_of_numbers(options: Mapping[str, Any], flag: str) -> str:
    text: str = options[flag]
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise InvalidInput(f"--{flag} {text!r} is not a list of numbers and ranges", hint="write 0-2,4")
    return text


def ulimit(text: str) -> Ulimit:
    """``NAME=SOFT[:HARD]``; -1 is unlimited. Raises :class:`InvalidInput`."""
    name, equals, rest = text.partition("=")
    if name not in ULIMITS:
        raise InvalidInput(f"--ulimit {text!r}: {name!r} is not one of {', '.join(ULIMITS)}")
    soft, colon, hard = rest.partition(":")
    if not equals:
        raise InvalidInput(f"--ulimit {text!r} has no value", hint=f"write {name}=1024 or {name}=1024:2048")
    try:
        values = [-1 if v == "unlimited" else int(v) for v in ((soft, hard) if colon else (soft, soft))]
    except ValueError:
        raise InvalidInput(f"--ulimit {text!r}: a limit is a number, -1 or unlimited") from None
    low, high = values
    if min(values) < -1 or max(values) >= 2**63:
        raise InvalidInput(f"--ulimit {text!r}: a limit is a number, -1 or unlimited")
    if high != -1 and (low > high or low == -1):
        raise InvalidInput(f"--ulimit {text!r}: the soft limit is above the hard one")
    return Ulimit(name=name, soft=low, hard=high)


# -- rights --------------------------------------------------------------------------------------------------------


def _security(container: Container) -> Any:
    from lading.formats.pod import SecurityContext

    if container.security_context is None:
        container.security_context = SecurityContext()
    return container.security_context


def _rights(options: Mapping[str, Any], spec: PodSpec, container: Container) -> None:
    extras = container.extras
    if options["privileged"]:
        _security(container).privileged = True
    if options["cap-add"] or options["cap-drop"]:
        from lading.formats.pod import CapabilityChange

        _security(container).capabilities = CapabilityChange(
            add=[capability(c, "--cap-add") for c in options["cap-add"]],
            drop=[capability(c, "--cap-drop") for c in options["cap-drop"]],
        )
    for text in options["security-opt"]:
        _security_option(text, extras)
    extras.devices = [device(text) for text in options["device"]]
    for rule in options["device-cgroup-rule"]:
        _check_rule(rule)
    extras.device_cgroup_rules = options["device-cgroup-rule"]
    for text in options["sysctl"]:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidInput(f"--sysctl {text!r} is not NAME=VALUE")
        extras.sysctls[name.replace("/", ".")] = value
    _namespaces(options, spec, extras)
    extras.cgroup_parent = options["cgroup-parent"]
    if options["runtime"]:
        spec.extras.runtime = "" if options["runtime"] in ("lading", "lading-runtime") else options["runtime"]


def capability(text: str, flag: str) -> str:
    """``NET_ADMIN`` of ``net_admin`` or ``CAP_NET_ADMIN``; ``ALL``. Raises :class:`InvalidInput`."""
    name = text.upper().removeprefix("CAP_")
    if not name.replace("_", "").isalnum():
        raise InvalidInput(f"{flag} {text!r} is not a capability", hint="see capabilities(7)")
    from lading.formats.capnames import NAMES

    if name != "ALL" and name not in NAMES:
        raise InvalidInput(
            f"{flag} {text!r} is not a capability this version knows", hint="see capabilities(7)"
        )
    return name


def _security_option(text: str, extras: ContainerExtras) -> None:
    key, mark, value = text.partition("=")
    if not mark:
        key, mark, value = text.partition(":")
    if key == "no-new-privileges":
        if value not in ("", "true", "false"):
            raise InvalidInput(f"--security-opt {text!r}: {value!r} is not true or false")
        extras.no_new_privileges = value != "false"
    elif key == "seccomp" and value:
        extras.seccomp = "" if value == "builtin" else value
    elif key == "apparmor" and value:
        extras.apparmor = value
    elif key == "label" and value:
        extras.selinux = [*extras.selinux, value]
    elif key == "systempaths" and value == "unconfined":
        extras.unmask = ["ALL"]
    elif key == "unmask" and value:
        extras.unmask = [*extras.unmask, *value.split(":")]
    elif key in ("mask", "proc-opts", "writable-cgroups", "credentialspec"):
        raise Unsupported(f"--security-opt {key} is not supported")
    else:
        raise InvalidInput(
            f"--security-opt {text!r} is unknown",
            hint="the options are no-new-privileges, seccomp=, apparmor=, label=, systempaths=unconfined and unmask=",
        )


def device(text: str) -> HostDevice:
    """``HOST[:PATH[:rwm]]``. Raises :class:`InvalidInput`."""
    parts = text.split(":")
    path = parts[0]
    inside, rights = path, "rwm"
    if len(parts) == 2:
        if parts[1] and set(parts[1]) <= set("rwm"):
            rights = parts[1]
        else:
            inside = parts[1]
    elif len(parts) == 3:
        inside, rights = parts[1] or path, parts[2]
    if len(parts) > 3 or not path.startswith("/") or not inside.startswith("/"):
        if "=" in path and not path.startswith("/"):
            raise Unsupported(f"--device {text!r}: CDI devices are not supported")
        raise InvalidInput(f"--device {text!r} is not HOST[:PATH[:RIGHTS]] with absolute paths")
    if not rights or not set(rights) <= set("rwm") or len(set(rights)) != len(rights):
        raise InvalidInput(f"--device {text!r}: {rights!r} is not made of r, w and m")
    return HostDevice(path=path, container_path=inside, permissions=rights)


def _check_rule(rule: str) -> None:
    parts = rule.split()
    numbers = parts[1].split(":") if len(parts) == 3 else []
    if (
        len(parts) != 3
        or parts[0] not in ("a", "b", "c")
        or len(numbers) != 2
        or not all(n == "*" or n.isdigit() for n in numbers)
        or not set(parts[2]) <= set("rwm")
    ):
        raise InvalidInput(
            f"--device-cgroup-rule {rule!r} is not 'TYPE MAJOR:MINOR RIGHTS'", hint="write 'c 1:3 rwm'"
        )


def _namespaces(options: Mapping[str, Any], spec: PodSpec, extras: ContainerExtras) -> None:
    ipc, pid, uts, userns = options["ipc"], options["pid"], options["uts"], options["userns"]
    if ipc not in ("", "private", "shareable", "host", "none") and not _container(ipc):
        raise InvalidInput(f"--ipc {ipc!r} is not private, shareable, host or container:NAME")
    if ipc == "none":
        raise Unsupported("--ipc none is not supported: use private")
    if pid not in ("", "host", "private") and not _container(pid):
        raise InvalidInput(f"--pid {pid!r} is not host or container:NAME")
    if uts not in ("", "host", "private"):
        raise InvalidInput(f"--uts {uts!r} is not host")
    if uts == "host" and extras.hostname:
        raise InvalidInput("--hostname does not go with --uts host")
    if userns not in ("", "host", "private"):
        raise Unsupported(f"--userns {userns!r} is not supported", hint="the mode is host")
    spec.extras.ipc_mode = ipc
    spec.extras.pid_mode = "" if pid == "private" else pid
    spec.extras.uts_mode = "" if uts == "private" else uts
    spec.host_ipc = ipc == "host"
    spec.host_pid = pid == "host"
    extras.userns = userns
    extras.cgroupns = options["cgroupns"]


def _container(text: str) -> bool:
    return text.startswith("container:") and len(text) > len("container:")
