"""Passwords, tokens and rights at a server that runs."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest

from lading.registry.passwords import change
from support.registryserver import Client, RegistryServer, digest_of

pytestmark = pytest.mark.root

RIGHTS = """
@team = alice bob
anonymous  public/**  pull
@team      public/**  push
alice      alice/**   all
"""


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def until(check, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_password_lets_in_and_none_does_not(tmp_path: Path, htpasswd: str) -> None:
    with RegistryServer(tmp_path, "--htpasswd", htpasswd) as server:
        with server.client() as nobody:
            answer = nobody.ask("GET", "/v2/")
            assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"] == 'Basic realm="lading"'
            for path in ("/v2/a/tags/list", "/v2/_catalog", "/metrics"):
                assert nobody.ask("GET", path).status == 401
            assert nobody.ask("GET", "/healthz").status == 200
            for wrong in (basic("alice", "wrong"), basic("nobody", "secret"), "Bearer x", "Negotiate x"):
                assert nobody.ask("GET", "/v2/", authorization=wrong).status == 401
            for broken in ("Basic !", "Basic " + base64.b64encode(b"x").decode()):
                assert nobody.ask("GET", "/v2/", authorization=broken).status == 400
        with server.client("alice", "secret") as alice:
            alice.image("a/b", "latest", b"layer")
            assert alice.ask("GET", "/v2/a/b/tags/list").json["tags"] == ["latest"]
            assert alice.ask("GET", "/metrics").status == 200


def test_guessing_is_answered_with_a_wait(tmp_path: Path, htpasswd: str) -> None:
    with (
        RegistryServer(tmp_path, "--htpasswd", htpasswd) as server,
        server.client("alice", "wrong") as guesser,
    ):
        for _ in range(8):
            answer = guesser.ask("GET", "/v2/")
        assert (answer.status, answer.code) == (429, "TOOMANYREQUESTS")
        assert int(answer.headers["retry-after"]) >= 1
        with server.client("bob", "hidden") as bob:
            assert bob.ask("GET", "/v2/").status == 200


def test_guessing_on_many_connections_at_once_is_no_quicker(tmp_path: Path, htpasswd: str) -> None:
    with RegistryServer(tmp_path, "--htpasswd", htpasswd) as server:
        guessers = [server.client("alice", f"wrong{n}") for n in range(40)]
        for guesser in guessers:
            guesser.connection.request("GET", "/v2/", headers={"Authorization": guesser.authorization})
        statuses = [guesser.connection.getresponse().status for guesser in guessers]
        for guesser in guessers:
            guesser.connection.close()
    assert set(statuses) == {401, 429}
    assert statuses.count(401) < 15


def test_rights_are_per_repository(tmp_path: Path, htpasswd: str) -> None:
    rights = tmp_path / "rights"
    rights.write_text(RIGHTS)
    with RegistryServer(tmp_path, "--htpasswd", htpasswd, "--rights", str(rights)) as server:
        with server.client("bob", "hidden") as bob:
            bob.blob("public/a", b"layer")
            answer = bob.ask("POST", "/v2/alice/a/blobs/uploads/")
            assert (answer.status, answer.code) == (403, "DENIED")
            assert bob.ask("DELETE", f"/v2/public/a/blobs/{digest_of(b'layer')}").status == 403
        with server.client("alice", "secret") as alice:
            alice.blob("alice/secret", b"mine")
            assert alice.ask("GET", "/v2/_catalog").json["repositories"] == ["alice/secret", "public/a"]
        with server.client() as nobody:
            assert nobody.ask("GET", f"/v2/public/a/blobs/{digest_of(b'layer')}").body == b"layer"
            assert nobody.ask("GET", f"/v2/alice/secret/blobs/{digest_of(b'mine')}").status == 401
            assert nobody.ask("POST", "/v2/public/a/blobs/uploads/").status == 401
            assert nobody.ask("GET", "/v2/_catalog").json["repositories"] == ["public/a"]
            assert nobody.ask("GET", "/v2/").status == 401
        with server.client("bob", "hidden") as bob:
            # A right to push somewhere is none to read what is elsewhere, by way of a mount.
            for source in ("&from=alice/secret", ""):
                answer = bob.ask("POST", f"/v2/public/a/blobs/uploads/?mount={digest_of(b'mine')}{source}")
                assert answer.status == 202


def test_a_hangup_reads_passwords_and_rights_again(tmp_path: Path, htpasswd: str) -> None:
    rights = tmp_path / "rights"
    rights.write_text("alice ** all\n")
    with (
        RegistryServer(tmp_path, "--htpasswd", htpasswd, "--rights", str(rights)) as server,
        server.client("bob", "hidden") as bob,
    ):
        assert bob.ask("POST", "/v2/a/blobs/uploads/").status == 403
        rights.write_text("bob ** push\n")
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: bob.ask("POST", "/v2/a/blobs/uploads/").status == 202)
        change(htpasswd, "bob", "other")
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: bob.ask("POST", "/v2/a/blobs/uploads/").status in (401, 429))
        rights.write_text("nonsense\n")
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: any("line 1" in line for line in server.said))
        with server.client("bob", "other") as again:
            assert again.ask("POST", "/v2/a/blobs/uploads/").status == 202


def _challenge(header: str) -> dict[str, str]:
    assert header.startswith("Bearer ")
    return {k: v.strip('"') for k, _, v in (part.partition("=") for part in header[7:].split(",", 2))}


def _token(client: Client, authorization: str = "", **query: str) -> str:
    sent = {"authorization": authorization} if authorization else {}
    answer = client.ask("GET", f"/token?{urlencode(query)}", **sent)
    assert answer.status == 200, answer.body
    assert answer.json["token"] == answer.json["access_token"]
    return "Bearer " + str(answer.json["token"])


def test_tokens_are_had_with_a_password_and_allow_what_was_granted(tmp_path: Path, htpasswd: str) -> None:
    rights = tmp_path / "rights"
    rights.write_text(RIGHTS)
    flags = ("--htpasswd", htpasswd, "--rights", str(rights), "--auth", "token", "--service", "our registry")
    with RegistryServer(tmp_path, *flags) as server, server.client() as client:
        answer = client.ask("POST", "/v2/alice/a/blobs/uploads/")
        assert answer.status == 401
        said = _challenge(answer.headers["www-authenticate"])
        assert said == {
            "realm": f"http://{server.host}/token",
            "service": "our registry",
            "scope": "repository:alice/a:pull,push",
        }
        asked = {"service": said["service"], "scope": said["scope"]}
        alice = _token(client, basic("alice", "secret"), **asked)
        assert client.ask("POST", "/v2/alice/a/blobs/uploads/", authorization=alice).status == 202
        assert client.ask("GET", "/v2/", authorization=alice).status == 200
        # Not what was not asked for, though she might have it; and not with another's token.
        other = client.ask("POST", "/v2/alice/b/blobs/uploads/", authorization=alice)
        assert (other.status, "insufficient_scope" in other.headers["www-authenticate"]) == (401, True)
        bob = _token(client, basic("bob", "hidden"), **asked)
        assert client.ask("POST", "/v2/alice/a/blobs/uploads/", authorization=bob).status == 401
        nobody = _token(client, **{**asked, "scope": "repository:public/a:pull,push"})
        assert client.ask("POST", "/v2/public/a/blobs/uploads/", authorization=nobody).status == 401
        assert client.ask("GET", f"/v2/public/a/blobs/{digest_of(b'')}", authorization=nobody).status == 404
        assert client.ask("GET", "/v2/", authorization=nobody).status == 200
        assert client.ask("GET", "/metrics", authorization=nobody).status == 401
        assert client.ask("GET", "/metrics", authorization=alice).status == 200
        assert client.ask("GET", "/token", authorization=basic("alice", "wrong")).status == 401
        assert client.ask("GET", "/token?service=other").status == 400
        assert client.ask("GET", "/v2/", authorization=alice + "x").status == 401


def test_mounting_with_a_token_asks_for_one_that_reads_the_source_too(tmp_path: Path, htpasswd: str) -> None:
    rights = tmp_path / "rights"
    rights.write_text("alice ** all\nbob bob/** all\n")
    flags = ("--htpasswd", htpasswd, "--rights", str(rights), "--auth", "token")
    with RegistryServer(tmp_path, *flags) as server:
        with server.client("alice", "secret") as alice:
            digest = alice.blob("alice/a", b"layer")
        path = f"/v2/bob/b/blobs/uploads/?mount={digest}&from=alice/a"
        with server.client() as client:
            bob = _token(client, basic("bob", "hidden"), scope="repository:bob/b:pull,push")
            assert client.ask("POST", path, authorization=bob).status == 202
            one = _token(client, basic("alice", "secret"), scope="repository:bob/b:pull,push")
            answer = client.ask("POST", path, authorization=one)
            assert answer.status == 401
            scope = answer.headers["www-authenticate"].partition('scope="')[2].partition('"')[0]
            assert scope == "repository:bob/b:pull,push repository:alice/a:pull"
            both = _token(client, basic("alice", "secret"), scope=scope)
            assert client.ask("POST", path, authorization=both).status == 201


def test_a_refresh_token_is_good_until_the_password_changes(tmp_path: Path, htpasswd: str) -> None:
    with (
        RegistryServer(tmp_path, "--htpasswd", htpasswd, "--auth", "token") as server,
        server.client() as client,
    ):

        def post(**form: str) -> object:
            return client.ask(
                "POST",
                "/token",
                urlencode({"service": "lading", "scope": "repository:a:pull,push", **form}).encode(),
                content_type="application/x-www-form-urlencoded",
            )

        first = post(grant_type="password", username="alice", password="secret", access_type="offline")
        assert first.status == 200
        refresh = first.json["refresh_token"]
        assert post(grant_type="password", username="alice", password="wrong").status == 401
        assert post(grant_type="other").status == 400
        again = post(grant_type="refresh_token", refresh_token=refresh)
        assert again.status == 200
        token = "Bearer " + again.json["access_token"]
        assert client.ask("POST", "/v2/a/blobs/uploads/", authorization=token).status == 202
        change(htpasswd, "alice", "new")
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: post(grant_type="refresh_token", refresh_token=refresh).status == 401)


def test_the_log_names_the_user(tmp_path: Path, htpasswd: str) -> None:
    with (
        RegistryServer(tmp_path, "--htpasswd", htpasswd, "--access-log", "json") as server,
        server.client("alice", "secret") as alice,
    ):
        alice.ask("GET", "/v2/")
    assert json.loads(server.log.read_text().splitlines()[0])["user"] == "alice"
