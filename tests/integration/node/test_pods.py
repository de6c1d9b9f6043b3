"""Pods of several containers against the real kernel."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.formats.pod import Pod
from lading.node import Node
from lading.node.model import ContainerRecord
from lading.node.shop import process_start

pytestmark = pytest.mark.root


def _until(check: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.03)


def _sh(name: str, script: str, **fields: object) -> dict[str, object]:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}


def _pod(name: str, containers: list[dict[str, object]], **spec: object) -> Pod:
    return Pod.decode(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "containers": containers,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 2,
                **spec,
            },
        }
    )


def _of(node: Node, pod: str, name: str) -> ContainerRecord:
    return next(c for c in node.inspect(pod).containers if c.name == name)


def _lines(node: Node, pod: str) -> list[tuple[str, str]]:
    return [(line.container, line.text.decode()) for line in node.logs(pod)]


def test_init_sidecar_and_main_share_volumes_and_network_and_end_in_order(node: Node) -> None:
    mount = [{"name": "s", "mountPath": "/s"}, {"name": "m", "mountPath": "/m"}]
    pod = _pod(
        "whole",
        [
            _sh("web", "cat /s/a; echo page > /s/index; httpd -p 8080 -h /s; echo bye > /dev/termination-log; "
                "until [ -e /m/done ]; do sleep 0.05; done; exit 3", volumeMounts=mount,
                readinessProbe={"httpGet": {"port": 8080, "path": "/index"}, "periodSeconds": 1}),
            _sh("client", "until wget -q -O - localhost:8080/index; do sleep 0.1; done; hostname; df /m | tail -1; "
                "sleep 1.2; touch /m/done", volumeMounts=mount),
        ],
        initContainers=[
            _sh("first", "echo init > /s/a", volumeMounts=mount),
            _sh("side", "trap 'echo side ends; exit 0' TERM; while :; do sleep 0.05; done", restartPolicy="Always"),
        ],
        volumes=[
            {"name": "s", "emptyDir": {}},
            {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
    )  # fmt: skip
    node.run_detached(pod)
    _until(lambda: _of(node, "whole", "web").ready)
    assert node.wait("whole") == 3
    _until(lambda: node.inspect("whole").keeper_pid == 0)
    record = node.inspect("whole")
    assert record.phase == "Failed" and _of(node, "whole", "web").message == "bye\n"
    said = _lines(node, "whole")
    assert ("web", "init") in said and ("client", "page") in said and ("client", "whole") in said
    assert said[-1] == ("side", "side ends")
    assert any(c == "client" and "1024" in text for c, text in said)
    assert not os.path.exists(node.shop.memory_directory(record.id))
    node.remove("whole")
    assert node.check() == []


def test_shared_pid_namespace_has_a_pause_process_without_rights(node: Node) -> None:
    pod = _pod(
        "shared",
        [
            _sh("a", "sleep 100"),
            _sh("b", "sleep 0.2; cat /proc/1/status | grep -E '^(Uid|CapEff)'; ps | grep -c sleep"),
        ],
        shareProcessNamespace=True,
    )
    node.run_detached(pod)
    _until(lambda: _of(node, "shared", "b").state == "exited")
    text = "\n".join(t for c, t in _lines(node, "shared") if c == "b")
    assert "65534\t65534" in text and "CapEff:\t0000000000000000" in text
    node.stop("shared", timeout=0)
    assert node.inspect("shared").state == "exited"


def test_failing_liveness_probe_restarts_and_hooks_run(node: Node) -> None:
    pod = _pod(
        "sick",
        [
            _sh(
                "x",
                "sleep 100",
                lifecycle={
                    "postStart": {"exec": {"command": ["touch", "/started"]}},
                    "preStop": {"exec": {"command": ["sh", "-c", "echo x >> /stopped"]}},
                },
                livenessProbe={
                    "exec": {"command": ["test", "-e", "/stopped"]},
                    "periodSeconds": 1,
                    "failureThreshold": 1,
                },
            )
        ],
        restartPolicy="Always",
        terminationGracePeriodSeconds=1,
    )
    node.run_detached(pod)
    _until(lambda: _of(node, "sick", "x").restarts == 1 and _of(node, "sick", "x").state == "running")
    assert (
        node.path_stat("sick/x", "/started") is not None and node.path_stat("sick/x", "/stopped") is not None
    )
    assert "unhealthy" in [e.action for e in node.events(since=1, follow=False)]
    node.stop("sick", timeout=0)


def test_a_hook_without_probes_leaves_its_container_ready(node: Node) -> None:
    hook = {"postStart": {"exec": {"command": ["true"]}}}
    node.run_detached(_pod("hooked", [_sh("x", "sleep 1000", lifecycle=hook)]))
    _until(lambda: _of(node, "hooked", "x").ready and _of(node, "hooked", "x").up)
    node.remove("hooked", force=True)


def test_a_restarted_container_remembers_how_it_ended(node: Node) -> None:
    script = "echo a; echo $$$$; [ -e /been ] && exec sleep 1000; touch /been; echo why > /dev/termination-log; exit 7"
    node.run_detached(_pod("again", [_sh("x", script)], restartPolicy="OnFailure"))
    _until(lambda: _of(node, "again", "x").restarts == 1 and _of(node, "again", "x").state == "running")
    last = _of(node, "again", "x").last
    assert last is not None and (last.exit_code, last.reason, last.message) == (7, "Error", "why\n")
    _until(lambda: len(_lines(node, "again")) == 4)
    whole = list(node.logs("again"))
    before = list(node.logs("again", previous=True))
    assert [line.stamp for line in before] == [line.stamp for line in whole[:2]]
    assert [line.stamp for line in node.logs("again/x", previous=True, tail=1)] == [whole[1].stamp]
    node.remove("again", force=True)


def test_a_container_that_never_ran_before_has_no_previous_log(node: Node) -> None:
    node.run_detached(_pod("fresh", [_sh("x", "echo a; exec sleep 1000")]))
    with pytest.raises(Conflict) as caught:
        list(node.logs("fresh", previous=True))
    assert caught.value.reason == "no-previous-run"
    node.remove("fresh", force=True)


def test_termination_messages_share_their_space_and_keep_their_ends(node: Node) -> None:
    loud = "i=0; while [ $i -lt 1000 ]; do echo line$i; i=$((i+1)); done"
    containers = [_sh(f"c{n}", f"({loud}) > /dev/termination-log") for n in range(4)]
    containers.append(_sh("log", f"{loud}; exit 1", terminationMessagePolicy="FallbackToLogsOnError"))
    containers.append(_sh("fine", loud, terminationMessagePolicy="FallbackToLogsOnError"))
    node.run_detached(_pod("loud", containers))
    _until(lambda: node.inspect("loud").keeper_pid == 0)
    for number in range(4):
        message = _of(node, "loud", f"c{number}").message
        assert len(message) == 12288 // 6 and message.endswith("line999\n")
    lines = _of(node, "loud", "log").message.split("\n")
    assert len(lines) == 80 and lines[-1] == "line999"
    assert _of(node, "loud", "fine").message == ""


def test_who_asked_for_nothing_is_killed_first_when_memory_is_short(node: Node) -> None:
    with open("/proc/self/oom_score_adj") as stream:
        ours = int(stream.read())
    guaranteed = {"limits": {"cpu": "100m", "memory": "64Mi"}}
    scores = []
    for name, fields in (("none", {}), ("all", {"resources": guaranteed})):
        node.run_detached(_pod(name, [_sh("x", "cat /proc/self/oom_score_adj", **fields)]))
        _until(lambda name=name: node.inspect(name).keeper_pid == 0)  # type: ignore[misc]
        scores.append(int(_lines(node, name)[0][1]))
    assert scores[0] == 1000 and scores[1] in (-997, ours)


def test_a_deadline_counts_from_the_pods_start_whoever_keeps_it(node: Node) -> None:
    node.run_detached(_pod("late", [_sh("x", "sleep 100000")], activeDeadlineSeconds=5000))
    record = node.inspect("late")
    keeper = (record.keeper_pid, record.keeper_start)
    os.kill(record.keeper_pid, 9)
    _until(lambda: process_start(keeper[0]) != keeper[1])
    record.containers[0].first -= 6000  # of its first run, however often it has been restarted since
    node.shop.records.save(record, record.containers[0])
    node.check(repair=True)
    _until(lambda: node.inspect("late").keeper_pid == 0)
    assert (node.inspect("late").phase, node.inspect("late").reason) == ("Failed", "DeadlineExceeded")


def test_a_pod_on_the_hosts_network_has_the_hosts_name(node: Node) -> None:
    pod = _pod(
        "hosted",
        [_sh("x", "hostname; echo $HOSTNAME; cat /etc/hostname")],
        hostNetwork=True,
        hostname="other",
    )
    node.run_detached(pod)
    _until(lambda: node.inspect("hosted").keeper_pid == 0)
    assert [text for _, text in _lines(node, "hosted")] == [os.uname().nodename] * 3


def test_a_probe_that_is_late_leaves_nothing_running(node: Node) -> None:
    command = ["sh", "-c", "echo x >> /tries; sleep 7777; true"]
    probe = {"exec": {"command": command}, "timeoutSeconds": 1, "periodSeconds": 1}
    node.run_detached(_pod("late-probe", [_sh("x", "sleep 1000", readinessProbe=probe)]))

    def tries() -> int:
        stat = node.path_stat("late-probe/x", "/tries")
        return 0 if stat is None else int(stat["size"]) // 2

    _until(lambda: tries() >= 3)
    # The last one may sleep, and the one before be just dying.
    _until(lambda: sum(row["CMD"].startswith("sleep 7777") for row in node.top("late-probe/x")) <= 1)
    node.remove("late-probe", force=True)


def test_failed_init_container_fails_the_pod_without_starting_the_rest(node: Node) -> None:
    node.run_detached(_pod("doomed", [_sh("x", "echo never")], initContainers=[_sh("i", "exit 4")]))
    _until(lambda: node.inspect("doomed").keeper_pid == 0)
    record = node.inspect("doomed")
    assert (record.phase, record.reason) == ("Failed", "InitContainerFailed")
    assert _lines(node, "doomed") == []


def test_docker_health_check_tells_its_verdict(node: Node) -> None:
    pod = Pod.decode(
        {
            "metadata": {"name": "checked"},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "busybox",
                        "args": ["sh", "-c", "sleep 0.4; touch /ok; sleep 100"],
                        "x-lading": {
                            "healthcheck": {
                                "test": ["CMD-SHELL", "test -e /ok"],
                                "interval": 0.2,
                                "retries": 100,
                            }
                        },
                    }
                ],
                "restartPolicy": "Never",
                "x-lading": {"container": True, "networkMode": "none"},
            },
        }
    )
    node.run_detached(pod)
    assert node.inspect("checked").container.health == "starting"
    _until(lambda: node.inspect("checked").container.health == "healthy")


def test_pods_name_is_as_exclusive_as_a_containers(node: Node) -> None:
    node.create(_pod("twin", [_sh("x", "true")]))
    with pytest.raises(Conflict):
        node.create(_pod("twin", [_sh("x", "true")]))


def test_what_starts_together_runs_when_the_command_returns(node: Node) -> None:
    names = [f"c{number}" for number in range(5)]
    node.run_detached(_pod("together", [_sh(name, "sleep 100") for name in names]))
    assert [_of(node, "together", name).state for name in names] == ["running"] * len(names)
    node.remove("together", force=True)


def test_a_pod_whose_container_cannot_start_is_tried_again_and_can_be_removed(
    node: Node, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    mount = [{"name": "v", "mountPath": "/v"}]
    pod = _pod(
        "patient",
        [_sh("x", "exec sleep 1000", volumeMounts=mount)],
        restartPolicy="Always",
        volumes=[{"name": "v", "hostPath": {"path": str(missing), "type": "Directory"}}],
    )
    with pytest.raises(InvalidInput, match="No such file") as caught:
        node.run_detached(pod)
    assert "lading pod rm -f patient" in caught.value.hint
    assert _of(node, "patient", "x").state == "restarting"
    missing.mkdir()
    _until(lambda: _of(node, "patient", "x").state == "running")
    missing.rmdir()
    node.remove("patient", force=True)
    with pytest.raises(InvalidInput):
        node.run_detached(pod)
    node.remove("patient", force=True)
    with pytest.raises(NotFound):
        node.inspect("patient")


def test_what_the_kernel_says_of_a_file_ends_no_keeper(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    from lading.node import podvolumes

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(podvolumes, "mounts", full)
    pod = _pod(
        "full",
        [_sh("x", "true", volumeMounts=[{"name": "v", "mountPath": "/v"}])],
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    with pytest.raises(LadingError, match="/somewhere: No space left on device"):
        node.run_detached(pod)
    _until(lambda: node.inspect("full").keeper_pid == 0)
    assert (node.inspect("full").phase, _of(node, "full", "x").reason) == ("Failed", "StartError")
    monkeypatch.setattr(podvolumes, "own_claims", full)
    with pytest.raises(LadingError, match="/somewhere"):
        node.start("full")
    _until(lambda: node.inspect("full").keeper_pid == 0)
    assert node.inspect("full").reason == "SandboxFailed"


def test_a_hook_of_a_run_that_is_over_says_nothing_of_the_next(node: Node) -> None:
    script = "[ -e /been ] && exec sleep 1000; touch /been; sleep 0.3; exit 1"
    hook = {
        "postStart": {
            "exec": {"command": ["sh", "-c", "[ -e /hooked ] || { touch /hooked; exec sleep 1000; }"]}
        }
    }
    node.run_detached(_pod("hooks", [_sh("x", script, lifecycle=hook)], restartPolicy="Always"))
    _until(lambda: _of(node, "hooks", "x").restarts == 1 and _of(node, "hooks", "x").up)
    assert (_of(node, "hooks", "x").restarts, _of(node, "hooks", "x").message) == (1, "")
    node.remove("hooks", force=True)


@pytest.mark.parametrize(("user", "words"), [("nobody", "is a name"), ("", "as root"), ("0:0", "as root")])
def test_a_user_that_need_not_be_root_is_a_number(node: Node, user: str, words: str) -> None:
    node.run_detached(_pod("base", [_sh("x", "true")]))
    node.wait("base")
    node.commit("base", "named:1", changes=[f"USER {user}"] if user else [])
    pod = _pod("careful", [_sh("x", "id")], securityContext={"runAsNonRoot": True})
    pod.spec.containers[0].image = "named:1"
    with pytest.raises(InvalidInput, match=words) as caught:
        node.run_detached(pod)
    assert caught.value.reason == "runs-as-root"


def test_following_several_containers_misses_no_line_and_tells_none_twice(node: Node) -> None:
    script = "seq 20000; sleep 0.3; seq 20001 40000"
    node.run_detached(_pod("flood", [_sh(name, script) for name in ("a", "b", "c")]))
    found: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
    for line in node.logs("flood", follow=True):
        found[line.container].append(line.text)
    expected = [b"%d" % number for number in range(1, 40001)]
    assert {name: lines == expected for name, lines in found.items()} == dict.fromkeys(found, True)
    node.remove("flood", force=True)


def test_a_paused_container_is_not_probed_and_so_not_restarted(node: Node) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
    containers = [_sh("x", "exec sleep 1000", livenessProbe=probe), _sh("y", "exec sleep 1000")]
    containers[1]["livenessProbe"] = {
        "exec": {"command": ["sh", "-c", "echo x >> /asked"]},
        "periodSeconds": 1,
    }
    node.run_detached(_pod("still", containers))

    def asked() -> int:
        found = node.path_stat("still/y", "/asked")
        return int(str(found["size"])) if found is not None else 0

    _until(lambda: asked() > 0)
    node.pause("still/x")
    before = asked()
    _until(lambda: asked() >= before + 6)  # three times what the other one needs to be called unhealthy
    assert _of(node, "still", "x").state == "paused"
    node.unpause("still/x")
    assert (_of(node, "still", "x").restarts, _of(node, "still", "x").message) == (0, "")
    node.remove("still", force=True)


def test_a_container_of_a_pod_neither_stops_nor_starts_alone(node: Node) -> None:
    node.run_detached(_pod("both", [_sh("x", "exec sleep 1000"), _sh("y", "exec sleep 1000")]))
    for act, verb in (
        (node.stop, "stop"),
        (node.restart, "restart"),
        (node.start, "start"),
        (node.remove, "rm -f"),
    ):
        with pytest.raises(InvalidInput, match="both/x is a container of pod both") as caught:
            act("both/x")
        assert caught.value.hint == f"lading {verb} both"
    assert {c.state for c in node.inspect("both").containers} == {"running"}
    node.remove("both", force=True)


def test_a_container_killed_by_hand_is_restarted_by_its_pods_policy(node: Node) -> None:
    node.run_detached(
        _pod("hardy", [_sh("x", "exec sleep 1000"), _sh("y", "exec sleep 1000")], restartPolicy="Always")
    )
    for name in "xy":
        node.kill(f"hardy/{name}", 9)
        _until(
            lambda name=name: (
                _of(node, "hardy", name).restarts == 1 and _of(node, "hardy", name).state == "running"
            )
        )  # type: ignore[misc]
    assert not node.inspect("hardy").stopped
    node.remove("hardy", force=True)


def test_a_pod_started_again_begins_with_its_init_containers_whoever_keeps_it(node: Node) -> None:
    mount = [{"name": "v", "mountPath": "/v"}]
    pod = _pod(
        "anew",
        [_sh("main", "exit 3")],
        initContainers=[_sh("first", "[ -e /v/been ] && exec sleep 1000; touch /v/been", volumeMounts=mount)],
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    node.run_detached(pod)
    assert node.wait("anew") == 3
    _until(lambda: node.inspect("anew").keeper_pid == 0)
    node.start("anew")
    _until(lambda: _of(node, "anew", "first").state == "running")
    assert _of(node, "anew", "main").state == "created"
    record = node.inspect("anew")
    keeper = (record.keeper_pid, record.keeper_start)
    os.kill(record.keeper_pid, 9)
    _until(lambda: process_start(keeper[0]) != keeper[1])
    node.check(repair=True)
    assert node.inspect("anew").keeper_pid not in (0, keeper[0])
    assert (_of(node, "anew", "first").state, _of(node, "anew", "main").state) == ("running", "created")
    node.remove("anew", force=True)
