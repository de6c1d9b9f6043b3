"""What of runtime-spec few containers ask for: hooks, scheduling, time offsets, network devices, Intel RDT.

Source: config.md (hooks), config-linux.md.
"""

from __future__ import annotations

from lading.formats.schema import Record


class Scheduler(Record):
    policy: str
    nice: int = 0
    priority: int = 0
    flags: list[str] = []
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class IOPriority(Record):
    class_: str
    priority: int = 0


class ExecCPUAffinity(Record):
    initial: str = ""
    final: str = ""


class Hook(Record):
    path: str
    args: list[str] = []
    env: list[str] = []
    timeout: int | None = None


class Hooks(Record):
    prestart: list[Hook] = []
    create_runtime: list[Hook] = []
    create_container: list[Hook] = []
    start_container: list[Hook] = []
    poststart: list[Hook] = []
    poststop: list[Hook] = []


class TimeOffset(Record):
    secs: int = 0
    nanosecs: int = 0


class NetDevice(Record):
    name: str = ""


class IntelRdt(Record):
    _wire = {"clos_id": "closID", "enable_cmt": "enableCMT", "enable_mbm": "enableMBM"}
    clos_id: str = ""
    schemata: list[str] = []
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_monitoring: bool = False
    enable_cmt: bool = False
    enable_mbm: bool = False


class Personality(Record):
    domain: str
    flags: list[str] = []


class MemoryPolicy(Record):
    mode: str
    nodes: str = ""
    flags: list[str] = []
