"""Limits of a control group as properties of a systemd unit: systemd.resource-control(5), org.freedesktop.systemd1(5)."""

from __future__ import annotations

import pytest

from lading.formats.oci_runtime import Resources
from lading.kernel.devicerules import DeviceRule
from lading.runtime import limits
from lading.runtime.deviceaccess import device_rules
from lading.runtime.unitproperties import device_names, devices, properties

INFINITY = str(2**64 - 1)


def _told(resources: dict[str, object], version: int) -> list[list[str]]:
    decoded = Resources.decode(resources, where="resources")
    return properties(limits.settings(decoded, version, lambda controller, file: "bfq" not in file), version)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, []),
        ({"memory": {"limit": 33554432}}, [["MemoryMax", "t", "33554432"]]),
        ({"memory": {"limit": -1}}, [["MemorySwapMax", "t", INFINITY], ["MemoryMax", "t", INFINITY]]),
        (
            {"memory": {"limit": 4096, "swap": 12288, "reservation": 2048}},
            [["MemorySwapMax", "t", "8192"], ["MemoryMax", "t", "4096"], ["MemoryLow", "t", "2048"]],
        ),
        ({"pids": {"limit": 20}}, [["TasksMax", "t", "20"]]),
        ({"pids": {"limit": -1}}, [["TasksMax", "t", INFINITY]]),
        ({"cpu": {"shares": 1024}}, [["CPUWeight", "t", "100"]]),
        (
            {"cpu": {"quota": 50000}},
            [["CPUQuotaPeriodUSec", "t", "100000"], ["CPUQuotaPerSecUSec", "t", "500000"]],
        ),
        (
            {"cpu": {"quota": 10000, "period": 30000}},
            [["CPUQuotaPeriodUSec", "t", "30000"], ["CPUQuotaPerSecUSec", "t", "333334"]],
        ),
        (
            {"cpu": {"quota": -1}},
            [["CPUQuotaPeriodUSec", "t", "100000"], ["CPUQuotaPerSecUSec", "t", INFINITY]],
        ),
        ({"cpu": {"cpus": "0-2,9"}}, [["AllowedCPUs", "ay", "2", "7", "2"]]),
        ({"cpu": {"cpus": "0-99999999999"}}, []),
        ({"cpu": {"cpus": "x,1-"}}, []),
        ({"cpu": {"mems": "0"}}, [["AllowedMemoryNodes", "ay", "1", "1"]]),
        ({"blockIO": {"weight": 10}}, [["IOWeight", "t", "1"]]),
        (
            {
                "blockIO": {
                    "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
                    "throttleReadBpsDevice": [
                        {"major": 8, "minor": 0, "rate": 100},
                        {"major": 8, "minor": 16, "rate": 0},
                    ],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}],
                }
            },
            [
                ["IODeviceWeight", "a(st)", "1", "/dev/block/8:0", "10000"],
                ["IOReadBandwidthMax", "a(st)", "2", "/dev/block/8:0", "100", "/dev/block/8:16", INFINITY],
                ["IOWriteIOPSMax", "a(st)", "1", "/dev/block/8:0", "7"],
            ],
        ),
        (
            {"unified": {"memory.high": "64M", "memory.min": "1k", "cpu.weight": "7"}},
            [["MemoryHigh", "t", "67108864"], ["MemoryMin", "t", "1024"], ["CPUWeight", "t", "7"]],
        ),
        ({"unified": {"memory.swap.max": "max"}}, [["MemorySwapMax", "t", INFINITY]]),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, []),
    ],
)
def test_version_2(resources: dict[str, object], expected: list[list[str]]) -> None:
    assert _told(resources, 2) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 33554432}}, [["MemoryLimit", "t", "33554432"]]),
        ({"cpu": {"shares": 512}}, [["CPUShares", "t", "512"]]),
        (
            {"cpu": {"quota": 50000, "period": 200000}},
            [["CPUQuotaPeriodUSec", "t", "200000"], ["CPUQuotaPerSecUSec", "t", "250000"]],
        ),
        ({"cpu": {"quota": -1}}, [["CPUQuotaPerSecUSec", "t", INFINITY]]),
        ({"cpu": {"cpus": "0"}}, []),
        ({"blockIO": {"weight": 500}}, [["BlockIOWeight", "t", "500"]]),
        ({"pids": {"limit": 5}}, [["TasksMax", "t", "5"]]),
    ],
)
def test_version_1(resources: dict[str, object], expected: list[list[str]]) -> None:
    assert _told(resources, 1) == expected


NAMES = "Character devices:\n  1 mem\n136 pts\n136 twice\n226 drm\n\nBlock devices:\n  8 sd\n254 virtblk\n"


def test_names_of_majors() -> None:
    assert device_names(NAMES) == {
        ("c", 1): "mem",
        ("c", 136): "pts",
        ("c", 226): "drm",
        ("b", 8): "sd",
        ("b", 254): "virtblk",
    }


def test_what_every_container_may_use() -> None:
    strict, allowed = devices(device_rules(None), device_names(NAMES))
    assert strict == ["DevicePolicy", "s", "strict"]
    rows = dict(zip(allowed[3::2], allowed[4::2], strict=True))
    assert rows["char-*"] == rows["block-*"] == "m"
    assert rows["/dev/char/1:3"] == rows["char-pts"] == "rwm"
    assert int(allowed[2]) == len(rows) == 10


def test_rules_in_their_order() -> None:
    rules = [
        DeviceRule(True, "c", 9, 9, "r"),
        DeviceRule(False, "a"),
        DeviceRule(True, "b", 8, 0, "r"),
        DeviceRule(True, "b", 8, 0, "w"),
        DeviceRule(True, "c", 226, None, "rw"),
        DeviceRule(True, "c", 99, None, "rw"),  # nobody has that major
        DeviceRule(True, "c", 1, 3),
        DeviceRule(False, "c", 1, 3),
    ]
    assert devices(rules, device_names(NAMES))[1] == [
        "DeviceAllow", "a(ss)", "2", "/dev/block/8:0", "rw", "char-drm", "rw",
    ]  # fmt: skip


def test_all_devices() -> None:
    rules = device_rules(Resources.decode({"devices": [{"allow": True}]}, where="resources"))
    assert devices(rules, {}) == [["DevicePolicy", "s", "auto"]]
