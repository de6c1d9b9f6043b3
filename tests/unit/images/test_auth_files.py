"""Credentials: found where Docker and Podman keep them, kept where Docker does, never readable by others."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from lading.errors import InvalidInput, LadingError
from lading.images import auth
from lading.images.auth import Credentials


def _basic(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home/.docker").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    return {
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "STORE": str(tmp_path / "helper.json"),
    }


def _write(path: str, value: object) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(value if isinstance(value, str) else json.dumps(value))


def _helper(home: dict[str, str], name: str) -> None:
    """A credential helper that keeps what it is given in one file."""
    program = Path(home["PATH"].partition(":")[0]) / f"docker-credential-{name}"
    program.write_text(
        """#!/bin/sh
case $1 in
store) cat > "$STORE" ;;
erase) rm -f "$STORE" ;;
get) [ -e "$STORE" ] && cat "$STORE" || { echo "credentials not found in native keychain"; exit 1; } ;;
esac
"""
    )
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("docker.io", "https://index.docker.io/v1/"),
        ("docker.io", "docker.io"),
        ("quay.io", "https://quay.io/v2/"),
        ("localhost:5000", "localhost:5000"),
        ("localhost:5000", "http://localhost:5000/"),
    ],
)
def test_all_the_ways_a_registry_was_ever_written_are_understood(
    home: dict[str, str], registry: str, key: str
) -> None:
    _write(home["HOME"] + "/.docker/config.json", {"auths": {key: _basic("alice", "p:w")}})
    found = auth.find(registry, "a/b", home)
    assert (found.user, found.password) == ("alice", "p:w")
    assert not auth.find("other.example", "", home)


def test_files_are_asked_in_order_and_the_most_specific_namespace_wins(home: dict[str, str]) -> None:
    _write(home["XDG_RUNTIME_DIR"] + "/containers/auth.json", {
        "auths": {"q.io": _basic("all", "1"), "q.io/team": _basic("team", "2"), "q.io/team/app": _basic("app", "3")}
    })  # fmt: skip
    assert auth.find("q.io", "team/app", home).user == "app"
    assert auth.find("q.io", "team/other", home).user == "team"
    assert auth.find("q.io", "teams/app", home).user == "all"
    _write(home["HOME"] + "/.docker/config.json", {"auths": {"q.io": _basic("docker", "4")}})
    assert auth.find("q.io", "team/app", home).user == "docker"
    named = home["HOME"] + "/named.json"
    _write(named, {"auths": {"q.io": {"username": "named", "password": "5"}}})
    assert auth.find("q.io", "team/app", {**home, "REGISTRY_AUTH_FILE": named}).user == "named"


def test_identity_and_registry_tokens_are_not_taken_for_passwords(home: dict[str, str]) -> None:
    _write(home["HOME"] + "/.docker/config.json", {
        "auths": {"a.io": {**_basic("<token>", ""), "identitytoken": "refresh"}, "b.io": {"registrytoken": "straight"}}
    })  # fmt: skip
    found = auth.find("a.io", "", home)
    assert (found.user, found.password, found.identity_token) == ("", "", "refresh")
    assert auth.find("b.io", "", home).bearer == "straight"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "config.json"),
        ("[]", "config.json"),
        ('{"auths": []}', ""),
        ('{"auths": {"a.io": {"auth": "!!!"}}}', "auths.a.io.auth"),
        ('{"auths": {"a.io": {"auth": "YWxpY2U="}}}', "auths.a.io.auth"),
        ('{"auths": {"a.io": {"auth": 7}}}', "auths.a.io.auth"),
        ('{"auths": {"a.io": "x"}}', "auths.a.io"),
        ('{"credsStore": "../../bin/evil"}', "credential helper"),
        ('{"credHelpers": ["a.io"]}', "credHelpers"),
    ],
)
def test_a_broken_file_is_an_error_that_names_the_place(home: dict[str, str], text: str, named: str) -> None:
    _write(home["HOME"] + "/.docker/config.json", text)
    if text == '{"auths": []}':
        assert not auth.find("a.io", "", home)
        return
    with pytest.raises(InvalidInput) as caught:
        auth.find("a.io", "", home)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_helpers_are_asked_stored_to_and_erased(home: dict[str, str]) -> None:
    _helper(home, "mine")
    _write(
        home["HOME"] + "/.docker/config.json",
        {"credHelpers": {"a.io": "mine"}, "auths": {"b.io": _basic("bob", "x")}},
    )
    assert not auth.find("a.io", "", home)
    assert auth.store("a.io", Credentials("alice", "secret"), home) == "docker-credential-mine"
    assert (auth.find("a.io", "", home).user, auth.find("a.io", "", home).password) == ("alice", "secret")
    assert auth.find("b.io", "", home).user == "bob"
    assert "secret" not in Path(home["HOME"] + "/.docker/config.json").read_text()
    auth.store("a.io", Credentials(identity_token="refresh"), home)
    assert auth.find("a.io", "", home).identity_token == "refresh"
    assert auth.erase("a.io", home) is True
    assert auth.erase("a.io", home) is False


def test_a_registry_without_a_helper_of_its_own_is_kept_in_the_file(home: dict[str, str]) -> None:
    """Docker: an empty name in credHelpers takes the registry out of credsStore."""
    path = home["HOME"] + "/.docker/config.json"
    _write(
        path, {"credsStore": "absent", "credHelpers": {"a.io": ""}, "auths": {"a.io": _basic("alice", "1")}}
    )
    assert auth.find("a.io", "", home).user == "alice"
    assert auth.store("a.io", Credentials("bob", "2"), home) == path
    assert auth.find("a.io", "", home).user == "bob"


@pytest.mark.parametrize("auths", [None, []])
def test_a_file_without_entries_takes_the_first(home: dict[str, str], auths: object) -> None:
    path = home["HOME"] + "/.docker/config.json"
    _write(path, {"auths": auths})
    assert auth.erase("a.io", home) is False
    assert auth.store("a.io", Credentials("alice", "secret"), home) == path
    assert auth.find("a.io", "", home).user == "alice"


def test_an_empty_entry_beside_another_spelling_hides_nothing(home: dict[str, str]) -> None:
    full, empty = {"https://index.docker.io/v1/": _basic("alice", "1")}, {"docker.io": {}}
    for auths in ({**full, **empty}, {**empty, **full}):
        _write(home["HOME"] + "/.docker/config.json", {"auths": auths})
        assert auth.find("docker.io", "library/debian", home).user == "alice"


def test_a_missing_or_failing_helper_is_said_by_name(home: dict[str, str]) -> None:
    _write(home["HOME"] + "/.docker/config.json", {"credsStore": "absent"})
    with pytest.raises(LadingError) as caught:
        auth.find("a.io", "", home)
    assert caught.value.reason == "credential-helper"
    assert "docker-credential-absent" in str(caught.value)


def test_storing_keeps_everything_else_in_the_file_and_hides_it_from_others(home: dict[str, str]) -> None:
    path = Path(home["HOME"] + "/.docker/config.json")
    _write(
        str(path),
        {
            "HttpHeaders": {"X": "1"},
            "auths": {"http://a.io/v1/": _basic("old", "1"), "b.io": _basic("b", "2")},
        },
    )
    path.chmod(0o644)
    assert auth.store("a.io", Credentials("alice", "secret"), home) == str(path)
    value = json.loads(path.read_text())
    assert value["HttpHeaders"] == {"X": "1"}
    assert sorted(value["auths"]) == ["a.io", "b.io"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert auth.erase("a.io", home) is True
    assert not auth.find("a.io", "", home)
    assert auth.find("b.io", "", home).user == "b"


def test_what_stands_in_the_files_is_shown_by_registry_the_first_file_first(home: dict[str, str]) -> None:
    _write(
        auth.files(home)[0],
        {
            "auths": {
                "https://r.example/v1/": _basic("u", "p:q"),
                "t.example": {"identitytoken": "t"},
                "h.example": {},
            }
        },
    )
    _write(
        auth.files(home)[-1], {"auths": {"r.example": _basic("other", "x"), "s.example/ns": _basic("s", "y")}}
    )
    found = {name: (one.user, one.password) for name, one in auth.plain(home).items()}
    assert found == {"r.example": ("u", "p:q"), "s.example/ns": ("s", "y")}
    _write(auth.files(home)[0], {"auths": {"r.example": {"auth": "not base64"}}})
    with pytest.raises(InvalidInput):
        auth.plain(home)
