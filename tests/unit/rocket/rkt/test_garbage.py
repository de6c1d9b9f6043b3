"""Which pods a pass of the garbage collection marks, gives up, removes and keeps."""

from __future__ import annotations

import pytest

from lading.rocket.rkt.garbage import plan

NOW = 1_000_000.0
GRACE, EXPIRE = 1800.0, 86400.0


class Pod:
    def __init__(self, state: str, *, created: float = NOW - 10, marked: float = 0.0) -> None:
        self.uuid = "pod"
        self.state = state
        self.created = created
        self.garbage_since = marked


def _done(pod: Pod, *, grace: float = GRACE, mark_only: bool = False) -> set[str]:
    made = plan([pod], NOW, grace=grace, expire=EXPIRE, mark_only=mark_only)
    return {word for word in made.__slots__ if getattr(made, word)}


@pytest.mark.parametrize(
    ("pod", "done"),
    [
        (Pod("running"), set()),
        (Pod("preparing"), set()),
        (Pod("embryo"), set()),
        (Pod("prepared"), set()),
        (Pod("prepared", created=NOW - EXPIRE + 1), set()),
        (Pod("prepared", created=NOW - EXPIRE), {"expired", "remove"}),
        (Pod("exited"), {"mark", "kept"}),
        (Pod("exited garbage", marked=NOW - GRACE + 1), {"kept"}),
        (Pod("exited garbage", marked=NOW - GRACE), {"remove"}),
        (Pod("aborted prepare"), {"aborted", "remove"}),
        (Pod("deleting"), {"remove"}),
    ],
)
def test_what_a_pass_does_with_a_pod(pod: Pod, done: set[str]) -> None:
    assert _done(pod) == done


def test_the_grace_period_counts_from_the_mark_and_not_from_the_end() -> None:
    assert _done(Pod("exited", created=NOW - 10 * EXPIRE)) == {"mark", "kept"}


def test_without_a_grace_period_one_pass_is_enough() -> None:
    assert _done(Pod("exited"), grace=0) == {"mark", "remove"}


def test_a_clock_that_went_back_keeps() -> None:
    assert _done(Pod("exited garbage", marked=NOW + 5)) == {"kept"}


@pytest.mark.parametrize(
    ("state", "done"),
    [("exited", {"mark"}), ("exited garbage", set()), ("aborted prepare", {"aborted"}), ("deleting", set())],
)
def test_marking_alone_removes_nothing(state: str, done: set[str]) -> None:
    assert _done(Pod(state, marked=1.0), mark_only=True) == done
    assert _done(Pod("prepared", created=0.0), mark_only=True) == set()


def test_every_pod_is_judged_by_itself() -> None:
    pods = [Pod("exited"), Pod("running"), Pod("exited garbage", marked=1.0)]
    for number, pod in enumerate(pods):
        pod.uuid = str(number)
    made = plan(pods, NOW, grace=GRACE, expire=EXPIRE)
    assert (made.mark, made.kept, made.remove) == (["0"], ["0"], ["2"])
