"""The v2 manager on a tree of plain files: what it writes, in which order, and how it fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.errors import Conflict, KernelError, NotFound, Unsupported
from lading.kernel.cgroups import v2
from lading.kernel.cgroups.layout import Hierarchy, Layout
from lading.kernel.cgroups.v2 import ManagerV2


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    return tmp_path


def group(top: Path, path: str = "/lading/a", controllers: tuple[str, ...] | None = None) -> ManagerV2:
    return ManagerV2(path, Layout("v2", {}, Hierarchy(str(top), "/", ())), controllers)


def test_creating_hands_missing_controllers_down_from_the_root(top: Path) -> None:
    group(top).create()
    assert (top / "cgroup.subtree_control").read_text() == "+cpu +pids"
    assert (top / "lading/a").is_dir()


def test_only_the_controllers_asked_for_are_handed_down(top: Path) -> None:
    (top / "cgroup.subtree_control").write_text("")
    group(top, controllers=("pids",)).create()
    assert (top / "cgroup.subtree_control").read_text() == "+pids"


def test_a_group_with_processes_is_refused(top: Path) -> None:
    (top / "lading/a/below").mkdir(parents=True)
    (top / "lading/a/cgroup.procs").write_text("")
    (top / "lading/a/below/cgroup.procs").write_text("77\n")
    with pytest.raises(Conflict) as caught:
        group(top).create()
    assert caught.value.reason == "cgroup-in-use"
    assert "77" in caught.value.message


def test_a_frozen_group_is_refused_and_an_empty_thawed_one_is_taken(top: Path) -> None:
    (top / "lading/a").mkdir(parents=True)
    freeze = top / "lading/a/cgroup.freeze"
    freeze.write_text("1\n")
    with pytest.raises(Conflict) as caught:
        group(top).create()
    assert caught.value.reason == "cgroup-frozen"
    freeze.write_text("0\n")
    group(top).create()


def test_a_limit_whose_controller_is_missing_names_controller_and_remedy(top: Path) -> None:
    made = group(top)
    made.create()
    (top / "lading/a/cgroup.controllers").write_text("memory\n")
    with pytest.raises(Unsupported) as caught:
        made.apply([("io", "io.max", "8:0 rbps=1")])
    assert caught.value.reason == "no-controller"
    assert "'+io'" in str(caught.value)


def test_a_larger_burst_waits_for_the_larger_quota(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, quota, written = group(top), [10], []

    def write(path: str, value: str) -> None:
        if path.endswith("burst") and int(value) > quota[0]:
            raise KernelError("writing", 22)
        if path.endswith("cpu.max"):
            quota[0] = int(value.split()[0])
        written.append(value)

    monkeypatch.setattr(v2.files, "write", write)
    made.apply([("cpu", "cpu.max.burst", "20"), ("cpu", "cpu.max", "50 100")])
    assert written == ["50 100", "20"]
    with pytest.raises(KernelError):
        made.apply([("cpu", "cpu.max.burst", "99")])


def test_pids_are_collected_from_the_groups_below(top: Path) -> None:
    for name, text in (("", "5\n"), ("/x", "3\n9\n"), ("/x/y", "4\n")):
        (top / f"lading/a{name}").mkdir(parents=True, exist_ok=True)
        (top / f"lading/a{name}/cgroup.procs").write_text(text)
    assert group(top).pids() == [3, 4, 5, 9]
    assert group(top).pids(recursive=False) == [5]


def test_freezing_waits_for_the_event_and_thawing_for_its_end(top: Path) -> None:
    directory = top / "lading/a"
    directory.mkdir(parents=True)
    for name in ("cgroup.freeze", "cgroup.procs"):
        (directory / name).write_text("0\n")
    (directory / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    made = group(top)
    made.freeze()
    assert made.frozen()
    (directory / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    made.thaw()
    assert (directory / "cgroup.freeze").read_text().startswith("0")
    assert not made.populated()
    made.wait_empty(0.1)


def test_a_missing_group_has_no_processes_and_deletes_without_error(top: Path) -> None:
    made = group(top)
    assert made.pids() == []
    made.delete()
    with pytest.raises(NotFound):
        made.read("", "memory.max")


def test_numbers_are_read_in_one_shape_with_times_in_nanoseconds(top: Path) -> None:
    directory = top / "lading/a"
    directory.mkdir(parents=True)
    files = {
        "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 4\n",
        "memory.current": "1000\n",
        "memory.max": "max\n",
        "memory.swap.current": "24\n",
        "memory.swap.max": "0\n",
        "memory.stat": "file 300\ninactive_file 200\n",
        "memory.events": "oom 1\noom_kill 2\nmax 9\n",
        "pids.current": "3\n",
        "pids.max": "max\n",
        "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
        "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.25 total=99\n",
        "hugetlb.2MB.current": "0\n",
        "hugetlb.2MB.events": "max 1\n",
    }
    for name, text in files.items():
        (directory / name).write_text(text)
    stats = group(top).stats()
    assert (stats.cpu.total, stats.cpu.throttled_time) == (5000, 4000)
    assert (stats.memory.usage, stats.memory.limit, stats.memory.working_set) == (1000, -1, 800)
    assert (stats.memory.swap_usage, stats.memory.oom_kills) == (1024, 2)
    assert (stats.pids, stats.pids_limit) == (3, -1)
    assert [(e.op, e.value) for e in stats.io_bytes] == [("Read", 10), ("Write", 20), ("Discard", 0)]
    assert stats.pressure["cpu"]["some"].avg10 == 1.5
    assert stats.hugetlb["2MB"].failcnt == 1


def test_a_process_of_an_outer_pid_namespace_is_not_taken_for_our_own_group(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel lists it as 0, which is everybody around the caller for kill(2)."""
    (top / "lading/a").mkdir(parents=True)
    (top / "lading/a/cgroup.procs").write_text("0\n77\n")
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, signal: killed.append(pid))
    monkeypatch.setattr(ManagerV2, "freeze", lambda self, timeout=0.0: None)
    monkeypatch.setattr(ManagerV2, "thaw", lambda self: None)
    group(top).kill()
    assert set(killed) == {77}
