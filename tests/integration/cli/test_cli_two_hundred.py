"""Many containers: ten at a time in the foreground, two hundred at once in the background, two hundred under one keeper."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lading.node import sockets, wire

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]
MANY = 200
IN_TURN = 60
AT_ONCE = 10


def _many(lading, count: int, *words: str) -> list[subprocess.CompletedProcess[str]]:  # type: ignore[no-untyped-def]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        numbered = [[word.format(n) for word in words] for n in range(count)]
        return list(pool.map(lambda command: lading(*command, timeout=300), numbered))


def _tidy(lading) -> None:  # type: ignore[no-untyped-def]
    names = lading.out("ps", "-aq").split()
    assert lading("rm", "-f", *names, timeout=300).returncode == 0
    assert lading.out("ps", "-aq") == ""
    done = lading("check")
    assert done.returncode == 0, done.stdout


def test_in_the_foreground(lading) -> None:  # type: ignore[no-untyped-def]
    done = _many(lading, IN_TURN, "run", "--rm", "busybox", "echo", "number {}")
    assert [(d.returncode, d.stdout, d.stderr) for d in done] == [
        (0, f"number {n}\n", "") for n in range(IN_TURN)
    ]
    assert lading.out("ps", "-aq") == ""


def test_all_at_once_in_the_background(lading) -> None:  # type: ignore[no-untyped-def]
    done = _many(lading, MANY, "run", "-d", "--name", "many{}", "busybox", "sleep", "6000")
    assert [d.stderr for d in done if d.returncode] == []
    assert len(lading.out("ps", "-q").split()) == MANY
    found = [
        json.loads(line)
        for line in lading.out("inspect", "--format", "json", *(f"many{n}" for n in range(MANY))).splitlines()
    ]
    assert len({one["NetworkSettings"]["IPAddress"] for one in found}) == MANY
    assert lading.out("exec", "many7", "echo", "seven") == "seven"
    _tidy(lading)


def test_under_one_keeper(lading) -> None:  # type: ignore[no-untyped-def]
    path = str(lading.base / "one.sock")
    keeper = subprocess.Popen([sys.executable, "-m", "lading.node.keeper", "--socket", path], env=lading.env)
    try:
        deadline = time.monotonic() + 60
        while not os.path.exists(path):
            assert time.monotonic() < deadline
            time.sleep(0.02)

        def run(number: int) -> None:
            pod = {
                "metadata": {"name": f"kept{number}"},
                "spec": {
                    "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "6000"]}],
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 0,
                },
            }
            sock = sockets.connect(path)
            try:
                wire.ask(sock, {"op": "run", "pod": pod})
            finally:
                sock.close()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(run, range(MANY)))
        assert len(lading.out("pod", "ps", "-q").split()) == MANY
        assert lading.out("pod", "exec", "kept9", "--", "echo", "nine") == "nine"
        assert lading("pod", "rm", "-f", *(f"kept{n}" for n in range(MANY)), timeout=300).returncode == 0
        done = lading("check")
        assert done.returncode == 0, done.stdout
    finally:
        keeper.send_signal(signal.SIGTERM)
        keeper.wait(120)
