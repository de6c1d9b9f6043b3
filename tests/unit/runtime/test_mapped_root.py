"""A root and mounts that a container in a user namespace is shown with its own ids: who maps them, and what is said."""

from __future__ import annotations

import os
from typing import Any

import pytest

from lading.errors import KernelError, Unsupported
from lading.formats.oci_runtime import IDMapping, Linux, Mount, Namespace, Root, Spec, State
from lading.formats.rootfs import Rootfs
from lading.kernel import idmap, overlay
from lading.kernel.fake import FakeKernel
from lading.kernel.mounts import MOUNT_ATTR_IDMAP
from lading.runtime import join, rootfs, sources
from lading.runtime.job import Job
from lading.runtime.request import RunRequest

USERS = 77
ROWS = [IDMapping(container_id=0, host_id=700000, size=65536)]


def _job(kernel: FakeKernel, root: Rootfs | None, *mounts: Mount, own: bool = False) -> Job:
    linux = Linux(
        namespaces=[Namespace(type="mount"), Namespace(type="user", path="" if own else "/proc/9/ns/user")]
    )
    if own:
        linux.uid_mappings = linux.gid_mappings = ROWS
    spec = Spec(oci_version="1.2.0", root=Root(path="rootfs"), mounts=list(mounts), linux=linux)
    plan = join.plan(kernel, linux)
    state = State(oci_version="1.2.0", id="x", status="creating", bundle="/b")
    return Job(RunRequest("x", spec, "/b", rootfs=root), state, plan, None, "/b")  # type: ignore[arg-type]


def _kernel(**script: Any) -> FakeKernel:
    return FakeKernel({"namespace_type": join.FLAGS["user"], "open": USERS, **script})


def _mapped(kernel: FakeKernel) -> list[int]:
    return [
        dict(call[1:])["userns_fd"]
        for call in kernel.arguments("mount_setattr")
        if ("set_", MOUNT_ATTR_IDMAP) in call
    ]


def test_a_mapped_root_is_made_by_the_creator_with_the_joined_users() -> None:
    kernel = _kernel()
    job = _job(kernel, Rootfs(upper="/data/upper", mapped=True))
    sources.prepare(kernel, job)
    assert job.root_mount >= 0 and _mapped(kernel) == [USERS]


def test_a_root_that_is_not_mapped_is_made_by_the_creator_as_it_is() -> None:
    kernel = _kernel()
    job = _job(kernel, Rootfs(upper="/data/upper"))
    sources.prepare(kernel, job)
    assert job.root_mount >= 0 and _mapped(kernel) == []


def test_a_mapped_root_beside_a_new_user_namespace_has_that_ones_map(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(idmap, "user_namespace", lambda kernel, uids, gids: asked.append((uids, gids)) or 55)
    monkeypatch.setattr(sources.os, "close", lambda fd: asked.append(fd))
    kernel = _kernel()
    job = _job(kernel, Rootfs(upper="/data/upper", mapped=True), own=True)
    sources.prepare(kernel, job)
    assert asked == [([(0, 700000, 65536)], [(0, 700000, 65536)]), 55] and _mapped(kernel) == [55]


def test_sources_of_a_container_that_joins_users_are_opened_by_the_creator() -> None:
    """Root of the pod may not reach them: the directories above are the host's root's alone."""
    kernel = _kernel()
    plain = Mount(destination="/a", type="bind", source="/data/a", options=["rbind"])
    shown = Mount(destination="/b", type="bind", source="/data/b", options=["rbind", "ridmap"])
    job = _job(kernel, None, plain, shown)
    sources.prepare(kernel, job)
    assert set(job.sources) == {0, 1} and _mapped(kernel) == [USERS]


@pytest.mark.parametrize("errno", [1, 22])
def test_a_file_system_that_cannot_be_shown_so_is_named_and_nothing_stays_open(errno: int) -> None:
    kernel = _kernel(mount_setattr=KernelError("mount_setattr", errno))
    with pytest.raises(Unsupported, match="/data/upper") as caught:
        rootfs.make(kernel, Rootfs(upper="/data/upper", mapped=True), "", USERS)
    assert caught.value.reason == "idmap" and kernel.names("close") == ["close"]
    with pytest.raises(Unsupported, match=r"mount on /b: /data/b"):
        shown = Mount(destination="/b", type="bind", source="/data/b", options=["bind", "idmap"])
        sources.prepare(kernel, _job(kernel, None, shown))


def test_layers_are_covered_one_by_one_and_the_writable_ones_by_what_has_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[int] = []
    monkeypatch.setattr(overlay.os, "close", closed.append)
    kernel = FakeKernel()
    stack = overlay.Stack(["/l/2", "/l/1"], "/p/upper", "/p/work", users=USERS)
    made = overlay._covers(kernel, stack)
    assert [place for place, _ in made] == ["/l/2", "/l/1", "/p"] and closed == []
    assert _mapped(kernel) == [USERS] * 3
    failing = FakeKernel({"mount_setattr": [0, KernelError("mount_setattr", 22)]})
    with pytest.raises(Unsupported, match="layer /l/1"):
        overlay._covers(failing, stack)
    assert len(closed) == 2
    assert [place for place, _ in overlay._covers(FakeKernel(), overlay.Stack(["/l/1"], users=USERS))] == [
        "/l/1"
    ]


def test_no_process_to_stack_them_in_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError

    layer = os.open("/", os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(overlay.os, "fork", fork)
    with pytest.raises(BlockingIOError):
        overlay.mount_apart(FakeKernel({"open_tree": layer}), overlay.Stack(["/l/1"], users=USERS))
    assert len(os.listdir("/proc/self/fd")) == before - 1, "the layer's cover"


def test_who_acts_on_files_as_another_keeps_its_power() -> None:
    kernel = FakeKernel()
    idmap.act_as(kernel, 700000, 700001)
    assert kernel.names() == ["capget", "setfsids", "capset"]
    assert kernel.arguments("setfsids") == [(700000, 700001)]
    assert kernel.arguments("capset") == [((1 << 41) - 1,) * 3]
