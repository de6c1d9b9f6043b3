"""What a Pod's extras can say and nothing here acts on, refused by name: nothing is ignored silently.

The command line refuses the same before it gets here; this holds for every other face, and for records of old.
"""

from __future__ import annotations

from lading.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Pod


def check(pod: Pod) -> None:
    """Raise :class:`Unsupported` for the first field that would have no effect.

    What asks for the state of things passes: ``unconfined``, ``disable``, and the host's user namespace.
    """
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        extras = container.extras
        if extras.apparmor not in ("", "unconfined"):
            raise Unsupported(
                f"container {container.name}: AppArmor profile {extras.apparmor} is not supported: "
                "containers run unconfined"
            )
        if any(label != "disable" for label in extras.selinux):
            raise Unsupported(f"container {container.name}: SELinux labels are not supported")
        if extras.userns not in ("", "host"):
            raise Unsupported(f"container {container.name}: userns {extras.userns} is not supported")
