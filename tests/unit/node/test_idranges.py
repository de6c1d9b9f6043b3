"""Ranges of users for pods: nobody else's, never two pods' at once, and given back with the pod."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import Exhausted, InvalidInput
from lading.formats.pod import Container, Pod, PodExtras, PodSpec
from lading.node import idranges
from lading.node.database import Database
from lading.node.idranges import DEFAULT, SIZE
from lading.node.model import ContainerRecord, PodRecord
from lading.node.records import Records, new_id

RANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 120)), max_size=8)


def ids(ranges: list[tuple[int, int]]) -> set[int]:
    return {id for first, count in ranges for id in range(first, first + count)}


def apart(ranges: list[tuple[int, int]]) -> bool:
    return all(a + n < b for (a, n), (b, _) in itertools.pairwise(ranges)) and all(n > 0 for _, n in ranges)


@pytest.mark.fuzz
@given(RANGES, RANGES)
def test_sets_of_ids_are_cut_as_sets_are(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    both, rest = idranges.common(some, others), idranges.without(some, others)
    assert ids(both) == ids(some) & ids(others)
    assert ids(rest) == ids(some) - ids(others)
    assert apart(both) and apart(rest)


@pytest.mark.fuzz
@given(
    st.lists(st.tuples(st.integers(0, 40 * SIZE), st.integers(0, 9 * SIZE)), max_size=6),
    st.lists(st.integers(0, 40 * SIZE), max_size=12),
    st.lists(st.booleans(), max_size=60),
    st.integers(0, 1 << 24),
)
def test_no_range_ever_meets_another_or_leaves_what_is_ours(
    ranges: list[tuple[int, int]], old: list[int], steps: list[bool], start: int
) -> None:
    """``old`` are pods' ranges of before the files were changed: nothing says that they are in line with today's."""
    mine: list[int] = []
    for take in steps:
        if not take:
            if mine:
                mine.pop(len(mine) // 2)
            continue
        first = idranges.free(ranges, [*old, *mine], start)
        if first < 0:
            assert idranges.free(ranges, [*old, *mine]) < 0, "where one begins to look hides none"
            continue
        assert idranges.common(ranges, [(first, SIZE)]) == [(first, SIZE)]
        assert all(abs(first - other) >= SIZE for other in [*old, *mine])
        mine.append(first)


@pytest.mark.fuzz
@given(st.text(max_size=300), st.text(alphabet="lading:0123456789\n x", max_size=300))
def test_any_text_of_the_files_is_ranges_or_one_clear_error(uids: str, gids: str) -> None:
    try:
        made = idranges.pool(uids, gids)
    except InvalidInput as error:
        assert "lading" in str(error)
    else:
        assert all(count > 0 for _, count in made)


def test_the_lines_of_the_user_lading_are_what_is_given_out() -> None:
    text = "root:100000:65536\nlading:300000:131072\nlading:500000:65536\n"
    assert idranges.pool(text, text) == [(300000, 131072), (500000, 65536)]


def test_users_and_groups_are_the_same_ids() -> None:
    assert idranges.pool("lading:1000:500\n", "lading:1200:900\n") == [(1200, 300)]
    with pytest.raises(InvalidInput, match=r"/etc/subgid"):
        idranges.pool("lading:100000:65536\n", "other:1:1\n")
    with pytest.raises(InvalidInput, match=r"/etc/subuid"):
        idranges.pool("", "lading:100000:65536\n")


def test_without_such_lines_a_high_range_is_used_less_what_others_have() -> None:
    first, count = DEFAULT
    assert first % SIZE == 0 and count > 2000 * SIZE
    assert first > 2000200000 and first + count <= 0x7FFE0000
    assert idranges.pool("a:100000:65536\n", "") == [DEFAULT]
    assert idranges.pool("", f"a:{first + SIZE}:10\n") == [
        (first, SIZE),
        (first + SIZE + 10, count - SIZE - 10),
    ]


def test_several_roots_begin_at_different_places() -> None:
    pool = [(0, 2 * SIZE), (10 * SIZE, 3 * SIZE)]
    assert [idranges.free(pool, [], start) // SIZE for start in range(7)] == [0, 1, 10, 11, 12, 0, 1]
    assert idranges.free(pool, [11 * SIZE, 12 * SIZE], 3) == 0, "behind the last comes the first"


def test_only_ids_that_this_process_has_can_be_given() -> None:
    assert idranges.pool("", "", [(0, 65537)]) == []
    assert idranges.pool("lading:70000:200000\n", "lading:70000:200000\n", [(0, 140000)]) == [(70000, 70000)]


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    made = {"/etc/subuid": "", "/etc/subgid": "", "/proc/self/uid_map": "", "/proc/self/gid_map": ""}
    monkeypatch.setattr(idranges, "_text", lambda path: made[path])
    monkeypatch.setattr(idranges, "_start", lambda database: 0)
    return made


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(f"{tmp_path}/node.db")


def pod(name: str, *, own: bool = True, house: str = "") -> PodRecord:
    identity = new_id()
    spec = PodSpec(
        containers=[Container(name="main", image="i")],
        host_users=False if own else None,
        extras=PodExtras(container=True, pod=house),
    )
    made = PodRecord(id=identity, name=name, pod=Pod(spec=spec))
    made.containers.append(
        ContainerRecord(id=identity, pod_id=identity, name="main", image="i", image_id="x")
    )
    return made


def test_a_pod_has_its_range_from_its_record_on_and_until_that_goes(
    records: Records, files: dict[str, str]
) -> None:
    files["/etc/subuid"] = files["/etc/subgid"] = f"lading:100000:{2 * SIZE}\n"
    first, second, third = pod("a"), pod("b"), pod("c")
    records.insert(first)
    records.insert(second)
    assert [first.users, second.users] == [100000, 100000 + SIZE]
    found = records.get(second.id)
    assert found is not None and found.users == second.users
    with pytest.raises(Exhausted) as caught:
        records.insert(third)
    assert caught.value.reason == "id-ranges" and "2 pods" in caught.value.message
    assert records.get(third.id) is None, "a pod without its range is not recorded"
    records.delete(first)
    records.insert(third)
    assert third.users == 100000
    assert idranges.strays(records.database) == []


def test_a_pod_with_the_hosts_users_takes_none_and_one_that_lives_in_a_pod_has_that_pods(
    records: Records, files: dict[str, str]
) -> None:
    plain, house = pod("plain", own=False), pod("house")
    records.insert(plain)
    records.insert(house)
    member = pod("member", house=house.id)
    records.insert(member)
    assert plain.users == 0 and member.users == house.users == DEFAULT[0]
    found = records.get(member.id)
    assert found is not None and found.users == house.users
    records.delete(member)
    assert idranges.of(records.database, house.id) == house.users


def test_a_range_once_taken_is_kept_whatever_the_files_say_later(
    records: Records, files: dict[str, str]
) -> None:
    made = pod("a")
    records.insert(made)
    files["/etc/subuid"] = files["/etc/subgid"] = f"lading:{made.users - 10}:{3 * SIZE}\n"
    assert idranges.take(records.database, made.id) == made.users
    other = pod("b")
    records.insert(other)
    assert other.users == made.users + SIZE


def test_where_there_is_no_range_at_all_it_is_said_what_to_do(
    records: Records, files: dict[str, str]
) -> None:
    files["/proc/self/uid_map"] = files["/proc/self/gid_map"] = "0 1000 1\n1 100000 65536\n"
    with pytest.raises(Exhausted, match=r"/etc/subuid"):
        records.insert(pod("a"))


def test_records_of_before_there_were_ranges_are_read(records: Records, files: dict[str, str]) -> None:
    plain = pod("plain", own=False)
    records.insert(plain)
    assert records.database.query("SELECT name FROM sqlite_master WHERE name = 'id_ranges'") == []
    assert idranges.of(records.database, plain.id) == 0 and idranges.strays(records.database) == []
    idranges.give_back(records.database, plain.id)
    records.delete(plain)


def test_the_default_root_begins_at_the_beginning_and_another_elsewhere(tmp_path: Path) -> None:
    assert idranges._start(Database("/var/lib/lading/node.db")) == 0
    assert idranges._start(Database(f"{tmp_path}/node.db")) > 0


def test_a_range_without_a_pod_is_found(records: Records, files: dict[str, str]) -> None:
    first = idranges.take(records.database, "gone")
    assert idranges.strays(records.database) == [("gone", first)]
    idranges.give_back(records.database, "gone")
    assert idranges.strays(records.database) == []
