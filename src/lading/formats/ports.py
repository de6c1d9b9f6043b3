"""Published ports as ``-p`` takes them: ``[[HOST_IP:][HOST_PORT[-END]]:]PORT[-END][/PROTOCOL]``.

Source: Docker's documentation of ``--publish``. An IPv6 host address may stand in brackets.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.schema import Record

PROTOCOLS = ("tcp", "udp", "sctp")


class Published(Record):
    """One container port on the host.

    ``host_port`` 0 is any free port; ``host_end`` above it makes a range of which the first free port is taken.
    """

    port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_end: int = 0


def publish(text: str) -> list[Published]:
    """The mappings that one ``-p`` value asks for, a range spread out. Raises :class:`InvalidInput`."""
    body, slash, protocol = text.partition("/")
    protocol = _protocol(protocol, text) if slash else "tcp"
    host_ip = ""
    if body.startswith("["):
        host_ip, bracket, body = body[1:].partition("]")
        if not bracket or not body.startswith(":"):
            raise _bad(text, "after [ADDRESS] comes :HOST_PORT:PORT")
        parts = body[1:].split(":")
        if len(parts) != 2:
            raise _bad(text, "after [ADDRESS] comes :HOST_PORT:PORT")
        _check_address(host_ip, text, 6)
    else:
        parts = body.rsplit(":", 2)
        if len(parts) == 3:
            host_ip = parts.pop(0)
            if host_ip:
                _check_address(host_ip, text, 6 if ":" in host_ip else 4)
    first, last = port_range(parts[-1], text)
    if len(parts) == 1 or not parts[0]:
        return [Published(port=p, protocol=protocol, host_ip=host_ip) for p in range(first, last + 1)]
    host_first, host_last = port_range(parts[0], text, least=0)
    if host_first == 0:
        if host_last:
            raise _bad(text, "a range of host ports starts at 1")
        return [Published(port=p, protocol=protocol, host_ip=host_ip) for p in range(first, last + 1)]
    if host_last - host_first == last - first:
        return [
            Published(port=p, protocol=protocol, host_ip=host_ip, host_port=host_first + p - first)
            for p in range(first, last + 1)
        ]
    if first == last:
        return [
            Published(
                port=first, protocol=protocol, host_ip=host_ip, host_port=host_first, host_end=host_last
            )
        ]
    raise _bad(
        text,
        f"the ranges {parts[0]} and {parts[1]} differ in length ({host_last - host_first + 1} and {last - first + 1} ports)",
    )


def exposed(text: str) -> list[tuple[int, str]]:
    """Ports and protocol of ``--expose PORT[-END][/PROTOCOL]``. Raises :class:`InvalidInput`."""
    body, slash, protocol = text.partition("/")
    protocol = _protocol(protocol, text) if slash else "tcp"
    first, last = port_range(body, text)
    return [(p, protocol) for p in range(first, last + 1)]


def port_range(text: str, whole: str, *, least: int = 1) -> tuple[int, int]:
    """``8000-8010`` or ``80`` as first and last. ``whole`` is shown in errors. Raises :class:`InvalidInput`."""
    first, dash, last = text.partition("-")
    low = _port(first, whole, least)
    high = _port(last, whole, least) if dash else low
    if high < low:
        raise _bad(whole, f"the range {text} runs backwards")
    return low, high


def _port(text: str, whole: str, least: int) -> int:
    if not text:
        raise _bad(whole, "a port number is missing")
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not least <= int(text) <= 65535:
        raise _bad(whole, f"{text[:20]!r} is not a port from {least} to 65535")
    return int(text)


def _protocol(text: str, whole: str) -> str:
    if text.lower() not in PROTOCOLS:
        raise _bad(whole, f"protocol {text[:20]!r} is not {', '.join(PROTOCOLS)}")
    return text.lower()


def _check_address(address: str, whole: str, family: int) -> None:
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET6 if family == 6 else _socket.AF_INET, address)
    except (OSError, ValueError):
        raise _bad(whole, f"{address[:60]!r} is not an IPv{family} address") from None


def _bad(text: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"port {text[:80]!r}: {why}", hint="write 8080:80, 127.0.0.1:8080:80/tcp or [::1]:8080:80"
    )
