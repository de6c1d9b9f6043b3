"""``--net``, ``--dns``, ``--hosts-entry`` and their like, as a pod's network. Pure: the host's own files are handed in.

Source: Rocket's documentation, "networking/overview" and "networking/dns".
"""

from __future__ import annotations

from lading.errors import Conflict, InvalidInput, NotFound, Unsupported
from lading.formats import resolvconf
from lading.formats.pod import DNSConfig, DNSOption, HostAlias, NetworkRequest
from lading.rocket.rkt.line import words
from lading.rocket.rkt.podoptions import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.network import Networks
    from lading.rocket.rkt.line import Line

FLAGS = ("net", "dns", "dns-search", "dns-opt", "dns-domain", "hosts-entry", "hostname")
_DEFAULT = "bridge"
RESTRICTED = "default-restricted"
"""Rocket's second network: the pod and the host reach each other, and there is no way further."""


def network(line: Line, host_file: Callable[[str], str], every: Callable[[], Sequence[str]]) -> Network:
    """What the line says. ``host_file`` reads ``/etc/resolv.conf`` and ``/etc/hosts``; ``every`` names the networks there are.

    Raises :class:`InvalidInput`, :class:`Unsupported`.
    """
    mode, requests = networks(line.list("net"), every)
    made = Network(mode, requests, hostname=line["hostname"] or "")
    if made.hostname and mode == "host":
        raise InvalidInput("--hostname does not go with --net=host: the pod has the host's name there")
    _dns(line, made, host_file)
    made.aliases = _aliases(line.list("hosts-entry"), host_file)
    return made


def make_restricted(networks: Networks) -> None:
    """Make :data:`RESTRICTED` where there is no network of that name. Raises as :meth:`lading.network.Networks.create`."""
    try:
        networks.get(RESTRICTED)
    except NotFound:
        try:
            networks.create(RESTRICTED, internal=True)
        except Conflict:
            networks.get(RESTRICTED)  # somebody else was first


def networks(texts: Sequence[str], every: Callable[[], Sequence[str]]) -> tuple[str, list[NetworkRequest]]:
    """Mode and requests of ``--net`` values: ``NAME[:KEY=VALUE;…],…``. Raises :class:`InvalidInput`, :class:`Unsupported`."""
    made: list[NetworkRequest] = []
    given = words(texts)
    for text in given:
        name, _, arguments = text.partition(":")
        if name in ("host", "none", "all"):
            if len(given) > 1:
                raise InvalidInput(f"--net={name} does not go with further networks")
            if arguments:
                raise InvalidInput(f"--net={text}: there is nothing to say about {name}")
            if name == "all":
                return "", [NetworkRequest(name=one) for one in dict.fromkeys((_DEFAULT, *every()))]
            return name, []
        request = _request(_DEFAULT if name == "default" else name, arguments, text)
        if any(request.name == other.name for other in made):
            raise InvalidInput(f"--net: the network {name} is given twice")
        made.append(request)
    if len(made) == 1 and made[0] == NetworkRequest(name=_DEFAULT):
        return "", []
    return "", made


def _request(name: str, arguments: str, text: str) -> NetworkRequest:
    if not name:
        raise InvalidInput(f"--net={text}: the network has no name")
    request = NetworkRequest(name=name)
    for argument in filter(None, arguments.split(";")):
        key, equals, value = argument.partition("=")
        if key != "IP":
            raise Unsupported(f"--net={text}: the argument {key[:40]!r}", hint="known is IP=ADDRESS")
        if not equals or not _is_address(value):
            raise InvalidInput(f"--net={text}: {value[:60]!r} is not an IP address")
        if ":" in value:
            request.ipv6 = value
        else:
            request.ipv4 = value
    return request


def _is_address(text: str) -> bool:
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _dns(line: Line, made: Network, host_file: Callable[[str], str]) -> None:
    servers, searches = words(line.list("dns")), words(line.list("dns-search"))
    options = words(line.list("dns-opt"))
    domain = line["dns-domain"] or ""
    if domain:
        searches = searches or [domain]  # the older word for a list of one (resolv.conf(5))
    for magic in ("host", "none"):
        if magic in servers and (len(servers) > 1 or searches or options):
            raise InvalidInput(f"--dns={magic} does not go with other --dns flags")
    if servers == ["none"]:
        made.own_dns = True
        return
    if servers == ["host"]:
        servers, searches, options = resolvconf.parse(host_file("/etc/resolv.conf"))
        if not servers:
            raise InvalidInput("--dns=host: the host's /etc/resolv.conf names no server")
    for server in servers:
        if not _is_address(server):
            raise InvalidInput(f"--dns={server[:60]}: it is no IP address, and neither host nor none")
    if servers or searches or options:
        parts = [option.partition(":") for option in options]
        named = [DNSOption(name=name, value=value if mark else None) for name, mark, value in parts]
        made.dns = DNSConfig(nameservers=list(servers), searches=list(searches), options=named)
        made.dns_only = bool(servers)


def _aliases(texts: Sequence[str], host_file: Callable[[str], str]) -> list[HostAlias]:
    entries = words(texts)
    if "host" in entries:
        if len(entries) > 1:
            raise InvalidInput("--hosts-entry=host does not go with other entries")
        return _of_host(host_file("/etc/hosts"))
    made: dict[str, list[str]] = {}
    for entry in entries:
        address, equals, name = entry.partition("=")
        if not equals or not name or not _is_address(address):
            raise InvalidInput(f"--hosts-entry={entry[:80]} is not IP=NAME", hint="for example 10.2.1.42=db")
        made.setdefault(address, []).append(name)
    return [HostAlias(ip=address, hostnames=names) for address, names in made.items()]


def _of_host(text: str) -> list[HostAlias]:
    """The host's entries, but those of itself: the pod's loopback has names already."""
    made = []
    for line in text.splitlines():
        fields = line.partition("#")[0].split()
        if (
            len(fields) > 1
            and _is_address(fields[0])
            and not fields[0].startswith(("127.", "::1", "fe0", "ff0"))
        ):
            made.append(HostAlias(ip=fields[0], hostnames=fields[1:]))
    return made
