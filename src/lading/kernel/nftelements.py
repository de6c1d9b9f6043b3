"""Elements of nftables sets and maps, by netlink alone: what changes with every pod must not load libnftables.

Loading the library and parsing text costs ten times what the kernel needs. The frames are those of
linux/netfilter/nfnetlink.h and nf_tables.h: a batch of ``NFT_MSG_NEWSETELEM`` and ``NFT_MSG_DELSETELEM`` is one transaction.
"""

from __future__ import annotations

from lading.kernel import netlink as nl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_BEGIN, _END = 0x10, 0x11
_SUBSYSTEM = 10
_NEWSETELEM, _DELSETELEM = (_SUBSYSTEM << 8) | 12, (_SUBSYSTEM << 8) | 14
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ELEMENT, _KEY, _DATA, _VALUE = 1, 1, 2, 1
_INET = 1
#: Elements in one message: their list is an attribute, which holds 64 KiB at most, and an element is 64 bytes.
_MANY = 500


class Element:
    """One element: ``key`` and, in a map, ``data``, as :func:`joined` makes them. ``add`` false: it is to go."""

    __slots__ = ("add", "data", "key", "set")

    def __init__(self, set: str, key: bytes, data: bytes = b"", *, add: bool = True) -> None:
        self.set = set
        self.key = key
        self.data = data
        self.add = add


def joined(*fields: bytes) -> bytes:
    """A concatenation (``ipv4_addr . inet_service``): each field from its left, filled up to four bytes."""
    return b"".join(field + b"\0" * (-len(field) & 3) for field in fields)


def change(wire: nl.Netlink, table: str, elements: Sequence[Element]) -> None:
    """Add and take elements of ``inet`` table ``table`` in one transaction, in order.

    Raises :class:`KernelError`: ENOENT for what is not there, EEXIST for a key that has other data. Then nothing
    has changed.
    """
    if elements:
        messages = [_message(table, group) for group in _groups(elements)]
        wire.transaction(_frame(_BEGIN), messages, _frame(_END))


def _groups(elements: Sequence[Element]) -> list[list[Element]]:
    """The elements by what one message can say: one set, one verb. Their order within each set stays."""
    groups: list[list[Element]] = []
    for element in sorted(elements, key=lambda e: e.set):
        last = groups[-1] if groups else []
        if last and (last[0].set, last[0].add) == (element.set, element.add) and len(last) < _MANY:
            last.append(element)
        else:
            groups.append([element])
    return groups


def _frame(kind: int) -> nl.Message:
    return nl.Message(kind, 0, bytes((0, 0)) + _SUBSYSTEM.to_bytes(2, "big"), "nft batch")


def _message(table: str, elements: Sequence[Element]) -> nl.Message:
    set, add = elements[0].set, elements[0].add
    listed = b"".join(nl.nested(_ELEMENT, _body(element)) for element in elements)
    payload = bytes((_INET, 0, 0, 0)) + nl.text(_LIST_TABLE, table) + nl.text(_LIST_SET, set)
    payload += nl.nested(_LIST_ELEMENTS, listed)
    kind, flags = (_NEWSETELEM, nl.NLM_F_CREATE) if add else (_DELSETELEM, 0)
    verb = "add" if add else "delete"
    return nl.Message(kind, flags, payload, f"nft {verb} element of {set} in table {table}")


def _body(element: Element) -> bytes:
    body = nl.nested(_KEY, nl.attribute(_VALUE, element.key))
    if element.add and element.data:
        body += nl.nested(_DATA, nl.attribute(_VALUE, element.data))
    return body
