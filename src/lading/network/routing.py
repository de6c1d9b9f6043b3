"""Which of a pod's interfaces gives the default route: pure, and the same for its start and for what joins later.

Docker's rule: the highest priority that the user gave, else the network whose name comes first; networks without a
gateway never (docs.docker.com/engine/network, "Connecting to multiple networks").
"""

from __future__ import annotations

from lading.network.model import DEFAULT_NETWORK, Interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def ranked(interfaces: Sequence[Interface]) -> list[Interface]:
    """The interfaces, the first choice for the default route first. The default network counts as ``bridge``."""

    def rank(interface: Interface) -> tuple[int, str]:
        name = "bridge" if interface.network == DEFAULT_NETWORK else interface.network
        return -interface.priority, name

    return sorted(interfaces, key=rank)


def default_routes(interfaces: Sequence[Interface]) -> dict[int, tuple[str, str]]:
    """Family (4, 6) → the interface and the gateway of its default route."""
    found: dict[int, tuple[str, str]] = {}
    for interface in ranked(interfaces):
        for gateway in interface.gateways:
            found.setdefault(6 if ":" in gateway else 4, (interface.name, gateway))
    return found
