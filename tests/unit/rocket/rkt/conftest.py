"""Pods of apps as the engine has them in its records, without an engine."""

from __future__ import annotations

import json
import time

import pytest

from lading.errors import NotFound
from lading.formats.appc.app import App
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.labels import Label
from lading.formats.appc.pod import PodManifest, RuntimeApp, RuntimeImage, Volume
from lading.formats.oci_image import Descriptor, ImageConfig
from lading.formats.pod import Container, ObjectMeta, Pod, PodExtras, PodSpec
from lading.images.image import Image
from lading.node import ContainerRecord, PodRecord
from lading.rocket.rkt import pods
from lading.rocket.rkt.appimages import AppImage
from lading.rocket.rkt.podoptions import PodOptions
from lading.rocket.rkt.seen import ADDED

ID = "sha512-" + "ab" * 64
CREATED = 1453814614.631


class Node:
    """A node that knows ``records`` and writes down what is asked of it."""

    def __init__(self, *records: PodRecord) -> None:
        self.records = list(records)
        self.half: list[PodRecord] = []
        self.asked: list[tuple[object, ...]] = []
        self.errors: dict[str, Exception] = {}

    def list(self, *, all: bool) -> list[PodRecord]:
        assert all
        return list(self.records)

    def half_removed(self) -> list[PodRecord]:
        return self.half

    def inspect(self, reference: str) -> PodRecord:
        for record in self.records:
            if record.id == reference:
                return record
        raise NotFound(reference)

    def amend(self, reference: str, change: object) -> PodRecord:
        record = self.inspect(reference)
        change(record.pod)  # type: ignore[operator]
        return record

    def stop(self, reference: str, **words: object) -> None:
        self._do("stop", reference, words)

    def remove(self, reference: str, **words: object) -> None:
        self._do("remove", reference, words)

    def start(self, reference: str) -> None:
        self._do("start", reference, {})

    def _do(self, verb: str, reference: str, words: dict[str, object]) -> None:
        self.asked.append((verb, reference, *words.items()))
        if reference in self.errors:
            raise self.errors[reference]


class Context:
    """What a verb gets."""

    def __init__(self, node: Node) -> None:
        self.node = node


def image() -> AppImage:
    made = Image(
        id="sha512:" + "ab" * 64,
        descriptor=Descriptor(media_type="x", digest="sha256:" + "cd" * 32, size=1),
        kind="aci",
        config=ImageConfig(),
        layers=[],
        diff_ids=[],
        size=0,
        owner=(0o755, 0, 0),
        find_names=lambda _digest: {},
    )
    manifest = ImageManifest.new("example.com/main")
    manifest.labels = [Label(name="version", value="1.0")]
    manifest.app = App(exec=["/main"], user="0", group="0")
    return AppImage(ID, made, manifest, b"{}")


def record(
    *apps: str,
    state: str = "created",
    volumes: list[Volume] | None = None,
    runtime: dict[str, object] | None = None,
    **fields: object,
) -> PodRecord:
    """A pod of these apps, all in the same state; ``runtime`` are fields of the first app."""
    names = apps or ("main",)
    manifest = PodManifest.new().replace(
        apps=[
            RuntimeApp(name=name, image=RuntimeImage(id=ID), **((runtime or {}) if name == names[0] else {}))  # type: ignore[arg-type]
            for name in names
        ],
        volumes=volumes or [],
    )
    made = pods.make(manifest, {ID: image()}, PodOptions())
    began = 0.0 if state == "created" else CREATED + 0.1
    containers = [
        ContainerRecord(
            id=f"{made.uuid}-{name}",
            pod_id=made.uuid,
            name=name,
            state=state,
            started=began,
            finished=began + 1 if state == "exited" else 0.0,
        )
        for name in names
    ]
    phase = {"running": "Running", "exited": "Failed"}.get(state, "Pending")
    return PodRecord(
        id=made.uuid,
        name=made.pod.metadata.name,
        pod=made.pod,
        containers=containers,
        created=CREATED,
        **{"phase": phase, **fields},  # type: ignore[arg-type]
    )


def uuid(made: PodRecord) -> str:
    return made.pod.metadata.labels[pods.UUID]


def member(of: PodRecord, name: str, state: str = "running") -> PodRecord:
    """A container that joined a pod as an app of it."""
    app = RuntimeApp(name=name, image=RuntimeImage(id=ID, name="example.com/more"))
    pod = Pod(
        metadata=ObjectMeta(annotations={ADDED: json.dumps(app.encode())}),
        spec=PodSpec(containers=[Container(name=name)], extras=PodExtras(container=True, pod=of.id)),
    )
    inner = ContainerRecord(id=f"{of.id}-{name}", pod_id=f"{of.id}-{name}", name=name, state=state)
    return PodRecord(
        id=f"{of.id}-{name}", name=f"{of.name}-{name}", pod=pod, containers=[inner], created=CREATED + 5
    )


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Times are shown in UTC."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()
