"""A pod as its user sees it: its apps, those that were added while it ran among them, each with the engine's record of it."""

from __future__ import annotations

import sys

from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats import jsontext
from lading.formats.appc.labels import mapping
from lading.formats.appc.pod import RuntimeApp
from lading.rocket.rkt import pods
from lading.rocket.rkt.pods import RocketPod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lading.formats.appc.app import App
    from lading.formats.appc.pod import PodManifest
    from lading.formats.pod import Container
    from lading.node import ContainerRecord, Node, PodRecord

ADDED = "rkt.lading/app"
"""Annotation of a container that joined a pod of apps: what the pod's manifest says of it, as JSON."""

_STATES = {"created": "created", "exited": "exited", "removing": "exited"}
_AFTER = (pods.EXITED, pods.GARBAGE_STATE, pods.DELETING)


class SeenApp:
    """One app of a pod.

    ``app``        what the manifest says of it.
    ``record``     the engine's pod that it is in: of an added one its own.
    ``container``  the engine's container.
    """

    __slots__ = ("app", "container", "record")

    def __init__(self, app: RuntimeApp, record: PodRecord, container: ContainerRecord) -> None:
        self.app = app
        self.record = record
        self.container = container

    @property
    def added(self) -> bool:
        """Whether it joined the pod while that ran, and thus starts, stops and goes by itself."""
        return self.record.single

    @property
    def reference(self) -> str:
        """What the engine calls it."""
        return self.record.id if self.added else f"{self.record.id}/{self.container.name}"

    @property
    def definition(self) -> Container:
        """What the engine runs."""
        return next(c for c in self.record.pod.spec.containers if c.name == self.container.name)

    @property
    def image_name(self) -> str:
        """``NAME[:VERSION]`` of its image."""
        version = mapping(self.app.image.labels).get("version", "")
        return f"{self.app.image.name}:{version}" if version else self.app.image.name

    @property
    def executed(self) -> App | None:
        """What the pod says in place of its image; None when that holds."""
        return self.app.app


class SeenPod:
    """``pod`` and its ``apps``, in the manifest's order, and added ones as they came."""

    __slots__ = ("apps", "manifest", "pod", "state")

    def __init__(self, pod: RocketPod, state: str, members: Sequence[PodRecord] = ()) -> None:
        self.pod = pod
        self.state = state
        by_name = {container.name: container for container in pod.record.containers}
        manifest = pod.manifest
        self.apps = [
            SeenApp(app, pod.record, by_name[app.name]) for app in manifest.apps if app.name in by_name
        ]
        self.apps += [SeenApp(added_app(record), record, record.container) for record in members]
        self.manifest: PodManifest = manifest.replace(apps=[seen.app for seen in self.apps])

    def app(self, name: str) -> SeenApp:
        """The app of this name. Raises :class:`NotFound`."""
        for seen in self.apps:
            if seen.app.name == name:
                return seen
        names = ", ".join(seen.app.name for seen in self.apps)
        raise NotFound(f"pod {self.pod.uuid} has no app {name!r}", hint=f"its apps are {names}")

    def chosen(self, name: str, verb: str) -> SeenApp:
        """The app that ``--app`` names, or the only one. Raises :class:`InvalidInput` where that says too little."""
        if name:
            return self.app(name)
        if not self.apps:
            raise NotFound(f"pod {self.pod.uuid} has no apps")
        if len(self.apps) == 1:
            return self.apps[0]
        print("pod contains multiple apps:", file=sys.stderr)
        for seen in self.apps:
            print(f"\t{seen.app.name}", file=sys.stderr, flush=True)
        raise InvalidInput("which app is meant is missing", hint=f"lading rkt {verb} --app=NAME")

    def state_of(self, seen: SeenApp) -> str:
        """``created``, ``running``, ``exited`` or ``unknown``, as Rocket says it of an app."""
        if self.state == pods.ABORTED:
            return "unknown"
        if self.state in _AFTER and not seen.added:
            return "exited"
        return _STATES.get(seen.container.state, "running")


def added_app(record: PodRecord) -> RuntimeApp:
    """What the manifest says of a container that joined. Raises :class:`InvalidInput`."""
    text = record.pod.metadata.annotations.get(ADDED, "")
    what = f"app of container {record.name}"
    made = RuntimeApp.decode(jsontext.loads(text, what=what), where=what)
    made.check(what)
    return made


def every(node: Node) -> tuple[list[SeenPod], list[LadingError]]:
    """Every pod, newest first, and what is wrong with those that cannot be read."""
    records = node.list(all=True)
    members = _members(records)
    found: list[SeenPod] = []
    wrong: list[LadingError] = []
    half = node.half_removed()
    gone = {record.id for record in half}
    for record in [*records, *half]:
        if not pods.is_app_pod(record):
            continue
        pod = RocketPod(record)
        try:
            state = pods.DELETING if record.id in gone else pod.state
            found.append(SeenPod(pod, state, members.get(record.id, ())))
        except LadingError as error:
            wrong.append(error)
    return found, wrong


def find(node: Node, prefix: str) -> SeenPod:
    """The pod whose UUID begins with ``prefix``; raises as :func:`lading.rocket.rkt.pods.find`."""
    pod = pods.find(node, prefix)
    return SeenPod(pod, pod.state, _members(node.list(all=True)).get(pod.record.id, ()))


def again(node: Node, pod: RocketPod) -> RocketPod:
    """The same pod, as it is now. Raises :class:`NotFound` once it was removed."""
    try:
        return RocketPod(node.inspect(pod.record.id))
    except NotFound:
        raise NotFound(f"pod {pod.uuid} was removed", reason="removed") from None


def members_of(pod: PodRecord, records: Iterable[PodRecord]) -> list[PodRecord]:
    """Those of ``records`` that joined ``pod`` as apps, as they came."""
    return _members(records).get(pod.id, [])


def _members(records: Iterable[PodRecord]) -> dict[str, list[PodRecord]]:
    found: dict[str, list[PodRecord]] = {}
    for record in sorted(records, key=lambda record: record.created):
        if record.single and record.pod.spec.extras.pod and ADDED in record.pod.metadata.annotations:
            found.setdefault(record.pod.spec.extras.pod, []).append(record)
    return found
