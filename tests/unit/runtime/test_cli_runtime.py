"""``lading-runtime`` without a kernel: its table, its log lines, its records."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lading.errors import Conflict, Corrupt, InvalidInput, NotFound
from lading.flags import parse
from lading.runtime import cli, events, features, inspection, store
from lading.runtime.store import StateRecord, Store


def test_every_command_has_an_action_or_a_reason_not_to() -> None:
    from importlib import import_module

    for command in cli.ROOT.commands:
        assert command.summary
        if not command.refuse:
            module, _, name = command.action.partition(":")
            assert callable(getattr(import_module(f"lading.runtime.{module}"), name))


@pytest.mark.parametrize(
    "line",
    [
        "--root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p --console-socket /s id",
        "--root=/r --systemd-cgroup=false create --no-pivot --no-new-keyring --preserve-fds 3 -b /b id",
        "--rootless=true --debug run --detach --keep --no-subreaper id",
        "-root /r exec --process /p --detach --pid-file /f --tty --ignore-paused id",
        "exec -u 1:2 --cwd / --env A=B --cap CAP_KILL -g 5 --no-new-privs --cgroup x id ls -l",
        "--log-format text kill --all id SIGTERM",
        "delete --force id",
        "ps --format json id",
        "list --format json -q",
        "update --memory 5 --memory-swap -1 --cpu-share 7 --pids-limit 3 id",
        "update --resources - id",
        "events --stats id",
        "events --interval 1s id",
        "spec --rootless --bundle /b",
        "features",
    ],
)
def test_the_lines_that_engines_write_are_understood(line: str) -> None:
    assert not parse(cli.ROOT, line.split()).help


def test_flags_of_exec_end_at_the_command() -> None:
    assert parse(cli.ROOT, ["exec", "id", "ls", "--all"]).args == ["id", "ls", "--all"]


def test_an_error_is_a_line_on_stderr_and_a_json_line_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    argv = ["--root", str(tmp_path), "--log", str(log), "--log-format", "json", "state", "nope"]
    assert cli.main(argv) == 1
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", "container nope does not exist")
    assert entry["time"].endswith("Z")
    assert capsys.readouterr().err == "lading-runtime: container nope does not exist\n"


def test_a_mistake_on_the_command_line_is_logged_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert cli.main(["--log", str(log), "delete", "--forse", "x"]) == 1
    assert "level=error" in log.read_text() and "--force" in log.read_text()


def test_exec_fails_with_255_so_that_the_command_s_own_1_differs(tmp_path: Path) -> None:
    assert cli.main(["--root", str(tmp_path), "exec", "nope", "true"]) == 255


@pytest.mark.parametrize("command", ["checkpoint", "restore"])
def test_what_is_not_supported_is_refused_by_name(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "x"]) == 1
    assert f"lading-runtime {command}: checkpoint and restore" in capsys.readouterr().err


def test_the_version_is_in_the_form_that_engines_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("lading-runtime version ") and lines[1] == "spec: 1.2.0"


def test_features_name_what_the_specification_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["features"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == features.features()
    assert shown["ociVersionMin"] == "1.0.0"
    assert {"createRuntime", "poststop"} <= set(shown["hooks"])
    assert "time" in shown["linux"]["namespaces"] and shown["linux"]["cgroup"]["v2"] is True


def test_spec_writes_a_template_once(tmp_path: Path) -> None:
    assert cli.main(["spec", "--bundle", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "config.json").read_text())["ociVersion"] == "1.2.0"
    assert cli.main(["spec", "--bundle", str(tmp_path)]) == 1


def test_update_takes_flags_or_a_document(tmp_path: Path) -> None:
    parsed = parse(cli.ROOT, ["update", "--memory", "64", "--pids-limit", "-1", "--cpuset-cpus", "0", "x"])
    wanted = inspection.wanted(parsed)
    assert wanted.encode() == {"memory": {"limit": 64}, "cpu": {"cpus": "0"}, "pids": {"limit": -1}}
    file = tmp_path / "r.json"
    file.write_text('{"cpu": {"shares": 7}}')
    assert inspection.wanted(parse(cli.ROOT, ["update", "-r", str(file), "x"])).encode() == {
        "cpu": {"shares": 7}
    }
    with pytest.raises(InvalidInput, match="nothing to change"):
        inspection.wanted(parse(cli.ROOT, ["update", "x"]))


def test_statistics_have_runc_s_form() -> None:
    from lading.kernel.cgroups.stats import IoEntry, Stats

    stats = Stats()
    stats.cpu.total, stats.memory.usage, stats.pids = 5, 7, 2
    stats.io_bytes.append(IoEntry(8, 0, "Read", 512))
    event = events.stats_event("x", stats)
    data = json.loads(json.dumps(event))["data"]
    assert data["cpu"]["usage"]["total"] == 5
    assert data["memory"]["usage"] == {"limit": 9223372036854771712, "usage": 7, "max": 0, "failcnt": 0}
    assert data["blkio"]["ioServiceBytesRecursive"] == [{"major": 8, "minor": 0, "op": "Read", "value": 512}]


# -- records


def record(**more: object) -> StateRecord:
    return StateRecord(id="a", bundle="/b", **more)


def test_a_record_is_found_again_and_gone_after_removal(tmp_path: Path) -> None:
    kept = Store(str(tmp_path / "state"))
    kept.create("a")
    kept.write_config("a", '{"root": {"path": "x"}}')
    kept.write(record(pid=5))
    assert kept.read("a").pid == 5
    assert kept.read_config("a") == {"root": {"path": "x"}}
    assert kept.ids() == ["a"]
    kept.remove("a")
    kept.remove("a")
    assert kept.ids() == []
    with pytest.raises(NotFound):
        kept.read("a")


def test_an_id_can_be_taken_once_and_a_half_made_one_says_how_to_clear_it(tmp_path: Path) -> None:
    kept = Store(str(tmp_path))
    kept.create("a")
    with pytest.raises(Conflict) as caught:
        kept.create("a")
    assert caught.value.reason == "exists" and "delete --force" in caught.value.hint
    kept.write(record())
    with pytest.raises(Conflict) as caught:
        kept.create("a")
    assert "another id" in caught.value.hint


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "ü", "a b", "x" * 256, "@seccomp"])
def test_an_id_is_a_safe_file_name(tmp_path: Path, id: str) -> None:
    with pytest.raises(InvalidInput):
        Store(str(tmp_path)).path(id)


def test_a_broken_record_says_which_file(tmp_path: Path) -> None:
    kept = Store(str(tmp_path))
    kept.create("a")
    (tmp_path / "a/state.json").write_text("{")
    with pytest.raises(Corrupt, match=r"state\.json"):
        kept.read("a")


def test_a_pid_that_was_given_to_somebody_else_is_not_ours() -> None:
    me = os.getpid()
    assert store.alive(record(pid=me, start_time=store.start_time(me)))
    assert not store.alive(record(pid=me, start_time=store.start_time(me) - 1))
    assert not store.alive(record())


def test_the_status_follows_from_process_start_and_freezer() -> None:
    me = os.getpid()
    mine = record(pid=me, start_time=store.start_time(me))
    assert store.status(mine, waiting=True, frozen=False) == "created"
    assert store.status(mine, waiting=False, frozen=False) == "running"
    assert store.status(mine, waiting=False, frozen=True) == "paused"
    assert store.status(record(pid=me, start_time=1), waiting=False, frozen=False) == "stopped"
    making = record(creator=me, creator_start=store.start_time(me))
    assert store.status(making, waiting=False, frozen=False) == "creating"
    assert store.status(record(creator=me, creator_start=1), waiting=False, frozen=False) == "stopped"
