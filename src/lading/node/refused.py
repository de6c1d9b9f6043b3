"""What a Pod's extras can say and nothing here acts on, refused by name: nothing is ignored silently.

The command line refuses the same before it gets here; this holds for every other face, and for records of old.
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import ContainerExtras, Pod


def cpus(nanos: int) -> None:
    """Raise :class:`InvalidInput` for more CPUs than there are, as Docker does. A manifest may ask for them: it is a limit."""
    import os

    there = os.cpu_count() or 1
    if nanos > there * 10**9:
        raise InvalidInput(f"--cpus {nanos / 1e9:g} is more than the {there} CPUs of this machine")


def cpuset(flag: str, wanted: str) -> None:
    """Raise :class:`InvalidInput` for CPUs or memory nodes that are not there: the kernel says only ERANGE or EINVAL.

    ``wanted`` is a list as cpuset(7) has it. Where the kernel does not say what there is, it is left to judge.
    """
    word, directory = ("CPUs", "cpu") if flag == "--cpuset-cpus" else ("memory nodes", "node")
    try:
        with open(f"/sys/devices/system/{directory}/online", encoding="ascii") as stream:
            online = stream.read().strip()
    except OSError:
        return
    there = _ranges(online)
    for first, last in _ranges(wanted):
        if not any(least <= first and last <= most for least, most in there):
            raise InvalidInput(f"{flag} {wanted}: this machine has the {word} {online}")


def _ranges(text: str) -> list[tuple[int, int]]:
    """``0-2,4`` as (0, 2), (4, 4)."""
    made = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        made.append((int(first), int(last or first)))
    return made


def check(pod: Pod) -> None:
    """Raise :class:`Unsupported` for the first field that would have no effect.

    What asks for the state of things passes: ``unconfined``, ``disable``, and the host's user namespace.
    """
    if pod.spec.extras.container and pod.spec.containers[0].resources is not None:
        from lading.formats import quantity

        cpus(quantity.nanos(pod.spec.containers[0].resources.limits.get("cpu", 0)))
    if pod.spec.extras.companions:
        from lading.node import admission_extras, admission_report

        admission_report.demand(admission_extras.check, pod)
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        extras = container.extras
        if extras.cpuset_cpus:
            cpuset("--cpuset-cpus", extras.cpuset_cpus)
        if extras.cpuset_mems:
            cpuset("--cpuset-mems", extras.cpuset_mems)
        if extras.apparmor not in ("", "unconfined"):
            raise Unsupported(
                f"container {container.name}: AppArmor profile {extras.apparmor} is not supported: "
                "containers run unconfined"
            )
        if any(label != "disable" for label in extras.selinux):
            raise Unsupported(f"container {container.name}: SELinux labels are not supported")
        if extras.userns not in ("", "host", "auto"):
            raise Unsupported(f"container {container.name}: userns {extras.userns} is not supported")
        if (extras.userns == "auto") != (pod.spec.host_users is False) and extras.userns:
            raise InvalidInput(
                f"container {container.name}: userns {extras.userns} contradicts hostUsers {pod.spec.host_users}"
            )
        if _beyond(extras):
            from lading.node import admission_extras, admission_report

            admission_report.demand(admission_extras.check, pod)


def _beyond(extras: ContainerExtras) -> bool:
    """Whether a field is set that says more than a flag of Docker's, and has rules of its own."""
    return extras.system_calls is not None or bool(
        extras.block_bandwidth
        or extras.block_operations
        or extras.pre_start
        or extras.post_stop
        or extras.listen
    )
