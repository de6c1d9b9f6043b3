"""OCI resources as cgroup values: runc's conversions, and refusals that name the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.oci_runtime import Resources
from lading.kernel.cgroups.layout import Hierarchy, Layout
from lading.kernel.cgroups.v2 import ManagerV2
from lading.runtime import deviceaccess, limits
from lading.runtime.resources import CgroupHandle


def settings(version: int, files: tuple[str, ...] = (), **resources: object) -> dict[str, str]:
    decoded = Resources.decode(resources)
    return {name: value for _, name, value in limits.settings(decoded, version, lambda c, f: f in files)}


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 1), (2, 1), (1024, 100), (262144, 10000), (10**6, 10000), (512, 59), (2048, 174)],
)
def test_shares_become_weights_through_both_defaults(shares: int, weight: int) -> None:
    assert limits.cpu_weight(shares) == weight


def test_cpu_on_v1_and_v2() -> None:
    cpu = {"shares": 1024, "quota": 50000, "period": 100000, "burst": 1000, "cpus": "0-1", "mems": "0"}
    assert settings(1, cpu=cpu) == {
        "cpu.shares": "1024",
        "cpu.cfs_burst_us": "1000",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
    }
    assert settings(2, cpu=cpu) == {
        "cpu.weight": "100",
        "cpu.max.burst": "1000",
        "cpu.max": "50000 100000",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
    }
    for clamped in (1, 262145):
        with pytest.raises(InvalidInput, match=r"cpu\.shares"):
            settings(1, cpu={"shares": clamped})
    assert settings(2, cpu={"quota": -1})["cpu.max"] == "max 100000"
    assert settings(2, cpu={"period": 20000})["cpu.max"] == "max 20000"
    assert settings(2, cpu={"idle": 1, "shares": 5}) == {"cpu.idle": "1"}


def test_an_idle_group_is_woken_before_it_gets_shares_and_has_none_while_idle() -> None:
    for version, name in ((1, "cpu.shares"), (2, "cpu.weight")):
        assert list(settings(version, cpu={"idle": 0, "shares": 1024})) == ["cpu.idle", name]
        assert settings(version, cpu={"idle": 1, "shares": 1024}) == {"cpu.idle": "1"}


@pytest.mark.parametrize("cpu", [{"idle": 0}, {"burst": 0}])
def test_a_zero_that_is_written_needs_its_controller_too(cpu: dict[str, int]) -> None:
    assert limits.controllers_for(Resources.decode({"cpu": cpu})) == {"cpu"}


@pytest.mark.parametrize(("version", "name"), [(1, "limit_in_bytes"), (1, "max"), (2, "max")])
def test_reserved_huge_pages_are_limited_as_well(version: int, name: str) -> None:
    files = (f"hugetlb.2MB.{name}", f"hugetlb.2MB.rsvd.{name}")
    huge = [{"pageSize": "2MB", "limit": 9}]
    assert settings(version, files, hugepageLimits=huge) == dict.fromkeys(files, "9")


@pytest.mark.parametrize(
    ("present", "asked", "written"),
    [
        ("50000 100000", {"period": 20000}, "50000 20000"),
        ("50000 20000", {"quota": 10000}, "10000 20000"),
        ("50000 20000", {"quota": -1}, "max 20000"),
        ("max 100000", {"period": 20000}, "max 20000"),
    ],
)
def test_an_update_of_the_period_keeps_the_quota_and_the_other_way_round(
    tmp_path: Path, present: str, asked: dict[str, int], written: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/cpu.max").write_text(present)
    group = ManagerV2("/a", Layout("v2", {}, Hierarchy(str(tmp_path), "/", ())))
    CgroupHandle(group, path="/a").update(Resources.decode({"cpu": asked}))
    assert (tmp_path / "a/cpu.max").read_text()[: len(written)] == written


def test_swap_is_memory_plus_swap_in_oci_and_swap_alone_in_v2() -> None:
    memory = {"limit": 100, "swap": 150, "reservation": 50}
    assert settings(1, memory=memory) == {
        "memory.limit_in_bytes": "100",
        "memory.memsw.limit_in_bytes": "150",
        "memory.soft_limit_in_bytes": "50",
    }
    assert settings(2, memory=memory) == {"memory.swap.max": "50", "memory.max": "100", "memory.low": "50"}
    assert settings(2, memory={"limit": -1}, files=("memory.swap.max",)) == {
        "memory.swap.max": "max",
        "memory.max": "max",
    }


def test_no_swap_can_be_asked_for_on_a_kernel_that_has_no_swap_accounting() -> None:
    assert settings(2, memory={"limit": 100, "swap": 100}) == {"memory.max": "100"}
    assert (
        settings(2, memory={"limit": 100, "swap": 100}, files=("memory.swap.max",))["memory.swap.max"] == "0"
    )


def test_pids_and_block_devices_and_huge_pages() -> None:
    assert settings(1, pids={"limit": -1}) == {"pids.max": "max"}
    assert settings(2, pids={"limit": 7}) == {"pids.max": "7"}
    assert settings(2, pids={"limit": 0}) == {}
    io = {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}]}
    assert settings(2, blockIO=io) == {"io.weight": "default 4950", "io.max": "8:0 rbps=1024"}
    assert settings(2, blockIO=io, files=("io.bfq.weight",))["io.bfq.weight"] == "500"
    assert settings(1, blockIO=io, files=("blkio.weight",)) == {
        "blkio.weight": "500",
        "blkio.throttle.read_bps_device": "8:0 1024",
    }
    huge = [{"pageSize": "2MB", "limit": 4194304}]
    assert settings(1, hugepageLimits=huge) == {"hugetlb.2MB.limit_in_bytes": "4194304"}
    assert set(settings(2, hugepageLimits=huge, files=("hugetlb.2MB.rsvd.max",))) == {
        "hugetlb.2MB.max",
        "hugetlb.2MB.rsvd.max",
    }


def test_unified_comes_last_and_only_on_v2() -> None:
    got = limits.settings(
        Resources.decode({"memory": {"limit": 9}, "unified": {"memory.max": "5", "cpu.idle": "1"}}),
        2,
        lambda c, f: False,
    )
    assert got == [("memory", "memory.max", "9"), ("memory", "memory.max", "5"), ("cpu", "cpu.idle", "1")]


@pytest.mark.parametrize(
    ("version", "resources", "kind", "field"),
    [
        (1, {"unified": {"memory.max": "1"}}, Unsupported, "unified"),
        (2, {"unified": {"../memory.max": "1"}}, InvalidInput, "unified"),
        (2, {"unified": {"cgroup.procs": "1"}}, Unsupported, "unified.cgroup.procs"),
        (2, {"memory": {"swappiness": 10}}, Unsupported, "memory.swappiness"),
        (1, {"memory": {"swappiness": 101}}, InvalidInput, "memory.swappiness"),
        (2, {"memory": {"disableOOMKiller": True}}, Unsupported, "memory.disableOOMKiller"),
        (2, {"memory": {"kernel": 5}}, Unsupported, "memory.kernel"),
        (2, {"memory": {"swap": 5}}, InvalidInput, "memory.swap"),
        (1, {"memory": {"limit": 10, "swap": 5}}, InvalidInput, "memory.swap"),
        (1, {"memory": {"limit": -2}}, InvalidInput, "memory.limit"),
        (2, {"cpu": {"realtimeRuntime": 5}}, Unsupported, "cpu.realtimeRuntime"),
        (1, {"blockIO": {"weight": 5}}, InvalidInput, "blockIO.weight"),
        (2, {"blockIO": {"leafWeight": 50}}, Unsupported, "blockIO.leafWeight"),
        (2, {"network": {"classID": 5}}, Unsupported, "network.classID"),
        (1, {"hugepageLimits": [{"pageSize": "2 megs", "limit": 1}]}, InvalidInput, "hugepageLimits"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(
    version: int, resources: dict[str, object], kind: type[LadingError], field: str
) -> None:
    with pytest.raises(kind) as caught:
        settings(version, **resources)
    assert f"linux.resources.{field}" in caught.value.message


def test_every_container_may_use_the_default_devices_and_nothing_else() -> None:
    from lading.kernel.devicerules import effective

    everything, exceptions = effective(deviceaccess.device_rules(None))
    lines = {e.line() for e in exceptions}
    assert not everything
    assert {"c 1:3 rwm", "c *:* m", "c 136:* rwm"} <= lines
    assert "b 8:0 rwm" not in lines


def test_only_the_controllers_that_limits_need_are_named() -> None:
    assert limits.controllers_for(Resources.decode({"cpu": {"cpus": "0"}, "pids": {"limit": 3}})) == {
        "cpuset",
        "pids",
    }
    assert not limits.asks_for_limits(Resources.decode({"devices": [{"allow": False}]}))
