"""Credentials for registries: where Docker and Podman keep them, and their helpers.

Looked for in this order; the first file that knows the registry wins:

1. ``$REGISTRY_AUTH_FILE``
2. ``$DOCKER_CONFIG/config.json``, else ``~/.docker/config.json``
3. ``$XDG_RUNTIME_DIR/containers/auth.json`` (``/run/containers/UID/auth.json``), then ``~/.config/containers/auth.json``

In a file, ``credHelpers`` for the registry come before ``credsStore``, and that before ``auths``.
Sources: docker-credential-helpers' protocol; docker login; containers-auth.json(5).
"""

from __future__ import annotations

import base64
import os

from lading.errors import InvalidInput, LadingError
from lading.formats import jsontext
from lading.formats.reference import DEFAULT_REGISTRY
from lading.images.files import Lock, disk_error, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DOCKER_KEY = "https://index.docker.io/v1/"
HELPER_SECONDS = 60.0
_TOKEN_USER = "<token>"  # how helpers say that the secret is an identity token


class Credentials:
    """What proves who we are. All empty: anonymous.

    ``identity_token``  a refresh token for the registry's token service.
    ``bearer``          a token that goes to the registry as it is.
    """

    __slots__ = ("bearer", "identity_token", "password", "user")

    def __init__(
        self, user: str = "", password: str = "", *, identity_token: str = "", bearer: str = ""
    ) -> None:
        self.user = user
        self.password = password
        self.identity_token = identity_token
        self.bearer = bearer

    def __bool__(self) -> bool:
        return bool(self.user or self.identity_token or self.bearer)

    @property
    def basic(self) -> str:
        """The value of an Authorization header of the Basic scheme."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, …)"


ANONYMOUS = Credentials()


def find(registry: str, repository: str = "", environ: Mapping[str, str] | None = None) -> Credentials:
    """The credentials for a registry, of ``repository`` where a file has some for a namespace; anonymous when there are none.

    Raises :class:`InvalidInput` for a file that is not readable JSON, :class:`LadingError` (reason ``credential-helper``).
    """
    source = os.environ if environ is None else environ
    for path in files(source):
        config = _load(path)
        if config is None:
            continue
        found = _in_file(config, path, registry, repository, source)
        if found is not None:
            return found
    return ANONYMOUS


def plain(environ: Mapping[str, str]) -> dict[str, Credentials]:
    """Users and passwords as they stand in the files, by registry: helpers are not asked. Raises as :func:`find`."""
    found: dict[str, Credentials] = {}
    for path in files(environ):
        auths = (_load(path) or {}).get("auths") or {}
        for key, value in auths.items():
            made = _entry(value, path, key) if value else None
            if made is not None and made.user:
                found.setdefault(registry_of(key), made)
    return found


def files(environ: Mapping[str, str]) -> list[str]:
    """The credential files of the user, in the order they are asked."""
    home = environ.get("HOME") or os.path.expanduser("~")
    found = [environ["REGISTRY_AUTH_FILE"]] if environ.get("REGISTRY_AUTH_FILE") else []
    found.append(_docker_config(environ))
    runtime = environ.get("XDG_RUNTIME_DIR")
    found.append(f"{runtime}/containers/auth.json" if runtime else f"/run/containers/{os.getuid()}/auth.json")
    found.append((environ.get("XDG_CONFIG_HOME") or f"{home}/.config") + "/containers/auth.json")
    return found


def _docker_config(environ: Mapping[str, str]) -> str:
    home = environ.get("HOME") or os.path.expanduser("~")
    return (environ.get("DOCKER_CONFIG") or f"{home}/.docker") + "/config.json"


def store(registry: str, credentials: Credentials, environ: Mapping[str, str] | None = None) -> str:
    """Keep credentials where :func:`find` looks first; returns the file or helper that has them now.

    ``$REGISTRY_AUTH_FILE`` or Docker's file, mode 0600; its helper when it names one. Everything else in the file stays.
    """
    source = os.environ if environ is None else environ
    path = source.get("REGISTRY_AUTH_FILE") or _docker_config(source)
    key = _key(registry)
    with _editing(path):
        config = _load(path) or {}
        helper = _helper_of(config, registry, path)
        if helper:
            secret = {"ServerURL": key, "Username": credentials.user, "Secret": credentials.password}
            if credentials.identity_token:
                secret.update(Username=_TOKEN_USER, Secret=credentials.identity_token)
            _run_helper(helper, "store", jsontext.dumps(secret), source)
            return f"docker-credential-{helper}"
        entry: dict[str, str] = {}
        if credentials.user:
            entry["auth"] = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        if credentials.identity_token:
            entry["identitytoken"] = credentials.identity_token
            user = credentials.user or _TOKEN_USER
            entry["auth"] = base64.b64encode(f"{user}:".encode()).decode()
        auths = config["auths"] = config.get("auths") or {}
        for old in [k for k in auths if registry_of(k) == registry_of(key)]:
            del auths[old]
        auths[key] = entry
        _save(path, config)
    return path


def erase(registry: str, environ: Mapping[str, str] | None = None) -> bool:
    """Forget the credentials for ``registry`` in every file and helper that has them; whether there were any."""
    source = os.environ if environ is None else environ
    gone = False
    for path in files(source):
        if not os.path.exists(path):
            continue
        with _editing(path):
            config = _load(path) or {}
            helper = _helper_of(config, registry, path)
            if helper:
                gone = _ask_helper(helper, _key(registry), source) is not None or gone
                _run_helper(helper, "erase", _key(registry), source)
            auths = config.get("auths") or {}
            old = [k for k in auths if registry_of(k) == registry_of(_key(registry))]
            for name in old:
                del auths[name]
            if old:
                gone = True
                _save(path, config)
    return gone


def _key(registry: str) -> str:
    return DOCKER_KEY if registry == DEFAULT_REGISTRY else registry


def registry_of(key: str) -> str:
    """A key of ``auths`` without what people and old versions wrote around it: ``https://HOST/v1/`` is ``HOST``."""
    text = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, _, path = text.partition("/")
    if host in ("index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"):
        host = DEFAULT_REGISTRY
    if path in ("v1", "v2"):
        path = ""
    return f"{host}/{path}" if path else host


def _load(path: str) -> dict[str, Any] | None:
    try:
        data = read(path)
    except PermissionError:
        return None
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    if data is None or not data.strip():
        return None
    config = jsontext.loads(data, what=path)
    if type(config) is not dict or type(config.get("auths") or {}) is not dict:
        raise InvalidInput(f"{path}: not a file of credentials")
    made: dict[str, Any] = config
    return made


def _save(path: str, config: dict[str, Any]) -> None:
    # Whoever manages the file by a symbolic link keeps the link.
    write_atomically(os.path.realpath(path), jsontext.dumps(config, indent=2).encode() + b"\n", mode=0o600)


def _editing(path: str) -> Lock:
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    except OSError as error:
        raise disk_error(error, f"cannot write {path}") from None
    return Lock(path + ".lock", exclusive=True)


def _in_file(
    config: dict[str, Any], path: str, registry: str, repository: str, environ: Mapping[str, str]
) -> Credentials | None:
    helper = _helper_of(config, registry, path)
    if helper:
        found = _ask_helper(helper, _key(registry), environ)
        if found is not None:
            return found
    # What has several spellings is what has credentials: helpers leave empty entries beside them.
    auths: dict[str, object] = {}
    for key, value in (config.get("auths") or {}).items():
        auths[registry_of(key)] = value or auths.get(registry_of(key), value)
    # The most specific namespace first: host/a/b, host/a, host.
    name = f"{registry}/{repository}" if repository else registry
    while name:
        entry = auths.get(name)
        if entry is not None:
            return _entry(entry, path, name)
        name = name.rpartition("/")[0]
    return None


def _entry(entry: object, path: str, name: str) -> Credentials | None:
    if type(entry) is not dict:
        raise InvalidInput(f"{path}: auths.{name}: expected an object")
    values: dict[str, Any] = entry
    for key in ("auth", "username", "password", "identitytoken", "registrytoken"):
        if type(values.get(key, "")) is not str:
            raise InvalidInput(f"{path}: auths.{name}.{key}: expected a string")
    user, password = values.get("username", ""), values.get("password", "")
    if values.get("auth"):
        try:
            user, colon, password = base64.b64decode(values["auth"], validate=True).decode().partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise InvalidInput(f"{path}: auths.{name}.auth: not base64 of user:password", hint="log in again")
        password = password.strip("\0")
    made = Credentials(
        "" if user == _TOKEN_USER else user,
        password,
        identity_token=values.get("identitytoken", ""),
        bearer=values.get("registrytoken", ""),
    )
    return made if made else None


def _helper_of(config: dict[str, Any], registry: str, path: str) -> str:
    helpers = config.get("credHelpers") or {}
    if type(helpers) is not dict:
        raise InvalidInput(f"{path}: credHelpers: expected an object")
    helper = config.get("credsStore") or ""
    for key, value in helpers.items():
        if registry_of(key) == registry_of(_key(registry)):
            helper = value or ""  # an empty name takes the registry out of credsStore
    if type(helper) is not str or "/" in helper or "\0" in helper:
        raise InvalidInput(f"{path}: {str(helper)[:80]!r} is not the name of a credential helper")
    return helper


def _ask_helper(helper: str, key: str, environ: Mapping[str, str]) -> Credentials | None:
    answer = _run_helper(helper, "get", key, environ)
    if answer is None:
        return None
    try:
        value = jsontext.loads(answer)
        user, secret = value["Username"], value["Secret"]
    except (LadingError, KeyError, TypeError):
        user = secret = None
    if type(user) is not str or type(secret) is not str:
        raise LadingError(
            f"docker-credential-{helper} answered something that is no credential", reason="credential-helper"
        )
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)


def _run_helper(helper: str, verb: str, text: str, environ: Mapping[str, str]) -> str | None:
    """Run a helper; None when it says that it has nothing. Raises :class:`LadingError` (reason ``credential-helper``)."""
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb],
            input=text.encode(),
            capture_output=True,
            timeout=HELPER_SECONDS,
            env=dict(environ),
            check=False,
        )
    except FileNotFoundError:
        raise LadingError(
            f"the credential helper {program} is not installed",
            hint="install it, or remove it from the configuration",
            reason="credential-helper",
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        why = "does not answer" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise LadingError(f"{program} {verb}: {why}", reason="credential-helper") from None
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode == 0:
        return output
    said = (output.strip() or done.stderr.decode("utf-8", "replace").strip()).splitlines()
    if verb != "store" and any("credentials not found" in line for line in said):
        return None
    raise LadingError(
        f"{program} {verb} failed: {said[0][:200] if said else done.returncode}", reason="credential-helper"
    )
