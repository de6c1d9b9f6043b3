"""What a registry server is told, whoever tells it."""

from __future__ import annotations

from lading.registry.uploads import Limits


class Tls:
    """``certificate`` and ``key``: PEM files; ``minimum``: ``1.2`` or ``1.3``."""

    __slots__ = ("certificate", "key", "minimum")

    def __init__(self, certificate: str, key: str, minimum: str = "1.2") -> None:
        self.certificate = certificate
        self.key = key
        self.minimum = minimum


class Upstream:
    """A registry to mirror: ``host``; ``ttl``: seconds that a tag is not asked for again; ``config``: Lading's configuration.

    ``size``: bytes that are kept; ``age``: seconds that what nobody asks for is kept; 0 for any number of them.
    """

    __slots__ = ("age", "config", "host", "insecure", "size", "ttl")

    def __init__(
        self,
        host: str,
        *,
        ttl: float,
        config: str,
        insecure: bool = False,
        size: int = 0,
        age: float = 0.0,
    ) -> None:
        self.host = host
        self.ttl = ttl
        self.config = config
        self.insecure = insecure
        self.size = size
        self.age = age


class Settings:
    """``root``: the store's directory; ``listen``: addresses, as :mod:`lading.registry.edge.listening` reads them.

    Times are seconds, sizes bytes. ``gc_interval`` 0: no collection while serving.
    """

    def __init__(self, root: str, listen: list[str]) -> None:
        self.root = root
        self.listen = listen
        self.limits = Limits()
        self.delete = True
        self.read_only = False
        self.sparse = False  # whether an index may name manifests that are not there
        self.plain_http = False
        self.tls: Tls | None = None
        self.htpasswd = ""
        self.rights = ""
        self.tokens = False
        self.service = "lading"
        self.uploads_each = 0  # sessions of one client at once, 0: any number
        self.header = 16 << 10
        self.idle = 75.0
        self.gc_interval = 3600.0
        self.gc_grace = 86400.0
        self.access_log = "text"
        self.upstream: Upstream | None = None
        self.grace = 30.0  # for what is being answered when the server is told to stop
