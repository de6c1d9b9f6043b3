"""A service's words as the options of ``lading run``: what both can say is checked and translated once, by one code.

A message of those rules names the flag; :func:`told` puts the path in the file in its place.
"""

from __future__ import annotations

from lading.errors import InvalidInput, LadingError
from lading.formats import duration
from lading.formats.compose.document import retold
from lading.formats.compose.shapes import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lading.formats.compose.model_service import Service

#: Field → flag, where the value goes over as it is.
_SAME = {
    "cap_add": "cap-add",
    "cap_drop": "cap-drop",
    "cgroup": "cgroupns",
    "cgroup_parent": "cgroup-parent",
    "cpuset": "cpuset-cpus",
    "device_cgroup_rules": "device-cgroup-rule",
    "dns": "dns",
    "dns_opt": "dns-option",
    "dns_search": "dns-search",
    "expose": "expose",
    "group_add": "group-add",
    "hostname": "hostname",
    "oom_kill_disable": "oom-kill-disable",
    "oom_score_adj": "oom-score-adj",
    "platform": "platform",
    "privileged": "privileged",
    "read_only": "read-only",
    "runtime": "runtime",
    "security_opt": "security-opt",
    "shm_size": "shm-size",
    "stdin_open": "interactive",
    "stop_signal": "stop-signal",
    "tmpfs": "tmpfs",
    "tty": "tty",
    "user": "user",
    "userns_mode": "userns",
    "uts": "uts",
    "working_dir": "workdir",
    "mem_swappiness": "memory-swappiness",
}
_NUMBERS = {"cpu_period": "cpu-period", "cpu_quota": "cpu-quota", "cpu_shares": "cpu-shares"}
_OTHERS = {
    "cpus": "cpus",
    "mem_limit": "memory",
    "mem_reservation": "memory-reservation",
    "memswap_limit": "memory-swap",
    "pids_limit": "pids-limit",
    "restart": "restart",
    "stop_grace_period": "stop-timeout",
    "sysctls": "sysctl",
    "ulimits": "ulimit",
    "devices": "device",
    "ports": "publish",
    "extra_hosts": "add-host",
    "init": "init",
    "ipc": "ipc",
    "pid": "pid",
    "network_mode": "network",
    "container_name": "name",
    "blkio_config.weight": "blkio-weight",
    "healthcheck.interval": "health-interval",
    "healthcheck.timeout": "health-timeout",
    "healthcheck.start_period": "health-start-period",
    "healthcheck.start_interval": "health-start-interval",
    "healthcheck.retries": "health-retries",
}


def told(error: LadingError, where: str) -> LadingError:
    """An error about a flag as one about the field of the service at ``where`` that became it."""
    message = error.message
    for field, flag in (*_SAME.items(), *_NUMBERS.items(), *_OTHERS.items()):
        shown = f"--{flag}"
        if message == shown or message.startswith((shown + " ", shown + ":")):
            return retold(error, f"{where}.{field}: {message.removeprefix(shown).lstrip(': ')}")
    return retold(error, f"{where}: {message}")


def of(service: Service, where: str) -> dict[str, Any]:
    """Every flag of ``lading create`` by name, as the service asks for it. Raises :class:`InvalidInput`."""
    from lading.cli import runflags

    made: dict[str, Any] = {flag.name: flag.absent() for flag in runflags.create()}
    for field, flag in _SAME.items():
        value = getattr(service, field)
        if value is not None:
            made[flag] = list(value) if isinstance(value, list) else value
    for field, flag in _NUMBERS.items():
        text = getattr(service, field)
        if text:
            made[flag] = whole(text.removesuffix("us"), f"{where}.{field}")
    made["init"] = bool(service.init)
    made["ipc"], made["pid"] = service.ipc, service.pid
    made["sysctl"] = [f"{k}={v}" for k, v in service.sysctls.items()]
    if service.domainname:
        made["sysctl"].append(f"kernel.domainname={_domain(service.domainname, f'{where}.domainname')}")
    made["ulimit"] = [f"{k}={v.soft}:{v.hard}" for k, v in service.ulimits.items()]
    made["device"] = [f"{d.source}:{d.target or d.source}:{d.permissions or 'rwm'}" for d in service.devices]
    made["add-host"] = [
        f"{name}={address}" for name, found in service.extra_hosts.items() for address in found
    ]
    made["publish"] = [_port(service, index) for index in range(len(service.ports))]
    if service.blkio_config is not None:
        made["blkio-weight"] = service.blkio_config.weight
    if service.stop_grace_period:
        made["stop-timeout"] = _grace(service.stop_grace_period, f"{where}.stop_grace_period")
    _health(service, made)
    _limits(service, made, where)
    made["restart"] = _restart(service, where)
    return made


def _domain(text: str, where: str) -> str:
    """A domain's name for the UTS namespace. Raises :class:`InvalidInput`."""
    letters = text.replace(".", "").replace("-", "")
    if not (letters.isascii() and letters.isalnum()) or len(text) > 64:
        raise InvalidInput(f"{where}: {text[:80]!r} is not a domain's name of up to 64 characters")
    return text


def _health(service: Service, made: dict[str, Any]) -> None:
    """All of a health check but its command, for which ``run`` has one form and the file two."""
    check = service.healthcheck
    if check is None:
        return
    if check.disable or check.test[:1] == ["NONE"]:
        made["no-healthcheck"] = True
        return
    for field in ("interval", "timeout", "start_period", "start_interval", "retries"):
        made[f"health-{field.replace('_', '-')}"] = getattr(check, field)


def _grace(text: str, where: str) -> int:
    try:
        seconds = duration.seconds(text)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}", hint=error.hint) from None
    return int(seconds) if seconds == int(seconds) else int(seconds) + 1


def _port(service: Service, index: int) -> str:
    port = service.ports[index]
    address = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
    head = f"{address}:" if address else ""
    middle = f"{port.published}:" if port.published else (":" if address else "")
    return f"{head}{middle}{port.target}/{port.protocol or 'tcp'}"


def _limits(service: Service, made: dict[str, Any], where: str) -> None:
    """Limits of the service itself and those of ``deploy.resources``, which may not contradict them."""
    limits = reserved = None
    if service.deploy is not None and service.deploy.resources is not None:
        limits, reserved = service.deploy.resources.limits, service.deploy.resources.reservations
    pairs = (
        ("cpus", "cpus", service.cpus, limits.cpus if limits else ""),
        ("mem_limit", "memory", service.mem_limit, limits.memory if limits else ""),
        (
            "mem_reservation",
            "memory-reservation",
            service.mem_reservation,
            reserved.memory if reserved else "",
        ),
    )
    for field, flag, own, deployed in pairs:
        if own and deployed and own != deployed:
            raise InvalidInput(f"{where}.{field}: deploy.resources says another limit, {deployed}")
        made[flag] = own or deployed
        if made[flag] in ("0", "0.0"):
            made[flag] = ""
    pids = limits.pids if limits is not None else None
    if service.pids_limit is not None and pids is not None and pids != service.pids_limit:
        raise InvalidInput(f"{where}.pids_limit: deploy.resources says another limit, {pids}")
    made["pids-limit"] = service.pids_limit if service.pids_limit is not None else pids
    made["memory-swap"] = service.memswap_limit if service.memswap_limit != "0" else ""


def _restart(service: Service, where: str) -> str:
    policy = service.deploy.restart_policy if service.deploy is not None else None
    if service.restart:
        return service.restart
    if policy is None:
        return "no"
    words = {"": "always", "any": "always", "none": "no", "on-failure": "on-failure"}
    if policy.condition not in words:
        raise InvalidInput(
            f"{where}.deploy.restart_policy.condition: {policy.condition[:40]!r} is not none, on-failure or any"
        )
    word = words[policy.condition]
    if policy.max_attempts is None or word == "no":
        return word
    if policy.max_attempts < 0:
        raise InvalidInput(f"{where}.deploy.restart_policy.max_attempts: {policy.max_attempts} is negative")
    return f"on-failure:{policy.max_attempts}" if policy.max_attempts else word
