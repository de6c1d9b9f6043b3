"""The registry of an image reference: ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``.

Short references name none, so that most runs do without this.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.reference import ALNUM, HEX, shown

MAX_HOST = 253
_DIGITS = frozenset("0123456789")


def check_registry(registry: str, *, whole: str = "") -> None:
    """Raise :class:`InvalidInput` unless ``registry`` is ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``."""
    where = f"image reference {shown(whole)}: registry" if whole else "registry"
    host, port = split_registry(registry)
    if port is not None and not (0 < len(port) <= 5 and _DIGITS.issuperset(port) and 0 < int(port) < 65536):
        raise InvalidInput(f"{where} {shown(registry)}: port must be a number from 1 to 65535")
    if host.startswith("["):
        if not _is_ipv6(host[1:-1]) or not host.endswith("]"):
            raise InvalidInput(f"{where} {shown(registry)}: not an IPv6 address in brackets")
        return
    if len(host) > MAX_HOST:
        raise InvalidInput(f"{where} {shown(registry)}: host is longer than {MAX_HOST} characters")
    for label in host.split("."):
        if not label or len(label) > 63 or not ALNUM.issuperset(label.replace("-", "")):
            raise InvalidInput(f"{where} {shown(registry)}: not a host name")
        if label[0] == "-" or label[-1] == "-":
            raise InvalidInput(
                f"{where} {shown(registry)}: a part of a host name must not start or end with '-'"
            )


def split_registry(registry: str) -> tuple[str, str | None]:
    """``host:port`` as its host (brackets kept) and its port text, ``None`` where there is no port."""
    if registry.startswith("["):
        host, bracket, rest = registry.partition("]")
        if bracket and rest.startswith(":"):
            return host + "]", rest[1:]
        return host + bracket + rest, None
    host, colon, port = registry.partition(":")
    return host, port if colon else None


def _is_ipv6(text: str) -> bool:
    if len(text) > 39 or text.count("::") > 1 or ":::" in text:
        return False
    halves = text.split("::")
    groups = [g for half in halves for g in half.split(":") if half]
    if not all(0 < len(g) <= 4 and HEX.issuperset(g.lower()) for g in groups):
        return False
    return len(groups) <= 7 if len(halves) == 2 else len(groups) == 8
