"""What gpgv says is read strictly, and armor comes off only where it is whole. The status lines are gpgv 2.2.40's own."""

from __future__ import annotations

import binascii
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import Denied, InvalidInput
from lading.formats import openpgp

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)

ONE, TWO = "E62F942EF5CCBDA987C7E0F9C0CF7DB2EB1DC7F9", "7386751529F539F56B2B0B422B500E713D942AF3"


def _status(*lines: str) -> str:
    return "".join(f"[GNUPG:] {line}\n" for line in lines)


def _valid(key: str = ONE, hash: str = "8") -> str:
    return f"VALIDSIG {key} 2026-11-28 1795896981 0 4 0 22 {hash} 00 {key}"


GOOD = ("NEWSIG one@example.com", f"KEY_CONSIDERED {ONE} 0", f"GOODSIG {ONE[24:]} one@example.com", _valid())
UNKNOWN = ("NEWSIG two@example.com", f"ERRSIG {TWO[24:]} 22 8 00 1795896981 9 {TWO}", f"NO_PUBKEY {TWO[24:]}")


@pytest.mark.parametrize("lines", [GOOD, UNKNOWN + GOOD, GOOD + UNKNOWN])
def test_one_good_signature_by_a_trusted_key_is_enough(lines: tuple[str, ...]) -> None:
    signed = openpgp.verdict(_status(*lines), [ONE], what="app.aci")
    assert (signed.fingerprint, signed.made, signed.user) == (ONE, 1795896981, "one@example.com")


def test_a_subkeys_signature_is_its_primary_keys() -> None:
    line = f"VALIDSIG {TWO} 2026-11-28 1795896981 0 4 0 22 8 00 {ONE}"
    assert (
        openpgp.verdict(_status("NEWSIG", f"GOODSIG {TWO[24:]} x", line), [ONE], what="f").fingerprint == ONE
    )


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "no-signature"), (("NODATA 2",), "no-signature"), (GOOD[2:], "no-signature"), (UNKNOWN, "key-unknown"),
        (("NEWSIG", f"BADSIG {ONE[24:]} one@example.com"), "bad-signature"), ((*GOOD, "NEWSIG", f"BADSIG {TWO[24:]} x"),
        "bad-signature"),
        (("NEWSIG", "KEYEXPIRED 1577923200", f"EXPKEYSIG {ONE[24:]} x", _valid()), "key-expired"),
        (("NEWSIG", f"REVKEYSIG {ONE[24:]} x", _valid()), "key-revoked"), (("NEWSIG", f"EXPSIG {ONE[24:]} x", _valid()),
        "signature-expired"),
        (("NEWSIG", f"GOODSIG {ONE[24:]} x", _valid(hash="2")), "weak-signature"), (("NEWSIG", f"GOODSIG {ONE[24:]} x",
        _valid(hash="1")), "weak-signature"),
        (("NEWSIG", _valid()), "key-unknown"), (("NEWSIG", f"GOODSIG {ONE[24:]} x"), "key-unknown"), (("NEWSIG",), "key-unknown"),
        (("NEWSIG", f"GOODSIG {TWO[24:]} x", _valid(TWO)), "key-unknown"), ((*UNKNOWN, "NEWSIG", f"EXPKEYSIG {ONE[24:]} x",
        _valid()), "key-expired"),
        (("NEWSIG", f"GOODSIG {ONE[24:]} x", "VALIDSIG " + ONE), "key-unknown"),
    ],
)  # fmt: skip
def test_everything_else_is_denied_with_its_reason(lines: tuple[str, ...], reason: str) -> None:
    """Of which gpgv calls three a success: an expired key, a revoked one, and SHA-1."""
    with pytest.raises(Denied, match=r"^app\.aci: ") as caught:
        openpgp.verdict(_status(*lines), [ONE], what="app.aci")
    assert caught.value.reason == reason


def test_a_user_id_cannot_speak_for_gpgv() -> None:
    """gpgv escapes line ends; a status line must begin its line, and what a user calls himself is one field of it."""
    lines = (
        _status("NEWSIG", f"ERRSIG {TWO[24:]} 22 8 00 1 9 {TWO} [GNUPG:] GOODSIG {ONE[24:]} x")
        + f"x [GNUPG:] {_valid()}\n"
    )
    with pytest.raises(Denied):
        openpgp.verdict(lines, [ONE], what="f")


# -- armor ---------------------------------------------------------------------------------------------------------


def _armored(
    data: bytes, kind: str = openpgp.PUBLIC_KEY, *, headers: str = "", checksum: bytes | None = None
) -> str:
    text = binascii.b2a_base64(data, newline=False).decode()
    body = "\n".join(text[n : n + 64] for n in range(0, len(text), 64))
    check = openpgp.crc24(data).to_bytes(3, "big") if checksum is None else checksum
    end = f"={binascii.b2a_base64(check, newline=False).decode()}\n" if check else ""
    return f"-----BEGIN PGP {kind}-----\n{headers}\n{body}\n{end}-----END PGP {kind}-----\n"


def _off(text: str, kind: str = openpgp.PUBLIC_KEY) -> list[bytes]:
    return openpgp.dearmor(text.encode(), kind, what="key")


def test_the_checksum_is_the_rfcs() -> None:
    assert openpgp.crc24(b"") == 0xB704CE
    assert openpgp.crc24(b"123456789") == 0x21CF02


def test_a_block_that_gnupg_wrote_is_read() -> None:
    text = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEaws2lRYJKwYBBAHaRw8BAQdAbq5ul2nDq4d3C9y+pLHXMQFIjbFFk8GtdCee
nChZNiG0D29uZUBleGFtcGxlLmNvbYiQBBMWCAA4FiEE5i+ULvXMvamHx+D5wM99
susdx/kFAmsLNpUCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQwM99susd
x/m4pgEAowIp70XyGr1oVcz6T8bLxhQExl7awEC5IDHejLgBdzYA/Rf9yLJidNQR
IQOlAMYMfSGyrBkMYG2wQ10rJv8S9dAE
=aSGX
-----END PGP PUBLIC KEY BLOCK-----
"""
    (packets,) = _off(text)
    assert packets[0] == 0x98  # an old-format public key packet
    assert b"one@example.com" in packets


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_blocks_are_read_with_and_without_headers_and_checksums(
    blocks: list[bytes], headers: bool, checksum: bool
) -> None:
    text = "some words\n".join(
        _armored(
            b, headers="Version: X 1\nComment: a: b\n" if headers else "", checksum=None if checksum else b""
        )
        for b in blocks
    )
    assert _off(text) == blocks
    assert _off(text.replace("\n", "\r\n")) == blocks


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not ASCII-armored"), ("\x98\x33", "not ASCII-armored"), (_armored(b"abc", openpgp.SIGNATURE),
        "expected a PGP public key block"),
        (_armored(b"abc", "PRIVATE KEY BLOCK"), "expected a PGP public key block, found 'private key block'"),
        (_armored(b"abc", checksum=b"\0\0\0"), "checksum"), (_armored(b"abc").replace("YWJj", "YW*j"), "not base64"),
        (_armored(b""), "empty"),
        (_armored(b"abc").replace("-----END", "-----Fin"), "no end"), (_armored(b"abc")[:-30], "no end"),
        (_armored(b"abc").replace("-----END", "YWJj\n-----END"), "after the checksum"),
        ("-----BEGIN PGP ", "no PGP public key block"),
    ],
)  # fmt: skip
def test_armor_that_is_not_whole_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"^key:? .*{why}") as caught:
        _off(text)
    assert caught.value.reason == "armor"


def test_a_file_beyond_all_measure_is_refused() -> None:
    with pytest.raises(InvalidInput, match="more than"):
        openpgp.dearmor(b"x" * (openpgp.LARGEST + 1), openpgp.SIGNATURE, what="sig")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [(ONE, True), (ONE.lower(), False), (ONE[1:], False), ("", False), ("../" + ONE[3:], False)],
)
def test_a_fingerprint_is_safe_as_a_file_name(text: str, is_one: bool) -> None:
    assert openpgp.is_fingerprint(text) is is_one
