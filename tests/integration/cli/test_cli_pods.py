"""Pods from manifests: YAML and JSON, one and several, good and bad."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

TWO = """\
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: demo}}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: shared, emptyDir: {}}]
  initContainers:
  - {name: setup, image: busybox, command: [sh, -c, "echo prepared > /data/x"],
     volumeMounts: [{name: shared, mountPath: /data}]}
  containers:
  - {name: writer, image: busybox, command: [sh, -c, "echo from $(WHO) > /data/y; exec sleep 600"],
     env: [{name: WHO, value: writer}], volumeMounts: [{name: shared, mountPath: /data}]}
  - {name: reader, image: busybox, command: [sh, -c, "cat /data/x; exec sleep 600"],
     volumeMounts: [{name: shared, mountPath: /data, readOnly: true}]}
"""


def test_two_containers_share_a_volume(lading, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "pod.yaml"
    path.write_text(TWO)
    made = lading.out("pod", "run", str(path))
    assert lading.out("pod", "ps", "-q") == made[:12]
    deadline = time.monotonic() + 60
    while (shown := lading.out("pod", "ps", "--format", "{name} {status}")) != "two Running":
        assert time.monotonic() < deadline, shown  # the init container comes first
        time.sleep(0.05)
    assert lading.out("pod", "ps", "--format", "{containers}") == "setup,writer,reader"
    while sorted(lading.out("ps", "--format", "{names}").split()) != ["two/reader", "two/writer"]:
        assert time.monotonic() < deadline, "Running as soon as the first of them runs"
    while (got := lading("pod", "exec", "-c", "reader", "two", "--", "cat", "/data/y").stdout) == "":
        assert time.monotonic() < deadline
    assert got == "from writer\n"
    assert lading.out("pod", "logs", "-c", "reader", "two") == "prepared"
    assert "[reader] prepared" in lading.out("pod", "logs", "two")
    (shown,) = json.loads(lading.out("pod", "inspect", "two"))
    assert (shown["kind"], shown["status"]["phase"]) == ("Pod", "Running")
    assert len(shown["status"]["containerStatuses"]) == 2
    assert lading("pod", "run", str(path)).returncode == 1, "the name is taken"
    refused = lading("pod", "rm", "two")
    assert refused.returncode == 1 and "pod two is running" in refused.stderr
    assert lading.out("pod", "stop", "two") == "two"
    assert lading.out("pod", "rm", "two") == "two"
    assert lading.out("pod", "ps", "-q") == ""


def test_a_pod_in_the_foreground_ends_with_its_containers_status(lading) -> None:  # type: ignore[no-untyped-def]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "once"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "a", "image": "busybox", "command": ["sh", "-c", "echo said; exit 4"]}],
        },
    }
    done = lading("pod", "run", "--rm", "-", input=json.dumps(pod))
    assert done.returncode == 4
    assert "said" in done.stdout
    assert lading.out("pod", "ps", "-q") == ""


def test_a_part_of_a_volume_is_mounted_by_its_path(lading) -> None:  # type: ignore[no-untyped-def]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "part"},
        "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [
                {
                    "name": "a",
                    "image": "busybox",
                    "env": [{"name": "N", "value": "two"}],
                    "command": ["sh", "-c", "touch /one/x /two/y; cd /all; find . -type f | sort"],
                    "volumeMounts": [
                        {"name": "v", "mountPath": "/one", "subPath": "a/one"},
                        {"name": "v", "mountPath": "/two", "subPathExpr": "b/$(N)"},
                        {"name": "v", "mountPath": "/all"},
                    ],
                }
            ],
        },
    }
    done = lading("pod", "run", "--rm", "-", input=json.dumps(pod))
    assert (done.returncode, done.stdout.split()) == (0, ["./a/one/x", "./b/two/y"]), done.stderr


def test_waiting_includes_containers_that_are_still_to_start(lading) -> None:  # type: ignore[no-untyped-def]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "slow"},
        "spec": {
            "restartPolicy": "Never",
            "initContainers": [{"name": "first", "image": "busybox", "command": ["sleep", "1"]}],
            "containers": [{"name": "a", "image": "busybox", "command": ["sh", "-c", "exit 3"]}],
        },
    }
    lading("pod", "run", "-", input=json.dumps(pod), check=True)
    assert lading.out("pod", "wait", "slow") == "3"
    lading("pod", "rm", "slow", check=True)


def test_notes_say_what_has_no_effect(lading) -> None:  # type: ignore[no-untyped-def]
    text = TWO.replace("spec:\n", "spec:\n  nodeSelector: {disk: ssd}\n").replace("name: two", "name: noted")
    done = lading("pod", "create", "-", input=text, check=True)
    assert "noted: note: spec.nodeSelector has no effect: there is one node" in done.stderr
    lading("pod", "rm", "noted", check=True)


BAD: list[tuple[str, list[str]]] = [
    ("", ["no Pod"]),
    ("a: [", ["line"]),
    ("kind: Deployment\napiVersion: apps/v1", ["Deployment", "Pods run here"]),
    ("kind: Pod\napiVersion: v2\nspec: {containers: []}", ["apiVersion"]),
    ("kind: Pod\napiVersion: v1", ["spec", "missing"]),
    ("{}", ["kind", "missing"]),
    (TWO.replace("emptyDir", "emptydir"), ["spec.volumes[0].emptydir", "emptyDir"]),
    (
        TWO.replace("emptyDir: {}", "configMap: {name: x}"),
        ["spec.volumes[0].configMap", "there is no ConfigMap"],
    ),
    (
        TWO.replace("mountPath: /data", "mountPath: data"),
        ["problems", "spec.initContainers[0].volumeMounts[0].mountPath"],
    ),
    (TWO.replace("spec:\n", "spec:\n  x-lading: {}\n"), ["x-lading"]),
    (TWO + "---\n" + TWO, ["two pods are called"]),
    ("a: &a [*a]", ["itself"]),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_bad_manifest_is_explained_and_makes_nothing(lading, text: str, words: list[str]) -> None:  # type: ignore[no-untyped-def]
    done = lading("pod", "run", "-", input=text)
    assert done.returncode == 1
    assert done.stderr.startswith("lading pod run: standard input")
    for word in words:
        assert word in done.stderr
    assert "internal error" not in done.stderr
    assert lading.out("pod", "ps", "-q") == ""
