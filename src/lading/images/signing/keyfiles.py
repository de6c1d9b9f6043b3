"""Key files: made once and never replaced, private ones for their owner alone."""

from __future__ import annotations

import os

from lading.errors import Conflict, Denied, InvalidInput, LadingError
from lading.formats.signing import envelope, keys
from lading.images.files import disk_error, sync_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.signing.keys import PrivateKey, PublicKey

_SCHEMES = ("awskms", "azurekms", "gcpkms", "hashivault", "k8s", "gitlab", "env", "http", "https", "pkcs11")


def create(prefix: str, key: PrivateKey, password: bytes) -> tuple[str, str]:
    """Write ``PREFIX.key`` (encrypted, mode 0600) and ``PREFIX.pub``; their paths.

    Raises :class:`Conflict` when either is there, and what a full or protected disk does. Nothing is left of a failure.
    """
    private, public = prefix + ".key", prefix + ".pub"
    for path in (private, public):
        if os.path.lexists(path):
            raise _exists(path)
    sealed = envelope.seal(key.pkcs8(), password, random=os.urandom)
    _write_new(private, sealed, 0o600)
    try:
        _write_new(public, key.public.pem(), 0o644)
    except BaseException:
        os.unlink(private)
        raise
    sync_directory(os.path.dirname(private) or ".")
    return private, public


def read_private(path: str, password: Callable[[], bytes]) -> PrivateKey:
    """The key in an encrypted file; ``password`` is asked for it once the file is known to be one.

    Raises :class:`InvalidInput`, :class:`Denied` (``password``), :class:`Unsupported`, :class:`NotFound`.
    """
    data = _read(path)
    if not envelope.is_envelope(data):
        hint = (
            "`lading image keys import` makes one of it"
            if b"PRIVATE KEY-----" in data
            else "--key wants FILE.key"
        )
        raise InvalidInput(f"{path} is no encrypted sigstore private key", hint=hint, reason="key")
    return keys.private_key(envelope.open_envelope(data, password(), what=path), what=path)


def read_plain(path: str) -> PrivateKey:
    """The key in another tool's unencrypted file."""
    return keys.plain_private_key(_read(path), what=path)


def read_public(path: str) -> PublicKey:
    """The public key in a file."""
    return keys.public_key(_read(path), what=path)


def _read(path: str) -> bytes:
    scheme = path.partition("://")[0] if "://" in path else ""
    if scheme in _SCHEMES:
        raise InvalidInput(f"{path[:200]!r}: keys are read from files only, not from {scheme}", reason="key")
    try:
        with open(path, "rb") as file:
            data = file.read(keys.LARGEST + 1)
    except OSError as error:
        raise _unreadable(error, path) from None
    if len(data) > keys.LARGEST:
        raise InvalidInput(f"{path} is too large for a key", reason="key")
    return data


def _unreadable(error: OSError, path: str) -> LadingError:
    kind = Denied if isinstance(error, PermissionError) else InvalidInput
    return kind(f"cannot read the key {path}: {error.strerror}", reason="key")


def _exists(path: str) -> Conflict:
    return Conflict(
        f"{path} is there already, and a key is never replaced", hint="choose another --output-prefix"
    )


def _write_new(path: str, data: bytes, mode: int) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise disk_error(error, f"cannot write {path}") from None
    try:
        try:
            os.fchmod(file, mode)  # whatever the umask leaves
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        os.unlink(path)
        raise disk_error(error, f"cannot write {path}") from None
