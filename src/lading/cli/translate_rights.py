"""Docker's flags about rights to a Pod: capabilities, devices, security options, namespaces. Pure."""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.formats.pod import (
    HostDevice,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lading.formats.pod import Container, ContainerExtras, PodSpec, SecurityContext


def security(container: Container) -> SecurityContext:
    """The container's securityContext, made when it has none."""
    from lading.formats.pod import SecurityContext

    if container.security_context is None:
        container.security_context = SecurityContext()
    return container.security_context


def rights(options: Mapping[str, Any], spec: PodSpec, container: Container) -> None:
    """Users, capabilities, security options and devices into pod and container."""
    extras = container.extras
    if options["privileged"]:
        security(container).privileged = True
    if options["cap-add"] or options["cap-drop"]:
        from lading.formats.pod import CapabilityChange

        security(container).capabilities = CapabilityChange(
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
    spec.extras.runtime = options["runtime"]


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
        if value != "unconfined":
            raise Unsupported(
                f"--security-opt {text}: AppArmor profiles are not supported: containers run unconfined"
            )
        extras.apparmor = value
    elif key == "label" and value:
        if value != "disable":
            raise Unsupported(f"--security-opt {text}: SELinux labels are not supported")
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
        or not all(n == "*" or (n.isascii() and n.isdigit() and len(n) < 11) for n in numbers)
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
    if userns not in ("", "host"):
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
