"""Addresses and subnets as plain numbers: pure functions, because ``ipaddress`` costs the hot path 6 ms.

A subnet is a tuple ``(family, network, prefix)`` with ``family`` 4 or 6 and ``network`` an integer.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Subnet = tuple[int, int, int]


def parse_address(text: str, what: str = "address") -> tuple[int, int]:
    """``(family, number)`` of a literal address; raises :class:`InvalidInput` naming ``what``."""
    family = 6 if ":" in text else 4
    try:
        packed = inet_pton(AF_INET6 if family == 6 else AF_INET, text)
    except (OSError, ValueError):
        raise InvalidInput(f"{what} {text!r} is not an IP address") from None
    return family, int.from_bytes(packed, "big")


def show_address(family: int, number: int) -> str:
    """The canonical text of an address."""
    return inet_ntop(AF_INET6 if family == 6 else AF_INET, number.to_bytes(bits(family) // 8, "big"))


def pack(text: str) -> bytes:
    """Network bytes of a literal address."""
    family, number = parse_address(text)
    return number.to_bytes(bits(family) // 8, "big")


def bits(family: int) -> int:
    """32 or 128."""
    return 128 if family == 6 else 32


def parse_subnet(text: str, what: str = "subnet") -> Subnet:
    """``10.1.2.0/24`` → subnet. Host bits must be zero, so that a typing error does not pass for a subnet."""
    address, slash, prefix = text.partition("/")
    family, number = parse_address(address, what)
    if not slash or not prefix.isascii() or not prefix.isdigit() or int(prefix) > bits(family):
        raise InvalidInput(
            f"{what} {text!r} needs a prefix length of at most {bits(family)}, as in 10.1.2.0/24"
        )
    length = int(prefix)
    if number & host_mask(family, length):
        right = show_subnet((family, number & ~host_mask(family, length), length))
        raise InvalidInput(f"{what} {text!r} has host bits set", hint=f"did you mean {right}?")
    return family, number, length


def show_subnet(subnet: Subnet) -> str:
    """``10.1.2.0/24``."""
    family, number, prefix = subnet
    return f"{show_address(family, number)}/{prefix}"


def host_mask(family: int, prefix: int) -> int:
    """The bits an address may vary in."""
    return (1 << (bits(family) - prefix)) - 1


def contains(subnet: Subnet, family: int, number: int) -> bool:
    """Whether the address lies in the subnet."""
    return subnet[0] == family and number & ~host_mask(family, subnet[2]) == subnet[1]


def overlaps(one: Subnet, other: Subnet) -> bool:
    """Whether two subnets share an address."""
    if one[0] != other[0]:
        return False
    mask = ~host_mask(one[0], min(one[2], other[2]))
    return one[1] & mask == other[1] & mask


def usable(subnet: Subnet) -> tuple[int, int]:
    """First and last address a host may have: without network and broadcast address where those exist."""
    family, number, prefix = subnet
    last = number | host_mask(family, prefix)
    if bits(family) - prefix < 2:
        return number, last
    return number + 1, last - 1 if family == 4 else last


def next_free(first: int, last: int, cursor: int, taken: Callable[[int], bool]) -> int | None:
    """The first address after ``cursor`` in ``first…last``, going round, that is not ``taken``; None when all are.

    Going round, rather than lowest first, keeps a freed address out of use for as long as possible: peers and
    connection tracking may still remember its last owner.
    """
    start = cursor + 1 if first <= cursor < last else first
    candidate = start
    while True:
        if not taken(candidate):
            return candidate
        candidate = candidate + 1 if candidate < last else first
        if candidate == start:
            return None


def choose_subnet(pool: Subnet, prefix: int, used: Iterable[Subnet]) -> Subnet | None:
    """The lowest ``/prefix`` of ``pool`` that overlaps none of ``used``; None when there is none.

    Jumps over whole used blocks: thousands of networks cost one sort.
    """
    family, start, _ = pool
    size = 1 << (bits(family) - prefix)
    end = start + (host_mask(family, pool[2]) + 1)
    blocks = sorted(
        (u[1], u[1] + host_mask(family, u[2]) + 1) for u in used if u[0] == family and overlaps(u, pool)
    )
    candidate = start
    for low, high in blocks:
        if candidate + size <= low:
            break
        if high > candidate:
            candidate = -(-high // size) * size
    return (family, candidate, prefix) if candidate + size <= end else None


def mac_for(address: bytes) -> bytes:
    """A locally administered MAC made of the address, so that a reused address keeps its neighbours' tables right."""
    return b"\x0a\x58" + address[-4:]


def parse_mac(text: str) -> bytes:
    """``0a:58:…`` → six bytes; a multicast or empty address is refused."""
    try:
        raw = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != 6 or raw[0] & 1 or raw == b"\0" * 6:
        raise InvalidInput(f"MAC address {text!r} is not six hexadecimal pairs of a unicast address")
    return raw
