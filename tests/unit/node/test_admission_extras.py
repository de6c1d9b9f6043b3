"""Fields beyond Kubernetes that say something wrong: each is named, whatever face filled it."""

from __future__ import annotations

from typing import Any

import pytest

from lading.errors import LadingError
from lading.formats.pod import Pod, PodExtras
from lading.node import refused
from lading.node.admission import Refused, admit

CALLS = {"mode": "retain", "names": ["mkdir"]}


def _pod(extras: dict[str, Any], container: dict[str, Any] | None = None, **spec: Any) -> Pod:
    made = {"name": "c", "image": "i", "x-lading": extras, **(container or {})}
    return Pod.decode({"metadata": {"name": "p"}, "spec": {"containers": [made], **spec}})


PROBLEMS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"systemCalls": {"mode": "only"}}, {}, "systemCalls.mode"),
    ({"systemCalls": {**CALLS, "errno": "EVIL"}}, {}, "systemCalls.errno"),
    ({"systemCalls": {**CALLS, "names": ["ü"]}}, {}, "systemCalls.names[0]"),
    ({"systemCalls": {"mode": "remove", "names": ["mkdir", "execve"]}}, {}, "systemCalls.names[1]"),
    ({"systemCalls": CALLS, "seccomp": "unconfined"}, {}, "systemCalls"),
    ({"systemCalls": CALLS}, {"securityContext": {"privileged": True}}, "systemCalls"),
    ({"listen": [{"port": 0}]}, {}, "listen[0].port"),
    ({"listen": [{"port": 1, "protocol": "SCTP"}]}, {}, "listen[0].protocol"),
    ({"listen": [{"port": 1, "address": "here"}]}, {}, "listen[0].address"),
    ({"listen": [{"port": 1, "name": "a:b"}]}, {}, "listen[0].name"),
    ({"listen": [{"port": 1}, {"port": 1}]}, {}, "listen[1]"),
    ({"listen": [{"port": 1}], "init": True}, {}, "listen"),
    ({"preStart": [""]}, {}, "preStart[0]"),
    ({"postStop": ["", "x"]}, {}, "postStop[0]"),
    ({"blockBandwidth": [{"device": "vda", "read": 1}]}, {}, "blockBandwidth[0].device"),
    ({"blockBandwidth": [{"read": 1}, {"write": 1}]}, {}, "blockBandwidth[1].device"),
    ({"blockBandwidth": [{}]}, {}, "blockBandwidth[0]"),
    ({"blockOperations": [{"read": 0}]}, {}, "blockOperations[0].read"),
    ({"blockOperations": [{"write": 1 << 32}]}, {}, "blockOperations[0].write"),
    (
        {"systemCalls": CALLS},
        {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        "systemCalls",
    ),
]


@pytest.mark.parametrize(("extras", "container", "field"), PROBLEMS)
def test_the_field_is_named(extras: dict[str, Any], container: dict[str, Any], field: str) -> None:
    pod = _pod(extras, container)
    path = f"spec.containers[0].x-lading.{field}"
    with pytest.raises(Refused) as caught:
        admit(pod)
    assert [problem.path for problem in caught.value.problems] == [path]
    pod.spec.extras = PodExtras(container=True)
    with pytest.raises(LadingError, match="x-lading"):
        refused.check(pod)


COMPANION = {"name": "clerk", "command": ["/bin/true"]}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([{**COMPANION, "name": "A/b"}], "companions[0].name"),
        ([COMPANION, COMPANION], "companions[1].name"),
        ([{**COMPANION, "command": ["true"]}], "companions[0].command[0]"),
        ([{**COMPANION, "command": []}], "companions[0].command[0]"),
        ([{**COMPANION, "listen": "0.0.0.0:0"}], "companions[0].listen"),
        ([{**COMPANION, "listen": "127.0.0.1:65536"}], "companions[0].listen"),
        ([{**COMPANION, "listen": "127.0.0.1"}], "companions[0].listen"),
        ([{**COMPANION, "env": {"A=B": "x"}}], "companions[0].env"),
    ],
)
def test_what_is_wrong_with_a_companion_is_named(given: list[dict[str, Any]], field: str) -> None:
    pod = _pod({}, **{"x-lading": {"companions": given}})
    with pytest.raises(Refused) as caught:
        admit(pod)
    assert [problem.path for problem in caught.value.problems] == [f"spec.x-lading.{field}"]
    pod.spec.extras.container = True
    with pytest.raises(LadingError, match="x-lading"):
        refused.check(pod)


def test_a_name_that_is_no_system_call_here_is_told() -> None:
    notes = admit(_pod({"systemCalls": {**CALLS, "names": ["mkdir", "no_such_call"]}}))
    assert notes == [
        "spec.containers[0].x-lading.systemCalls.names[1] has no effect: this machine knows no system call 'no_such_call'"
    ]
