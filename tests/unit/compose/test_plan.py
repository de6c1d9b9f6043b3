"""What is done to the containers of a service, decided from what is there."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.compose.plan import ADOPT, CREATE, KEEP, RECREATE, REMOVE, START, Found, Step, interim, plan

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


def there(number: int, **given: object) -> Found:
    values: dict[str, object] = {
        "id": f"{number:064x}",
        "name": f"app-web-{number}",
        "hash": "h",
        "image": "i",
        "running": True,
    }
    values.update(given)
    return Found(number=number, **values)  # type: ignore[arg-type]


def steps(found: list[Found], count: int = 1, **how: bool) -> list[tuple[str, int]]:
    return [(s.kind, s.number) for s in plan(found, count=count, hash="h", image="i", **how)]


def test_nothing_there_is_made() -> None:
    assert steps([], 3) == [(CREATE, 1), (CREATE, 2), (CREATE, 3)]


def test_what_is_as_it_should_be_stays_and_is_started() -> None:
    assert steps([there(1), there(2, running=False)], 2) == [(KEEP, 1), (START, 2)]


def test_another_definition_or_image_is_made_anew() -> None:
    assert steps([there(1, hash="old"), there(2, image="old"), there(3)], 3) == [
        (RECREATE, 1),
        (RECREATE, 2),
        (KEEP, 3),
    ]


def test_flags_make_everything_anew_or_nothing() -> None:
    assert steps([there(1)], force=True) == [(RECREATE, 1)]
    assert steps([there(1, hash="old")], keep=True) == [(KEEP, 1)]


def test_fewer_takes_the_highest_numbers_and_more_fills_the_gaps() -> None:
    assert steps([there(1), there(2), there(3)], 1) == [(REMOVE, 2), (REMOVE, 3), (KEEP, 1)]
    assert steps([there(1), there(3)], 4) == [(KEEP, 1), (KEEP, 3), (CREATE, 2), (CREATE, 4)]
    assert steps([there(1)], 0) == [(REMOVE, 1)]


def test_a_replacement_that_was_cut_short_goes_while_the_container_before_it_is_there() -> None:
    old = there(1, hash="old")
    new = there(1, id="f" * 64, name=interim("app-web-1", old.id), running=False, replaces=old.id)
    assert [(s.kind, s.found) for s in plan([old, new], count=1, hash="h", image="i")] == [
        (REMOVE, new),
        (RECREATE, old),
    ]


def test_a_replacement_whose_container_is_gone_takes_its_name() -> None:
    new = there(1, name=interim("app-web-1", "a" * 64), running=False, replaces="a" * 64)
    assert steps([new]) == [(ADOPT, 1)]


def test_a_finished_replacement_is_a_container_like_any_other() -> None:
    assert steps([there(1, replaces="a" * 64)]) == [(KEEP, 1)]


def test_two_of_one_number_become_one() -> None:
    assert sorted(steps([there(1), there(1, id="b" * 64, running=False)])) == [(KEEP, 1), (REMOVE, 1)]


_FOUND = st.builds(
    lambda number, hash, image, running, order: there(
        number, id=f"{order:064x}", hash=hash, image=image, running=running
    ),
    st.integers(0, 5),
    st.sampled_from("hx"),
    st.sampled_from("ix"),
    st.booleans(),
    st.integers(1, 99),
)


@pytest.mark.fuzz
@FUZZ
@given(
    st.lists(_FOUND, max_size=8, unique_by=lambda f: f.id), st.integers(0, 5), st.booleans(), st.booleans()
)
def test_whatever_is_there_the_right_number_is_left(
    found: list[Found], count: int, force: bool, keep: bool
) -> None:
    made: list[Step] = plan(found, count=count, hash="h", image="i", force=force, keep=keep)
    left = [s for s in made if s.kind != REMOVE]
    assert len(left) == count
    assert len({s.number for s in left}) == count
    assert {f.id for f in found} == {s.found.id for s in made if s.found is not None}
