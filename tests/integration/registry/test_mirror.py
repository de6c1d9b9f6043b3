"""A mirror: fetched once, kept, asked for again when it is time, given while the upstream is away."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.registry import Fault, Registry, tar
from support.registryserver import Answer, Client, RegistryServer, digest_of

pytestmark = pytest.mark.root

LAYER = tar({"big": os.urandom(4 << 20)})
LAYER_DIGEST = digest_of(LAYER)


def fill(upstream: Registry, tag: str = "latest", layer: bytes = LAYER) -> str:
    made = upstream.image("lib/app", tag, layers=[layer], compress=lambda data: data, suffix="")
    return str(made["digest"])


@pytest.fixture
def upstream() -> Iterator[Registry]:
    with Registry() as made:
        yield made


def mirror(
    directory: Path, upstream: Registry, *flags: str, env: dict[str, str] | None = None
) -> RegistryServer:
    return RegistryServer(directory, "--mirror", upstream.host, *flags, env=env)


def test_what_is_asked_for_twice_is_fetched_once(tmp_path: Path, upstream: Registry) -> None:
    digest = fill(upstream)
    with mirror(tmp_path, upstream) as server, server.client() as client:
        for _ in range(2):
            answer = client.ask("GET", "/v2/lib/app/manifests/latest")
            assert (answer.status, digest_of(answer.body)) == (200, digest)
            assert client.ask("GET", f"/v2/lib/app/manifests/{digest}").status == 200
            assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER
            head = client.ask("HEAD", f"/v2/lib/app/blobs/{LAYER_DIGEST}")
            assert head.headers["content-length"] == str(len(LAYER))
        part = client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}", range="bytes=10-19")
        assert (part.status, part.body) == (206, LAYER[10:20])
    assert len(upstream.asked("GET /v2/lib/app/manifests/")) == 1
    assert len(upstream.asked(f"GET /v2/lib/app/blobs/{LAYER_DIGEST}")) == 1


def test_many_clients_for_one_blob_are_one_fetch_and_read_along(tmp_path: Path, upstream: Registry) -> None:
    fill(upstream)
    upstream.faults.append(Fault(f"/blobs/{LAYER_DIGEST}", "slow", after=len(LAYER) - 50))
    with mirror(tmp_path, upstream) as server:
        found: list[Answer] = []

        def get() -> None:
            with server.client() as client:
                found.append(client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}"))

        threads = [threading.Thread(target=get) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [a.status for a in found] == [200] * 12
    assert all(a.body == LAYER for a in found)
    assert len(upstream.asked(f"GET /v2/lib/app/blobs/{LAYER_DIGEST}")) == 1


def test_a_connection_that_breaks_upstream_is_continued(tmp_path: Path, upstream: Registry) -> None:
    fill(upstream)
    upstream.faults.append(Fault(f"/blobs/{LAYER_DIGEST}", "reset", times=2, after=1 << 20))
    with mirror(tmp_path, upstream) as server, server.client() as client:
        assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER


def test_wrong_content_is_not_kept_and_never_given_whole(tmp_path: Path, upstream: Registry) -> None:
    fill(upstream)
    upstream.faults.append(Fault(f"/blobs/{LAYER_DIGEST}", "corrupt", times=1))
    with mirror(tmp_path, upstream) as server:
        with server.client() as client:
            try:
                body = client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body
            except OSError:
                body = b""
            except Exception as error:
                assert type(error).__name__ in ("IncompleteRead", "RemoteDisconnected")
                body = b""
            assert len(body) < len(LAYER)
        with server.client() as client:
            assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER


@pytest.mark.parametrize("said", [True, False])
def test_a_blob_that_is_larger_than_allowed_is_not_kept(
    tmp_path: Path, upstream: Registry, said: bool
) -> None:
    fill(upstream)
    if not said:
        upstream.faults.append(Fault(f"/blobs/{LAYER_DIGEST}", "unsized"))
    with mirror(tmp_path, upstream, "--max-blob", "1m") as server, server.client() as client:
        answer = client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}")
        assert (answer.status, answer.code) == (502, "UNAVAILABLE")
    kept = [path.stat().st_size for path in (tmp_path / "storage").rglob("*") if path.is_file()]
    assert max(kept) < 1 << 20


def test_a_tag_is_asked_for_again_when_its_time_is_over(tmp_path: Path, upstream: Registry) -> None:
    first = fill(upstream)
    with mirror(tmp_path, upstream, "--mirror-ttl", "0") as server, server.client() as client:
        assert client.ask("GET", "/v2/lib/app/manifests/latest").headers["docker-content-digest"] == first
        second = fill(upstream, layer=tar({"other": b"x"}))
        assert client.ask("GET", "/v2/lib/app/manifests/latest").headers["docker-content-digest"] == second
        del upstream.manifests["lib/app", "latest"]
        assert client.ask("GET", "/v2/lib/app/manifests/latest").code == "MANIFEST_UNKNOWN"
    with mirror(tmp_path, upstream) as server, server.client() as client:
        fill(upstream)
        client.ask("GET", "/v2/lib/app/manifests/latest")
        third = fill(upstream, layer=tar({"third": b"x"}))
        assert client.ask("GET", "/v2/lib/app/manifests/latest").headers["docker-content-digest"] != third


def test_while_the_upstream_is_away_what_is_here_is_given(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "down").mkdir()
    upstream = RegistryServer(tmp_path / "up").start()
    with upstream.client() as above:
        digest = above.image("lib/app", "latest", LAYER)
        above.image("lib/app", "other")
    with (
        RegistryServer(tmp_path / "down", "--mirror", upstream.host, "--mirror-ttl", "0") as server,
        server.client() as client,
    ):
        assert client.ask("GET", "/v2/lib/app/manifests/latest").status == 200
        assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").status == 200
        assert client.ask("GET", "/v2/lib/app/tags/list?n=1").json["tags"] == ["latest"]
        assert client.ask("GET", "/v2/lib/app/tags/list").json["tags"] == ["latest", "other"]
        upstream.stop()
        answer = client.ask("GET", "/v2/lib/app/manifests/latest")
        assert (answer.status, answer.headers["docker-content-digest"]) == (200, digest)
        assert "299" in answer.headers["warning"]
        assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER
        assert client.ask("GET", "/v2/lib/app/tags/list").json["tags"] == ["latest"]
        assert client.ask("GET", "/v2/_catalog").json["repositories"] == ["lib/app"]
        assert client.ask("GET", "/v2/lib/app/manifests/unseen").status == 502


def test_pushing_and_deleting_are_refused(tmp_path: Path, upstream: Registry) -> None:
    digest = fill(upstream)
    with mirror(tmp_path, upstream) as server, server.client() as client:
        for method, path in (
            ("POST", "/v2/lib/app/blobs/uploads/"),
            ("PUT", "/v2/lib/app/manifests/latest"),
            ("DELETE", f"/v2/lib/app/manifests/{digest}"),
            ("DELETE", f"/v2/lib/app/blobs/{LAYER_DIGEST}"),
        ):
            answer = client.ask(method, path)
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")


def test_what_another_repository_brought_is_not_given_away(tmp_path: Path, upstream: Registry) -> None:
    fill(upstream)
    with mirror(tmp_path, upstream) as server, server.client() as client:
        assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").status == 200
        assert client.ask("GET", f"/v2/lib/other/blobs/{LAYER_DIGEST}").status == 404
        upstream.owners[LAYER_DIGEST].add("lib/other")
        assert client.ask("GET", f"/v2/lib/other/blobs/{LAYER_DIGEST}").body == LAYER
    assert len(upstream.asked(f"GET /v2/lib/other/blobs/{LAYER_DIGEST}")) == 0


@pytest.mark.parametrize("auth", ["basic", "token"])
def test_the_upstream_is_asked_with_the_credentials_of_login(tmp_path: Path, auth: str) -> None:
    with Registry(auth=auth) as upstream:
        fill(upstream)
        config = tmp_path / "docker"
        config.mkdir()
        entry = {"auth": base64.b64encode(b"alice:secret").decode()}
        (config / "config.json").write_text(json.dumps({"auths": {upstream.host: entry}}))
        env = dict(os.environ, DOCKER_CONFIG=str(config), PYTHONPATH=str(Path(__file__).parents[3] / "src"))
        env.pop("REGISTRY_AUTH_FILE", None)
        with mirror(tmp_path, upstream, env=env) as server, server.client() as client:
            assert client.ask("GET", "/v2/lib/app/manifests/latest").status == 200
            assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER


def test_referrers_are_the_upstreams(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "down").mkdir()
    with RegistryServer(tmp_path / "up") as upstream, upstream.client() as above:
        image = above.image("a", "latest", b"layer")
        size = int(above.ask("HEAD", "/v2/a/manifests/latest").headers["content-length"])
        subject = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image, "size": size}
        signature = above.image("a", "", subject=subject, artifactType="text/signature")
        with (
            RegistryServer(tmp_path / "down", "--mirror", upstream.host) as server,
            server.client() as client,
        ):
            answer = client.ask("GET", f"/v2/a/referrers/{image}?artifactType=text/signature")
            assert [d["digest"] for d in answer.json["manifests"]] == [signature]
            assert client.ask("GET", f"/v2/a/manifests/{signature}").status == 200


def metrics(client: Client) -> dict[str, float]:
    lines = client.ask("GET", "/metrics").body.decode().splitlines()
    return {w[0]: float(w[1]) for w in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_a_mirror_stays_within_its_size_and_fetches_again_what_went(
    tmp_path: Path, upstream: Registry
) -> None:
    layers = [os.urandom(1 << 20) for _ in range(5)]
    for number, layer in enumerate(layers):
        fill(upstream, f"t{number}", layer)
    paths = [f"/v2/lib/app/blobs/{digest_of(layer)}" for layer in layers]
    with mirror(tmp_path, upstream, "--mirror-max-size", "3m") as server, server.client() as client:
        for path, layer in zip(paths, layers, strict=True):
            assert client.ask("GET", path).body == layer
            time.sleep(0.05)
        assert client.ask("GET", paths[0]).body == layers[0]
        deadline = time.monotonic() + 20
        while metrics(client)["lading_registry_mirror_evicted_total"] < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found = metrics(client)
    assert len(upstream.asked(f"GET {paths[0]}")) == 2
    assert len(upstream.asked(f"GET {paths[4]}")) == 1
    assert found["lading_registry_mirror_stored_bytes"] == 2 << 20
    assert found["lading_registry_mirror_fetched_bytes_total"] == 6 << 20
    assert found['lading_registry_mirror_requests_total{kind="blob",result="miss"}'] == 6


def test_what_nobody_asks_for_leaves_a_mirror(tmp_path: Path, upstream: Registry) -> None:
    fill(upstream)
    flags = ("--mirror-max-age", "300ms", "--gc-interval", "100ms")
    with mirror(tmp_path, upstream, *flags) as server, server.client() as client:
        assert client.ask("GET", "/v2/lib/app/manifests/latest").status == 200
        assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER
        deadline = time.monotonic() + 20
        while metrics(client)["lading_registry_mirror_stored_bytes"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert metrics(client)["lading_registry_tags"] == 0
        assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER


def test_an_upstream_that_wants_fewer_requests_is_left_alone(tmp_path: Path, upstream: Registry) -> None:
    digest = fill(upstream)
    fill(upstream, "other", tar({"f": b"x"}))
    with mirror(tmp_path, upstream, "--mirror-ttl", "0") as server, server.client() as client:
        assert client.ask("GET", "/v2/lib/app/manifests/latest").status == 200
        limit = Fault("/manifests/", "status", times=1000, value=429, headers={"Retry-After": "600"})
        upstream.faults.append(limit)
        for _ in range(3):
            answer = client.ask("GET", "/v2/lib/app/manifests/latest")
            assert (answer.status, answer.headers["docker-content-digest"]) == (200, digest)
            assert "299" in answer.headers["warning"]
            answer = client.ask("GET", "/v2/lib/app/manifests/other")
            assert (answer.status, answer.code) == (429, "TOOMANYREQUESTS")
            assert 590 <= int(answer.headers["retry-after"]) <= 600
        assert len([seen for seen in upstream.log if "/manifests/" in seen.path]) == 2
        assert (
            client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER
        )  # no limit was said of these
        found = metrics(client)
    assert found["lading_registry_mirror_rate_limited_total"] == 1
    assert found['lading_registry_mirror_requests_total{kind="manifest",result="stale"}'] == 3
    assert found['lading_registry_mirror_requests_total{kind="manifest",result="error"}'] == 3


def test_a_short_wait_that_the_upstream_asks_for_is_waited(tmp_path: Path, upstream: Registry) -> None:
    fill(upstream)
    upstream.faults.append(Fault("/", "status", times=2, value=429, headers={"Retry-After": "1"}))
    with mirror(tmp_path, upstream) as server, server.client() as client:
        began = time.monotonic()
        assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER
    assert time.monotonic() - began >= 1


def test_an_upstream_that_never_answers_keeps_nobody_from_what_is_here(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "down").mkdir()
    upstream = RegistryServer(tmp_path / "up").start()
    with upstream.client() as above:
        digest = above.image("lib/app", "latest", LAYER)
    flags = ("--mirror", upstream.host, "--mirror-ttl", "0")
    server = RegistryServer(tmp_path / "down", *flags).start()
    with server.client() as client:
        assert client.ask("GET", "/v2/lib/app/manifests/latest").status == 200
        assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").status == 200
        upstream.stop()
        with socket.create_server(("127.0.0.1", upstream.port), backlog=200):
            waiting = [server.client() for _ in range(100)]
            for number, one in enumerate(waiting):
                one.connection.request("GET", f"/v2/lib/app/manifests/missing{number}")
            time.sleep(0.5)
            began = time.monotonic()
            assert client.ask("GET", f"/v2/lib/app/manifests/{digest}").status == 200
            assert client.ask("GET", f"/v2/lib/app/blobs/{LAYER_DIGEST}").body == LAYER
            assert time.monotonic() - began < 4
            answer = client.ask("GET", "/v2/lib/app/manifests/latest")
            assert (answer.status, answer.headers["docker-content-digest"]) == (200, digest)
            assert "299" in answer.headers["warning"]
            assert time.monotonic() - began < 25
            began = time.monotonic()
            server.stop()
            assert time.monotonic() - began < 25
            for one in waiting:
                one.connection.close()


def test_a_full_disk_is_said_and_what_was_not_used_for_long_makes_room(
    small_disk: Path, upstream: Registry
) -> None:
    layers = [os.urandom(4 << 20) for _ in range(5)]
    for number, layer in enumerate(layers):
        fill(upstream, f"t{number}", layer)
    with mirror(small_disk, upstream) as server:
        seen = set()
        for layer in layers:
            for _ in range(10):
                with server.client() as client, contextlib.suppress(OSError, http.client.HTTPException):
                    answer = client.ask("GET", f"/v2/lib/app/blobs/{digest_of(layer)}")
                    seen.add(answer.status)
                    if answer.status == 200:
                        assert answer.body == layer
                        break
                time.sleep(0.2)
            else:
                raise AssertionError(seen)
        assert seen <= {200, 507}
        with server.client() as client:
            assert metrics(client)["lading_registry_mirror_evicted_total"] >= 2
