"""Docker's network flags to a Pod: networks, published ports, names. Pure; see :mod:`lading.cli.translate`."""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.formats.pod import (
    ContainerPort,
    DNSConfig,
    DNSOption,
    HostAlias,
    NetworkRequest,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lading.cli.translate import Surroundings
    from lading.formats.pod import Container, PodSpec


ANY_PORT = -1
"""``hostPort`` of a port that the network may choose: no manifest can say it, Docker's ``-p 80`` does."""


def network(options: Mapping[str, Any], spec: PodSpec, container: Container, around: Surroundings) -> None:
    """Networks, names, name servers and published ports into the pod."""
    mode, networks = _networks(options)
    spec.extras.network_mode = mode
    spec.extras.networks = networks
    if mode == "host":
        spec.host_network = True
    spec.extras.publish_all = options["publish-all"]
    if (options["publish"] or options["publish-all"]) and mode.startswith("container:"):
        raise InvalidInput(
            f"--publish does not go with --network {mode}",
            hint="publish on the container that owns the network",
        )
    if (options["publish"] or options["publish-all"]) and mode in ("host", "none"):
        why = "the container's ports are the host's own there" if mode == "host" else "nothing leads there"
        raise InvalidInput(f"--publish does not go with --network {mode}: {why}")
    if options["hostname"] and mode.startswith("container:"):
        raise InvalidInput(
            f"--hostname does not go with --network {mode}", hint="it has the name of the container it joins"
        )
    _ports(options, container, around)
    _names(options, spec, mode)


def _networks(options: Mapping[str, Any]) -> tuple[str, list[NetworkRequest]]:
    texts = options["network"]
    if len(texts) == 1:
        mode = texts[0]
        kind, colon, rest = mode.partition(":")
        if mode in ("none", "host") or (kind in ("container", "ns") and colon):
            if colon and not rest:
                raise InvalidInput(f"--network {mode!r}: nothing follows {kind}:")
            for flag in ("network-alias", "ip", "ip6", "mac-address"):
                if options[flag]:
                    raise InvalidInput(f"--{flag} does not go with --network {mode}")
            return mode, []
    requests: list[NetworkRequest] = []
    for text in texts:
        request = _request(text)
        if request.name in ("none", "host") or request.name.partition(":")[0] in ("container", "ns"):
            raise InvalidInput(f"--network {request.name} does not go with further networks")
        if any(request.name == r.name for r in requests):
            raise InvalidInput(f"--network {request.name} is given twice")
        requests.append(request)
    own = options["network-alias"] or options["ip"] or options["ip6"] or options["mac-address"]
    if own:
        if not requests:
            requests.append(NetworkRequest(name="bridge"))
        first = requests[0]
        first.aliases = [*first.aliases, *(_word(a, "--network-alias") for a in options["network-alias"])]
        first.ipv4 = first.ipv4 or _address(options["ip"], "--ip", 4)
        first.ipv6 = first.ipv6 or _address(options["ip6"], "--ip6", 6)
        first.mac = first.mac or _mac(options["mac-address"])
    for request in requests:
        if request.aliases and request.name in ("bridge", "default", "lading"):
            raise InvalidInput(
                "--network-alias needs a network of your own: names are not resolved on the default bridge"
            )
        if request.name == "default":
            request.name = "bridge"
    if len(requests) == 1 and requests[0] == NetworkRequest(name="bridge"):
        return "", []
    return "", requests


def network_requests(texts: Sequence[str]) -> tuple[str, list[NetworkRequest]]:
    """``(network_mode, networks)`` of ``--network`` values alone. Raises :class:`InvalidInput`."""
    return _networks({"network": texts, "network-alias": [], "ip": "", "ip6": "", "mac-address": ""})


def connection(name: str, options: Mapping[str, Any]) -> NetworkRequest:
    """The request of ``network connect``."""
    return NetworkRequest(
        name=name,
        aliases=[_word(alias, "--alias") for alias in options["alias"]],
        ipv4=_address(options["ip"], "--ip", 4),
        ipv6=_address(options["ip6"], "--ip6", 6),
        mac=_mac(options["mac-address"]),
        gateway_priority=_priority(options["gw-priority"]),
    )


def _priority(text: str) -> int:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if text and not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise InvalidInput(f"gw-priority {text!r} is not a whole number")
    return int(text or "0")


def _request(text: str) -> NetworkRequest:
    """``NAME``, or Docker's ``name=NAME,alias=A,ip=…,ip6=…,mac-address=…,gw-priority=…``."""
    if "=" not in text:
        if not text:
            raise InvalidInput("--network is empty")
        return NetworkRequest(name=text)
    from lading.formats.mountspec import csv

    request = NetworkRequest(name="")
    for field in csv(text):
        key, _, value = field.partition("=")
        if key == "name":
            request.name = value
        elif key == "alias":
            request.aliases = [*request.aliases, _word(value, "--network alias")]
        elif key == "ip":
            request.ipv4 = _address(value, "--network ip", 4)
        elif key == "ip6":
            request.ipv6 = _address(value, "--network ip6", 6)
        elif key == "mac-address":
            request.mac = _mac(value)
        elif key == "gw-priority":
            request.gateway_priority = _priority(value)
        elif key in ("driver-opt", "link-local-ip"):
            raise Unsupported(f"--network {text!r}: {key} is not supported")
        else:
            raise InvalidInput(f"--network {text!r}: field {key!r} is unknown")
    if not request.name:
        raise InvalidInput(f"--network {text!r}: name is missing")
    return request


def _word(text: str, flag: str) -> str:
    """``text``, which becomes a word of ``/etc/hosts`` or ``/etc/resolv.conf``. Raises :class:`InvalidInput`."""
    if not text.isprintable() or len(text.split()) != 1 or " " in text:
        raise InvalidInput(f"{flag} {text[:80]!r} is not one word")
    return text


def _address(text: str, flag: str, family: int) -> str:
    if not text:
        return ""
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET if family == 4 else _socket.AF_INET6, text)
    except (OSError, ValueError):
        raise InvalidInput(f"{flag} {text!r} is not an IPv{family} address") from None
    return text


def _mac(text: str) -> str:
    if not text:
        return ""
    parts = text.lower().replace("-", ":").split(":")
    if len(parts) != 6 or not all(len(p) == 2 and set(p) <= set("0123456789abcdef") for p in parts):
        raise InvalidInput(f"--mac-address {text!r} is not six bytes in hex", hint="write 92:d0:c6:0a:29:33")
    if int(parts[0], 16) & 1:
        raise InvalidInput(f"--mac-address {text!r} is a multicast address")
    return ":".join(parts)


def _ports(options: Mapping[str, Any], container: Container, around: Surroundings) -> None:
    if not (options["publish"] or options["expose"]):
        return
    from lading.formats import ports

    made: list[ContainerPort] = []
    taken: dict[tuple[str, int, str], str] = {}
    for text in options["publish"]:
        for one in ports.publish(text):
            host_port = one.host_port or ANY_PORT
            if one.host_end:
                host_port = around.free_port(one.protocol, one.host_ip, one.host_port, one.host_end)
            if host_port != ANY_PORT:
                key = (one.host_ip, host_port, one.protocol)
                if key in taken and taken[key] != text:
                    raise InvalidInput(
                        f"--publish {text}: port {host_port} of the host is published by {taken[key]} already"
                    )
                taken[key] = text
            made.append(
                ContainerPort(
                    container_port=one.port,
                    host_port=host_port,
                    host_ip=one.host_ip,
                    protocol=one.protocol.upper(),
                )
            )
    for text in options["expose"]:
        for number, protocol in ports.exposed(text):
            if not any(p.container_port == number and p.protocol == protocol.upper() for p in made):
                made.append(ContainerPort(container_port=number, protocol=protocol.upper()))
    container.ports = made


def host(text: str) -> tuple[str, str]:
    """The name and the address (or ``host-gateway``) of an ``--add-host``. Raises :class:`InvalidInput`."""
    name, mark, address = text.partition("=")
    if not mark:
        name, mark, address = text.partition(":")
    address = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not name or not address:
        raise InvalidInput(f"--add-host {text!r} is not NAME:ADDRESS")
    _word(name, "--add-host")
    if address != "host-gateway":
        _address(address, f"--add-host {name}", 6 if ":" in address else 4)
    return name, address


def _names(options: Mapping[str, Any], spec: PodSpec, mode: str) -> None:
    hosts = options["add-host"]
    if hosts and mode.startswith("container:"):
        raise InvalidInput(f"--add-host does not go with --network {mode}")
    for text in hosts:
        name, address = host(text)
        spec.host_aliases.append(HostAlias(ip=address, hostnames=[name]))
    if options["dns"] or options["dns-search"] or options["dns-option"]:
        if mode.startswith("container:"):
            raise InvalidInput(f"--dns does not go with --network {mode}")
        for server in options["dns"]:
            _address(_word(server, "--dns"), "--dns", 6 if ":" in server else 4)
        for domain in options["dns-search"]:
            _word(domain, "--dns-search")
        made = []
        for option in options["dns-option"]:
            name, mark, value = _word(option, "--dns-option").partition(":")
            made.append(DNSOption(name=name, value=value if mark else None))
        spec.dns_config = DNSConfig(nameservers=options["dns"], searches=options["dns-search"], options=made)
