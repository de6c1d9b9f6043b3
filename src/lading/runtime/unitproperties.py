"""Limits of a control group as properties of the systemd unit that owns it.

What is written into a scope's files alone lasts until systemd next writes them itself: a ``systemctl daemon-reload``, which
every package upgrade does, would lift each limit that the unit does not have. So the unit is told, too. What systemd has no
property for (hugetlb, rdma, idle, burst and further files) it also never writes.

Pure functions. A property is a row of busctl(1)'s words: name, signature, value.
Source: systemd.resource-control(5); org.freedesktop.systemd1(5).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lading.kernel.cgroups import Setting
    from lading.kernel.devicerules import DeviceRule

    Property = list[str]

_INFINITY = 2**64 - 1
_SECOND = 1_000_000
_MOST = 8192  # processors, in any kernel's configuration
#: The file and the property whose one number is the same.
_NUMBERS = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
    "cpu.weight": "CPUWeight",
    "cpu.shares": "CPUShares",
    "memory.limit_in_bytes": "MemoryLimit",
    "blkio.weight": "BlockIOWeight",
}
_SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
_RATES = {
    "rbps": "IOReadBandwidthMax",
    "wbps": "IOWriteBandwidthMax",
    "riops": "IOReadIOPSMax",
    "wiops": "IOWriteIOPSMax",
}


def properties(settings: Iterable[Setting], version: int) -> list[Property]:
    """What keeps ``settings`` (:func:`lading.runtime.limits.settings`) as they are, in their order."""
    made: list[Property] = []
    quota = period = ""
    rates: dict[str, list[str]] = {}
    for _controller, file, value in settings:
        if file in _NUMBERS:
            made.append([_NUMBERS[file], "t", _number(value)])
        elif file in _SETS and version == 2:  # version 1's sets are not systemd's
            bits = _bits(value)
            if bits:
                made.append([_SETS[file], "ay", str(len(bits)), *map(str, bits)])
        elif file == "io.weight" and ":" not in value:
            made.append(["IOWeight", "t", value.removeprefix("default ")])
        elif file == "io.weight":
            device, _, number = value.partition(" ")
            rates.setdefault("IODeviceWeight", []).extend([f"/dev/block/{device}", number])
        elif file == "cpu.max":
            quota, _, period = value.partition(" ")
        elif file == "cpu.cfs_quota_us":
            quota = value
        elif file == "cpu.cfs_period_us":
            period = value
        elif file == "io.max":
            device, _, words = value.partition(" ")
            for word in words.split():
                key, _, number = word.partition("=")
                rates.setdefault(_RATES[key], []).extend([f"/dev/block/{device}", _number(number)])
    made += [[name, "a(st)", str(len(words) // 2), *words] for name, words in rates.items()]
    if period:
        made.append(["CPUQuotaPeriodUSec", "t", period])
    if quota:
        made.append(["CPUQuotaPerSecUSec", "t", _per_second(quota, int(period or 100_000))])
    return made


def _number(value: str) -> str:
    """A number of a file: ``max``, digits, or digits with a unit of the kernel's (memparse)."""
    if value in ("max", "-1"):
        return str(_INFINITY)
    shift = 10 * ("KMGT".find(value[-1:].upper()) + 1)
    return str(int(value[:-1]) << shift) if shift else value


def _per_second(quota: str, period: int) -> str:
    if quota == "max" or int(quota) <= 0:
        return str(_INFINITY)
    return str(-(-int(quota) * _SECOND // period))


def _bits(numbers: str) -> list[int]:
    """A list such as ``0-2,5`` as bytes, number 0 the lowest bit of the first; nothing for what the kernel will refuse."""
    mask = 0
    for part in numbers.split(","):
        low, dash, high = part.strip().partition("-")
        first, last = low, high if dash else low
        if not first.isdigit() or not last.isdigit() or int(last) >= _MOST:
            return []
        mask |= (1 << int(last) + 1) - (1 << int(first)) if int(first) <= int(last) else 0
    return list(mask.to_bytes((mask.bit_length() + 7) // 8, "little"))


def devices(rules: Iterable[DeviceRule], names: Mapping[tuple[str, int], str]) -> list[Property]:
    """What keeps the device rules of a version 1 group; ``names`` of majors are from ``/proc/devices``.

    systemd's list knows no exceptions: a rule that denies one device after all others were allowed has no form there.
    """
    allowed: dict[str, str] = {}
    everything = False
    for rule in rules:
        if rule.type == "a":
            everything = rule.allow
            allowed.clear()
            continue
        node = _node(rule, names)
        if node and rule.allow:
            allowed[node] = "".join(c for c in "rwm" if c in rule.access + allowed.get(node, ""))
        elif node:
            allowed.pop(node, None)
    if everything:
        return [["DevicePolicy", "s", "auto"]]
    words = [word for row in allowed.items() for word in row]
    return [["DevicePolicy", "s", "strict"], ["DeviceAllow", "a(ss)", str(len(allowed)), *words]]


def _node(rule: DeviceRule, names: Mapping[tuple[str, int], str]) -> str:
    """systemd's name of the devices of a rule; empty for those of a major that no driver has, which nobody can open."""
    kind = "char" if rule.type == "c" else "block"
    if rule.major is None:
        return f"{kind}-*"
    if rule.minor is None:
        name = names.get((rule.type, rule.major))
        return f"{kind}-{name}" if name else ""
    return f"/dev/{kind}/{rule.major}:{rule.minor}"


def device_names(text: str) -> dict[tuple[str, int], str]:
    """The names of ``/proc/devices`` by kind (``c``, ``b``) and major."""
    found: dict[tuple[str, int], str] = {}
    kind = ""
    for line in text.splitlines():
        words = line.split(None, 1)
        if line.endswith(":"):
            kind = {"Character": "c", "Block": "b"}.get(words[0], "")
        elif len(words) == 2 and words[0].isdigit() and kind:
            found.setdefault((kind, int(words[0])), words[1])
    return found
