"""Which ids of the host a pod's own users have: a range of 65536 for each pod that asks for one, recorded with the pod.

Where ranges come from is the user ``lading`` in subuid(5) and subgid(5), as the kubelet takes them from the user ``kubelet``;
without one it is :data:`DEFAULT`, less what these files give to somebody else. A range is written down in the transaction
that makes the pod's record, and forgotten in the one that forgets the pod, so two pods never have the same and a kill between
leaves nothing to repair. ``docs/decisions/0016-users-of-pods.md`` tells why.
"""

from __future__ import annotations

import os

from lading.errors import Exhausted, InvalidInput
from lading.roots import Roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lading.formats.pod import Pod
    from lading.node.database import Database

    Range = tuple[int, int]
    """(first id, how many)"""

#: Ids of one pod, as KEP-127 has it: every id that an image may use has 16 bits.
SIZE = 65536
#: Whose lines of subuid(5) and subgid(5) are ours to give.
USER = "lading"
#: First id and count where there are no such lines. Above what useradd(8) gives out by itself (600100000), what
#: systemd-nspawn(1) picks from (0x6FFFFFFF) and what SSSD maps domains into (2000200000); below systemd's range for foreign
#: ids (0x7FFE0000): systemd's UIDS-GIDS.md, sssd-ldap(5), useradd(8).
DEFAULT = (30521 * SIZE, (0x7FFE0000 - 30521 * SIZE) // SIZE * SIZE)
#: Everybody's.
_ALL = [(0, 0xFFFFFFFF)]


# -- which there are: pure -------------------------------------------------------------------------------------------


def lines(text: str) -> list[tuple[str, Range]]:
    """The lines of a subuid(5) or subgid(5) file as (owner, range); what is none is left out, as shadow(3) does."""
    found = []
    for line in text.splitlines():
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if (
            owner
            and first.isascii()
            and first.isdigit()
            and count.isascii()
            and count.isdigit()
            and int(count)
        ):
            found.append((owner, (int(first), int(count))))
    return found


def pool(uids: str, gids: str, here: Sequence[Range] = _ALL) -> list[Range]:
    """The ranges that pods may be given, apart and in order, of the texts of subuid(5) and subgid(5).

    A pod's users and its groups have the same ids, so what counts is in both files; ``here`` are the ids that this process can
    map at all. Raises :class:`InvalidInput` where one file names :data:`USER` and the other does not.
    """
    both = lines(uids), lines(gids)
    ours = [[ids for owner, ids in found if owner == USER] for found in both]
    if ours[0] and ours[1]:
        found = common(ours[0], ours[1])
    elif ours[0] or ours[1]:
        has, lacks = ("subuid", "subgid") if ours[0] else ("subgid", "subuid")
        raise InvalidInput(
            f"/etc/{has} gives user {USER} ranges and /etc/{lacks} none: a pod's users and groups have the same ids",
            hint=f"give it the same ranges in /etc/{lacks}",
        )
    else:
        found = without([DEFAULT], [ids for listed in both for _, ids in listed])
    return common(found, here)


def common(some: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """The ids that are in both, apart and in order."""
    others = list(others)
    made = []
    for first, count in _merged(some):
        for start, length in _merged(others):
            low, high = max(first, start), min(first + count, start + length)
            if low < high:
                made.append((low, high - low))
    return made


def without(some: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """The ids of ``some`` that are in none of ``others``, apart and in order."""
    made = []
    taken = _merged(others)
    for first, count in _merged(some):
        end = first + count
        for start, length in taken:
            if start + length <= first or start >= end:
                continue
            if start > first:
                made.append((first, start - first))
            first = start + length
        if first < end:
            made.append((first, end - first))
    return made


def _merged(ranges: Iterable[Range]) -> list[Range]:
    made: list[Range] = []
    for first, count in sorted(ranges):
        if made and first <= made[-1][0] + made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], first + count - made[-1][0]))
        elif count:
            made.append((first, count))
    return made


def free(ranges: Iterable[Range], taken: Iterable[int], start: int = 0) -> int:
    """The first of :data:`SIZE` ids in one of ``ranges`` that meet no range of a pod's; -1: there are none left.

    ``taken`` are the first ids of those that pods have, wherever they came from. It is the lowest from the place that the
    number ``start`` means (any number; 0 is the beginning), and behind the last place the lowest of all.
    """
    ranges = _merged(ranges)
    places = sum(count // SIZE for _, count in ranges)
    left = without(ranges, [(first, SIZE) for first in taken])
    later, skip = left, start % places if places else 0
    for first, count in ranges:
        if skip < count // SIZE:
            later = without(left, [(0, first + skip * SIZE)])
            break
        skip -= count // SIZE
    return next((first for first, count in (*later, *left) if count >= SIZE), -1)


# -- in the records --------------------------------------------------------------------------------------------------


def take(database: Database, pod_id: str) -> int:
    """The first id of the pod's range, written down now unless it was before. Raises :class:`Exhausted`."""
    with database:
        first = of(database, pod_id)
        if first:
            return first
        # No step of the records' version: a keeper that lives through an upgrade could not read them any more.
        database.query(
            "CREATE TABLE IF NOT EXISTS id_ranges (first INTEGER PRIMARY KEY, pod_id TEXT NOT NULL UNIQUE)"
        )
        taken = [row[0] for row in database.query("SELECT first FROM id_ranges")]
        ranges = pool(_text("/etc/subuid"), _text("/etc/subgid"), _own())
        first = free(ranges, taken, _start(database))
        if first < 0:
            raise _none_left(ranges, len(taken))
        database.query("INSERT INTO id_ranges (first, pod_id) VALUES (?, ?)", (first, pod_id))
    return first


def _none_left(ranges: Sequence[Range], taken: int) -> Exhausted:
    if any(count >= SIZE for _, count in ranges):
        return Exhausted(
            f"no range of {SIZE} users is left: {taken} pods have one each",
            hint=f"remove pods, or give user {USER} more in /etc/subuid and /etc/subgid",
            reason="id-ranges",
        )
    return Exhausted(
        f"there is no range of {SIZE} users for a pod here",
        hint=f"give user {USER} one in /etc/subuid and /etc/subgid, of ids that nobody else has",
        reason="id-ranges",
    )


def give_back(database: Database, pod_id: str) -> None:
    """Forget the range of a pod that is gone."""
    if _any(database):
        database.query("DELETE FROM id_ranges WHERE pod_id = ?", (pod_id,))


def of(database: Database, pod_id: str) -> int:
    """The first id of the pod's range; 0 when it has none."""
    if not _any(database):
        return 0
    rows = database.query("SELECT first FROM id_ranges WHERE pod_id = ?", (pod_id,))
    return int(rows[0][0]) if rows else 0


def _any(database: Database) -> bool:
    """Whether a pod has ever asked for a range here."""
    return bool(database.query("SELECT 1 FROM sqlite_master WHERE name = 'id_ranges'"))


def _start(database: Database) -> int:
    """Where this root's ranges begin: several roots of a machine know nothing of one another."""
    tag = Roots(os.path.dirname(database.path), "", "", 0).tag
    return int(tag.partition("-")[2] or "0", 16)


def whose(pod_id: str, pod: Pod) -> str:
    """The id of the pod whose users a pod has: its own, or that of the pod it lives in; empty for the host's users."""
    if pod.spec.host_users is not False:
        return ""
    return pod.spec.extras.pod or pod_id


def strays(database: Database) -> list[tuple[str, int]]:
    """(pod id, first id) of each range whose pod has no record."""
    if not _any(database):
        return []
    return list(
        database.query("SELECT pod_id, first FROM id_ranges WHERE pod_id NOT IN (SELECT id FROM pods)")
    )


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(4 << 20)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None


def _own() -> list[Range]:
    """The ids that this process sees: all of them, unless it is itself in a user namespace."""
    found = []
    for name in ("uid_map", "gid_map"):
        numbers = [int(word) for word in _text(f"/proc/self/{name}").split()] or [0, 0, 0xFFFFFFFF]
        found.append([(numbers[i], numbers[i + 2]) for i in range(0, len(numbers), 3)])
    return common(found[0], found[1])
