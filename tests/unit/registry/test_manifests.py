"""Manifests: what is taken, what is refused and why, what deleting takes along."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import LadingError
from lading.formats import digest as digests
from lading.formats.oci_image import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
)
from lading.images import oci
from lading.registry.errors import Refusal
from lading.registry.manifests import parse
from support.mutating import mutated

ELSEWHERE = "sha256:" + "a" * 64


def refused(code, call, *args, **more):
    with pytest.raises(Refusal) as caught:
        call(*args, **more)
    assert caught.value.code == code, caught.value
    return caught.value


def described(digest, size, kind=OCI_LAYER, **more):
    return {"mediaType": kind, "digest": digest, "size": size, **more}


def manifest(config, *layers, kind=OCI_MANIFEST, **more):
    return {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": list(layers), **more}


def test_a_manifest_is_kept_byte_for_byte_and_found_by_tag_and_digest(shop):
    config = shop.blob("one", b"{}")
    data = json.dumps(manifest(described(config, 2, OCI_CONFIG)), indent=7).encode()
    pushed = shop.manifests.put("one", "latest", OCI_MANIFEST, data)
    for reference in ("latest", pushed.digest):
        stored = shop.manifests.find("one", reference)
        assert (stored.digest, stored.media_type, stored.size) == (
            digests.of(data),
            OCI_MANIFEST,
            len(data),
        )
        assert shop.manifests.read(stored) == data
    refused("MANIFEST_UNKNOWN", shop.manifests.find, "two", pushed.digest)


def test_what_a_manifest_names_must_be_in_its_repository(shop):
    config = shop.blob("one", b"{}")
    other = shop.blob("two", b"layer")
    value = manifest(described(config, 2, OCI_CONFIG), described(other, 5), described(ELSEWHERE, 3))
    error = refused("MANIFEST_BLOB_UNKNOWN", shop.put, "one", value, "latest")
    assert error.details == [other, ELSEWHERE]
    refused("MANIFEST_UNKNOWN", shop.manifests.find, "one", "latest")


def test_a_layer_that_is_elsewhere_need_not_be_here(shop):
    config = shop.blob("one", b"{}")
    shop.put(
        "one",
        manifest(
            described(config, 2, OCI_CONFIG),
            described(ELSEWHERE, 5, urls=["https://example.com/layer"]),
            described(ELSEWHERE, 5, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        ),
        "latest",
    )


def test_the_size_of_what_is_named_is_compared(shop):
    config = shop.blob("one", b"{}")
    refused("SIZE_INVALID", shop.put, "one", manifest(described(config, 3, OCI_CONFIG)), "latest")


def test_an_index_names_manifests_of_its_repository(shop):
    image = shop.image("one", b"layer")
    size = shop.manifests.find("one", image).size
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described(image, size, OCI_MANIFEST)]}
    digest = shop.put("one", index, "all")
    assert shop.manifests.find("one", "all").digest == digest
    index["manifests"].append(described(ELSEWHERE, 1, OCI_MANIFEST))
    assert refused("MANIFEST_BLOB_UNKNOWN", shop.put, "one", index, "more").details == [ELSEWHERE]


@pytest.mark.parametrize("kind", [DOCKER_MANIFEST, OCI_MANIFEST])
def test_docker_and_oci_manifests_are_taken(shop, kind):
    config = shop.blob("one", b"{}")
    shop.put("one", manifest(described(config, 2, OCI_CONFIG), kind=kind), "latest")
    assert shop.manifests.find("one", "latest").media_type == kind


CONFIGURED = described(ELSEWHERE, 2, OCI_CONFIG)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([], OCI_MANIFEST),
        ({}, OCI_MANIFEST),
        ({"schemaVersion": 1, "config": CONFIGURED, "layers": []}, OCI_MANIFEST),
        ({"schemaVersion": 2, "layers": []}, OCI_MANIFEST),
        ({"schemaVersion": 2, "config": CONFIGURED, "layers": [{"digest": "x"}]}, OCI_MANIFEST),
        (manifest(CONFIGURED, manifests=[]), OCI_MANIFEST),
        (manifest(CONFIGURED), OCI_INDEX),
        ({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "layers": []}, OCI_INDEX),
        (manifest(CONFIGURED), "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (manifest(CONFIGURED), "text/html"),
        ({"schemaVersion": 2, "config": CONFIGURED, "layers": []}, DOCKER_MANIFEST),
        ({"schemaVersion": 2, "manifests": []}, DOCKER_LIST),
        (manifest(described("sha256:short", 2)), OCI_MANIFEST),
        (manifest(described(ELSEWHERE, -2)), OCI_MANIFEST),
        (manifest(described(ELSEWHERE, "2")), OCI_MANIFEST),
        (manifest(CONFIGURED, subject={"digest": 1}), OCI_MANIFEST),
        (manifest(CONFIGURED, annotations={"a": 1}), OCI_MANIFEST),
    ],
)
def test_what_is_no_manifest_is_refused(value, kind):
    refused("MANIFEST_INVALID", parse, json.dumps(value).encode(), kind)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"a":1,"a":2}', b"[" * 5000])
def test_what_is_no_json_is_refused(data):
    refused("MANIFEST_INVALID", parse, data, OCI_MANIFEST)


def test_parameters_of_the_content_type_do_not_matter():
    data = json.dumps(manifest(CONFIGURED)).encode()
    assert parse(data, f"{OCI_MANIFEST}; charset=utf-8").media_type == OCI_MANIFEST
    assert parse(data, "").media_type == OCI_MANIFEST


def test_a_large_manifest_is_refused(shop):
    shop.manifests._limit = 100
    assert refused("SIZE_INVALID", shop.manifests.put, "one", "latest", "", b" " * 101).status == 413


def test_a_manifest_under_another_digest_is_refused(shop):
    shop.blob("one", b"{}")
    refused("DIGEST_INVALID", shop.manifests.put, "one", ELSEWHERE, OCI_MANIFEST, b"{}")


def test_further_tags_come_with_one_push(shop):
    config = shop.blob("one", b"{}")
    data = json.dumps(manifest(described(config, 2, OCI_CONFIG))).encode()
    shop.manifests.put("one", digests.of(data, "sha512"), OCI_MANIFEST, data, tags=["1", "1.2"])
    assert shop.manifests.find("one", "1.2").digest == digests.of(data, "sha512")


def test_removing_a_tag_leaves_the_manifest(shop):
    image = shop.image("one", b"layer", tag="latest")
    shop.manifests.untag("one", "latest")
    refused("MANIFEST_UNKNOWN", shop.manifests.find, "one", "latest")
    assert shop.manifests.find("one", image).digest == image
    refused("MANIFEST_UNKNOWN", shop.manifests.untag, "one", "latest")


def test_removing_a_manifest_takes_its_tags_and_says_who_still_names_it(shop):
    image = shop.image("one", b"layer", tag="latest")
    size = shop.manifests.find("one", image).size
    index = shop.put(
        "one",
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described(image, size, OCI_MANIFEST)]},
    )
    assert shop.manifests.remove("one", image) == [index]
    refused("MANIFEST_UNKNOWN", shop.manifests.find, "one", "latest")
    refused("MANIFEST_UNKNOWN", shop.manifests.remove, "one", image)


def test_a_blob_that_a_manifest_needs_is_not_deleted(shop):
    image = shop.image("one", b"layer")
    layer = digests.of(b"layer")
    assert refused("UNSUPPORTED", shop.store.unlink, "one", layer).status == 405
    shop.manifests.remove("one", image)
    shop.store.unlink("one", layer)
    refused("BLOB_UNKNOWN", shop.store.unlink, "one", layer)


def test_the_subject_need_not_be_here(shop):
    image = shop.image("one", subject=described(ELSEWHERE, 7, OCI_MANIFEST))
    assert shop.manifests.find("one", image).digest == image


def elsewhere(media_type: str, size: int = 2, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": ELSEWHERE, "size": size, **more}


MANIFEST = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "artifactType": "a/b",
    "config": elsewhere(OCI_CONFIG),
    "layers": [elsewhere(OCI_LAYER, urls=["https://x/y"], annotations={"a": "b"})],
    "subject": elsewhere(OCI_MANIFEST),
    "annotations": {"c": "d"},
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": OCI_INDEX,
    "manifests": [elsewhere(OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7"})],
    "subject": elsewhere(OCI_INDEX),
}


@given(
    mutated(MANIFEST) | mutated(INDEX) | st.binary(max_size=60),
    st.sampled_from(
        ["", OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, "application/json; charset=utf-8"]
    ),
)
def test_whatever_is_pushed_as_a_manifest_is_one_or_refused(value, media_type):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        made = parse(data, media_type)
    except Refusal as refusal:
        assert refusal.message
    else:
        assert all(d.size >= 0 and digests.is_digest(d.digest) for d in [*made.blobs, *made.manifests])
    for read in (oci.decode_manifest, oci.decode_index):
        try:
            read(data, ELSEWHERE)
        except LadingError as error:
            assert error.message


CONFIG = {
    "created": "2020-01-01T00:00:00Z",
    "architecture": "amd64",
    "os": "linux",
    "config": {
        "User": "a",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["A=b"],
        "Cmd": ["b"],
        "Volumes": {"/x": {}},
        "Healthcheck": {"Test": ["CMD", "a"], "Interval": 1},
        "OnBuild": ["RUN x"],
    },
    "rootfs": {"type": "layers", "diff_ids": [ELSEWHERE]},
    "history": [{"created_by": "x", "empty_layer": True}],
}


@given(mutated(CONFIG))
def test_any_configuration_of_an_image_is_read_as_it_is_written_or_refused(value):
    manifest = oci.decode_manifest(json.dumps(MANIFEST).encode(), ELSEWHERE)
    try:
        made = oci.decode_config(json.dumps(value).encode(), manifest)
    except LadingError as error:
        assert error.message
    else:
        again = oci.decode_config(json.dumps(made.encode()).encode(), manifest)
        assert again.encode() == made.encode()
