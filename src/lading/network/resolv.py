"""Whom a pod asks for names: our resolver, or the servers that the host's resolv.conf(5) says."""

from __future__ import annotations

from lading.formats.resolvconf import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lading.network.model import Attachment, Network

_HOST = "/etc/resolv.conf"
_BEHIND_STUB = "/run/systemd/resolve/resolv.conf"


def loopback(server: str) -> bool:
    """Whether a name server's address means the host itself, which a container cannot reach by it."""
    return server.startswith("127.") or server == "::1"


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""


def of_host(path: str = _HOST) -> dict[str, Any]:
    """The host's resolver settings unchanged, as fields of an :class:`Attachment`."""
    servers, searches, options = parse(_read(path))
    return {"nameservers": servers, "searches": searches, "resolver_options": options}


def upstream(path: str = _HOST, behind: str = _BEHIND_STUB) -> list[str]:
    """The host's name servers that are not loopback; systemd-resolved's own ones where only its stub is named."""
    servers = [s for s in parse(_read(path))[0] if not loopback(s)]
    return servers or [s for s in parse(_read(behind))[0] if not loopback(s)]


def fill(attachment: Attachment, networks: Sequence[Network], upstreams: Sequence[str] = ()) -> None:
    """Set an attachment's name servers: our resolver on the gateways of a network with names, else the host's.

    A macvlan's gateway is somebody else's machine. Where the host only has a loopback resolver, ours passes questions on to
    it. It asks ``upstreams`` for a pod that names them, so that containers' names still resolve; not those on loopback,
    which is the pod's own.
    """
    _servers, attachment.searches, attachment.resolver_options = parse(_read(_HOST))
    ours = [g for n in networks if n.names and n.driver == "bridge" for g in n.gateways]
    attachment.upstreams = list(upstreams) if ours and not any(map(loopback, upstreams)) else []
    if not ours and any(n.driver == "user" for n in networks):
        from lading.network.rootless import RESOLVER

        ours = [RESOLVER]
    attachment.nameservers = (
        ours[:3]
        or upstream()
        or [g for n in networks if n.driver == "bridge" and not n.internal for g in n.gateways][:3]
    )


def needs_resolver(attachment: Attachment, networks: Sequence[Network]) -> bool:
    """Whether one of the attachment's name servers is ours, or a port of it is relayed by the same process."""
    served = any(g in attachment.nameservers for n in networks if n.driver == "bridge" for g in n.gateways)
    return served or any(p.relayed for p in attachment.ports)
