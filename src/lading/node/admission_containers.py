"""Admission of containers: what the Kubernetes API server checks, and what this node does not do.

Source: the Kubernetes API reference, core/v1 Container, and the rules its server applies to it.
"""

from __future__ import annotations

import posixpath

from lading.errors import InvalidInput
from lading.formats import quantity
from lading.formats.capnames import NAMES as CAPABILITIES
from lading.node.admission_report import Report, is_address, is_port_name
from lading.node.admission_sources import environment
from lading.runtime import procmounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.formats.pod import (
        Container,
        ContainerPort,
        HTTPGetAction,
        LifecycleHandler,
        Pod,
        Probe,
        ResourceRequirements,
        SecurityContext,
    )
    from lading.formats.podvolumes import VolumeMount

_ID_MAX = 2**31 - 1
#: Bytes of a gRPC service's name: one more would need a longer form of its length.
SERVICE_LIMIT = 127
_RULES_MAX, _CODES_MAX = 20, 255


def containers(pod: Pod, report: Report) -> None:
    """Everything about ``spec.containers`` and ``spec.initContainers``."""
    spec = pod.spec
    if not spec.containers:
        report.bad("spec.containers", "at least one container is needed")
    seen: dict[str, str] = {}
    host_ports: dict[tuple[str, int, str], str] = {}
    for init, listed in ((True, spec.init_containers), (False, spec.containers)):
        field = "spec.initContainers" if init else "spec.containers"
        for index, container in enumerate(listed):
            path = f"{field}[{index}]"
            if report.label(f"{path}.name", container.name):
                if container.name in seen:
                    report.bad(
                        f"{path}.name", f"{container.name!r} is the name of {seen[container.name]} already"
                    )
                seen.setdefault(container.name, path)
            _container(pod, container, path, init, report)
            _host_ports(pod, container, path, host_ports, report)


def _container(pod: Pod, container: Container, path: str, init: bool, report: Report) -> None:
    sidecar = init and container.restart_policy == "Always"
    _image(container, path, report)
    _restarts(container, path, report)
    if container.volume_devices:
        report.unsupported(f"{path}.volumeDevices")
    if container.resize_policy:
        report.no_effect(f"{path}.resizePolicy", "limits are changed by lading update without a restart")
    if container.working_dir and not container.working_dir.startswith("/"):
        report.bad(f"{path}.workingDir", f"{container.working_dir!r} is not an absolute path")
    _ports(container, path, report)
    environment(pod, container, path, report)
    _resources(container.resources, f"{path}.resources", report)
    _mounts(pod, container, path, report)
    ports = {p.name for p in container.ports if p.name}
    for kind, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe is not None:
            if init and not sidecar:
                report.bad(f"{path}.{kind}", "an init container that is no sidecar has no probes")
            _probe(probe, kind, f"{path}.{kind}", ports, report)
    _lifecycle(container, path, init and not sidecar, ports, report)
    if not container.termination_message_path.startswith("/"):
        report.bad(
            f"{path}.terminationMessagePath",
            f"{container.termination_message_path!r} is not an absolute path",
        )
    report.one_of(
        f"{path}.terminationMessagePolicy",
        container.termination_message_policy,
        ("File", "FallbackToLogsOnError"),
    )
    if container.stdin_once and not container.stdin:
        report.bad(f"{path}.stdinOnce", "needs stdin: true")
    if container.security_context is not None:
        security(container.security_context, f"{path}.securityContext", report)
        _contradictions(pod, container.security_context, f"{path}.securityContext", report)


def _restarts(container: Container, path: str, report: Report) -> None:
    """A restart policy of the container's own, and rules about exit codes."""
    if container.restart_policy:
        report.one_of(f"{path}.restartPolicy", container.restart_policy, ("Always", "OnFailure", "Never"))
    elif container.restart_policy_rules:
        report.bad(f"{path}.restartPolicy", "restartPolicyRules need a restartPolicy beside them")
    if len(container.restart_policy_rules) > _RULES_MAX:
        report.bad(f"{path}.restartPolicyRules", f"more than {_RULES_MAX}")
    for index, rule in enumerate(container.restart_policy_rules):
        here = f"{path}.restartPolicyRules[{index}]"
        if rule.action == "RestartAllContainers":
            report.unsupported(f"{here}.action", "containers are restarted one by one")
        else:
            report.one_of(f"{here}.action", rule.action, ("Restart",))
        if rule.exit_codes is None:
            report.bad(f"{here}.exitCodes", "required field is missing")
            continue
        report.one_of(f"{here}.exitCodes.operator", rule.exit_codes.operator, ("In", "NotIn"))
        if not 0 < len(rule.exit_codes.values) <= _CODES_MAX:
            report.bad(f"{here}.exitCodes.values", f"1 to {_CODES_MAX} exit codes are needed")


def _image(container: Container, path: str, report: Report) -> None:
    if not container.image:
        report.bad(f"{path}.image", "required field is missing")
    else:
        from lading.formats.reference import Reference

        digits = container.image.removeprefix("sha256:")
        if not (len(digits) == 64 and set(digits) <= set("0123456789abcdef")):
            try:
                Reference.parse(container.image)
            except InvalidInput as error:
                report.bad(f"{path}.image", error.message)
    if container.image_pull_policy:
        report.one_of(
            f"{path}.imagePullPolicy", container.image_pull_policy, ("Always", "IfNotPresent", "Never")
        )


# -- ports ---------------------------------------------------------------------------------------------------------


def _ports(container: Container, path: str, report: Report) -> None:
    names: set[str] = set()
    for index, port in enumerate(container.ports):
        here = f"{path}.ports[{index}]"
        report.within(f"{here}.containerPort", port.container_port, 1, 65535)
        report.within(f"{here}.hostPort", port.host_port, 0, 65535)
        report.one_of(f"{here}.protocol", port.protocol, ("TCP", "UDP", "SCTP"))
        if port.host_ip and not is_address(port.host_ip):
            report.bad(f"{here}.hostIP", f"{port.host_ip!r} is not an IP address")
        if port.name:
            if not is_port_name(port.name):
                report.bad(
                    f"{here}.name", f"{port.name!r} is not up to 15 lower-case letters, digits and single '-'"
                )
            if port.name in names:
                report.bad(f"{here}.name", f"{port.name!r} is given twice")
            names.add(port.name)


def _host_ports(
    pod: Pod, container: Container, path: str, taken: dict[tuple[str, int, str], str], report: Report
) -> None:
    for index, port in enumerate(container.ports):
        here = f"{path}.ports[{index}]"
        if pod.spec.host_network and port.host_port not in (0, port.container_port):
            report.bad(
                f"{here}.hostPort",
                f"{port.host_port} differs from containerPort, which hostNetwork does not allow",
            )
        if port.host_port <= 0:
            continue
        clash = _clash(port, taken)
        if clash:
            report.bad(f"{here}.hostPort", f"{port.host_port}/{port.protocol} is taken by {clash}")
        taken.setdefault((port.host_ip or "0.0.0.0", port.host_port, port.protocol), here)


def _clash(port: ContainerPort, taken: dict[tuple[str, int, str], str]) -> str:
    address = port.host_ip or "0.0.0.0"
    for (other, number, protocol), where in taken.items():
        if (number, protocol) == (port.host_port, port.protocol) and (
            other == address or "0.0.0.0" in (other, address) or "::" in (other, address)
        ):
            return where
    return ""


# -- resources -----------------------------------------------------------------------------------------------------


def _resources(resources: ResourceRequirements | None, path: str, report: Report) -> None:
    if resources is None:
        return
    if resources.claims:
        report.unsupported(f"{path}.claims")
    values: dict[tuple[str, str], int] = {}
    for kind, given in (("limits", resources.limits), ("requests", resources.requests)):
        for name, text in given.items():
            here = f"{path}.{kind}.{name}"
            try:
                value = quantity.nanos(text)
            except InvalidInput as error:
                report.bad(here, str(error))
                continue
            values[kind, name] = value
            if value < 0:
                report.bad(here, f"{text} is negative")
            elif name == "ephemeral-storage":
                report.no_effect(here, "disk use is not limited")
            elif name not in ("cpu", "memory"):
                report.unsupported(here, "the resources are cpu, memory and ephemeral-storage")
            elif name == "memory" and value % quantity.NANO:
                report.bad(here, f"{text} is not a whole number of bytes")
    for (kind, name), value in values.items():
        limit = values.get(("limits", name))
        if kind == "requests" and limit is not None and value > limit:
            report.bad(
                f"{path}.requests.{name}",
                f"{resources.requests[name]} is more than the limit {resources.limits[name]}",
            )


# -- mounts --------------------------------------------------------------------------------------------------------


def _mounts(pod: Pod, container: Container, path: str, report: Report) -> None:
    volumes = {volume.name for volume in pod.spec.volumes}
    of_host = {volume.name for volume in pod.spec.volumes if volume.host_path is not None}
    targets: set[str] = set()
    for index, mount in enumerate(container.volume_mounts):
        here = f"{path}.volumeMounts[{index}]"
        if mount.name not in volumes:
            report.bad(f"{here}.name", f"no volume is called {mount.name!r}")
        if not mount.mount_path.startswith("/") or ":" in mount.mount_path:
            report.bad(f"{here}.mountPath", f"{mount.mount_path!r} is not an absolute path without ':'")
        elif (place := posixpath.normpath("/" + mount.mount_path.lstrip("/"))) == "/":
            report.bad(f"{here}.mountPath", "may not be /")
        elif place in targets:
            report.bad(f"{here}.mountPath", f"{mount.mount_path!r} is mounted twice")
        elif refused := procmounts.by_name(mount.mount_path, proc=mount.name in of_host):
            report.bad(f"{here}.mountPath", refused)
        else:
            targets.add(place)
        _sub_path(mount, here, report)
        _propagation(container, mount, here, report)


def _sub_path(mount: VolumeMount, here: str, report: Report) -> None:
    if mount.sub_path and mount.sub_path_expr:
        report.bad(f"{here}.subPathExpr", "does not go with subPath")
    for field, value in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
        if value.startswith("/") or ".." in value.split("/"):
            report.bad(f"{here}.{field}", f"{value!r} is not a relative path without '..'")


def _propagation(container: Container, mount: VolumeMount, here: str, report: Report) -> None:
    if mount.mount_propagation:
        report.one_of(
            f"{here}.mountPropagation", mount.mount_propagation, ("None", "HostToContainer", "Bidirectional")
        )
        context = container.security_context
        if mount.mount_propagation == "Bidirectional" and not (context is not None and context.privileged):
            report.bad(f"{here}.mountPropagation", "Bidirectional needs securityContext.privileged: true")
    for index, option in enumerate(mount.bind_mount_options):
        report.one_of(f"{here}.bindMountOptions[{index}]", option, ("noexec", "nodev", "nosuid"))
    if mount.recursive_read_only:
        report.one_of(
            f"{here}.recursiveReadOnly", mount.recursive_read_only, ("Disabled", "IfPossible", "Enabled")
        )
        if mount.recursive_read_only != "Disabled":
            if not mount.read_only:
                report.bad(f"{here}.recursiveReadOnly", "needs readOnly: true")
            if mount.mount_propagation not in ("", "None"):
                report.bad(f"{here}.recursiveReadOnly", "needs mountPropagation: None")


# -- probes and hooks ----------------------------------------------------------------------------------------------


def _probe(probe: Probe, kind: str, path: str, ports: set[str], report: Report) -> None:
    handlers = [h for h in (probe.exec, probe.http_get, probe.tcp_socket, probe.grpc) if h is not None]
    if len(handlers) != 1:
        report.bad(path, "exactly one of exec, httpGet, tcpSocket and grpc is needed")
    if probe.exec is not None and not probe.exec.command:
        report.bad(f"{path}.exec.command", "required field is missing")
    if probe.http_get is not None:
        _http(probe.http_get, f"{path}.httpGet", ports, report)
    if probe.tcp_socket is not None:
        _port_of(probe.tcp_socket.port, f"{path}.tcpSocket.port", ports, report)
    if probe.grpc is not None:
        report.within(f"{path}.grpc.port", probe.grpc.port, 1, 65535)
        if len(probe.grpc.service.encode()) > SERVICE_LIMIT:
            report.unsupported(f"{path}.grpc.service", f"names beyond {SERVICE_LIMIT} bytes")
        if probe.grpc.mode:
            report.unsupported(f"{path}.grpc.mode", "gRPC probes speak plain HTTP/2")
    report.within(f"{path}.initialDelaySeconds", probe.initial_delay_seconds, 0)
    report.within(f"{path}.timeoutSeconds", probe.timeout_seconds, 1)
    report.within(f"{path}.periodSeconds", probe.period_seconds, 1)
    report.within(f"{path}.successThreshold", probe.success_threshold, 1)
    report.within(f"{path}.failureThreshold", probe.failure_threshold, 1)
    if kind != "readinessProbe" and probe.success_threshold > 1:
        report.bad(f"{path}.successThreshold", f"must be 1 for a {kind}")
    if probe.termination_grace_period_seconds is not None:
        if kind == "readinessProbe":
            report.bad(f"{path}.terminationGracePeriodSeconds", "does not go with a readinessProbe")
        report.within(f"{path}.terminationGracePeriodSeconds", probe.termination_grace_period_seconds, 1)


def _http(action: HTTPGetAction, path: str, ports: set[str], report: Report) -> None:
    _port_of(action.port, f"{path}.port", ports, report)
    report.one_of(f"{path}.scheme", action.scheme, ("HTTP", "HTTPS"))
    if action.protocol:
        report.unsupported(f"{path}.protocol", "probes speak HTTP/1.1")
    for index, header in enumerate(action.http_headers):
        name = header.name.replace("-", "a").replace("_", "a")
        if not (name.isascii() and name.isalnum()):
            report.bad(f"{path}.httpHeaders[{index}].name", f"{header.name!r} is not the name of a header")
        if "\n" in header.value or "\r" in header.value:
            report.bad(f"{path}.httpHeaders[{index}].value", "contains a line break")


def _port_of(port: int | str, path: str, ports: set[str], report: Report) -> None:
    if isinstance(port, int):
        report.within(path, port, 1, 65535)
    elif not is_port_name(port):
        report.bad(path, f"{port!r} is neither a port from 1 to 65535 nor the name of one")
    elif port not in ports:
        report.bad(path, f"no port of this container is called {port!r}")


def _lifecycle(container: Container, path: str, plain_init: bool, ports: set[str], report: Report) -> None:
    lifecycle = container.lifecycle
    if lifecycle is None:
        return
    here = f"{path}.lifecycle"
    if plain_init:
        report.bad(here, "an init container that is no sidecar has no lifecycle hooks")
    for name, handler in (("postStart", lifecycle.post_start), ("preStop", lifecycle.pre_stop)):
        if handler is not None:
            _handler(handler, f"{here}.{name}", ports, report)
    if lifecycle.stop_signal:
        from lading.formats import signals

        try:
            signals.number(lifecycle.stop_signal)
        except InvalidInput as error:
            report.bad(f"{here}.stopSignal", error.message)


def _handler(handler: LifecycleHandler, path: str, ports: set[str], report: Report) -> None:
    given = [h for h in (handler.exec, handler.http_get, handler.tcp_socket, handler.sleep) if h is not None]
    if len(given) != 1:
        report.bad(path, "exactly one of exec, httpGet and sleep is needed")
    if handler.exec is not None and not handler.exec.command:
        report.bad(f"{path}.exec.command", "required field is missing")
    if handler.http_get is not None:
        _http(handler.http_get, f"{path}.httpGet", ports, report)
    if handler.tcp_socket is not None:
        report.unsupported(f"{path}.tcpSocket", "Kubernetes does not run it either: use exec or httpGet")
    if handler.sleep is not None:
        report.within(f"{path}.sleep.seconds", handler.sleep.seconds, 0)


# -- rights --------------------------------------------------------------------------------------------------------


def security(context: SecurityContext, path: str, report: Report) -> None:
    """A container's securityContext by itself."""
    report.within(f"{path}.runAsUser", context.run_as_user, 0, _ID_MAX)
    report.within(f"{path}.runAsGroup", context.run_as_group, 0, _ID_MAX)
    if context.se_linux_options is not None:
        report.unsupported(f"{path}.seLinuxOptions", "SELinux labels are not set")
    if context.windows_options is not None:
        report.unsupported(f"{path}.windowsOptions")
    if context.proc_mount not in ("", "Default", "Unmasked"):
        report.bad(f"{path}.procMount", f"{context.proc_mount!r} is not Default or Unmasked")
    profiles(context.seccomp_profile, context.app_armor_profile, path, report)
    if context.capabilities is not None:
        for field, names in (("add", context.capabilities.add), ("drop", context.capabilities.drop)):
            for index, name in enumerate(names):
                if name.upper() != "ALL" and name.upper().removeprefix("CAP_") not in CAPABILITIES:
                    report.bad(f"{path}.capabilities.{field}[{index}]", f"{name!r} is not a capability")


def profiles(seccomp: object, apparmor: object, path: str, report: Report) -> None:
    """seccompProfile and appArmorProfile: their types, and a localhostProfile exactly for Localhost."""
    for field, profile in (("seccompProfile", seccomp), ("appArmorProfile", apparmor)):
        if profile is None:
            continue
        here = f"{path}.{field}"
        kind: str = profile.type  # type: ignore[attr-defined]
        local: str = profile.localhost_profile  # type: ignore[attr-defined]
        if not report.one_of(f"{here}.type", kind, ("RuntimeDefault", "Unconfined", "Localhost")):
            continue
        if kind == "Localhost" and not local:
            report.bad(f"{here}.localhostProfile", "required with type Localhost")
        elif kind != "Localhost" and local:
            report.bad(f"{here}.localhostProfile", f"does not go with type {kind}")
        elif local.startswith("/") or ".." in local.split("/"):
            report.bad(f"{here}.localhostProfile", f"{local[:80]!r} is not a relative path without '..'")
        if field == "appArmorProfile" and kind != "Unconfined":
            report.unsupported(f"{here}.type", "AppArmor profiles are not set: containers run Unconfined")


def _contradictions(pod: Pod, context: SecurityContext, path: str, report: Report) -> None:
    if context.proc_mount == "Unmasked" and pod.spec.host_users is not False:
        report.bad(f"{path}.procMount", "Unmasked needs hostUsers: false, as in Kubernetes")
    if context.allow_privilege_escalation is False:
        if context.privileged:
            report.bad(f"{path}.allowPrivilegeEscalation", "false contradicts privileged: true")
        if context.capabilities is not None and _adds_sys_admin(context.capabilities.add):
            report.bad(f"{path}.allowPrivilegeEscalation", "false contradicts the added capability SYS_ADMIN")
    of_pod = pod.spec.security_context
    user = (
        context.run_as_user if context.run_as_user is not None else (of_pod.run_as_user if of_pod else None)
    )
    non_root = context.run_as_non_root
    if non_root is None and of_pod is not None:
        non_root = of_pod.run_as_non_root
    if non_root and user == 0:
        report.bad(f"{path}.runAsNonRoot", "true contradicts runAsUser: 0")


def _adds_sys_admin(added: Sequence[str]) -> bool:
    return any(name.upper() in ("SYS_ADMIN", "CAP_SYS_ADMIN", "ALL") for name in added)
