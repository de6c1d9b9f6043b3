"""What does not go with users of a pod's own: each field is named."""

from __future__ import annotations

from typing import Any

import pytest

from lading.formats.pod import Pod
from lading.node import admission_report, admission_users
from lading.node.admission import Refused, admit

GOOD: dict[str, Any] = {
    "hostUsers": False,
    "securityContext": {"runAsUser": 65535, "fsGroup": 0},
    "volumes": [{"name": "v", "emptyDir": {"uid": 65535}}],
}


def _pod(container: dict[str, Any] | None = None, **spec: Any) -> Pod:
    made = {"name": "c", "image": "i", **(container or {})}
    return Pod.decode({"metadata": {"name": "p"}, "spec": {"containers": [made], **GOOD, **spec}})


PROBLEMS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"hostNetwork": True}, "spec.hostNetwork"),
    ({}, {"hostPID": True}, "spec.hostPID"),
    ({}, {"hostIPC": True}, "spec.hostIPC"),
    ({}, {"securityContext": {"runAsUser": 65536}}, "spec.securityContext.runAsUser"),
    ({}, {"securityContext": {"runAsGroup": 65536}}, "spec.securityContext.runAsGroup"),
    ({}, {"securityContext": {"fsGroup": 70000}}, "spec.securityContext.fsGroup"),
    (
        {},
        {"securityContext": {"supplementalGroups": [1, 70000]}},
        "spec.securityContext.supplementalGroups[1]",
    ),
    ({}, {"volumes": [{"name": "v", "emptyDir": {"gid": 70000}}]}, "spec.volumes[0].emptyDir.gid"),
    ({"securityContext": {"privileged": True}}, {}, "spec.containers[0].securityContext.privileged"),
    ({"securityContext": {"runAsUser": 65536}}, {}, "spec.containers[0].securityContext.runAsUser"),
    ({"x-lading": {"cgroupns": "host"}}, {}, "spec.containers[0].x-lading.cgroupns"),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]},
        {},
        "spec.containers[0].volumeMounts[0].mountPropagation",
    ),
    ({}, {"x-lading": {"networkMode": "container:x"}}, "spec.x-lading.networkMode"),
    ({}, {"x-lading": {"ipcMode": "container:x"}}, "spec.x-lading.ipcMode"),
    ({}, {"x-lading": {"pidMode": "host"}}, "spec.x-lading.pidMode"),
    ({}, {"x-lading": {"utsMode": "host"}}, "spec.x-lading.utsMode"),
    ({}, {"x-lading": {"runtime": "runc"}}, "spec.x-lading.runtime"),
]


def test_a_pod_with_users_of_its_own_is_admitted() -> None:
    assert admit(_pod()) == []


@pytest.mark.parametrize(
    ("container", "spec", "path"), PROBLEMS, ids=lambda v: v if isinstance(v, str) else None
)
def test_what_does_not_go_with_them_is_named(
    container: dict[str, Any], spec: dict[str, Any], path: str
) -> None:
    with pytest.raises(Refused) as caught:
        admission_report.demand(admission_users.check, _pod(container, **spec))
    assert [problem.path for problem in caught.value.problems] == [path]
    with pytest.raises(Refused) as again:
        admit(_pod(container, **spec))
    assert path in [problem.path for problem in again.value.problems]


def test_what_needs_them_is_admitted() -> None:
    assert admit(_pod({"securityContext": {"procMount": "Unmasked"}})) == []


def test_the_same_is_allowed_with_the_hosts_users() -> None:
    for container, spec, path in PROBLEMS:
        if "mountPropagation" not in path:  # that one asks for a privileged container as well
            admit(_pod(container, **{"securityContext": {}, **spec, "hostUsers": True}))
