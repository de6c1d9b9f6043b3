"""AC Names and AC Identifiers: what the specification's text accepts and refuses, and how names relate."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.appc import names

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


NAME = re.compile(r"[a-z0-9]+([-][a-z0-9]+)*")
IDENTIFIER = re.compile(r"[a-z0-9]+((/~|[-._~/])[a-z0-9]+)*")

GOOD_NAMES = ["database", "product-database", "product-database-release", "a", "0", "1-2-3"]
BAD_NAMES = [
    "", "-", "Database", "-database", "database-", "product--database", "a.b", "a_b", "a/b", "a~b", "a b", "a\n", "é",
    "example.com/database", "²",
]  # fmt: skip
GOOD_IDENTIFIERS = [
    "database", "example.com/database", "example.com/ourapp", "example.com/~user/app_v1", "example.com~user",
    "sub-domain.example.com/org/product/release", "a.b-c_d~e/f", "0",
]  # fmt: skip
BAD_IDENTIFIERS = [
    "", "/", "EXAMPLE.com", "example.com/", "/example.com", "app#", "app-", ".app", "app_", "~app", "a..b", "a//b", "a-.b",
    "a/~", "~/a", "a/~~b", "a/../b", "a~/b", "a:b", "a,b", "a=b", "a\n", "\u0661",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD_NAMES)
def test_a_name_of_words_and_hyphens_is_accepted(text: str) -> None:
    assert names.check_name(text, "x") == text


@pytest.mark.parametrize("text", BAD_NAMES)
def test_another_name_is_refused_with_the_field(text: str) -> None:
    assert not names.is_name(text)
    with pytest.raises(InvalidInput, match=r"^apps\[0\].name: "):
        names.check_name(text, "apps[0].name")


@pytest.mark.parametrize("text", GOOD_IDENTIFIERS)
def test_an_identifier_is_accepted(text: str) -> None:
    assert names.check_identifier(text, "x") == text


@pytest.mark.parametrize("text", BAD_IDENTIFIERS)
def test_another_identifier_is_refused_with_the_field(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^name: "):
        names.check_identifier(text, "name")


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.text("ab0-._~/A\n", max_size=8))
def test_the_grammars_are_the_texts_regular_expressions_and_its_example(text: str) -> None:
    assert names.is_name(text) == bool(NAME.fullmatch(text))
    assert names.is_identifier(text) == bool(IDENTIFIER.fullmatch(text))


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.text(max_size=20))
def test_a_suggestion_is_valid_or_empty(text: str) -> None:
    name, identifier = names.suggest_name(text), names.suggest_identifier(text)
    assert name == "" or names.is_name(name)
    assert identifier == "" or names.is_identifier(identifier)
    if names.is_identifier(text):
        assert identifier == text


@pytest.mark.parametrize(
    ("text", "identifier"),
    [("foo#", "foo"), ("EXAMPLE.com", "example.com"), ("/app", "app"), ("app///", "app"), ("-/.app..", "app"), ("//", ""),
     ("-/app.name-test/-/", "app.name-test"), ("My App", "my-app")],
)  # fmt: skip
def test_a_suggestion_resembles_what_was_meant(text: str, identifier: str) -> None:
    assert names.suggest_identifier(text) == identifier


def test_parents_are_walked_from_the_name_to_its_host() -> None:
    assert names.parents("example.com/project/sub") == [
        "example.com/project/sub",
        "example.com/project",
        "example.com",
    ]


@pytest.mark.parametrize(
    ("name", "prefix", "is_below"),
    [("example.com/app", "example.com/app", True), ("example.com/app", "example.com", True),
     ("example.com/app", "example.com/", True), ("example.com/app", "example.com/ap", False),
     ("example.com/app", "example.co", False), ("example.com", "example.com/app", False), ("example.com/app", "", False)],
)  # fmt: skip
def test_a_prefix_ends_at_the_border_of_a_component(name: str, prefix: str, is_below: bool) -> None:
    assert names.below(name, prefix) is is_below
