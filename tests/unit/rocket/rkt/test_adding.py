"""One more app for a pod that runs, as a container of the engine that lives in it."""

from __future__ import annotations

import pytest
from tests.unit.rocket.rkt.conftest import Node, image, member, record, uuid

from lading.errors import Conflict, InvalidInput, LadingError
from lading.formats.appc.pod import Mount, Volume
from lading.formats.pod import Pod
from lading.node import PodRecord
from lading.rocket.rkt import seen
from lading.rocket.rkt.adding import member as made_of
from lading.rocket.rkt.line import AppLine, Line

VOLUMES = [
    Volume(name="data", kind="host", source="/srv"),
    Volume(name="shared", kind="empty", mode="0770"),
]


def _pod() -> PodRecord:
    mounts = [Mount(volume="shared", path="/s"), Mount(volume="data", path="/d")]
    return record(state="running", volumes=VOLUMES, runtime={"mounts": mounts})


def _added(of: PodRecord, *others: PodRecord, volumes: tuple[str, ...] = (), **flags: str) -> Pod:
    line = Line()
    line.apps.append(AppLine("example.com/main"))
    line.apps[0].flags = {"name": ["more"]}
    line.apps[0].flags.update({name: value.split(";") for name, value in flags.items()})
    if volumes:
        line.flags["mnt-volume"] = list(volumes)
    pod, _ = made_of(seen.find(Node(of, *others), uuid(of)), line, image())  # type: ignore[arg-type]
    return pod


def test_it_is_a_container_of_its_own_in_the_pod() -> None:
    of = record(state="running")
    pod = _added(of)
    extras = pod.spec.extras
    assert (extras.container, extras.pod, extras.fail_together) == (True, of.id, False)
    assert pod.metadata.name == f"rkt-{uuid(of)}-more" and pod.spec.restart_policy == "Never"
    assert pod.spec.containers[0].image == image().image.digest
    joined = PodRecord(id="m", name=pod.metadata.name, pod=pod, containers=member(of, "more").containers)
    found = seen.find(Node(of, joined), uuid(of))  # type: ignore[arg-type]
    assert [app.image_name for app in found.apps] == ["example.com/main:1.0"] * 2


def test_the_pods_volumes_are_shared_and_its_own_are_its_own() -> None:
    of = _pod()
    pod = _added(
        of,
        mount="volume=shared,target=/x;volume=data,target=/h",
        volumes=("mine,kind=empty,target=/own", "name=host,kind=host,source=/opt,readOnly=true,target=/opt"),
    )
    (container,) = pod.spec.containers
    theirs = of.pod.spec.containers[0].volume_mounts[0].name
    names = {mount.mount_path: mount.name for mount in container.volume_mounts}
    assert names["/x"] == theirs and names["/own"] not in {v.name for v in of.pod.spec.volumes}
    assert [volume.name for volume in pod.spec.volumes] == [names["/own"]]
    assert {bind.target: (bind.source, bind.read_only) for bind in container.extras.mounts} == {
        "/h": ("/srv", False),
        "/opt": ("/opt", True),
    }


def test_its_own_volumes_stand_with_it_in_the_manifest() -> None:
    of = _pod()
    pod = _added(of, mount="volume=shared,target=/x", volumes=("mine,kind=empty,target=/own",))
    joined = PodRecord(id="m", name="m", pod=pod, containers=member(of, "more").containers)
    app = seen.find(Node(of, joined), uuid(of)).manifest.apps[1]  # type: ignore[arg-type]
    own = {mount.volume: mount.app_volume is not None for mount in app.mounts}
    assert own == {"shared": False, "mine": True}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"name": "main"}, Conflict),
        ({"name": "other"}, Conflict),
        ({"mount": "volume=none,target=/x"}, InvalidInput),
        ({"volumes": ("mine,kind=empty",)}, InvalidInput),
        ({"volumes": ("mine,kind=empty,target=x",)}, InvalidInput),
        ({"volumes": ("mine,kind=empty,target=/a,target=/b",)}, InvalidInput),
        ({"volumes": ("kind=empty,target=/a",)}, InvalidInput),
    ],
)
def test_what_cannot_be_added(words: dict[str, object], error: type[LadingError]) -> None:
    of = record(state="running")
    with pytest.raises(error):
        _added(of, member(of, "other"), **words)  # type: ignore[arg-type]
