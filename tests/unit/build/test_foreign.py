"""Handlers of binfmt_misc, and what is said of a command of another architecture."""

from __future__ import annotations

from pathlib import Path

import pytest

from lading.build import foreign
from lading.errors import CommandNotExecutable, CommandNotFound, LadingError
from lading.formats import platform as platforms
from lading.formats.oci_image import Platform

HANDLER = """{state}
interpreter /usr/bin/qemu-aarch64-static
flags: {flags}
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.fixture
def binfmt(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(foreign, "BINFMT", str(tmp_path))
    monkeypatch.setattr(platforms, "host", lambda: Platform(os="linux", architecture="amd64"))
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "register").write_text("")
    return tmp_path


def register(binfmt: Path, name: str, state: str, flags: str) -> None:
    (binfmt / name).write_text(HANDLER.format(state=state, flags=flags))


def test_a_handler_is_known_by_the_programs_it_meets(binfmt):
    (binfmt / "python").write_text("enabled\ninterpreter /usr/bin/python3\nflags: \nextension .pyc\n")
    (binfmt / "broken").write_text("enabled\ninterpreter /x\nflags: F\noffset x\nmagic zz\n")
    register(binfmt, "a-off", "disabled", "F")
    register(binfmt, "qemu-aarch64", "enabled", "POCF")
    found = foreign.handler("arm64")
    assert found is not None
    assert (found.name, found.enabled, found.fixed) == ("qemu-aarch64", True, True)
    assert found.interpreter == "/usr/bin/qemu-aarch64-static"
    for other in ("amd64", "arm", "s390x", "wasm", ""):
        assert foreign.handler(other) is None
    (binfmt / "status").write_text("disabled\n")
    off = foreign.handler("arm64")
    assert off is not None and not off.enabled


def told(error: LadingError, platform: str = "linux/arm64") -> str:
    made = foreign.explain(error, platform)
    return f"{made.message}: {made.hint}"


def test_the_reason_why_a_command_does_not_run_is_told(binfmt):
    cannot = CommandNotExecutable("exec /x: exec format error", hint="a script")
    missing = CommandNotFound("exec /x: no such file or directory")
    assert "no handler of binfmt_misc" in told(cannot) and "install qemu-user-static" in told(cannot)
    assert told(cannot, "linux/amd64").endswith("a script")
    assert "foreign" not in told(missing)
    register(binfmt, "qemu-aarch64", "disabled", "F")
    assert "'qemu-aarch64' is switched off" in told(cannot)
    register(binfmt, "qemu-aarch64", "enabled", "")
    assert "looks for /usr/bin/qemu-aarch64-static in the image" in told(missing)
    assert "flag F" in told(missing)
    register(binfmt, "qemu-aarch64", "enabled", "F")
    assert "foreign" not in told(missing) + told(cannot)
    for name in list(binfmt.iterdir()):
        name.unlink()
    assert "is not mounted" in told(cannot)
    assert foreign.explain(LadingError("x"), "linux/arm64").message == "x"
