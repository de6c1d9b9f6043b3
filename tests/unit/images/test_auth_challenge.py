"""WWW-Authenticate headers as registries write them, and as attackers would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.images.auth_challenge import parse


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "registry.example",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ('Basic realm="Registry Realm"', [("basic", {"realm": "Registry Realm"})]),
        ("Basic", [("basic", {})]),
        ('BEARER Realm = "x" , Service=y', [("bearer", {"realm": "x", "service": "y"})]),
        ('Basic realm="a, b", Bearer realm="c"', [("basic", {"realm": "a, b"}), ("bearer", {"realm": "c"})]),
        (r'Basic realm="a \"quoted\" \\ name"', [("basic", {"realm": 'a "quoted" \\ name'})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Bearer realm="unfinished', [("bearer", {})]),
        ('Bearer realm="one",realm="two"', [("bearer", {"realm": "one"})]),
        ("", []),
        ("=,=;", []),
    ],
)
def test_challenges_are_read_and_nonsense_ends_them(
    header: str, expected: list[tuple[str, dict[str, str]]]
) -> None:
    assert [(c.scheme, c.parameters) for c in parse(header)] == expected


@given(st.text(alphabet='abB =,"\\\t;Basicrealm', max_size=200))
def test_any_text_is_read_without_an_error(header: str) -> None:
    for challenge in parse(header):
        assert challenge.scheme == challenge.scheme.lower() != ""
