"""Signing a request for Amazon S3 with version 4 of AWS's signatures, as Rocket's credentials of the type ``aws`` ask for.

Source: Amazon's "Authenticating Requests (AWS Signature Version 4)". A request here is a GET without a body.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_REGION = "us-east-1"
_SERVICE, _ALGORITHM, _END = "s3", "AWS4-HMAC-SHA256", "aws4_request"
_UNRESERVED = "-_.~"


class Keys:
    """Who signs. ``region`` empty: what the host's name says."""

    __slots__ = ("access", "region", "secret")

    def __init__(self, access: str, secret: str, region: str = "") -> None:
        self.access = access
        self.secret = secret
        self.region = region

    def __repr__(self) -> str:
        return f"Keys({self.access!r})"


def region_of(host: str) -> str:
    """The region that the name of an S3 host tells: ``s3.REGION.amazonaws.com``, ``BUCKET.s3-REGION.amazonaws.com``."""
    labels = host.lower().partition(":")[0].split(".")
    if len(labels) < 3 or labels[-2] != "amazonaws":
        return DEFAULT_REGION
    front = labels[:-2]
    if front[-1].startswith("s3-") and front[-1] != "s3-external-1":
        return front[-1][3:]
    if len(front) > 1 and front[-2] == "s3":
        return front[-1]
    return DEFAULT_REGION


def headers(url: str, keys: Keys, now: float, signed: Mapping[str, str] | None = None) -> dict[str, str]:
    """The headers that sign a GET of ``url`` at ``now`` (Unix time). ``signed``: others that it has, and that count."""
    import hashlib
    import hmac
    import time
    from urllib.parse import parse_qsl, quote, unquote

    place, _, told = url.partition("://")[2].partition("#")[0].partition("?")
    host, _, path = place.partition("/")
    host = host.rpartition("@")[2].lower().removesuffix(":443")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    nothing = hashlib.sha256(b"").hexdigest()
    made = {"x-amz-content-sha256": nothing, "x-amz-date": stamp}
    counted = sorted(
        {**{name.lower(): value for name, value in (signed or {}).items()}, **made, "host": host}.items()
    )
    names = ";".join(name for name, _ in counted)
    query = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in parse_qsl(told, keep_blank_values=True)
    )
    request = "\n".join(
        [
            "GET",
            quote("/" + unquote(path), safe="/" + _UNRESERVED),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{' '.join(value.split())}" for name, value in counted),
            "",
            names,
            nothing,
        ]
    )
    scope = [stamp[:8], keys.region or region_of(host), _SERVICE, _END]
    text = "\n".join([_ALGORITHM, stamp, "/".join(scope), hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for word in (*scope, text):
        key = hmac.digest(key, word.encode(), "sha256")
    made["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access}/{'/'.join(scope)}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return made
