"""The specification's "Interpolation", statement by statement."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.compose.interpolation import Missing, interpolate, names

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)
VALUES = {"SET": "value", "EMPTY": "", "FOO": "foo", "Under_2": "u"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$SET", "value"),
        ("${SET}", "value"),
        ("a${SET}b$FOO.c", "avaluebfoo.c"),
        ("$Under_2-", "u-"),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${SET:-default}", "value"),
        ("${UNSET-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${UNSET-}", ""),
        ("${SET:?no}", "value"),
        ("${EMPTY?no}", ""),
        ("${SET:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${UNSET+other}", ""),
        ("${UNSET:-${FOO}}", "foo"),
        ("${UNSET:-${NOPE:-default}}", "default"),
        ("${UNSET:-$FOO and ${SET}}", "foo and value"),
        ("${SET:-${NOPE?never asked}}", "value"),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${UNSET:-http://x/?y}", "http://x/?y"),
        ("$$SET", "$SET"),
        ("$${SET}", "${SET}"),
        ("$$$SET", "$value"),
        ("${UNSET:-$$FOO}", "$FOO"),
        ("$1 costs 5$", "$1 costs 5$"),
        ("$ {SET}", "$ {SET}"),
        ("$-", "$-"),
        ("${UNSET}", ""),
        ("}", "}"),
    ],
)
def test_what_a_value_becomes(text: str, expected: str) -> None:
    assert interpolate(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${UNSET?it is needed}", "it is needed"),
        ("${UNSET:?it is needed}", "it is needed"),
        ("${EMPTY:?it is needed}", "it is needed"),
        ("${UNSET?$FOO}", "foo"),
        ("${UNSET?}", "UNSET"),
    ],
)
def test_a_variable_that_must_be_there_is_asked_for_in_the_files_own_words(text: str, said: str) -> None:
    with pytest.raises(Missing) as raised:
        interpolate(text, VALUES)
    assert said in raised.value.message
    assert raised.value.reason == "missing-variable"


@pytest.mark.parametrize(
    "text", ["${", "${SET", "${}", "${SET/a/b}", "${SET:}", "${SET:=x}", "${1}", "${UNSET:-${FOO}", "${SET!}"]
)
def test_what_is_no_substitution_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        interpolate(text, VALUES)


def test_who_is_not_set_is_told_of_once_for_every_use_that_counts() -> None:
    told: list[str] = []
    interpolate("$A ${B} ${C:-x} ${SET:-$D} ${E-${F}} $$G", VALUES, told.append)
    assert told == ["A", "B", "F"]


def test_nesting_has_an_end() -> None:
    with pytest.raises(InvalidInput):
        interpolate("${A:-" * 1000 + "x" + "}" * 1000, {})


def test_the_variables_of_a_text_are_found_with_their_defaults() -> None:
    assert names("a $A ${B:-x} $$C ${D?no}") == [("A", "", ""), ("B", ":-", "x"), ("D", "?", "no")]
    assert names('${A:-{"a": ${B-b}}}!') == [("A", ":-", '{"a": ${B-b}}'), ("B", "-", "b")]


@pytest.mark.fuzz
@FUZZ
@given(st.text(alphabet="${}:-?+aA_ \n", max_size=60))
def test_any_text_gives_a_text_or_one_clear_refusal(text: str) -> None:
    try:
        made = interpolate(text, VALUES)
    except InvalidInput as error:
        assert error.message
    else:
        assert isinstance(made, str)


@pytest.mark.fuzz
@FUZZ
@given(st.text(max_size=60))
def test_a_text_whose_dollars_are_doubled_stays_what_it_is(text: str) -> None:
    assert interpolate(text.replace("$", "$$"), VALUES) == text
