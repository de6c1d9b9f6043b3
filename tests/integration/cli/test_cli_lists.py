"""Which containers ``ps`` shows and ``--filter`` chooses, and which a name means, one by one where a pod has several."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.root

POD = """
apiVersion: v1
kind: Pod
metadata: {name: duo}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - {name: one, image: busybox, command: [sh, -c, "exit 3"]}
  - {name: two, image: busybox, stdin: true, command: [sh, -c, "while read x; do echo got $x; done; sleep 1000"]}
"""


@pytest.fixture(scope="module", autouse=True)
def several(lading) -> Iterator[None]:  # type: ignore[no-untyped-def]
    for name, label in (("web", "tier=a"), ("web2", "tier=b"), ("db", "tier=a")):
        lading("create", "--name", name, "-l", label, "busybox", check=True)
    lading("pod", "run", "-", input=POD, check=True)
    lading("wait", "duo/one")
    yield
    lading("pod", "rm", "-f", "duo", check=True)


def names(lading, *words: str) -> list[str]:  # type: ignore[no-untyped-def]
    return lading.out("ps", "--format", "{names}", *words).split()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("^/web$", ["web"]),
        ("^web$", ["web"]),
        ("web", ["web2", "web"]),
        ("^duo/two", ["duo/two"]),
        ("b$", ["db", "web"]),
    ],
)
def test_a_name_is_chosen_by_a_regular_expression(lading, pattern, found) -> None:  # type: ignore[no-untyped-def]
    assert names(lading, "-a", "--filter", f"name={pattern}") == found


def test_of_a_pods_containers_only_those_that_fit_are_shown(lading) -> None:  # type: ignore[no-untyped-def]
    one = lading.out("ps", "-a", "--filter", "name=duo/one", "--format", "{id}")
    assert names(lading, "-a", "--filter", f"id={one}") == ["duo/one"]
    assert names(lading, "--filter", "exited=3") == ["duo/one"]


def test_the_newest_are_counted_among_those_that_fit(lading) -> None:  # type: ignore[no-untyped-def]
    assert names(lading, "-n", "2", "--filter", "label=tier=a") == ["db", "web"]
    assert names(lading, "-l", "--filter", "name=web") == ["web2"]
    assert names(lading, "-n", "1") == ["duo/one"]
    assert names(lading, "-n", "0") == names(lading, "-n", "-1") == ["duo/two"]


def test_a_size_that_a_template_asks_for_is_looked_up(lading) -> None:  # type: ignore[no-untyped-def]
    assert lading.out("ps", "-a", "--filter", "name=^db$", "--format", "{size}") == "0B"


def test_what_stats_cannot_tell_of_a_stopped_container_is_none(lading) -> None:  # type: ignore[no-untyped-def]
    shown = lading.out("stats", "--no-stream", "--format", "{pids} {memory_bytes} {cpu_nanoseconds}", "db")
    assert shown == "-- 0 0"


@pytest.mark.parametrize("words", [["container"], ["image"], ["network"], ["volume"], ["system"]])
def test_a_filter_that_makes_no_sense_is_told_before_anything_is_asked(lading, words) -> None:  # type: ignore[no-untyped-def]
    done = lading(*words, "prune", "--filter", "colour=blue", input="y\n")
    assert (done.returncode, done.stdout) == (1, "") and "'colour' is unknown" in done.stderr


def test_forced_removal_says_so_everywhere_what_was_not_there(lading) -> None:  # type: ignore[no-untyped-def]
    for words in (["rm"], ["rmi"], ["pod", "rm"], ["network", "rm"], ["volume", "rm"]):
        done = lading(*words, "-f", "absent")
        assert (done.returncode, done.stdout) == (0, ""), words
        assert done.stderr.count("\n") == 1 and "absent" in done.stderr
        assert lading(*words, "absent").returncode == 1


def test_what_is_not_there_leaves_an_empty_list_behind_its_error(lading) -> None:  # type: ignore[no-untyped-def]
    for words in (
        ["inspect"],
        *([kind, "inspect"] for kind in ("container", "image", "pod", "network", "volume")),
    ):
        done = lading(*words, "absent")
        assert (done.returncode, done.stdout) == (1, "[]\n"), words
        assert done.stderr.count("\n") == 1


def test_a_pod_is_not_given_less_than_no_time_to_stop(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("pod", "stop", "-t", "-5", "duo")
    assert done.returncode == 1 and "--time -5 is negative" in done.stderr
    assert names(lading, "--filter", "name=duo/two") == ["duo/two"]


def test_a_volume_filter_that_is_true_or_false_is_nothing_else(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("volume", "ls", "--filter", "dangling=maybe")
    assert done.returncode == 1 and "neither true nor false" in done.stderr


def test_a_range_of_ports_is_looked_up_port_by_port(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("port", "web", "80-81")
    assert done.returncode == 1 and "port 80-81 is not published" in done.stderr


def test_events_make_no_table(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("events", "--since", "10m", "--until", "0s", "--format", "table {id}")
    assert done.returncode == 1 and "no table" in done.stderr


def test_an_id_of_ps_means_that_container_of_a_pod_and_not_its_pod(lading) -> None:  # type: ignore[no-untyped-def]
    two = lading.out("ps", "--filter", "name=duo/two", "--format", "{id}")
    for name in (two, "duo/two"):
        shown = json.loads(lading.out("inspect", name))[0]
        assert (shown["Name"], shown["State"]["Status"]) == ("/duo/two", "running")
        assert lading.out("container", "inspect", "-f", "{Args[1]}", name).startswith("while read")
        assert lading.out("stats", "--no-stream", "--format", "{name}", name) == "duo/two"
    assert json.loads(lading.out("inspect", "duo"))[0]["kind"] == "Pod"
    assert lading.out("stats", "--no-stream", "--format", "{name}", "duo").split() == ["duo/one", "duo/two"]
    for kind, name in (("container", "duo"), ("pod", "web"), ("pod", "duo/two")):
        assert lading("inspect", "--type", kind, name).returncode == 1


def test_attach_means_the_container_that_is_named(lading) -> None:  # type: ignore[no-untyped-def]
    talks = POD.replace("duo", "pair").replace(
        "while read x; do echo got $x; done; sleep 1000", "read x; echo got $x; exit 4"
    )
    lading("pod", "run", "-", input=talks, check=True)
    lading("wait", "pair/one", check=True)
    wrong = lading("attach", "pair/one")
    assert wrong.returncode == 1 and "container pair/one is not running" in wrong.stderr
    done = lading("attach", "pair/two", input="hello\n")
    assert (done.returncode, done.stdout) == (4, "got hello\n"), done.stderr
    lading("pod", "rm", "-f", "pair", check=True)


def test_volumes_from_means_the_container_that_is_named(lading) -> None:  # type: ignore[no-untyped-def]
    mounts = POD.replace("duo", "mounting").replace("stdin: true", "volumeMounts: [{name: v, mountPath: /v}]")
    lading("pod", "create", "-", input=f"{mounts}  volumes: [{{name: v, emptyDir: {{}}}}]\n", check=True)
    lading("run", "--rm", "--volumes-from", "mounting/one", "busybox", "true", check=True)
    done = lading("run", "--rm", "--volumes-from", "mounting/two", "busybox", "true")
    assert done.returncode == 125 and "--volumes-from mounting/two" in done.stderr
    lading("pod", "rm", "mounting", check=True)


def test_a_part_of_a_pod_is_sent_to_a_command_that_exists(lading) -> None:  # type: ignore[no-untyped-def]
    for verb in ("start", "stop", "restart"):
        done = lading(verb, "duo/two")
        assert done.returncode == 1 and done.stderr.endswith(f": lading {verb} duo\n")
