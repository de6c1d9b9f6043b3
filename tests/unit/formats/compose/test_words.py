"""A command's one line as words."""

from __future__ import annotations

import pytest

from lading.formats.compose import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b", ["a", "b"]),
        ("a 'b c' \"d e\"", ["a", "b c", "d e"]),
        ("a '' b", ["a", "", "b"]),
        (r"a\ b", ["a b"]),
        (r"'a\b'", [r"a\b"]),
        (r'"a\nb\tc\"d\x"', ['a\nb\tc"dx']),
        ("a && b", ["a", "&&", "b"]),
        ("", []),
    ],
)
def test_quotes_and_backslashes_are_docker_composes(text: str, expected: list[str]) -> None:
    assert words.split(text) == expected
