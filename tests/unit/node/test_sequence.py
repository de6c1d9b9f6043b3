"""Golden transcripts of pods' lives: what the sequence wants, second by second, and laws that hold in all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lading.formats.pod import Container, ExecAction, Lifecycle, LifecycleHandler, Probe
from lading.node.model import INIT, MAIN, SIDECAR
from lading.node.restart import parse_policy, pod_policy
from lading.node.sequence import Sequence, Unit

_PROBE = Probe(exec=ExecAction(command=["true"]), period_seconds=5, failure_threshold=2)
_HOOK = LifecycleHandler(exec=ExecAction(command=["true"]))


def _unit(name: str, kind: str = MAIN, policy: str = "Never", **fields: object) -> Unit:
    return Unit(Container(name=name, **fields), kind, pod_policy(policy, kind), 0.0)  # type: ignore[arg-type]


class Tape:
    """Drives a sequence and writes down what it says."""

    def __init__(
        self, *units: Unit, grace: float = 30.0, deadline: float | None = None, together: bool = False
    ) -> None:
        self.sequence = Sequence(units, grace=grace, deadline=deadline, fail_together=together)
        self.lines: list[str] = []

    def at(self, now: float, *happened: str) -> Tape:
        sequence = self.sequence
        for text in happened:
            what, name, *rest = text.split()
            unit = sequence.unit(name) if name != "-" else sequence.units[0]
            if what == "up":
                sequence.started(unit, now)
            elif what == "before":
                sequence.before(unit, now)
            elif what == "prepared":
                assert sequence.prepared(unit, now) == (rest[0] == "yes")
            elif what == "after":
                assert sequence.after(unit, int(rest[0]), now) == (rest[1] == "yes")
            elif what == "exit":
                sequence.exited(unit, int(rest[0]), now)
            elif what == "hook":
                sequence.hook_done(unit, rest[0], rest[1] == "ok", now)
            elif what == "probe":
                assert unit.probes is not None
                sequence.probed(unit, unit.probes.states[rest[0]], rest[1] == "ok", now)
            elif what == "stop":
                sequence.stop(now, float(rest[0]) if rest else None)
        wanted = ", ".join(map(repr, sequence.actions(now)))
        self.lines.append(f"{now:g}: {wanted or '-'}" + (f" [{sequence.phase}]" if sequence.done else ""))
        return self


def test_init_containers_run_one_after_the_other_before_the_main_ones() -> None:
    tape = Tape(_unit("a", INIT), _unit("b", INIT), _unit("x"), _unit("y"))
    tape.at(0).at(1, "up a").at(2, "exit a 0").at(2, "up b").at(3, "exit b 0").at(3, "up x", "up y")
    tape.at(9, "exit x 0").at(10, "exit y 0")
    assert tape.lines == [
        "0: start a",
        "1: -",
        "2: start b",
        "2: -",
        "3: start x, start y",
        "3: -",
        "9: -",
        "10: - [Succeeded]",
    ]


def test_a_container_starts_when_it_is_prepared_and_ends_after_its_post_stop() -> None:
    tape = Tape(_unit("x"), _unit("s", SIDECAR))
    tape.at(0).at(0, "up s").at(0, "before x").at(1, "prepared x yes").at(1, "up x")
    tape.at(5, "after x 3 yes").at(6, "exit x 3").at(7, "exit s 143")
    assert tape.lines == [
        "0: start s",
        "0: start x",
        "0: -",
        "1: start x",
        "1: -",
        "5: -",
        "6: terminate s",
        "7: - [Failed]",
    ]


def test_one_that_starts_again_is_prepared_again() -> None:
    tape = Tape(_unit("x", MAIN, "Always"))
    tape.at(0).at(0, "before x").at(0, "prepared x yes").at(0, "up x").at(1, "after x 0 yes").at(
        2, "exit x 0"
    )
    assert tape.lines[-1] == "2: start x" and not tape.sequence.unit("x").prepared


def test_stopped_while_it_is_prepared_it_never_starts_and_its_hooks_do_not_run() -> None:
    unit = _unit("x", lifecycle=Lifecycle(pre_stop=_HOOK, post_start=_HOOK))
    tape = Tape(unit).at(0).at(0, "before x").at(1, "stop - 5").at(6).at(7, "prepared x no", "exit x 125")
    assert tape.lines == ["0: start x", "0: -", "1: terminate x", "6: kill x", "7: - [Failed]"]


def test_a_post_stop_gets_the_grace_period_and_when_all_is_stopped_what_is_left_of_it() -> None:
    tape = (
        Tape(_unit("x"), grace=30).at(0).at(0, "up x").at(1, "after x 0 yes").at(30).at(31).at(32, "exit x 0")
    )
    assert tape.lines[3:] == ["30: -", "31: kill x", "32: - [Succeeded]"]
    tape = Tape(_unit("x")).at(0).at(0, "up x").at(1, "stop - 10").at(11).at(11, "after x 137 yes").at(13)
    assert tape.lines[2:] == ["1: terminate x", "11: kill x", "11: -", "13: kill x"]
    tape = Tape(_unit("x")).at(0).at(0, "up x").at(1, "after x 0 yes").at(2, "stop - 3").at(5)
    assert tape.lines[-1] == "5: kill x"
    Tape(_unit("x")).at(0).at(0, "up x").at(1, "stop - 0").at(1, "after x 137 no")


def test_containers_that_fail_together_end_when_the_first_has_failed_for_good() -> None:
    tape = Tape(_unit("x"), _unit("y"), _unit("z"), together=True)
    tape.at(0).at(0, "up x", "up y", "up z").at(1, "exit z 0").at(2, "exit y 3").at(3, "exit x 143")
    assert tape.lines == [
        "0: start x, start y, start z",
        "0: -",
        "1: -",
        "2: terminate x",
        "3: - [Failed]",
    ]
    again = Tape(_unit("x", MAIN, "OnFailure"), _unit("y"), together=True)
    again.at(0).at(0, "up x", "up y").at(2, "exit x 3")
    assert again.lines[-1] == "2: start x", "one that starts again has not failed"


def test_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    tape = Tape(_unit("a", INIT), _unit("x")).at(0).at(0, "up a").at(1, "exit a 3")
    assert tape.lines[-1] == "1: - [Failed]"


def test_failed_init_container_is_tried_again_at_once_then_after_ten_seconds() -> None:
    tape = Tape(_unit("a", INIT, "OnFailure"), _unit("x", MAIN, "OnFailure"))
    tape.at(0).at(0, "up a").at(1, "exit a 1").at(1, "up a").at(2, "exit a 1").at(11).at(12)
    assert tape.lines[2:] == ["1: start a", "1: -", "2: -", "11: -", "12: start a"]


def test_sidecar_gates_on_its_startup_probe_and_is_ended_last() -> None:
    tape = Tape(_unit("s", SIDECAR, startup_probe=_PROBE), _unit("x"))
    tape.at(0).at(0, "up s").at(1, "probe s startup ok").at(1, "up x").at(5, "exit x 0").at(6, "exit s 143")
    assert tape.lines == [
        "0: start s",
        "0: probe s startup",
        "1: start x",
        "1: -",
        "5: terminate s",
        "6: - [Succeeded]",
    ]


def test_sidecars_end_in_reverse_order_one_at_a_time() -> None:
    tape = Tape(_unit("s", SIDECAR), _unit("t", SIDECAR), _unit("x"))
    tape.at(0).at(0, "up s").at(0, "up t").at(0, "up x").at(5, "stop -").at(6, "exit x 0").at(
        7, "exit t 0"
    ).at(8, "exit s 0")
    assert tape.lines[4:] == ["5: terminate x", "6: terminate t", "7: terminate s", "8: - [Succeeded]"]


def test_sidecars_that_nobody_left_time_end_together_within_two_seconds() -> None:
    tape = Tape(_unit("s", SIDECAR), _unit("t", SIDECAR), _unit("x"), grace=10)
    tape.at(0).at(0, "up s").at(0, "up t").at(0, "up x").at(5, "stop -")
    assert tape.sequence.wake(5) == 15
    tape.at(15).at(15, "exit x 137").at(16, "exit s 143").at(17).at(17, "exit t 137")
    assert tape.lines[5:] == [
        "15: terminate s, terminate t, kill x",
        "15: -",
        "16: -",
        "17: kill t",
        "17: - [Failed]",
    ]


def test_no_grace_ends_everything_at_once() -> None:
    tape = Tape(_unit("s", SIDECAR), _unit("x")).at(0).at(0, "up s").at(0, "up x").at(5, "stop - 0")
    assert tape.lines[3:] == ["5: terminate s, kill s, terminate x, kill x"]


def test_stop_is_not_held_up_by_a_probes_longer_grace_period() -> None:
    probe = _PROBE.replace(termination_grace_period_seconds=60, failure_threshold=1)
    tape = Tape(_unit("x", MAIN, "Always", liveness_probe=probe), grace=30)
    tape.at(0).at(0, "up x").at(1, "probe x liveness bad").at(2, "stop - 3").at(5)
    assert tape.lines[2:] == ["1: terminate x", "2: -", "5: kill x"]


def test_pre_stop_runs_within_the_grace_period_and_two_seconds_beyond() -> None:
    tape = Tape(_unit("x", lifecycle=Lifecycle(pre_stop=_HOOK)), grace=10)
    tape.at(0).at(0, "up x").at(5, "stop -").at(14).at(15).at(17)
    assert tape.lines[2:] == ["5: pre_stop x", "14: -", "15: terminate x", "17: kill x"]


def test_pre_stop_that_ends_early_leaves_the_rest_of_the_grace_period() -> None:
    tape = Tape(_unit("x", lifecycle=Lifecycle(pre_stop=_HOOK)), grace=10)
    tape.at(0).at(0, "up x").at(5, "stop -").at(6, "hook x pre_stop ok").at(14).at(15)
    assert tape.lines[2:] == ["5: pre_stop x", "6: terminate x", "14: -", "15: kill x"]


def test_failed_post_start_hook_ends_the_container() -> None:
    tape = Tape(_unit("x", lifecycle=Lifecycle(post_start=_HOOK)))
    tape.at(0).at(0, "up x").at(1, "hook x post_start bad").at(2, "exit x 143")
    assert tape.lines == ["0: start x", "0: post_start x", "1: terminate x", "2: - [Failed]"]


def test_failing_liveness_probe_ends_and_restarts_the_container() -> None:
    tape = Tape(_unit("x", MAIN, "Always", liveness_probe=_PROBE), grace=3)
    tape.at(0).at(0, "up x").at(1, "probe x liveness bad").at(6).at(6, "probe x liveness bad").at(9).at(
        9, "exit x 137"
    )
    assert tape.lines[3:] == ["6: probe x liveness", "6: terminate x", "9: kill x", "9: start x"]


def test_active_deadline_ends_the_pod_as_failed() -> None:
    tape = Tape(_unit("x"), deadline=20.0).at(0).at(0, "up x").at(20).at(21, "exit x 0")
    assert tape.lines[2:] == ["20: terminate x", "21: - [Failed]"]
    assert tape.sequence.reason == "DeadlineExceeded"


def test_docker_policy_counts_its_restarts() -> None:
    unit = Unit(Container(name="x"), MAIN, parse_policy("on-failure:1"), 0.0)
    tape = Tape(unit).at(0).at(0, "up x").at(1, "exit x 5").at(1.2).at(1.2, "up x").at(2, "exit x 5")
    assert tape.lines == ["0: start x", "0: -", "1: -", "1.2: start x", "1.2: -", "2: - [Failed]"]


@given(
    st.lists(st.sampled_from(["up", "exit0", "exit1", "stop", "wait"]), max_size=40),
    st.sampled_from(["Always", "OnFailure", "Never"]),
)
def test_every_history_keeps_the_laws(moves: list[str], policy: str) -> None:
    units = [
        _unit("i", INIT, policy),
        _unit("s", SIDECAR, policy),
        _unit("x", MAIN, policy),
        _unit("y", MAIN, policy),
    ]
    sequence = Sequence(units, grace=5.0)
    now, stopped = 0.0, False
    living: set[str] = set()
    for move in moves:
        for action in sequence.actions(now):
            if action.verb == "start":
                assert action.unit.name not in living, "started twice"
                assert not stopped, "started after the stop"
                if action.unit.kind == MAIN:
                    assert units[0].state == "ended" and units[0].exit_code == 0, "before its init container"
                living.add(action.unit.name)
                sequence.started(action.unit, now)
            else:
                assert action.unit.name in living, "signalled what does not run"
                if action.verb == "kill":
                    living.discard(action.unit.name)
                    sequence.exited(action.unit, 137, now)
        if move.startswith("exit") and living:
            name = sorted(living)[0]
            living.discard(name)
            sequence.exited(sequence.unit(name), int(move[-1]), now)
        elif move == "stop":
            sequence.stop(now)
            stopped = True
        now += 1.0
    sequence.stop(now)
    for _ in range(40):
        for action in sequence.actions(now):
            if action.verb == "kill":
                living.discard(action.unit.name)
                sequence.exited(action.unit, 137, now)
        now += 1.0
    assert sequence.done and sequence.wake(now) is None


def test_a_start_that_fails_after_a_long_life_is_not_tried_again_at_once_for_ever() -> None:
    tape = Tape(_unit("x", MAIN, "Always")).at(0).at(0, "up x").at(700, "exit x 1").at(700, "exit x 125")
    tape.at(709).at(710).at(710, "exit x 125").at(729).at(730)
    assert tape.lines[2:] == [
        "700: start x",
        "700: -",
        "709: -",
        "710: start x",
        "710: -",
        "729: -",
        "730: start x",
    ]


def test_a_pre_stop_hook_that_ends_late_leaves_two_seconds() -> None:
    tape = Tape(_unit("x", lifecycle=Lifecycle(pre_stop=_HOOK)), grace=10)
    tape.at(0).at(0, "up x").at(5, "stop -").at(14.5, "hook x pre_stop ok").at(15).at(16.5)
    assert tape.lines[2:] == ["5: pre_stop x", "14.5: terminate x", "15: -", "16.5: kill x"]


def test_a_pod_stopped_before_its_main_containers_began_has_failed() -> None:
    tape = Tape(_unit("a", INIT), _unit("x")).at(0).at(0, "up a").at(1, "stop -").at(2, "exit a 0")
    assert tape.lines[-1] == "2: - [Failed]"


def test_what_a_probe_had_killed_starts_again_however_well_it_ended() -> None:
    probe = _PROBE.replace(failure_threshold=1)
    tape = Tape(_unit("x", MAIN, "OnFailure", liveness_probe=probe))
    tape.at(0).at(0, "up x").at(1, "probe x liveness bad").at(2, "exit x 0").at(2, "up x").at(9, "exit x 0")
    assert tape.lines[2:] == ["1: terminate x", "2: start x", "2: probe x liveness", "9: - [Succeeded]"]
    tape = Tape(_unit("x", MAIN, "Never", liveness_probe=probe))
    tape.at(0).at(0, "up x").at(1, "probe x liveness bad").at(2, "exit x 0")
    assert tape.lines[3:] == ["2: - [Succeeded]"]
