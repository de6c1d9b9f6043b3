"""Private keys in their envelopes: cosign's own are opened, ours hold, and hostile ones are one clear error."""

from __future__ import annotations

import base64
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import Denied, Exhausted, InvalidInput, LadingError, Unsupported
from lading.formats.signing import envelope, keys, pem, secretbox
from support import cosignmade

FUZZ = settings(max_examples=1_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)

# "Cryptography in NaCl", section 10: the key, nonce, message and box of its examples.
KEY = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
NONCE = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
MESSAGE = bytes.fromhex(
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c6129"
    "6cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde"
    "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705"
)
BOX_BEGINS = bytes.fromhex(
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a"
)


def cheap(pkcs8: bytes = b"key", password: bytes = b"pw", **changes: object) -> bytes:
    """An envelope that takes no time to open."""
    import hashlib

    salt, nonce = b"s" * 32, b"n" * 24
    box = secretbox.seal(pkcs8, nonce, hashlib.scrypt(password, salt=salt, n=2, r=1, p=1, dklen=32))
    value = {
        "kdf": {
            "name": "scrypt",
            "params": {"N": 2, "r": 1, "p": 1},
            "salt": base64.b64encode(salt).decode(),
        },
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
        "ciphertext": base64.b64encode(box).decode(),
    }
    for path, change in changes.items():
        *above, last = path.split("__")
        place = value
        for name in above:
            place = place[name]  # type: ignore[assignment]
        place[last] = change  # type: ignore[assignment]
    return pem.encode(envelope.LABEL, json.dumps(value).encode())


def test_the_secret_box_is_nacls() -> None:
    box = secretbox.seal(MESSAGE, NONCE, KEY)
    assert box.startswith(BOX_BEGINS)
    assert secretbox.open_box(box, NONCE, KEY) == MESSAGE


@FUZZ
@given(
    st.binary(max_size=300),
    st.binary(min_size=24, max_size=24),
    st.binary(min_size=32, max_size=32),
    st.data(),
)
@pytest.mark.fuzz
def test_a_box_opens_with_its_key_and_unaltered_only(
    m: bytes, nonce: bytes, key: bytes, data: st.DataObject
) -> None:
    box = secretbox.seal(m, nonce, key)
    assert secretbox.open_box(box, nonce, key) == m
    at = data.draw(st.integers(0, len(box) - 1))
    altered = bytearray(box)
    altered[at] ^= 1 << data.draw(st.integers(0, 7))
    assert secretbox.open_box(bytes(altered), nonce, key) is None
    other = bytes([key[0] ^ 1]) + key[1:]
    assert secretbox.open_box(box, nonce, other) is None


def test_a_key_of_cosigns_is_opened() -> None:
    found = envelope.open_envelope(cosignmade.KEY.encode(), b"pw", what="k")
    key = keys.private_key(found, what="k")
    assert key.public.pem().decode() == cosignmade.PUBLIC


def test_the_older_label_is_read_too() -> None:
    older = cosignmade.KEY.replace("SIGSTORE", "COSIGN").encode()
    assert envelope.is_envelope(older)
    assert envelope.open_envelope(older, b"pw", what="k")


def test_what_was_sealed_is_cosigns_form_and_opens_again() -> None:
    sealed = envelope.seal(b"secret", b"word", random=os.urandom)
    ((label, content),) = pem.decode(sealed, what="k")
    value = json.loads(content)
    assert label == "ENCRYPTED SIGSTORE PRIVATE KEY"
    assert value["kdf"]["params"] == {"N": 65536, "r": 8, "p": 1}
    assert (value["kdf"]["name"], value["cipher"]["name"]) == ("scrypt", "nacl/secretbox")
    assert envelope.open_envelope(sealed, b"word", what="k") == b"secret"


def test_a_wrong_password_is_said_as_such() -> None:
    with pytest.raises(Denied) as caught:
        envelope.open_envelope(cheap(), b"other", what="a.key")
    assert caught.value.reason == "password"
    assert "a.key" in caught.value.message


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"kdf__name": "argon2"}, Unsupported),
        ({"cipher__name": "aes"}, Unsupported),
        ({"kdf__params": {"N": 1 << 30, "r": 8, "p": 1}}, Exhausted),
        ({"kdf__params": {"N": 1 << 16, "r": 8, "p": 1 << 20}}, Exhausted),
        ({"kdf__params": {"N": 3, "r": 8, "p": 1}}, InvalidInput),
        ({"kdf__params": {"N": 2, "r": 0, "p": 1}}, InvalidInput),
        ({"kdf__params": {"N": "2", "r": 1, "p": 1}}, InvalidInput),
        ({"cipher__nonce": "AAAA"}, InvalidInput),
        ({"cipher__nonce": "no base64!"}, InvalidInput),
        ({"ciphertext": "AAAA"}, InvalidInput),
        ({"kdf": None}, InvalidInput),
    ],
)
def test_hostile_parameters_are_refused(change: dict[str, object], kind: type[LadingError]) -> None:
    with pytest.raises(kind) as caught:
        envelope.open_envelope(cheap(**change), b"pw", what="a.key")
    assert caught.value.reason == "key"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n",
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n%%%\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
        b"-----BEGIN A-----\nAAAA\n-----END B-----\n",
        cheap() + cheap(),
        b"x" * (envelope.LARGEST + 1),
    ],
)
def test_what_is_no_key_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        envelope.open_envelope(data, b"pw", what="f")
    assert caught.value.reason in ("key", "pem")


@FUZZ
@given(st.binary(max_size=400))
@pytest.mark.fuzz
def test_any_content_is_a_clear_error(content: bytes) -> None:
    for data in (content, pem.encode(envelope.LABEL, content)):
        with pytest.raises(LadingError):
            envelope.open_envelope(data, b"", what="f")


@FUZZ
@given(st.binary(max_size=300), st.sampled_from(["A", "ENCRYPTED SIGSTORE PRIVATE KEY"]))
@pytest.mark.fuzz
def test_pem_comes_back(content: bytes, label: str) -> None:
    assert pem.decode(b"before\n" + pem.encode(label, content) + b"after\n", what="f") == [(label, content)]
