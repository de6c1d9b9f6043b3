"""Probes and health checks as transcripts of answers over time."""

from __future__ import annotations

from lading.formats.pod import Container, ExecAction, Healthcheck, Probe
from lading.node.health import HealthState, Probes


def probe(**fields):
    return Probe(exec=ExecAction(command=["true"]), **fields)


def play(probes, now, **answers):
    """Run every due probe with the answer for its kind; the kinds that ran."""
    ran = []
    for state in probes.due(now):
        state.begin()
        probes.finish(state, answers[state.kind], now)
        ran.append(state.kind)
    return ran


def test_without_probes_a_container_is_started_and_ready_at_once():
    probes = Probes(Container(name="a"), 0.0)
    assert (probes.started, probes.ready, probes.next_due()) == (True, True, None)


def test_readiness_waits_for_its_first_success_and_follows_the_thresholds():
    container = Container(
        name="a", readiness_probe=probe(period_seconds=2, success_threshold=2, failure_threshold=2)
    )
    probes = Probes(container, 0.0)
    assert not probes.ready
    seen = []
    for step, answer in enumerate([True, True, False, True, False, False, True, True]):
        play(probes, step * 2.0, readiness=answer)
        seen.append(probes.ready)
    assert seen == [False, True, True, True, True, False, False, True]
    assert not probes.restart


def test_a_slow_check_does_not_make_the_next_one_late_nor_two_at_once():
    probes = Probes(Container(name="a", liveness_probe=probe(period_seconds=2)), 0.0)
    (state,) = probes.due(0.0)
    state.begin()
    probes.finish(state, True, 1.5)
    assert probes.next_due() == 2.0
    state.begin()
    probes.finish(state, True, 9.0)
    assert probes.next_due() == 9.0
    state.begin()
    probes.finish(state, True, 9.1)
    assert probes.next_due() == 11.0


def test_liveness_asks_for_a_restart_after_enough_failures_in_a_row():
    probes = Probes(
        Container(name="a", liveness_probe=probe(initial_delay_seconds=5, failure_threshold=3)), 100.0
    )
    assert probes.next_due() == 105.0
    assert play(probes, 104.9, liveness=False) == []
    for moment, answer in [(105, False), (115, False), (125, True), (135, False), (145, False)]:
        play(probes, moment, liveness=answer)
        assert not probes.restart
    play(probes, 155, liveness=False)
    assert probes.restart == "liveness"


def test_the_startup_probe_holds_the_others_back_until_it_passes():
    container = Container(
        name="a",
        startup_probe=probe(period_seconds=1, failure_threshold=30),
        liveness_probe=probe(),
        readiness_probe=probe(),
    )
    probes = Probes(container, 0.0)
    for moment in range(5):
        assert play(probes, moment, startup=False) == ["startup"]
        assert not probes.started
    assert play(probes, 5.0, startup=True) == ["startup"]
    assert probes.started
    assert not probes.ready
    assert sorted(play(probes, 5.0, liveness=True, readiness=True)) == ["liveness", "readiness"]
    assert probes.ready
    assert play(probes, 6.0) == []


def test_a_startup_probe_that_never_passes_asks_for_a_restart():
    probes = Probes(Container(name="a", startup_probe=probe(period_seconds=1, failure_threshold=2)), 0.0)
    play(probes, 0.0, startup=False)
    play(probes, 1.0, startup=False)
    assert probes.restart == "startup"


def test_a_probe_under_way_is_not_started_twice():
    probes = Probes(Container(name="a", liveness_probe=probe(period_seconds=1)), 0.0)
    (state,) = probes.due(0.0)
    state.begin()
    assert probes.due(50.0) == []
    assert probes.next_due() is None


def test_a_health_check_turns_healthy_at_once_and_unhealthy_after_retries():
    health = HealthState(Healthcheck(test=["CMD", "x"], interval=10, retries=2), 0.0)
    assert (health.status, health.due) == ("starting", 10.0)
    seen = []
    for step, answer in enumerate([False, True, False, False, True]):
        health.finish(answer, 10.0 * (step + 1))
        seen.append(health.status)
    assert seen == ["starting", "healthy", "healthy", "unhealthy", "healthy"]


def test_failures_in_the_start_period_do_not_count_and_are_asked_more_often():
    check = Healthcheck(test=["CMD", "x"], interval=30, start_period=20, start_interval=5, retries=1)
    health = HealthState(check, 0.0)
    assert health.due == 5.0
    health.finish(False, 5.0)
    assert (health.status, health.due) == ("starting", 10.0)
    health.finish(False, 21.0)
    assert (health.status, health.due) == ("unhealthy", 51.0)
