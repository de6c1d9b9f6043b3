"""Containers from the command line, end to end: what is printed, what is returned, what is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


def test_run_prints_and_leaves_nothing(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 42)
    assert lading.out("ps", "-aq") == ""


def test_docker_takes_dollars_literally(lading) -> None:  # type: ignore[no-untyped-def]
    words = ["$(X)", "$$", "$$(X)", "100%"]
    assert lading.out(
        "run", "--rm", "-e", "X=$(Y)", "busybox", "sh", "-c", 'echo "$X" "$@"', "-", *words
    ) == " ".join(["$(Y)", *words])


def test_stdin_reaches_the_container_and_ends_there(lading) -> None:  # type: ignore[no-untyped-def]
    assert lading.out("run", "--rm", "-i", "busybox", "wc", "-c", input="x" * 100_000) == "100000"
    assert lading.out("run", "--rm", "busybox", "wc", "-c", input="ignored") == "0"


def test_a_keeper_does_not_show_the_command_that_left_it(lading) -> None:  # type: ignore[no-untyped-def]
    # One that probes does not sleep: it stays the process that the command forked.
    lading.out(
        "run",
        "-d",
        "--name",
        "secret",
        "-e",
        "KEY=hunter2",
        "--health-cmd",
        "true",
        "busybox",
        "sleep",
        "600",
    )
    with contextlib.closing(sqlite3.connect(lading.base / "root" / "node.db", timeout=60)) as records:
        ((keeper,),) = records.execute("select keeper_pid from pods where name='secret'").fetchall()
    shown = Path(f"/proc/{keeper}/cmdline").read_bytes().rstrip(b"\0")
    assert shown == b"lading-keeper secret"
    lading.out("rm", "-f", "secret")


def test_the_life_of_a_detached_container(lading) -> None:  # type: ignore[no-untyped-def]
    script = 'trap "echo bye; exit 9" TERM; echo hello; while :; do sleep 0.05; done'
    made = lading.out("run", "-d", "--name", "life", "-l", "tier=one", "busybox", "sh", "-c", script)
    assert len(made) == 64
    assert lading.out("ps", "-q") == made[:12]
    assert lading.out("ps", "--filter", "label=tier=one", "--format", "{names} {state}") == "life running"
    assert lading.out("ps", "--filter", "name=nothing", "-q") == ""
    assert json.loads(lading.out("ps", "--format", "json"))["image"] == "busybox"
    assert lading.out("inspect", "--format", "{State.Status} {Config.Labels.tier}", "life") == "running one"
    assert lading("exec", "-e", "A=b c", "life", "sh", "-c", 'echo "$A"; exit 6').returncode == 6
    assert lading("exec", "life", "no-such-command").returncode == 127
    assert "sleep" in lading.out("top", "life") or "sh" in lading.out("top", "life")
    lading("pause", "life", check=True)
    assert lading.out("ps", "--format", "{status}").endswith("(Paused)")
    assert lading("attach", "life").returncode == 1
    lading("unpause", "life", check=True)
    assert lading("rm", "life").returncode == 1
    lading("rename", "life", "death", check=True)
    assert lading.out("stop", "death") == "death"
    assert lading.out("wait", "death") == "9"
    assert lading.out("logs", "death") == "hello\nbye"
    assert lading.out("logs", "--tail", "1", "death") == "bye"
    stamp = lading.out("logs", "-t", "--tail", "1", "death").split()[0]
    assert stamp.startswith("20") and stamp.endswith("Z")
    assert lading.out("ps", "-a", "--filter", "exited=9", "--format", "{names}") == "death"
    assert lading.out("start", "death") == "death"
    assert lading.out("kill", "-s", "KILL", "death") == "death"
    assert lading.out("wait", "death") == "137"
    assert lading.out("rm", "death") == "death"
    assert lading.out("ps", "-aq") == ""


def test_start_attached_gives_output_and_status(lading) -> None:  # type: ignore[no-untyped-def]
    name = lading.out("create", "--name", "later", "busybox", "sh", "-c", "echo now; exit 3")
    assert lading.out("ps", "-a", "--format", "{status}") == "Created"
    done = lading("start", "-a", "later")
    assert (done.stdout, done.returncode) == ("now\n", 3)
    assert lading.out("rm", name[:12]) == name[:12]


def test_a_signal_to_run_goes_to_the_container(lading) -> None:  # type: ignore[no-untyped-def]
    process = subprocess.Popen(
        lading.argv(
            [
                "run",
                "--rm",
                "busybox",
                "sh",
                "-c",
                'trap "exit 5" TERM; echo up; while :; do sleep 0.05; done',
            ]
        ),
        env=lading.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 5
    process.stdout.close()


def test_a_reader_that_leaves_ends_it_quietly(lading) -> None:  # type: ignore[no-untyped-def]
    lading(
        "run",
        "-d",
        "--name",
        "talk",
        "busybox",
        "sh",
        "-c",
        "while :; do echo line; sleep 0.02; done",
        check=True,
    )
    for words in (["logs", "-f", "talk"], ["export", "talk"], ["save", "busybox"]):
        process = subprocess.Popen(
            lading.argv(words), env=lading.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.read(4)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b"", words
        process.stderr.close()
        assert process.wait(90) == 141
    lading("rm", "-f", "talk", check=True)


@pytest.mark.parametrize("script", ["exec yes", "yes; exit 3"])
def test_a_pipeline_ends_when_its_reader_has_enough(lading, script: str) -> None:  # type: ignore[no-untyped-def]
    process = subprocess.Popen(
        lading.argv(["run", "--name", "flood", "--network", "none", "busybox", "sh", "-c", script]),
        env=lading.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(4) == b"y\ny\n"
    process.stdout.close()
    process.stderr.read()
    process.stderr.close()
    assert process.wait(90) == (1 if "exec" in script else 3)
    assert set(lading.out("logs", "flood").split()) == {"y"}
    lading("rm", "flood", check=True)


def test_following_logs_stops_with_ctrl_c(lading) -> None:  # type: ignore[no-untyped-def]
    lading("run", "-d", "--name", "quiet", "busybox", "sleep", "600", check=True)
    process = subprocess.Popen(lading.argv(["logs", "-f", "quiet"]), env=lading.env, stderr=subprocess.PIPE)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=90)
    assert process.returncode == 130
    assert len(error.splitlines()) <= 1
    lading("rm", "-f", "quiet", check=True)


def test_cidfile_is_written_once(lading, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "cid"
    made = lading.out("run", "-d", "--cidfile", str(path), "busybox", "sleep", "600")
    assert path.read_text() == made
    assert lading("run", "--cidfile", str(path), "busybox", "true").returncode == 125
    lading("rm", "-f", made, check=True)


def test_files_are_copied_in_and_out(lading, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source = tmp_path / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("content")
    lading("create", "--name", "box", "busybox", "true", check=True)
    lading("cp", str(source), "box:/tmp", check=True)
    lading("cp", str(source / "sub" / "file"), "box:/tmp/renamed", check=True)
    lading("cp", "box:/tmp/tree", str(tmp_path / "back"), check=True)
    assert (tmp_path / "back" / "sub" / "file").read_text() == "content"
    lading("cp", "box:/tmp/renamed", str(tmp_path), check=True)
    assert (tmp_path / "renamed").read_text() == "content"
    lading("cp", "box:/tmp/tree/.", str(tmp_path / "inner"), check=True)
    assert (tmp_path / "inner" / "sub" / "file").exists()
    assert lading("cp", "box:/nothing", str(tmp_path)).returncode == 1
    assert "A /tmp/renamed" in lading.out("diff", "box").splitlines()
    image = lading.out("commit", "-m", "a test", "box", "made:1")
    assert lading.out("images", "made", "--format", "{tag}") == "1"
    assert lading.out("run", "--rm", "made:1", "cat", "/tmp/renamed") == "content"
    assert lading.out("inspect", "--format", "{Id}", "made:1") == image
    lading("rm", "box", check=True)
    assert lading("rmi", "made:1", check=True).stdout.startswith("Untagged: made:1")


def test_volumes_and_networks(lading) -> None:  # type: ignore[no-untyped-def]
    assert lading.out("volume", "create", "vol1") == "vol1"
    lading("run", "--rm", "-v", "vol1:/d", "busybox", "sh", "-c", "echo kept > /d/f", check=True)
    assert lading.out("run", "--rm", "-v", "vol1:/d:ro", "busybox", "cat", "/d/f") == "kept"
    assert lading("run", "--rm", "-v", "vol1:/d:ro", "busybox", "touch", "/d/g").returncode == 1
    assert lading.out("volume", "ls", "-q") == "vol1"
    assert lading.out("network", "create", "--subnet", "10.213.77.0/24", "net1") == "net1"
    lading(
        "run",
        "-d",
        "--name",
        "srv",
        "--network",
        "net1",
        "--network-alias",
        "db",
        "busybox",
        "sleep",
        "600",
        check=True,
    )
    assert "10.213.77." in lading.out(
        "run", "--rm", "--network", "net1", "busybox", "ping", "-c1", "-W5", "db"
    )
    assert "10.213.77." in lading.out("network", "inspect", "--format", "{Containers}", "net1")
    assert lading("network", "rm", "net1").returncode == 1
    lading("rm", "-f", "srv", check=True)
    lading("network", "rm", "net1", check=True)
    lading("volume", "rm", "vol1", check=True)


def test_broken_formats_and_go_templates_are_explained(lading) -> None:  # type: ignore[no-untyped-def]
    for template, why in (("{nope}", "unknown field"), ("{{.Tag}}", "Go templates"), ("{tag", "'}'")):
        done = lading("images", "--format", template)
        assert done.returncode == 1
        assert why in done.stderr
        assert len(done.stderr.splitlines()) == 1
    shown = lading.out("images", "--format", r"table {repository}\t{id}").splitlines()
    assert shown[0].split() == ["REPOSITORY", "IMAGE", "ID"]


def test_pruning_asks_and_takes_what_is_not_running(lading) -> None:  # type: ignore[no-untyped-def]
    lading("create", "--name", "idle", "busybox", "true", check=True)
    assert lading("system", "prune", input="n\n").returncode == 1
    assert lading.out("ps", "-a", "--format", "{names}") == "idle"
    assert "Total reclaimed space" in lading.out("system", "prune", input="y\n")
    assert lading.out("ps", "-aq") == ""
    assert lading.out("system", "df", "--format", "{type} {total}").splitlines()[1] == "Containers 0"
    assert lading("check").returncode == 0


def test_a_debug_flag_shows_where_an_error_comes_from(lading) -> None:  # type: ignore[no-untyped-def]
    assert "Traceback" in lading("--debug", "inspect", "nothing-here").stderr
    assert os.environ.get("LADING_DEBUG") or "Traceback" not in lading("inspect", "nothing-here").stderr


def test_stop_by_another_signal_sends_that_one_alone(lading) -> None:  # type: ignore[no-untyped-def]
    script = 'trap "echo term" TERM; trap "echo usr1; exit 7" USR1; echo ready; while :; do sleep 0.05; done'
    lading.out("run", "-d", "--name", "choosy", "busybox", "sh", "-c", script)
    deadline = time.monotonic() + 60
    while lading.out("logs", "choosy") != "ready":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    lading.out("stop", "-s", "USR1", "choosy")
    assert lading.out("logs", "choosy") == "ready\nusr1"
    assert lading.out("wait", "choosy") == "7"
    lading.out("rm", "choosy")


def test_who_joins_a_containers_network_has_its_names(lading) -> None:  # type: ignore[no-untyped-def]
    names = ("--hostname", "box", "--add-host", "db:10.9.8.7")
    lading.out("run", "-d", "--name", "owner", *names, "busybox", "sleep", "600")
    script = "hostname; hostname -i; cat /etc/hosts /etc/resolv.conf /etc/hostname"
    own = lading.out("exec", "owner", "sh", "-c", script)
    assert own.startswith("box\n10.") and "10.9.8.7\tdb" in own
    joined = ("run", "--rm", "--network", "container:owner", "busybox", "sh", "-c", script)
    assert lading.out(*joined) == own
    lading.out("run", "-d", "--name", "second", "--network", "container:owner", "busybox", "sleep", "600")
    third = ("run", "--rm", "--network", "container:second", "busybox", "sh", "-c", script)
    assert lading.out(*third) == own
    lading.out("rm", "-f", "second", "owner")


def test_mount_points_of_the_runtimes_are_no_changes(lading) -> None:  # type: ignore[no-untyped-def]
    lading.out("run", "--name", "untouched", "busybox", "true")
    assert lading.out("diff", "untouched") == ""
    lading.out("run", "--name", "touched", "busybox", "sh", "-c", "mkdir -p /etc && echo x > /etc/mine")
    assert [line for line in lading.out("diff", "touched").splitlines() if "/etc/" in line] == ["A /etc/mine"]
    lading.out("commit", "touched", "with-mine")
    shown = lading.out("run", "--rm", "--network", "none", "with-mine", "cat", "/etc/mine")
    assert shown == "x"
    lading.out("rm", "untouched", "touched")


def test_sizes_are_those_of_the_files_that_the_container_wrote(lading) -> None:  # type: ignore[no-untyped-def]
    lading("run", "--name", "idle", "busybox", "sh", "-c", "yes | head -c 50000", check=True)
    script = "mkdir /d; head -c 5000 /dev/zero >/d/a; ln /d/a /d/b; : >/d/empty; rm /bin/wget"
    lading("run", "--name", "busy", "busybox", "sh", "-c", script, check=True)
    rows = dict(line.split() for line in lading.out("ps", "-as", "--format", "{names} {size}").splitlines())
    assert rows == {"idle": "0B", "busy": "5kB"}
    sizes = [json.loads(lading.out("inspect", "-s", name))[0]["SizeRw"] for name in ("idle", "busy")]
    assert sizes == [0, 5000]
    assert lading.out("system", "df", "--format", "{type} {size}").splitlines()[1] == "Containers 5kB"
    assert lading.out("container", "prune", "-f").splitlines()[-1] == "Total reclaimed space: 5kB"


def test_a_container_has_users_of_its_own_and_inspect_says_which(lading) -> None:  # type: ignore[no-untyped-def]
    lading.out(
        "run", "-d", "--userns", "auto", "--network", "none", "--name", "own", "busybox", "sleep", "600"
    )
    host = json.loads(lading.out("inspect", "own"))[0]["HostConfig"]
    (row,) = host["IDMappings"]["UidMap"]
    assert host["UsernsMode"] == "auto" and host["IDMappings"]["GidMap"] == [row]
    assert lading.out("exec", "own", "cat", "/proc/self/uid_map").split() == row.split(":")
    assert lading.out("diff", "own") == "", "what the runtime mounts is no change here either"
    piped = lading("exec", "-i", "own", "sh", "-c", "cat > /proc/self/fd/1", input="through\n")
    assert (piped.returncode, piped.stdout) == (0, "through\n")
    lading.out("run", "-d", "--network", "none", "--name", "plain", "busybox", "sleep", "600")
    host = json.loads(lading.out("inspect", "plain"))[0]["HostConfig"]
    assert host["UsernsMode"] == "" and host["IDMappings"] is None
    lading.out("rm", "-f", "own", "plain")
    refused = lading("run", "--rm", "--userns", "auto", "--privileged", "busybox", "true")
    assert refused.returncode == 125
    assert refused.stderr.count("\n") == 1 and "--privileged does not go with --userns auto" in refused.stderr
