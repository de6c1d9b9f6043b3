"""Which of the three ways a machine mounts its control groups, told from mountinfo alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from lading.errors import Unsupported
from lading.kernel.cgroups import detect, manager

V1 = """\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
"""
V2_BESIDE = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def layout_of(tmp_path: Path, mountinfo: str, own: str = "0::/user.slice/a.scope\n") -> str:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("22 1 0:1 / / rw - ext4 /dev/vda rw\n" + mountinfo)
    (tmp_path / "self/cgroup").write_text(own)
    return str(tmp_path)


@pytest.mark.parametrize(("mountinfo", "mode"), [(V1, "v1"), (V1 + V2_BESIDE, "hybrid"), (V2, "v2")])
def test_the_mode_follows_from_what_is_mounted(tmp_path: Path, mountinfo: str, mode: str) -> None:
    assert detect(layout_of(tmp_path, mountinfo)).mode == mode


def test_a_v2_tree_beside_named_hierarchies_only_is_pure_v2(tmp_path: Path) -> None:
    named = "40 31 0:37 / /sys/fs/cgroup/elogind rw - cgroup cgroup rw,name=elogind\n"
    assert detect(layout_of(tmp_path, named + V2)).mode == "v2"


def test_no_control_groups_at_all_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        detect(layout_of(tmp_path, ""))
    assert caught.value.reason == "no-cgroups"


def test_controllers_mounted_together_share_a_directory(tmp_path: Path) -> None:
    layout = detect(layout_of(tmp_path, V1))
    group = manager("/lading/a", layout)
    assert group.directories()["cpu"] == "/sys/fs/cgroup/cpu,cpuacct/lading/a"
    assert group.directories()["cpu"] == group.directories()["cpuacct"]
    assert group.directories()["memory"] == "/sys/fs/cgroup/memory/lading/a"


def test_only_the_controllers_asked_for_get_a_directory(tmp_path: Path) -> None:
    layout = detect(layout_of(tmp_path, V1))
    assert set(manager("/lading/a", layout, ("memory", "pids")).directories()) == {"memory"}


def test_inside_a_container_the_mounted_root_is_cut_off_the_path(tmp_path: Path) -> None:
    inside = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    layout = detect(layout_of(tmp_path, inside))
    assert layout.v1["memory"].directory("/docker/abc/x") == "/sys/fs/cgroup/memory/x"
    assert layout.v1["memory"].directory("/lading/x") == "/sys/fs/cgroup/memory/lading/x"


def test_own_group_of_each_controller(tmp_path: Path) -> None:
    root = layout_of(tmp_path, V1, "3:cpu,cpuacct:/a\n2:name=systemd:/b:c\n0::/d\n")
    layout = detect(root)
    assert (layout.own("cpuacct"), layout.own("name=systemd"), layout.own(), layout.own("pids")) == (
        "/a",
        "/b:c",
        "/d",
        "/",
    )


@pytest.mark.parametrize("path", ["/", "relative", "/a/../../b", ""])
def test_the_root_group_and_ways_out_are_no_group_to_manage(tmp_path: Path, path: str) -> None:
    layout = detect(layout_of(tmp_path, V2))
    with pytest.raises(ValueError):
        manager(path, layout)
