"""``up`` in the foreground, ``watch``, and what a killed command leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not there():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


TALKING = """
name: shop
services:
  a: {image: busybox, command: 'sh -c ''trap "echo a ends; exit 0" TERM; echo a says; while :; do sleep 0.1; done'''}
  b:
    image: busybox
    depends_on: [a]
    command: 'sh -c ''trap "echo b ends; exit 0" TERM; echo b says; while :; do sleep 0.1; done'''
"""


def test_ctrl_c_stops_in_good_order_and_everything_said_is_shown(app: Any) -> None:
    app.write(TALKING)
    running = app.start("up")
    try:
        until(lambda: app.out("logs", "b") == "b-1  | b says")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=90)
    finally:
        running.kill()
    assert running.returncode == 130
    assert out.splitlines() == [
        "Attaching to a-1, b-1",
        "a-1  | a says",
        "b-1  | b says",
        "b-1  | b ends",
        "a-1  | a ends",
    ]
    assert err.index("shop-b-1  Stopped") < err.index("shop-a-1  Stopped")
    assert app.out("ps", "-q") == ""
    assert len(app.out("ps", "-aq").splitlines()) == 2


def test_a_second_ctrl_c_kills(app: Any) -> None:
    app.write("name: shop\nservices: {deaf: {image: busybox, command: sleep 1000, stop_grace_period: 1h}}")
    running = app.start("up")
    try:
        until(lambda: bool(app.out("ps", "-q")))
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        while "Gracefully" not in running.stderr.readline():
            pass
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=90)
    finally:
        running.kill()
    assert running.returncode == 130
    until(lambda: not app.out("ps", "-q"))


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        (["--abort-on-container-exit"], 5),
        (["--exit-code-from", "fails"], 5),
        (["--exit-code-from", "runs"], 143),
    ],
)
def test_the_status_is_the_one_that_was_asked_for(app: Any, flags: list[str], status: int) -> None:
    app.write(
        """
        name: shop
        services:
          runs: {image: busybox, command: sleep 1000, init: true}
          fails: {image: busybox, command: "sh -c 'exit 5'", depends_on: [runs]}
        """
    )
    done = app("up", *flags, check=False)
    assert done.returncode == status
    assert {"fails-1 exited with code 5", "runs-1 exited with code 143"} <= set(done.stdout.splitlines())
    assert app.out("ps", "-q") == ""


def test_a_killed_replacement_is_finished_by_the_next_up(app: Any) -> None:
    text = "name: shop\nservices: {it: {image: busybox, command: sleep 1000, init: true, environment: {N: '%s'}, scale: 2}}"
    app.write(text % 0)
    app("up", "-d")
    for number in range(1, 6):
        app.write(text % number)
        running = subprocess.Popen(
            app.lading.argv(["compose", "up", "-d"]),
            env=app.lading.env,
            cwd=app.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.1 + 0.09 * number)
        children = subprocess.run(
            ["pgrep", "-P", str(running.pid)], capture_output=True, text=True
        ).stdout.split()
        for pid in [running.pid, *map(int, children)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        running.wait()
    app("up", "-d")
    assert app.out("ps", "-a", "--format", "{Name} {State}").splitlines() == [
        "shop-it-1 running",
        "shop-it-2 running",
    ]
    assert app.out("exec", "it", "sh", "-c", "echo $N") == "5"


def test_watch_puts_what_changes_into_the_container(app: Any) -> None:
    app.write("one\n", "src/file")
    app.write(
        """
        name: shop
        services:
          it:
            image: busybox
            command: sleep 1000
            init: true
            develop: {watch: [{path: src, action: sync, target: /app, initial_sync: true, ignore: [left/]}]}
        """
    )
    running = app.start("watch")
    try:
        until(lambda: app("exec", "it", "cat", "/app/file", check=False).stdout == "one\n")
        app.write("two\n", "src/file")
        app.write("new\n", "src/deep/new")
        app.write("no\n", "src/left/out")
        until(
            lambda: app("exec", "it", "cat", "/app/file", "/app/deep/new", check=False).stdout == "two\nnew\n"
        )
        (app.directory / "src/deep/new").unlink()
        until(lambda: app("exec", "it", "cat", "/app/deep/new", check=False).returncode == 1)
        assert app.out("exec", "it", "ls", "/app").split() == ["deep", "file"]
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=90)
        assert running.returncode == 0
    finally:
        running.kill()
