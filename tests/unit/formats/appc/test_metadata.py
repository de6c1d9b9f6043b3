"""The metadata service's answers: the whole tree, exact content types, ``null`` for absent lists, identity by HMAC."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.appc import metadata
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.labels import Annotation
from lading.formats.appc.pod import PodManifest, RuntimeApp, RuntimeImage

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)

TOKEN = "t0k3n" * 8
UUID = "6733c088-a507-4694-aabf-edbe4fc5266f"
OTHER = "11111111-2222-3333-4444-555555555555"
KEY = b"k" * 64
ID = "sha512-" + "ab" * 64
BASE = f"/{TOKEN}/acMetadata/v1"
ORIGINAL = b'{"acKind": "ImageManifest", "acVersion":"0.8.11",  "name": "example.com/main" }'
JSON, TEXT = "application/json", "text/plain; charset=us-ascii"


def _service(*, uuid: str = UUID, key: bytes = KEY, notes: bool = True) -> metadata.Service:
    image = ImageManifest.new("example.com/main")
    app = RuntimeApp(name="main", image=RuntimeImage(id=ID))
    pod = PodManifest.new().replace(apps=[app, RuntimeApp(name="side", image=RuntimeImage(id=ID))])
    if notes:
        image.annotations = [
            Annotation(name="authors", value="image"),
            Annotation(name="lorem", value="ipsum"),
        ]
        app.annotations = [Annotation(name="authors", value="app")]
        pod.annotations = [Annotation(name="ip-address", value="10.1.2.3")]
    bare = ImageManifest.new("example.com/main")
    return metadata.Service(
        token=TOKEN, uuid=uuid, key=key, manifest=pod,
        images={"main": image, "side": bare}, originals={"main": ORIGINAL, "side": ORIGINAL},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "content_type", "body"),
    [
        ("/pod/annotations", JSON, b'[{"name":"ip-address","value":"10.1.2.3"}]'), ("/pod/uuid", TEXT, UUID.encode()),
        ("/apps/main/annotations", JSON, b'[{"name":"authors","value":"app"},{"name":"lorem","value":"ipsum"}]'),
        ("/apps/main/image/manifest", JSON, ORIGINAL), ("/apps/main/image/id", TEXT, ID.encode()), ("/apps/side/annotations",
        JSON, b"null"),
    ],
)  # fmt: skip
def test_each_entry_answers_with_its_exact_type(entry: str, content_type: str, body: bytes) -> None:
    for method in ("GET", "HEAD"):
        answer = _service().answer(method, BASE + entry)
        assert (answer.status, answer.content_type, answer.body) == (200, content_type, body)


def test_the_pods_manifest_is_the_reified_one() -> None:
    answer = _service().answer("GET", BASE + "/pod/manifest")
    assert (answer.status, answer.content_type) == (200, JSON)
    assert PodManifest.parse(answer.body, strict=True).apps[0].image.id == ID


def test_absent_annotations_are_null() -> None:
    assert _service(notes=False).answer("GET", BASE + "/pod/annotations").body == b"null"
    assert json.loads(_service(notes=False).answer("GET", BASE + "/pod/manifest").body)["annotations"] is None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 401), ("GET", "", 401), ("GET", "/acMetadata/v1/pod/uuid", 401), ("GET",
        f"/{TOKEN[:-1]}/acMetadata/v1/pod/uuid", 401),
        ("GET", f"/{TOKEN}x/acMetadata/v1/pod/uuid", 401), ("GET", "/é/x", 401), ("GET", f"/{TOKEN}", 404), ("GET", f"/{TOKEN}/",
        404),
        ("GET", f"/{TOKEN}/acMetadata/v2/pod/uuid", 404), ("GET", BASE, 404), ("GET", BASE + "/pod", 404), ("GET",
        BASE + "/pod/uuid/", 404),
        ("GET", BASE + "/apps/other/image/id", 404), ("GET", BASE + "/apps/main/../../pod/uuid", 404), ("POST",
        BASE + "/pod/uuid", 405),
        ("DELETE", BASE + "/pod/manifest", 405), ("GET", BASE + "/pod/hmac/sign", 405), ("GET", BASE + "/pod/uuid?x=1", 200),
        ("POST", BASE + "/pod/hmac/sign", 400), ("POST", BASE + "/pod/hmac", 404),
    ],
)  # fmt: skip
def test_other_requests_are_refused(method: str, path: str, status: int) -> None:
    answer = _service().answer(method, path)
    assert answer.status == status
    assert bool(answer.allow) == (status == 405)


@pytest.mark.parametrize("token", ["", "short", "x" * 31, "a/b" * 20, "ü" * 40])
def test_a_token_that_can_be_guessed_or_mistaken_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput):
        metadata.Service(token=token, uuid=UUID, key=KEY, manifest=PodManifest.new(), images={}, originals={})


def _post(service: metadata.Service, act: str, **fields: str) -> metadata.Answer:
    return service.answer("POST", f"{BASE}/pod/hmac/{act}", urlencode(fields).encode())


def test_a_signature_is_the_hmac_of_uuid_and_content() -> None:
    answer = _post(_service(), "sign", content="Old MacDonald Had A Farm & more = 100%")
    expected = hmac.new(
        KEY, bytes.fromhex(UUID.replace("-", "")) + b"Old MacDonald Had A Farm & more = 100%", hashlib.sha512
    )
    assert (answer.status, answer.content_type, answer.body) == (
        200,
        TEXT,
        base64.b64encode(expected.digest()),
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
@FUZZ
@pytest.mark.fuzz
@pytest.mark.timeout(900)
def test_any_pod_of_the_domain_verifies_what_another_signed(content: str) -> None:
    signed = _post(_service(), "sign", content=content).body.decode()
    other = _service(uuid=OTHER)
    assert _post(other, "verify", content=content, uuid=UUID, signature=signed).status == 200
    assert _post(other, "verify", content=content + "x", uuid=UUID, signature=signed).status == 403
    assert _post(other, "verify", content=content, uuid=OTHER, signature=signed).status == 403
    assert (
        _post(_service(key=b"z" * 64), "verify", content=content, uuid=UUID, signature=signed).status == 403
    )


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content": "x", "uuid": UUID, "signature": ""}, 403), ({"content": "x", "uuid": UUID, "signature": "not base64!"}, 403),
        ({"content": "x", "uuid": "me", "signature": "AAAA"}, 400), ({"content": "x", "uuid": UUID}, 400), ({"uuid": UUID,
        "signature": "AAAA"}, 400),
        ({"content": "x", "signature": "AAAA"}, 400),
    ],
)  # fmt: skip
def test_a_signature_that_is_none_does_not_verify(fields: dict[str, str], status: int) -> None:
    assert _post(_service(), "verify", **fields).status == status


@pytest.mark.parametrize("body", [b"content=%", b"content=%4", b"content=%zz", b"%=x", b"content=a%2"])
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    assert _service().answer("POST", BASE + "/pod/hmac/sign", body).status == 400


def test_a_form_beyond_all_measure_is_refused() -> None:
    body = b"content=" + b"x" * metadata.LARGEST_BODY
    assert _service().answer("POST", BASE + "/pod/hmac/sign", body).status == 413


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.binary(max_size=20), max_size=4))
@FUZZ
@pytest.mark.fuzz
@pytest.mark.timeout(900)
def test_a_form_is_read_as_it_was_encoded(fields: dict[str, bytes]) -> None:
    assert metadata.form(urlencode(fields).encode()) == fields
