"""Docker's limits to a Pod: CPU, memory, processes, ulimits. Pure; see :mod:`lading.cli.translate`."""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.pod import (
    Ulimit,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lading.formats.pod import Container
    from lading.node import Changes


ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as".split()


def limits(options: Mapping[str, Any], container: Container) -> None:
    """Resource limits, ulimits and the like into ``container``."""
    extras = container.extras
    limits: dict[str, str | int | float] = {}
    if options["cpus"]:
        limits["cpu"] = cpus(options["cpus"])
        if options["cpu-period"] is not None or options["cpu-quota"] is not None:
            raise InvalidInput("--cpus does not go with --cpu-period and --cpu-quota")
    memory = _size(options, "memory")
    if memory:
        if memory < 6 << 20:
            raise InvalidInput(f"--memory {options['memory']} is less than the 6m that a container needs")
        limits["memory"] = str(memory)
    if limits:
        from lading.formats.pod import ResourceRequirements

        container.resources = ResourceRequirements(limits=limits)
    swap = options["memory-swap"]
    if swap:
        extras.memory_swap = -1 if swap == "-1" else _size(options, "memory-swap")
        if swap != "-1" and not memory:
            raise InvalidInput("--memory-swap needs --memory")
        _swap_covers(options, extras.memory_swap, memory)
    reservation = _size(options, "memory-reservation")
    if reservation:
        if memory and reservation > memory:
            raise InvalidInput("--memory-reservation is more than --memory")
        extras.memory_reservation = reservation
    extras.memory_swappiness = _within(options, "memory-swappiness", 0, 100)
    extras.pids_limit = _within(options, "pids-limit", -1, 4194304)
    extras.cpu_shares = _within(options, "cpu-shares", 0, 262144) or None
    if extras.cpu_shares == 1:
        raise InvalidInput("--cpu-shares is from 2 to 262144")
    extras.cpu_period = _within(options, "cpu-period", 0, 1000000) or None
    if extras.cpu_period and extras.cpu_period < 1000:
        raise InvalidInput("--cpu-period is from 1000 to 1000000 microseconds")
    extras.cpu_quota = _within(options, "cpu-quota", -1, 2**53) or None
    if extras.cpu_quota and 0 < extras.cpu_quota < 1000:
        raise InvalidInput("--cpu-quota is at least 1000 microseconds")
    extras.blkio_weight = _within(options, "blkio-weight", 0, 1000) or None
    if extras.blkio_weight and extras.blkio_weight < 10:
        raise InvalidInput("--blkio-weight is from 10 to 1000")
    extras.oom_score_adj = _within(options, "oom-score-adj", -1000, 1000)
    extras.oom_kill_disable = options["oom-kill-disable"]
    extras.cpuset_cpus = _list_of_numbers(options, "cpuset-cpus")
    extras.cpuset_mems = _list_of_numbers(options, "cpuset-mems")
    extras.ulimits = [ulimit(text) for text in options["ulimit"]]


def cpus(text: str) -> str:
    """A number of CPUs as a quantity: at least a hundredth. Raises :class:`InvalidInput`."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit()) or len(text) > 20 or len(fraction) > 9:
        raise InvalidInput(f"--cpus {text[:40]!r} is not a number of CPUs", hint="write 1.5 or 2")
    if int(digits) * 100 < 10 ** len(fraction):
        raise InvalidInput(f"--cpus {text} is less than 0.01")
    return f"{whole or '0'}.{fraction}" if fraction else whole


def _size(options: Mapping[str, Any], flag: str) -> int:
    if not options[flag]:
        return 0
    from lading.formats import sizes

    return sizes.parse(options[flag], what=f"--{flag}")


def _within(options: Mapping[str, Any], flag: str, least: int, most: int) -> int | None:
    value: int | None = options[flag]
    if value is not None and not least <= value <= most:
        raise InvalidInput(f"--{flag} {value} is not from {least} to {most}")
    return value


def _list_of_numbers(options: Mapping[str, Any], flag: str) -> str:
    text: str = options[flag]
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        numbers = first.isdigit() and (last.isdigit() or not dash) and part.isascii() and len(part) < 20
        if not numbers or (dash and int(last) < int(first)):
            raise InvalidInput(f"--{flag} {text!r} is not a list of numbers and ranges", hint="write 0-2,4")
    return text


def ulimit(text: str) -> Ulimit:
    """``NAME=SOFT[:HARD]``; -1 is unlimited. Raises :class:`InvalidInput`."""
    name, equals, rest = text.partition("=")
    if name not in ULIMITS:
        raise InvalidInput(f"--ulimit {text!r}: {name!r} is not one of {', '.join(ULIMITS)}")
    soft, colon, hard = rest.partition(":")
    if not equals:
        raise InvalidInput(f"--ulimit {text!r} has no value", hint=f"write {name}=1024 or {name}=1024:2048")
    low = _bound(soft, text)
    high = _bound(hard, text) if colon else low
    if high != -1 and (low > high or low == -1):
        raise InvalidInput(f"--ulimit {text!r}: the soft limit is above the hard one")
    return Ulimit(name=name, soft=low, hard=high)


def _bound(word: str, text: str) -> int:
    if word in ("-1", "unlimited"):
        return -1
    if not (word.isascii() and word.isdigit() and len(word) < 20) or int(word) >= 2**63:
        raise InvalidInput(f"--ulimit {text[:80]!r}: a limit is a number, -1 or unlimited")
    return int(word)


def _swap_covers(options: Mapping[str, Any], swap: int | None, memory: int | None) -> None:
    """Raise :class:`InvalidInput` when memory with swap would be less than memory alone."""
    if memory and swap is not None and 0 < swap < memory:
        raise InvalidInput(
            f"--memory-swap {options['memory-swap']} is less than --memory {options['memory']}: it counts both"
        )


def changes_from_update(options: Mapping[str, Any]) -> Changes:
    """What ``update`` with these flags changes. Raises :class:`InvalidInput`, also when there is nothing to change."""
    from lading.formats import quantity
    from lading.node.model import Changes

    changes = Changes()
    if options["cpus"]:
        changes.nano_cpus = quantity.nanos(cpus(options["cpus"]))
        if options["cpu-period"] is not None or options["cpu-quota"] is not None:
            raise InvalidInput("--cpus does not go with --cpu-period and --cpu-quota")
    for flag in ("memory", "memory-reservation"):
        if options[flag]:
            setattr(changes, flag.replace("-", "_"), _size(options, flag))
    if changes.memory is not None and changes.memory < 6 << 20:
        raise InvalidInput(f"--memory {options['memory']} is less than the 6m that a container needs")
    if options["memory-swap"]:
        changes.memory_swap = -1 if options["memory-swap"] == "-1" else _size(options, "memory-swap")
        _swap_covers(options, changes.memory_swap, changes.memory)
    if changes.memory and changes.memory_reservation and changes.memory_reservation > changes.memory:
        raise InvalidInput("--memory-reservation is more than --memory")
    changes.cpu_shares = _within(options, "cpu-shares", 2, 262144)
    changes.cpu_period = _within(options, "cpu-period", 1000, 1000000)
    changes.cpu_quota = _within(options, "cpu-quota", -1, 2**53)
    changes.pids_limit = _within(options, "pids-limit", -1, 4194304)
    changes.blkio_weight = _within(options, "blkio-weight", 10, 1000)
    for flag in ("cpuset-cpus", "cpuset-mems"):
        if options[flag]:
            setattr(changes, flag.replace("-", "_"), _list_of_numbers(options, flag))
    if options["restart"]:
        from lading.cli.translate import restart_policy

        policy = restart_policy(options["restart"])
        changes.restart = policy[1] or "no"
    if changes == Changes():
        raise InvalidInput("nothing to change", hint="give a flag such as --memory 512m")
    return changes
