"""The machine as a pod sees it: its address and size, an init program, and how far down an OOM score may go."""

from __future__ import annotations

import os

from lading.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container, Pod
    from lading.node.spec import Surroundings


def tell(around: Surroundings, pod: Pod, container: Container) -> None:
    """What the downward API can say of the machine, when anything asks for it."""
    if not pod.spec.volumes and all(variable.value_from is None for variable in container.env):
        return
    around.facts.host_ip = host_address()
    if pod.spec.host_network:
        around.facts.pod_ips = [around.facts.host_ip]
    around.facts.node = os.uname().nodename
    around.facts.cpus = os.cpu_count() or 1
    around.facts.memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def host_address() -> str:
    """The address this machine reaches others from; the loopback's when it reaches nobody.

    Connecting a datagram socket sends nothing: the kernel only chooses the route (RFC 5737 names the address).
    """
    import _socket

    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(("192.0.2.1", 9))
        return str(sock.getsockname()[0])
    except OSError:
        return "127.0.0.1"
    finally:
        sock.close()


def oom_score_adj(pod: Pod, container: Container, *, powerful: bool) -> int:
    """What the pod's class of service says, as far down as we may go: below our own needs CAP_SYS_RESOURCE (proc(5))."""
    from lading.node import qos

    wanted = qos.oom_score_adj(pod, container, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with open("/proc/self/oom_score_adj") as stream:
        ours = int(stream.read(32))
    if wanted >= ours or (powerful and _may_raise_limits()):
        return wanted
    return ours


def _may_raise_limits() -> bool:
    with open("/proc/self/status") as stream:
        for line in stream:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> 24 & 1)
    return False


def find_init() -> str:
    """A static init program of the host to be pid 1 with ``--init``. Raises :class:`Unsupported` when there is none."""
    for name in ("catatonit", "tini-static", "docker-init", "tini"):
        for directory in ("/usr/libexec/podman", "/usr/bin", "/usr/local/bin", "/sbin"):
            path = f"{directory}/{name}"
            if os.access(path, os.X_OK) and _is_static(path):
                return path
    raise Unsupported(
        "--init needs a static init program and this machine has none",
        hint="install catatonit or tini (Debian: apt install catatonit)",
    )


def _is_static(path: str) -> bool:
    """Whether an ELF program needs no interpreter, so that it runs in any image (elf(5), PT_INTERP)."""
    with open(path, "rb") as stream:
        head = stream.read(4096)
    if head[:5] != b"\x7fELF\x02":
        return False
    offset = int.from_bytes(head[32:40], "little")
    size, count = int.from_bytes(head[54:56], "little"), int.from_bytes(head[56:58], "little")
    return all(
        int.from_bytes(head[offset + n * size : offset + n * size + 4], "little") != 3 for n in range(count)
    )
