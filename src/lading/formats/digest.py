"""Digests: ``algorithm:hex``, the names of content.

Source: OCI image-spec, descriptor.md, "Digests". The registered algorithms ``sha256`` and ``sha512`` are accepted, in lower-case
hex of exact length; everything else is refused, because a digest becomes a file name.
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib

LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = frozenset("0123456789abcdef")
_SHORT = 64 << 10
"""Bytes that are hashed without OpenSSL: in less time than it takes to load."""


def split(digest: str, *, what: str = "digest") -> tuple[str, str]:
    """``(algorithm, hex)`` of a valid digest. ``what`` names it in errors.

    Raises :class:`InvalidInput` (not a digest) or :class:`Unsupported` (an algorithm we do not verify).
    """
    algorithm, colon, text = digest.partition(":")
    if not colon or not algorithm or not text:
        raise InvalidInput(f"{what} {digest[:100]!r} is not of the form algorithm:hex")
    length = LENGTHS.get(algorithm)
    if length is None:
        raise Unsupported(f"{what} {digest[:100]!r}: the algorithm {algorithm!r} is not sha256 or sha512")
    if len(text) != length or not _HEX.issuperset(text):
        raise InvalidInput(f"{what} {digest[:160]!r}: {algorithm} is {length} lower-case hex digits")
    return algorithm, text


def check(digest: str, *, what: str = "digest") -> str:
    """``digest`` itself when it is valid; the errors of :func:`split` otherwise."""
    split(digest, what=what)
    return digest


def is_digest(text: str) -> bool:
    """Whether ``text`` is a valid digest of an algorithm we verify."""
    algorithm, _, rest = text.partition(":")
    return LENGTHS.get(algorithm) == len(rest) and _HEX.issuperset(rest)


def hasher(algorithm: str) -> hashlib._Hash:
    """A fresh hash of ``algorithm`` (``sha256`` or ``sha512``)."""
    # _hashlib spares the start-up path hashlib's 2 ms; both give OpenSSL's implementation.
    try:
        import _hashlib

        return _hashlib.openssl_sha512() if algorithm == "sha512" else _hashlib.openssl_sha256()
    except (ImportError, AttributeError):
        import hashlib

        return hashlib.new(algorithm)


def of(data: bytes | memoryview, algorithm: str = "sha256") -> str:
    """The digest of ``data``."""
    made = hasher(algorithm) if len(data) > _SHORT else _plain_hasher(algorithm)
    made.update(data)
    return f"{algorithm}:{made.hexdigest()}"


def _plain_hasher(algorithm: str) -> hashlib._Hash:
    """A hash of the interpreter's own: slower, and there without the 3 ms that loading OpenSSL takes."""
    made: hashlib._Hash
    try:
        if algorithm == "sha512":
            from _sha512 import sha512  # type: ignore[import-not-found]

            made = sha512()
        else:
            from _sha256 import sha256  # type: ignore[import-not-found]

            made = sha256()
        return made
    except ImportError:  # another interpreter has them elsewhere
        return hasher(algorithm)


def short(digest: str) -> str:
    """The twelve digits that people read and type."""
    return digest.partition(":")[2][:12]
