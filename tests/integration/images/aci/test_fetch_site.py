"""Fetching signed images from a site: what arrives, what goes on after a break, and everything that must leave nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.formats.appc.source import source
from lading.formats.openpgp_packets import spoken
from lading.images import Images
from lading.images.aci import download as downloading
from lading.images.aci.fetch import FetchOptions, fetch
from lading.images.aci.trust import TrustStore
from lading.images.image import Image
from lading.images.transfer import Progress
from support.signing import YEAR, Signer
from support.site import Answer, Asked, Site, meta

pytestmark = [
    pytest.mark.root,
    pytest.mark.peer("gpg"),
    pytest.mark.peer("gpgv"),
    pytest.mark.peer("openssl"),
]

NOISE = random.Random(7).randbytes(3 << 20)
OTHER = "aarch64" if os.uname().machine == "x86_64" else "amd64"


def archive(name: str, data: bytes = b"data", *, depends: tuple[object, ...] = (), **labels: str) -> bytes:
    """A small image archive with a file called after it."""
    manifest = {
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": name,
        "labels": [{"name": key, "value": value} for key, value in labels.items()],
        "dependencies": [d if isinstance(d, dict) else {"imageName": d} for d in depends],
    }  # fmt: skip
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in (
            ("manifest", json.dumps(manifest).encode()),
            ("rootfs", None),
            (f"rootfs/{name[-4:]}", data),
        ):
            info = tarfile.TarInfo(path)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            info.mode = 0o755
            tar.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def image_id(data: bytes) -> str:
    return f"sha512-{hashlib.sha512(data).hexdigest()}"


class Shop:
    """A site with images, a store to fetch them into, and a key that is trusted for it."""

    def __init__(self, site: Site, signer: Signer, key: str, base: Path) -> None:
        self.site = site
        self.signer = signer
        self.key = key
        self.images = Images(str(base / "images"))
        self.config = str(base / "config")
        self.trust = TrustStore(self.config)
        self.said: list[str] = []
        site.answers["/?ac-discovery=1"] = Answer(
            meta(("discovery", "localhost", f"{site.url}/f/{{name}}-{{version}}.{{ext}}"))
        )

    def trusted(self, prefix: str = "localhost", key: str = "") -> Shop:
        self.trust.add(self.signer.keys(key or self.key)[0], prefix)
        return self

    def offer(
        self, name: str, data: bytes, signature: bytes | None = None, version: str = "latest", **headers: str
    ) -> str:
        """Put an archive and its signature (by default a good one) on the site; the path."""
        path = f"/f/{name}-{version}.aci"
        self.site.answers[path] = Answer(data, **headers)
        self.site.answers[f"{path}.asc"] = Answer(
            self.signer.sign(data, self.key) if signature is None else signature
        )
        return path

    def fetch(self, text: str, **more: object) -> Image:
        options = FetchOptions(self.config, self.trust, port=self.site.port, environ={}, **more)  # type: ignore[arg-type]
        shop = self

        class Said(Progress):
            def say(self, text: str) -> None:
                shop.said.append(text)

        return fetch(self.images, source(text), options, Said())

    def refused(self, text: str, reason: str, **more: object) -> str:
        """Fetching fails with that reason in one line, and leaves nothing; the line."""
        with pytest.raises(LadingError) as caught:
            self.fetch(text, **more)
        assert caught.value.reason == reason, caught.value
        assert "\n" not in str(caught.value)
        self.nothing_stored()
        return str(caught.value)

    def nothing_stored(self) -> None:
        assert self.images.list() == [] and list(self.images.content.list()) == []
        for part in ("layers", "staging", "leases", "names"):
            place = Path(self.images.root, part)
            assert not place.exists() or os.listdir(place) == [], part

    def partial(self) -> list[str]:
        place = Path(self.images.root, "ingest")
        return sorted(os.listdir(place)) if place.exists() else []


@pytest.fixture(scope="module")
def key(signer: Signer) -> str:
    return signer.key("Shop <shop@example.com>")


@pytest.fixture
def shop(site: Site, signer: Signer, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr("lading.images.aci.download.backoff", lambda attempt: 0.001)
    return Shop(site, signer, key, tmp_path)


# -- what arrives ---------------------------------------------------------------------------------------------------


def test_a_signed_image_is_found_checked_and_kept(shop: Shop) -> None:
    data = archive("localhost/app", version="1")
    shop.offer("localhost/app", data, version="1")
    image = shop.trusted().fetch("localhost/app:1")
    assert f"sha512-{image.id.partition(':')[2]}" == image_id(data)
    assert shop.partial() == [] and any(shop.key in text for text in shop.said)
    assert [image.id for image in shop.images.list()] == [image.id]


def test_what_is_here_is_not_asked_for_unless_always_and_never_asks_nobody(shop: Shop) -> None:
    shop.offer("localhost/app", archive("localhost/app"))
    shop.trusted()
    assert "not here" in shop.refused("localhost/app", "not-found", pull="never")
    assert shop.site.asked == []
    first = shop.fetch("localhost/app")
    count = len(shop.site.asked)
    assert shop.fetch("localhost/app").id == shop.fetch("localhost/app", pull="never").id == first.id
    assert len(shop.site.asked) == count
    shop.offer("localhost/app", archive("localhost/app", b"new"))
    assert shop.fetch("localhost/app", pull="always").id != first.id


def test_dependencies_come_first_each_once_by_keys_of_their_own(shop: Shop, signer: Signer) -> None:
    base = archive("localhost/base")
    pinned = {"imageName": "localhost/base", "imageID": image_id(base), "size": len(base)}
    shop.offer("localhost/base", base)
    shop.offer("localhost/left", archive("localhost/left", depends=(pinned,)))
    shop.offer("localhost/app", archive("localhost/app", depends=("localhost/left", "localhost/base")))
    for prefix in ("localhost/app", "localhost/left"):
        shop.trusted(prefix)
    shop.refused("localhost/app", "no-trusted-key")
    assert len(shop.trusted("localhost/base").fetch("localhost/app").layers) == 3
    assert shop.site.paths().count("/f/localhost/base-latest.aci") == 1


def test_by_url_and_by_file_the_manifests_name_chooses_the_keys(shop: Shop, tmp_path: Path) -> None:
    data = archive("localhost/app")
    path = shop.offer("localhost/app", data)
    (tmp_path / "app.aci").write_bytes(data)
    (tmp_path / "app.aci.asc").write_bytes(shop.signer.sign(data, shop.key))
    for text in (shop.site.url + path, str(tmp_path / "app.aci")):
        shop.refused(text, "no-trusted-key")
    shop.trusted("localhost/app")
    assert shop.fetch(shop.site.url + path).id == shop.fetch(str(tmp_path / "app.aci")).id
    os.rename(tmp_path / "app.aci.asc", tmp_path / "elsewhere")
    assert shop.fetch(str(tmp_path / "app.aci"), signature=str(tmp_path / "elsewhere")).id
    with pytest.raises(LadingError) as caught:
        shop.fetch(str(tmp_path / "app.aci"))
    assert caught.value.reason == "no-signature"
    assert shop.partial() == []


def test_the_next_endpoint_is_asked_where_one_has_nothing(shop: Shop) -> None:
    shop.offer("localhost/app", archive("localhost/app"))
    shop.site.answers["/?ac-discovery=1"] = Answer(
        meta(("discovery", "localhost", f"{shop.site.url}/gone.{{ext}}"),
             ("discovery", "localhost", f"{shop.site.url}/f/{{name}}-latest.{{ext}}"))
    )  # fmt: skip
    assert shop.trusted().fetch("localhost/app").id


def test_an_endpoint_of_plain_http_is_passed_over_where_there_is_another(shop: Shop) -> None:
    shop.trusted().offer("localhost/app", archive("localhost/app"))
    plain = ("discovery", "localhost", "http://localhost:1/{name}.{ext}")
    shop.site.answers["/?ac-discovery=1"] = Answer(meta(plain))
    assert "plain HTTP" in shop.refused("localhost/app", "plain-http")
    shop.site.answers["/?ac-discovery=1"] = Answer(
        meta(plain, ("discovery", "localhost", f"{shop.site.url}/f/{{name}}-latest.{{ext}}"))
    )
    assert shop.fetch("localhost/app").id


def test_unsigned_is_taken_only_when_that_was_asked_for(shop: Shop) -> None:
    path = shop.offer("localhost/app", archive("localhost/app"))
    del shop.site.answers[f"{path}.asc"]
    assert "no signature" in shop.trusted().refused("localhost/app", "no-signature")
    assert shop.fetch("localhost/app", unsigned=True).id


# -- what is not believed -------------------------------------------------------------------------------------------


def _of_another_image(shop: Shop, data: bytes) -> bytes:
    return shop.signer.sign(archive("localhost/other"), shop.key)


def _by_nobody(shop: Shop, data: bytes) -> bytes:
    return shop.signer.sign(data, shop.signer.key("Nobody <nobody@example.com>"))


def _expired(shop: Shop, data: bytes) -> bytes:
    then = 1_600_000_000
    key = shop.signer.key("Old <old@example.com>", expire="1y", at=then)
    shop.trusted("localhost", key)
    return shop.signer.sign(data, key, at=then + YEAR // 2)


def _revoked(shop: Shop, data: bytes) -> bytes:
    key = shop.signer.key("Revoked <revoked@example.com>")
    signature = shop.signer.sign(data, key)
    shop.signer.revoke(key)
    shop.trusted("localhost", key)
    return signature


def _no_longer_good(shop: Shop, data: bytes) -> bytes:
    then = 1_600_000_000
    key = shop.signer.key("Short <short@example.com>", at=then)
    shop.trusted("localhost", key)
    return shop.signer.sign(data, key, "--default-sig-expire", "1d", at=then)


def _changed_after(shop: Shop, data: bytes) -> bytes:
    """The signature of what the archive was before somebody put another file in its place."""
    return shop.signer.sign(data.replace(b"data", b"good"), shop.key)


def _empty(shop: Shop, data: bytes) -> bytes:
    return b""


def _cut_off(shop: Shop, data: bytes) -> bytes:
    return shop.signer.sign(data, shop.key)[:-60]


def _page(shop: Shop, data: bytes) -> bytes:
    return b"<html>sign in</html>"


@pytest.mark.parametrize(
    ("make", "reason"),
    [(_of_another_image, "bad-signature"), (_by_nobody, "key-unknown"), (_expired, "key-expired"), (_revoked, "key-revoked"),
     (_no_longer_good, "signature-expired"), (_changed_after, "bad-signature"), (_empty, "armor"), (_cut_off, "armor"),
     (_page, "armor")],
)  # fmt: skip
def test_a_wrong_signature_leaves_nothing(
    shop: Shop, make: Callable[[Shop, bytes], bytes], reason: str
) -> None:
    data = archive("localhost/app")
    shop.trusted().offer("localhost/app", data, make(shop, data))
    shop.refused("localhost/app", reason)


def test_a_key_for_another_prefix_is_not_trusted(shop: Shop) -> None:
    shop.offer("localhost/app", archive("localhost/app"))
    text = shop.trusted("localhost/other").refused("localhost/app", "no-trusted-key")
    assert "lading trust --prefix localhost/app" in text and shop.site.asked == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (archive("localhost/other"), "other-name"), (archive("localhost/app", version="2"), "other-name"),
        (archive("localhost/app"), "other-name"), (archive("localhost/app", version="1", os="linux", arch=OTHER), "other-name"),
        (b"<html>not here</html>" * 100, "bad-tar"),
        (archive("localhost/app", version="1")[:700], "truncated"), (b"", "no-manifest"),
    ],
)  # fmt: skip
def test_another_image_than_the_one_asked_for_leaves_nothing(shop: Shop, data: bytes, reason: str) -> None:
    shop.trusted().offer("localhost/app", data, version="1")
    with pytest.raises(LadingError) as caught:
        shop.fetch("localhost/app:1")
    shop.nothing_stored()
    assert shop.partial() == []
    assert caught.value.reason == reason


def test_dependencies_without_end_are_refused(shop: Shop) -> None:
    shop.offer("localhost/one", archive("localhost/one", depends=("localhost/two",)))
    shop.offer("localhost/two", archive("localhost/two", depends=("localhost/one",)))
    shop.trusted().refused("localhost/one", "dependency-loop")


@pytest.mark.parametrize("wrong", [{"imageID": "sha512-" + "0" * 128}, {"size": 3}, {"size": 1 << 30}])
def test_a_dependency_that_is_not_the_one_pinned_leaves_nothing(shop: Shop, wrong: dict[str, object]) -> None:
    shop.offer("localhost/base", archive("localhost/base"))
    shop.offer("localhost/app", archive("localhost/app", depends=({"imageName": "localhost/base", **wrong},)))
    with pytest.raises(LadingError) as caught:
        shop.trusted().fetch("localhost/app")
    assert caught.value.reason in ("other-image", "too-large")
    shop.nothing_stored()


# -- breaks ---------------------------------------------------------------------------------------------------------


class Broken:
    """Serves a file by ranges, and breaks the connection after ``each`` bytes."""

    def __init__(self, data: bytes, each: int, tag: str = '"v1"') -> None:
        self.data = data
        self.each = each
        self.tag = tag
        self.ranges: list[str] = []

    def __call__(self, request: Asked) -> Answer:
        wanted = request.headers.get("range", "")
        self.ranges.append(wanted)
        begin = (
            int(wanted.removeprefix("bytes=").rstrip("-"))
            if wanted and request.headers.get("if-range") == self.tag
            else 0
        )
        part = self.data[begin : begin + self.each]
        headers = {"ETag": self.tag, "Content-Length": str(len(self.data) - begin)}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(self.data) - 1}/{len(self.data)}"
        return Answer(iter([part]), 206 if begin else 200, **headers)


def test_a_broken_download_goes_on_where_it_broke(shop: Shop) -> None:
    data = archive("localhost/app", NOISE)
    path = shop.trusted().offer("localhost/app", data)
    shop.site.answers[path] = broken = Broken(data, 1 << 20)
    assert shop.fetch("localhost/app").id
    assert len(broken.ranges) >= 3 and broken.ranges[0] == "" and all(broken.ranges[1:])


def test_an_interrupted_download_goes_on_in_the_next_process(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive("localhost/app", NOISE)
    path = shop.trusted().offer("localhost/app", data)
    shop.site.answers[path] = broken = Broken(data, 1 << 20)
    monkeypatch.setattr(downloading, "ATTEMPTS", 1)
    monkeypatch.setattr(downloading, "STEP", 1 << 30)
    shop.refused("localhost/app", "connection")
    assert len(shop.partial()) == 2
    broken.each = len(data)
    assert shop.fetch("localhost/app").id
    assert broken.ranges == ["", f"bytes={1 << 20}-"] and shop.partial() == []


def test_a_file_that_changed_meanwhile_is_begun_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = archive("localhost/app", NOISE), archive("localhost/app", NOISE[::-1])
    path = shop.trusted().offer("localhost/app", new)
    shop.site.answers[path] = Broken(old, 1 << 20, '"old"')
    monkeypatch.setattr(downloading, "ATTEMPTS", 1)
    monkeypatch.setattr(downloading, "STEP", 1 << 30)
    shop.refused("localhost/app", "connection")
    shop.site.answers[path] = Broken(new, len(new), '"new"')
    assert f"sha512-{shop.fetch('localhost/app').id.partition(':')[2]}" == image_id(new)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Range": "bytes 0-9/99"},
        {"Content_Range": "bytes 1048577-9/99"},
        {"Content_Range": "nonsense"},
        {},
        {"ETag": '"v2"'},
    ],
)
def test_a_lie_about_a_part_is_not_put_together(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    data = archive("localhost/app", NOISE)
    path = shop.trusted().offer("localhost/app", data)
    broken = Broken(data, 1 << 20)

    def lie(request: Asked) -> Answer:
        good = (
            {"Content_Range": f"bytes {1 << 20}-{len(data) - 1}/{len(data)}", "ETag": '"v1"'}
            if "ETag" in headers
            else {}
        )
        return (
            Answer(data[1 << 20 :], 206, **{**good, **headers})
            if "range" in request.headers
            else broken(request)
        )

    shop.site.answers[path] = lie
    monkeypatch.setattr(downloading, "ATTEMPTS", 3)
    monkeypatch.setattr(downloading, "STEP", 1 << 30)
    shop.refused("localhost/app", "connection")


def test_a_part_that_is_all_of_it_is_not_asked_for_again(shop: Shop) -> None:
    data = archive("localhost/app")
    path = shop.trusted().offer(
        "localhost/app", data, shop.signer.sign(data, shop.signer.key("Later <l@example.com>")), ETag='"v1"'
    )
    shop.refused("localhost/app", "key-unknown")
    assert len(shop.partial()) == 2
    shop.offer("localhost/app", data)

    def whole(request: Asked) -> Answer:
        assert request.headers["range"] == f"bytes={len(data)}-"
        return Answer(b"", 416, Content_Range=f"bytes */{len(data)}")

    shop.site.answers[path] = whole
    assert shop.fetch("localhost/app").id and shop.partial() == []


def test_an_archive_beyond_all_measure_is_refused_announced_or_not(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop.trusted().offer("localhost/app", archive("localhost/app"))
    monkeypatch.setattr("lading.images.aci.fetch.LARGEST", 1 << 20)
    for answer in (Answer(b"", Content_Length=str(1 << 40)), Answer(iter([bytes(1 << 16)] * 40))):
        shop.site.answers[path] = answer
        shop.refused("localhost/app", "too-large")
        assert shop.partial() == []


def test_two_at_once_do_not_write_into_one_file(shop: Shop) -> None:
    directory = f"{shop.images.root}/ingest"
    with downloading.Partial(directory, "https://x/a") as one:
        one.restart('"v1"')
        one.write(b"one")
        with downloading.Partial(directory, "https://x/a") as two:
            assert two.size == 0 and two.version == ""
            two.write(b"two")
        assert b"".join(downloading.pieces(one.fd)) == b"one"
    with downloading.Partial(directory, "https://x/a") as again:
        assert (again.size, again.version) == (3, '"v1"')
        again.drop()
    assert os.listdir(directory) == []


def test_check_and_prune_know_what_a_broken_download_left(shop: Shop) -> None:
    with downloading.Partial(f"{shop.images.root}/ingest", "https://x/a") as one:
        one.restart('"v1"')
        one.write(b"one")
    assert shop.images.check(True) == [] and len(shop.partial()) == 2
    shop.images.prune()
    assert shop.partial() == []


def test_a_fingerprint_said_is_the_one_shown_at_trusting(shop: Shop) -> None:
    shop.trusted().offer("localhost/app", archive("localhost/app"))
    shop.fetch("localhost/app")
    assert spoken(shop.key).replace(" ", "") in " ".join(shop.said)
