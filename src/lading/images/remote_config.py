"""How each registry is reached: ``registries.json`` in the configuration directory, and ``certs.d``.

See docs/registries.md. The file is strict: an unknown key is an error that names it.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from lading.errors import Denied, InvalidInput, LadingError
from lading.formats import jsontext
from lading.formats.reference import DEFAULT_REGISTRY
from lading.formats.registry import check_registry, split_registry
from lading.formats.schema import Record
from lading.images.files import read
from lading.images.remote_proxy import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

_DOCKER_HOST = "registry-1.docker.io"


class MirrorConfig(Record):
    """``url`` may have a path, which is put before the repository. ``insecure`` as in :class:`RegistryConfig`."""

    url: str
    insecure: bool = False


class RegistryConfig(Record):
    """``mirrors`` are asked first, in order, for pulls. ``insecure``: plain HTTP and unverified TLS are accepted."""

    mirrors: list[MirrorConfig] = []
    insecure: bool = False
    blocked: bool = False


class RegistriesFile(Record):
    """Settings by registry: ``docker.io``, ``host:5000``, or ``*.example.com`` for all below a domain; ``*`` for every other."""

    registries: dict[str, RegistryConfig] = {}


class Endpoint:
    """One place that answers for a registry.

    ``registry``  whose images these are (``docker.io``).
    ``host``      host with optional port, as it is asked.
    ``scheme``    ``https``, ``http``, or empty: find out (only when plain HTTP is allowed).
    ``prefix``    what stands before repositories (``mirror/``), or empty.
    ``insecure``  plain HTTP and certificates that cannot be verified are accepted.
    """

    __slots__ = ("host", "insecure", "mirror", "prefix", "registry", "scheme")

    def __init__(
        self,
        registry: str,
        host: str,
        *,
        scheme: str = "",
        prefix: str = "",
        insecure: bool = False,
        mirror: bool = False,
    ) -> None:
        self.registry = registry
        self.host = host
        self.scheme = scheme
        self.prefix = prefix
        self.insecure = insecure
        self.mirror = mirror

    def __repr__(self) -> str:
        return f"Endpoint({self.scheme or '?'}://{self.host}/{self.prefix})"


class Registries:
    """The configuration of all registries, read once from ``directory`` (:attr:`lading.roots.Roots.config`)."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._file = _load(directory + "/registries.json")

    def settings(self, registry: str) -> RegistryConfig:
        """What the file says about ``registry``: its own entry, else the longest ``*.domain``, else ``*``, else nothing."""
        known = self._file.registries
        if registry in known:
            return known[registry]
        host = split_registry(registry)[0]
        for name in sorted((n for n in known if n.startswith("*.")), key=len, reverse=True):
            if host.endswith(name[1:]):
                return known[name]
        return known.get("*", RegistryConfig())

    def endpoints(self, registry: str, *, insecure: bool = False, push: bool = False) -> list[Endpoint]:
        """Where to ask for ``registry``'s images, in order; mirrors first unless it is for a push.

        ``insecure`` is the user's, for this one time. Raises :class:`Denied` when the file blocks the registry.
        """
        settings = self.settings(registry)
        if settings.blocked:
            raise Denied(
                f"registry {registry} is blocked",
                hint=f"see {self.directory}/registries.json",
                reason="blocked",
            )
        found = [] if push else [_mirror(registry, m) for m in settings.mirrors]
        host = _DOCKER_HOST if registry == DEFAULT_REGISTRY else registry
        found.append(_origin(registry, host, insecure=insecure or settings.insecure))
        return found

    def context(self, host_port: str, *, insecure: bool = False) -> ssl.SSLContext:
        """TLS for ``host:port``: the system's authorities, and what ``certs.d`` holds for it.

        ``HOST[:PORT]/*.crt`` are more authorities, ``X.cert`` with ``X.key`` is a client certificate; looked for in the
        configuration directory, ``/etc/containers/certs.d`` and ``/etc/docker/certs.d``. Raises :class:`InvalidInput`.
        """
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_default_certs()
        authorities, clients = certificates(self.directory, host_port)
        path = ""
        try:
            for path in authorities:
                context.load_verify_locations(path)
            for path, key in clients:
                context.load_cert_chain(path, key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise InvalidInput(f"cannot use the certificate {path}: {error}") from None
        return context


def _load(path: str) -> RegistriesFile:
    data = read(path)
    if data is None:
        return RegistriesFile()
    try:
        made = RegistriesFile.decode(jsontext.loads(data, what=path), where=path)
        for name, settings in made.registries.items():
            if name != "*":
                check_registry(name.removeprefix("*."))
            for mirror in settings.mirrors:
                _mirror(name, mirror)
    except LadingError as error:
        message = error.message if path in error.message else f"{path}: {error.message}"
        raise InvalidInput(message, hint=error.hint, reason=error.reason) from None
    return made


def _mirror(registry: str, mirror: MirrorConfig) -> Endpoint:
    text = mirror.url
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:  # brackets without an address
        parts = urlsplit("")
    host = parts.netloc
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment or "@" in host or not host:
        raise InvalidInput(
            f"mirror {text[:200]!r} of {registry} is not a URL",
            hint="for example https://mirror.example/path",
        )
    check_registry(host)
    name = split_registry(host)[0]
    if parts.scheme == "http" and not (mirror.insecure or is_loopback(name)):
        raise InvalidInput(
            f"mirror {text[:200]!r} of {registry} is plain HTTP",
            hint='use https, or say "insecure": true beside it',
        )
    path = parts.path.strip("/")
    return Endpoint(
        registry,
        host,
        scheme=parts.scheme,
        prefix=f"{path}/" if path else "",
        insecure=mirror.insecure,
        mirror=True,
    )


def _origin(registry: str, host: str, *, insecure: bool) -> Endpoint:
    plain_allowed = insecure or is_loopback(split_registry(host)[0])
    return Endpoint(registry, host, scheme="" if plain_allowed else "https", insecure=insecure)


def _bases(config: str) -> tuple[str, ...]:
    return (config + "/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d")


def hosts_with_certificates(config: str) -> list[str]:
    """The ``HOST[:PORT]`` that some ``certs.d`` has a directory for."""
    found = set()
    for base in _bases(config):
        try:
            found |= {entry.name for entry in os.scandir(base) if entry.is_dir()}
        except OSError:
            continue  # there is none
    return sorted(found)


def certificates(config: str, host_port: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Paths of the authorities for ``host:port``, and of client certificates with their keys. Raises :class:`InvalidInput`."""
    authorities, clients = [], []
    for directory in _certificate_directories(config, host_port):
        try:
            names = sorted(os.listdir(directory))
        except OSError as error:
            raise InvalidInput(f"cannot use the certificates in {directory}: {error}") from None
        paths = [f"{directory}/{name}" for name in names]
        authorities += [path for path in paths if path.endswith(".crt")]
        clients += [(path, path[: -len("cert")] + "key") for path in paths if path.endswith(".cert")]
    return authorities, clients


def _certificate_directories(config: str, host_port: str) -> list[str]:
    names = {host_port, host_port.removesuffix(":443")}
    if host_port.endswith(":443") and host_port.removesuffix(":443") == _DOCKER_HOST:
        names |= {DEFAULT_REGISTRY}
    return [d for base in _bases(config) for name in sorted(names) if os.path.isdir(d := f"{base}/{name}")]
