"""Which endpoint a path means. Names of repositories hold slashes, so a path is read from its end.

Source: distribution-spec, "Endpoints".
"""

from __future__ import annotations

BASE = "base"
CATALOG = "catalog"
TAGS = "tags"
MANIFEST = "manifest"
BLOB = "blob"
UPLOADS = "uploads"
UPLOAD = "upload"
REFERRERS = "referrers"
TOKEN = "token"
METRICS = "metrics"
HEALTH = "health"
NONE = "none"

METHODS = {
    BASE: ("GET", "HEAD"),
    CATALOG: ("GET", "HEAD"),
    TAGS: ("GET", "HEAD"),
    MANIFEST: ("GET", "HEAD", "PUT", "DELETE"),
    BLOB: ("GET", "HEAD", "DELETE"),
    UPLOADS: ("POST",),
    UPLOAD: ("GET", "HEAD", "PATCH", "PUT", "DELETE"),
    REFERRERS: ("GET", "HEAD"),
    TOKEN: ("GET", "POST"),
    METRICS: ("GET", "HEAD"),
    HEALTH: ("GET", "HEAD"),
}

WITHOUT_NAME = frozenset((BASE, CATALOG, METRICS, TOKEN, HEALTH))
"""What is about no repository."""


class Route:
    """``kind``: one of the words above; ``name``: the repository, ``rest``: a tag, digest or upload, as in the path."""

    __slots__ = ("kind", "name", "rest")

    def __init__(self, kind: str, name: str = "", rest: str = "") -> None:
        self.kind = kind
        self.name = name
        self.rest = rest


_PLAIN = {
    "/v2/": BASE,
    "/v2": BASE,
    "/v2/_catalog": CATALOG,
    "/token": TOKEN,
    "/metrics": METRICS,
    "/healthz": HEALTH,
}


def find(path: str) -> Route:
    """The endpoint of ``path``; the kind :data:`NONE` when there is none."""
    plain = _PLAIN.get(path)
    if plain is not None:
        return Route(plain)
    parts = path.split("/")
    if len(parts) < 5 or parts[0] or parts[1] != "v2":
        return Route(NONE)
    before, last = parts[-2], parts[-1]
    if before == "manifests":
        return Route(MANIFEST, "/".join(parts[2:-2]), last)
    if before == "referrers":
        return Route(REFERRERS, "/".join(parts[2:-2]), last)
    if before == "tags" and last == "list":
        return Route(TAGS, "/".join(parts[2:-2]))
    if before == "uploads" and parts[-3] == "blobs" and len(parts) > 5:
        return Route(UPLOAD if last else UPLOADS, "/".join(parts[2:-3]), last)
    if before == "blobs":
        name = "/".join(parts[2:-2])
        return Route(UPLOADS, name) if last == "uploads" else Route(BLOB, name, last)
    return Route(NONE)
