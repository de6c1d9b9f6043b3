"""Pods of apps as records of the engine: what is written, what state they are in, how they are found again."""

from __future__ import annotations

import os

import pytest

from lading.errors import InvalidInput, NotFound
from lading.formats.appc.app import App
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.pod import PodManifest, RuntimeApp, RuntimeImage
from lading.formats.oci_image import Descriptor, ImageConfig
from lading.images.image import Image
from lading.node import ContainerRecord, PodRecord, admission
from lading.node.shop import process_start
from lading.rocket.rkt import pods
from lading.rocket.rkt.appimages import AppImage, id_of
from lading.rocket.rkt.podoptions import PodOptions

ID = "sha512-" + "ab" * 64
DIGEST = "sha256:" + "cd" * 32


def _image(kind: str = "aci") -> Image:
    return Image(
        id="sha512:" + "ab" * 64,
        descriptor=Descriptor(media_type="x", digest=DIGEST, size=1),
        kind=kind,
        config=ImageConfig(),
        layers=[],
        diff_ids=[],
        size=0,
        owner=(0o755, 0, 0),
        find_names=lambda _digest: {},
    )


def _made(names: tuple[str, ...] = ("main",), options: PodOptions | None = None) -> pods.Made:
    manifest = ImageManifest.new("example.com/main")
    manifest.app = App(exec=["/main"], user="0", group="0")
    image = AppImage(ID, _image(), manifest, b"{}")
    apps = [RuntimeApp(name=name, image=RuntimeImage(id=ID)) for name in names]
    return pods.make(PodManifest.new().replace(apps=apps), {ID: image}, options or PodOptions())


class _Node:
    """A node that knows these pods."""

    def __init__(self, *records: PodRecord) -> None:
        self._records = list(records)

    def list(self, *, all: bool) -> list[PodRecord]:
        assert all
        return self._records


def _record(made: pods.Made, state: str = "created", **fields: object) -> PodRecord:
    containers = [
        ContainerRecord(id="c", pod_id="p", name=c.name, state=state) for c in made.pod.spec.containers
    ]
    return PodRecord(id="p", name=made.pod.metadata.name, pod=made.pod, containers=containers, **fields)


def test_the_pod_carries_its_uuid_and_what_is_executed() -> None:
    made = _made()
    pod = made.pod
    admission.admit(admission.default(pod))
    assert pod.metadata.uid == pod.metadata.labels[pods.UUID] == made.uuid
    assert pod.metadata.name == f"rkt-{made.uuid}"
    written = PodManifest.parse(pod.metadata.annotations[pods.MANIFEST])
    assert [app.image.name for app in written.apps] == ["example.com/main"]
    assert pod.spec.containers[0].image == DIGEST


@pytest.mark.parametrize(
    ("names", "options", "shared"),
    [
        (("main",), PodOptions(), False),
        (("main", "other"), PodOptions(), True),
        (("main",), PodOptions(mutable=True), True),
    ],
)
def test_apps_share_their_processes_where_there_is_more_than_one(
    names: tuple[str, ...], options: PodOptions, shared: bool
) -> None:
    assert _made(names, options).pod.spec.share_process_namespace is shared


def _me() -> dict[str, int]:
    return {"keeper_pid": os.getpid(), "keeper_start": process_start(os.getpid())}


@pytest.mark.parametrize(
    ("container", "fields", "state"),
    [
        ("created", {}, "prepared"),
        ("created", {"keeper_pid": 1, "keeper_start": 1}, "aborted prepare"),
        ("created", {"phase": "Failed"}, "exited"),
        ("running", {"phase": "Running"}, "running"),
        ("paused", {"phase": "Running"}, "running"),
        ("exited", {"phase": "Succeeded"}, "exited"),
    ],
)
def test_states(container: str, fields: dict[str, object], state: str) -> None:
    assert pods.RocketPod(_record(_made(), container, **fields)).state == state


def test_a_pod_whose_keeper_is_at_its_beginning_runs_and_at_its_end_has_exited() -> None:
    assert pods.RocketPod(_record(_made(), "created", **_me())).state == "running"
    assert pods.RocketPod(_record(_made(), "exited", phase="Running", **_me())).state == "exited"


def test_a_pod_marked_as_garbage_says_so_and_since_when() -> None:
    record = _record(_made(), "exited", phase="Failed")
    record.pod.metadata.annotations[pods.GARBAGE] = "12.5"
    pod = pods.RocketPod(record)
    assert (pod.state, pod.garbage_since) == ("exited garbage", 12.5)
    record.containers[0].started = 12.6
    assert pod.state == "exited", "it ran again"


def test_pods_are_found_by_the_beginning_of_their_uuid() -> None:
    one, two = _made(), _made()
    plain = _record(_made())
    plain.pod.metadata.labels.clear()
    node = _Node(_record(one), _record(two), plain)
    assert {pod.uuid for pod in pods.every(node)} == {one.uuid, two.uuid}  # type: ignore[arg-type]
    assert pods.find(node, one.uuid.upper()).uuid == one.uuid  # type: ignore[arg-type]
    for text, reason in (("", "invalid"), ("-", "not-found"), ("/etc", "invalid")):
        with pytest.raises((InvalidInput, NotFound)) as raised:
            pods.find(node, text)  # type: ignore[arg-type]
        assert raised.value.reason == reason
    same = _record(_made())
    same.pod.metadata.labels[pods.UUID] = one.uuid[:-1] + "x"
    with pytest.raises(InvalidInput) as ambiguous:
        pods.find(_Node(_record(one), same), one.uuid[:10])  # type: ignore[arg-type]
    assert ambiguous.value.reason == "ambiguous"


def test_an_image_of_another_format_has_an_id_too() -> None:
    assert id_of(_image("aci")) == ID
    made = id_of(_image("oci"))
    assert made.startswith("sha512-") and len(made) == 7 + 128 and made != ID
