"""OpenPGP packets, as far as keys and detached signatures need them: where each begins and ends, fingerprints, user IDs.

Source: RFC 4880, section 4 (packets), 5.5 (keys), 5.11 (user IDs), 12.2 (fingerprints). Nothing is verified here: that is
``gpgv``'s. What a stranger sends is only let through to it when it consists of the packets that it should consist of, so that
a "signature" is never a signed message with other contents, nor something compressed.
"""

from __future__ import annotations

import hashlib

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SIGNATURE, _SECRET_KEY, _PUBLIC_KEY, _SECRET_SUBKEY, _TRUST, _USER, _SUBKEY, _ATTRIBUTE = (
    2,
    5,
    6,
    7,
    12,
    13,
    14,
    17,
)
_OF_A_KEY = (_SIGNATURE, _USER, _SUBKEY, _ATTRIBUTE)
MOST_KEYS = 64
"""Primary keys in one file that somebody offers."""
MOST_SIGNATURES = 16
"""Signatures of one file."""
_LONGEST_USER = 200


class Key:
    """A public key. ``fingerprint``: of the primary key, forty upper-case hex digits. ``users``: its user IDs, as it claims them.

    ``packets`` are the primary key, subkeys, user IDs and signatures: a keyring of this key alone. ``created``: Unix time.
    """

    __slots__ = ("created", "fingerprint", "packets", "users")

    def __init__(self, fingerprint: str, users: Sequence[str], packets: bytes, created: int) -> None:
        self.fingerprint = fingerprint
        self.users = list(users)
        self.packets = packets
        self.created = created

    def __repr__(self) -> str:
        return f"Key({self.fingerprint!r}, {self.users!r})"


def keys(data: bytes, *, what: str) -> list[Key]:
    """The public keys in a row of packets, each once, in their order. ``what`` names the source in errors.

    Raises :class:`InvalidInput` (reason ``key``) for anything else, also for secret keys; :class:`Unsupported` for keys of
    another version than 4.
    """
    groups: list[list[tuple[int, bytes, bytes]]] = []
    for tag, whole, body in _packets(data, what, "key"):
        if tag in (_SECRET_KEY, _SECRET_SUBKEY):
            raise _bad(
                what, "it holds a secret key", "key", hint="export the public one: gpg --armor --export"
            )
        if tag == _TRUST:
            continue  # another keyring's own notes
        if tag == _PUBLIC_KEY:
            groups.append([])
        elif tag not in _OF_A_KEY or not groups:
            raise _bad(what, f"a packet of type {tag} is no part of a public key", "key")
        groups[-1].append((tag, whole, body))
    if not groups:
        raise _bad(what, "there is no public key in it", "key")
    if len(groups) > MOST_KEYS:
        raise _bad(what, f"it holds {len(groups)} keys, more than {MOST_KEYS}", "key")
    found: dict[str, Key] = {}
    for group in groups:
        key = _key(group, what)
        found.setdefault(key.fingerprint, key)
    return list(found.values())


def _key(group: list[tuple[int, bytes, bytes]], what: str) -> Key:
    primary = group[0][2]
    if primary[:1] != b"\x04":
        version = primary[0] if primary else 0
        raise Unsupported(f"{what}: a key of version {version} is not supported; it is 4", reason="key")
    if len(primary) < 6 or len(primary) > 0xFFFF:
        raise _bad(what, "the key has no sensible length", "key")
    hashed = b"\x99" + len(primary).to_bytes(2, "big") + primary
    fingerprint = hashlib.sha1(hashed, usedforsecurity=False).hexdigest().upper()
    users = [_text(body) for tag, _, body in group if tag == _USER]
    return Key(
        fingerprint, users, b"".join(whole for _, whole, _ in group), int.from_bytes(primary[1:5], "big")
    )


def _text(body: bytes) -> str:
    """A user ID on one line: it is a stranger's text and ends on a terminal."""
    text = body[: 4 * _LONGEST_USER].decode("utf-8", "replace")[:_LONGEST_USER]
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def check_signatures(data: bytes, *, what: str) -> None:
    """Raise :class:`InvalidInput` (reason ``no-signature``) when ``data`` is anything but detached signatures."""
    count = 0
    for tag, _, _ in _packets(data, what, "no-signature"):
        count += 1
        if tag != _SIGNATURE:
            raise _bad(what, f"a packet of type {tag} is no detached signature", "no-signature")
        if count > MOST_SIGNATURES:
            raise _bad(what, f"it holds more than {MOST_SIGNATURES} signatures", "no-signature")
    if not count:
        raise _bad(what, "there is no signature in it", "no-signature")


def spoken(fingerprint: str) -> str:
    """A fingerprint in groups, as GnuPG shows it for comparison by eye: ``E62F 942E F5CC BDA9 87C7  E0F9 C0CF …``."""
    groups = [fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4)]
    return f"{' '.join(groups[:5])}  {' '.join(groups[5:])}"


def _packets(data: bytes, what: str, reason: str) -> Iterator[tuple[int, bytes, bytes]]:
    """Each packet: its type, all of it, its body. Lengths that are open or beyond the data are errors."""
    position, size = 0, len(data)
    while position < size:
        start, first = position, data[position]
        if not first & 0x80:
            raise _bad(what, "it is not made of OpenPGP packets", reason)
        if first & 0x40:
            tag = first & 0x3F
            octets, length = _new_length(data[position + 1 : position + 6])
        else:
            tag = first >> 2 & 0x0F
            octets = (1, 2, 4, 0)[first & 3]
            length = int.from_bytes(data[position + 1 : position + 1 + octets], "big") if octets else -1
        begin = position + 1 + octets
        position = begin + length
        if length < 0 or begin > size or position > size:
            raise _bad(what, "an OpenPGP packet has no end: the data was cut off", reason)
        yield tag, data[start:position], data[begin:position]


def _new_length(octets: bytes) -> tuple[int, int]:
    """How many octets a length of the new format takes, and the length; -1 for one that comes in parts or is cut off."""
    if not octets:
        return 1, -1
    if octets[0] < 192:
        return 1, octets[0]
    if octets[0] < 224 and len(octets) > 1:
        return 2, (octets[0] - 192 << 8) + octets[1] + 192
    if octets[0] == 255 and len(octets) == 5:
        return 5, int.from_bytes(octets[1:], "big")
    return 1, -1


def _bad(what: str, why: str, reason: str, *, hint: str = "") -> InvalidInput:
    return InvalidInput(f"{what}: {why}", hint=hint, reason=reason)
