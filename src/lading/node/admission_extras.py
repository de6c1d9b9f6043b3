"""Admission of what goes beyond Kubernetes: the fields of ``x-lading`` that say more than a flag of Docker's.

Every face's pods are checked here, whoever filled the fields.
"""

from __future__ import annotations

from lading.node.admission_report import Report, is_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container, Pod
    from lading.formats.podextras import BlockLimit, Companion


#: The kernel keeps operations in 32 bits, and of a larger number only the lower ones.
_BYTES_MAX, _OPERATIONS_MAX = 2**63 - 1, 2**32 - 1


def check(pod: Pod, report: Report) -> None:
    """The extras of the pod and of its containers."""
    spec = pod.spec
    for field, listed in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for index, container in enumerate(listed):
            _container(pod, container, f"spec.{field}[{index}].x-lading", report)
    _listen(pod, report)
    for index, name in enumerate(spec.extras.own_files):
        report.one_of(f"spec.x-lading.ownFiles[{index}]", name, ("hosts", "hostname", "resolv.conf"))
    names: set[str] = set()
    for index, companion in enumerate(spec.extras.companions):
        path = f"spec.x-lading.companions[{index}]"
        if report.label(f"{path}.name", companion.name) and companion.name in names:
            report.bad(f"{path}.name", f"{companion.name!r} is given twice")
        names.add(companion.name)
        _companion(companion, path, report)


def _listen(pod: Pod, report: Report) -> None:
    spec = pod.spec
    taken: set[tuple[str, int, str]] = set()
    for field, listed in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for number, container in enumerate(listed):
            path = f"spec.{field}[{number}].x-lading.listen"
            extras = container.extras
            if extras.listen and extras.init:
                report.bad(path, "does not go with x-lading.init: LISTEN_PID would name the init")
            if extras.listen and spec.extras.runtime:
                report.unsupported(path, "a foreign runtime is handed no sockets")
            for index, wanted in enumerate(extras.listen):
                here = f"{path}[{index}]"
                report.within(f"{here}.port", wanted.port, 1, 65535)
                report.within(f"{here}.hostPort", wanted.host_port, 0, 65535)
                report.one_of(f"{here}.protocol", wanted.protocol, ("TCP", "UDP"))
                if not is_address(wanted.address):
                    report.bad(f"{here}.address", f"{wanted.address[:80]!r} is not an IP address")
                if not (wanted.name.isascii() and (wanted.name + "a").isprintable()) or ":" in wanted.name:
                    report.bad(f"{here}.name", f"{wanted.name[:80]!r} is not printable ASCII without ':'")
                place = (wanted.protocol, wanted.port, wanted.address)
                if place in taken:
                    report.bad(here, f"port {wanted.port} of {wanted.address} is given twice")
                taken.add(place)


def _companion(companion: Companion, path: str, report: Report) -> None:
    if not companion.command or not companion.command[0].startswith("/"):
        report.bad(f"{path}.command[0]", "the program has to be an absolute path")
    address, _, port = companion.listen.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if address not in ("127.0.0.1", "::1") or not 0 <= number <= 65535:
        report.bad(f"{path}.listen", f"{companion.listen[:80]!r} is not 127.0.0.1:PORT or ::1:PORT")
    for name in companion.env:
        if not name or not name.isascii() or not name.isprintable() or "=" in name:
            report.bad(f"{path}.env", f"{name[:80]!r} is not printable ASCII without '='")


def _container(pod: Pod, container: Container, path: str, report: Report) -> None:
    extras = container.extras
    if extras.system_calls is not None:
        _system_calls(pod, container, f"{path}.systemCalls", report)
    for field, words in (("preStart", extras.pre_start), ("postStop", extras.post_stop)):
        if words and not words[0]:
            report.bad(f"{path}.{field}[0]", "the command is empty")
    for index, name in enumerate(extras.discard):
        report.one_of(f"{path}.discard[{index}]", name, ("stdout", "stderr"))
    if extras.discard and container.tty:
        report.bad(f"{path}.discard", "does not go with tty: a terminal is both streams")
    _block_limits(extras.block_bandwidth, f"{path}.blockBandwidth", _BYTES_MAX, report)
    _block_limits(extras.block_operations, f"{path}.blockOperations", _OPERATIONS_MAX, report)


def _block_limits(limits: list[BlockLimit], path: str, most: int, report: Report) -> None:
    devices: set[str] = set()
    for index, limit in enumerate(limits):
        here = f"{path}[{index}]"
        if limit.device and (not limit.device.startswith("/") or ".." in limit.device.split("/")):
            report.bad(f"{here}.device", f"{limit.device[:80]!r} is not an absolute path without '..'")
        if limit.device in devices:
            report.bad(f"{here}.device", f"{limit.device[:80]!r} is given twice")
        devices.add(limit.device)
        if limit.read is None and limit.write is None:
            report.bad(here, "neither read nor write is given")
        report.within(f"{here}.read", limit.read, 1, most)
        report.within(f"{here}.write", limit.write, 1, most)


def _system_calls(pod: Pod, container: Container, path: str, report: Report) -> None:
    from lading.node import callsets, systemcalls

    wanted = container.extras.system_calls
    assert wanted is not None
    known = report.one_of(f"{path}.mode", wanted.mode, (systemcalls.RETAIN, systemcalls.REMOVE))
    if wanted.errno and systemcalls.errno_of(wanted.errno) is None:
        report.bad(f"{path}.errno", f"{wanted.errno[:80]!r} is not the name of an error, as EPERM is")
    if container.extras.seccomp:
        report.bad(path, "does not go with x-lading.seccomp")
    own, shared = container.security_context, pod.spec.security_context
    if own is not None and own.privileged:
        report.bad(path, "does not go with securityContext.privileged, which has no filter")
    if any(context is not None and context.seccomp_profile is not None for context in (own, shared)):
        report.bad(path, "does not go with securityContext.seccompProfile")
    for index, name in enumerate(wanted.sets):
        report.one_of(f"{path}.sets[{index}]", name, callsets.NAMES)
    missing = set(systemcalls.unknown(name for name in wanted.names if name.isascii()))
    for index, name in enumerate(wanted.names):
        if not name or not name.isascii():
            report.bad(f"{path}.names[{index}]", f"{name[:80]!r} is not the name of a system call")
        elif name in missing:
            report.no_effect(f"{path}.names[{index}]", f"this machine knows no system call {name[:80]!r}")
        elif known and wanted.mode == systemcalls.REMOVE and name in systemcalls.SETUP:
            report.unsupported(
                f"{path}.names[{index}]", f"without {name} no container's command can be started"
            )
