"""Restart decisions as transcripts: a container's deaths and what follows each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.node.restart import KUBERNETES, Restarts, parse_policy, pod_policy


def transcript(policy, deaths):
    """Each death is (exit code, seconds it ran); the answer is each wait, or None."""
    restarts = Restarts(policy)
    now, waits = 1000.0, []
    for code, ran in deaths:
        started, now = now, now + ran
        due = restarts.died(code, started, now)
        waits.append(None if due is None else round(due - now, 3))
        now = due if due is not None else now
    return waits


@pytest.mark.parametrize(
    ("policy", "deaths", "waits"),
    [
        ("no", [(1, 0)], [None]),
        ("always", [(0, 0), (1, 0), (0, 0), (0, 0)], [0.1, 0.2, 0.4, 0.8]),
        ("always", [(1, 0), (1, 0), (1, 20), (1, 0)], [0.1, 0.2, 0.1, 0.2]),
        ("unless-stopped", [(0, 0)], [0.1]),
        ("on-failure", [(1, 0), (0, 0)], [0.1, None]),
        ("on-failure:2", [(1, 0), (1, 0), (1, 0)], [0.1, 0.2, None]),
        ("on-failure:0", [(1, 0), (1, 0), (1, 0)], [0.1, 0.2, 0.4]),
    ],
)
def test_docker_policies_restart_as_docker_does(policy, deaths, waits):
    assert transcript(parse_policy(policy), deaths) == waits


@pytest.mark.parametrize(
    ("restart_policy", "kind", "deaths", "waits"),
    [
        ("Always", "main", [(0, 1)] * 8, [0, 10, 20, 40, 80, 160, 300, 300]),
        ("Always", "main", [(0, 1), (0, 1), (0, 700), (0, 1)], [0, 10, 0, 10]),
        ("OnFailure", "main", [(1, 1), (0, 1)], [0, None]),
        ("Never", "main", [(1, 1)], [None]),
        ("Always", "init", [(1, 1), (0, 1)], [0, None]),
        ("Never", "init", [(1, 1)], [None]),
        ("Never", "sidecar", [(0, 1), (1, 1)], [0, 10]),
    ],
)
def test_pods_restart_as_the_kubelet_does(restart_policy, kind, deaths, waits):
    assert transcript(pod_policy(restart_policy, kind), deaths) == waits


@pytest.mark.parametrize(
    "text", ["", "sometimes", "always:3", "on-failure:", "on-failure:x", "on-failure:-1"]
)
def test_other_words_are_refused(text):
    with pytest.raises(InvalidInput):
        parse_policy(text)


@given(st.integers(0, 10_000))
def test_the_wait_never_passes_its_limit_and_never_shrinks(deaths):
    assert KUBERNETES.delay(deaths) <= KUBERNETES.delay(deaths + 1) <= 300
