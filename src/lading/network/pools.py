"""Where subnets come from when nobody names one."""

from __future__ import annotations

from lading.errors import Exhausted
from lading.network import addresses as ad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_TEN = 10 << 24
#: The default network's first choice, then /16s around it, then /20s elsewhere.
_DEFAULT = (
    ((4, _TEN | 88 << 16, 16), 16),
    ((4, _TEN | 80 << 16, 12), 16),
    ((4, 0xAC100000, 12), 20),
    ((4, 0xC0A80000, 16), 20),
)
#: User-defined networks: 8,192 /24s of 10.96.0.0/11, 4,096 of 172.16.0.0/12, 256 of 192.168.0.0/16.
_USER = ((4, _TEN | 96 << 16, 11), (4, 0xAC100000, 12), (4, 0xC0A80000, 16))


def choose_ipv4(tag: str, default: bool, used: Iterable[ad.Subnet]) -> ad.Subnet:
    """A subnet free of ``used``: a large one for the default network, a /24 for others.

    A root with a tag of its own starts in a /18 of 10.192.0.0/10 that its tag picks, so that two roots made at the
    same moment do not choose the same.
    """
    used = list(used)
    pools: list[tuple[ad.Subnet, int]] = [*_DEFAULT] if default else [(p, 24) for p in _USER]
    if tag != "lading":
        own = (4, (_TEN | 192 << 16) + (int(tag[-6:], 16) % 256 << 14), 18)
        pools.insert(0, (own, 20 if default else 24))
    for pool, prefix in pools:
        found = ad.choose_subnet(pool, prefix, used)
        if found is not None:
            return found
    raise Exhausted("every private subnet is in use on this host", hint="name a subnet")


def choose_ipv6(tag: str, used: Iterable[ad.Subnet]) -> ad.Subnet:
    """A /64 of a unique local /48 (RFC 4193) made of this machine's id and the tag."""
    try:
        with open("/etc/machine-id") as file:
            machine = file.read().strip()
    except OSError:
        machine = ""
    import hashlib

    digest = hashlib.sha256(f"{machine}/{tag}/network".encode()).digest()[:5]
    pool = (6, int.from_bytes(b"\xfd" + digest + bytes(10), "big"), 48)
    found = ad.choose_subnet(pool, 64, used)
    if found is None:
        raise Exhausted("every /64 of this root is in use", hint="name a subnet")
    return found
