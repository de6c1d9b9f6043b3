"""A pod's network, from its request to its release.

An ordinary pod of one container gets its namespace with the container's first process, and the interfaces in it while that
process mounts and drops rights: what takes two milliseconds then takes none (docs/decisions/0008). Only what it is called
and where it is reached is decided, and recorded, before. Everything else is made before the first container.
"""

from __future__ import annotations

import os

from lading.errors import KernelError, LadingError
from lading.node import etcfiles
from lading.node.model import NetworkRecord, PortRecord
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from lading.network import Attachment, AttachRequest
    from lading.node.model import PodRecord
    from lading.node.runner import PodRunner
    from lading.node.shop import Shop

    T = TypeVar("T")


def take(runner: PodRunner) -> None:
    """Attach the pod, or decide what :func:`furnish` will attach. Raises what the network raises; nothing is left then."""
    record, networks = runner.record, runner.shop.networks
    request = request_of(record)
    if request is None:
        return
    networks.release(record.id)  # left by a keeper that was killed
    if request.mode:
        request.namespace = _of_own_users(runner)
        runner.attachment = _or_close(request.namespace, lambda: networks.attach(request))
        return
    reserved = networks.reserve(request)
    later = reserved.can_wait and len(record.containers) == 1 and not request.sysctls
    if later and not (record.pod.spec.extras.runtime or _is_listened_in(record)):
        runner.reserved = reserved
    else:
        namespace = _of_own_users(runner)
        _or_close(namespace, lambda: networks.furnish(reserved, namespace))
    runner.attachment = reserved.attachment
    note_network(record, reserved.attachment)
    runner.unsaved.add("network")  # the network's own records have it; a start writes it into ours


def _of_own_users(runner: PodRunner) -> int:
    """A new network namespace that belongs to the pod's own users; -1 for a pod with the host's."""
    if runner.record.pod.spec.host_users is not False:
        return -1
    from lading.node import podusers

    return podusers.spaces(runner, ("net",))["net"]


def _or_close(namespace: int, act: Callable[[], T]) -> T:
    try:
        return act()
    except BaseException:
        if namespace >= 0:
            os.close(namespace)
        raise


def furnish(runner: PodRunner, pid: int) -> None:
    """Make what was reserved, in the network namespace of ``pid``: a child of this process that waits for it.

    The attachment keeps the namespace open from here on. Raises what the network raises; nothing is left then.
    """
    reserved, runner.reserved = runner.reserved, None
    if reserved is None:
        return
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"open the network namespace of process {pid}", error.errno or 0) from None
    try:
        runner.shop.networks.furnish(reserved, namespace)
    except BaseException:
        os.close(namespace)
        raise


def attachment_of(runner: PodRunner) -> Attachment | None:
    """What the running pod is attached by; of one that is :func:`alone`, an attachment of nothing around its namespace.

    None where the namespace is somebody else's.
    """
    if runner.attachment is not None or request_of(runner.record) is None:
        return runner.attachment
    from lading.network import Attachment

    for running in runner.running.values():
        made = running.record
        if alive(made.pid, made.pid_start):
            namespace = os.open(f"/proc/{made.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            runner.attachment = Attachment(id=runner.record.id, mode="none", namespace=namespace)
            break
    return runner.attachment


def alone(record: PodRecord) -> bool:
    """Whether the pod is one container with nothing but loopback: its own new namespace, which its first process sets up.

    Nothing is attached then, so nothing has to be recorded or given back. A manifest's pod keeps its network when a container
    of it starts again, so its one must not.
    """
    spec = record.pod.spec
    extras = spec.extras
    if spec.host_network or extras.network_mode != "none" or extras.networks:
        return False
    if not record.single and (len(record.containers) > 1 or spec.restart_policy != "Never"):
        return False
    if extras.runtime:
        return False  # what a foreign runtime does about loopback is its own affair
    return not _sysctls(record) and not _ports(record) and not _is_listened_in(record)


def _is_listened_in(record: PodRecord) -> bool:
    """Whether the keeper makes sockets in the network, which has to be there before the first container then."""
    spec = record.pod.spec
    if spec.extras.companions:
        return True
    return any(container.extras.listen for container in spec.init_containers + spec.containers)


def _ports(record: PodRecord) -> bool:
    spec = record.pod.spec
    return any(
        port.host_port or spec.extras.publish_all for container in spec.containers for port in container.ports
    )


def _sysctls(record: PodRecord) -> dict[str, str]:
    """Those of the network, which are set before there are interfaces: these take over what they say."""
    spec = record.pod.spec
    if spec.security_context is None:
        return {}
    return {s.name: s.value for s in spec.security_context.sysctls if s.name.startswith("net.")}


def request_of(record: PodRecord) -> AttachRequest | None:
    """What the pod asks of the network; None when it uses somebody else's namespace."""
    pod = record.pod
    extras = pod.spec.extras
    mode = "host" if pod.spec.host_network else extras.network_mode
    if mode.startswith(("container:", "ns:")):
        return None
    from lading.network import AttachRequest, PortMapping

    ports = []
    if mode == "disconnected":
        mode = "none"  # it was taken off its last network; its ports wait for the next
    elif mode != "host":
        for container in pod.spec.containers + pod.spec.init_containers:
            for port in container.ports:
                if port.host_port == 0 and not extras.publish_all:
                    continue
                ports.append(
                    PortMapping(
                        container_port=port.container_port,
                        host_port=max(0, port.host_port),
                        host_ip=port.host_ip,
                        protocol=port.protocol.lower(),
                    )
                )
    return AttachRequest(
        id=record.id,
        name=record.name,
        hostname=etcfiles.hostname(pod, record.id),
        networks=extras.networks,
        mode=mode,
        ports=ports,
        upstreams=pod.spec.dns_config.nameservers if extras.container and pod.spec.dns_config else [],
        sysctls=_sysctls(record),
    )


def release(shop: Shop, pod_id: str, attachment: Attachment) -> None:
    """Detach, and close the descriptors that kept the namespace and its ports."""
    if attachment.namespace >= 0:
        os.close(attachment.namespace)
        attachment.namespace = -1
    try:
        if attachment.interfaces:
            shop.networks.detach(pod_id)
    except LadingError:
        pass
    for fd in attachment.reserved:
        os.close(fd)
    attachment.reserved = []


def note_network(record: PodRecord, attachment: Attachment) -> None:
    """Copy what the network gave into the pod's record."""
    record.networks = []
    for interface in attachment.interfaces:
        made = NetworkRecord(name=interface.network, interface=interface.name, mac=interface.mac)
        for address, gateway in zip(interface.addresses, [*interface.gateways, "", ""], strict=False):
            plain, _, length = address.partition("/")
            if ":" in plain:
                made.ipv6, made.ipv6_prefix, made.gateway6 = plain, int(length or 128), gateway
            else:
                made.ipv4, made.ipv4_prefix, made.gateway4 = plain, int(length or 32), gateway
        record.networks.append(made)
    record.ports = [
        PortRecord(port=p.container_port, protocol=p.protocol, host_ip=p.host_ip, host_port=p.host_port)
        for p in attachment.ports
    ]
