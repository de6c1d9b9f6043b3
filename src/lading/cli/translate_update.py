"""The flags of ``update``: which limits of a container they change. Pure; see :mod:`lading.cli.translate_limits`."""

from __future__ import annotations

from lading.cli.translate_limits import cpus, list_of_numbers, size, swap_covers, within
from lading.errors import InvalidInput
from lading.formats import quantity
from lading.node.model import Changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def changes_from_update(options: Mapping[str, Any]) -> Changes:
    """What ``update`` with these flags changes. Raises :class:`InvalidInput`, also when there is nothing to change."""
    changes = Changes()
    if options["cpus"]:
        changes.nano_cpus = quantity.nanos(cpus(options["cpus"]))
        if options["cpu-period"] is not None or options["cpu-quota"] is not None:
            raise InvalidInput("--cpus does not go with --cpu-period and --cpu-quota")
    for flag in ("memory", "memory-reservation"):
        if options[flag]:
            setattr(changes, flag.replace("-", "_"), size(options, flag))
    if changes.memory is not None and changes.memory < 6 << 20:
        raise InvalidInput(f"--memory {options['memory']} is less than the 6m that a container needs")
    if options["memory-swap"]:
        changes.memory_swap = -1 if options["memory-swap"] == "-1" else size(options, "memory-swap")
        swap_covers(options, changes.memory_swap, changes.memory)
    if changes.memory and changes.memory_reservation and changes.memory_reservation > changes.memory:
        raise InvalidInput("--memory-reservation is more than --memory")
    changes.cpu_shares = within(options, "cpu-shares", 2, 262144)
    changes.cpu_period = within(options, "cpu-period", 1000, 1000000)
    changes.cpu_quota = within(options, "cpu-quota", -1, 2**53)
    changes.pids_limit = within(options, "pids-limit", -1, 4194304)
    changes.blkio_weight = within(options, "blkio-weight", 10, 1000)
    for flag in ("cpuset-cpus", "cpuset-mems"):
        if options[flag]:
            setattr(changes, flag.replace("-", "_"), list_of_numbers(options, flag))
    if options["restart"]:
        from lading.cli.translate import restart_policy

        policy = restart_policy(options["restart"])
        changes.restart = policy[1] or "no"
    if changes == Changes():
        raise InvalidInput("nothing to change", hint="give a flag such as --memory 512m")
    return changes
