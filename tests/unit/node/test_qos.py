"""Classes of service, and whom the kernel kills first."""

from __future__ import annotations

import pytest

from lading.formats.pod import Container, Pod, PodSpec, ResourceRequirements
from lading.node import qos

GIB = 1 << 30
FULL = {"cpu": "1", "memory": "1Gi"}


def _container(
    limits: dict[str, object] | None = None, requests: dict[str, object] | None = None
) -> Container:
    given = None
    if limits is not None or requests is not None:
        given = ResourceRequirements(limits=limits or {}, requests=requests or {})
    return Container(name="c", resources=given)


def _pod(*containers: Container, init: tuple[Container, ...] = ()) -> Pod:
    return Pod(spec=PodSpec(containers=list(containers), init_containers=list(init)))


@pytest.mark.parametrize(
    ("pod", "word", "score"),
    [
        (_pod(_container()), "BestEffort", 1000),
        (_pod(_container({"cpu": "0"})), "BestEffort", 1000),
        (_pod(_container(FULL)), "Guaranteed", -997),
        (_pod(_container(FULL, {"cpu": "1000m", "memory": "1024Mi"})), "Guaranteed", -997),
        (_pod(_container(FULL, {"memory": "512Mi"})), "Burstable", 950),
        (_pod(_container({"memory": "1Gi"})), "Burstable", 900),
        (_pod(_container(None, {"cpu": "1"})), "Burstable", 999),
        (_pod(_container(None, {"memory": "10Gi"})), "Burstable", 2),
        (_pod(_container(FULL), _container()), "Burstable", 900),
        (_pod(_container(FULL), init=(_container(),)), "Burstable", 900),
    ],
)
def test_class_and_score_follow_requests_and_limits(pod: Pod, word: str, score: int) -> None:
    assert qos.class_of(pod) == word
    assert qos.oom_score_adj(pod, pod.spec.containers[0], 10 * GIB) == score


def test_a_sidecar_is_killed_no_sooner_than_whom_it_serves() -> None:
    sidecar = Container(name="s", restart_policy="Always")
    setup = Container(name="i")
    pod = _pod(_container(None, {"memory": "5Gi"}), _container(), init=(sidecar, setup))
    assert qos.oom_score_adj(pod, sidecar, 10 * GIB) == 500
    assert qos.oom_score_adj(pod, setup, 10 * GIB) == 999
