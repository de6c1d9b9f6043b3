"""DNS messages, as much as a resolver of container names needs: read a question, write an answer (RFC 1035, RFC 6891).

Everything here is bytes in, bytes out. A query is hostile until read: compression pointers are not allowed in a question,
names are bounded, and whatever does not parse is answered with FORMERR or not at all.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
_IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 0, 1, 2, 3, 4
#: Seconds that clients may remember an answer: containers come and go.
TTL = 5
_UDP_LIMIT = 512
_EDNS_LIMIT = 1232


class Query:
    """One question. ``name`` is lower case without the final dot; ``limit`` is the longest answer UDP may carry."""

    __slots__ = ("edns", "id", "kind", "limit", "name", "question", "recursion")

    def __init__(
        self, id: int, name: str, kind: int, question: bytes, recursion: bool, limit: int, edns: bool
    ) -> None:
        self.id = id
        self.name = name
        self.kind = kind
        self.question = question
        self.recursion = recursion
        self.limit = limit
        self.edns = edns


class Malformed(Exception):
    """A message that is no well-formed query. ``answer`` is what to send back; empty: nothing."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__("malformed DNS query")
        self.answer = answer


def parse_query(message: bytes) -> Query:
    """The question of ``message``. Raises :class:`Malformed`."""
    if len(message) < 12:
        raise Malformed
    flags = int.from_bytes(message[2:4], "big")
    if flags & 0x8000:
        raise Malformed  # an answer: replying to one could make two resolvers talk for ever
    if flags >> 11 & 15:
        raise Malformed(_header(message[:2], flags, NOTIMP, 0, 0, 0))
    counts = [int.from_bytes(message[i : i + 2], "big") for i in (4, 6, 8, 10)]
    bad = Malformed(_header(message[:2], flags, FORMERR, 0, 0, 0))
    if counts[0] != 1:
        raise bad
    labels, offset = [], 12
    while True:
        if offset >= len(message):
            raise bad
        length = message[offset]
        offset += 1
        if length == 0:
            break
        if length > 63 or offset + length > len(message) or offset + length > 12 + 255:
            raise bad
        labels.append(message[offset : offset + length])
        offset += length
    if offset + 4 > len(message):
        raise bad
    kind = int.from_bytes(message[offset : offset + 2], "big")
    klass = int.from_bytes(message[offset + 2 : offset + 4], "big")
    question = message[12 : offset + 4]
    if klass != _IN:
        raise Malformed(_header(message[:2], flags, NOTIMP, 1, 0, 0) + question)
    limit, edns = _edns(message, offset + 4, counts)
    name = b".".join(labels).decode("latin-1").lower()
    return Query(int.from_bytes(message[:2], "big"), name, kind, question, bool(flags & 0x0100), limit, edns)


def _edns(message: bytes, offset: int, counts: list[int]) -> tuple[int, bool]:
    """The longest answer the client takes: an OPT record right after the question, as every stub resolver sends it."""
    if counts[1] == counts[2] == 0 and counts[3] and message[offset : offset + 3] == b"\0\0\x29":
        size = int.from_bytes(message[offset + 3 : offset + 5], "big")
        return max(_UDP_LIMIT, min(size, _EDNS_LIMIT)), True
    return _UDP_LIMIT, False


def _header(id: bytes, flags: int, code: int, questions: int, answers: int, additional: int) -> bytes:
    # QR and RA set, the query's opcode and RD kept.
    out = 0x8080 | (flags & 0x7900) | code
    return (
        id
        + out.to_bytes(2, "big")
        + b"".join(n.to_bytes(2, "big") for n in (questions, answers, 0, additional))
    )


def answer(query: Query, code: int, records: Sequence[bytes] = (), *, limit: int = 0) -> bytes:
    """A whole answer message; ``records`` come from :func:`address_record` and :func:`pointer_record`.

    With a ``limit`` records that do not fit are left out and the message is marked truncated, so that the client asks
    again over TCP.
    """
    flags = 0x0100 if query.recursion else 0
    opt = b"\0\0\x29" + _EDNS_LIMIT.to_bytes(2, "big") + bytes(6) if query.edns else b""
    kept, size = [], 12 + len(query.question) + len(opt)
    for record in records:
        if limit and size + len(record) > limit:
            flags |= 0x0200
            break
        kept.append(record)
        size += len(record)
    head = _header(query.id.to_bytes(2, "big"), flags, code, 1, len(kept), 1 if opt else 0)
    if flags & 0x0200:
        head = head[:2] + bytes((head[2] | 0x02,)) + head[3:]
    return head + query.question + b"".join(kept) + opt


def address_record(address: bytes) -> bytes:
    """A or AAAA for the question's name; ``address`` is four or sixteen bytes."""
    kind = A if len(address) == 4 else AAAA
    return _record(kind, address)


def pointer_record(name: str) -> bytes:
    """PTR to ``name`` for the question's name."""
    return _record(PTR, encode_name(name))


def _record(kind: int, data: bytes) -> bytes:
    # 0xC00C points at the question's name.
    return (
        b"\xc0\x0c"
        + kind.to_bytes(2, "big")
        + b"\0\1"
        + TTL.to_bytes(4, "big")
        + len(data).to_bytes(2, "big")
        + data
    )


def encode_name(name: str) -> bytes:
    """A name as labels. Raises ValueError for one that is too long, or with a label that is empty or too long."""
    out = b""
    for label in name.rstrip(".").split("."):
        raw = label.encode("latin-1")
        if not 0 < len(raw) < 64:
            raise ValueError(f"{name!r} is not a domain name")
        out += bytes((len(raw),)) + raw
    if len(out) > 254:
        raise ValueError(f"{name!r} is longer than a domain name")
    return out + b"\0"


def is_name(name: str) -> bool:
    """Whether DNS can carry ``name``: what containers and networks are called may be longer, or have empty labels."""
    try:
        encode_name(name)
    except ValueError:
        return False
    return True


def reverse_address(name: str) -> bytes | None:
    """The address that a PTR question asks about (four or sixteen bytes); None when it is no such name."""
    labels = name.split(".")
    if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
        parts = labels[3::-1]
        if all(p.isascii() and p.isdigit() and len(p) < 4 and int(p) < 256 for p in parts):
            return bytes(int(p) for p in parts)
    elif labels[-2:] == ["ip6", "arpa"] and len(labels) == 34:
        digits = "".join(labels[31::-1])
        if len(digits) == 32 and not digits.strip("0123456789abcdef"):
            return bytes.fromhex(digits)
    return None
