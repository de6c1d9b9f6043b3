"""The life of what builds cache: looked at, bounded, safe from prune while it is used, mended after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.lading import Lading

pytestmark = pytest.mark.root


@pytest.fixture
def own(tmp_path, lading) -> Iterator[Lading]:
    """A store of its own, with busybox."""
    lading("save", "-o", f"{tmp_path}/base.tar", "busybox", check=True)
    made = Lading(tmp_path / "own")
    made("load", "-q", "-i", f"{tmp_path}/base.tar", check=True)
    yield made
    made.close()


def records(own: Lading, *words: str) -> list[dict]:
    return [json.loads(line) for line in own.out("builder", "du", "--format", "json", *words).splitlines()]


def test_records_are_shown_chosen_and_pruned(own, context):
    context.dockerfile(
        "FROM busybox\nRUN echo one > /one\nRUN --mount=type=cache,target=/c,id=mine echo kept > /c/f\n"
    )
    own("build", "-q", "-t", "kept", str(context), check=True)
    context.dockerfile("FROM busybox\nRUN head -c 300000 /dev/urandom > /two\n", "Other")
    own("build", "-q", "-f", f"{context}/Other", "-o", "type=cacheonly", str(context), check=True)
    shown = {row["description"]: row for row in records(own)}
    assert shown["RUN echo one > /one"]["shared"]
    assert not shown["RUN head -c 300000 /dev/urandom > /two"]["shared"]
    assert shown["cache mount mine"]["type"] == "exec.cachemount"
    assert shown["cache mount mine"]["size"] == 5
    assert [r["type"] for r in records(own, "--filter", "type=exec.cachemount")] == ["exec.cachemount"]
    id_ = shown["cache mount mine"]["id"]
    assert json.loads(own.out("builder", "inspect", id_))[0]["description"] == "cache mount mine"
    assert own("builder", "inspect", "ffffffff").returncode == 1
    [row] = [
        json.loads(r) for r in own.out("system", "df", "--format", "json").splitlines() if "Build Cache" in r
    ]
    assert row["bytes"] >= 300000
    assert not own.out("builder", "prune", "-f", "--filter", "until=24h").startswith(
        "Total reclaimed space: 3"
    )
    assert len(records(own)) == 4
    # Without --all, what an image has stays.
    assert "300" in own.out("builder", "prune", "-f", "--filter", "type=regular").splitlines()[-1]
    assert {r["description"] for r in records(own)} == set(shown) - {"RUN head -c 300000 /dev/urandom > /two"}
    own("builder", "prune", "-af", check=True)
    assert records(own) == []
    assert "DONE" in own("build", "-t", "kept", str(context), check=True).stderr
    assert own.out("run", "--rm", "kept", "cat", "/one") == "one"
    assert own.out("check") == "Everything is as recorded."


def test_the_longest_unused_goes_until_the_rest_is_small_enough(own, context):
    for number in range(4):
        context.dockerfile(f"FROM busybox\nRUN head -c 100000 /dev/urandom > /f{number}\n")
        own("build", "-q", "-o", "type=cacheonly", str(context), check=True)
    pins = sorted((own.base / "root/images/pins/step").iterdir())
    for pin in pins:
        number = json.loads(pin.read_text())["about"]["name"][-1]
        os.utime(pin, (1_000_000 + int(number), 1_000_000 + int(number)))
    own("builder", "prune", "-f", "--reserved-space", "250000", check=True)
    assert {r["description"][-1] for r in records(own)} == {"2", "3"}
    own("builder", "prune", "-f", "--filter", "until=1970-01-12T13:46:43", check=True)
    assert {r["description"][-1] for r in records(own)} == {"3"}


def test_a_bound_is_kept_after_a_build(own, context):
    context.dockerfile("FROM busybox\nRUN head -c 100000 /dev/urandom > /f\n")
    own.env["LADING_BUILD_CACHE"] = "50000"
    own("build", "-q", "-o", "type=cacheonly", str(context), check=True)
    assert records(own) == []
    own("build", "-q", "-o", "type=cacheonly", str(context), check=True)
    assert len(records(own)) == 1  # looked at once an hour only


def _until(file: Path) -> None:
    for _ in range(600):
        if file.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{file} did not come")


def _waiting(own: Lading, context, tmp_path: Path) -> subprocess.Popen[str]:
    """A build that has finished a step and is in the middle of another, with a cache mounted."""
    context.dockerfile(
        "FROM busybox\nRUN echo first > /first\n"
        "RUN --mount=type=cache,target=/c touch /c/begun; while [ ! -e /c/go ]; do sleep 0.1; done; cat /first\n"
    )
    return subprocess.Popen(
        own.argv(["build", "-t", "slow", str(context)]), env=own.env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _files(own: Lading) -> Path:
    for _ in range(600):
        found = list((own.base / "root/build/caches").glob("*/files/begun"))
        if found:
            return found[0].parent
        time.sleep(0.1)
    raise AssertionError("the command did not begin")


def test_prune_leaves_a_running_build_what_it_works_with(own, context, tmp_path):
    building = _waiting(own, context, tmp_path)
    try:
        files = _files(own)
        assert {r["in_use"] for r in records(own)} == {True}
        own("builder", "prune", "-af", check=True)
        own("system", "prune", "-af", check=True)
        (files / "go").touch()
        _, told = building.communicate(timeout=120)
    finally:
        building.kill()
    assert building.returncode == 0, told
    assert "first" in told
    assert own.out("run", "--rm", "slow", "cat", "/first") == "first"
    assert own.out("check") == "Everything is as recorded."


def test_a_build_that_is_killed_keeps_its_finished_steps_and_leaves_nothing_else(own, context, tmp_path):
    building = _waiting(own, context, tmp_path)
    files = _files(own)
    building.send_signal(signal.SIGKILL)
    building.wait()
    (files / "go").touch()
    own("check", "--repair")
    for _ in range(100):  # the step's own process may still be undoing what it began
        if own("check").returncode == 0:
            break
        time.sleep(0.1)
    assert own.out("check") == "Everything is as recorded."
    assert [r["description"] for r in records(own, "--filter", "type=regular")] == ["RUN echo first > /first"]
    told = own("build", "-t", "slow", str(context), check=True).stderr
    assert told.count("DONE") == 1


def test_a_prune_that_is_killed_at_any_moment_is_finished_by_the_next(own, context):
    context.dockerfile(
        "FROM busybox\n"
        + "".join(
            f"RUN --mount=type=cache,target=/c,id=i{n} echo {n} > /f{n}; echo > /c/f\n" for n in range(5)
        )
    )
    for delay in (0.06, 0.1, 0.14, 0.18, 0.22, 0.3):
        own("build", "-q", "-t", "app", str(context), check=True)
        pruning = subprocess.Popen(
            own.argv(["builder", "prune", "-af"]),
            env=own.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        pruning.kill()
        pruning.wait()
        own("check", "--repair")
        assert own.out("check") == "Everything is as recorded."
        assert own.out("run", "--rm", "app", "cat", "/f0", "/f4").split() == ["0", "4"]


def test_broken_records_are_found_and_mended(own, context):
    context.dockerfile("FROM busybox\nRUN echo one > /one\nRUN echo two > /two\n")
    own("build", "-q", "-o", "type=image,name=app,compression=gzip", str(context), check=True)
    pins = own.base / "root/images/pins"
    first, second = sorted((pins / "step").iterdir())[:2]
    first.write_text("{")
    record = json.loads(second.read_text())
    record["about"]["layers"] = [["x", 1, 2]]
    second.write_text(json.dumps(record))
    blob = next((pins / "layer-blob").iterdir())
    record = json.loads(blob.read_text())
    record["about"].pop("blob")
    blob.write_text(json.dumps(record))
    (own.base / "root/build/locks").mkdir(exist_ok=True)
    (own.base / "root/build/locks/abc").touch()
    told = own("check").stdout
    assert told.count("record step/") == 2
    assert told.count("record layer-blob/") == 1
    assert "locks/abc" in told
    own("check", "--repair", check=True)
    assert own.out("check") == "Everything is as recorded."
    own("build", "-q", "-t", "app", str(context), check=True)
    assert own.out("run", "--rm", "app", "cat", "/one", "/two").split() == ["one", "two"]


def test_two_builds_at_once_carry_a_step_out_once(own, context):
    context.dockerfile(
        "FROM busybox\nRUN sleep 2; cat /proc/sys/kernel/random/uuid > /one\nRUN cat /one > /two; sleep 1\n"
    )
    argv = own.argv(["build", "-q", str(context)])
    builds = [subprocess.Popen(argv, env=own.env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        first, second = (build.communicate(timeout=100)[0] for build in builds)
    finally:
        for build in builds:
            build.kill()
    assert first.startswith("sha256:")
    ones = [own.out("run", "--rm", made.strip(), "cat", "/one", "/two").split() for made in (first, second)]
    assert len({word for words in ones for word in words}) == 1
