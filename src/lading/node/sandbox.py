"""What the containers of one pod share: network, generated files, memory volumes, IPC, UTS and PID namespaces.

Taken when the pod starts, given back when it ends. Everything here is found again by the pod's id.
"""

from __future__ import annotations

import os

from lading.node import etcfiles, memory, podnetwork
from lading.roots import keep_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.network import Attachment
    from lading.node.model import PodRecord
    from lading.node.runner import PodRunner
    from lading.node.running import Running
    from lading.node.spec import Surroundings

FILES = ("hosts", "hostname", "resolv.conf")


def open_pod(runner: PodRunner) -> None:
    """Make the pod's directory, take its network, write its files and mount its memory volumes."""
    record, shop = runner.record, runner.shop
    directory = shop.pod_directory(record.id)
    keep_private(shop.roots.pods)
    os.makedirs(directory, 0o711, exist_ok=True)
    if not podnetwork.alone(record):
        podnetwork.take(runner)
    _write_files(runner, directory)
    if not record.single:
        from lading.node.holder import Holder

        runner.holder = Holder(runner)
        runner.holder.open()
    if record.pod.spec.volumes:
        from lading.node import podvolumes

        podvolumes.own_claims(shop, record)
    if any(c.extras.listen for c in record.pod.spec.init_containers + record.pod.spec.containers):
        from lading.node.listening import Listening

        runner.listening = Listening(runner)
        runner.listening.open()
    if record.pod.spec.extras.companions:
        from lading.node.companions import Companions

        runner.companions = Companions(runner)
        runner.companions.open()


def _write_files(runner: PodRunner, directory: str) -> None:
    name = etcfiles.hostname(runner.record.pod, runner.record.id)
    _write(f"{directory}/hostname", name + "\n")
    for file, text in file_texts(runner.record, runner.attachment).items():
        _write(f"{directory}/{file}", text)


def file_texts(record: PodRecord, attachment: Attachment | None) -> dict[str, str]:
    """The generated files that depend on the network: ``hosts`` and ``resolv.conf``."""
    pod = record.pod
    if attachment.mode == "host" if attachment is not None else not podnetwork.alone(record):
        hosts = _host_file("/etc/hosts") + etcfiles.hosts(pod, []).partition("allrouters\n")[2]
    else:
        entries = [(entry.ip, entry.hostnames) for entry in (attachment.hosts if attachment else ())]
        gateway = ""
        for interface in attachment.interfaces if attachment else ():
            gateway = gateway or (interface.gateways[0] if interface.gateways else "")
        hosts = etcfiles.hosts(pod, entries, gateway)
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    if attachment is not None:
        servers, searches = attachment.nameservers, attachment.searches
        options = attachment.resolver_options
    host = "" if servers else _host_file("/etc/resolv.conf")
    asked = attachment is not None and bool(attachment.upstreams)
    text = etcfiles.resolv_conf(pod, servers, searches, options, host, asked_for_it=asked)
    return {"hosts": hosts, "resolv.conf": text}


def _host_file(path: str) -> str:
    try:
        with open(path) as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def join(runner: PodRunner, running: Running, around: Surroundings) -> None:
    """Say which namespaces the container joins, shares with the host, or gets anew; and its generated files."""
    pod = runner.record.pod
    extras = pod.spec.extras
    shop = runner.shop
    attachment = runner.attachment
    around.files = [name for name in FILES if name not in extras.own_files]
    if attachment is None:
        mode = extras.network_mode
        if mode.startswith("ns:"):
            around.joined["network"] = mode[3:]
        elif not podnetwork.alone(runner.record):
            from lading.node import joining

            pid = joining.other_process(shop, mode.partition(":")[2], "network")
            around.joined["network"] = f"/proc/{pid}/ns/net"
            if runner.record.single:  # a manifest's pod has a hostname and hostAliases of its own
                joining.share_files(shop, mode.partition(":")[2], around)
    elif attachment.mode == "host":
        around.shared.add("network")
    elif attachment.namespace >= 0:
        around.joined["network"] = f"/proc/self/fd/{attachment.namespace}"
    # Else the namespace is new: with loopback alone, or furnished while the container sets itself up.
    for kind, mode, host in (
        ("pid", extras.pid_mode, pod.spec.host_pid),
        ("ipc", extras.ipc_mode, pod.spec.host_ipc),
        ("uts", extras.uts_mode, False),
    ):
        if mode == "host" or host:
            around.shared.add(kind)
        elif mode.startswith("container:"):
            from lading.node import joining

            pid = joining.other_process(shop, mode.partition(":")[2], kind)
            around.joined[kind] = f"/proc/{pid}/ns/{kind}"
            if kind == "ipc":
                around.shm_source = joining.shared_memory(shop, mode.partition(":")[2])
    if memory.is_shared(runner.record):
        around.shm_source = memory.share(shop, runner.record)
    if runner.holder is not None:
        runner.holder.join(around)
        from lading.node import termination

        around.mounts.append(termination.mount(runner, running))


def close_pod(runner: PodRunner) -> None:
    """Give back what :func:`open_pod` took. Never raises: what cannot be given back stays recorded for repair."""
    record, shop = runner.record, runner.shop
    if runner.listening is not None:
        runner.listening.close()
        runner.listening = None
    if runner.holder is not None:
        runner.holder.close()
        runner.holder = None
        from lading.node.releasing import remove_pod_group

        remove_pod_group(shop, record)
    elif memory.is_shared(record):
        memory.unmount_all(shop, record.id)
    attachment = runner.attachment
    if attachment is not None:
        runner.attachment = None
        podnetwork.release(shop, record.id, attachment)
    if runner.users >= 0:
        from lading.node import podusers

        podusers.close(runner)


__all__ = ["FILES", "close_pod", "join", "open_pod"]
