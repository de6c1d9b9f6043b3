"""Talking to registries: pull, push, login, logout."""

from __future__ import annotations

import sys

from lading.cli.deferred import progress
from lading.errors import Denied, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.images.pull import PullOptions

DEFAULT_REGISTRY = "docker.io"


def options(context: Context, parsed: Parsed, *, all_platforms: bool = False) -> PullOptions:
    """How to reach registries, as a command's flags say."""
    from lading.images.auth import Credentials
    from lading.images.pull import PullOptions

    credentials = None
    if parsed["creds"]:
        user, _, password = parsed["creds"].partition(":")
        credentials = Credentials(user, password)
    return PullOptions(
        config=context.roots.config,
        insecure=parsed["insecure"] or not parsed["tls-verify"],
        credentials=credentials,
        all_platforms=all_platforms,
    )


def pull(context: Context, parsed: Parsed) -> int:
    """Fetch an image and print its id."""
    image = context.images.pull(
        parsed.args[0],
        platform=parsed["platform"],
        options=options(context, parsed, all_platforms=parsed["all-platforms"]),
        progress=progress(parsed["quiet"]),
    )
    print(image.id)
    return 0


def push(context: Context, parsed: Parsed) -> int:
    """Send an image and print its digest there."""
    destination = parsed.args[1] if len(parsed.args) > 1 else parsed.args[0]
    reach = options(context, parsed)
    digest = context.images.push(
        parsed.args[0], destination, options=reach, progress=progress(parsed["quiet"])
    )
    if parsed["signatures"]:
        from lading.cli.signing import push_kept

        push_kept(
            context, parsed.args[0], destination, digest, reach, lambda text: print(text, file=sys.stderr)
        )
    print(digest)
    return 0


def login(context: Context, parsed: Parsed) -> int:
    """Try credentials at a registry, and remember them when it takes them."""
    from lading.images import auth
    from lading.images.remote import Remote
    from lading.images.remote_config import Registries

    registry = parsed.args[0] if parsed.args else DEFAULT_REGISTRY
    if "://" in registry or "/" in registry:
        raise InvalidInput(f"{registry!r} is not a registry", hint="write HOST or HOST:PORT")
    user, password = _ask(parsed, registry)
    registries = Registries(context.roots.config)
    endpoint = registries.endpoints(registry, insecure=parsed["insecure"], push=True)[0]
    credentials = auth.Credentials(user, password)
    remote = Remote(endpoint, registries, "", actions="pull", credentials=credentials)
    try:
        remote.ping()
    finally:
        remote.close()
    where = auth.store(registry, credentials)
    print(f"Login succeeded; the credentials are kept in {where}")
    return 0


def _ask(parsed: Parsed, registry: str) -> tuple[str, str]:
    user, password = parsed["username"], parsed["password"]
    if parsed["password-stdin"]:
        if password:
            raise InvalidInput("--password and --password-stdin contradict each other")
        if not user:
            raise InvalidInput("--password-stdin needs --username")
        password = sys.stdin.read().rstrip("\r\n")
    elif not password:
        if not sys.stdin.isatty():
            raise InvalidInput("there is no terminal to ask for a password", hint="use --password-stdin")
        import getpass

        try:
            user = user or input(f"User name at {registry}: ")
            password = getpass.getpass(f"Password of {user} at {registry}: ")
        except EOFError:
            print()  # Ctrl-D: the cursor stands behind the question
    if not user or not password:
        raise Denied("a user name and a password are needed")
    return user, password


def logout(context: Context, parsed: Parsed) -> int:
    """Forget a registry's credentials."""
    from lading.images import auth

    registry = parsed.args[0] if parsed.args else DEFAULT_REGISTRY
    if auth.erase(registry):
        print(f"Removed the credentials for {registry}")
    else:
        print(f"There are no credentials for {registry}")
    return 0
