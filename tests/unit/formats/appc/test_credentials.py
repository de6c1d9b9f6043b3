"""Credentials: Rocket's files are read, the longest domain counts, and no secret goes where it does not belong."""

from __future__ import annotations

import json

import pytest

from lading.errors import InvalidInput, Unsupported
from lading.formats.appc.credentials import Credential, header_for, parse, together

BASIC = {
    "rktKind": "auth", "rktVersion": "v1", "domains": ["example.com", "example.org:8443"], "type": "basic",
    "credentials": {"user": "foo", "password": "b:ar"},
}  # fmt: skip
OAUTH = {
    "rktKind": "auth",
    "rktVersion": "v1",
    "domains": ["example.com/private"],
    "type": "oauth",
    "credentials": {"token": "sometoken"},
}


def _parse(value: object) -> list[Credential]:
    return parse(json.dumps(value), what="a.json")


def test_the_two_types_give_the_two_headers() -> None:
    assert [(c.domain, c.header) for c in _parse(BASIC)] == [
        ("example.com", "Basic Zm9vOmI6YXI="), ("example.org:8443", "Basic Zm9vOmI6YXI="),
    ]  # fmt: skip
    assert [(c.domain, c.header) for c in _parse(OAUTH)] == [("example.com/private", "Bearer sometoken")]


def test_a_file_of_another_kind_is_for_others() -> None:
    assert _parse({"rktKind": "paths", "rktVersion": "v1", "data": "/x"}) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rktKind": ""}, "a.json"), ({"domains": []}, "a.json.domains"), ({"domains": ["https://example.com"]},
        "a.json.domains[0]"),
        ({"domains": ["x", ""]}, "a.json.domains[1]"), ({"domains": ["a b"]}, "a.json.domains[0]"), ({"domains": ["u@h"]},
        "a.json.domains[0]"),
        ({"domains": ["h:0"]}, "a.json.domains[0]"), ({"domains": ["h/../x"]}, "a.json.domains[0]"), ({"type": "digest"},
        "a.json.type"),
        ({"type": ""}, "a.json.type"), ({"credentials": {}}, "a.json.credentials"), ({"credentials": {"user": "a"}},
        "a.json.credentials"),
        ({"credentials": {"user": "a:b", "password": "c"}}, "a.json.credentials"), ({"credentials": {"user": "a",
        "password": "c\n"}}, "a.json.credentials"),
        ({"type": "oauth", "credentials": {"token": "a\r\nX: y"}}, "a.json.credentials.token"),
        ({"type": "oauth", "credentials": {"token": ""}}, "a.json.credentials.token"), ({"extra": 1}, "a.json.extra"),
    ],
)  # fmt: skip
def test_a_breach_is_refused_with_its_field_and_without_the_secret(
    changes: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        _parse({**BASIC, **changes})
    assert caught.value.message.startswith(field + ": ")
    assert "b:ar" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"rktVersion": "v2"}, {"type": "aws", "credentials": {"accessKeyID": "x"}}]
)
def test_what_is_valid_elsewhere_is_not_supported_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(Unsupported):
        _parse({**BASIC, **changes})


def test_secrets_are_in_no_repr() -> None:
    assert "Zm9v" not in repr(_parse(BASIC)) and "sometoken" not in repr(_parse(OAUTH))


def test_two_files_for_one_domain_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"b\.json: a\.json has credentials for example\.com already"):
        together([("a.json", _parse(BASIC)), ("b.json", _parse(BASIC))])


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://example.com/x.aci", "Basic"), ("https://EXAMPLE.com", "Basic"), ("https://example.com:443/x?y#z", "Basic"),
        ("https://example.com/private/x.aci", "Bearer"), ("https://example.com/private", "Bearer"),
        ("https://example.com/privateer", "Basic"),
        ("https://example.com/private/../x", "Basic"), ("https://example.com/private/%2E%2e/x", "Basic"),
        ("https://example.org:8443/x", "Basic"),
        ("https://example.org/x", ""), ("https://example.com:8443/x", ""), ("https://sub.example.com/", ""),
        ("https://example.com.evil.example/", ""),
        ("https://example.com@evil.example/", ""), ("http://example.com/x.aci", ""), ("example.com/x", ""),
        ("ftp://example.com/", ""),
    ],
)  # fmt: skip
def test_a_secret_goes_to_its_domain_only(url: str, header: str) -> None:
    known = together([("a.json", _parse(BASIC)), ("b.json", _parse(OAUTH))])
    assert header_for(url, known).partition(" ")[0] == header
