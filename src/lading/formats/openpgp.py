"""OpenPGP as texts: armor taken off, and what ``gpgv`` says on its status descriptor.

Source: RFC 4880 section 6 (armor, its CRC); GnuPG's doc/DETAILS, "Format of the --status-fd output". Measured with gpgv 2.2.40:
it exits with 0 for a signature by a key that has expired or was revoked, and for one over SHA-1, and it prints VALIDSIG in
all three cases; it cannot read an armored keyring and then says NO_PUBKEY. So the exit status decides nothing here.
"""

from __future__ import annotations

import binascii

from lading.errors import Denied, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

PUBLIC_KEY, SIGNATURE = "PUBLIC KEY BLOCK", "SIGNATURE"
LARGEST = 4 << 20
"""Bytes of an armored file: a keyring of a thousand keys."""

_WEAK = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160"}
_STATUS = "[GNUPG:] "
_HEX = frozenset("0123456789ABCDEF")
_PROBLEMS = {
    "EXPKEYSIG": ("key-expired", "the key has expired"),
    "REVKEYSIG": ("key-revoked", "the key was revoked"),
    "EXPSIG": ("signature-expired", "the signature has expired"),
    "BADSIG": ("bad-signature", "it is not a signature of this file"),
}


class Signed:
    """A good signature: ``fingerprint`` of the primary key (forty upper-case hex digits), when it was made (Unix time)."""

    __slots__ = ("fingerprint", "made", "user")

    def __init__(self, fingerprint: str, made: int, user: str) -> None:
        self.fingerprint = fingerprint
        self.made = made
        self.user = user

    def __repr__(self) -> str:
        return f"Signed({self.fingerprint!r}, {self.made}, {self.user!r})"


class _One:
    """What the status lines say of one signature."""

    __slots__ = ("good", "hash", "key", "made", "primary", "problem", "user")

    def __init__(self) -> None:
        self.good = False
        self.hash = ""
        self.primary = ""
        self.problem = ""
        self.made = 0
        self.user = ""
        self.key = ""


def verdict(status: str, trusted: Collection[str], *, what: str) -> Signed:
    """The good signature that the status lines of ``gpgv`` speak of, by one of the ``trusted`` primary fingerprints.

    ``what`` names the signed file in errors. Of several signatures one by a trusted key is enough, but none may be bad.
    Raises :class:`Denied`: ``bad-signature``, ``key-expired``, ``key-revoked``, ``signature-expired``, ``weak-signature``,
    ``key-unknown``, ``no-signature``.
    """
    signatures = _signatures(status)
    reason, why = "no-signature", "there is no signature"
    for one in signatures:
        if one.problem == "BADSIG":
            raise _denied(what, *_PROBLEMS["BADSIG"])
    for one in signatures:
        if one.problem in _PROBLEMS:
            reason, why = _PROBLEMS[one.problem]
            why += f" ({one.primary or one.key})"
        elif not one.good or one.primary not in trusted:
            # The key of somebody else says less than what is wrong with one of ours.
            if reason == "no-signature":
                reason, why = "key-unknown", f"no trusted key made its signature ({one.primary or one.key})"
        elif one.hash in _WEAK:
            reason, why = "weak-signature", f"the signature is over {_WEAK[one.hash]}, which can be forged"
        else:
            return Signed(one.primary, one.made, one.user)
    raise _denied(what, reason, why)


def _denied(what: str, reason: str, why: str) -> Denied:
    return Denied(f"{what}: {why}", reason=reason)


def _signatures(status: str) -> list[_One]:
    found: list[_One] = []
    for line in status.split("\n"):
        if not line.startswith(_STATUS):
            continue
        word, _, rest = line[len(_STATUS) :].partition(" ")
        fields = rest.split(" ")
        if word == "NEWSIG":
            found.append(_One())
        elif not found:
            continue
        elif word == "GOODSIG" or word in _PROBLEMS:
            found[-1].good = word == "GOODSIG"
            found[-1].problem = "" if word == "GOODSIG" else word
            found[-1].key, found[-1].user = fields[0], " ".join(fields[1:])[:200]
        elif word == "ERRSIG":
            found[-1].good, found[-1].key = False, fields[0]
        elif word == "VALIDSIG" and len(fields) >= 10:
            found[-1].primary, found[-1].hash = fields[9], fields[7]
            found[-1].made = int(fields[2]) if fields[2].isdigit() and len(fields[2]) < 16 else 0
    return found


def is_fingerprint(text: str) -> bool:
    """Whether ``text`` is the fingerprint of a version 4 key: forty upper-case hex digits."""
    return len(text) == 40 and _HEX.issuperset(text)


# -- armor ---------------------------------------------------------------------------------------------------------


def dearmor(data: bytes, kind: str, *, what: str) -> list[bytes]:
    """The packets of every armored block of ``kind`` in ``data``, whatever stands between the blocks.

    ``kind`` is :data:`PUBLIC_KEY` or :data:`SIGNATURE`; a block of another kind is an error, so that nobody's secret key is
    taken for a public one. Raises :class:`InvalidInput` (reason ``armor``).
    """
    if len(data) > LARGEST:
        raise InvalidInput(f"{what}: {len(data)} bytes, more than {LARGEST}", reason="armor")
    if b"-----BEGIN PGP " not in data:
        raise InvalidInput(f"{what} is not ASCII-armored", hint="export it with gpg --armor", reason="armor")
    lines = data.decode("ascii", "replace").splitlines()
    found: list[bytes] = []
    position = 0
    while position < len(lines):
        line = lines[position].rstrip()
        position += 1
        if not line.startswith("-----BEGIN PGP "):
            continue
        if line != f"-----BEGIN PGP {kind}-----":
            raise _armor(what, f"expected a PGP {kind.lower()}, found {line[15:60].rstrip('-').lower()!r}")
        block, position = _block(lines, position, kind, what)
        found.append(block)
    if not found:
        raise _armor(what, f"there is no PGP {kind.lower()} in it")
    return found


def _block(lines: list[str], position: int, kind: str, what: str) -> tuple[bytes, int]:
    # Headers (Version:, Comment:) end with an empty line; some tools write neither.
    while position < len(lines) and (": " in lines[position] or lines[position].rstrip().endswith(":")):
        position += 1
    body: list[str] = []
    checksum = ""
    while position < len(lines):
        line = lines[position].strip()
        position += 1
        if line == f"-----END PGP {kind}-----":
            packets = _decoded("".join(body), what)
            if not packets:
                raise _armor(what, "the block is empty")
            if checksum and _decoded(checksum, what) != crc24(packets).to_bytes(3, "big"):
                raise _armor(what, "the checksum of the block is wrong")
            return packets, position
        if line.startswith("-----"):
            break
        if checksum and line:
            raise _armor(what, "there is text after the checksum of the block")
        if line.startswith("=") and len(line) == 5:
            checksum = line[1:]
        elif line:
            body.append(line)
    raise _armor(what, "the block has no end")


def _decoded(text: str, what: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii", "replace"), strict_mode=True)
    except binascii.Error:
        raise _armor(what, "the block is not base64") from None


def _armor(what: str, why: str) -> InvalidInput:
    return InvalidInput(f"{what}: {why}", reason="armor")


def armor(packets: bytes, kind: str, comments: Sequence[str] = ()) -> bytes:
    """An armored block of ``kind``. ``comments`` are lines for people, which no program reads: printable, and short."""
    text = binascii.b2a_base64(packets, newline=False).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    heads = [f"Comment: {comment}" for comment in comments]
    checksum = binascii.b2a_base64(crc24(packets).to_bytes(3, "big"), newline=False).decode()
    block = [
        f"-----BEGIN PGP {kind}-----",
        *heads,
        "",
        *lines,
        f"={checksum}",
        f"-----END PGP {kind}-----",
        "",
    ]
    return "\n".join(block).encode()


def crc24(data: bytes) -> int:
    """The checksum of armor (RFC 4880, section 6.1)."""
    value = 0xB704CE
    for byte in data:
        value = (value << 8 & 0xFFFFFF) ^ _CRC[value >> 16 ^ byte]
    return value


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 16
        for _ in range(8):
            value = (value << 1 ^ 0x864CFB if value & 0x800000 else value << 1) & 0xFFFFFF
        table.append(value)
    return table


_CRC = _crc_table()
