"""What is signed: cosign's bytes, read strictly; manifests and bundles that carry it."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats import digest as digests
from lading.formats.oci_image import Descriptor, Manifest
from lading.formats.signing import attached, bundle, payload
from lading.formats.signing.attached import Signature
from support import cosignmade

FUZZ = settings(max_examples=1_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)
DIGEST = cosignmade.DIGEST
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=10,
)


def test_the_bytes_are_those_that_cosign_signs() -> None:
    assert (
        payload.Payload("localhost:5999/c1", DIGEST, {"who": "cosign"}).encode().decode()
        == cosignmade.PAYLOAD
    )
    assert payload.Payload("localhost:5999/k1ed", DIGEST, {}).encode().decode() == cosignmade.ED25519_PAYLOAD


def test_a_payload_of_cosigns_is_read() -> None:
    made = payload.decode(cosignmade.PAYLOAD.encode(), what="p")
    assert (made.reference, made.digest, made.optional) == ("localhost:5999/c1", DIGEST, {"who": "cosign"})
    assert payload.decode(cosignmade.ED25519_PAYLOAD.encode(), what="p").optional == {}


def _changed(change: object, *path: str) -> bytes:
    value = json.loads(cosignmade.PAYLOAD)
    place = value
    for name in path[:-1]:
        place = place[name]
    if change is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = change
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        _changed("x", "extra"),
        _changed("x", "critical", "extra"),
        _changed("x", "critical", "image", "extra"),
        _changed("x", "critical", "identity", "extra"),
        _changed("atomic container signature", "critical", "type"),
        _changed(..., "critical"),
        _changed(..., "optional"),
        _changed([], "optional"),
        _changed("text", "optional"),
        _changed("sha256:short", "critical", "image", "docker-manifest-digest"),
        _changed("md5:" + "0" * 32, "critical", "image", "docker-manifest-digest"),
        _changed(5, "critical", "identity", "docker-reference"),
        _changed(None, "critical", "identity"),
        # The specification's example writes a field in capitals; JSON's names have one form only.
        cosignmade.PAYLOAD.replace("docker-manifest", "Docker-manifest").encode(),
        cosignmade.PAYLOAD.replace('"type":', '"type":"x","type":').encode(),
        cosignmade.PAYLOAD.encode() + b" " * payload.LARGEST,
    ],
)
def test_what_is_not_exactly_a_payload_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        payload.decode(data, what="p")
    assert caught.value.reason == "payload"


@FUZZ
@given(st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
@pytest.mark.fuzz
def test_any_bytes_are_a_payload_or_a_clear_error(data: bytes) -> None:
    for read in (payload.decode, attached.decode, bundle.decode):
        try:
            read(data, what="p")
        except LadingError as error:
            assert "\n" not in error.message


@FUZZ
@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60),
    st.dictionaries(st.text(max_size=20), JSON, max_size=4),
)
@pytest.mark.fuzz
def test_a_payload_comes_back(reference: str, optional: dict[str, object]) -> None:
    made = payload.decode(payload.Payload(reference, DIGEST, optional).encode(), what="p")
    assert (made.reference, made.optional) == (reference, optional)


def test_the_tag_of_signatures_follows_from_the_digest() -> None:
    assert attached.tag(DIGEST) == DIGEST.replace(":", "-") + ".sig"


def test_signatures_are_added_and_what_was_there_is_untouched() -> None:
    one = Signature(cosignmade.PAYLOAD.encode(), cosignmade.SIGNATURE, {"dev.sigstore.cosign/bundle": "kept"})
    _, first = attached.encode([one])
    before = attached.decode(first, what="m")
    config, second = attached.encode([Signature(b"{}", "AAAA")], before.manifest)
    found = attached.decode(second, what="m")
    assert found.layers[0] == before.layers[0]
    assert attached.of_layer(found.layers[0], one.payload).annotations == one.annotations
    assert [attached.of_layer(w, b"").signature for w in found.layers] == [cosignmade.SIGNATURE, "AAAA"]
    assert found.manifest.config.digest == digests.of(config)
    assert json.loads(config)["rootfs"]["diff_ids"] == [w.digest for w in found.layers]


def test_other_layers_are_kept_and_are_no_signatures() -> None:
    layer = Descriptor(media_type="text/plain", digest=DIGEST, size=1)
    manifest = Manifest(config=layer, layers=[layer])
    _, made = attached.encode([Signature(b"{}", "AAAA")], manifest)
    found = attached.decode(made, what="m")
    assert len(found.manifest.layers) == 2
    assert len(found.layers) == 1


@pytest.mark.parametrize("size", [-1, payload.LARGEST + 1])
def test_a_payload_too_large_to_hold_is_refused(size: int) -> None:
    layer = Descriptor(media_type=payload.MEDIA_TYPE, digest=DIGEST, size=size)
    data = json.dumps(Manifest(config=layer, layers=[layer]).encode()).encode()
    with pytest.raises(InvalidInput):
        attached.decode(data, what="m")


def test_a_referrer_says_what_it_signs() -> None:
    subject = Descriptor(media_type="m", digest=DIGEST, size=5)
    config, made = attached.encode_referrer([Signature(b"{}", "AAAA")], subject)
    value = json.loads(made)
    assert value["artifactType"] == value["config"]["mediaType"] == attached.ARTIFACT_TYPE
    assert value["subject"] == {"mediaType": "m", "digest": DIGEST, "size": 5}
    assert value["config"]["digest"] == digests.of(config)


def test_a_bundle_of_cosigns_is_read() -> None:
    found = bundle.decode(cosignmade.BUNDLE.encode(), what="b")
    assert found is not None
    assert found.digests == [DIGEST]
    assert found.annotations == {"who": "cosign"}


def test_a_bundle_of_ours_says_the_same() -> None:
    statement = bundle.statement(DIGEST, {"who": "cosign"})
    found = bundle.decode(bundle.encode(statement, b"sig", "hint"), what="b")
    assert found is not None
    assert (found.digests, found.annotations, found.signatures) == ([DIGEST], {"who": "cosign"}, [b"sig"])
    assert found.message.startswith(b"DSSEv1 28 application/vnd.in-toto+json ")


def test_a_bundle_about_something_else_is_none() -> None:
    statement = bundle.statement(DIGEST, {}).replace(b"cosign/sign/v1", b"other/v1")
    assert bundle.decode(bundle.encode(statement, b"", ""), what="b") is None
    message = {"mediaType": bundle.MEDIA_TYPE, "messageSignature": {}, "verificationMaterial": {}}
    assert bundle.decode(json.dumps(message).encode(), what="b") is None


def test_a_bundle_with_a_certificate_is_refused_by_name() -> None:
    value = json.loads(cosignmade.BUNDLE)
    value["verificationMaterial"] = {"certificate": {"rawBytes": ""}}
    with pytest.raises(Unsupported) as caught:
        bundle.decode(json.dumps(value).encode(), what="b")
    assert caught.value.reason == "keyless"
