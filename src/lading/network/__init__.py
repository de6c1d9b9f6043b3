"""Networks, addresses, published ports and names: a pod's network namespace, ready to be joined."""

from __future__ import annotations

from lading.network.model import (
    DEFAULT_NETWORK,
    Attachment,
    AttachRequest,
    Finding,
    HostEntry,
    Interface,
    Network,
    NetworkRequest,
    PortMapping,
    PublishedPort,
    Reserved,
)
from lading.network.networks import Networks

__all__ = [
    "DEFAULT_NETWORK",
    "AttachRequest",
    "Attachment",
    "Finding",
    "HostEntry",
    "Interface",
    "Network",
    "NetworkRequest",
    "Networks",
    "PortMapping",
    "PublishedPort",
    "Reserved",
]
