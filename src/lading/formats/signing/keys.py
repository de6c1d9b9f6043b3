"""Public and private keys, and what a signature of a key is.

ECDSA on P-256, P-384 and P-521 (ASN.1 signatures), RSA (PKCS #1 v1.5) and Ed25519, all over SHA-256 where a digest is taken:
cosign's SIGNATURE_SPEC.md has the digest be the registry's. A newer cosign takes the curve's own for P-384 and P-521, and
Ed25519ph; such signatures are read, and none are made, because older readers do not know them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from lading.errors import InvalidInput, Unsupported
from lading.formats.signing import ed25519ph, pem
from lading.formats.signing.envelope import LABELS

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_DIGESTS: dict[str, list[hashes.HashAlgorithm]] = {
    "secp256r1": [hashes.SHA256()],
    "secp384r1": [hashes.SHA256(), hashes.SHA384()],
    "secp521r1": [hashes.SHA256(), hashes.SHA512()],
}
_RSA = range(2048, 16384 + 1)
_PUBLIC = ("PUBLIC KEY", "RSA PUBLIC KEY")
_PRIVATE = ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY")
TYPES = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")
"""What a new key can be; the first is what every reader of cosign signatures must know."""

LARGEST = 64 << 10

_Public = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class PublicKey:
    """A key that signatures are checked with. Equal by its bytes."""

    def __init__(self, key: _Public) -> None:
        self._key = key
        self.der = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def fingerprint(self) -> str:
        """``sha256:`` and the digest of its PKIX form."""
        return "sha256:" + hashlib.sha256(self.der).hexdigest()

    @property
    def kind(self) -> str:
        """For people: ``ECDSA P-256``, ``RSA 3072``, ``Ed25519``."""
        if isinstance(self._key, ec.EllipticCurvePublicKey):
            return f"ECDSA {_CURVES[self._key.curve.name]}"
        if isinstance(self._key, rsa.RSAPublicKey):
            return f"RSA {self._key.key_size}"
        return "Ed25519"

    def pem(self) -> bytes:
        """As it is kept in a file."""
        return pem.encode("PUBLIC KEY", self.der)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is one of ``message`` by this key."""
        if isinstance(self._key, ec.EllipticCurvePublicKey):
            return any(self._ecdsa(self._key, signature, message, d) for d in _DIGESTS[self._key.curve.name])
        try:
            if isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                self._key.verify(signature, message)
        except InvalidSignature:
            if isinstance(self._key, rsa.RSAPublicKey):
                return False
            return ed25519ph.verifies(self._key.public_bytes_raw(), signature, message)
        return True

    @staticmethod
    def _ecdsa(
        key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes, digest: hashes.HashAlgorithm
    ) -> bool:
        try:
            key.verify(signature, message, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)


class PrivateKey:
    """A key that signs."""

    def __init__(self, key: _Private) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    def pkcs8(self) -> bytes:
        """Unencrypted, in DER: what goes into an envelope."""
        return self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, message: bytes) -> bytes:
        """A signature of ``message``."""
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(message, ec.ECDSA(hashes.SHA256()))
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(message)


def generate(kind: str) -> PrivateKey:
    """A new key of one of :data:`TYPES`. Raises :class:`InvalidInput`."""
    curves: dict[str, ec.EllipticCurve] = {
        "ecdsa-p256": ec.SECP256R1(),
        "ecdsa-p384": ec.SECP384R1(),
        "ecdsa-p521": ec.SECP521R1(),
    }
    if kind in curves:
        return PrivateKey(ec.generate_private_key(curves[kind]))
    if kind.startswith("rsa-") and kind in TYPES:
        return PrivateKey(rsa.generate_private_key(65537, int(kind[4:])))
    if kind == "ed25519":
        return PrivateKey(ed25519.Ed25519PrivateKey.generate())
    raise InvalidInput(f"{kind!r} is no type of key", hint=f"one of {', '.join(TYPES)}")


def public_key(data: bytes, *, what: str) -> PublicKey:
    """The public key in a PEM file. Raises :class:`InvalidInput` (``key``, ``pem``), :class:`Unsupported` (``key``)."""
    _check_size(data, what)
    blocks = pem.decode(data, what=what)
    found = [(label, content) for label, content in blocks if label in _PUBLIC]
    if len(found) != 1:
        hint = "`lading image keys public FILE` prints its public key" if _has_private(blocks) else ""
        raise InvalidInput(
            f"{what} holds {len(found) or 'no'} public keys, one is needed", hint=hint, reason="key"
        )
    label, content = found[0]
    try:
        key = serialization.load_pem_public_key(pem.encode(label, content))
    except UnsupportedAlgorithm:
        raise Unsupported(f"{what}: a key of a kind that is not supported", reason="key") from None
    except (ValueError, TypeError):
        raise InvalidInput(f"{what}: the public key in it is broken", reason="key") from None
    if not isinstance(key, _Public):
        raise Unsupported(f"{what}: a key of a kind that is not supported", hint=_KINDS, reason="key")
    _check(key, what)
    return PublicKey(key)


def private_key(pkcs8: bytes, *, what: str) -> PrivateKey:
    """The key in an opened envelope. Raises as :func:`public_key` does."""
    return _private(lambda: serialization.load_der_private_key(pkcs8, None), what)


def plain_private_key(data: bytes, *, what: str) -> PrivateKey:
    """An unencrypted key of another tool: PKCS #8, PKCS #1 or SEC 1 in PEM. Raises as :func:`public_key` does."""
    _check_size(data, what)
    blocks = pem.decode(data, what=what)
    if any(label == "ENCRYPTED PRIVATE KEY" for label, _ in blocks):
        raise Unsupported(
            f"{what}: its encryption is not sigstore's",
            hint="`openssl pkcs8 -in FILE` decrypts it",
            reason="key",
        )
    if any(label in LABELS for label, _ in blocks):
        raise InvalidInput(f"{what} is a sigstore private key already", hint="use it as it is", reason="key")
    found = [(label, content) for label, content in blocks if label in _PRIVATE]
    if len(found) != 1:
        raise InvalidInput(f"{what} holds {len(found) or 'no'} private keys, one is needed", reason="key")
    return _private(lambda: serialization.load_pem_private_key(pem.encode(*found[0]), None), what)


_KINDS = "ECDSA on P-256, P-384 or P-521, RSA from 2048 bits, or Ed25519"


def _private(load: Callable[[], object], what: str) -> PrivateKey:
    try:
        key = load()
    except UnsupportedAlgorithm:
        raise Unsupported(
            f"{what}: a key of a kind that is not supported", hint=_KINDS, reason="key"
        ) from None
    except (ValueError, TypeError):
        raise InvalidInput(f"{what}: the private key in it is broken", reason="key") from None
    if not isinstance(key, _Private):
        raise Unsupported(f"{what}: a key of a kind that is not supported", hint=_KINDS, reason="key")
    _check(key.public_key(), what)
    return PrivateKey(key)


def _check(key: _Public, what: str) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _CURVES:
        raise Unsupported(f"{what}: the curve {key.curve.name} is not supported", hint=_KINDS, reason="key")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size not in _RSA:
        raise Unsupported(f"{what}: RSA with {key.key_size} bits is not supported", hint=_KINDS, reason="key")


def _check_size(data: bytes, what: str) -> None:
    if len(data) > LARGEST:
        raise InvalidInput(f"{what}: {len(data)} bytes are too many for a key", reason="key")


def _has_private(blocks: list[tuple[str, bytes]]) -> bool:
    return any("PRIVATE KEY" in label for label, _ in blocks)
