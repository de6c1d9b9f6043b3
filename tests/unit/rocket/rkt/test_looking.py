"""Pods in the columns, lines and JSON that Rocket's users know."""

from __future__ import annotations

import json

import pytest
from tests.unit.rocket.rkt.conftest import CREATED, ID, Context, Node, member, record, uuid

from lading.errors import InvalidInput, LadingError, NotFound, TimedOut
from lading.flags import Command, UsageError, parse
from lading.formats.appc.app import App
from lading.formats.appc.pod import Mount, Volume
from lading.node.model import NetworkRecord, PodRecord
from lading.rocket.rkt import pods, seen, table_pods
from lading.rocket.rkt.looking import as_json, cat_manifest, list_, rows_of, status, status_lines

NETWORKS = [
    NetworkRecord(name="lading", interface="eth0", ipv4="172.16.28.7", ipv4_prefix=24),
    NetworkRecord(name="six", ipv6="fd00::7"),
]
TREE = Command("rkt", commands=table_pods.commands())


def _seen(made: PodRecord, *others: PodRecord) -> seen.SeenPod:
    return seen.find(Node(made, *others), uuid(made))  # type: ignore[arg-type]


def _run(action: object, node: Node, *words: str) -> int:
    return action(Context(node), parse(TREE, list(words)))  # type: ignore[operator]


def test_a_pod_has_a_row_an_app_and_what_is_the_pods_in_the_first() -> None:
    made = record("redis", "etcd", state="running", networks=NETWORKS)
    first, second = rows_of(_seen(made), CREATED + 41, full=False)
    assert first == [
        uuid(made)[:8], "redis", "example.com/main:1.0", "running", "41 seconds ago", "40 seconds ago",
        "default:ip4=172.16.28.7, six:ip6=fd00::7",
    ]  # fmt: skip
    assert second == ["", "etcd", "example.com/main:1.0", "", "", "", ""]


def test_in_full_it_has_its_whole_uuid_the_images_id_and_times(utc: None) -> None:
    made = record(state="running")
    (row,) = rows_of(_seen(made), CREATED, full=True)
    assert row[:5] == [uuid(made), "main", "example.com/main:1.0", ID[:19], "running"]
    assert row[5:] == ["2016-01-26 13:23:34.631 +0000 UTC", "2016-01-26 13:23:34.73 +0000 UTC", ""]


def test_a_pod_whose_manifest_has_no_app_of_its_own_has_a_row_too() -> None:
    made = record(state="running")
    made.containers[0].name = "other"
    (row,) = rows_of(_seen(made), CREATED, full=False)
    assert row[:4] == [uuid(made)[:8], "-", "-", "running"]
    (row,) = rows_of(_seen(made), CREATED, full=True)
    assert row[:5] == [uuid(made), "-", "-", "-", "running"]
    with pytest.raises(NotFound):
        _seen(made).chosen("", "enter")


def test_what_a_terminal_would_obey_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    made = record(
        runtime={"app": App(exec=["/x", "\x9b31m\x7f"], user="0", group="0")},
    )
    assert _run(cat_manifest, Node(made), "cat-manifest", uuid(made)) == 0
    printed = capsys.readouterr().out
    assert "\\u009b31m\\u007f" in printed
    assert json.loads(printed)["apps"][0]["app"]["exec"] == ["/x", "\x9b31m\x7f"]


def test_list_has_a_legend_or_none_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    node = Node(record(), record("a", "b"))
    assert _run(list_, node, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[0] == "UUID" and len(lines) == 4
    assert _run(list_, node, "list", "--no-legend") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert _run(list_, node, "list", "--format=json") == 0
    assert [pod["app_names"] for pod in json.loads(capsys.readouterr().out)] == [["main"], ["a", "b"]]


def test_list_without_pods(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(list_, Node(), "list", "--no-legend") == 0
    assert capsys.readouterr().out == ""
    assert _run(list_, Node(), "list", "--format=json") == 0
    assert capsys.readouterr().out == "[]\n"


def test_a_pod_that_cannot_be_read_is_said_and_hides_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = record(), record()
    bad.pod.metadata.annotations[pods.MANIFEST] = "{"
    assert _run(list_, Node(bad, good), "list", "--no-legend") == 254
    printed = capsys.readouterr()
    assert printed.out.startswith(uuid(good)[:8]) and printed.out.count("\n") == 1


def test_a_pod_whose_removal_was_interrupted_is_being_deleted() -> None:
    node = Node()
    node.half = [record(state="exited")]
    found, _ = seen.every(node)  # type: ignore[arg-type]
    assert [pod.state for pod in found] == ["deleting"]


@pytest.mark.parametrize(
    ("made", "lines"),
    [
        (record(), ["state=prepared", "created="]),
        (
            record(state="running", networks=NETWORKS[:1]),
            ["state=running", "created=", "started=", "networks=default:ip4=172.16.28.7", "exited=false"],
        ),
        (
            record("a", "b", state="exited"),
            ["state=exited", "created=", "started=", "networks=", "exited=true", "app-a=0", "app-b=0"],
        ),
        (record(keeper_pid=1, keeper_start=1), ["state=aborted prepare", "created="]),
    ],
)
def test_status_says_what_there_is_to_say_in_each_state(made: PodRecord, lines: list[str]) -> None:
    found = status_lines(_seen(made))
    assert len(found) == len(lines)
    assert all(one.startswith(start) for one, start in zip(found, lines, strict=True))


def test_status_of_a_pod_that_runs_has_its_pid_and_no_exit_codes() -> None:
    made = record("a", "b", state="running")
    made.containers[0].state, made.containers[1].pid = "exited", 77
    lines = status_lines(_seen(made))
    assert "pid=77" in lines and not any(line.startswith("app-") for line in lines)


def test_status_of_marked_garbage_has_exit_codes_of_apps_that_began() -> None:
    made = record("a", "b", state="exited")
    made.pod.metadata.annotations[pods.GARBAGE] = str(CREATED + 100)
    made.containers[0].exit_code = 3
    made.containers[1].started, made.containers[1].state = 0.0, "created"
    lines = status_lines(_seen(made))
    assert lines[0] == "state=exited garbage" and lines[-2:] == ["exited=true", "app-a=3"]


def test_json_has_the_pods_times_in_seconds_and_the_apps_in_nanoseconds() -> None:
    made = record(
        state="exited",
        networks=NETWORKS[:1],
        volumes=[Volume(name="data", kind="host", source="/srv", read_only=True)],
        runtime={
            "app": App(exec=["/x"], user="0", group="0", user_labels={"k": "v"}, user_annotations={"a": "b"}),
            "mounts": [Mount(volume="data", path="/data")],
        },
    )
    made.containers[0].exit_code = 3
    assert as_json(_seen(made)) == {
        "name": uuid(made),
        "state": "exited",
        "networks": [
            {
                "netName": "default", "netConf": "", "pluginPath": "", "ifName": "eth0", "ip": "172.16.28.7",
                "args": "", "mask": "255.255.255.0",
            }
        ],
        "app_names": ["main"],
        "apps": [
            {
                "name": "main",
                "state": "exited",
                "created_at": 1453814614631000000,
                "started_at": 1453814614731000000,
                "finished_at": 1453814615731000000,
                "exit_code": 3,
                "image_id": ID,
                "mounts": [
                    {"name": "data", "container_path": "/data", "host_path": "/srv", "read_only": True}
                ],
                "user_annotations": {"a": "b"},
                "user_labels": {"k": "v"},
            }
        ],
        "created_at": 1453814614,
        "started_at": 1453814614,
    }  # fmt: skip


def test_apps_that_were_added_are_apps_of_the_pod(capsys: pytest.CaptureFixture[str]) -> None:
    made = record(state="running")
    node = Node(member(made, "more"), made)
    found = _seen(made, node.records[0])
    assert [app.app.name for app in found.apps] == ["main", "more"]
    assert [app.reference for app in found.apps] == [f"{made.id}/main", f"{made.id}-more"]
    assert _run(cat_manifest, node, "cat-manifest", uuid(made)) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert [app["name"] for app in manifest["apps"]] == ["main", "more"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["status"], UsageError),
        (["status", "a", "b"], UsageError),
        (["status", "--wait=soon", "ab"], InvalidInput),
        (["status", "--wait=-1s", "ab"], InvalidInput),
        (["status", "ab"], NotFound),
        (["status", "--uuid-file=/nonexistent"], NotFound),
        (["status", "--uuid-file=/dev/null"], InvalidInput),
        (["status", "--uuid-file=/dev/null", "ab"], UsageError),
    ],
)
def test_what_status_cannot_do(words: list[str], error: type[LadingError]) -> None:
    with pytest.raises(error) as raised:
        _run(status, Node(), *words)
    assert raised.value.exit_status == 254


def test_a_duration_that_stands_apart_and_one_that_is_none_are_told() -> None:
    with pytest.raises(UsageError) as apart:
        _run(status, Node(), "status", "--wait", "10s", "ab")
    assert "--wait=10s" in apart.value.hint
    with pytest.raises(InvalidInput) as none:
        _run(status, Node(), "status", "--wait-ready=10", "ab")
    assert none.value.message.startswith("--wait-ready: ")


def test_waiting_ends_with_the_pod_or_the_patience(capsys: pytest.CaptureFixture[str]) -> None:
    ended, runs = record(state="exited"), record(state="running")
    assert _run(status, Node(ended), "status", "--wait", uuid(ended)) == 0
    assert _run(status, Node(runs), "status", "--wait-ready", "--wait=false", uuid(runs)) == 0
    assert capsys.readouterr().out.count("state=") == 2
    with pytest.raises(TimedOut):
        _run(status, Node(runs), "status", "--wait=1ms", uuid(runs))
    prepared = record()
    with pytest.raises(TimedOut):
        _run(status, Node(prepared), "status", "--wait-ready=0s", uuid(prepared))
