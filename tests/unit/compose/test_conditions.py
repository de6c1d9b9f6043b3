"""When a dependency is what is waited for, and when it never will be."""

from __future__ import annotations

import pytest

from lading.compose.conditions import COMPLETED, HEALTHY, STARTED, Failed, met, settled
from lading.formats.pod import Container, Pod, PodExtras, PodSpec
from lading.node.model import ContainerRecord, PodRecord


def record(state: str, *, code: int = 0, health: str = "") -> PodRecord:
    pod = Pod(spec=PodSpec(containers=[Container(name="main")], extras=PodExtras(container=True)))
    made = ContainerRecord(id="i", pod_id="i", name="main", state=state, exit_code=code, health=health)
    return PodRecord(id="i", name="app-db-1", pod=pod, containers=[made])


@pytest.mark.parametrize(
    ("condition", "found", "expected"),
    [
        (STARTED, record("running"), True),
        (HEALTHY, record("running", health="starting"), False),
        (HEALTHY, record("running", health="healthy"), True),
        (HEALTHY, record("restarting"), False),
        (COMPLETED, record("running"), False),
        (COMPLETED, record("exited"), True),
    ],
)
def test_what_holds(condition: str, found: PodRecord, expected: bool) -> None:
    assert met(condition, [found]) is expected


@pytest.mark.parametrize(
    ("condition", "found", "why"),
    [
        (HEALTHY, record("running", health="unhealthy"), "unhealthy"),
        (HEALTHY, record("running"), "no health check"),
        (HEALTHY, record("exited", code=3), "exited (3)"),
        (COMPLETED, record("exited", code=3), "exited (3)"),
    ],
)
def test_what_never_will(condition: str, found: PodRecord, why: str) -> None:
    with pytest.raises(Failed) as raised:
        met(condition, [found])
    assert why in raised.value.message
    assert "app-db-1" in raised.value.message


def test_everything_is_settled_when_nothing_starts_any_more() -> None:
    assert settled([record("running"), record("running", health="healthy"), record("exited")])
    assert not settled([record("running", health="starting")])
    assert not settled([record("created")])
    with pytest.raises(Failed):
        settled([record("exited", code=1)])
