"""Who may do what: the rights file, passwords, tokens, and the wait after wrong ones."""

from __future__ import annotations

import base64
import json

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidInput, LadingError, NotFound
from lading.registry import rights
from lading.registry.damping import FREE, LONGEST, Damping
from lading.registry.passwords import Passwords, change, parse
from lading.registry.tokens import LIFE, Claims, Tokens, scopes

RULES = """
# who may what
@team = alice, bob

anonymous      public/**   pull
authenticated  shared/*    pull push
alice          alice/**    all
@team          team-*/x    pull   # not more
carol          **          delete
"""


@pytest.mark.parametrize(
    ("user", "repository", "action", "allowed"),
    [
        ("", "public/a", "pull", True),
        ("", "public/a/b/c", "pull", True),
        ("", "public", "pull", False),
        ("", "publicity/a", "pull", False),
        ("", "public/a", "push", False),
        ("bob", "public/a", "pull", True),
        ("", "shared/a", "pull", False),
        ("dave", "shared/a", "push", True),
        ("dave", "shared/a/b", "push", False),
        ("alice", "alice/a/b", "delete", True),
        ("bob", "alice/a/b", "pull", False),
        ("bob", "team-red/x", "pull", True),
        ("bob", "team-red/y", "pull", False),
        ("bob", "team-a/b/x", "pull", False),
        ("dave", "team-red/x", "pull", False),
        ("carol", "any/thing", "delete", True),
        ("carol", "any/thing", "pull", False),
        ("@team", "team-red/x", "pull", False),
        ("anonymous", "alice/a", "pull", False),
    ],
)
def test_rights_are_what_the_lines_say_together(user, repository, action, allowed):
    assert rights.parse(RULES, "rights").allows(user, repository, action) is allowed


def test_without_files_everybody_may_everything_and_with_passwords_every_user():
    assert rights.EVERYTHING.allows("", "a/b", "delete")
    assert rights.EVERYTHING.open
    assert not rights.USERS.allows("", "a/b", "pull")
    assert rights.USERS.allows("alice", "a/b", "delete")
    assert not rights.USERS.open


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        "alice a/**",
        "alice a/** write",
        "alice A/** pull",
        "alice a** pull",
        "alice a/ pull",
        "alice /a pull",
        "alice a//b pull",
        "@team a pull",
        "@team =x",
        "team = alice",
        "@a = b\n@a = c",
        "a:b ** pull",
        "@team = @other",
    ],
)
def test_a_line_that_means_nothing_is_named(line):
    with pytest.raises(InvalidInput) as caught:
        rights.parse("# first\n" + line, "the-file")
    assert "the-file" in caught.value.message


@given(st.text(alphabet="@=*/#, \nabcAll pushdet", max_size=80))
def test_any_text_is_rights_or_refused(text):
    try:
        made = rights.parse(text, "rights")
    except InvalidInput:
        return
    assert made.allows("", "a", "pull") in (True, False)


def hashed(password: str, kind: bytes = b"2b") -> str:
    return (
        bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, b"2b"))
        .decode()
        .replace("$2b$", f"${kind.decode()}$", 1)
    )


def test_passwords_of_all_kinds_of_bcrypt_are_known(tmp_path):
    path = tmp_path / "htpasswd"
    path.write_text(
        f"# users\nalice:{hashed('secret', b'2y')}\n\nbob:{hashed('sécret', b'2a')}\ncarol:{hashed('x' * 72)}\n"
    )
    made = Passwords(str(path))
    assert not made.known("alice", "secret")
    assert made.check("alice", "secret")
    assert made.known("alice", "secret")
    assert made.check("bob", "sécret")
    assert made.check("carol", "x" * 100)  # bcrypt looks at 72 bytes
    assert not made.check("alice", "Secret")
    assert not made.check("nobody", "secret")
    assert not made.check("alice", "")
    assert not made.known("bob", "secret")


def test_a_changed_file_counts_from_the_reload_on_and_a_broken_one_never(tmp_path):
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{hashed('old')}\n")
    made = Passwords(str(path))
    mark = made.mark("alice")
    assert made.check("alice", "old")
    path.write_text(f"alice:{hashed('new')}\n")
    made.reload()
    assert made.mark("alice") != mark
    assert not made.known("alice", "old")
    assert not made.check("alice", "old")
    assert made.check("alice", "new")
    path.write_text("alice:plain\n")
    with pytest.raises(InvalidInput):
        made.reload()
    assert made.check("alice", "new")
    with pytest.raises(NotFound):
        Passwords(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        ":x",
        "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "alice:$apr1$abc$def",
        "alice:$2b$10$short",
        "alice:$2b$10$" + "!" * 53,
        "a:$2b$04$" + "a" * 53 + "\na:$2b$04$" + "a" * 53,
    ],
)
def test_what_is_no_bcrypt_line_is_named(line):
    with pytest.raises(InvalidInput) as caught:
        parse(b"# first\n" + line.encode(), "the-file")
    assert "the-file, line" in caught.value.message


def test_users_are_added_changed_and_removed(tmp_path):
    path = str(tmp_path / "htpasswd")
    assert not change(path, "alice", "one")
    assert not change(path, "bob", "two")
    assert change(path, "alice", "three")
    made = Passwords(path)
    assert made.check("alice", "three")
    assert not made.check("alice", "one")
    assert change(path, "alice", None)
    assert not change(path, "alice", None)
    made.reload()
    assert not made.check("alice", "three")
    assert made.check("bob", "two")
    assert (tmp_path / "htpasswd").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("user", ["", "a:b", "@a", "a b", "anonymous", "authenticated", "a\n", "x" * 256])
def test_some_names_are_no_users(tmp_path, user):
    with pytest.raises(InvalidInput):
        change(str(tmp_path / "f"), user, "secret")


@pytest.mark.parametrize("password", ["", "x" * 73])
def test_some_passwords_are_none(tmp_path, password):
    with pytest.raises(InvalidInput):
        change(str(tmp_path / "f"), "alice", password)


NOW = 1_000_000.0


def test_a_token_says_what_was_put_into_it_for_five_minutes():
    made = Tokens(b"k" * 32, "here")
    token = made.issue(
        Claims("alice", {"a/b": frozenset(("pull", "push")), "c": frozenset()}, catalog=True), NOW
    )
    claims = made.read(token, NOW + LIFE - 1)
    assert (claims.subject, claims.access, claims.catalog) == (
        "alice",
        {"a/b": frozenset(("pull", "push"))},
        True,
    )
    for when in (NOW + LIFE + 1, NOW - 60):
        with pytest.raises(InvalidInput):
            made.read(token, when)


def test_a_token_of_somebody_else_or_for_something_else_is_refused():
    made = Tokens(b"k" * 32, "here")
    token = made.issue(Claims("alice", {}), NOW)
    refresh = made.refresh("alice", "mark", NOW)
    assert made.read_refresh(refresh, NOW + 86400).mark == "mark"
    header, body, signature = token.split(".")
    other = json.loads(base64.urlsafe_b64decode(body + "=="))
    other["sub"] = "root"
    forged = base64.urlsafe_b64encode(json.dumps(other).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for bad in (
        f"{header}.{forged}.{signature}",
        f"{none}.{body}.",
        f"{header}.{body}.",
        f"{header}.{body}.{signature}x",
        body,
        "",
        "é" * 9,
        "x" * 20000,
        refresh,
        Tokens(b"j" * 32, "here").issue(Claims("alice", {}), NOW),
        Tokens(b"k" * 32, "there").issue(Claims("alice", {}), NOW),
    ):
        with pytest.raises(InvalidInput):
            made.read(bad, NOW)
    with pytest.raises(InvalidInput):
        made.read_refresh(token, NOW)


@given(st.text(max_size=200))
def test_any_text_is_no_token(text):
    with pytest.raises(LadingError):
        Tokens(b"k" * 32, "here").read(text, NOW)


def test_scopes_are_read_as_clients_write_them():
    asked = scopes(
        ["repository:a/b:pull,push repository:localhost:5000/c:*", "registry:catalog:*", "x:y", ""]
    )
    assert asked.access == {"a/b": {"pull", "push"}, "localhost:5000/c": {"pull", "push", "delete"}}
    assert asked.catalog


def test_guessing_gets_slower_and_a_right_password_ends_it():
    damping = Damping()
    for _ in range(FREE):
        assert damping.wait("k", NOW) == 0
        damping.failed("k", NOW)
    waits = []
    for _ in range(10):
        waits.append(damping.wait("k", NOW))
        damping.failed("k", NOW)
    assert waits == sorted(waits)
    assert waits[0] == 1
    assert waits[-1] == LONGEST
    assert damping.wait("other", NOW) == 0
    assert damping.wait("k", NOW + LONGEST) == 0
    damping.succeeded("k")
    assert damping.wait("k", NOW) == 0
