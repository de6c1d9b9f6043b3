"""Repositories as hosters serve them: smart HTTP over TLS with tokens, SSH with keys."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from support.gitsite import GitSite, SshSite, commit, git
from support.site import Answer, Authority, Site

pytestmark = pytest.mark.root

SHOW = "FROM busybox\nCOPY . /c\nRUN cd /c && find . | sort\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Bare repositories below ``served``: ``r.git`` with a tag, and the same as ``private.git``."""
    base = tmp_path_factory.mktemp("repositories")
    first = commit(base / "r", {"Dockerfile": SHOW, "f": "one", "d/only": "x", "d/Dockerfile": SHOW})
    git(base / "r", "tag", "-a", "v1", "-m", "v1")
    second = commit(base / "r", {"later": ""})
    (base / "served").mkdir()
    for name in ("r", "private"):
        git(base, "clone", "--quiet", "--bare", str(base / "r"), f"served/{name}.git")
    return SimpleNamespace(base=base, served=base / "served", first=first, second=second)


@pytest.fixture(scope="module")
def authority(made) -> Authority:
    return Authority(made.base / "tls")


@pytest.fixture
def site(made, authority, lading) -> Iterator[GitSite]:
    with GitSite(made.served, authority) as site:
        authority.trust(lading.base / "config", site.host)
        yield site


def build(lading, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        lading.argv(["build", "--progress=plain", "--no-cache", *words]),
        env={**lading.env, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refused(lading, *words: str, **environ: str) -> str:
    """What a build that fails says on its line."""
    done = build(lading, *words, **environ)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "repository" in line]
    assert lines and "Traceback" not in done.stderr, done.stderr
    assert os.listdir(lading.base / "root/images/staging") == []
    return lines[-1]


def test_a_context_by_https_is_read_with_the_authority_of_its_host(lading, site, authority):
    done = build(lading, f"{site.url}/r.git#v1:d")
    assert done.returncode == 0, done.stderr
    assert "./only" in done.stderr and "./later" not in done.stderr
    (lading.base / "config/certs.d" / site.host / "ca.crt").unlink()
    assert "certs.d/HOST" in refused(lading, f"{site.url}/r.git")
    authority.trust(lading.base / "config", site.host)
    assert "there is none" in refused(lading, f"{site.url}/none.git")


def test_a_private_repository_wants_its_token(lading, site, context, tmp_path):
    site.needs["private.git"] = "basic " + base64.b64encode(b"x-access-token:let-me-in").decode()
    url = f"{site.url}/private.git"
    (tmp_path / "token").write_text("let-me-in\n")
    file = f"src={tmp_path}/token"
    assert "GIT_AUTH_TOKEN" in refused(lading, url)
    assert "GIT_AUTH_TOKEN" in refused(lading, "--secret", "id=GIT_AUTH_TOKEN,env=T", url, T="another")
    assert "GIT_AUTH_TOKEN" in refused(lading, "--secret", f"id=GIT_AUTH_TOKEN.other.example,{file}", url)
    for name in ("GIT_AUTH_TOKEN", f"GIT_AUTH_TOKEN.{site.host}"):
        done = build(lading, "--secret", f"id={name},{file}", url)
        assert done.returncode == 0, done.stderr
    context.dockerfile(f"FROM busybox\nADD {url}#main /r\nRUN cat /r/f\n")
    done = build(lading, "--secret", "id=GIT_AUTH_HEADER,env=H", str(context), H=site.needs["private.git"])
    assert done.returncode == 0 and "one" in done.stderr
    assert "/Dockerfile:2: the repository" in refused(lading, str(context))


def test_a_token_goes_to_no_other_server(lading, site, made, authority):
    query = "info/refs?service=git-upload-pack"
    with Site(authority) as other:
        authority.trust(lading.base / "config", f"localhost:{other.port}")
        other.answers[f"/p.git/{query}"] = Answer(b"", 302, Location=f"{site.url}/r.git/{query}")
        url = f"{other.url}/p.git"
        assert build(lading, url).returncode == 0
        site.asked.clear()
        assert "redirects" in refused(lading, "--secret", "id=GIT_AUTH_TOKEN,env=T", url, T="t")
        assert "authorization" in other.asked[-1].headers
        assert not site.asked
        # A submodule's server is another one.
        work = made.base / "outer"
        modules = f'[submodule "s"]\n\tpath = s\n\turl = {other.url}/sub.git\n'
        commit(work, {"Dockerfile": SHOW, ".gitmodules": modules})
        git(work, "update-index", "--add", "--cacheinfo", f"160000,{made.first},s")
        git(work, "commit", "--quiet", "-m", "sub")
        git(made.base, "clone", "--quiet", "--bare", str(work), "served/outer.git")
        other.asked.clear()
        said = refused(lading, "--secret", "id=GIT_AUTH_TOKEN,env=T", f"{site.url}/outer.git", T="t")
        assert "submodules of repository" in said
        assert other.asked and not any("authorization" in asked.headers for asked in other.asked)


def test_add_takes_commits_tags_and_directories_and_holds_them_to_a_checksum(lading, site, made, context):
    url = f"{site.url}/r.git"
    context.dockerfile(
        f"FROM busybox\nADD {url}#{made.first} /commit\nADD {url}?tag=v1&subdir=d /part\n"
        f"ADD --checksum={made.second} {url}#main /head\n"
        f"ADD --keep-git-dir --checksum={made.first[:12]} {url}#v1 /kept\n"
        "RUN ls /commit /part /head; cat /kept/.git/HEAD\n"
    )
    done = build(lading, str(context))
    assert done.returncode == 0, done.stderr
    told = [line.split()[-1] for line in done.stderr.split("RUN")[-1].splitlines() if " " in line]
    assert told.count("later") == 1 and told.count("only") == 1 and made.first in told
    for source, said in (
        (f"--checksum={made.first} {url}#main", "was to be"),
        (f"{url}#{'0' * 40}", "has no commit"),
    ):
        context.dockerfile(f"FROM busybox\nADD {source} /x\n")
        done = build(lading, str(context))
        assert done.returncode == 1 and said in done.stderr and "Dockerfile:2" in done.stderr


def test_repositories_by_ssh_are_read_with_the_keys_that_are_given(lading, made, context, tmp_path):
    with SshSite(tmp_path / "ssh") as ssh:
        url = f"ssh://root@127.0.0.1:{ssh.port}{made.served}/r.git"
        key, home = f"default={ssh.key}", {"HOME": str(ssh.home)}
        assert "known_hosts" in refused(lading, "--ssh", key, url)
        assert "--ssh default" in refused(lading, url, **home)
        assert "there is none" in refused(lading, "--ssh", key, f"{url}x", **home)
        context.dockerfile(
            f"FROM busybox\nCOPY --from=named . /n\nADD {url} /a\n"
            "RUN --mount=type=ssh ls /n/later /a/later && test -S $SSH_AUTH_SOCK\n"
        )
        done = build(lading, "--ssh", key, "--build-context", f"named={url}", str(context), **home)
        assert done.returncode == 0, done.stderr
    assert lading.out("check") == "Everything is as recorded."
