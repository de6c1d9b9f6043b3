"""The words of EXPOSE: ``80``, ``53/udp``, ``8000-8010/tcp``.

Source: BuildKit's ``dockerfile2llb/convert_expose.go``. ``[address:][port:]port`` is taken too, with a warning of the linter:
only the container's port counts.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, quoted

PROTOCOLS = ("tcp", "udp", "sctp")


def split(text: str) -> tuple[str, str, str, str]:
    """``(address, host port, port or range, protocol as written)``, unchecked."""
    parts = text.split(":")
    port, _, protocol = parts[-1].partition("/")
    host = parts[-2] if len(parts) > 1 else ""
    return ":".join(parts[:-2]), host, port, protocol


def exposed(text: str) -> list[str]:
    """``["80/tcp"]``: what one word exposes, a range port by port. Raises :class:`DockerfileError`."""
    address, host, port, protocol = split(text)
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise _bad(text, f"protocol {quoted(protocol)} is not tcp, udp or sctp")
    if not port:
        raise _bad(text, "the port is missing")
    first, last = _range(port, text)
    if address:
        _check_address(address, text)
    if host:
        host_first, host_last = _range(host, text)
        if host_last - host_first != last - first and first != last:
            raise _bad(text, "the two ranges are not equally long")
    return [f"{number}/{protocol}" for number in range(first, last + 1)]


def _range(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    low = _number(first, whole)
    high = _number(last, whole) if dash else low
    if high < low:
        raise _bad(whole, "the range ends before it begins")
    return low, high


def _number(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 6 or int(text) > 65535:
        raise _bad(whole, f"{quoted(text)} is not a port between 0 and 65535")
    return int(text)


def _check_address(address: str, whole: str) -> None:
    import _socket

    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, bare)
            return
        except (OSError, ValueError):
            continue
    raise _bad(whole, f"{quoted(address)} is not an IP address")


def _bad(text: str, why: str) -> DockerfileError:
    return DockerfileError(
        f"EXPOSE {quoted(text)}: {why}", hint="for example EXPOSE 80 53/udp 8000-8010", token=text
    )
