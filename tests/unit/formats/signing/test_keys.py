"""Keys of every kind sign and verify, and cosign's signatures count."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.signing import ed25519ph, keys, pem
from support import cosignmade


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "ed25519"])
def test_a_key_of_each_kind_signs_and_verifies(kind: str) -> None:
    key = keys.generate(kind)
    other = keys.generate(kind)
    signature = key.sign(b"text")
    assert keys.public_key(key.public.pem(), what="p").verifies(signature, b"text")
    assert not key.public.verifies(signature, b"Text")
    assert not other.public.verifies(signature, b"text")
    assert not key.public.verifies(b"", b"text")
    assert keys.private_key(key.pkcs8(), what="k").public == key.public


@pytest.mark.parametrize(
    ("public", "payload", "signature"),
    [
        (cosignmade.PUBLIC, cosignmade.PAYLOAD, cosignmade.SIGNATURE),
        (cosignmade.P384_PUBLIC, cosignmade.P384_PAYLOAD, cosignmade.P384_SIGNATURE),
        (cosignmade.ED25519_PUBLIC, cosignmade.ED25519_PAYLOAD, cosignmade.ED25519PH_SIGNATURE),
    ],
)
def test_signatures_of_cosign_count(public: str, payload: str, signature: str) -> None:
    key = keys.public_key(public.encode(), what="p")
    raw = base64.b64decode(signature)
    assert key.verifies(raw, payload.encode())
    assert not key.verifies(raw, payload.encode() + b" ")
    assert not key.verifies(raw[:-1] + bytes([raw[-1] ^ 1]), payload.encode())


def test_ed25519ph_refuses_what_is_not_in_its_one_form() -> None:
    key = keys.public_key(cosignmade.ED25519_PUBLIC.encode(), what="p").der[-32:]
    raw, message = base64.b64decode(cosignmade.ED25519PH_SIGNATURE), cosignmade.ED25519_PAYLOAD.encode()
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(raw[32:], "little")
    assert ed25519ph.verifies(key, raw, message)
    assert not ed25519ph.verifies(key, raw[:32] + (s + order).to_bytes(32, "little"), message)
    assert not ed25519ph.verifies(b"\xff" * 32, raw, message)
    assert not ed25519ph.verifies(key, b"\xff" * 32 + raw[32:], message)
    assert not ed25519ph.verifies(key, raw[:63], message)


def _openssl(*words: str, cwd: Path) -> None:
    subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    "make",
    [
        ("genrsa", "-out", "k", "2048"),
        ("genrsa", "-traditional", "-out", "k", "2048"),
        ("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "k"),
        ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "k"),
        ("genpkey", "-algorithm", "ed25519", "-out", "k"),
    ],
)
def test_keys_of_openssl_are_imported(make: tuple[str, ...], tmp_path: Path) -> None:
    _openssl(*make, cwd=tmp_path)
    _openssl("pkey", "-in", "k", "-pubout", "-out", "p", cwd=tmp_path)
    key = keys.plain_private_key((tmp_path / "k").read_bytes(), what="k")
    assert key.public == keys.public_key((tmp_path / "p").read_bytes(), what="p")


def test_openssl_verifies_what_we_sign(tmp_path: Path) -> None:
    key = keys.generate("ecdsa-p256")
    for name, data in (("p", key.public.pem()), ("s", key.sign(b"text")), ("t", b"text")):
        (tmp_path / name).write_bytes(data)
    _openssl("dgst", "-sha256", "-verify", "p", "-signature", "s", "t", cwd=tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        ("genrsa", "-out", "k", "1024"),
        ("ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "k"),
        ("genpkey", "-algorithm", "x25519", "-out", "k"),
        ("genpkey", "-algorithm", "ed448", "-out", "k"),
        ("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", "k"),
    ],
)
def test_other_keys_are_refused_by_name(make: tuple[str, ...], tmp_path: Path) -> None:
    _openssl(*make, cwd=tmp_path)
    with pytest.raises(Unsupported) as caught:
        keys.plain_private_key((tmp_path / "k").read_bytes(), what="k")
    assert caught.value.reason == "key"


def test_a_private_key_where_a_public_one_belongs_says_what_to_do() -> None:
    with pytest.raises(InvalidInput) as caught:
        keys.public_key(cosignmade.KEY.encode(), what="k")
    assert "keys public" in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"x", pem.encode("PUBLIC KEY", b"no der"), b"y" * 100_000])
def test_what_is_no_public_key_is_refused(data: bytes) -> None:
    with pytest.raises(LadingError) as caught:
        keys.public_key(data, what="k")
    assert caught.value.reason in ("key", "pem")


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(InvalidInput):
        keys.generate("rsa-1024")
