"""Which proxy to ask, by the environment: ``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY`` and their lower-case forms.

``NO_PROXY`` is a comma-separated list of host names (with everything below them), addresses, CIDR networks, each with an
optional port, or ``*``. Loopback never goes through a proxy, as Go's clients have it.
"""

from __future__ import annotations

import base64
import os
from urllib.parse import unquote, urlsplit

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Proxy:
    """An HTTP proxy, and the headers it wants."""

    __slots__ = ("headers", "host", "port")

    def __init__(self, host: str, port: int, headers: dict[str, str]) -> None:
        self.host = host
        self.port = port
        self.headers = headers


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy for an origin, None to connect directly.

    Raises :class:`InvalidInput`, :class:`Unsupported`, naming the variable.
    """
    source = os.environ if environ is None else environ
    name = f"{scheme}_proxy"
    text = source.get(name) or source.get(name.upper()) or ""
    if (
        not text
        or is_loopback(host)
        or _excluded(host, port, source.get("no_proxy") or source.get("NO_PROXY") or "")
    ):
        return None
    variable = name if source.get(name) else name.upper()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        named, proxy_port = bool(parts.hostname), parts.port or 80
    except ValueError:  # brackets without an address, a port that is none
        named = False
    if not named:
        raise InvalidInput(f"{variable} is not a proxy's URL", hint="for example http://proxy.example:3128")
    if parts.scheme != "http":
        raise Unsupported(
            f"{variable}: proxies of the kind {parts.scheme!r} are not supported", hint="use an http:// proxy"
        )
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname or "", proxy_port, headers)


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be this machine: ``localhost``, names below it, 127.0.0.0/8, ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _excluded(host: str, port: int, rules: str) -> bool:
    for raw in rules.split(","):
        rule = raw.strip().lower()
        if rule == "*":
            return True
        if rule and _matches(host.lower(), port, rule):
            return True
    return False


def _matches(host: str, port: int, rule: str) -> bool:
    import ipaddress

    address = _address(host)
    if address is not None and "/" in rule:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, colon, number = rule.rpartition(":")
    if colon and number.isdigit() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        rule = name
    rule = rule.strip("[]").removeprefix("*.").removeprefix(".")
    return host == rule or (address is None and host.endswith("." + rule))


def _address(host: str):  # type: ignore[no-untyped-def]
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
