"""The specification's "env_file format", line by line."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.compose.dotenv import parse

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


def read(text: str, **lookup: str) -> dict[str, str | None]:
    return parse(text.encode(), where=".env", lookup=lookup)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("VAR=VAL", "VAL"),
        ('VAR="VAL"', "VAL"),
        ("VAR='VAL'", "VAL"),
        ("VAR=VAL # comment", "VAL"),
        ("VAR=VAL# not a comment", "VAL# not a comment"),
        ('VAR="VAL # not a comment"', "VAL # not a comment"),
        ('VAR="VAL" # comment', "VAL"),
        ("VAR='$OTHER'", "$OTHER"),
        ("VAR='${OTHER}'", "${OTHER}"),
        (r"VAR='Let\'s go!'", "Let's go!"),
        (r'VAR="{\"hello\": \"json\"}"', '{"hello": "json"}'),
        (r'VAR="some\tvalue"', "some\tvalue"),
        (r"VAR='some\tvalue'", r"some\tvalue"),
        (r"VAR=some\tvalue", r"some\tvalue"),
        ("VAR=$OTHER", "other"),
        ("VAR=${NOPE:-x}", "x"),
        ('VAR="a${OTHER}b"', "aotherb"),
        (r'VAR="\$OTHER"', "$OTHER"),
        ("VAR=", ""),
        ("VAR=   spaced   ", "spaced"),
        ("VAR = spaced", "spaced"),
        ("export VAR=x", "x"),
        ("VAR: yaml", "yaml"),
        ("VAR=a=b", "a=b"),
        ("VAR=# all comment", "# all comment"),
        ("VAR=x\t# no blank before", "x\t# no blank before"),
        (r'VAR="\0101\012"', "A\n"),
        ("VAR=\u00a0x", "x"),
        ('VAR="two\nlines"', "two\nlines"),
        ("VAR", None),
    ],
)
def test_what_a_line_says(line: str, value: str | None) -> None:
    assert read(line, OTHER="other") == {"VAR": value}


def test_a_name_may_begin_with_a_digit_or_be_of_another_alphabet() -> None:
    assert parse("1A=1\nÄ=2".encode(), where=".env", lookup={}) == {"1A": "1", "Ä": "2"}


def test_blank_lines_comments_and_a_byte_order_mark_say_nothing() -> None:
    assert parse(b"\xef\xbb\xbf\n# one\n   # two\r\nA=1\r\n\nB=2", where=".env", lookup={}) == {
        "A": "1",
        "B": "2",
    }


def test_a_later_line_may_refer_to_an_earlier_one_and_the_callers_variables_win() -> None:
    assert read("A=1\nB=${A}2", A="9") == {"A": "1", "B": "92"}
    assert read("A=1\nB=${A}2") == {"A": "1", "B": "12"}


@pytest.mark.parametrize(
    "text", ["A=1\n=x", 'A=1\nB="open', "A=1\nB='a' b", "A=1\nB C=2", "A=1\n\nC=${X", "A=1\n%"]
)
def test_a_mistake_is_told_with_its_line(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read(text)
    assert raised.value.message.startswith((".env:2: ", ".env:3: "))


def test_many_lines_with_variables_are_read_in_no_time() -> None:
    made = parse(b"".join(b"A%d=$B\n" % n for n in range(100_000)), where=".env", lookup={"B": "1"})
    assert len(made) == 100_000


@pytest.mark.fuzz
@FUZZ
@given(st.binary(max_size=80))
def test_any_bytes_give_variables_or_one_clear_refusal(data: bytes) -> None:
    try:
        made = parse(data, where=".env", lookup={})
    except InvalidInput as error:
        assert error.message.startswith(".env")
    else:
        assert all(isinstance(name, str) and name for name in made)
