"""Whatever signals a caller ignores or blocks: commands work, exit statuses arrive, containers start with defaults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.root

HARSH = """
import os, signal, sys
for name in ("SIGCHLD", "SIGINT", "SIGHUP", "SIGQUIT", "SIGTERM", "SIGPIPE"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1})
os.execvp(sys.argv[1], sys.argv[1:])
"""
SHOW = "grep -E 'Sig(Ign|Blk)' /proc/self/status; exit 3"
DEFAULT = {"SigBlk": "0" * 16, "SigIgn": "0" * 16}


def _harsh(lading, *words: str) -> subprocess.CompletedProcess[str]:  # type: ignore[no-untyped-def]
    return subprocess.run(
        [sys.executable, "-c", HARSH, *lading.argv(words)],
        env=lading.env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _masks(text: str) -> dict[str, str]:
    return dict(line.split(":\t") for line in text.splitlines())


def test_a_caller_that_ignores_and_blocks_everything_gets_the_container_it_asked_for(lading) -> None:  # type: ignore[no-untyped-def]
    done = _harsh(lading, "run", "--rm", "busybox", "sh", "-c", SHOW)
    assert (done.returncode, done.stderr) == (3, "")
    assert _masks(done.stdout) == DEFAULT

    assert _harsh(lading, "run", "-d", "--name", "harsh", "busybox", "sh", "-c", SHOW).returncode == 0
    assert _harsh(lading, "wait", "harsh").stdout == "3\n"
    assert _masks(lading.out("logs", "harsh")) == DEFAULT
    lading("rm", "harsh", check=True)

    assert _harsh(lading, "run", "-d", "--name", "harsh", "busybox", "sleep", "600").returncode == 0
    done = _harsh(lading, "exec", "harsh", "sh", "-c", SHOW)
    assert (done.returncode, _masks(done.stdout)) == (3, DEFAULT)
    done = _harsh(lading, "rm", "-f", "harsh")
    assert (done.returncode, done.stderr) == (0, "")


def test_nohup_keeps_a_hang_up_from_the_container(lading) -> None:  # type: ignore[no-untyped-def]
    command = (
        'trap "echo term; exit 5" TERM; trap "echo hup; exit 6" HUP; echo up; while :; do sleep 0.1; done'
    )
    process = subprocess.Popen(
        ["nohup", *lading.argv(["run", "--rm", "busybox", "sh", "-c", command])],
        env=lading.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.kill(process.pid, signal.SIGHUP)
    os.kill(process.pid, signal.SIGTERM)
    assert process.stdout.read() == "term\n"
    assert process.wait(60) == 5


_POD = """
apiVersion: v1
kind: Pod
metadata: {name: fore}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 600
  INIT
  containers:
  - {name: main, image: busybox, command: [sh, -c, "trap 'echo asked' TERM; echo up; while :; do sleep 0.1; done"]}
"""
_INIT = """\
initContainers:
  - {name: first, image: busybox, command: [sh, -c, "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"]}"""


@pytest.mark.parametrize(("init", "times", "status"), [(_INIT, 1, 130), ("", 2, 137)], ids=["init", "twice"])
def test_ctrl_c_ends_a_pod_in_the_foreground_and_the_second_one_at_once(  # type: ignore[no-untyped-def]
    lading, tmp_path, init: str, times: int, status: int
) -> None:
    (tmp_path / "pod.yaml").write_text(_POD.replace("INIT", init))
    process = subprocess.Popen(
        lading.argv(["pod", "run", "--rm", str(tmp_path / "pod.yaml")]),
        env=lading.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    end = time.monotonic() + 60
    while "up" not in lading("pod", "logs", "fore").stdout:
        assert time.monotonic() < end, "it never began"
        time.sleep(0.05)
    for number in range(times):
        os.kill(process.pid, signal.SIGINT)
        if number < times - 1:
            assert process.stdout.readline() == "up\n"
            assert process.stdout.readline() == "asked\n"
    assert process.wait(60) == status
    assert lading.out("pod", "ps", "-q") == ""


@pytest.mark.parametrize("how", ["stop", "signal"])
def test_a_reader_who_stops_reading_holds_the_output_and_nothing_else(lading, how: str) -> None:  # type: ignore[no-untyped-def]
    script = "trap 'exit 4' TERM; yes & wait"
    process = subprocess.Popen(
        lading.argv(["run", "--name", "stalled", "--network", "none", "busybox", "sh", "-c", script]),
        env=lading.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    before = process.stdout.read(1000)
    time.sleep(0.5)  # now the pipe is full
    if how == "stop":
        assert lading("stop", "-t", "50", "stalled", timeout=60).returncode == 0
    else:
        process.send_signal(signal.SIGTERM)
    assert lading("wait", "stalled", timeout=60).stdout == "4\n"
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 4
    said = before + rest
    assert (
        said == (b"y\n" * len(said))[: len(said)] and len(said) > 64 << 10
    )  # what was said until then, whole
    lading("rm", "stalled", check=True)
