"""One call of a foreign OCI runtime, with a script in the runtime's place."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.kernel import Kernel
from lading.node import foreignrun
from lading.node.foreignrun import Call


def _call(directory: Path, script: str) -> Call:
    runtime = directory / "runtime"
    runtime.write_text(f"#!/bin/sh\n{script}\n")
    runtime.chmod(0o755)
    return Call(str(runtime), str(directory / "state"), str(directory), ["pause", "one"])


def _gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_a_runtime_that_hangs_is_ended_with_all_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreignrun, "_DEADLINE", 5.0)
    call = _call(tmp_path, f": >$4; sleep 600 & echo $! >{tmp_path}/child; wait")
    with pytest.raises(LadingError, match=r"runtime .*/runtime: `pause` did not end within 5 s") as caught:
        call.run(Kernel())
    assert caught.value.reason == "runtime-hangs"
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 60
    while not _gone(child):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert sorted(os.listdir(tmp_path)) == ["child", "runtime"]


def test_what_a_runtime_left_behind_does_not_hold_its_caller(tmp_path: Path) -> None:
    call = _call(tmp_path, f"sleep 600 & echo $! >{tmp_path}/child; echo no such thing >&2; exit 3")
    try:
        with pytest.raises(LadingError, match="runtime runtime: no such thing"):
            call.run(Kernel())
    finally:
        os.kill(int((tmp_path / "child").read_text()), 9)


def test_a_runtime_that_says_much_is_read_to_its_end(tmp_path: Path) -> None:
    _call(tmp_path, "head -c 300000 /dev/zero >&2").run(Kernel())
