"""What ``pod inspect`` says of a pod, in the words of the Kubernetes API."""

from __future__ import annotations

from lading.cli.inspect_pod import status
from lading.cli.pods import pod_status
from lading.formats.pod import Container, Pod, PodSpec
from lading.node.model import ContainerRecord, Ended, PodRecord


def _record(*containers: ContainerRecord, phase: str = "Running", keeper: int = 7) -> PodRecord:
    pod = Pod(spec=PodSpec(containers=[Container(name="x")]))
    return PodRecord(id="p", name="p", pod=pod, phase=phase, keeper_pid=keeper, containers=list(containers))


def _made(name: str, **fields: object) -> ContainerRecord:
    return ContainerRecord(id=f"id-{name}", pod_id="p", name=name, **fields)


def _conditions(shown: dict[str, object]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in shown["conditions"]}  # type: ignore[index,attr-defined]


def test_the_status_column_says_how_far_the_init_containers_are() -> None:
    done = _made("a", kind="init", state="exited", started=1.0, finished=2.0)
    for state, code, word in (
        ("running", 0, "Init:1/2"),
        ("restarting", 1, "Init:CrashLoopBackOff"),
        ("exited", 1, "Init:Error"),
    ):
        second = _made("b", kind="init", state=state, started=3.0, exit_code=code)
        assert pod_status(_record(done, second, _made("x"), phase="Pending")) == word


def test_a_container_that_never_ran_waits() -> None:
    shown = status(
        _record(
            _made("i", kind="init", state="exited", exit_code=4, started=1.0, finished=2.0),
            _made("x", state="exited"),
            phase="Failed",
            keeper=0,
        )
    )
    assert shown["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}  # type: ignore[index]
    (init,) = shown["initContainerStatuses"]  # type: ignore[misc]
    assert init["state"]["terminated"]["exitCode"] == 4 and init["ready"] is False  # type: ignore[index]
    assert _conditions(shown) == {
        "PodScheduled": ("True", ""),
        "PodReadyToStartContainers": ("False", ""),
        "Initialized": ("False", "ContainersNotInitialized"),
        "ContainersReady": ("False", "PodFailed"),
        "Ready": ("False", "PodFailed"),
    }


def test_the_run_before_is_the_last_state() -> None:
    last = Ended(exit_code=7, reason="Error", message="oh", started=10.0, finished=11.0)
    shown = status(
        _record(_made("x", state="running", started=20.0, restarts=1, up=True, ready=True, last=last))
    )
    (x,) = shown["containerStatuses"]  # type: ignore[misc]
    assert x["state"] == {"running": {"startedAt": "1970-01-01T00:00:20Z"}}  # type: ignore[index]
    ended = x["lastState"]["terminated"]  # type: ignore[index]
    assert (ended["exitCode"], ended["message"], ended["finishedAt"]) == (7, "oh", "1970-01-01T00:00:11Z")
    assert (x["restartCount"], x["started"], x["ready"]) == (1, True, True)  # type: ignore[index]
    assert _conditions(shown)["Ready"] == ("True", "")


def test_a_container_in_back_off_waits_and_its_end_is_the_last_state() -> None:
    shown = status(_record(_made("x", state="restarting", exit_code=3, started=1.0, finished=2.0)))
    (x,) = shown["containerStatuses"]  # type: ignore[misc]
    assert x["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}  # type: ignore[index]
    assert x["lastState"]["terminated"]["exitCode"] == 3  # type: ignore[index]
    assert _conditions(shown)["Ready"] == ("False", "ContainersNotReady")


def test_a_container_whose_startup_probe_has_not_passed_has_not_started() -> None:
    shown = status(
        _record(
            _made("s", kind="sidecar", state="running", started=1.0),
            _made("x"),
            phase="Pending",
        )
    )
    (sidecar,) = shown["initContainerStatuses"]  # type: ignore[misc]
    assert sidecar["started"] is False and _conditions(shown)["Initialized"][0] == "False"  # type: ignore[index]


def test_a_finished_pod_is_completed_not_unready() -> None:
    done = _made("x", state="exited", started=1.0, finished=2.0)
    shown = status(_record(done, phase="Succeeded", keeper=0))
    assert _conditions(shown)["Ready"] == ("False", "PodCompleted")
    assert _conditions(shown)["Initialized"] == ("True", "")


def test_conditions_say_since_when_and_the_machine_has_an_address() -> None:
    record = _record(
        _made("i", kind="init", state="exited", started=10.0, finished=11.0, first=10.0),
        _made("s", kind="sidecar", state="running", started=12.0, up=True, ready=True, turned=13.0),
        _made("x", state="running", started=20.0, up=True, ready=True, turned=21.0),
    )
    record.created = 9.0
    shown = status(record)
    since = {c["type"]: c["lastTransitionTime"][-3:-1] for c in shown["conditions"]}  # type: ignore[attr-defined]
    assert since == {
        "PodScheduled": "09",
        "PodReadyToStartContainers": "10",
        "Initialized": "13",
        "ContainersReady": "21",
        "Ready": "21",
    }
    record.containers[0].started = 50.0
    assert str(status(record)["startTime"]).endswith(":10Z")
    assert shown["hostIPs"] == [{"ip": shown["hostIP"]}] and shown["hostIP"]
    record.pod.spec.host_network = True
    assert status(record)["podIP"] == shown["hostIP"]


def test_a_container_that_cannot_start_waits_and_says_why() -> None:
    made = _made(
        "x", state="restarting", reason="StartError", error="no such path", exit_code=125, finished=3.0
    )
    shown = status(_record(made, phase="Pending"))
    (x,) = shown["containerStatuses"]  # type: ignore[misc]
    assert x["state"] == {"waiting": {"reason": "CreateContainerError", "message": "no such path"}}  # type: ignore[index]
    assert x["lastState"] == {} and x["containerID"] == ""  # type: ignore[index]
    assert pod_status(_record(made, phase="Pending")) == "CreateContainerError"
