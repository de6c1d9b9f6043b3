"""AWS's signatures, by the examples of Amazon's own documentation."""

from __future__ import annotations

import calendar

import pytest

from lading.formats.appc.awssign import Keys, headers, region_of

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
NOW = calendar.timegm((2013, 5, 24, 0, 0, 0))
HOST = "https://examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("path", "signed", "signature"),
    [
        ("/test.txt", {"Range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("/?lifecycle", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/?prefix=J&max-keys=2", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)  # fmt: skip
def test_the_examples_of_the_documentation(path: str, signed: dict[str, str], signature: str) -> None:
    made = headers(HOST + path, KEYS, NOW, signed)
    names = ";".join(sorted(["host", *map(str.lower, signed), "x-amz-content-sha256", "x-amz-date"]))
    assert made["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    assert made["x-amz-date"] == "20130524T000000Z"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("my-bucket.s3.amazonaws.com", "us-east-1"), ("s3.amazonaws.com:443", "us-east-1"),
        ("s3-external-1.amazonaws.com", "us-east-1"), ("b.s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ("b.s3.eu-central-1.amazonaws.com", "eu-central-1"), ("s3.eu-west-2.amazonaws.com", "eu-west-2"),
        ("images.example.com", "us-east-1"), ("localhost", "us-east-1"),
    ],
)  # fmt: skip
def test_a_host_tells_its_region(host: str, region: str) -> None:
    assert region_of(host) == region


def test_no_secret_is_shown() -> None:
    assert KEYS.secret not in repr(KEYS) and KEYS.secret not in str(headers(HOST + "/x", KEYS, NOW))
