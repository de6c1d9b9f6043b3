"""``linux.netDevices``: interfaces of the host that move into the container (config-linux.md, "Network Devices").

The kernel keeps name, hardware address and MTU of an interface that moves, and takes its addresses away and sets it down;
those that were permanent and global are given back on the other side, and it is set up again.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, KernelError
from lading.kernel import netlink_route as route
from lading.kernel.netlink import Netlink
from lading.kernel.netlink_netns import open_route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import NetDevice
    from lading.kernel import Kernel
    from lading.runtime.join import Plan

_PERMANENT = 0x80
_ENODEV = 19


def move(kernel: Kernel, pid: int, devices: dict[str, NetDevice], plan: Plan) -> None:
    """Move ``devices`` (name on the host → name inside) into the network namespace that ``pid`` has or will join.

    Raises :class:`InvalidInput` for an interface that does not exist; :class:`KernelError` naming it otherwise.
    """
    joined = [fd for name, _, fd in plan.joins if name == "network"]
    target = os.dup(joined[0]) if joined else kernel.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        with Netlink() as host, open_route(target) as inside:
            for name, device in devices.items():
                _move(host, inside, target, name, device.name or name)
    finally:
        os.close(target)


def _move(host: Netlink, inside: Netlink, target: int, name: str, new: str) -> None:
    try:
        link = route.Link(host.ask(route.link_get(name)))
        addresses = [a for a in map(route.Address, host.dump(route.addresses_get())) if a.index == link.index]
        host.run([route.link_set(link.index, netns=target, rename=new if new != name else "")])
        index = route.Link(inside.ask(route.link_get(new))).index
        inside.run(
            [
                *(
                    route.address_add(index, a.local, a.prefix)
                    for a in addresses
                    if a.flags & _PERMANENT and a.scope == 0
                ),
                route.link_set(index, up=True),
            ]
        )
    except KernelError as error:
        if error.errno == _ENODEV:
            raise InvalidInput(f"linux.netDevices: there is no interface {name} on the host") from None
        raise KernelError(f"linux.netDevices: {name}: {error.call}", error.errno, hint=error.hint) from None
