"""A verdict's mark: another one as soon as anything changes that it depends on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lading.errors import Denied, InvalidInput, LadingError, Unsupported
from lading.formats.reference import Reference
from lading.formats.signing import keys, policy
from lading.images.signing import gate, policies
from lading.roots import Roots

REFERENCE = Reference.parse("h.example/a:1")
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "a.pub"
    path.write_bytes(keys.generate("ecdsa-p256").public.pem())
    path.chmod(0o644)
    return path


def write(tmp_path: Path, *requirements: dict[str, object]) -> str:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"default": list(requirements)}))
    path.chmod(0o644)
    return str(path)


def mark(path: str, name: str = "h.example/a:1", digest: str = DIGEST) -> str:
    reference = Reference.parse(name)
    return policies.mark(policies.load(path).policy.for_name(reference), reference, [digest], path)


def test_a_verdict_is_for_this_name_image_rule_and_key(tmp_path: Path, key: Path) -> None:
    signed: dict[str, object] = {"type": "sigstoreSigned", "keyPath": str(key)}
    path = write(tmp_path, signed)
    before = mark(path)
    assert mark(path) == before
    assert mark(path, name="h.example/a:2") != before
    assert mark(path, digest="sha256:" + "b" * 64) != before
    write(tmp_path, {**signed, "signedIdentity": {"type": "matchRepository"}})
    assert mark(path) != before
    write(tmp_path, signed)
    assert mark(path) == before
    key.write_bytes(keys.generate("ecdsa-p256").public.pem())
    assert mark(path) != before


def test_all_requirements_have_to_be_met(tmp_path: Path, key: Path) -> None:
    path = write(
        tmp_path, {"type": "insecureAcceptAnything"}, {"type": "sigstoreSigned", "keyPath": str(key)}
    )
    with pytest.raises(Denied) as caught:
        gate.verify(REFERENCE, [DIGEST], lambda digest, failures: [], path)
    assert caught.value.reason == "unsigned"
    path = write(tmp_path, {"type": "insecureAcceptAnything"})
    assert gate.verify(REFERENCE, [DIGEST], lambda digest, failures: [], path).scope == "default"
    path = write(tmp_path, {"type": "insecureAcceptAnything"}, {"type": "reject"})
    with pytest.raises(Denied) as caught:
        gate.verify(REFERENCE, [DIGEST], lambda digest, failures: [], path)
    assert caught.value.reason == "rejected"


def test_one_broken_key_makes_a_rule_unusable(tmp_path: Path, key: Path) -> None:
    broken = tmp_path / "b.pub"
    broken.write_text("no key")
    broken.chmod(0o644)
    path = write(tmp_path, {"type": "sigstoreSigned", "keyPaths": [str(key), str(broken)]})
    with pytest.raises(LadingError) as caught:
        gate.verify(REFERENCE, [DIGEST], lambda digest, failures: [], path)
    assert str(broken) in caught.value.message


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_a_key_that_others_may_write_is_refused(tmp_path: Path, key: Path, mode: int) -> None:
    key.chmod(mode)
    path = write(tmp_path, {"type": "sigstoreSigned", "keyPath": str(key)})
    with pytest.raises(Denied) as caught:
        gate.verify(REFERENCE, [DIGEST], lambda digest, failures: [], path)
    assert caught.value.reason == "unsafe-permissions"


def test_what_cannot_be_checked_is_refused_before_a_signature_is_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path, {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"})

    def find(digest: str, failures: list[LadingError]) -> list[object]:
        raise AssertionError("asked")

    with pytest.raises(Unsupported) as caught:
        gate.verify(REFERENCE, [DIGEST], find, path)  # type: ignore[arg-type]
    assert caught.value.reason == "policy-unsupported"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_policy_that_is_no_file_is_refused(tmp_path: Path, make: object) -> None:
    path = str(tmp_path / "policy.json")
    make(path)  # type: ignore[operator]
    with pytest.raises(InvalidInput):
        policies.load(path)


def test_the_first_policy_that_is_there_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, own = tmp_path / "system", tmp_path / "own"
    system.mkdir()
    own.mkdir()
    monkeypatch.setenv("LADING_SYSTEM_CONFIG", str(system))
    roots = Roots("/d", "/r", str(own), 0)
    assert roots.policy == ""
    (system / "policy.json").write_text("{}")
    assert roots.policy == f"{system}/policy.json"
    (own / "policy.json").write_text("{}")
    assert roots.policy == f"{own}/policy.json"


def test_a_policy_begins_as_a_copy_and_a_bad_change_leaves_it(tmp_path: Path) -> None:
    base = write(tmp_path, {"type": "reject"})
    path = str(tmp_path / "own" / "policy.json")

    def edit(made: policy.Policy) -> None:
        made.transports["docker"] = {
            "h.example": policy.requirements([{"type": "insecureAcceptAnything"}], where="x")
        }

    policies.change(path, edit, base)
    made = policies.load(path).policy
    assert made.default[0].kind == "reject"
    assert list(made.transports["docker"]) == ["h.example"]

    def spoil(made: policy.Policy) -> None:
        made.default = []

    with pytest.raises(InvalidInput):
        policies.change(path, spoil)
    assert policies.load(path).policy.default[0].kind == "reject"
