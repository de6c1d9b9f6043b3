"""NaCl's secret box, XSalsa20 and Poly1305: what a cosign private key is encrypted with.

``cryptography`` has neither XSalsa20 nor HSalsa20, and PyNaCl would be a second cryptographic library for one key of a few
hundred bytes. See docs/decisions/0017-signatures.md. The only secrets here are a key that was derived for this one box and
the box's content; both are in this process anyway, so Python's lack of constant time gives nothing away to others.

Source: D. J. Bernstein, "Extending the Salsa20 nonce" and "Cryptography in NaCl"; RFC 8439, 2.5 (Poly1305).
"""

from __future__ import annotations

import hmac
import struct

from lading.errors import InvalidInput

KEY_SIZE = 32
NONCE_SIZE = 24
OVERHEAD = 16

_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_MASK = 0xFFFFFFFF
_PRIME = (1 << 130) - 5
_CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
# Four columns, then four rows: the words that a quarter round mixes.
_QUARTERS = (
    (0, 4, 8, 12),
    (5, 9, 13, 1),
    (10, 14, 2, 6),
    (15, 3, 7, 11),
    (0, 1, 2, 3),
    (5, 6, 7, 4),
    (10, 11, 8, 9),
    (15, 12, 13, 14),
)


def seal(message: bytes, nonce: bytes, key: bytes) -> bytes:
    """Encrypt: a tag of 16 bytes, then as many bytes as ``message`` has. A nonce must never be used twice with a key."""
    stream = _stream(32 + len(message), nonce, key)
    hidden = _xor(message, stream[32:])
    return _poly1305(hidden, stream[:32]) + hidden


def open_box(box: bytes, nonce: bytes, key: bytes) -> bytes | None:
    """The message, None when the key is another one or the box was altered. Raises :class:`InvalidInput` for wrong sizes."""
    if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE or len(box) < OVERHEAD:
        raise InvalidInput("a secret box needs a key of 32 bytes, a nonce of 24 and a tag of 16")
    hidden = box[OVERHEAD:]
    stream = _stream(32 + len(hidden), nonce, key)
    if not hmac.compare_digest(_poly1305(hidden, stream[:32]), box[:OVERHEAD]):
        return None
    return _xor(hidden, stream[32:])


def _xor(one: bytes, other: bytes) -> bytes:
    length = len(one)
    return (int.from_bytes(one, "little") ^ int.from_bytes(other[:length], "little")).to_bytes(
        length, "little"
    )


def _rounds(state: list[int]) -> list[int]:
    """Salsa20's twenty rounds, without the final addition."""
    x = state.copy()
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            word = (x[a] + x[d]) & _MASK
            x[b] ^= (word << 7 | word >> 25) & _MASK
            word = (x[b] + x[a]) & _MASK
            x[c] ^= (word << 9 | word >> 23) & _MASK
            word = (x[c] + x[b]) & _MASK
            x[d] ^= (word << 13 | word >> 19) & _MASK
            word = (x[d] + x[c]) & _MASK
            x[a] ^= (word << 18 | word >> 14) & _MASK
    return x


def _state(key: bytes, block: bytes) -> list[int]:
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", block)
    return [_SIGMA[0], *k[:4], _SIGMA[1], *n, _SIGMA[2], *k[4:], _SIGMA[3]]


def _hsalsa20(key: bytes, nonce: bytes) -> bytes:
    x = _rounds(_state(key, nonce))
    return struct.pack("<8I", x[0], x[5], x[10], x[15], *x[6:10])


def _stream(length: int, nonce: bytes, key: bytes) -> bytes:
    """``length`` bytes of XSalsa20's key stream."""
    if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
        raise InvalidInput("a secret box needs a key of 32 bytes and a nonce of 24")
    inner = _hsalsa20(key, nonce[:16])
    blocks = []
    for counter in range((length + 63) // 64):
        state = _state(inner, nonce[16:] + struct.pack("<Q", counter))
        mixed = _rounds(state)
        blocks.append(struct.pack("<16I", *[(a + b) & _MASK for a, b in zip(state, mixed, strict=True)]))
    return b"".join(blocks)[:length]


def _poly1305(message: bytes, key: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & _CLAMP
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\1", "little")) * r % _PRIME
    return ((total + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")
