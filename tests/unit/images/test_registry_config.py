"""registries.json, proxies by environment, and the small parsers of headers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lading.errors import Denied, InvalidInput, LadingError, Unsupported
from lading.images import remote
from lading.images.remote_config import Registries
from lading.images.remote_http import split_url
from lading.images.remote_proxy import proxy_for


def _config(tmp_path: Path, value: object) -> Registries:
    (tmp_path / "registries.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return Registries(str(tmp_path))


def test_without_a_file_only_loopback_may_be_plain_http(tmp_path: Path) -> None:
    registries = Registries(str(tmp_path))
    shown = {
        name: registries.endpoints(name)[0].scheme
        for name in ("quay.io", "localhost:5000", "127.0.0.9", "[::1]:5000")
    }
    assert shown == {"quay.io": "https", "localhost:5000": "", "127.0.0.9": "", "[::1]:5000": ""}
    assert registries.endpoints("docker.io")[0].host == "registry-1.docker.io"
    assert registries.endpoints("quay.io", insecure=True)[0].scheme == ""


def test_mirrors_come_first_for_pulls_and_never_for_pushes(tmp_path: Path) -> None:
    registries = _config(tmp_path, {"registries": {"quay.io": {"mirrors": [
        {"url": "https://mirror.example:8443/quay/"}, {"url": "http://10.0.0.1:5000", "insecure": True}
    ]}}})  # fmt: skip
    assert [repr(e) for e in registries.endpoints("quay.io")] == [
        "Endpoint(https://mirror.example:8443/quay/)",
        "Endpoint(http://10.0.0.1:5000/)",
        "Endpoint(https://quay.io/)",
    ]
    assert [e.host for e in registries.endpoints("quay.io", push=True)] == ["quay.io"]


def test_the_closest_entry_speaks_for_a_registry(tmp_path: Path) -> None:
    registries = _config(tmp_path, {"registries": {
        "*": {"blocked": True}, "*.corp.example": {"insecure": True}, "*.lab.corp.example": {}, "quay.io": {}
    }})  # fmt: skip
    assert registries.settings("a.corp.example:5000").insecure
    assert not registries.settings("b.lab.corp.example").insecure
    assert registries.endpoints("quay.io")
    with pytest.raises(Denied) as caught:
        registries.endpoints("docker.io")
    assert caught.value.reason == "blocked"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("{", "registries.json"),
        ({"registry": {}}, "registry"),
        ({"registries": {"quay.io": {"mirors": []}}}, "mirors"),
        ({"registries": {"quay.io/path": {}}}, "quay.io/path"),
        ({"registries": {"quay.io": {"mirrors": [{"url": "http://mirror.example"}]}}}, "plain HTTP"),
        ({"registries": {"quay.io": {"mirrors": [{"url": "https://u:p@mirror.example"}]}}}, "not a URL"),
        ({"registries": {"quay.io": {"mirrors": [{"url": "ftp://mirror.example"}]}}}, "not a URL"),
        ({"registries": {"quay.io": {"mirrors": [{"url": "https://[mirror"}]}}}, "not a URL"),
    ],
)
def test_a_wrong_file_is_refused_and_the_culprit_named(tmp_path: Path, value: object, named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _config(tmp_path, value)
    assert named in str(caught.value)
    assert "registries.json" in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({}, ("https", "quay.io", 443), None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, ("https", "quay.io", 443), ("proxy", 3128)),
        ({"https_proxy": "proxy:3128"}, ("https", "quay.io", 443), ("proxy", 3128)),
        ({"HTTPS_PROXY": "http://proxy:3128"}, ("http", "quay.io", 80), None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, ("https", "localhost", 443), None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, ("https", "127.8.8.8", 443), None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "quay.io"}, ("https", "quay.io", 443), None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": ".quay.io"}, ("https", "cdn.quay.io", 443), None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "uay.io"}, ("https", "quay.io", 443), ("proxy", 80)),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "10.0.0.0/8, x"}, ("https", "10.1.2.3", 443), None),
        (
            {"HTTPS_PROXY": "http://proxy", "NO_PROXY": "quay.io:8443"},
            ("https", "quay.io", 443),
            ("proxy", 80),
        ),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "*"}, ("https", "quay.io", 443), None),
    ],
)
def test_proxies_follow_the_environment(
    environ: dict[str, str], url: tuple[str, str, int], expected: tuple[str, int] | None
) -> None:
    found = proxy_for(*url, environ)
    assert (found and (found.host, found.port)) == expected


def test_a_proxy_that_is_not_spoken_is_refused_by_the_name_of_its_variable() -> None:
    for value, kind in (
        ("socks5://proxy:1080", Unsupported),
        ("http://:80", InvalidInput),
        ("http://p:99999", InvalidInput),
        ("http://[::1", InvalidInput),
    ):
        with pytest.raises(kind) as caught:
            proxy_for("https", "quay.io", 443, {"HTTPS_PROXY": value})
        assert "HTTPS_PROXY" in str(caught.value)


def test_proxy_passwords_go_into_a_header() -> None:
    found = proxy_for("http", "quay.io", 80, {"http_proxy": "http://us%40er:pw@proxy:1"})
    assert found is not None and found.headers == {"Proxy-Authorization": "Basic dXNAZXI6cHc="}


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/b",
        "http://",
        "http://a b/",
        "http://a/\r\nX: 1",
        "http://u:p@a/",
        "http://a:b/",
        "http://a/é",
    ],
)
def test_urls_that_could_smuggle_something_are_refused(url: str) -> None:
    with pytest.raises(LadingError):
        split_url(url)


def test_headers_of_answers_are_read_exactly() -> None:
    assert remote.range_start("bytes 10-99/100") == 10
    assert (
        remote.range_start("bytes */100") == remote.range_start("chars 1-2/3") == remote.range_start("") == -1
    )
    assert remote.retry_after("7") == 7.0
    assert remote.retry_after("soon") == 0.0
    assert remote.retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0.0
    assert remote.next_link('</v2/a/tags/list?n=1&last=b>; rel="next"') == "/v2/a/tags/list?n=1&last=b"
    assert remote.next_link('</x>; rel="prev"') == ""
    assert (
        remote.error_text(b'{"errors":[{"code":"DENIED","message":"no\\u0007\\n way"}]}') == "DENIED no way"
    )
    assert remote.error_text(b"<html>") == ""
    assert remote.same_origin("https://a/x", "https://a:443/y")
    assert not remote.same_origin("https://a/", "http://a:443/")


def test_the_type_of_a_manifest_is_what_header_and_body_agree_on() -> None:
    oci = "application/vnd.oci.image.manifest.v1+json"
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    index = "application/vnd.oci.image.index.v1+json"
    assert remote.check_type("text/plain", b'{"schemaVersion":2,"config":{},"layers":[]}', "m") == oci
    assert remote.check_type("application/json", b'{"manifests":[]}', "m") == index
    assert remote.check_type(docker, b'{"schemaVersion":2}', "m") == docker
    refused = [
        (oci, f'{{"mediaType":"{index}","manifests":[]}}'.encode(), "content-type"),
        (index, b'{"manifests":[],"layers":[]}', "content-type"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}", "media-type"),
        ("application/json", b'{"schemaVersion":1,"fsLayers":[]}', "media-type"),
        ("application/vnd.oci.artifact.manifest.v1+json", b"{}", "media-type"),
        ("application/vnd.example", b"{}", "media-type"),
        ("text/html", b"<html>", "garbage"),
        (oci, b"[]", "garbage"),
    ]
    for media_type, data, reason in refused:
        with pytest.raises(LadingError) as caught:
            remote.check_type(media_type, data, "m")
        assert caught.value.reason == reason, data
