"""``.dockerignore`` leaves out what Docker leaves out, and a walk may skip no more than that."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.formats.dockerfile import DockerfileError
from lading.formats.dockerfile.ignore import Ignore, names, patterns

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        ("a", "a", True), ("a", "a/b", True), ("a", "b/a", False), ("a", "ab", False), ("./a/", "a", True),
        ("a/../b", "b", True),
        ("*", "a/b", True), ("*.go", "x.go", True), ("*.go", "d/x.go", False), ("*/*.go", "d/x.go", True), ("a?", "ab", True),
        ("a?", "a/", False), ("a?c", "a/c", False), ("**", "a/b/c", True), ("**/x", "x", True), ("**/x", "a/b/x", True),
        ("**/x", "a/bx", False), ("**/*.go", "a/b/x.go", True), ("a/**", "a/b", True), ("a/**", "a", False),
        ("a/**/b", "a/b", True), ("a/**/b", "a/x/y/b", True), ("a/**/b", "a/xb", False), ("a**", "abc/d", True),
        ("**a", "xxa", True),
        ("a**b", "ab", True), ("a**b", "axb", False), ("a**b", "ax/b", True), ("[a-c]x", "bx", True), ("[^a-c]x", "bx", False),
        ("[^a]", "/", True), ("[\\]]", "]", True), ("\\*", "*", True), ("\\*", "a", False), ("\\d", "7", True),
        ("a.b", "axb", False),
        ("a]", "a]", True), ("^a*", "ab", True), ("a^*", "a^b", False), ("(a|b)*", "a", False), ("é?", "éü", True),
    ],
)  # fmt: skip
def test_a_pattern_matches_a_path_or_one_above_it(pattern: str, path: str, ignored: bool) -> None:
    assert Ignore([pattern]).ignored(path) is ignored


@pytest.mark.parametrize(
    ("given_patterns", "path", "ignored"),
    [
        (["*", "!a"], "a", False), (["*", "!a"], "a/b", False), (["*", "!a"], "b", True), (["!a", "*"], "a", True),
        (["a", "!a/keep"], "a/keep", False), (["a", "!a/keep"], "a/keep/x", False), (["a", "!a/keep"], "a/other", True),
        (["a", "!a/keep", "a/keep/x"], "a/keep/x", True), (["**", "!**/*.md", "secret.md"], "d/x.md", False),
        (["**", "!**/*.md", "secret.md"], "secret.md", True), (["!a"], "a", False), ([], "a", False), (["", "  "], "a", False),
    ],
)  # fmt: skip
def test_the_last_pattern_that_matches_decides(given_patterns: list[str], path: str, ignored: bool) -> None:
    assert Ignore(given_patterns).ignored(path) is ignored


@pytest.mark.parametrize(
    ("given_patterns", "directory", "skipped"),
    [
        (["a"], "a", True), (["a"], "b", False), (["a", "!a/keep"], "a", False), (["a", "!b/keep"], "a", True),
        (["a", "!a/b/keep"], "a/b", False), (["a", "!a/b/keep"], "a/c", True), (["a", "!**/keep"], "a/c", False),
        (["a", "!a/*/keep"], "a/c", False), (["a", "!a/*/keep"], "a/c/d", True), (["!a/keep", "a"], "a", True),
        (["a", "!a/keep/**"], "a", False), (["a", "!a/keep/**"], "a/keep", False), (["a", "!a/keep/**"], "a/other", True),
        (["a", "!a"], "a", False),
    ],
)  # fmt: skip
def test_a_directory_is_skipped_when_nothing_below_it_comes_back(
    given_patterns: list[str], directory: str, skipped: bool
) -> None:
    assert Ignore(given_patterns).may_skip(directory) is skipped


def test_a_file_of_patterns_loses_comments_blanks_and_slashes_in_front() -> None:
    data = b"\xef\xbb\xbf# comment\n\n  /a/b/ \r\n! /c\n #not a comment\n.\n/\n!\nx\\ y"
    assert patterns(data) == ["a/b", "!c", "#not a comment", ".", "/", "!", "x\\ y"]


@pytest.mark.parametrize(
    "pattern",
    ["!", "[", "a[", "[]a]", "[a", "[b-a]", "[-a]", "a\\", "\\z", "[[:alpha:]]", "x" * 5000, "*a" * 101],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        Ignore(["ok", pattern], "p.dockerignore")
    assert caught.value.reason == "pattern"
    assert "p.dockerignore" in str(caught.value)


def test_the_files_own_patterns_come_before_those_of_the_context() -> None:
    assert names("docker/build.Dockerfile") == ("docker/build.Dockerfile.dockerignore", ".dockerignore")


def test_the_pattern_that_decides_can_be_told() -> None:
    ignore = Ignore(["*.md", "!README.md", "docs"])
    assert [ignore.reason(path) for path in ("x.md", "README.md", "docs/a/b", "src")] == [
        "*.md",
        "!README.md",
        "docs",
        "",
    ]


PIECES = st.sampled_from(["a", "b", "*", "?", "**", "/", "**/", "/**", "[ab]", "[^a]", "\\*", ".", "^", "é"])
PATTERN = st.builds(
    lambda no, parts: no + "".join(parts),
    st.sampled_from(["", "!"]),
    st.lists(PIECES, min_size=1, max_size=6),
)
PATH = st.lists(st.sampled_from(["a", "b", "ab", "a.b", "*", "é"]), min_size=1, max_size=5).map("/".join)


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.lists(PATTERN, max_size=4), st.lists(PATH, min_size=1, max_size=5))
def test_the_order_of_questions_changes_no_answer_and_a_skipped_directory_hides_nothing(
    given_patterns: list[str], paths: list[str]
) -> None:
    try:
        ignore = Ignore(given_patterns)
    except DockerfileError:
        return
    answers = [ignore.ignored(path) for path in paths]
    assert [ignore.ignored(path) for path in reversed(paths)] == answers[::-1]
    assert [Ignore(given_patterns).ignored(path) for path in paths] == answers
    for path, ignored in zip(paths, answers, strict=True):
        for end in (index for index, char in enumerate(path) if char == "/"):
            if ignore.may_skip(path[:end]):
                assert ignored


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_are_patterns_or_a_mistake(data: bytes) -> None:
    try:
        Ignore.parse(data).ignored("a/b")
    except DockerfileError as error:
        assert error.render()
