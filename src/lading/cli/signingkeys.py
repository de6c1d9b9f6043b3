"""Keys for signing images: ``lading image keys``."""

from __future__ import annotations

import os
import sys

from lading.errors import Denied, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.signing.keys import PrivateKey

VARIABLE = "COSIGN_PASSWORD"


def password(what: str, *, new: bool = False) -> bytes:
    """The password of a key file: from the environment, or asked for on the terminal, twice when it is ``new``."""
    if VARIABLE in os.environ:
        return os.environb[VARIABLE.encode()]
    if not sys.stdin.isatty():
        raise InvalidInput(f"there is no terminal to ask for the password of {what}", hint=f"set {VARIABLE}")
    import getpass

    try:
        given = getpass.getpass(f"Password for {what}: ")
        if new and getpass.getpass("The same again: ") != given:
            raise Denied("the two passwords differ", reason="password")
    except EOFError:
        print()  # Ctrl-D: the cursor stands behind the question
        raise Denied(f"no password for {what}", reason="password") from None
    return os.fsencode(given)


def generate(context: Context, parsed: Parsed) -> int:
    """Make a key pair."""
    from lading.formats.signing.keys import generate

    _check_free(parsed["output-prefix"])
    secret = password(parsed["output-prefix"] + ".key", new=True)
    _create(parsed["output-prefix"], generate(parsed["type"]), secret)
    return 0


def import_(context: Context, parsed: Parsed) -> int:
    """Make a key pair of a private key."""
    from lading.images.signing.keyfiles import read_plain

    if not parsed["key"]:
        raise InvalidInput("--key is needed: the private key to import")
    _check_free(parsed["output-prefix"])
    key = read_plain(parsed["key"])
    _create(parsed["output-prefix"], key, password(parsed["output-prefix"] + ".key", new=True))
    return 0


def _check_free(prefix: str) -> None:
    """Before anything is asked: raise :class:`Conflict` where a key is already."""
    from lading.errors import Conflict

    for path in (prefix + ".key", prefix + ".pub"):
        if os.path.lexists(path):
            raise Conflict(
                f"{path} is there already, and a key is never replaced", hint="choose another --output-prefix"
            )


def _create(prefix: str, key: PrivateKey, secret: bytes) -> None:
    from lading.images.signing.keyfiles import create

    private, public = create(prefix, key, secret)
    print(f"{private}: private key, {key.public.kind}: keep it to yourself")
    print(f"{public}: public key, {key.public.fingerprint}: for those who verify")


def public(context: Context, parsed: Parsed) -> int:
    """Print the public key of a private or a public key file."""
    from lading.formats.signing import envelope
    from lading.images.signing.keyfiles import read_private, read_public

    path = parsed.args[0]
    try:
        with open(path, "rb") as file:
            private = envelope.is_envelope(file.read(envelope.LARGEST))
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None
    key = read_private(path, lambda: password(path)).public if private else read_public(path)
    sys.stdout.write(key.pem().decode())
    return 0
