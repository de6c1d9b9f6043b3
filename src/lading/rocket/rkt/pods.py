"""Pods of apps in the engine's own records: how they are made of a manifest, and how they are found again.

Such a pod is a Pod like every other. What its manifest says beyond that stands in its annotations, so that it is written, and
forgotten, together with the pod.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, NotFound, Unsupported
from lading.formats.appc.pod import PodManifest
from lading.formats.appc.values import uuid_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.pod import Container, Pod
    from lading.node import ContainerRecord, Node, PodRecord
    from lading.rocket.rkt.appimages import AppImage
    from lading.rocket.rkt.podoptions import PodOptions

UUID = "rkt.lading/uuid"
"""Label: the pod's UUID, in full."""
MANIFEST = "rkt.lading/manifest"
"""Annotation: the pod manifest that is executed, as JSON."""
GARBAGE = "rkt.lading/garbage"
"""Annotation: when the ended pod was marked as garbage, in seconds since the epoch."""
METADATA = "rkt.lading/metadata"
"""Annotation of a pod with a metadata service: its token, and what it answers beside the manifest (:mod:`.identity`)."""
MUTABLE = "rkt.lading/mutable"
"""Annotation, ``true``: apps may be added to the pod while it runs."""

PREPARED, RUNNING, EXITED = "prepared", "running", "exited"
GARBAGE_STATE, ABORTED, DELETING = "exited garbage", "aborted prepare", "deleting"
_MANIFEST_LIMIT = 192 << 10
_LIVE = ("running", "paused", "restarting")


class RocketPod:
    """A pod of apps: ``record`` is the engine's, ``manifest`` what is executed."""

    __slots__ = ("_manifest", "record")

    def __init__(self, record: PodRecord, manifest: PodManifest | None = None) -> None:
        self.record = record
        self._manifest = manifest

    @property
    def uuid(self) -> str:
        """The pod's UUID."""
        return self.record.pod.metadata.labels[UUID]

    @property
    def manifest(self) -> PodManifest:
        """The manifest, read when it is first asked for. Raises :class:`InvalidInput` for one that is broken."""
        if self._manifest is None:
            text = self.record.pod.metadata.annotations.get(MANIFEST, "")
            self._manifest = PodManifest.parse(text, what=f"manifest of pod {self.uuid}")
        return self._manifest

    @property
    def mutable(self) -> bool:
        """Whether apps may be added while it runs."""
        return self.record.pod.metadata.annotations.get(MUTABLE) == "true"

    @property
    def state(self) -> str:
        """In Rocket's words: ``prepared``, ``running``, ``exited``, ``exited garbage``, ``aborted prepare``."""
        record = self.record
        if any(container.state in _LIVE for container in record.containers):
            return RUNNING
        ended = all(container.state == EXITED for container in record.containers)
        if not ended and record.phase in ("Pending", "Running") and _is_kept(record):
            return RUNNING
        if record.phase == "Pending" and not self.started:
            return ABORTED if record.keeper_pid else PREPARED
        # A mark from before the pod's start is of an earlier run.
        return GARBAGE_STATE if self.garbage_since and self.garbage_since >= self.started else EXITED

    @property
    def created(self) -> float:
        """Seconds since the epoch."""
        return self.record.created

    @property
    def started(self) -> float:
        """When its first app began, in seconds since the epoch; 0.0: never."""
        times = [c.first or c.started for c in self.record.containers if c.first or c.started]
        return min(times, default=0.0)

    @property
    def finished(self) -> float:
        """When its last app ended, in seconds since the epoch; 0.0 while one runs, or before one did."""
        if self.state in (RUNNING, PREPARED):
            return 0.0
        return max((c.finished for c in self.record.containers), default=0.0)

    @property
    def garbage_since(self) -> float:
        """When it was marked as garbage, in seconds since the epoch; 0.0: it was not."""
        try:
            return float(self.record.pod.metadata.annotations.get(GARBAGE, "0"))
        except ValueError:
            return 0.0

    @property
    def apps(self) -> list[str]:
        """The names of its apps, in the manifest's order."""
        return [app.name for app in self.manifest.apps]

    def app(self, name: str) -> ContainerRecord:
        """The engine's record of an app. Raises :class:`NotFound`."""
        for container in self.record.containers:
            if container.name == name:
                return container
        raise NotFound(f"pod {self.uuid} has no app {name!r}", hint=f"its apps are {', '.join(self.apps)}")

    @property
    def ip(self) -> str:
        """Its first address; empty where it has none."""
        return next((n.ipv4 or n.ipv6 for n in self.record.networks), "")

    @property
    def networks(self) -> list[tuple[str, str]]:
        """Its networks: name and address."""
        return [(n.name, n.ipv4 or n.ipv6) for n in self.record.networks]


def _is_kept(record: PodRecord) -> bool:
    from lading.node.shop import alive

    return alive(record.keeper_pid, record.keeper_start)


def is_app_pod(record: PodRecord) -> bool:
    """Whether a record of the engine is a pod of apps."""
    return UUID in record.pod.metadata.labels and MANIFEST in record.pod.metadata.annotations


def every(node: Node) -> list[RocketPod]:
    """Every pod of apps, newest first."""
    return [RocketPod(record) for record in node.list(all=True) if is_app_pod(record)]


def find(node: Node, prefix: str) -> RocketPod:
    """The pod whose UUID is or begins with ``prefix``. Raises :class:`NotFound`, :class:`InvalidInput` (``ambiguous``)."""
    wanted = prefix.lower()
    if not wanted or not frozenset("0123456789abcdef-").issuperset(wanted):
        raise InvalidInput(
            f"{prefix[:60]!r} is not the UUID of a pod, or the beginning of one", hint="see `lading rkt list`"
        )
    found = [pod for pod in every(node) if pod.uuid.startswith(wanted)]
    if not found:
        raise NotFound(f"no pod has the UUID {prefix[:60]}", hint="see `lading rkt list`")
    if len(found) > 1:
        raise InvalidInput(
            f"{prefix[:60]!r} is the beginning of {len(found)} pods' UUIDs",
            hint="write more of it",
            reason="ambiguous",
        )
    return found[0]


def new_uuid() -> str:
    """A random UUID (RFC 4122, version 4)."""
    data = bytearray(os.urandom(16))
    data[6] = data[6] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    return uuid_text(bytes(data))


def name_of(uuid: str) -> str:
    """What the engine calls the pod, and the pod itself: Rocket's host name for it."""
    return f"rkt-{uuid}"


class Made:
    """A Pod of the engine that is not recorded yet, and ``notes`` about what is not done as the manifest says."""

    __slots__ = ("manifest", "notes", "pod", "uuid")

    def __init__(self, uuid: str, pod: Pod, manifest: PodManifest, notes: list[str]) -> None:
        self.uuid = uuid
        self.pod = pod
        self.manifest = manifest
        self.notes = notes


def make(
    manifest: PodManifest,
    images: Mapping[str, AppImage],
    options: PodOptions,
    *,
    uuid: str = "",
) -> Made:
    """The Pod that executes ``manifest``; ``images`` by image ID.

    Raises :class:`InvalidInput`, :class:`NotFound`, :class:`Unsupported`, naming the app.
    """
    from lading.formats.appc.reify import reify
    from lading.rocket.rkt import mountchecks
    from lading.rocket.rkt.appimages import expect
    from lading.rocket.translate import translate

    uuid = uuid or new_uuid()
    manifests = {image_id: image.manifest for image_id, image in images.items()}
    reified, notes = reify(manifest, manifests, implicit=True)
    notes += mountchecks.look(reified, images)
    made = translate(reified, manifests, uuid=uuid)
    pod = made.pod
    for container, app in zip(pod.spec.containers, reified.apps, strict=True):
        image = images[app.image.id]
        container.image, container.extras.image_name = image.image.digest, image.name
        expect(container, images[app.image.id])
    text = reified.text()
    if len(text.encode()) > _MANIFEST_LIMIT:
        raise Unsupported(f"the pod manifest is larger than {_MANIFEST_LIMIT >> 10} KiB")
    metadata = pod.metadata
    metadata.name = name_of(uuid)
    metadata.labels[UUID] = uuid
    metadata.annotations[MANIFEST] = text
    if options.mutable:
        metadata.annotations[MUTABLE] = "true"
    notes += options.apply(pod)
    if options.metadata:
        from lading.rocket.rkt import identity

        identity.give(pod, uuid, reified, images)
    return Made(uuid, pod, reified, notes + made.notes)


def prepare(
    node: Node,
    manifest: PodManifest,
    images: Mapping[str, AppImage],
    options: PodOptions,
    *,
    uuid: str = "",
) -> tuple[RocketPod, list[str]]:
    """Record a pod of apps, and start nothing: the pod, and notes for its user. Raises as :func:`make` and ``Node.create``."""
    made = make(manifest, images, options, uuid=uuid)
    if options.metadata:
        from lading.rocket.rkt import identity

        identity.key(node.roots.data)
    return RocketPod(node.create(made.pod), made.manifest), made.notes


def container_of(pod: RocketPod, name: str) -> Container:
    """What the engine runs as the app ``name``. Raises :class:`NotFound`."""
    for container in pod.record.pod.spec.containers:
        if container.name == name:
            return container
    raise NotFound(f"pod {pod.uuid} has no app {name!r}", hint=f"its apps are {', '.join(pod.apps)}")
