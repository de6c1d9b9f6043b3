"""Credentials: Rocket's files are read, the longest domain counts, and no secret goes where it does not belong."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.appc.credentials import Credential, credential_for, logins, parse, together

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


FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


def _parse(value: object) -> list[Credential]:
    return parse(json.dumps(value), what="a.json")


def test_the_two_types_give_the_two_headers() -> None:
    assert [(c.domain, c.header) for c in _parse(BASIC)] == [
        ("example.com", "Basic Zm9vOmI6YXI="), ("example.org:8443", "Basic Zm9vOmI6YXI="),
    ]  # fmt: skip
    assert [(c.domain, c.header) for c in _parse(OAUTH)] == [("example.com/private", "Bearer sometoken")]


REGISTRY = {
    "rktKind": "dockerAuth", "rktVersion": "v1", "registries": ["quay.io", "localhost:5000"],
    "credentials": {"user": "foo", "password": "bar"},
}  # fmt: skip


def test_a_file_about_registries_is_for_registries_alone() -> None:
    assert _parse(REGISTRY) == []
    found = logins(json.dumps(REGISTRY), what="a.json")
    assert [(one.domain, one.user, one.password) for one in found] == [
        ("quay.io", "foo", "bar"), ("localhost:5000", "foo", "bar"),
    ]  # fmt: skip
    assert logins(json.dumps(BASIC), what="a.json") == []
    assert "bar" not in repr(found)


AWS = {
    **OAUTH, "domains": ["b.s3-eu-west-1.amazonaws.com"], "type": "aws",
    "credentials": {"accessKeyID": "AKIA", "secretAccessKey": "hush/+="},
}  # fmt: skip


def test_each_request_to_amazon_is_signed() -> None:
    known = {one.domain: one for one in _parse(AWS)}
    url = "https://b.s3-eu-west-1.amazonaws.com/app.aci?x=1"
    found = credential_for(url, known)
    assert found is not None and found.header == "" and "hush" not in repr(found)
    first, second = (found.headers(url, now)["Authorization"] for now in (0, 86400))
    assert first.startswith("AWS4-HMAC-SHA256 Credential=AKIA/19700101/eu-west-1/s3/aws4_request, ")
    assert first != second
    assert credential_for("http" + url[5:], known) is None
    own = _parse({**AWS, "credentials": {**AWS["credentials"], "awsRegion": "us-west-2"}})  # type: ignore[dict-item]
    assert "/us-west-2/s3/" in own[0].headers(url, 0)["Authorization"]


@pytest.mark.parametrize(
    ("secrets", "field"),
    [
        ({"accessKeyID": "x"}, "a.json.credentials"), ({"secretAccessKey": "x"}, "a.json.credentials"),
        ({"accessKeyID": "x\r\nX: y", "secretAccessKey": "z"}, "a.json.credentials.accessKeyID"),
        ({"accessKeyID": "x", "secretAccessKey": "z", "awsRegion": "a/b"}, "a.json.credentials.awsRegion"),
    ],
)  # fmt: skip
def test_broken_keys_are_named(secrets: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput, match="^" + re.escape(field) + ": "):
        _parse({**AWS, "credentials": secrets})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"registries": []}, "a.json.registries"), ({"registries": ["https://quay.io"]}, "a.json.registries[0]"),
        ({"credentials": {"user": "a"}}, "a.json.credentials"), ({"credentials": {"token": "a"}}, "a.json.credentials.token"),
        ({"domains": ["x"]}, "a.json.domains"), ({"rktVersion": "v2"}, "a.json"),
    ],
)  # fmt: skip
def test_a_broken_file_about_registries_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(LadingError, match="^" + re.escape(field) + ": "):
        logins(json.dumps({**REGISTRY, **changes}), what="a.json")


def test_a_file_of_another_kind_is_in_the_wrong_place() -> None:
    with pytest.raises(InvalidInput, match="auth or dockerAuth"):
        _parse({"rktKind": "paths", "rktVersion": "v1", "data": "/x"})


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


@pytest.mark.parametrize("changes", [{"rktVersion": "v2"}])
def test_what_is_valid_elsewhere_is_not_supported_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(Unsupported):
        _parse({**BASIC, **changes})


def test_secrets_are_in_no_repr() -> None:
    assert "Zm9v" not in repr(_parse(BASIC)) and "sometoken" not in repr(_parse(OAUTH))


def test_two_files_for_one_domain_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"b\.json: a\.json has credentials for example\.com already"):
        together([("a.json", _parse(BASIC)), ("b.json", _parse(BASIC))])


def _header_for(url: str, known: Mapping[str, Credential]) -> str:
    found = credential_for(url, known)
    return found.header if found is not None else ""


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
    assert _header_for(url, known).partition(" ")[0] == header


# -- property ------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=6)
HOSTS = st.sampled_from(
    ["a.example", "A.example:443", "a.example/x", "a.example/x/y", "b.example:8443", "a.example/"]
)
FILES = st.fixed_dictionaries(
    {"rktKind": st.just("auth"), "rktVersion": st.just("v1"), "domains": st.lists(HOSTS | TEXTS, max_size=3)},
    optional={
        "type": st.sampled_from(["basic", "oauth", "aws", ""]) | TEXTS,
        "credentials": st.dictionaries(st.sampled_from(["user", "password", "token"]) | TEXTS, TEXTS | st.none(), max_size=3),
        "other": TEXTS,
    },
)  # fmt: skip
URLS = st.tuples(st.sampled_from(["https", "http", "HTTPS", "ftp"]), HOSTS | TEXTS, TEXTS).map(
    "{0[0]}://{0[1]}/{0[2]}".format
)


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.lists(FILES, max_size=3), URLS)
def test_no_file_does_worse_than_be_refused_and_no_header_leaves_its_host(
    files: list[object], url: str
) -> None:
    try:
        known = together((f"{number}.json", _parse(file)) for number, file in enumerate(files))
    except LadingError as error:
        assert error.message and error.reason
        return
    for one in known.values():
        assert one.header.isprintable() and one.header.partition(" ")[0] in ("Basic", "Bearer")
    header = _header_for(url, known)
    if header:
        assert url.lower().startswith("https://")
        host = (
            url.partition("://")[2]
            .partition("/")[0]
            .partition("?")[0]
            .partition("#")[0]
            .rpartition("@")[2]
            .lower()
        )
        given_to = {
            domain.partition("/")[0].lower().removesuffix(":443")
            for domain, c in known.items()
            if c.header == header
        }
        assert host.removesuffix(":443") in given_to
