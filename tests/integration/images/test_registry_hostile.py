"""A registry that means harm: it wants credentials sent elsewhere, lies about ranges, and hands out manifests that are bombs."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from lading.errors import Denied, LadingError, RemoteError
from lading.images import Images
from lading.images.auth import Credentials
from lading.images.pull import PullOptions
from lading.images.remote import retry_after
from lading.images.remote_login import tags
from support import registry as support

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("no_waiting")]


Fault = support.Fault
ALICE = Credentials("alice", "secret")


def _options(tmp_path: Path, **more: object) -> PullOptions:
    return PullOptions(config=str(tmp_path / "config"), environ={"HOME": str(tmp_path)}, **more)  # type: ignore[arg-type]


def _nothing_came_of_it(images: Images) -> None:
    assert images.list() == []
    for name in ("layers", "staging", "leases"):
        place = Path(images.root, name)
        assert not place.exists() or os.listdir(place) == [], name


def test_a_host_redirected_to_gets_no_credentials_even_when_it_asks(images: Images, tmp_path: Path) -> None:
    with support.Registry(auth="basic") as front, support.Registry(auth="basic") as thief:
        front.image("app", "1")
        layer = json.loads(front.manifests["app", "1"][1])["layers"][0]["digest"]
        front.faults.append(
            Fault(f"blobs/{layer}", "redirect", times=99, value=f"{thief.url}/v2/app/blobs/{layer}")
        )
        with pytest.raises(LadingError) as caught:
            images.pull(f"{front.host}/app:1", options=_options(tmp_path, credentials=ALICE))
        assert "401" in str(caught.value) or isinstance(caught.value, Denied), caught.value
        assert thief.asked(layer) and all("authorization" not in seen.headers for seen in thief.log)
    _nothing_came_of_it(images)


def test_a_token_service_cannot_send_the_credentials_on(images: Images, tmp_path: Path) -> None:
    with support.Registry(auth="token") as front, support.Registry() as thief:
        front.image("app", "1")
        front.faults.append(Fault("/token", "redirect", times=99, value=f"{thief.url}/token"))
        with pytest.raises(RemoteError) as caught:
            images.pull(f"{front.host}/app:1", options=_options(tmp_path, credentials=ALICE))
        assert caught.value.reason == "token" and "307" in str(caught.value)
        assert thief.log == []
    _nothing_came_of_it(images)


NOWHERE = [
    "http://127.0.0.1:99999/x",
    "http://127.0.0.1:0/x",
    "http://127.0.0.1:none/x",
    "http://[::1/x",
    "http://user:word@127.0.0.1/x",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("place", NOWHERE)
@pytest.mark.parametrize("way", ["redirect", "token", "list", "foreign"])
def test_a_place_that_is_none_is_one_short_error(
    registry: object, images: Images, tmp_path: Path, way: str, place: str
) -> None:
    registry.image("app", "1")
    options, repository = _options(tmp_path), f"{registry.host}/app"
    if way == "redirect":
        registry.faults.append(Fault("manifests/1", "redirect", times=99, value=place))
    elif way == "token":
        asks = {"WWW-Authenticate": f'Bearer realm="{place}",service="x"'}
        registry.faults.append(Fault("manifests/1", "status", times=99, value=401, headers=asks))
    elif way == "list":
        link = {"Link": f'<{place}>; rel="next"'}
        registry.faults.append(Fault("tags/list", "headers", times=99, headers=link))
    else:
        manifest = json.loads(registry.manifests["app", "1"][1])
        manifest["layers"][0]["urls"] = [place.replace("http:", "https:")]
        registry.manifest("app", manifest, "1")
        registry.faults.append(
            Fault(f"blobs/{manifest['layers'][0]['digest']}", "status", times=99, value=404)
        )
    with pytest.raises(LadingError) as caught:
        tags(repository, options=options) if way == "list" else images.pull(
            f"{repository}:1", options=options
        )
    assert caught.value.reason == {"token": "token-realm", "foreign": "not-found"}.get(way, "redirect")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400, caught.value
    _nothing_came_of_it(images)


@pytest.mark.parametrize("range_", ["bytes 7-9/10", "bytes 0-9/10", "chunks 1", ""])
def test_a_continuation_from_somewhere_else_is_refused(
    registry: object, images: Images, tmp_path: Path, range_: str
) -> None:
    noise = random.Random(7).randbytes(600_000)
    registry.image("app", "1", layers=[support.tar({"noise": noise})])
    layer = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]
    registry.faults += [
        Fault(f"blobs/{layer}", "truncate", after=300_000),
        Fault(f"blobs/{layer}", "wrong-range", times=99, value=range_),
    ]
    with pytest.raises(RemoteError) as caught:
        images.pull(f"{registry.host}/app:1", options=_options(tmp_path))
    assert caught.value.reason == "range", caught.value
    _nothing_came_of_it(images)
    registry.faults.clear()  # and what was received before is still good
    (layer_directory,) = images.pull(f"{registry.host}/app:1", options=_options(tmp_path)).layers
    assert (Path(layer_directory) / "noise").read_bytes() == noise


def _with_layers(count: int) -> bytes:
    digest = "sha256:" + "0" * 64
    layer = {"mediaType": support.LAYER, "digest": digest, "size": 1}
    config = {"mediaType": support.CONFIG, "digest": digest, "size": 1}
    value = {"schemaVersion": 2, "mediaType": support.MANIFEST, "config": config, "layers": [layer] * count}
    return json.dumps(value).encode()


BOMBS = {
    "nested": b"[" * 200_000,
    "nested objects": b'{"a":' * 200_000,
    "a number without end": b'{"schemaVersion":' + b"9" * 100_000 + b"}",
    "no number": b'{"schemaVersion":NaN}',
    "twice": b'{"schemaVersion":2,"schemaVersion":1}',
    "not UTF-8": b'{"schemaVersion":2,"x":"\xff"}',
    "a list": b"[]",
    "nothing": b"",
    "binary": bytes(range(256)) * 10,
    "too many layers": _with_layers(600),
    "a digest that climbs": _with_layers(1).replace(b"sha256:" + b"0" * 64, b"sha256:../../../../etc/passwd"),
    "a size below nothing": _with_layers(1).replace(b'"size": 1', b'"size": -1'),
    "a size beyond everything": _with_layers(1).replace(b'"size": 1', b'"size": 99999999999999999999'),
    "a configuration too large": _with_layers(1).replace(b'"size": 1', b'"size": 999999999999', 1),
    "a layer type of its own": _with_layers(1).replace(support.LAYER.encode(), b"application/x-made-up"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_manifest_that_is_a_bomb_is_one_short_error(
    registry: object, images: Images, tmp_path: Path, bomb: str
) -> None:
    registry.manifests["app", "bomb"] = support.MANIFEST, BOMBS[bomb]
    with pytest.raises(LadingError) as caught:
        images.pull(f"{registry.host}/app:bomb", options=_options(tmp_path))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500, caught.value
    assert not registry.asked("blobs/"), "content was fetched for a manifest that is none"
    _nothing_came_of_it(images)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3),
        ("0", 0),
        ("", 0),
        ("-5", 0),
        ("soon", 0),
        ("9" * 30, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
)
def test_retry_after_takes_seconds_and_dates_and_nothing_else(header: str, seconds: float) -> None:
    assert retry_after(header) == seconds
    assert retry_after("Fri, 31 Dec 2199 23:59:59 GMT") > 1e9
