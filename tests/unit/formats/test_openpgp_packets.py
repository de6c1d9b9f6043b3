"""OpenPGP packets: what is cut into keys and signatures, and what is not."""

from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats import openpgp
from lading.formats.openpgp_packets import MOST_KEYS, MOST_SIGNATURES, check_signatures, keys, spoken

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)


def old(tag: int, body: bytes) -> bytes:
    """A packet with the header of RFC 1991."""
    return bytes([0x80 | tag << 2 | 1]) + len(body).to_bytes(2, "big") + body


def new(tag: int, body: bytes) -> bytes:
    """A packet with the header of RFC 4880, its length in as few octets as go."""
    size = len(body)
    if size < 192:
        length = bytes([size])
    elif size < 8384:
        length = bytes([(size - 192 >> 8) + 192, size - 192 & 0xFF])
    else:
        length = b"\xff" + size.to_bytes(4, "big")
    return bytes([0xC0 | tag]) + length + body


PRIMARY = b"\x04" + (1_700_000_000).to_bytes(4, "big") + b"\x16 material"
KEY = old(6, PRIMARY) + old(13, b"Ann <ann@example.com>") + old(2, b"signature")
FINGERPRINT = hashlib.sha1(b"\x99" + len(PRIMARY).to_bytes(2, "big") + PRIMARY).hexdigest().upper()


@pytest.mark.parametrize("packet", [old, new])
@pytest.mark.parametrize("size", [0, 1, 191, 192, 8383, 8384, 60_000])
def test_packets_of_both_forms_and_all_lengths_are_read(packet, size: int) -> None:
    data = packet(6, PRIMARY) + packet(13, b"x" * size) + packet(2, b"s" * size)
    found = keys(data, what="it")
    assert [(key.fingerprint, key.packets, key.created) for key in found] == [
        (FINGERPRINT, data, 1_700_000_000)
    ]


def test_several_keys_come_apart_each_once_and_without_the_notes_of_a_keyring() -> None:
    other = old(6, PRIMARY + b"!") + old(13, b"Bob")
    found = keys(KEY + old(12, b"trust") + other + KEY, what="it")
    assert [key.users for key in found] == [["Ann <ann@example.com>"], ["Bob"]]
    assert [key.packets for key in found] == [KEY, other]


def test_a_user_id_cannot_draw_on_a_terminal() -> None:
    users = keys(old(6, PRIMARY) + old(13, b"a\x1b[2J\nb\xff\xe2\x80\xae" + b"x" * 1000), what="it")[0].users
    assert users[0].isprintable() and len(users[0]) == 200


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00", b"plain text", old(13, b"user first") + KEY, KEY[:-1], KEY[:2], KEY + b"\x99", KEY + new(2, b"x" * 200)[:2],
        old(5, PRIMARY), KEY + old(7, b"secret subkey"), KEY + old(8, b"compressed"), KEY + old(11, b"literal"),
        bytes([0x80 | 6 << 2 | 3]) + PRIMARY, bytes([0xC0 | 6, 0xE1]) + PRIMARY, old(6, b"\x04ab"),
        b"".join(old(6, PRIMARY + bytes([n])) for n in range(MOST_KEYS + 1)),
    ],
)  # fmt: skip
def test_what_is_not_just_public_keys_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        keys(data, what="key file")
    assert caught.value.reason == "key" and "key file" in str(caught.value)


@pytest.mark.parametrize("version", [2, 3, 5, 6])
def test_other_versions_of_keys_are_refused_by_name(version: int) -> None:
    with pytest.raises(Unsupported, match=f"version {version}"):
        keys(old(6, bytes([version]) + PRIMARY[1:]), what="it")


@pytest.mark.parametrize(
    "data", [b"", KEY, old(2, b"s") + old(8, b"z"), old(4, b"one-pass") + old(11, b"d") + old(2, b"s"),
             old(2, b"signature")[:-1], old(2, b"s") * (MOST_SIGNATURES + 1)]
)  # fmt: skip
def test_what_is_not_just_detached_signatures_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_signatures(data, what="it")
    assert caught.value.reason == "no-signature"


def test_detached_signatures_pass() -> None:
    check_signatures(old(2, b"s") * MOST_SIGNATURES, what="it")
    check_signatures(new(2, b"s" * 300), what="it")


def test_a_fingerprint_is_shown_as_gnupg_shows_it() -> None:
    assert (
        spoken("8B86DE38890DDB7291867B025210BD8888182190")
        == "8B86 DE38 890D DB72 9186  7B02 5210 BD88 8818 2190"
    )


@pytest.mark.fuzz
@FUZZ
@given(st.binary(max_size=400) | st.binary(max_size=60).map(lambda tail: KEY + tail))
def test_no_bytes_do_worse_than_an_error(data: bytes) -> None:
    for read in (keys, check_signatures):
        try:
            read(data, what="it")
        except LadingError:
            pass


@pytest.mark.fuzz
@FUZZ
@given(
    st.binary(min_size=1, max_size=500), st.lists(st.text(max_size=20).filter(str.isprintable), max_size=2)
)
def test_armor_goes_on_and_comes_off(data: bytes, comments: list[str]) -> None:
    block = openpgp.armor(data, openpgp.PUBLIC_KEY, comments)
    assert openpgp.dearmor(b"before\n" + block + b"after", openpgp.PUBLIC_KEY, what="it") == [data]
