"""Wildcards of COPY's sources, component by component."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.build.matching import is_pattern, matches
from lading.errors import InvalidInput


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*", "", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "abc", True),
        ("a*b*c*d*e*", "axbxcxdxe", True),
        ("a*b*c*d*e*", "axbxcxdxexxx", True),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("[a-ž]*", "é", True),
        ("*[a-ž]", "A", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "x", True),
        ("[\\-x]", "a", False),
        ("*x", "xxx", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_patterns_match_as_go_s_do(pattern, name, fits):
    assert matches(pattern, name) is fits


@pytest.mark.parametrize("pattern", ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\"])
def test_broken_patterns_are_refused(pattern):
    with pytest.raises(InvalidInput) as caught:
        matches(pattern, "a")
    assert caught.value.reason == "pattern"


def test_a_component_without_wildcards_is_none():
    assert not is_pattern("plain.txt")
    assert all(is_pattern(text) for text in ("*", "a?", "[a]", "a\\b"))


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_stars_and_question_marks_agree_with_fnmatch(pattern, name):
    assert matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)
