"""The file of a cosign private key: PKCS #8 in a secret box whose key scrypt derives from a password.

::

    -----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----       (older: ENCRYPTED COSIGN PRIVATE KEY; both are read)
    base64 of {"kdf": {"name": "scrypt", "params": {"N", "r", "p"}, "salt"},
               "cipher": {"name": "nacl/secretbox", "nonce"}, "ciphertext"}

Source: cosign, ``pkg/cosign/keys.go``; go-securesystemslib, ``encrypted``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from lading.errors import Denied, Exhausted, InvalidInput, LadingError, Unsupported
from lading.formats import jsontext
from lading.formats.schema import Record
from lading.formats.signing import pem, secretbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
LABELS = (LABEL, "ENCRYPTED COSIGN PRIVATE KEY")
LARGEST = 64 << 10
"""Bytes of a key file; RSA 16384 has 13 KiB."""

N, R, P = 1 << 16, 8, 1
"""What a new key's password is derived with: cosign's own, 64 MiB and a tenth of a second."""

_MEMORY = 512 << 20
_WORK = 1 << 23  # N·r·p: what a file may make us calculate, two seconds


class _Params(Record):
    _wire = {"n": "N"}
    n: int
    r: int
    p: int


class _Kdf(Record):
    name: str
    params: _Params
    salt: str


class _Cipher(Record):
    name: str
    nonce: str


class _Envelope(Record):
    kdf: _Kdf
    cipher: _Cipher
    ciphertext: str


def is_envelope(data: bytes) -> bool:
    """Whether a file calls itself an encrypted key."""
    return any(f"BEGIN {label}".encode() in data for label in LABELS)


def seal(pkcs8: bytes, password: bytes, *, random: Callable[[int], bytes]) -> bytes:
    """The file of a private key. ``random(n)`` gives n unpredictable bytes (:func:`os.urandom`)."""
    salt, nonce = random(32), random(secretbox.NONCE_SIZE)
    box = secretbox.seal(pkcs8, nonce, _derive(password, salt, _Params(n=N, r=R, p=P), "the key"))
    value = _Envelope(
        kdf=_Kdf(name="scrypt", params=_Params(n=N, r=R, p=P), salt=_text(salt)),
        cipher=_Cipher(name="nacl/secretbox", nonce=_text(nonce)),
        ciphertext=_text(box),
    )
    return pem.encode(LABEL, jsontext.dumps(value.encode()).encode())


def open_envelope(data: bytes, password: bytes, *, what: str) -> bytes:
    """The private key in a file, PKCS #8 in DER.

    Raises :class:`InvalidInput` (``key``, ``pem``) for what is no such file, :class:`Unsupported` for other ciphers,
    :class:`Exhausted` for parameters that would take minutes, :class:`Denied` (``password``) for a wrong password.
    """
    if len(data) > LARGEST:
        raise InvalidInput(f"{what}: {len(data)} bytes are too many for a private key", reason="key")
    blocks = [content for label, content in pem.decode(data, what=what) if label in LABELS]
    if len(blocks) != 1:
        raise InvalidInput(f"{what} holds no encrypted sigstore private key", reason="key")
    try:
        envelope = _Envelope.decode(jsontext.loads(blocks[0], what=what), where=what, strict=False)
        salt, nonce = _raw(envelope.kdf.salt), _raw(envelope.cipher.nonce)
        box = _raw(envelope.ciphertext)
    except (LadingError, ValueError) as error:
        why = error.message if isinstance(error, LadingError) else f"{what}: not base64"
        raise InvalidInput(why, reason="key") from None
    for name, known in ((envelope.kdf.name, "scrypt"), (envelope.cipher.name, "nacl/secretbox")):
        if name != known:
            raise Unsupported(
                f"{what}: is protected by {name[:60]!r}, and only {known} is supported", reason="key"
            )
    if len(nonce) != secretbox.NONCE_SIZE or len(box) < secretbox.OVERHEAD:
        raise InvalidInput(f"{what}: its secret box has the wrong size", reason="key")
    found = secretbox.open_box(box, nonce, _derive(password, salt, envelope.kdf.params, what))
    if found is None:
        raise Denied(f"{what}: the password is wrong, or the file was altered", reason="password")
    return found


def _derive(password: bytes, salt: bytes, params: _Params, what: str) -> bytes:
    n, r, p = params.n, params.r, params.p
    if n < 2 or n & (n - 1) or r < 1 or p < 1:
        raise InvalidInput(f"{what}: scrypt cannot work with N={n}, r={r}, p={p}", reason="key")
    if n * r * 128 > _MEMORY or n * r * p > _WORK:
        raise Exhausted(f"{what}: scrypt with N={n}, r={r}, p={p} asks for too much", reason="key")
    try:
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY + (64 << 20), dklen=32)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{what}: scrypt cannot work with N={n}, r={r}, p={p}", reason="key") from None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _raw(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None
