"""A container's limits as the cgroup values of runtime-spec. Pure.

Sources: docs.docker.com "Resource constraints"; kubernetes.io "Resource Management for Pods and Containers"
(CPU: 1024 shares and 100 ms of quota each 100 ms a core).
"""

from __future__ import annotations

from lading.errors import Unsupported
from lading.formats.oci_runtime import (
    CPU,
    DeviceCgroup,
    Memory,
    Resources,
    Rlimit,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container

PERIOD = 100_000
#: The kernel's least weight of a group (v1); v2's is computed from it.
LEAST_SHARES = 2
#: No limit, as RLIM_INFINITY.
UNLIMITED = 2**64 - 1
#: (type, major, minor, access) that every container may use; the nodes themselves are made by the runtime.
_DEVICES = (
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),
    ("c", 1, 5, "rwm"),
    ("c", 1, 7, "rwm"),
    ("c", 1, 8, "rwm"),
    ("c", 1, 9, "rwm"),
    ("c", 5, 0, "rwm"),
    ("c", 5, 2, "rwm"),
    ("c", 136, None, "rwm"),
)


def device_rules(*, privileged: bool) -> list[DeviceCgroup]:
    """The device filter: everything for a privileged container, else nothing but the harmless few."""
    if privileged:
        return [DeviceCgroup(allow=True, access="rwm")]
    rules = [DeviceCgroup(allow=False, access="rwm")]
    for kind, major, minor, access in _DEVICES:
        rules.append(DeviceCgroup(allow=True, type=kind, major=major, minor=minor, access=access))
    return rules


def parse_device_rule(rule: str) -> DeviceCgroup:
    """``c 1:3 rwm`` of ``--device-cgroup-rule``, checked before it got here."""
    kind, numbers, access = rule.split()
    major, _, minor = numbers.partition(":")
    return DeviceCgroup(
        allow=True,
        type=kind,
        major=None if major == "*" else int(major),
        minor=None if minor == "*" else int(minor),
        access=access,
    )


def resources(container: Container, *, swap_accounting: bool = False, weighed: bool = False) -> Resources:
    """Cgroup values without the device filter. ``swap_accounting``: the kernel can limit memory plus swap.

    ``weighed``: others of its pod ask for CPU, and who asks for none gets the least weight, as the kubelet gives it; else one
    that asks for a tenth would come after those that ask for nothing. A limit of 0 is none.
    """
    made = Resources()
    extras = container.extras
    given = container.resources
    cpu = CPU(cpus=extras.cpuset_cpus, mems=extras.cpuset_mems)
    memory = Memory(reservation=extras.memory_reservation, swappiness=extras.memory_swappiness)
    if given is not None:
        from lading.formats import quantity

        limits, requests = given.limits, given.requests
        for name in [*limits, *requests]:
            if name not in ("cpu", "memory", "ephemeral-storage"):
                raise Unsupported(f"container {container.name}: resource {name} is not supported")
        cores = quantity.nanos(limits.get("cpu", 0))
        if cores:
            # Nanocores: --cpus 0.01 is finer than a millicore.
            cpu.period = PERIOD
            cpu.quota = max(1000, cores * PERIOD // 10**9)
        wanted = requests.get("cpu")
        if wanted is not None:
            cpu.shares = max(LEAST_SHARES, quantity.millis(wanted) * 1024 // 1000)
        bytes_ = quantity.units(limits.get("memory", 0))
        if bytes_:
            memory.limit = bytes_
            if swap_accounting:
                # Docker's habit where nothing is said: as much swap again.
                memory.swap = extras.memory_swap if extras.memory_swap else 2 * memory.limit
            elif extras.memory_swap:
                memory.swap = extras.memory_swap
    if weighed and cpu.shares is None:
        cpu.shares = LEAST_SHARES
    if extras.oom_kill_disable:
        memory.disable_oom_killer = True
    if extras.cpu_shares is not None:
        cpu.shares = extras.cpu_shares
    if extras.cpu_period is not None:
        cpu.period = extras.cpu_period
    if extras.cpu_quota is not None:
        cpu.quota = extras.cpu_quota
    if cpu != CPU():
        made.cpu = cpu
    if memory != Memory():
        made.memory = memory
    if extras.pids_limit is not None and extras.pids_limit != 0:
        from lading.formats.oci_limits import Pids

        made.pids = Pids(limit=extras.pids_limit)
    if extras.blkio_weight is not None:
        from lading.formats.oci_limits import BlockIO

        made.block_io = BlockIO(weight=extras.blkio_weight)
    return made


def rlimits(container: Container) -> list[Rlimit]:
    """``--ulimit`` as the kernel's names; -1 is no limit."""
    return [
        Rlimit(
            type="RLIMIT_" + limit.name.upper(),
            soft=UNLIMITED if limit.soft == -1 else limit.soft,
            hard=UNLIMITED if limit.hard == -1 else limit.hard,
        )
        for limit in container.extras.ulimits
    ]
