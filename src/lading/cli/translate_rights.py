"""Docker's flags about rights to a Pod: capabilities, devices, security options, namespaces. Pure."""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported

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
        from lading.cli.translate_security import capability
        from lading.formats.pod import CapabilityChange

        security(container).capabilities = CapabilityChange(
            add=[capability(c, "--cap-add") for c in options["cap-add"]],
            drop=[capability(c, "--cap-drop") for c in options["cap-drop"]],
        )
    if options["security-opt"]:
        from lading.cli.translate_security import security_option

        for text in options["security-opt"]:
            security_option(text, extras)
    if options["device"] or options["device-cgroup-rule"]:
        from lading.cli.translate_devices import check_rule, device

        extras.devices = [device(text) for text in options["device"]]
        for rule in options["device-cgroup-rule"]:
            check_rule(rule)
        extras.device_cgroup_rules = options["device-cgroup-rule"]
    for text in options["sysctl"]:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidInput(f"--sysctl {text!r} is not NAME=VALUE")
        extras.sysctls[name.replace("/", ".")] = value
    _namespaces(options, spec, extras)
    extras.cgroup_parent = options["cgroup-parent"]
    spec.extras.runtime = options["runtime"]


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
    if userns not in ("", "host", "auto"):
        raise Unsupported(f"--userns {userns!r} is not supported", hint="the modes are auto and host")
    if userns == "auto":
        _own_users(options)
        spec.host_users = False
    spec.extras.ipc_mode = ipc
    spec.extras.pid_mode = "" if pid == "private" else pid
    spec.extras.uts_mode = "" if uts == "private" else uts
    spec.host_ipc = ipc == "host"
    spec.host_pid = pid == "host"
    extras.userns = userns
    extras.cgroupns = options["cgroupns"]


def _own_users(options: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidInput` for flags that ask for what belongs to the host's root, or to another container's."""
    if options["privileged"]:
        raise InvalidInput(
            "--privileged does not go with --userns auto",
            hint="root of a user namespace has no power over the host's devices",
        )
    for flag in ("network", "pid", "ipc", "uts", "cgroupns"):
        for word in options[flag] if flag == "network" else [options[flag]]:
            if word == "host" or word.startswith(("container:", "ns:")):
                raise InvalidInput(
                    f"--{flag} {word} does not go with --userns auto", hint="what it names has other users"
                )


def _container(text: str) -> bool:
    return text.startswith("container:") and len(text) > len("container:")
