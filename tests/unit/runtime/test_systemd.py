"""What systemd is asked for; a ``busctl`` of the test's own writes down its words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.errors import Conflict, InvalidInput, RemoteError
from lading.kernel.cgroups import Layout
from lading.runtime import systemd

SCRIPT = """#!/bin/sh
printf '%s\\n' "$DBUS_SESSION_BUS_ADDRESS|$*" >> {log}
if [ -s {answer} ]; then head -1 {answer} >&2; sed -i 1d {answer}; exit 1; fi
"""


class Bus:
    def __init__(self, directory: Path) -> None:
        self.log, self.answer = directory / "log", directory / "answer"
        self.answer.touch()
        program = directory / "busctl"
        program.write_text(SCRIPT.format(log=self.log, answer=self.answer))
        program.chmod(0o755)

    def words(self) -> list[str]:
        """What was asked, without what is the same each time."""
        prefix = "org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager "
        return [line.partition("|")[2].partition(prefix)[2] for line in self.log.read_text().splitlines()]


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bus:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(systemd, "_group_of_process", lambda pid, unit: f"/system.slice/{unit}")
    return Bus(tmp_path)


def test_a_scope_has_its_limits_from_the_beginning(bus: Bus) -> None:
    limits = [["MemoryMax", "t", "4096"], ["AllowedCPUs", "ay", "2", "7", "2"]]
    annotations = {"org.systemd.property.TimeoutStopUSec": "uint64 5", "other": "x"}
    group = systemd.start_scope("web.scope", "system.slice", 42, limits, annotations, user=False)
    assert group == "/system.slice/web.scope"
    (said,) = bus.words()
    assert said.startswith(
        "StartTransientUnit ssa(sv)a(sa(sv)) web.scope replace 12 Description s lading container web "
    )
    for words in (
        "Slice s system.slice",
        "PIDs au 1 42",
        "Delegate b true",
        "CollectMode s inactive-or-failed",
        "MemoryMax t 4096",
        "AllowedCPUs ay 2 7 2",
        "TimeoutStopUSec t 5",
    ):
        assert f" {words} " in said
    assert said.endswith(" 0")


def test_a_failed_scope_of_the_name_is_forgotten(bus: Bus) -> None:
    bus.answer.write_text("Call failed: Unit web.scope was already loaded or has a fragment file.\n")
    systemd.start_scope("web.scope", "system.slice", 42, [], {}, user=False)
    assert [line.split()[0] for line in bus.words()] == [
        "StartTransientUnit", "ResetFailedUnit", "StartTransientUnit",
    ]  # fmt: skip


def test_a_scope_that_runs_is_in_use(bus: Bus) -> None:
    told = "Call failed: Unit web.scope was already loaded or has a fragment file.\n"
    bus.answer.write_text(told + "no such unit\n" + told)
    with pytest.raises(Conflict, match=r"Unit web\.scope was already loaded"):
        systemd.start_scope("web.scope", "system.slice", 42, [], {}, user=False)


def test_what_systemd_refuses_is_told_in_its_words(bus: Bus) -> None:
    bus.answer.write_text("Call failed: Access denied\n")
    with pytest.raises(
        RemoteError, match=r"systemd refused SetUnitProperties for web\.scope: Call failed: Access denied"
    ):
        systemd.set_properties("web.scope", [["TasksMax", "t", "5"]], user=False)
    assert bus.words() == ["SetUnitProperties sba(sv) web.scope true 1 TasksMax t 5"]


def test_an_ordinary_users_bus(bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    assert not systemd.user_bus().startswith(str(tmp_path))
    (tmp_path / "systemd").mkdir()
    (tmp_path / "bus").touch()
    assert systemd.user_bus() == f"{tmp_path}/bus"
    systemd.attach("web.scope", 7, user=True)
    systemd.stop_scope("web.scope", user=True)
    assert bus.words() == [
        "AttachProcessesToUnit ssau web.scope  1 7",
        "StopUnit ss web.scope replace",
        "ResetFailedUnit s web.scope",
    ]
    for line in bus.log.read_text().splitlines():
        assert line.startswith(f"unix:path={tmp_path}/bus|--user --quiet ")


@pytest.mark.parametrize(
    ("wanted", "rootless", "expected"),
    [
        ("", False, ("system.slice", "lading-id.scope")),
        ("", True, ("user.slice", "lading-id.scope")),
        ("a-b.slice:p:n", False, ("a-b.slice", "p-n.scope")),
        (":lading:n@x", True, ("user.slice", "lading-n\\x40x.scope")),
    ],
)
def test_names(wanted: str, rootless: bool, expected: tuple[str, str]) -> None:
    assert systemd.unit_of(wanted, "id", rootless=rootless) == expected


def test_a_parent_that_is_no_slice(bus: Bus) -> None:
    with pytest.raises(InvalidInput, match=r"'/mine' is not the name of a systemd slice"):
        systemd.unit_of("/mine:lading:x", "x", rootless=True)


def test_where_a_users_scopes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"session": "/user.slice/user-1000.slice/session-3.scope"}
    layout = Layout.__new__(Layout)
    monkeypatch.setattr(systemd, "_user", lambda: 1000)
    monkeypatch.setattr(type(layout), "own", lambda _self, _controller="": own["session"], raising=False)
    monkeypatch.setattr(type(layout), "mode", "v2", raising=False)
    expected = "/user.slice/user-1000.slice/user@1000.service/user.slice/lading-x.scope"
    assert systemd.group_of("user.slice", "lading-x.scope", layout, rootless=True) == expected
    own["session"] = "/outer/user.slice/user-1000.slice/user@1000.service/app.slice/shell.scope"
    found = systemd.group_of("user.slice", "lading-x.scope", layout, rootless=True)
    assert found == "/outer/user.slice/user-1000.slice/user@1000.service/user.slice/lading-x.scope"
    assert systemd.group_of("a-b.slice", "x.scope", layout, rootless=False) == "/a.slice/a-b.slice/x.scope"
