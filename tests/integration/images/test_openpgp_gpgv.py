"""Signatures by gpg, judged by gpgv: the good one passes, and nothing else that has a signature on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import Denied, LadingError, NotFound
from lading.formats.openpgp import PUBLIC_KEY, SIGNATURE, Signed, armor, dearmor
from lading.formats.openpgp_packets import Key, keys
from lading.images.openpgp import verify
from support.signing import YEAR, Signer

pytestmark = [pytest.mark.peer("gpgv"), pytest.mark.peer("gpg")]

DATA = b"the file that was signed\n" * 1000


@pytest.fixture(scope="module")
def ours(signer: Signer) -> str:
    return signer.key("Ours <ours@example.com>")


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Signed]:
    def checked(signature: bytes, trusted: list[Key], data: bytes = DATA, **more: object) -> Signed:
        (tmp_path / "file").write_bytes(data)
        file = os.open(tmp_path / "file", os.O_RDONLY)
        before = set(os.listdir("/proc/self/fd"))
        try:
            return verify(file, signature, trusted, more.pop("now", time.time()), what="app", **more)  # type: ignore[arg-type]
        finally:
            assert set(os.listdir("/proc/self/fd")) == before
            os.close(file)

    return checked


def test_a_good_signature_says_who_made_it_and_when(
    signer: Signer, ours: str, check: Callable[..., Signed]
) -> None:
    before = int(time.time())
    signed = check(signer.sign(DATA, ours), signer.keys(ours))
    assert signed.fingerprint == ours and before <= signed.made <= time.time()
    assert signed.user == "Ours <ours@example.com>"


def test_a_signature_without_armor_is_one_too(
    signer: Signer, ours: str, check: Callable[..., Signed]
) -> None:
    binary = dearmor(signer.sign(DATA, ours), SIGNATURE, what="it")[0]
    assert check(binary, signer.keys(ours)).fingerprint == ours


def test_a_subkeys_signature_is_its_primary_keys(signer: Signer, check: Callable[..., Signed]) -> None:
    primary = signer.key("Sub <sub@example.com>")
    signer.gpg("--quick-add-key", primary, "ed25519", "sign", "never")
    lines = signer.gpg("--with-colons", "--list-keys", primary).decode().splitlines()
    sub = [line.split(":")[9] for line in lines if line.startswith("fpr")][1]
    assert check(signer.sign(DATA, f"{sub}!"), signer.keys(primary)).fingerprint == primary


def _other_file(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return signer.sign(b"another file", ours), signer.keys(ours)


def _other_key(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return signer.sign(DATA, signer.key("Other <other@example.com>")), signer.keys(ours)


def _nobody_trusted(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return signer.sign(DATA, ours), []


def _expired(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    then = int(time.time()) - 2 * YEAR
    key = signer.key("Old <old@example.com>", expire="1y", at=then)
    return signer.sign(DATA, key, at=then + 100), signer.keys(key)


def _revoked(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    key = signer.key("Gone <gone@example.com>")
    signature = signer.sign(DATA, key)
    signer.revoke(key)
    return signature, signer.keys(key)


def _expired_signature(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    then = int(time.time()) - YEAR
    key = signer.key("Long <long@example.com>", at=then)
    return signer.sign(DATA, key, "--default-sig-expire", "1d", at=then + 100), signer.keys(key)


def _weak(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return signer.sign(DATA, ours, "--digest-algo", "SHA1"), signer.keys(ours)


def _cut_off(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return dearmor(signer.sign(DATA, ours), SIGNATURE, what="it")[0][:-9], signer.keys(ours)


def _cut_off_armor(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return signer.sign(DATA, ours)[:-60], signer.keys(ours)


def _signed_message(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    """It has contents of its own, which gpgv would check instead of the file."""
    return signer.gpg("--local-user", ours, "--compress-algo", "none", "--sign", input=DATA), signer.keys(
        ours
    )


def _compressed(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return signer.gpg("--local-user", ours, "--compress-algo", "zip", "--sign", input=DATA), signer.keys(ours)


def _huge(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return signer.sign(DATA, ours) + b"\n" * 70_000, signer.keys(ours)


def _many(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return dearmor(signer.sign(DATA, ours), SIGNATURE, what="it")[0] * 17, signer.keys(ours)


def _empty(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return b"", signer.keys(ours)


def _a_key(signer: Signer, ours: str) -> tuple[bytes, list[Key]]:
    return signer.public(ours), signer.keys(ours)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_other_file, "bad-signature"), (_other_key, "key-unknown"), (_nobody_trusted, "no-trusted-key"),
        (_expired, "key-expired"),
        (_revoked, "key-revoked"), (_expired_signature, "signature-expired"), (_weak, "weak-signature"),
        (_cut_off, "no-signature"), (_cut_off_armor, "armor"), (_signed_message, "no-signature"), (_compressed, "no-signature"),
        (_huge, "no-signature"), (_many, "no-signature"), (_empty, "armor"), (_a_key, "armor"),
    ],
)  # fmt: skip
def test_no_other_signature_passes(
    signer: Signer,
    ours: str,
    check: Callable[..., Signed],
    make: Callable[..., tuple[bytes, list[Key]]],
    reason: str,
) -> None:
    signature, trusted = make(signer, ours)
    with pytest.raises(LadingError) as caught:
        check(signature, trusted)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_a_key_that_was_not_given_is_not_trusted_because_it_came_with_one_that_was(
    signer: Signer, ours: str, check: Callable[..., Signed]
) -> None:
    other = signer.key("Stowaway <stow@example.com>")
    both = signer.keys(ours, other)
    assert [key.fingerprint for key in both] == [ours, other]
    with pytest.raises(Denied) as caught:
        check(signer.sign(DATA, other), both[:1])
    assert caught.value.reason == "key-unknown"


def test_a_signature_of_tomorrow_is_refused(signer: Signer, ours: str, check: Callable[..., Signed]) -> None:
    signature = signer.sign(DATA, ours)
    with pytest.raises(Denied) as caught:
        check(signature, signer.keys(ours), now=time.time() - 2 * 24 * 3600)
    assert caught.value.reason == "signature-future"


def test_without_gpgv_one_line_says_what_to_install(
    signer: Signer, ours: str, check: Callable[..., Signed]
) -> None:
    with pytest.raises(NotFound) as caught:
        check(signer.sign(DATA, ours), signer.keys(ours), program="gpgv-that-is-not-there")
    assert caught.value.reason == "no-gpgv" and "package gpgv" in str(caught.value)


def test_what_gpgv_exits_with_decides_nothing(
    signer: Signer, ours: str, check: Callable[..., Signed], tmp_path: Path
) -> None:
    silent = tmp_path / "yes"
    silent.write_text("#!/bin/sh\nexit 0\n")
    silent.chmod(0o755)
    with pytest.raises(Denied) as caught:
        check(signer.sign(DATA, ours), signer.keys(ours), program=str(silent))
    assert caught.value.reason == "no-signature"


def test_keys_read_and_armored_again_are_the_same_keys(
    signer: Signer, ours: str, check: Callable[..., Signed]
) -> None:
    block = armor(signer.keys(ours)[0].packets, PUBLIC_KEY, ["Ours <ours@example.com>"])
    read = keys(dearmor(block, PUBLIC_KEY, what="it")[0], what="it")
    assert check(signer.sign(DATA, ours), read).fingerprint == ours
    assert signer.gpg("--show-keys", "--with-colons", input=block).decode().count(ours) == 1


def test_a_secret_key_is_not_taken_for_a_public_one(signer: Signer, ours: str) -> None:
    secret = signer.gpg("--export-secret-keys", ours)
    with pytest.raises(LadingError) as caught:
        keys(secret, what="it")
    assert caught.value.reason == "key"
