"""Resource limits of runtime-spec that few containers have (config-linux.md: pids, blockIO, hugepages, network, rdma)."""

from __future__ import annotations

from lading.formats.schema import Record


class Pids(Record):
    _keep_empty = ("limit",)
    limit: int | None = None


class WeightDevice(Record):
    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


class ThrottleDevice(Record):
    major: int
    minor: int
    rate: int


class BlockIO(Record):
    _wire = {
        "throttle_read_iops_device": "throttleReadIOPSDevice",
        "throttle_write_iops_device": "throttleWriteIOPSDevice",
    }
    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: list[WeightDevice] = []
    throttle_read_bps_device: list[ThrottleDevice] = []
    throttle_write_bps_device: list[ThrottleDevice] = []
    throttle_read_iops_device: list[ThrottleDevice] = []
    throttle_write_iops_device: list[ThrottleDevice] = []


class HugepageLimit(Record):
    _keep_empty = ("limit",)
    page_size: str
    limit: int


class InterfacePriority(Record):
    name: str
    priority: int


class NetworkResources(Record):
    _wire = {"class_id": "classID"}
    class_id: int | None = None
    priorities: list[InterfacePriority] = []


class Rdma(Record):
    hca_handles: int | None = None
    hca_objects: int | None = None
