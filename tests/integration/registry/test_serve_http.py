"""The API over HTTP, endpoint by endpoint, with what clients get wrong."""

from __future__ import annotations

import json
import socket
import time

import pytest

from lading.registry.checking import check
from lading.registry.store import Store
from support.registryserver import MANIFEST, Client, RegistryServer, digest_of

pytestmark = pytest.mark.root

INDEX = "application/vnd.oci.image.index.v1+json"
DATA = bytes(range(256)) * 400
DIGEST = digest_of(DATA)
ELSEWHERE = "sha256:" + "a" * 64


def test_the_base_says_which_api_this_is(client: Client) -> None:
    answer = client.ask("GET", "/v2/")
    assert answer.status == 200
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_goes_in_with_one_post(client: Client, algorithm: str) -> None:
    digest = digest_of(DATA, algorithm)
    answer = client.ask("POST", f"/v2/a/b/blobs/uploads/?digest={digest}", DATA)
    assert (answer.status, answer.headers["docker-content-digest"]) == (201, digest)
    answer = client.ask("GET", answer.headers["location"])
    assert (answer.status, answer.body) == (200, DATA)
    assert client.ask("POST", f"/v2/a/blobs/uploads/?digest={ELSEWHERE}", DATA).code == "DIGEST_INVALID"


def test_a_blob_goes_in_by_post_and_put(client: Client) -> None:
    where = client.begin("a")
    answer = client.ask("PUT", f"{where}?digest={DIGEST.replace(':', '%3A')}", DATA)
    assert answer.status == 201
    assert client.ask("GET", where).code == "BLOB_UPLOAD_UNKNOWN"
    head = client.ask("HEAD", f"/v2/a/blobs/{DIGEST}")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(DATA)), b"")
    assert head.headers["docker-content-digest"] == DIGEST


def test_chunks_come_in_order_or_are_refused_with_where_to_go_on(client: Client) -> None:
    where = client.begin("a")
    first = client.ask("PATCH", where, DATA[:1000], content_range="0-999")
    assert (first.status, first.headers["range"]) == (202, "0-999")
    where = first.headers["location"]
    for span in ("0-999", "1001-2000", "5000-5999"):
        wrong = client.ask("PATCH", where, DATA[:1000], content_range=span)
        assert (wrong.status, wrong.headers["range"]) == (416, "0-999")
    for span in ("1000-1500", "x", "-5", "1000", "1000-900"):
        assert client.ask("PATCH", where, DATA[:1000], content_range=span).status == 400
    state = client.ask("GET", where)
    assert (state.status, state.headers["range"]) == (204, "0-999")
    second = client.ask("PATCH", where, DATA[1000:5000])  # without a range: at the end
    assert second.headers["range"] == "0-4999"
    last = client.ask("PUT", f"{where}?digest={DIGEST}", DATA[5000:], content_range=f"5000-{len(DATA) - 1}")
    assert last.status == 201
    assert client.ask("GET", f"/v2/a/blobs/{DIGEST}").body == DATA


def test_the_last_chunk_out_of_order_is_refused_and_can_be_sent_again(client: Client) -> None:
    where = client.begin("a")
    client.ask("PATCH", where, DATA[:1000], content_range="0-999")
    wrong = client.ask("PUT", f"{where}?digest={DIGEST}", DATA[2000:], content_range=f"2000-{len(DATA) - 1}")
    assert wrong.status == 416
    right = client.ask("PUT", f"{where}?digest={DIGEST}", DATA[1000:], content_range=f"1000-{len(DATA) - 1}")
    assert right.status == 201


def test_an_upload_is_cancelled(client: Client) -> None:
    where = client.begin("a")
    assert client.ask("DELETE", where).status == 204
    for method in ("GET", "DELETE", "PATCH", "PUT"):
        assert client.ask(method, f"{where}?digest={DIGEST}").code == "BLOB_UPLOAD_UNKNOWN"


def test_what_is_wrong_with_an_upload_is_said(client: Client) -> None:
    where = client.begin("a")
    assert client.ask("PUT", where, DATA).code == "DIGEST_INVALID"
    assert client.ask("PUT", f"{where}?digest=md5:abc", DATA).code == "DIGEST_INVALID"
    assert client.ask("PATCH", where, DATA, content_encoding="gzip").status == 415
    assert client.ask("PUT", f"{where}?digest={ELSEWHERE}", DATA).code == "DIGEST_INVALID"
    assert client.ask("GET", where).code == "BLOB_UPLOAD_UNKNOWN"
    assert client.ask("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5").code == "DIGEST_INVALID"


def test_a_broken_connection_leaves_what_arrived_to_go_on_from(
    server: RegistryServer, client: Client
) -> None:
    where = client.begin("a")
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(
            f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:5000]
        )
    while True:
        state = client.ask("GET", where)
        if state.headers["range"] == "0-4999":
            break
    rest = client.ask("PATCH", where, DATA[5000:], content_range=f"5000-{len(DATA) - 1}")
    assert rest.status == 202
    assert client.ask("PUT", f"{where}?digest={DIGEST}").status == 201


def test_a_chunked_body_needs_no_length(server: RegistryServer, client: Client) -> None:
    where = client.begin("a")
    client.connection.request("PATCH", where, iter([DATA[:10], DATA[10:]]), encode_chunked=True)
    answer = client.connection.getresponse()
    answer.read()
    assert answer.status == 202
    assert client.ask("PUT", f"{where}?digest={DIGEST}").status == 201


def test_a_client_that_waits_for_a_word_gets_one_before_it_sends(
    server: RegistryServer, client: Client
) -> None:
    where = client.begin("a")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        head = f"PUT {where}?digest={DIGEST} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n"
        raw.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert raw.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(DATA)
        assert raw.recv(1000).startswith(b"HTTP/1.1 201 ")
        raw.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert raw.recv(1000).startswith(b"HTTP/1.1 404 ")


def test_a_client_of_http_1_0_gets_no_word_before_the_answer(server: RegistryServer, client: Client) -> None:
    where = client.begin("a")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        head = f"PUT {where}?digest={DIGEST} HTTP/1.0\r\nContent-Length: {len(DATA)}\r\n"
        raw.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode() + DATA)
        assert raw.recv(1000).startswith(b"HTTP/1.0 201 ")


@pytest.mark.parametrize("bounds", ["0--1", "bytes 0--1/0"])
def test_a_chunk_of_nothing_may_say_so(client: Client, bounds: str) -> None:
    where = client.begin("a")
    assert client.ask("PATCH", where, b"", content_range=bounds).status == 202
    assert client.ask("PATCH", where, DATA, content_range=f"0-{len(DATA) - 1}").status == 202
    assert client.ask("PATCH", where, b"", content_range=f"{len(DATA)}-{len(DATA) - 1}").status == 202
    assert client.ask("PUT", f"{where}?digest={DIGEST}").status == 201


@pytest.mark.parametrize(
    ("span", "status", "start", "end"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=100-", 206, 100, len(DATA)),
        ("bytes=-100", 206, len(DATA) - 100, len(DATA)),
        ("bytes=0-", 206, 0, len(DATA)),
        ("bytes=5-1,7-9", 200, 0, len(DATA)),
        ("other=1-2", 200, 0, len(DATA)),
    ],
)
def test_a_range_of_a_blob(client: Client, span: str, status: int, start: int, end: int) -> None:
    client.blob("a", DATA)
    answer = client.ask("GET", f"/v2/a/blobs/{DIGEST}", range=span)
    assert (answer.status, answer.body) == (status, DATA[start:end])
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"


def test_a_range_behind_the_end_is_not_satisfiable(client: Client) -> None:
    client.blob("a", DATA)
    answer = client.ask("GET", f"/v2/a/blobs/{DIGEST}", range=f"bytes={len(DATA)}-")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(DATA)}")


def test_what_a_client_has_is_not_sent_again(client: Client) -> None:
    client.blob("a", DATA)
    digest = client.image("a", "latest")
    for path, tag in ((f"/v2/a/blobs/{DIGEST}", DIGEST), ("/v2/a/manifests/latest", digest)):
        answer = client.ask("GET", path)
        assert answer.headers["etag"] == f'"{tag}"'
        again = client.ask("GET", path, if_none_match=answer.headers["etag"])
        assert (again.status, again.body) == (304, b"")


def test_a_blob_is_mounted_from_where_it_is(client: Client) -> None:
    client.blob("a", DATA)
    answer = client.ask("POST", f"/v2/b/blobs/uploads/?mount={DIGEST}&from=a")
    assert (answer.status, answer.headers["location"]) == (201, f"/v2/b/blobs/{DIGEST}")
    assert client.ask("GET", f"/v2/b/blobs/{DIGEST}").body == DATA
    assert client.ask("POST", f"/v2/c/blobs/uploads/?mount={DIGEST}").status == 201
    assert client.ask("POST", f"/v2/c/blobs/uploads/?mount={ELSEWHERE}&from=a").status == 202
    assert client.ask("POST", f"/v2/c/blobs/uploads/?mount={DIGEST}&from=nowhere").status == 202
    assert client.ask("POST", f"/v2/c/blobs/uploads/?mount={DIGEST}&from=../a").code == "NAME_INVALID"


def test_manifests_are_pulled_by_tag_and_digest_with_their_type(client: Client) -> None:
    digest = client.image("a", "latest", b"layer")
    for reference in ("latest", digest):
        answer = client.ask("GET", f"/v2/a/manifests/{reference}", accept=MANIFEST)
        assert (answer.status, answer.headers["content-type"]) == (200, MANIFEST)
        assert digest_of(answer.body) == answer.headers["docker-content-digest"] == digest
        head = client.ask("HEAD", f"/v2/a/manifests/{reference}")
        assert (head.status, head.headers["content-length"]) == (200, str(len(answer.body)))
    assert client.ask("GET", "/v2/a/manifests/other").code == "MANIFEST_UNKNOWN"
    assert client.ask("GET", "/v2/a/manifests/.wrong").code == "MANIFEST_UNKNOWN"
    assert client.ask("PUT", "/v2/a/manifests/.wrong", b"{}", content_type=MANIFEST).status == 400
    assert client.ask("GET", "/v2/a/manifests/sha256:short").status == 400


def test_a_manifest_comes_after_what_it_names(client: Client) -> None:
    value = {
        "schemaVersion": 2,
        "config": {"mediaType": "x/y", "digest": client.blob("b", b"{}"), "size": 2},
        "layers": [{"mediaType": "x/y", "digest": ELSEWHERE, "size": 2}],
    }
    answer = client.ask("PUT", "/v2/a/manifests/latest", json.dumps(value).encode(), content_type=MANIFEST)
    assert answer.status == 400
    assert {(e["code"], e["detail"]) for e in answer.json["errors"]} == {
        ("MANIFEST_BLOB_UNKNOWN", digest_of(b"{}")),
        ("MANIFEST_BLOB_UNKNOWN", ELSEWHERE),
    }


def test_a_manifest_of_four_megabytes_is_taken_and_a_larger_one_is_not(client: Client) -> None:
    digest = client.image("a", "large", annotations={"filler": "x" * ((4 << 20) - 500)})
    assert client.ask("GET", f"/v2/a/manifests/{digest}").status == 200
    answer = client.ask("PUT", "/v2/a/manifests/huge", b" " * ((4 << 20) + 1), content_type=MANIFEST)
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")


def test_a_condition_guards_a_tag_against_somebody_elses_push(client: Client) -> None:
    digest = client.image("a", "latest")
    data = client.ask("GET", "/v2/a/manifests/latest").body
    put = {"content_type": MANIFEST}
    assert client.ask("PUT", "/v2/a/manifests/latest", data, if_none_match="*", **put).status == 412
    assert client.ask("PUT", "/v2/a/manifests/new", data, if_none_match="*", **put).status == 201
    assert client.ask("PUT", "/v2/a/manifests/latest", data, if_match=f'"{ELSEWHERE}"', **put).status == 412
    assert client.ask("PUT", "/v2/a/manifests/latest", data, if_match=f'"{digest}"', **put).status == 201
    assert client.ask("PUT", "/v2/a/manifests/none", data, if_match="*", **put).status == 412


def test_of_two_that_change_a_tag_on_one_condition_at_once_one_is_refused(
    server: RegistryServer, client: Client
) -> None:
    digest = client.image("a", "latest")
    data = client.ask("GET", "/v2/a/manifests/latest").body
    others = [server.client().connection for _ in range(2)]
    bodies = [data + b" " * (1 + n) for n in range(2)]
    for connection, body in zip(others, bodies, strict=True):  # both have seen the same, and are on their way
        connection.putrequest("PUT", "/v2/a/manifests/latest")
        connection.putheader("Content-Type", MANIFEST)
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader("If-Match", f'"{digest}"')
        connection.endheaders(body[:10])
    time.sleep(0.3)
    statuses = []
    for connection, body in zip(others, bodies, strict=True):
        connection.send(body[10:])
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses == [201, 412]
    assert client.ask("GET", "/v2/a/manifests/latest").body == bodies[0]


def test_a_push_by_digest_sets_tags(client: Client) -> None:
    digest = client.image("a", "latest")
    data = client.ask("GET", "/v2/a/manifests/latest").body
    answer = client.ask("PUT", f"/v2/a/manifests/{digest}?tag=1&tag=1.2", data, content_type=MANIFEST)
    assert (answer.status, answer.headers["oci-tag"]) == (201, "1, 1.2")
    assert client.ask("GET", "/v2/a/tags/list").json == {"name": "a", "tags": ["1", "1.2", "latest"]}


def test_lists_come_in_pages_that_a_link_leads_through(client: Client) -> None:
    client.image("a", "1")
    data = client.ask("GET", "/v2/a/manifests/1").body
    for tag in "2345":
        client.ask("PUT", f"/v2/a/manifests/{tag}", data, content_type=MANIFEST)
    path, seen = "/v2/a/tags/list?n=2", []
    while path:
        answer = client.ask("GET", path)
        seen += answer.json["tags"]
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert seen == ["1", "2", "3", "4", "5"]
    assert client.ask("GET", "/v2/a/tags/list?n=0").json["tags"] == []
    assert client.ask("GET", "/v2/a/tags/list?n=x").status == 400
    client.image("b", "1")
    answer = client.ask("GET", "/v2/_catalog?n=1")
    assert answer.json == {"repositories": ["a"]}
    assert answer.headers["link"] == '</v2/_catalog?n=1&last=a>; rel="next"'
    assert client.ask("GET", "/v2/_catalog?last=a").json == {"repositories": ["b"]}


def test_referrers_are_listed_filtered_and_found_under_their_tag(client: Client) -> None:
    subject = {"mediaType": MANIFEST, "digest": ELSEWHERE, "size": 5}
    one = client.image("a", "", subject=subject, artifactType="text/one")
    two = client.image("a", "", subject=subject, artifactType="text/two")
    answer = client.ask("GET", f"/v2/a/referrers/{ELSEWHERE}")
    assert answer.headers["content-type"] == "application/vnd.oci.image.index.v1+json"
    assert {d["digest"] for d in answer.json["manifests"]} == {one, two}
    answer = client.ask("GET", f"/v2/a/referrers/{ELSEWHERE}?artifactType=text/one")
    assert [d["digest"] for d in answer.json["manifests"]] == [one]
    assert answer.headers["oci-filters-applied"] == "artifactType"
    answer = client.ask("GET", f"/v2/a/manifests/{ELSEWHERE.replace(':', '-')}")
    assert {d["digest"] for d in answer.json["manifests"]} == {one, two}
    assert client.ask("GET", f"/v2/none/referrers/{ELSEWHERE}").json["manifests"] == []
    assert client.ask("GET", "/v2/a/referrers/x").status == 400
    data = client.ask("GET", f"/v2/a/manifests/{one}").body
    pushed = client.ask("PUT", f"/v2/a/manifests/{one}", data, content_type=MANIFEST)
    assert pushed.headers["oci-subject"] == ELSEWHERE


def test_tags_manifests_and_blobs_are_deleted(client: Client) -> None:
    digest = client.image("a", "latest", DATA)
    used = client.ask("DELETE", f"/v2/a/blobs/{DIGEST}")
    assert (used.status, used.code) == (405, "UNSUPPORTED")
    assert client.ask("DELETE", "/v2/a/manifests/latest").status == 202
    assert client.ask("DELETE", "/v2/a/manifests/latest").status == 404
    assert client.ask("GET", f"/v2/a/manifests/{digest}").status == 200
    assert client.ask("DELETE", f"/v2/a/manifests/{digest}").status == 202
    assert client.ask("GET", f"/v2/a/manifests/{digest}").status == 404
    assert client.ask("DELETE", f"/v2/a/blobs/{DIGEST}").status == 202
    assert client.ask("GET", f"/v2/a/blobs/{DIGEST}").code == "BLOB_UNKNOWN"
    assert client.ask("DELETE", f"/v2/a/blobs/{DIGEST}").status == 404


def test_deleting_can_be_switched_off(tmp_path) -> None:
    with RegistryServer(tmp_path, "--delete=false") as server, server.client() as client:
        digest = client.image("a", "latest")
        for path in ("manifests/latest", f"manifests/{digest}", f"blobs/{digest_of(b'{}')}"):
            assert client.ask("DELETE", f"/v2/a/{path}").status == 405
        where = client.begin("a")
        assert client.ask("DELETE", where).status == 204  # an upload is no content


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/v1/", 404),
        ("/v2/A/tags/list", 400),
        ("/v2/a//b/tags/list", 400),
        ("/v2//tags/list", 400),
        ("/v2/a/b", 404),
    ],
)
def test_a_wrong_path_is_refused_in_the_specifications_form(client: Client, path: str, status: int) -> None:
    answer = client.ask("GET", path)
    assert answer.status == status
    assert set(answer.json["errors"][0]) >= {"code", "message"}


def test_a_method_that_an_endpoint_has_not_is_refused(client: Client) -> None:
    answer = client.ask("PATCH", "/v2/a/tags/list", b"")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_limits_of_size_and_number_hold(tmp_path) -> None:
    flags = ("--max-blob", "1000", "--max-uploads", "2", "--chunk-min", "500")
    with RegistryServer(tmp_path, *flags) as server, server.client() as client:
        answer = client.ask("POST", "/v2/a/blobs/uploads/")
        assert answer.headers["oci-chunk-min-length"] == "500"
        client.begin("a")
        many = client.ask("POST", "/v2/a/blobs/uploads/")
        assert (many.status, many.code) == (429, "TOOMANYREQUESTS")
        assert int(many.headers["retry-after"]) > 0
        client.ask("DELETE", answer.headers["location"])
        where = client.begin("a")
        assert client.ask("PATCH", where, b"x" * 600).status == 202
        assert client.ask("PATCH", where, b"x" * 600).status == 413


def test_the_log_and_the_counters_tell_what_happened(tmp_path) -> None:
    with RegistryServer(tmp_path, "--access-log", "json") as server, server.client() as client:
        client.image("a", "latest", DATA)
        client.ask("GET", f"/v2/a/blobs/{DIGEST}", user_agent='odd "agent"')
        client.ask("GET", "/v2/a/manifests/none")
        text = client.ask("GET", "/metrics").body.decode()
    assert 'lading_registry_requests_total{method="PUT",route="upload",status="201"} 2' in text
    assert 'lading_registry_requests_total{method="GET",route="manifest",status="404"} 1' in text
    assert f"lading_registry_sent_bytes_total {len(DATA)}"[:30] in text
    assert "lading_registry_blobs 2" in text
    assert "lading_registry_uploads_open 0" in text
    assert 'lading_registry_request_duration_seconds_bucket{route="blob",le="+Inf"} 1' in text
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    blob = next(line for line in lines if line["path"] == f"/v2/a/blobs/{DIGEST}")
    assert (blob["method"], blob["status"], blob["sent"], blob["address"]) == (
        "GET",
        200,
        len(DATA),
        "127.0.0.1",
    )
    assert '"' not in blob["agent"]


def test_an_index_of_which_not_all_is_here_is_taken_where_that_is_allowed(tmp_path) -> None:
    def index(*digests: str) -> bytes:
        entries = [{"mediaType": MANIFEST, "digest": digest, "size": 7} for digest in digests]
        return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()

    sparse = index(digest_of(b"absent1"), digest_of(b"absent2"))
    with RegistryServer(tmp_path) as server, server.client() as client:
        answer = client.ask("PUT", "/v2/a/manifests/some", sparse, content_type=INDEX)
        assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    with RegistryServer(tmp_path, "--sparse-indexes") as server, server.client() as client:
        assert client.ask("PUT", "/v2/a/manifests/some", sparse, content_type=INDEX).status == 201
        assert client.ask("GET", "/v2/a/manifests/some").body == sparse
        there = client.image("a", "one", b"layer")
        answer = client.ask("PUT", "/v2/a/manifests/wrong", index(there), content_type=INDEX)
        assert (answer.status, answer.code) == (400, "SIZE_INVALID")  # of what is here, all has to be right
        lacking = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}
        lacking["config"] = {"mediaType": "a/b", "digest": digest_of(b"absent"), "size": 6}
        answer = client.ask("PUT", "/v2/a/manifests/x", json.dumps(lacking).encode(), content_type=MANIFEST)
        assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    store = Store(str(server.storage))
    assert check(store, repair=False) == []
    store.close()
