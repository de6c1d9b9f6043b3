"""What ``--sbom``, ``--provenance`` and ``--attest`` ask for, and how images are called in what is attested."""

from __future__ import annotations

import pytest

from lading.build.evidence import image_purl, wanted
from lading.errors import InvalidInput, Unsupported
from lading.formats.oci_image import Platform


@pytest.mark.parametrize(
    "sbom,provenance,attests,told",
    [
        ("", "", [], (False, "")),
        ("true", "", [], (True, "")),
        ("", "true", [], (False, "min")),
        ("", "mode=max", [], (False, "max")),
        ("true", "false", [], (True, "")),
        ("", "", ["type=sbom", "type=provenance,mode=max"], (True, "max")),
        ("", "", ["type=provenance,disabled=true"], (False, "")),
        ("", "builder-id=https://ci.test/1", [], (False, "min")),
    ],
)
def test_flags_say_what_is_attested(sbom, provenance, attests, told):
    made = wanted(sbom, provenance, attests)
    assert (made.sbom, made.provenance) == told
    assert bool(made) == any(told)


def test_mistakes_and_what_is_not_supported_are_refused():
    for arguments in (
        ("perhaps", "", []),
        ("", "mode=all", []),
        ("", "", ["type=other"]),
        ("", "", ["sbom"]),
    ):
        with pytest.raises(InvalidInput):
            wanted(*arguments)
    for arguments in (("generator=image", "", []), ("", "reproducible=true", []), ("", "version=v0.2", [])):
        with pytest.raises(Unsupported):
            wanted(*arguments)


def test_images_have_package_urls():
    here = Platform(os="linux", architecture="arm64")
    tail = "?platform=linux%2Farm64"
    assert image_purl("busybox", here) == f"pkg:docker/busybox@latest{tail}"
    assert image_purl("a.test:5000/b/c:1", here) == f"pkg:docker/a.test:5000/b/c@1{tail}"
    assert image_purl("x@sha256:" + "0" * 64, here) == f"pkg:docker/x@sha256:{'0' * 64}{tail}"
