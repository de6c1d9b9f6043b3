"""Pushing to, and authenticating at, a registry of our own: what is skipped, mounted, continued, refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from lading.errors import Denied, LadingError, NotFound, RemoteError
from lading.images import Images
from lading.images.auth import Credentials
from lading.images.pull import PullOptions
from lading.images.remote_login import catalog, login, logout, tags
from lading.images.transfer import Progress
from support import registry as support

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("no_waiting")]


Fault = support.Fault
NOISE = random.Random(8).randbytes(1 << 20)


def _options(tmp_path: Path, **more: object) -> PullOptions:
    return PullOptions(config=str(tmp_path / "config"), environ={"HOME": str(tmp_path)}, stall=2.0, **more)  # type: ignore[arg-type]


class Heard(Progress):
    def __init__(self) -> None:
        self.states: list[str] = []
        self.said: list[str] = []

    def layer(self, digest: str, state: str, done: int, total: int) -> None:
        self.states.append(state)

    def say(self, text: str) -> None:
        self.said.append(text)


def _pulled(registry: object, images: Images, tmp_path: Path, *archives: bytes) -> str:
    made = registry.image("app", "1", layers=list(archives) or [support.tar({"noise": NOISE})])
    images.pull(f"{registry.host}/app:1", options=_options(tmp_path))
    return str(made["digest"])


def test_an_image_goes_to_another_registry_byte_for_byte(
    registry: object, images: Images, tmp_path: Path
) -> None:
    digest = _pulled(registry, images, tmp_path, support.tar({"a": b"1"}), support.tar({"b": b"2"}))
    with support.Registry() as other:
        heard = Heard()
        pushed = images.push(
            f"{registry.host}/app:1", f"{other.host}/copy:2", options=_options(tmp_path), progress=heard
        )
        assert pushed == digest
        assert other.manifests["copy", "2"] == registry.manifests["app", "1"]
        assert all(other.blobs[d] == registry.blobs[d] for d in other.blobs) and len(other.blobs) == 3
        assert other.log[-1].method == "PUT" and other.log[-1].path.endswith("/manifests/2")
        assert other.uploads == {}
        heard = Heard()
        images.push(
            f"{registry.host}/app:1", f"{other.host}/copy:3", options=_options(tmp_path), progress=heard
        )
        assert set(heard.states) == {"waiting", "exists"}


def test_an_image_of_another_format_is_pushed_as_what_registries_take(images: Images, tmp_path: Path) -> None:
    from tests.unit.images.aci.conftest import archive, labels, on

    from lading.images.aci.receive import receive

    receive(images, [archive("base", {"b": b"b"})])
    receive(
        images,
        [
            archive(
                "x.example/app", {"a": b"a"}, dependencies=on("base"), labels=labels(version="1", os="linux")
            )
        ],
    )
    with support.Registry() as registry:
        digest = images.push("x.example/app:1", f"{registry.host}/app:1", options=_options(tmp_path))
        other = Images(str(tmp_path / "other"))
        pulled = other.pull(f"{registry.host}/app:1", options=_options(tmp_path))
        assert pulled.digest == digest and len(pulled.layers) == 2
        again = images.push("x.example/app:1", f"{registry.host}/app:2", options=_options(tmp_path))
        assert again == digest


def test_blobs_are_mounted_from_a_repository_that_has_them(
    registry: object, images: Images, tmp_path: Path
) -> None:
    _pulled(registry, images, tmp_path)
    heard = Heard()
    images.push(
        f"{registry.host}/app:1", f"{registry.host}/second:1", options=_options(tmp_path), progress=heard
    )
    assert set(heard.states) == {"waiting", "mounted"}
    registry.mounts = False
    images.push(
        f"{registry.host}/app:1", f"{registry.host}/third:1", options=_options(tmp_path), progress=heard
    )
    assert registry.manifests["third", "1"] == registry.manifests["app", "1"]


def test_an_index_goes_whole_when_every_platform_is_here_and_one_image_goes_else(
    registry: object, images: Images, tmp_path: Path
) -> None:
    entries = [
        registry.image("app", layers=[support.tar({"a": a.encode()})], architecture=a)
        for a in ("amd64", "arm64")
    ]
    top = registry.index("app", "multi", *entries)
    name = f"{registry.host}/app:multi"
    images.pull(name, platform="linux/amd64", options=_options(tmp_path))
    with support.Registry() as other:
        heard = Heard()
        assert (
            images.push(name, f"{other.host}/one:1", options=_options(tmp_path), progress=heard)
            == entries[0]["digest"]
        )
        assert any("one platform" in line for line in heard.said)
        with pytest.raises(NotFound):
            images.push(name, f"{other.host}/all:1", options=_options(tmp_path, all_platforms=True))
        images.pull(name, platform="linux/amd64", options=_options(tmp_path, all_platforms=True))
        assert images.push(name, f"{other.host}/all:1", options=_options(tmp_path)) == top["digest"]
        assert {d for r, d in other.manifests if r == "all"} >= {"1", *(e["digest"] for e in entries)}


def test_a_broken_upload_is_continued_where_the_registry_is(
    registry: object, images: Images, tmp_path: Path
) -> None:
    digest = _pulled(registry, images, tmp_path)
    with support.Registry() as other:
        other.faults.append(Fault("PUT /v2/copy/blobs/", "reset", after=300_000))
        options = _options(tmp_path, parallel=1)
        assert images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=options) == digest
        # Whichever blob broke: it was asked for, and a large one goes on in chunks.
        assert other.asked("GET /v2/copy/blobs/uploads/")


def test_layers_of_a_base_image_are_mounted_from_where_it_came(
    registry: object, images: Images, tmp_path: Path
) -> None:
    _pulled(registry, images, tmp_path)
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/new").write_bytes(b"new")
    base = images.get(f"{registry.host}/app:1")
    images.commit(base, str(tmp_path / "upper"), names=[f"{registry.host}/mine:1"])
    heard = Heard()
    images.push(f"{registry.host}/mine:1", options=_options(tmp_path), progress=heard)
    assert heard.states.count("mounted") == 1  # and the new layer and the configuration were uploaded
    assert heard.states.count("done") == 2


def _sent(other: object, method: str) -> int:
    return len(other.asked(f"{method} /v2/copy/blobs/uploads/"))


def test_an_upload_that_breaks_often_goes_on_as_long_as_it_moves(
    registry: object, images: Images, tmp_path: Path
) -> None:
    digest = _pulled(registry, images, tmp_path)
    with support.Registry() as other:
        for method in ("PUT", "PATCH"):
            other.faults.append(Fault(f"{method} /v2/copy/blobs/", "reset", times=7, after=100_000))
        options = _options(tmp_path, parallel=1)
        assert images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=options) == digest


def test_a_registry_that_takes_no_chunk_is_not_sent_it_for_ever(
    registry: object, images: Images, tmp_path: Path
) -> None:
    _pulled(registry, images, tmp_path)
    with support.Registry() as other:
        other.faults.append(Fault("PUT /v2/copy/blobs/", "reset", after=300_000, times=2))
        same = {"Location": "?_state=abc%3D", "Range": "0-299999"}
        other.faults.append(Fault("PATCH /v2/copy/blobs/", "status", times=200, value=202, headers=same))
        with pytest.raises(RemoteError) as caught:
            images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=_options(tmp_path))
        assert caught.value.reason == "range" and _sent(other, "PATCH") < 10


def test_chunks_are_as_large_as_the_registry_wants(
    registry: object, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = _pulled(registry, images, tmp_path)
    monkeypatch.setattr("lading.images.upload.CHUNK", 10_000)
    with support.Registry() as other:
        least = {"OCI-Chunk-Min-Length": "400000"}
        other.faults.append(Fault("POST /v2/copy/blobs/uploads/", "headers", times=9, headers=least))
        other.faults.append(Fault("PUT /v2/copy/blobs/", "reset", after=100_000, times=2))
        assert (
            images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=_options(tmp_path))
            == digest
        )
        sizes = [int(s.headers["content-length"]) for s in other.asked("PATCH /v2/copy/blobs/uploads/")]
        assert sizes and all(size >= 400_000 for size in sizes[:-1])


def test_a_blob_whose_answer_was_lost_is_not_sent_again(
    registry: object, images: Images, tmp_path: Path
) -> None:
    digest = _pulled(registry, images, tmp_path)
    with support.Registry() as other:
        other.faults.append(Fault("PUT /v2/copy/blobs/", "lost-answer", times=2))
        assert (
            images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=_options(tmp_path))
            == digest
        )
        assert _sent(other, "PUT") == 2 and other.uploads == {}


def test_an_upload_that_the_registry_forgot_is_begun_anew(
    registry: object, images: Images, tmp_path: Path
) -> None:
    digest = _pulled(registry, images, tmp_path)
    with support.Registry() as other:
        other.faults.append(Fault("PUT /v2/copy/blobs/", "status", value=404))
        assert (
            images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=_options(tmp_path))
            == digest
        )


def test_a_refused_blob_is_sent_once_and_a_busy_registry_waited_for(
    registry: object, images: Images, tmp_path: Path
) -> None:
    digest = _pulled(registry, images, tmp_path)
    options = _options(tmp_path, parallel=1)
    with support.Registry() as other:
        other.faults.append(Fault("PUT /v2/copy/blobs/", "status", times=99, value=413))
        with pytest.raises(RemoteError):
            images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=options)
        assert _sent(other, "PUT") == 1 and other.uploads == {}
        other.faults[:] = [Fault("PUT /v2/copy/blobs/", "status", value=429, headers={"Retry-After": "0"})]
        assert images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=options) == digest


def test_what_is_about_another_manifest_is_listed_where_the_registry_does_not_list_it(
    registry: object, images: Images, tmp_path: Path
) -> None:
    subject = registry.image("app", "0")
    subject.pop("platform")
    options = _options(tmp_path)
    made = []
    for tag in ("1", "2"):
        layers = [support.tar({tag: NOISE[:100]})]
        made.append(
            registry.image("app", tag, layers=layers, subject=subject, annotations={"about": tag})["digest"]
        )
        images.pull(f"{registry.host}/app:{tag}", options=options)
    name = subject["digest"].replace(":", "-")
    with support.Registry() as other:
        for tag in ("1", "2", "1"):
            images.push(f"{registry.host}/app:{tag}", f"{other.host}/copy:{tag}", options=options)
        kind, data = other.manifests["copy", name]
        entries = json.loads(data)["manifests"]
        assert kind == support.INDEX and [e["digest"] for e in entries] == made
        assert [(e["artifactType"], e["annotations"]["about"]) for e in entries] == [
            (support.CONFIG, "1"),
            (support.CONFIG, "2"),
        ]
    with support.Registry() as other:
        listed = {"OCI-Subject": subject["digest"]}
        other.faults.append(Fault("PUT /v2/copy/manifests/1", "headers", headers=listed))
        images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=options)
        assert ("copy", name) not in other.manifests


def test_a_registry_that_stores_something_else_is_caught(
    registry: object, images: Images, tmp_path: Path
) -> None:
    _pulled(registry, images, tmp_path)
    with support.Registry() as other:
        wrong = {"Docker-Content-Digest": "sha256:" + "0" * 64}
        other.faults.append(Fault("PUT /v2/copy/manifests/", "status", value=201, headers=wrong))
        with pytest.raises(LadingError) as caught:
            images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=_options(tmp_path))
        assert caught.value.reason == "digest-mismatch"


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        (Fault("POST /v2/copy/blobs/uploads", "status", times=99, value=403), Denied, "denied"),
        (Fault("POST /v2/copy/blobs/uploads", "status", times=99, value=202), RemoteError, "redirect"),
        (Fault("PUT /v2/copy/blobs/", "status", times=99, value=500), RemoteError, "status"),
        (Fault("PUT /v2/copy/blobs/", "reset", times=99), RemoteError, "connection"),
        (Fault("PUT /v2/copy/manifests/", "status", times=99, value=413), RemoteError, "status"),
        (Fault("HEAD /v2/copy/blobs/", "status", times=99, value=400), RemoteError, "status"),
    ],
    ids=lambda value: (
        f"{value.kind}-{value.match[:4]}{value.value or ''}".strip() if isinstance(value, Fault) else ""
    ),
)
def test_a_registry_that_refuses_is_one_clear_error(
    registry: object, images: Images, tmp_path: Path, fault: object, error: type[LadingError], reason: str
) -> None:
    _pulled(registry, images, tmp_path)
    with support.Registry() as other:
        other.faults.append(Fault(fault.match, fault.kind, fault.times, fault.after, fault.value))
        with pytest.raises(error) as caught:
            images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=_options(tmp_path))
        assert caught.value.reason == reason
        assert "\n" not in str(caught.value)
        assert ("copy", "1") not in other.manifests


# --- authentication ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_credentials_are_needed_checked_kept_used_and_forgotten(
    images: Images, tmp_path: Path, kind: str
) -> None:
    with support.Registry(auth=kind) as registry:
        made = registry.image("team/app", "1")
        name = f"{registry.host}/team/app:1"
        options = _options(tmp_path)
        with pytest.raises(Denied) as caught:
            images.pull(name, options=options)
        assert "lading login" in str(caught.value)
        with pytest.raises(Denied):
            login(registry.host, "alice", "wrong", options=options)
        assert not (tmp_path / ".docker/config.json").exists()
        kept = login(registry.host, "alice", "secret", options=options)
        assert kept == str(tmp_path / ".docker/config.json")
        assert images.pull(name, options=options).digest == made["digest"]
        assert images.push(name, f"{registry.host}/team/other:2", options=options) == made["digest"]
        assert tags(f"{registry.host}/team/other", options=options) == ["2"]
        assert logout(registry.host, options=options)
        with pytest.raises(Denied):
            images.pull(f"{registry.host}/team/other:2", options=options)


def test_anonymous_users_get_a_token_too(images: Images, tmp_path: Path) -> None:
    with support.Registry(auth="token") as registry:
        registry.anonymous_pull = True
        registry.image("app", "1")
        assert images.pull(f"{registry.host}/app:1", options=_options(tmp_path))
        assert all("authorization" not in s.headers for s in registry.asked("/token"))


def test_an_identity_token_is_traded_for_access(images: Images, tmp_path: Path) -> None:
    with support.Registry(auth="token") as registry:
        registry.image("app", "1")
        good = _options(tmp_path, credentials=Credentials(identity_token="refresh-me"))
        assert images.pull(f"{registry.host}/app:1", options=good)
        assert {s.method for s in registry.asked("/token")} == {"POST"}
        with pytest.raises(Denied):
            images.pull(
                f"{registry.host}/app:1",
                options=_options(tmp_path, credentials=Credentials(identity_token="x")),
            )


def test_a_token_that_expires_on_the_way_is_renewed(images: Images, tmp_path: Path) -> None:
    with support.Registry(auth="token") as registry:
        registry.image("app", "1")
        registry.faults.append(Fault("GET /v2/app/blobs/", "status", value=401, headers={
            "WWW-Authenticate": f'Bearer realm="{registry.url}/token",service="tests",error="invalid_token"'
        }))  # fmt: skip
        options = _options(tmp_path, credentials=Credentials("alice", "secret"))
        assert images.pull(f"{registry.host}/app:1", options=options)
        assert len(registry.asked("/token")) == 2


def test_a_token_service_in_trouble_is_asked_again(registry: object, images: Images, tmp_path: Path) -> None:
    digest = _pulled(registry, images, tmp_path)
    with support.Registry(auth="token") as other:
        options = _options(tmp_path, credentials=Credentials("alice", "secret"))
        other.faults += [Fault("/token", "status", value=503), Fault("/token", "status", value=429)]
        assert images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=options) == digest
        other.faults[:] = [Fault("/token", "status", times=99, value=500)]
        with pytest.raises(RemoteError) as caught:
            images.pull(f"{other.host}/copy:1", options=options)
        assert caught.value.reason == "token" and len(other.asked("/token")) < 20


def test_a_token_that_expires_before_an_upload_is_renewed(
    registry: object, images: Images, tmp_path: Path
) -> None:
    digest = _pulled(registry, images, tmp_path)
    with support.Registry(auth="token") as other:
        other.faults.append(Fault("PUT /v2/copy/blobs/", "status", value=401, headers={
            "WWW-Authenticate": f'Bearer realm="{other.url}/token",service="tests",error="invalid_token"'
        }))  # fmt: skip
        options = _options(tmp_path, credentials=Credentials("alice", "secret"))
        assert images.push(f"{registry.host}/app:1", f"{other.host}/copy:1", options=options) == digest


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "unauthorized"),
        ('Bearer realm="{url}/token",service="x"', "unauthorized"),
        ('Bearer realm="http://elsewhere.example/token"', "token-realm"),
        ('Bearer realm="file:///etc/passwd"', "token-realm"),
        ("Negotiate", "unauthorized"),
    ],
)
def test_a_registry_that_never_lets_in_does_not_loop(
    registry: object, images: Images, tmp_path: Path, header: str, reason: str
) -> None:
    registry.image("app", "1")
    headers = {"WWW-Authenticate": header.format(url=registry.url)}
    registry.faults.append(Fault("manifests/", "status", times=99, value=401, headers=headers))
    with pytest.raises((Denied, RemoteError)) as caught:
        registry.anonymous_pull = True
        images.pull(f"{registry.host}/app:1", options=_options(tmp_path))
    assert caught.value.reason == reason
    assert len(registry.asked("manifests/")) <= 3


def test_lists_go_on_over_their_pages(registry: object, tmp_path: Path) -> None:
    registry.image("b/app", "1", "2", "3")
    registry.image("a", "1")
    registry.page = 1
    assert tags(f"{registry.host}/b/app", options=_options(tmp_path)) == ["1", "2", "3"]
    assert catalog(registry.host, options=_options(tmp_path)) == ["a", "b/app"]
    assert json.loads(registry.manifests["a", "1"][1])
