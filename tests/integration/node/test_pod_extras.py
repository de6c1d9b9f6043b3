"""What a pod can ask for beyond Kubernetes, on the real kernel."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import InvalidInput
from lading.formats.pod import Pod
from lading.node import Node, blocklimits

pytestmark = pytest.mark.root
Extras = dict[str, object]


def _until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)


def _sh(name: str, script: str, extras: Extras | None = None, **fields: object) -> dict[str, object]:
    made = {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}
    return {**made, "x-lading": extras} if extras else made


def _pod(name: str, *containers: dict[str, object], **spec: object) -> Pod:
    return Pod.decode(
        {
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 30,
                "containers": list(containers),
                **spec,
            },
        }
    )


def _run(node: Node, pod: Pod) -> tuple[int, list[str]]:
    """Run a pod to its end: its exit code and what it wrote."""
    name = pod.metadata.name
    node.run_detached(pod)
    code = node.wait(name)
    _until(lambda: node.inspect(name).keeper_pid == 0)
    return code, [line.text.decode() for line in node.logs(name)]


def test_a_path_in_the_place_of_a_user_is_its_owner(node: Node) -> None:
    _run(
        node,
        _pod(
            "owner", _sh("main", "mkdir /srv; touch /srv/f /srv/g; chown 1234:99 /srv/f; chown 7:4321 /srv/g")
        ),
    )
    node.commit("owner/main", "owned")
    for user, said in (("/srv/f:/srv/g", "1234 4321"), ("7:/srv/f", "7 99"), ("/srv/f", "1234 0")):
        own = _sh("main", "echo $(id -u) $(id -g)", {"user": user}, image="owned")
        assert _run(node, _pod(f"as-{len(user)}", own)) == (0, [said])
    with pytest.raises(InvalidInput, match="/srv/none"):
        node.run_detached(_pod("as-nobody", _sh("main", "id", {"user": "/srv/none"}, image="owned")))


def test_a_container_chooses_its_system_calls(node: Node) -> None:
    removed = {"mode": "remove", "names": ["mkdir", "mkdirat"], "errno": "EROFS"}
    pod = _pod("removes", _sh("main", "mkdir /d; touch /f; ls -d /d /f", {"systemCalls": removed}))
    code, said = _run(node, pod)
    assert code == 1 and said[0].endswith("Read-only file system") and "/f" in said
    fatal = {"systemCalls": {"mode": "remove", "names": ["mkdir", "mkdirat"]}}
    assert _run(node, _pod("kills", _sh("main", "exec mkdir /d", fatal))) == (128 + 31, [])


@pytest.mark.parametrize("privileges", [True, False])
def test_what_is_not_retained_cannot_be_called(node: Node, privileges: bool) -> None:
    names = "arch_prctl exit_group fork clone vfork geteuid getuid getppid rt_sigsuspend wait4 set_tid_address sigaltstack"
    calls = {"mode": "retain", "names": names.split(), "errno": "EACCES"}
    context = {"allowPrivilegeEscalation": privileges, "runAsUser": 7}
    main = _sh("main", "mkdir /tmp/d; echo $?", {"systemCalls": calls}, securityContext=context)
    code, said = _run(node, _pod(f"retains-{privileges}".lower(), main))
    assert code == 0 and said[0].endswith("Permission denied") and said[1] == "1"


def test_containers_fail_together(node: Node) -> None:
    first = _sh("first", "trap 'exit 5' TERM; while :; do sleep 0.05; done")
    second = _sh("second", "sleep 0.5; exit 3")
    assert _run(node, _pod("together", first, second, **{"x-lading": {"failTogether": True}}))[0] == 3
    record = node.inspect("together")
    assert (record.phase, record.reason) == ("Failed", "ContainerFailed")
    assert [c.exit_code for c in record.containers] == [5, 3]


def test_limits_of_disks_are_those_of_the_group(node: Node) -> None:
    extras = {"blockBandwidth": [{"read": 12345678}], "blockOperations": [{"write": 4321}]}
    record = node.run_detached(_pod("throttled", _sh("main", "exec sleep 1000", extras)))
    group = node.shop.cgroup(record, record.containers[0])
    v1 = Path("/sys/fs/cgroup/blkio")
    names = (
        ("blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device") if v1.exists() else ("io.max",)
    )
    root = v1 if v1.exists() else Path("/sys/fs/cgroup")
    said = "".join((root / group.lstrip("/") / name).read_text() for name in names)
    for major, minor in blocklimits.disks():
        assert f"{major}:{minor} " in said
    assert "12345678" in said and "4321" in said
    node.remove("throttled", force=True)
