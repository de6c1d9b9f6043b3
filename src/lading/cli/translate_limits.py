"""Docker's limits to a Pod: CPU, memory, processes. Pure; see :mod:`lading.cli.translate`."""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lading.formats.pod import Container


def limits(options: Mapping[str, Any], container: Container) -> None:
    """Resource limits, ulimits and the like into ``container``."""
    extras = container.extras
    limits: dict[str, str | int | float] = {}
    if options["cpus"]:
        limits["cpu"] = cpus(options["cpus"])
        if options["cpu-period"] is not None or options["cpu-quota"] is not None:
            raise InvalidInput("--cpus does not go with --cpu-period and --cpu-quota")
    memory = size(options, "memory")
    if memory:
        if memory < 6 << 20:
            raise InvalidInput(f"--memory {options['memory']} is less than the 6m that a container needs")
        limits["memory"] = str(memory)
    if limits:
        from lading.formats.pod import ResourceRequirements

        container.resources = ResourceRequirements(limits=limits)
    swap = options["memory-swap"]
    if swap:
        extras.memory_swap = -1 if swap == "-1" else size(options, "memory-swap")
        if swap != "-1" and not memory:
            raise InvalidInput("--memory-swap needs --memory")
        swap_covers(options, extras.memory_swap, memory)
    reservation = size(options, "memory-reservation")
    if reservation:
        if memory and reservation > memory:
            raise InvalidInput("--memory-reservation is more than --memory")
        extras.memory_reservation = reservation
    extras.memory_swappiness = within(options, "memory-swappiness", 0, 100)
    extras.pids_limit = within(options, "pids-limit", -1, 4194304)
    extras.cpu_shares = within(options, "cpu-shares", 0, 262144) or None
    if extras.cpu_shares == 1:
        raise InvalidInput("--cpu-shares is from 2 to 262144")
    extras.cpu_period = within(options, "cpu-period", 0, 1000000) or None
    if extras.cpu_period and extras.cpu_period < 1000:
        raise InvalidInput("--cpu-period is from 1000 to 1000000 microseconds")
    extras.cpu_quota = within(options, "cpu-quota", -1, 2**53) or None
    if extras.cpu_quota and 0 < extras.cpu_quota < 1000:
        raise InvalidInput("--cpu-quota is at least 1000 microseconds")
    extras.blkio_weight = within(options, "blkio-weight", 0, 1000) or None
    if extras.blkio_weight and extras.blkio_weight < 10:
        raise InvalidInput("--blkio-weight is from 10 to 1000")
    extras.oom_score_adj = within(options, "oom-score-adj", -1000, 1000)
    extras.oom_kill_disable = options["oom-kill-disable"]
    extras.cpuset_cpus = list_of_numbers(options, "cpuset-cpus")
    extras.cpuset_mems = list_of_numbers(options, "cpuset-mems")
    if options["ulimit"]:
        from lading.cli.translate_ulimits import ulimit

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


def size(options: Mapping[str, Any], flag: str) -> int:
    """What a flag says in bytes, 0 without it. Raises :class:`InvalidInput`."""
    if not options[flag]:
        return 0
    from lading.formats import sizes

    return sizes.parse(options[flag], what=f"--{flag}")


def within(options: Mapping[str, Any], flag: str, least: int, most: int) -> int | None:
    """A flag's number. Raises :class:`InvalidInput` for one out of bounds."""
    value: int | None = options[flag]
    if value is not None and not least <= value <= most:
        raise InvalidInput(f"--{flag} {value} is not from {least} to {most}")
    return value


def list_of_numbers(options: Mapping[str, Any], flag: str) -> str:
    """A flag's list of processors or memory nodes. Raises :class:`InvalidInput`."""
    text: str = options[flag]
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        numbers = first.isdigit() and (last.isdigit() or not dash) and part.isascii() and len(part) < 20
        if not numbers or (dash and int(last) < int(first)):
            raise InvalidInput(f"--{flag} {text!r} is not a list of numbers and ranges", hint="write 0-2,4")
    return text


def swap_covers(options: Mapping[str, Any], swap: int | None, memory: int | None) -> None:
    """Raise :class:`InvalidInput` when memory with swap would be less than memory alone."""
    if memory and swap is not None and 0 < swap < memory:
        raise InvalidInput(
            f"--memory-swap {options['memory-swap']} is less than --memory {options['memory']}: it counts both"
        )
