"""Logging in and out of registries, and looking at what they have: the small commands beside pull and push."""

from __future__ import annotations

from lading.errors import Denied, InvalidInput
from lading.formats.reference import DEFAULT_REGISTRY, Reference
from lading.formats.registry import check_registry
from lading.images import auth
from lading.images.auth import Credentials
from lading.images.pull import PullOptions, remotes
from lading.images.remote import Remote
from lading.images.remote_http import Cancel


def registry_name(text: str) -> str:
    """The registry a person means: empty is Docker's, a URL is its host. Raises :class:`InvalidInput`."""
    name = text.strip().removeprefix("https://").removeprefix("http://").split("/", 1)[0]
    if name in ("", "index.docker.io", "registry-1.docker.io"):
        return DEFAULT_REGISTRY
    check_registry(name)
    return name


def login(
    registry: str, user: str, password: str, *, identity_token: str = "", options: PullOptions | None = None
) -> str:
    """Check credentials at the registry, then keep them; returns the file or helper that has them now.

    Raises :class:`Denied` when the registry does not accept them (nothing is kept then), and what reaching it raises.
    """
    name = registry_name(registry)
    if not identity_token and (not user or ":" in user):
        raise InvalidInput("a user name is needed, and it must not hold ':'")
    credentials = Credentials(user, password, identity_token=identity_token)
    options = options or PullOptions()
    remote = _remote(name, options, credentials)
    try:
        remote.ping()
    except Denied as error:
        if error.reason != "unauthorized":
            raise
        raise Denied(
            f"{name} does not accept {'the token' if identity_token else f'this password of {user!r}'}",
            hint="look at both, and whether this registry has that user",
            reason=error.reason,
        ) from None
    finally:
        remote.close()
    return auth.store(name, credentials, options.environ)


def logout(registry: str, *, options: PullOptions | None = None) -> bool:
    """Forget the credentials for a registry; whether there were any."""
    return auth.erase(registry_name(registry), (options or PullOptions()).environ)


def tags(repository: str, *, options: PullOptions | None = None) -> list[str]:
    """All tags of a repository (``debian``, ``host:5000/app``), as its registry lists them."""
    remote = remotes(Reference.parse(repository), options or PullOptions(), Cancel())[-1]
    try:
        return remote.tags()
    finally:
        remote.close()


def catalog(registry: str, *, options: PullOptions | None = None) -> list[str]:
    """All repositories a registry tells of. Raises :class:`Denied` or :class:`NotFound` where it does not."""
    options = options or PullOptions()
    name = registry_name(registry)
    remote = _remote(name, options, options.credentials or auth.find(name, "", options.environ))
    try:
        return remote.catalog()
    finally:
        remote.close()


def _remote(name: str, options: PullOptions, credentials: Credentials) -> Remote:
    registries = options.registries()
    endpoint = registries.endpoints(name, insecure=options.insecure, push=True)[-1]
    return Remote(endpoint, registries, credentials=credentials, stall=options.stall, environ=options.environ)
