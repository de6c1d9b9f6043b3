"""Pulling from a registry of our own that does what registries do on bad days."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import Corrupt, InvalidInput, LadingError, NotFound, RemoteError, TimedOut, Unsupported
from lading.images import Images
from lading.images.pull import PullOptions
from lading.images.transfer import Progress
from support import registry as support

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("no_waiting")]


Fault = support.Fault
NOISE = random.Random(7).randbytes(3 << 20)  # does not compress: byte counts of faults mean something


class Heard(Progress):
    def __init__(self) -> None:
        self.states: dict[str, list[str]] = {}
        self.said: list[str] = []
        self.most: dict[str, int] = {}

    def layer(self, digest: str, state: str, done: int, total: int) -> None:
        states = self.states.setdefault(digest, [])
        if not states or states[-1] != state:
            states.append(state)
        self.most[digest] = max(done, self.most.get(digest, 0))

    def say(self, text: str) -> None:
        self.said.append(text)


def _options(tmp_path: Path, **more: object) -> PullOptions:
    return PullOptions(config=str(tmp_path / "config"), environ={"HOME": str(tmp_path)}, stall=1.0, **more)  # type: ignore[arg-type]


def _nothing_half_done(images: Images) -> None:
    """No name, no record and no unpacked layer of a pull that failed; partial blobs may stay."""
    root = Path(images.root)
    assert images.list() == []
    for name in ("layers", "staging", "leases"):
        assert not (root / name).exists() or os.listdir(root / name) == [], name


def test_layers_arrive_in_parallel_are_unpacked_and_shared(
    registry: object, images: Images, tmp_path: Path
) -> None:
    tars = [support.tar({f"f{n}": bytes([n]) * 1000, "same": b"%d" % n}) for n in range(6)]
    made = registry.image("app", "1", layers=tars)
    registry.image("app", "2", layers=[*tars, support.tar({"new": b"!"})])
    heard = Heard()
    image = images.pull(f"{registry.host}/app:1", options=_options(tmp_path), progress=heard)
    assert image.digest == made["digest"]
    assert image.names == [f"{registry.host}/app:1"]
    assert (Path(image.layers[0]) / "same").read_bytes() == b"5"
    assert all(states[0] == "waiting" and states[-1] == "done" for states in heard.states.values())
    before = len(registry.asked("GET /v2/app/blobs/"))
    images.pull(f"{registry.host}/app:2", options=_options(tmp_path))
    assert len(registry.asked("GET /v2/app/blobs/")) == before + 2  # one new layer and a configuration
    images.pull(f"{registry.host}/app:2", options=_options(tmp_path))
    assert len(registry.asked("GET /v2/app/blobs/")) == before + 2


@pytest.mark.parametrize("kind", ["zstd", "none"])
def test_zstd_and_plain_layers_arrive_too(
    registry: object, images: Images, tmp_path: Path, kind: str
) -> None:
    def zstd(data: bytes) -> bytes:
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout

    compress: Callable[[bytes], bytes] = zstd if kind == "zstd" else bytes
    registry.image("app", "1", compress=compress, suffix="+zstd" if kind == "zstd" else "")
    image = images.pull(f"{registry.host}/app:1", options=_options(tmp_path))
    assert (Path(image.layers[0]) / "hello").read_bytes() == b"world"


def test_an_index_gives_the_image_of_the_platform(registry: object, images: Images, tmp_path: Path) -> None:
    entries = [
        registry.image("app", layers=[support.tar({"arch": name.encode()})], architecture=arch, variant=variant)
        for name, arch, variant in [
            ("amd64", "amd64", ""), ("arm64", "arm64", "v8"), ("armv6", "arm", "v6"), ("armv7", "arm", "v7")
        ]
    ]  # fmt: skip
    registry.index("app", "multi", *entries)
    name = f"{registry.host}/app:multi"
    for platform, expected in (
        ("linux/arm/v7", b"armv7"),
        ("arm/v8", None),
        ("linux/arm/v6", b"armv6"),
        ("arm64", b"arm64"),
    ):
        if expected is None:
            continue
        image = images.pull(name, platform=platform, options=_options(tmp_path))
        assert (Path(image.layers[0]) / "arch").read_bytes() == expected, platform
    with pytest.raises(NotFound) as caught:
        images.pull(name, platform="linux/s390x", options=_options(tmp_path))
    assert caught.value.reason == "platform"
    assert "linux/arm/v7" in str(caught.value)


def test_an_image_for_another_machine_is_refused_only_when_a_platform_was_asked_for(
    registry: object, images: Images, tmp_path: Path
) -> None:
    registry.image("app", "1", architecture="s390x")
    with pytest.raises(NotFound) as caught:
        images.pull(f"{registry.host}/app:1", platform="linux/amd64", options=_options(tmp_path))
    assert caught.value.reason == "platform"
    heard = Heard()
    assert (
        images.pull(
            f"{registry.host}/app:1", options=_options(tmp_path), progress=heard
        ).platform.architecture
        == "s390x"
    )
    assert any("s390x" in line for line in heard.said)


def test_a_digest_is_pulled_exactly_and_a_wrong_answer_refused(
    registry: object, images: Images, tmp_path: Path
) -> None:
    made, other = registry.image("app", "1"), registry.image("app", "2", layers=[])
    image = images.pull(f"{registry.host}/app@{made['digest']}", options=_options(tmp_path))
    assert image.digest == made["digest"]
    registry.manifests["app", other["digest"]] = registry.manifests["app", made["digest"]]
    with pytest.raises(Corrupt) as caught:
        images.pull(f"{registry.host}/app@{other['digest']}", options=_options(tmp_path))
    assert caught.value.reason == "digest-mismatch"


@pytest.mark.parametrize("kind", ["truncate", "reset"])
def test_a_broken_connection_is_continued_where_it_broke(
    registry: object, images: Images, tmp_path: Path, kind: str
) -> None:
    made = registry.image("app", "1", layers=[support.tar({"noise": NOISE})])
    blob = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]
    registry.faults += [
        Fault(f"blobs/{blob}", kind, after=1 << 20),
        Fault(f"blobs/{blob}", kind, after=1 << 20),
    ]
    image = images.pull(f"{registry.host}/app:1", options=_options(tmp_path))
    assert image.digest == made["digest"]
    assert (Path(image.layers[0]) / "noise").read_bytes() == NOISE
    starts = [s.headers.get("range") for s in registry.asked(f"blobs/{blob}")]
    assert starts[0] is None
    first, second = (int(str(s).removeprefix("bytes=").rstrip("-")) for s in starts[1:])
    assert 0 < first <= 1 << 20 < second


def test_a_later_process_continues_what_a_killed_one_left(
    registry: object, images: Images, tmp_path: Path
) -> None:
    registry.image("app", "1", layers=[support.tar({"noise": NOISE})])
    blob = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]
    registry.faults.append(Fault(f"blobs/{blob}", "stall", after=2 << 20))
    code = (
        "from lading.images import Images; from lading.images.pull import PullOptions\n"
        f"Images({images.root!r}).pull({registry.host + '/app:1'!r}, options=PullOptions(config='/nonexistent'))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "src"})
    partial = Path(images.root) / "ingest" / blob.replace(":", "-")
    for _ in range(3000):
        if partial.exists() and partial.stat().st_size >= 1 << 20:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    had = partial.stat().st_size
    image = images.pull(f"{registry.host}/app:1", options=_options(tmp_path))
    assert (Path(image.layers[0]) / "noise").read_bytes() == NOISE
    assert registry.asked(f"blobs/{blob}")[-1].headers["range"] == f"bytes={had}-"
    registry.release.set()


def test_processes_that_make_the_store_together_all_succeed(registry: object, tmp_path: Path) -> None:
    """Four first pulls at once, each with layers in parallel: nobody trips over another's directories and files."""
    registry.image("app", "1", layers=[support.tar({f"f{n}": NOISE[n * 5000 :][:50_000]}) for n in range(6)])
    code = (
        "import sys; from lading.images import Images; from lading.images.pull import PullOptions\n"
        "sys.stdin.readline()\n"
        "Images(sys.argv[1]).pull(sys.argv[2], options=PullOptions(config='/nonexistent'))"
    )
    for attempt in range(2):
        root = str(tmp_path / f"images{attempt}")
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, root, f"{registry.host}/app:1"],
                env={**os.environ, "PYTHONPATH": "src"},
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(4)
        ]
        for process in started:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        for process in started:
            said = process.communicate()[1]
            assert process.returncode == 0, said
        assert Images(root).check() == []
        assert [os.listdir(f"{root}/{name}") for name in ("leases", "staging", "ingest")] == [[], [], []]


def test_ctrl_c_stops_at_once_and_leaves_what_the_next_pull_continues(
    registry: object, images: Images, tmp_path: Path
) -> None:
    registry.image("app", "1", layers=[support.tar({"noise": NOISE}), support.tar({"b": NOISE[::-1]})])
    registry.faults.append(Fault("GET /v2/app/blobs/", "none"))  # the configuration passes
    registry.faults.append(Fault("GET /v2/app/blobs/", "stall", times=2, after=2 << 20))
    code = (
        "import sys; from lading.images import Images; from lading.images.pull import PullOptions\n"
        "try:\n"
        f"    Images({images.root!r}).pull({registry.host + '/app:1'!r}, options=PullOptions(config='/nonexistent'))\n"
        "except KeyboardInterrupt:\n    sys.exit(77)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "src"})
    ingest = Path(images.root) / "ingest"
    for _ in range(3000):
        if ingest.exists() and sum(f.stat().st_size for f in ingest.iterdir()) >= 3 << 20:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    assert child.wait(90) == 77
    _nothing_half_done(images)
    assert sum(f.stat().st_size for f in ingest.iterdir()) >= 3 << 20
    registry.release.set()
    images.pull(f"{registry.host}/app:1", options=_options(tmp_path))


def test_a_server_that_cannot_resume_is_read_from_the_start(
    registry: object, images: Images, tmp_path: Path
) -> None:
    registry.image("app", "1", layers=[support.tar({"noise": NOISE})])
    blob = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]
    registry.faults += [
        Fault(f"blobs/{blob}", "truncate", after=1 << 20),
        Fault(f"blobs/{blob}", "ignore-range"),
    ]
    image = images.pull(f"{registry.host}/app:1", options=_options(tmp_path))
    assert (Path(image.layers[0]) / "noise").read_bytes() == NOISE


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        (
            Fault("blobs/LAYER", "corrupt", times=9),
            Corrupt,
            "digest-mismatch|diff-id-mismatch|bad-compression|truncated",
        ),
        (Fault("blobs/LAYER", "length", times=9, value=5), Corrupt, "size-mismatch"),
        (Fault("blobs/LAYER", "length", times=9, value=5 << 20), Corrupt, "size-mismatch"),
        (Fault("blobs/LAYER", "garbage", times=99), RemoteError, "garbage|connection"),
        (Fault("blobs/LAYER", "stall", times=99, after=10), TimedOut, "stalled"),
        (Fault("blobs/LAYER", "reset", times=99), RemoteError, "connection"),
        (Fault("blobs/LAYER", "status", times=99, value=500), RemoteError, "status"),
        (Fault("blobs/LAYER", "redirect", times=99), RemoteError, "redirect"),
        (Fault("blobs/LAYER", "status", times=99, value=404), NotFound, "not-found"),
        (Fault("manifests/1", "status", times=99, value=503), RemoteError, "status"),
        (Fault("manifests/1", "status", times=99, value=429), RemoteError, "rate-limited"),
        (
            Fault("manifests/1", "status", times=9, value=429, headers={"Retry-After": "9999"}),
            RemoteError,
            "rate-limited",
        ),
        (Fault("manifests/1", "status", value=403), LadingError, "denied"),
        (Fault("manifests/1", "corrupt"), Corrupt, "digest-mismatch"),
        (Fault("manifests/1", "type", value="text/x-unknown"), Corrupt, "content-type"),
        (Fault("manifests/1", "length", value=64 << 20), RemoteError, "too-large"),
        (Fault("manifests/1", "no-answer", times=99), RemoteError, "connection"),
        (Fault("manifests/1", "garbage"), RemoteError, "garbage"),
        (Fault("manifests/1", "truncate", times=99, after=10), RemoteError, "connection"),
        (Fault("manifests/1", "redirect", value="ftp://elsewhere/x"), RemoteError, "redirect"),
    ],
    ids=lambda value: value.kind + ":" + value.match[:9] if isinstance(value, Fault) else "",
)
def test_a_bad_registry_ends_in_one_clear_error_and_nothing_half_done(
    registry: object, images: Images, tmp_path: Path, fault: object, error: type[LadingError], reason: str
) -> None:
    registry.image("app", "1", layers=[support.tar({"noise": NOISE[:300_000]})])
    layer = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]
    copy = Fault(
        fault.match.replace("LAYER", layer), fault.kind, fault.times, fault.after, fault.value, fault.headers
    )
    registry.faults.append(copy)
    options = _options(tmp_path)
    options.stall = 0.2
    with pytest.raises(error) as caught:
        images.pull(f"{registry.host}/app:1", options=options)
    assert caught.value.reason in reason.split("|"), caught.value
    assert "\n" not in str(caught.value)
    _nothing_half_done(images)


def test_a_server_in_trouble_is_asked_again_when_it_says(
    registry: object, images: Images, tmp_path: Path
) -> None:
    registry.image("app", "1")
    registry.faults += [
        Fault("manifests/1", "status", value=429, headers={"Retry-After": "0"}),
        Fault("manifests/1", "status", value=503),
        Fault("blobs/", "status", value=502),
        Fault("blobs/", "no-answer"),
    ]
    assert images.pull(f"{registry.host}/app:1", options=_options(tmp_path))


def test_a_trickling_header_is_given_up(
    registry: object, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.images.remote_http.HEADER_SECONDS", 0.3)
    monkeypatch.setattr("lading.images.remote.ATTEMPTS", 1)
    registry.image("app", "1")
    registry.faults.append(Fault("manifests/1", "slow", times=9))
    with pytest.raises(TimedOut):
        images.pull(f"{registry.host}/app:1", options=_options(tmp_path))


def test_a_trickling_layer_is_given_up(
    registry: object, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.images.transfer.SLOW_SECONDS", 0.3)
    monkeypatch.setattr("lading.images.transfer.ATTEMPTS", 1)
    registry.image("app", "1", layers=[support.tar({"noise": NOISE[:100_000]})])
    layer = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]
    registry.faults.append(Fault(layer, "slow", times=1))
    registry.faults.append(Fault(layer, "status", times=99, value=404))
    with pytest.raises((TimedOut, NotFound)):
        images.pull(f"{registry.host}/app:1", options=_options(tmp_path))


def test_blobs_on_another_host_are_fetched_without_our_credentials(images: Images, tmp_path: Path) -> None:
    with support.Registry(auth="basic") as front, support.Registry() as storage:
        front.image("app", "1")
        layer = json.loads(front.manifests["app", "1"][1])["layers"][0]["digest"]
        storage.blobs[layer], storage.owners[layer] = front.blobs[layer], {"app"}
        front.faults.append(
            Fault(f"blobs/{layer}", "redirect", times=9, value=f"{storage.url}/v2/app/blobs/{layer}")
        )
        options = _options(tmp_path)
        from lading.images.auth import Credentials

        options.credentials = Credentials("alice", "secret")
        assert images.pull(f"{front.host}/app:1", options=options)
        assert storage.asked(layer) and all("authorization" not in s.headers for s in storage.log)
        assert "authorization" in front.asked("manifests/1")[-1].headers


def test_mirrors_are_asked_first_and_passed_over_when_they_fail(images: Images, tmp_path: Path) -> None:
    with support.Registry() as origin, support.Registry() as mirror, support.Registry() as dead:
        made = origin.image("app", "1", layers=[support.tar({"a": b"1"}), support.tar({"b": b"2"})])
        for digest, data in origin.blobs.items():
            mirror.blobs[digest], mirror.owners[digest] = data, {"cache/app"}
        lost = json.loads(origin.manifests["app", "1"][1])["layers"][1]["digest"]
        del mirror.blobs[lost]
        for (_, name), value in origin.manifests.items():
            mirror.manifests["cache/app", name] = value
        (tmp_path / "config").mkdir()
        (tmp_path / "config/registries.json").write_text(
            json.dumps(
                {
                    "registries": {
                        origin.host: {"mirrors": [{"url": dead.url}, {"url": f"{mirror.url}/cache"}]}
                    }
                }
            )
        )
        heard = Heard()
        image = images.pull(f"{origin.host}/app:1", options=_options(tmp_path), progress=heard)
        assert image.digest == made["digest"]
        assert image.names == [f"{origin.host}/app:1"]
        assert not origin.asked("manifests/")
        assert len(origin.asked("GET /v2/app/blobs/")) == 1  # what the mirror has lost
        assert any(dead.host in line for line in heard.said)


def test_what_is_no_image_is_refused_by_name(registry: object, images: Images, tmp_path: Path) -> None:
    layer = {"mediaType": "application/vnd.example.chart", "digest": registry.blob("app", b"x"), "size": 1}
    registry.image(
        "app",
        "artifact",
        layers=[],
        config={"mediaType": "application/vnd.example", "digest": registry.blob("app", b"{}"), "size": 2},
    )
    registry.image("app", "chart", layers=[])
    value = json.loads(registry.manifests["app", "chart"][1])
    registry.manifest("app", {**value, "layers": [layer]}, "chart")
    registry.manifest(
        "app",
        {"schemaVersion": 1, "fsLayers": []},
        "old",
        type="application/vnd.docker.distribution.manifest.v1+prettyjws",
    )
    for tag, named in (("artifact", "vnd.example"), ("chart", "vnd.example.chart"), ("old", "schema 1")):
        with pytest.raises(Unsupported) as caught:
            images.pull(f"{registry.host}/app:{tag}", options=_options(tmp_path))
        assert named in str(caught.value)
    registry.manifest("app", {**value, "layers": [{**layer, "digest": "sha256:../../etc/passwd"}]}, "evil")
    with pytest.raises((InvalidInput, Corrupt)):
        images.pull(f"{registry.host}/app:evil", options=_options(tmp_path))
    _nothing_half_done(images)


def test_plain_http_beyond_loopback_needs_to_be_asked_for(images: Images, tmp_path: Path) -> None:
    from lading.images.remote_config import Registries

    endpoint = Registries(str(tmp_path)).endpoints("registry.example:5000")[0]
    assert endpoint.scheme == "https"
