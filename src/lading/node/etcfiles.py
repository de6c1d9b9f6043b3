"""``/etc/hosts``, ``/etc/hostname`` and ``/etc/resolv.conf`` of a pod, as text. Pure.

Sources: hosts(5), resolv.conf(5); kubernetes.io "DNS for Services and Pods" and "Adding entries to Pod /etc/hosts".
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import resolvconf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lading.formats.pod import Pod

_LOCAL = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)
_NAMESERVERS, _SEARCHES = 3, 32


def hostname(pod: Pod, pod_id: str) -> str:
    """What the pod calls itself: asked for, else a container's short id, else the pod's name."""
    extras = pod.spec.containers[0].extras
    if pod.spec.host_network and not pod.spec.extras.container:
        import os

        return os.uname().nodename  # its UTS namespace is the host's, whatever the manifest says
    if pod.spec.hostname_override:
        return pod.spec.hostname_override
    if extras.hostname or pod.spec.hostname:
        return extras.hostname or pod.spec.hostname
    if pod.spec.extras.container:
        return pod_id[:12]
    return pod.metadata.name[:63].rstrip("-.") or pod_id[:12]


def hosts(pod: Pod, entries: Iterable[tuple[str, Sequence[str]]], gateway: str = "") -> str:
    """The hosts file: local names, ``entries`` of the network, then the Pod's hostAliases.

    The alias address ``host-gateway`` means ``gateway``. Raises :class:`InvalidInput` when there is none.
    """
    lines = [_LOCAL]
    for address, names in entries:
        lines.append(f"{address}\t{' '.join(names)}\n")
    for alias in pod.spec.host_aliases:
        address = alias.ip
        if address == "host-gateway":
            if not gateway:
                raise InvalidInput("host-gateway: this pod's network has no gateway")
            address = gateway
        lines.append(f"{address}\t{' '.join(alias.hostnames)}\n")
    return "".join(lines)


def resolv_conf(
    pod: Pod,
    nameservers: Sequence[str],
    searches: Sequence[str],
    options: Sequence[str],
    host_text: str = "",
    *,
    asked_for_it: bool = False,
) -> str:
    """The resolver's file: what the network or the host says, then ``dnsPolicy`` and ``dnsConfig``.

    ``asked_for_it``: the network's name server asks those of ``--dns`` for the pod, and stays the one that the pod asks.
    """
    policy = pod.spec.dns_policy
    config = pod.spec.dns_config
    if policy == "None":
        servers, domains, words = [], [], []
    elif nameservers:
        servers, domains, words = list(nameservers), list(searches), list(options)
    else:
        servers, domains, words = resolvconf.parse(host_text)
    if config is not None:
        # Docker's flags replace, Kubernetes' dnsConfig adds.
        replace = pod.spec.extras.container
        if config.nameservers and not asked_for_it:
            servers = list(config.nameservers) if replace else [*servers, *config.nameservers]
        if config.searches:
            domains = list(config.searches) if replace else [*domains, *config.searches]
        added = [item.name + (f":{item.value}" if item.value else "") for item in config.options]
        if added:
            words = added if replace else _by_name([*words, *added])
    lines = []
    wanted = [name for name in _once(domains) if name != "."][:_SEARCHES]
    if wanted:
        lines.append("search " + " ".join(wanted))
    lines += [f"nameserver {server}" for server in _once(servers)[:_NAMESERVERS]]
    if words:
        lines.append("options " + " ".join(_once(words)))
    return "\n".join(lines) + "\n" if lines else ""


def _by_name(options: Sequence[str]) -> list[str]:
    """Each option once, with what was said of it last: a Pod's over those of its policy."""
    return list({option.partition(":")[0]: option for option in options}.values())


def _once(items: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(items))
