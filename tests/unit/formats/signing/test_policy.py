"""Policies: the manual page's own examples, every rule that it states, and the closest scope."""

from __future__ import annotations

import base64
import copy
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, LadingError
from lading.formats.reference import Reference
from lading.formats.signing import identity, policy
from lading.formats.signing.identity import Identity

FUZZ = settings(max_examples=1_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)
ACCEPT, REJECT = {"type": "insecureAcceptAnything"}, {"type": "reject"}
SIGNED = {"type": "sigstoreSigned", "keyPath": "/k.pub"}
PGP = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k.gpg"}
FULCIO = {"caPath": "/ca", "oidcIssuer": "https://i/", "subjectEmail": "a@b"}
HEX = "sha256:" + "0" * 64

WHOLE: dict[str, Any] = {
    "default": [REJECT],
    "transports": {
        "docker": {
            "docker.io/openshift": [ACCEPT],
            "docker.io/library/busybox": [ACCEPT],
            "*.temporary-project.example.com": [ACCEPT],
            "hostname:5000/myns/full": [SIGNED],
            "hostname:5000/myns/full:v1": [REJECT],
            "hostname:5000/myns/keyless": [
                {"type": "sigstoreSigned", "fulcio": FULCIO, "rekorPublicKeyPath": "/r.pub"}
            ],
            "hostname:5000/myns/cosign": [{**SIGNED, "signedIdentity": {"type": "matchRepository"}}],
            "hostname:5000": [PGP],
        },
        "dir": {"": [ACCEPT]},
        "oci": {"/srv/images": [ACCEPT], "/srv/images/bad": [REJECT]},
        "atomic": {
            "private-mirror:5000/vendor-mirror": [
                {
                    **PGP,
                    "signedIdentity": {
                        "type": "remapIdentity",
                        "prefix": "private-mirror:5000/vendor-mirror",
                        "signedPrefix": "vendor.example.com",
                    },
                }
            ]
        },
    },
}


def read(value: object) -> policy.Policy:
    return policy.decode(json.dumps(value).encode(), where="policy.json")


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("busybox", "docker: docker.io/library/busybox"),
        ("openshift/hello", "docker: docker.io/openshift"),
        ("debian", "default"),
        ("a.temporary-project.example.com/x", "docker: *.temporary-project.example.com"),
        ("a.b.temporary-project.example.com:8443/x/y", "docker: *.temporary-project.example.com"),
        ("temporary-project.example.com/x", "default"),
        ("hostname:5000/myns/full", "docker: hostname:5000/myns/full"),
        ("hostname:5000/myns/full:v1", "docker: hostname:5000/myns/full:v1"),
        ("hostname:5000/myns/full:v12", "docker: hostname:5000/myns/full"),
        (f"hostname:5000/myns/full@{HEX}", "docker: hostname:5000/myns/full"),
        ("hostname:5000/myns/fuller", "docker: hostname:5000"),
        ("hostname:5001/myns/full", "default"),
        ("[::1]:5000/x", "default"),
    ],
)
def test_the_closest_scope_counts_alone(name: str, scope: str) -> None:
    assert read(WHOLE).for_name(Reference.parse(name)).scope == scope


@pytest.mark.parametrize(
    ("transport", "path", "scope"),
    [
        ("oci", "/srv/images/a", "oci: /srv/images"),
        ("oci", "/srv/images/bad/x", "oci: /srv/images/bad"),
        ("oci", "/srv/imagesx", "default"),
        ("oci-archive", "/srv/images/a.tar", "default"),
        ("dir", "/x", "dir"),
        ("docker-archive", "/x", "default"),
        ("oci", "", "default"),
    ],
)
def test_paths_have_scopes_too(transport: str, path: str, scope: str) -> None:
    assert read(WHOLE).for_path(transport, path).scope == scope


def test_what_was_read_is_written_as_it_was() -> None:
    assert read(WHOLE).encode() == WHOLE


def test_keys_in_the_file_and_several_are_read() -> None:
    data = base64.b64encode(b"pem").decode()
    made = read(
        {
            "default": [
                {"type": "sigstoreSigned", "keyDatas": [data, data]},
                {"type": "sigstoreSigned", "keyPaths": ["/a", "/b"]},
            ]
        }
    )
    assert made.default[0].data == [b"pem", b"pem"]
    assert made.default[1].paths == ["/a", "/b"]


@pytest.mark.parametrize(
    ("requirement", "word"),
    [
        (PGP, "signedBy"),
        (WHOLE["transports"]["docker"]["hostname:5000/myns/keyless"][0], "fulcio"),
        ({"type": "sigstoreSigned", "pki": {"caRootsPath": "/x", "subjectEmail": "a@b"}}, "pki"),
        ({**SIGNED, "rekorPublicKeyPath": "/r"}, "rekorPublicKeyPath"),
        ({**SIGNED, "rekorPublicKeyDatas": ["eA=="]}, "rekorPublicKeyDatas"),
        ({"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}}, "base layers"),
    ],
)
def test_what_cannot_be_checked_is_kept_and_named(requirement: dict[str, object], word: str) -> None:
    made = read({"default": [requirement]}).default[0]
    assert word in made.unsupported
    assert made.encode() == requirement


def _with(requirement: object) -> dict[str, object]:
    return {"default": [requirement]}


def _identity(value: object) -> dict[str, object]:
    return _with({**SIGNED, "signedIdentity": value})


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"default": []},
        {"default": {}},
        {"default": [ACCEPT], "extra": 1},
        {"default": [ACCEPT], "transports": []},
        {"default": [ACCEPT], "transports": {"docker": []}},
        {"default": [ACCEPT], "transports": {"docker": {"x": []}}},
        {"default": [ACCEPT], "transports": {"docker": {"x": [{}]}}},
        {"default": [ACCEPT], "transports": {"oci": {"relative": [ACCEPT]}}},
        {"default": [ACCEPT], "transports": {"oci": {"/": [ACCEPT]}}},
        {"default": [ACCEPT], "transports": {"dir": {"/a/../b": [ACCEPT]}}},
        {"default": [ACCEPT], "transports": {"docker-archive": {"/a": [ACCEPT]}}},
        _with("reject"),
        _with({"type": "unknown"}),
        _with({"type": 1}),
        _with({**REJECT, "keyPath": "/x"}),
        _with({"type": "sigstoreSigned"}),
        _with({**SIGNED, "keyData": "eA=="}),
        _with({**SIGNED, "keyPath": ""}),
        _with({**SIGNED, "keyType": "GPGKeys"}),
        _with({**SIGNED, "extra": 1}),
        _with({**SIGNED, "rekorPublicKeyPath": "/a", "rekorPublicKeyData": "eA=="}),
        _with({"type": "sigstoreSigned", "keyPaths": []}),
        _with({"type": "sigstoreSigned", "keyPaths": [1]}),
        _with({"type": "sigstoreSigned", "keyData": "%"}),
        _with({"type": "sigstoreSigned", "fulcio": FULCIO}),
        _with({"type": "sigstoreSigned", "pki": {"a": 1}, "rekorPublicKeyPath": "/a"}),
        _with({**PGP, "keyType": "X509"}),
        _with({"type": "signedBy", "keyPath": "/x"}),
        _with({"type": "signedBaseLayer"}),
        _identity(None),
        _identity({}),
        _identity({"type": "other"}),
        _identity({"type": "matchExact", "prefix": "x"}),
        _identity({"type": "exactReference", "dockerReference": "busybox"}),
        _identity({"type": "exactReference", "dockerReference": "UPPER"}),
        _identity({"type": "exactRepository", "dockerRepository": "busybox:1"}),
        _identity({"type": "remapIdentity", "prefix": "busybox", "signedPrefix": "docker.io"}),
        _identity({"type": "remapIdentity", "prefix": "a.example/x:1", "signedPrefix": "docker.io"}),
        _identity({"type": "remapIdentity", "prefix": ""}),
    ],
)
def test_the_whole_file_is_refused_for_one_fault(value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(value)
    assert caught.value.reason == "policy"
    assert "policy.json" in caught.value.message


def test_doubled_fields_are_refused() -> None:
    with pytest.raises(InvalidInput):
        policy.decode(b'{"default":[{"type":"reject","type":"insecureAcceptAnything"}]}', where="p")


EXACT, ANY_TAG, DIGEST = "h.example/a:1", "h.example/a", f"h.example/a@{HEX}"


@pytest.mark.parametrize(
    ("rule", "asked", "claimed", "good"),
    [
        (Identity("matchExact"), EXACT, EXACT, True),
        (Identity("matchExact"), EXACT, "h.example/a:2", False),
        (Identity("matchExact"), EXACT, ANY_TAG, False),
        (Identity("matchExact"), DIGEST, EXACT, False),
        (Identity("matchExact"), DIGEST, DIGEST, True),
        (Identity(), EXACT, EXACT, True),
        (Identity(), EXACT, "h.example/a:2", False),
        (Identity(), EXACT, ANY_TAG, False),
        (Identity(), DIGEST, EXACT, True),
        (Identity(), DIGEST, ANY_TAG, False),
        (Identity(), DIGEST, "h.example/b:1", False),
        (Identity(), f"{EXACT}@{HEX}", EXACT, False),
        (Identity(), "busybox", "docker.io/library/busybox:latest", True),
        (Identity(), "busybox", "index.docker.io/library/busybox:latest", True),
        (Identity(), EXACT, "not a name!", False),
        (Identity(), EXACT, "", False),
        (Identity("matchRepository"), EXACT, ANY_TAG, True),
        (Identity("matchRepository"), EXACT, "h.example/a:2", True),
        (Identity("matchRepository"), EXACT, "h.example/a/b:1", False),
        (Identity("matchRepository"), EXACT, "other.example/a:1", False),
        (Identity("exactReference", "p.example/x:9"), EXACT, "p.example/x:9", True),
        (Identity("exactReference", "p.example/x:9"), EXACT, EXACT, False),
        (Identity("exactRepository", "p.example/x"), EXACT, "p.example/x:3", True),
        (Identity("exactRepository", "p.example/x"), EXACT, "p.example/y:3", False),
        (Identity("remapIdentity", "h.example", "v.example/ns"), EXACT, "v.example/ns/a:1", True),
        (Identity("remapIdentity", "h.example", "v.example/ns"), EXACT, EXACT, False),
        (Identity("remapIdentity", "h.example/a", "v.example/b"), EXACT, "v.example/b:1", True),
        (Identity("remapIdentity", "h.example/aa", "v.example/b"), EXACT, EXACT, True),
        (Identity("remapIdentity", "h.exam", "v.example/b"), EXACT, EXACT, True),
        (Identity("remapIdentity", "h.example", "v.example"), DIGEST, "v.example/a:7", True),
    ],
)
def test_names_match_as_the_manual_says(rule: Identity, asked: str, claimed: str, good: bool) -> None:
    assert rule.matches(Reference.parse(asked), claimed) is good


@pytest.mark.parametrize(
    "value",
    [
        {"type": "matchExact"},
        {"type": "exactReference", "dockerReference": "h.example/a:1"},
        {"type": "exactRepository", "dockerRepository": "h.example/a"},
        {"type": "remapIdentity", "prefix": "h.example", "signedPrefix": "docker.io/library"},
    ],
)
def test_rules_for_names_come_back(value: dict[str, object]) -> None:
    assert identity.decode(value, where="i").encode() == value


def _paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    found = [path]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += _paths(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += _paths(inner, (*path, number))
    return found


@FUZZ
@given(st.data())
@pytest.mark.fuzz
def test_a_policy_with_any_value_changed_is_read_or_refused_clearly(data: st.DataObject) -> None:
    value = copy.deepcopy(WHOLE)
    path = data.draw(st.sampled_from(_paths(value)[1:]))
    place: Any = value
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=10)
        | st.just([])
        | st.just({})
        | st.just([ACCEPT])
    )
    try:
        made = read(value)
    except InvalidInput as error:
        assert error.reason == "policy"
        assert "\n" not in error.message
    else:
        assert read(made.encode()).encode() == made.encode()


@FUZZ
@given(st.binary(max_size=200))
@pytest.mark.fuzz
def test_any_bytes_are_refused_clearly(data: bytes) -> None:
    with pytest.raises(LadingError):
        policy.decode(data, where="p")
