"""Variables, quotes and escapes mean what they mean to BuildKit."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.formats.dockerfile import DockerfileError, Expander

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)
ENV = {
    "A": "aab*a",
    "B": "x y",
    "E": "",
    "P": "/usr/lib/x.tar.gz",
    "V": "v1.2.3",
    "N": "a\nb",
    "D": "a$b",
    "é": "ü",
}


def expand(text: str, lookup: Callable[[str], str | None], escape: str = "\\") -> str:
    return Expander(lookup, escape).word(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"), ("$A", "aab*a"), ("${A}", "aab*a"), ("x$A.y", "xaab*a.y"), ("$é", "ü"), ("$1a", "a"), ("$$", ""),
        ("$", "$"), ("a$", "a$"), ("$.", "$."), ("$Unset", ""), ("\\$A", "$A"), ("'$A'", "$A"), ('"$A"', "aab*a"),
        ('"\'$A\'"', "'aab*a'"),
        ("'a\\b'", "a\\b"), ('"a\\b\\"\\$\\\\"', 'a\\b"$\\'), ("a\\ b\\c", "a bc"), ("a\\", "a"), ("${E:-d}", "d"),
        ("${E-d}", ""),
        ("${U:-d}", "d"), ("${U-d}", "d"), ("${A:+d}", "d"), ("${E:+d}", ""), ("${E+d}", "d"), ("${U+d}", ""),
        ("${A:?m}", "aab*a"),
        ("${E?m}", ""), ("${U:-${B:-x}}", "x y"), ("${U:-${W:-'}'}}", "}"), ("${V#v}", "1.2.3"), ("${P##*/}", "x.tar.gz"),
        ("${P%/*}", "/usr/lib"), ("${P%%.*}", "/usr/lib/x"), ("${P%.?z}", "/usr/lib/x.tar"), ("${A#a}", "ab*a"),
        ("${A#*a}", "ab*a"),
        ("${A##*a}", ""), ("${A%\\**}", "aab"), ("${A%x}", "aab*a"), ("${V/./-}", "v1-2.3"), ("${V//./-}", "v1-2-3"),
        ("${P//\\//_}", "_usr_lib_x.tar.gz"),
        ("${P/usr/}", "//lib/x.tar.gz"), ("${V/[0-9]/x}", "v1.2.3"), ("${N#*}", "a\nb"), ("${N##*}", "\nb"),
        ("${N//?/x}", "x\nx"),
        ("${A/#/x}", "aab*a"), ("${A///-}", "-a-a-b-*-a-"), ("${V/1/$D}", "va$b.2.3"), ("${V//1/$D}", "va$b.2.3"),
    ],
)  # fmt: skip
def test_a_word_is_expanded(text: str, result: str) -> None:
    assert expand(text, ENV.get) == result


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("'a", "single quote"), ('"a', "double quote"), ("${", "missing"), ("${A", "missing"), ("${A:-b", "missing"),
        ("${}", "names no"),
        ("${{A}}", "names no"), ("${:-a}", "names no"), ("${A^}", "modifier '^'"), ("${A:=b}", "modifier ':='"),
        ("${A:#b}", "':#'"),
        ("${U:?no way}", "U: no way"), ("${U?}", "unset"), ("${E:?}", "empty"), ("${A/b}", "'/' is missing"),
        ("${A#\\x}", "a backslash"),
    ],
)  # fmt: skip
def test_what_is_not_complete_is_a_mistake(text: str, words: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        expand(text, ENV.get)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b", ["a", "b"]), ("$B", ["x", "y"]), ('"$B"', ["x y"]), ("a$B", ["ax", "y"]), ("a\\ b", ["a b"]), ("$E", []),
        ('""', []), ("a${U:-b c}d", ["ab", "cd"]), ("'a b'c d", ["a bc", "d"]),
    ],
)  # fmt: skip
def test_words_are_split_at_blanks_outside_quotes(text: str, words: list[str]) -> None:
    assert Expander(ENV.get).words(text) == words


def test_a_backtick_may_be_the_escape() -> None:
    assert expand('C:\\$A`$A"`""', ENV.get, "`") == 'C:\\aab*a$A"'


def test_documents_keep_quotes_and_lose_escapes_before_dollars() -> None:
    assert Expander(ENV.get, "`").heredoc("\"$A\" '$A' \\$A `x`") == "\"aab*a\" 'aab*a' $A `x`"


def test_the_names_that_were_looked_up_are_noted() -> None:
    expander = Expander(ENV.get)
    expander.word("$A ${U:-$W} ${E:+$X}")
    assert list(expander.used) == ["A", "E"]
    assert list(expander.missing) == ["W", "U", "X"]


def test_a_value_that_grows_without_bound_is_refused() -> None:
    big = "x" * 1_000_000
    with pytest.raises(DockerfileError):
        expand("$A" * 10, lambda name: big)
    with pytest.raises(DockerfileError):
        expand("${A//x/" + "y" * 1000 + "}", lambda name: big)


@pytest.mark.parametrize("text", ["$b" * 3000, '"' + "$b" * 3000 + '"', 'x"$b${a:-"' + "$b" * 3000 + '"}"'])
def test_nothing_is_read_on_behind_what_is_too_long(text: str) -> None:
    """Or a line of 100 KiB would want gigabytes before it is refused."""
    asked: list[str] = []

    def lookup(name: str) -> str | None:
        asked.append(name)
        return "x" * (1 << 20) if name == "b" else None

    with pytest.raises(DockerfileError, match="longer than 4 MiB"):
        expand(text, lookup)
    assert len(asked) < 10


def test_nesting_and_matching_have_limits() -> None:
    with pytest.raises(DockerfileError):
        expand("${A:-" * 10_000 + "}" * 10_000, lambda name: None)
    with pytest.raises(DockerfileError):
        expand("${A#" + "*a" * 2000 + "b}", lambda name: "a" * 100_000)


PIECES = st.sampled_from(
    [
        "a",
        "$A",
        "${",
        "}",
        "${U:-",
        "${A/",
        "${A//",
        "${A#",
        "${A%%",
        "/",
        "*",
        "?",
        "'",
        '"',
        "\\",
        " ",
        "$",
        "`",
        ":",
        "é",
        "<<",
    ]
)


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.lists(PIECES, max_size=20).map("".join), st.sampled_from(["\\", "`"]))
def test_any_text_is_expanded_or_a_mistake(text: str, escape: str) -> None:
    for read in (lambda e: e.word(text), lambda e: e.words(text), lambda e: e.heredoc(text)):
        expander = Expander(ENV.get, escape)
        try:
            read(expander)
        except DockerfileError as error:
            assert error.why and "\n" not in error.why
        assert not set(expander.used) & set(expander.missing)


@FUZZ
@given(st.text(st.characters(exclude_characters="$'\"\\", exclude_categories=["Cs"]), max_size=30))
def test_text_without_special_characters_stays(text: str) -> None:
    assert expand(text, ENV.get) == text
    quoted = "'" + text + "'"
    assert expand(quoted, ENV.get) == text
