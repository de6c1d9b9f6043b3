"""What is fetched is told from a path by its text, and nothing of it becomes an option of git."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.formats.dockerfile import DockerfileError
from lading.formats.dockerfile.remote import GitSource, file_name, is_git, is_http, is_url

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)
HUB = "https://example.com/a/b.git"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("https://example.com/", "http"), ("https://example.com/foo", "http"), ("http://example.com/x.tar.gz?a=b.git", "http"),
        (HUB, "git"), (f"{HUB}#v1", "git"), (f"{HUB}?ref=v1", "git"), (f"{HUB}/", "http"), (f"{HUB}.bar", "http"),
        ("https://a.git", "http"),
        ("git://example.com/foo", "git"), ("ssh://git@example.com/foo", "git"), ("git@example.com:foo/bar", "git"),
        ("a_b@c:d", "git"),
        ("github.com/a/b", ""), ("custom.xyz/a/b.git", ""), ("./.git", ""), (".git", ""), ("a@b", ""), ("dir/a@b:c", ""),
        ("x:y", ""),
        ("file:///etc/passwd", ""), ("C:/x", ""), ("a b@c:d", ""),
    ],
)  # fmt: skip
def test_a_source_is_a_path_a_file_or_a_repository(source: str, kind: str) -> None:
    assert (is_http(source), is_git(source), is_url(source)) == (kind == "http", kind == "git", kind != "")


@pytest.mark.parametrize(
    ("source", "remote", "ref", "directory"),
    [
        (HUB, HUB, "", ""), (f"{HUB}#deadbeef", HUB, "deadbeef", ""), (f"{HUB}#release/1.2", HUB, "release/1.2", ""),
        (f"{HUB}#x/y:sub/dir", HUB, "x/y", "sub/dir"), (f"{HUB}#:sub", HUB, "", "sub"), (f"{HUB}#a:/../../x", HUB, "a", "x"),
        (f"{HUB}?ref=v1&subdir=/sub", HUB, "v1", "sub"), (f"{HUB}?subdir=sub#v1", HUB, "v1", "sub"),
        (f"{HUB}?tag=v1", HUB, "refs/tags/v1", ""),
        (f"{HUB}?branch=refs/heads/a", HUB, "refs/heads/a", ""), (f"{HUB}#a%20b", HUB, "a b", ""),
        (f"{HUB}?ref=v1#v1", HUB, "v1", ""),
        ("git@example.com:a/b.git?subdir=s#r", "git@example.com:a/b.git", "r", "s"),
        ("git://e.com/a#b", "git://e.com/a", "b", ""),
        ("https://u:p@e.com/a.git", "https://u:p@e.com/a.git", "", ""),
    ],
)  # fmt: skip
def test_a_repository_has_a_ref_and_a_directory(source: str, remote: str, ref: str, directory: str) -> None:
    made = GitSource.parse(source)
    assert (made.remote, made.ref, made.directory) == (remote, ref, directory)


def test_queries_say_how_a_repository_is_fetched() -> None:
    made = GitSource.parse(
        f"{HUB}?checksum=deadbeef&keep-git-dir&submodules=false&mtime=commit&fetch-by-commit=1"
    )
    assert (made.checksum, made.keep_git_dir, made.submodules) == ("deadbeef", True, False)
    assert (made.commit_times, made.by_commit, made.name) == (True, True, "b")
    plain = GitSource.parse("http://example.com/x.git")
    assert (plain.keep_git_dir, plain.submodules, plain.by_commit) == (
        None,
        None,
        False,
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (f"{HUB}?ref=v1#v2", "it names v2 and v1"), (f"{HUB}?tag=v1&branch=v1", "refs/tags/v1 and refs/heads/v1"),
        (f"{HUB}?x=1", "'x' is unknown"),
        (f"{HUB}?ref=1&ref=1", "given twice"), (f"{HUB}?ref=", "no value"), (f"{HUB}?submodules=x", "true or false"),
        (f"{HUB}?mtime=x", "mtime"),
        (f"{HUB}?commit=xyz", "is no commit"), (f"{HUB}?subdir=a#r:b", "two directories"), (f"{HUB}#-x", "begins with a dash"),
        ("-x@host:p", "begins with a dash"), ("a@-oProxyCommand:p", "begins with a dash"), ("ssh://-oProxy/x", "no host"),
        ("git:///x", "no host"),
        ("ssh://a@-x/y", "no host"), (f"{HUB}# x", "a blank"), ("plain", "no repository"),
        (f"{HUB}?commit=1234567&checksum=7654321", "are two"),
    ],
)  # fmt: skip
def test_a_repository_that_contradicts_itself_is_refused(source: str, words: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        GitSource.parse(source)
    assert words in caught.value.why


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://e.com/a/b.tar.gz?x#y", "b.tar.gz"), ("https://e.com/a/", "a"), ("https://e.com/", "__unnamed__"),
        ("https://e.com", "__unnamed__"),
        ("https://e.com/a%20b", "a b"), ("https://e.com/..", "__unnamed__"), ("https://e.com/%2e%2e", "__unnamed__"),
        ("https://e.com/a%2fb", "b"),
    ],
)  # fmt: skip
def test_a_fetched_file_is_called_by_its_path(source: str, name: str) -> None:
    assert file_name(source) == name


PIECES = st.sampled_from(
    [
        "https://",
        "git@",
        "ssh://",
        "e.com",
        ":",
        "/",
        "a",
        ".git",
        "#",
        "?",
        "ref=",
        "&",
        "subdir=",
        "..",
        "-",
        "%",
        "%41",
        "=",
        "tag=",
    ]
)


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.lists(PIECES, max_size=14).map("".join))
def test_whatever_is_taken_is_safe_to_hand_to_git(source: str) -> None:
    name = file_name(source)
    assert name and "/" not in name and name not in (".", "..")
    try:
        made = GitSource.parse(source)
    except DockerfileError:
        return
    assert is_git(source) and not is_http(source)
    assert not made.remote.startswith("-") and not made.ref.startswith("-")
    assert not made.directory.startswith("/") and ".." not in made.directory.split("/")
