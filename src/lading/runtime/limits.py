"""OCI ``linux.resources`` as the values that cgroup v1 and v2 files take, converted as runc converts them.

Pure functions: what they return is written by :meth:`lading.kernel.cgroups.Manager.apply`. Where the two
versions name or count a thing differently, the OCI field has v1's meaning and is converted for v2. What a
version cannot do is refused with the field's name.

Source: runtime-spec config-linux.md, "Control groups"; cgroup-v1/*.rst and cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.oci_runtime import CPU, BlockIO, Memory, Resources, ThrottleDevice
    from lading.kernel.cgroups import Setting

    Has = Callable[[str, str], bool]

_AT = "linux.resources"
_LEAST_SHARES, _MOST_SHARES = 2, 262144  # MIN_SHARES and MAX_SHARES of the kernel's scheduler


def settings(resources: Resources, version: int, has: Has) -> list[Setting]:
    """The files to write, in order, for ``version`` 1 or 2. ``has(controller, file)`` says whether a file
    exists.

    Raises :class:`InvalidInput` for contradictions and :class:`Unsupported` for what the version cannot do.
    """
    _check_hugepages(resources)
    return _v2(resources, has) if version == 2 else _v1(resources, has)


def controllers_for(resources: Resources | None) -> set[str]:
    """The controllers (v1's names) that ``resources`` needs."""
    needed: set[str] = set()
    if resources is None:
        return needed
    cpu = resources.cpu
    if cpu is not None:
        numbers = (cpu.shares, cpu.quota, cpu.period, cpu.realtime_runtime, cpu.realtime_period)
        if any(numbers) or cpu.burst is not None or cpu.idle is not None:
            needed.add("cpu")
        if cpu.cpus or cpu.mems:
            needed.add("cpuset")
    if resources.memory is not None:
        needed.add("memory")
    if resources.pids is not None and resources.pids.limit:
        needed.add("pids")
    if resources.block_io is not None:
        needed.add("blkio")
    if resources.hugepage_limits:
        needed.add("hugetlb")
    if resources.network is not None:
        if resources.network.class_id:
            needed.add("net_cls")
        if resources.network.priorities:
            needed.add("net_prio")
    if resources.rdma:
        needed.add("rdma")
    return needed


def asks_for_limits(resources: Resources | None) -> bool:
    """Whether anything but device rules is asked for."""
    return bool(resources and (controllers_for(resources) or resources.unified))


# -- cpu -----------------------------------------------------------------------------------------------


def cpu_weight(shares: int) -> int:
    """v1 ``cpu.shares`` (2 … 262144, default 1024) as v2 ``cpu.weight`` (1 … 10000, default 100).

    A quadratic through both ends and both defaults, as runc and crun use since 2025; the straight line they
    used before made a default container (1024) weigh 39 against 100 of everything else on the host.
    """
    if shares <= _LEAST_SHARES:
        return 1
    if shares >= _MOST_SHARES:
        return 10000
    from math import ceil, log2

    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def _cpu_v1(cpu: CPU, out: list[Setting]) -> None:
    if cpu.idle is not None:
        out.append(("cpu", "cpu.idle", str(cpu.idle)))
    if cpu.shares and not cpu.idle:  # an idle group has no shares to set (EINVAL)
        # The kernel would take the nearest one and say nothing.
        if not _LEAST_SHARES <= cpu.shares <= _MOST_SHARES:
            raise InvalidInput(
                f"{_AT}.cpu.shares: {cpu.shares} is not between {_LEAST_SHARES} and {_MOST_SHARES}"
            )
        out.append(("cpu", "cpu.shares", str(cpu.shares)))
    if cpu.realtime_period:
        out.append(("cpu", "cpu.rt_period_us", str(cpu.realtime_period)))
    if cpu.realtime_runtime:
        out.append(("cpu", "cpu.rt_runtime_us", str(cpu.realtime_runtime)))
    if cpu.burst is not None:
        out.append(("cpu", "cpu.cfs_burst_us", str(cpu.burst)))
    if cpu.period:
        out.append(("cpu", "cpu.cfs_period_us", str(cpu.period)))
    if cpu.quota:
        out.append(("cpu", "cpu.cfs_quota_us", str(cpu.quota)))
    if cpu.cpus:
        out.append(("cpuset", "cpuset.cpus", cpu.cpus))
    if cpu.mems:
        out.append(("cpuset", "cpuset.mems", cpu.mems))


def _cpu_v2(cpu: CPU, out: list[Setting]) -> None:
    for name, value in (("realtimeRuntime", cpu.realtime_runtime), ("realtimePeriod", cpu.realtime_period)):
        if value:
            raise Unsupported(f"{_AT}.cpu.{name}: cgroup v2 has no limit of realtime scheduling")
    if cpu.idle is not None:
        out.append(("cpu", "cpu.idle", str(cpu.idle)))
    if cpu.shares and not cpu.idle:  # an idle group has no weight to set
        out.append(("cpu", "cpu.weight", str(cpu_weight(cpu.shares))))
    if cpu.burst is not None:
        out.append(("cpu", "cpu.max.burst", str(cpu.burst)))
    if cpu.quota or cpu.period:
        quota = str(cpu.quota) if cpu.quota and cpu.quota > 0 else "max"
        out.append(("cpu", "cpu.max", f"{quota} {cpu.period or 100000}"))
    if cpu.cpus:
        out.append(("cpuset", "cpuset.cpus", cpu.cpus))
    if cpu.mems:
        out.append(("cpuset", "cpuset.mems", cpu.mems))


# -- memory --------------------------------------------------------------------------------------------


def _memory_bounds(memory: Memory) -> tuple[int, int]:
    """Limit and memory+swap limit, 0 for "not given", -1 for "none"."""
    limit, swap = memory.limit or 0, memory.swap or 0
    for name, value in (("limit", limit), ("swap", swap), ("reservation", memory.reservation or 0)):
        if value < -1:
            raise InvalidInput(f"{_AT}.memory.{name}: {value} is neither a size nor -1")
    if limit == -1 and swap == 0:
        swap = -1  # no memory limit makes a limit of memory+swap meaningless
    if swap > 0:
        if limit <= 0:
            raise InvalidInput(
                f"{_AT}.memory.swap: it limits memory and swap together and needs memory.limit"
            )
        if swap < limit:
            raise InvalidInput(
                f"{_AT}.memory.swap: {swap} is less than memory.limit {limit}, which it includes"
            )
    return limit, swap


def _memory_v1(memory: Memory, out: list[Setting]) -> None:
    limit, swap = _memory_bounds(memory)
    if limit:
        out.append(("memory", "memory.limit_in_bytes", str(limit)))
    if swap:
        out.append(("memory", "memory.memsw.limit_in_bytes", str(swap)))
    if memory.reservation:
        out.append(("memory", "memory.soft_limit_in_bytes", str(memory.reservation)))
    if memory.kernel:
        out.append(("memory", "memory.kmem.limit_in_bytes", str(memory.kernel)))
    if memory.kernel_tcp:
        out.append(("memory", "memory.kmem.tcp.limit_in_bytes", str(memory.kernel_tcp)))
    if memory.swappiness is not None:
        _check_swappiness(memory.swappiness)
        out.append(("memory", "memory.swappiness", str(memory.swappiness)))
    if memory.disable_oom_killer:
        out.append(("memory", "memory.oom_control", "1"))
    if memory.use_hierarchy is False:
        raise Unsupported(f"{_AT}.memory.useHierarchy: Linux always accounts hierarchically since 5.11")


def _memory_v2(memory: Memory, has: Has, out: list[Setting]) -> None:
    limit, swap = _memory_bounds(memory)
    for name, value in (("kernel", memory.kernel), ("kernelTCP", memory.kernel_tcp)):
        if value and value > 0:
            raise Unsupported(
                f"{_AT}.memory.{name}: cgroup v2 limits kernel memory together with memory.limit"
            )
    if memory.swappiness is not None:
        _check_swappiness(memory.swappiness)
        raise Unsupported(f"{_AT}.memory.swappiness: cgroup v2 has no swappiness of a group")
    if memory.disable_oom_killer:
        raise Unsupported(f"{_AT}.memory.disableOOMKiller: cgroup v2 has no switch for the OOM killer")
    if swap:
        above = "max" if swap < 0 else str(swap - limit)
        # A kernel without swap accounting has no file; then nothing can be swapped, or nothing can be
        # limited.
        if above not in ("0", "max") or has("memory", "memory.swap.max"):
            out.append(("memory", "memory.swap.max", above))
    if limit:
        out.append(("memory", "memory.max", "max" if limit < 0 else str(limit)))
    if memory.reservation:
        low = memory.reservation
        out.append(("memory", "memory.low", "max" if low < 0 else str(low)))


def _check_swappiness(value: int) -> None:
    if not 0 <= value <= 100:
        raise InvalidInput(f"{_AT}.memory.swappiness: {value} is not between 0 and 100")


# -- block devices -------------------------------------------------------------------------------------


def io_weight(weight: int) -> int:
    """v1 ``blkio.weight`` (10 … 1000) as v2 ``io.weight`` (1 … 10000)."""
    return 1 + (weight - 10) * 9999 // 990


def _throttles(io: BlockIO) -> list[tuple[str, str, list[ThrottleDevice]]]:
    return [
        ("read_bps", "rbps", io.throttle_read_bps_device),
        ("write_bps", "wbps", io.throttle_write_bps_device),
        ("read_iops", "riops", io.throttle_read_iops_device),
        ("write_iops", "wiops", io.throttle_write_iops_device),
    ]


def _check_weight(value: int | None, field: str) -> None:
    if value and not 10 <= value <= 1000:
        raise InvalidInput(f"{_AT}.blockIO.{field}: {value} is not between 10 and 1000")


def _block_v1(io: BlockIO, has: Has, out: list[Setting]) -> None:
    _check_weight(io.weight, "weight")
    _check_weight(io.leaf_weight, "leafWeight")
    stem = "blkio.weight" if has("blkio", "blkio.weight") else "blkio.bfq.weight"
    if io.weight:
        out.append(("blkio", stem, str(io.weight)))
    if io.leaf_weight:
        out.append(("blkio", "blkio.leaf_weight", str(io.leaf_weight)))
    for device in io.weight_device:
        number = f"{device.major}:{device.minor}"
        if device.weight:
            _check_weight(device.weight, "weightDevice.weight")
            out.append(("blkio", stem + "_device", f"{number} {device.weight}"))
        if device.leaf_weight:
            out.append(("blkio", "blkio.leaf_weight_device", f"{number} {device.leaf_weight}"))
    for name, _, devices in _throttles(io):
        for throttle in devices:
            line = f"{throttle.major}:{throttle.minor} {throttle.rate}"
            out.append(("blkio", f"blkio.throttle.{name}_device", line))


def _block_v2(io: BlockIO, has: Has, out: list[Setting]) -> None:
    _check_weight(io.weight, "weight")
    if io.leaf_weight or any(d.leaf_weight for d in io.weight_device):
        raise Unsupported(f"{_AT}.blockIO.leafWeight: cgroup v2 has no weight of a group's own processes")
    bfq = has("io", "io.bfq.weight")
    if io.weight:
        if bfq:
            out.append(("io", "io.bfq.weight", str(io.weight)))
        else:
            out.append(("io", "io.weight", f"default {io_weight(io.weight)}"))
    for device in io.weight_device:
        if device.weight:
            _check_weight(device.weight, "weightDevice.weight")
            number = f"{device.major}:{device.minor}"
            if bfq:
                out.append(("io", "io.bfq.weight", f"{number} {device.weight}"))
            else:
                out.append(("io", "io.weight", f"{number} {io_weight(device.weight)}"))
    for _, name, devices in _throttles(io):
        for throttle in devices:
            rate = str(throttle.rate or "max")
            out.append(("io", "io.max", f"{throttle.major}:{throttle.minor} {name}={rate}"))


# -- the whole -----------------------------------------------------------------------------------------


def _check_hugepages(resources: Resources) -> None:
    for limit in resources.hugepage_limits:
        size = limit.page_size
        if not (size[-2:] in ("KB", "MB", "GB") and size[:-2].isdigit()):
            raise InvalidInput(f"{_AT}.hugepageLimits: page size {size!r} is not like 2MB or 1GB")


def _huge(prefix: str, name: str, limit: int, has: Has, out: list[Setting]) -> None:
    out.append(("hugetlb", prefix + name, str(limit)))
    # Reserved pages too (Linux 5.7), or a mapping gets past the limit and is killed when it is touched.
    if has("hugetlb", f"{prefix}rsvd.{name}"):
        out.append(("hugetlb", f"{prefix}rsvd.{name}", str(limit)))


def _v1(resources: Resources, has: Has) -> list[Setting]:
    out: list[Setting] = []
    if resources.unified:
        raise Unsupported(
            f"invalid configuration: {_AT}.unified: this machine has cgroup v1; the field is for cgroup v2"
        )
    if resources.cpu is not None:
        _cpu_v1(resources.cpu, out)
    if resources.memory is not None:
        _memory_v1(resources.memory, out)
    _pids(resources, out)
    if resources.block_io is not None:
        _block_v1(resources.block_io, has, out)
    for huge in resources.hugepage_limits:
        prefix, name = f"hugetlb.{huge.page_size}.", "limit_in_bytes"
        if has("hugetlb", prefix + "max") and not has("hugetlb", prefix + name):
            name = "max"  # hybrid: the controller lives in the v2 tree
        _huge(prefix, name, huge.limit, has, out)
    if resources.network is not None:
        if resources.network.class_id:
            out.append(("net_cls", "net_cls.classid", str(resources.network.class_id)))
        for priority in resources.network.priorities:
            out.append(("net_prio", "net_prio.ifpriomap", f"{priority.name} {priority.priority}"))
    _rdma(resources, out)
    return out


def _v2(resources: Resources, has: Has) -> list[Setting]:
    out: list[Setting] = []
    if resources.cpu is not None:
        _cpu_v2(resources.cpu, out)
    if resources.memory is not None:
        _memory_v2(resources.memory, has, out)
    _pids(resources, out)
    if resources.block_io is not None:
        _block_v2(resources.block_io, has, out)
    for huge in resources.hugepage_limits:
        _huge(f"hugetlb.{huge.page_size}.", "max", huge.limit, has, out)
    network = resources.network
    if network is not None and (network.class_id or network.priorities):
        field = "classID" if network.class_id else "priorities"
        raise Unsupported(f"{_AT}.network.{field}: cgroup v2 has no network controllers")
    _rdma(resources, out)
    for key, value in resources.unified.items():
        controller, dot, _ = key.partition(".")
        if not dot or "/" in key or key.startswith("."):
            raise InvalidInput(f"{_AT}.unified: {key!r} is not the name of a cgroup file")
        if controller == "cgroup":
            raise Unsupported(f"{_AT}.unified.{key}: the files of the group itself belong to the runtime")
        out += [(controller, key, line) for line in value.splitlines() or [value]]
    return out


def _pids(resources: Resources, out: list[Setting]) -> None:
    if resources.pids is not None and resources.pids.limit:
        limit = resources.pids.limit
        out.append(("pids", "pids.max", "max" if limit < 0 else str(limit)))


def _rdma(resources: Resources, out: list[Setting]) -> None:
    for device, rdma in resources.rdma.items():
        words = [device]
        if rdma.hca_handles is not None:
            words.append(f"hca_handle={rdma.hca_handles}")
        if rdma.hca_objects is not None:
            words.append(f"hca_object={rdma.hca_objects}")
        out.append(("rdma", "rdma.max", " ".join(words)))
