"""The git command for strangers' repositories: nothing of the user's, no local protocols, no secrets on command lines."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lading.build import git as git_module
from lading.build.git import Git, GitFailed, _words
from lading.build.progress import Progress
from lading.build.repositories import Checkout, Repositories
from lading.errors import Denied, NotFound
from lading.formats.dockerfile.remote import GitSource
from support.buildsite import BuildSite


def _git(where: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", *words],
        cwd=where,
        check=True,
        capture_output=True,
        timeout=60,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "repository"
    place.mkdir()
    _git(place, "init", "--quiet")
    (place / "f").write_text("text")
    _git(place, "add", ".")
    _git(place, "commit", "--quiet", "-m", "text")
    return place


def test_configuration_of_the_user_and_the_environment_is_not_read(repository, tmp_path, monkeypatch):
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = somebody\n[alias]\n\trun = !true\n")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_DIR": "/nonexistent",
        "GIT_SSH": "/bin/false",
    }
    git = Git(environ=environ)
    assert b"somebody" not in git(["config", "--list"], directory=str(repository), what="it")
    with pytest.raises(GitFailed):
        git(["run"], directory=str(repository), what="it")


def test_hooks_do_not_run(repository, tmp_path):
    hook = repository / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    Git()(["checkout", "--quiet", "--detach", "HEAD"], directory=str(repository), what="it")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("remote", ["{}", "file://{}", "ext::sh -c 'touch {}/ran'"])
def test_no_local_protocol_is_spoken(repository, tmp_path, remote):
    with pytest.raises(GitFailed) as error:
        Git()(["ls-remote", "--", remote.format(repository)], directory=str(tmp_path), what="it")
    assert "not allowed" in error.value.message
    assert not (repository / "ran").exists()
    assert b"HEAD" in Git()(
        ["ls-remote", "--", str(repository)], directory=str(tmp_path), what="it", local=True
    )


def test_without_git_it_is_said(tmp_path):
    with pytest.raises(NotFound) as error:
        Git(environ={"PATH": str(tmp_path)})(["version"], directory=str(tmp_path), what="the repository")
    assert error.value.reason == "no-git"


@pytest.mark.parametrize(
    "script,told",
    [
        ("while :; do echo said; done", "more than 0 MiB"),
        ("n=0; while [ $n -lt 2000 ]; do echo remote: $n >&2; n=$((n + 1)); done; exit 3", "remote: 1999"),
        ("exit 3", "status 3"),
        ("exec sleep 60", "longer than an hour"),
        ("exec >&- 2>&-; exec sleep 60", "longer than an hour"),
    ],
)
def test_what_git_is_made_to_say_is_bounded(tmp_path, monkeypatch, script, told):
    monkeypatch.setattr(git_module, "_ROOM", 1000)
    if "sleep" in script:
        monkeypatch.setattr(git_module, "_SECONDS", 0.2)
    (tmp_path / "git").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "git").chmod(0o755)
    git = Git(environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    with pytest.raises(GitFailed, match=told):
        git(["fetch"], directory=str(tmp_path), what="the repository")


def test_a_password_in_a_remote_is_shown_nowhere(tmp_path):
    source = GitSource.parse("https://user:pass-word@example.com/p.git#main")
    repositories = Repositories(str(tmp_path), Git(), lambda: None, Progress())  # type: ignore[arg-type,return-value]
    checkout = Checkout(repositories, source, "0" * 40, "refs/heads/main", keep=False)
    assert "pass-word" not in checkout.what
    assert "example.com/p.git" in checkout.what


def test_a_commit_is_fetched_once_and_what_a_kill_left_is_begun_anew(repository, tmp_path):
    _git(repository, "update-server-info")
    site = BuildSite(tmp_path)
    try:
        source = GitSource.parse(f"{site.url}/repository/.git#main")

        def objects(name: str) -> int:
            """Check the commit out as a build of its own does; how many objects the server was asked for."""
            site.asked.clear()
            repositories = Repositories(str(tmp_path / "data"), Git(), lambda: None, Progress())  # type: ignore[arg-type,return-value]
            repositories.check_out(repositories.get(source), str(tmp_path / name))
            assert (tmp_path / name / "f").read_text() == "text"
            return sum("/objects/" in line for line in site.asked)

        assert objects("first")
        assert not objects("second")
        (kept,) = (tmp_path / "data/git").iterdir()
        (kept / "files/made").unlink()
        (kept / "files/refs/heads.lock").touch()
        assert objects("third")
        assert not (kept / "files/refs/heads.lock").exists()
    finally:
        site.close()


def test_the_key_of_a_checkout_says_what_gets_into_an_image(tmp_path):
    repositories = Repositories(str(tmp_path), Git(), lambda: None, Progress())  # type: ignore[arg-type,return-value]

    def key(text: str, commit: str = "1" * 40, *, keep: bool = False) -> str:
        return Checkout(repositories, GitSource.parse(text), commit, "refs/heads/x", keep=keep).key

    base = key("https://h/p.git#x")
    assert key("https://mirror/p.git#x") == base  # a commit is a commit
    assert key("https://h/p.git#x:d") != base
    assert key("https://h/p.git#x", "2" * 40) != base
    assert key("https://h/p.git?branch=x&submodules=false") != base
    assert key("https://h/p.git#x", keep=True) != base
    assert key("https://h/p.git#x", keep=True) != key("https://mirror/p.git#x", keep=True)


def test_what_ssh_says_is_told_and_advice_is_not():
    said = (
        b"ssh: Could not resolve hostname nohost: Name or service not known\n"
        b"fatal: Could not read from remote repository.\n\n"
        b"Please make sure you have the correct access rights\nand the repository exists.\n"
    )
    told = "ssh: Could not resolve hostname nohost: Name or service not known"
    assert _words(said) == f"{told}; fatal: Could not read from remote repository."
    assert _words(b"\x1b[31mx\r\n") == "?[31mx"


@pytest.mark.parametrize(
    "said,kind,reason,hint",
    [
        (
            "fatal: could not read Username for 'https://h': terminal prompts disabled",
            Denied,
            "unauthorized",
            "GIT_AUTH_TOKEN",
        ),
        ("git@h: Permission denied (publickey).", Denied, "unauthorized", "--ssh default"),
        ("Host key verification failed.", GitFailed, "host-key", "known_hosts"),
        ("fatal: server certificate verification failed. CAfile: x", GitFailed, "tls", "certs.d"),
        ("fatal: The requested URL returned error: 302", GitFailed, "redirect", "where it is now"),
        ("fatal: repository 'https://h/p.git/' not found", NotFound, "not-found", "URL"),
        ("fatal: '/p.git' does not appear to be a git repository", NotFound, "not-found", "path"),
    ],
)
def test_what_a_person_can_mend_is_told_with_how(tmp_path, said, kind, reason, hint):
    (tmp_path / "git").write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 128\n')
    (tmp_path / "git").chmod(0o755)
    git = Git(environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    with pytest.raises(kind, match="the repository") as error:
        git(["ls-remote"], directory=str(tmp_path), what="the repository")
    assert error.value.reason == reason
    assert hint in error.value.hint


def test_ssh_knows_the_servers_of_the_caller_s_home():
    command = Git(environ={"PATH": "", "HOME": "/home/a b%c"})._environ["GIT_SSH_COMMAND"]
    assert '-o \'UserKnownHostsFile="/home/a b%%c/.ssh/known_hosts" ' in command
    for home in ("", "relative", "/a'b", "/a$b"):
        assert "UserKnownHosts" not in Git(environ={"PATH": "", "HOME": home})._environ["GIT_SSH_COMMAND"]
