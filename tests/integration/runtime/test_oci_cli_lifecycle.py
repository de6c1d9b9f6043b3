"""``lading-runtime`` as engines call it: a process for each command, on the real kernel."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.formats.jsontext import dumps
from lading.runtime.hostspec import template

pytestmark = pytest.mark.root
SOURCE = str(Path(__file__).parents[3] / "src")


class Cli:
    """One state root, one bundle; containers are deleted at the end."""

    def __init__(self, root: Path, bundle: Path) -> None:
        self.root = root
        self.bundle = bundle
        self.parent = f"lading-test-{uuid.uuid4().hex[:8]}"
        self.env = {**os.environ, "PYTHONPATH": SOURCE}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "lading.runtime.cli", "--root", str(self.root), *words]

    def __call__(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {"capture_output": True, "stdin": subprocess.DEVNULL} | more
        return subprocess.run(
            self.command(*words), env=self.env, text=True, timeout=60, check=False, **options
        )

    def quiet(self, *words: str) -> None:
        """Detached: a pipe would stay open as long as the container."""
        said = self.bundle / "said"
        with said.open("w") as file:
            done = self(*words, capture_output=False, stdout=file, stderr=file)
        assert done.returncode == 0, said.read_text()

    def config(self, id: str, *args: str, **linux: object) -> None:
        config = template()
        config["process"] |= {"args": list(args), "terminal": False, "env": ["PATH=/bin"]}
        config["root"]["readonly"] = False
        config["linux"] |= {"cgroupsPath": f"/{self.parent}/{id}"} | linux
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/sys/fs/cgroup"]
        (self.bundle / "config.json").write_text(dumps(config))

    def change(self, **fields: object) -> None:
        path = self.bundle / "config.json"
        config = json.loads(path.read_text())
        for name, value in fields.items():
            config[name] = config[name] | value if isinstance(value, dict) and name in config else value
        path.write_text(dumps(config))

    def status(self, id: str) -> str:
        return str(json.loads(self("state", id).stdout)["status"])

    def wait(self, id: str, wanted: str) -> None:
        for _ in range(100):
            if self.status(id) == wanted:
                return
            time.sleep(0.05)
        raise AssertionError(f"{id} is {self.status(id)}, not {wanted}")


@pytest.fixture
def cli(tmp_path: Path, bundle: Path) -> Iterator[Cli]:
    made = Cli(tmp_path / "state", bundle)
    yield made
    for id in made("list", "-q").stdout.split():
        made("delete", "--force", id)
    from lading.kernel.cgroups import manager

    manager("/" + made.parent).delete()


def test_a_container_s_life_from_create_to_delete(cli: Cli, tmp_path: Path) -> None:
    cli.config("a", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done")
    cli.quiet("create", "--bundle", str(cli.bundle), "--pid-file", str(tmp_path / "pid"), "a")
    pid = int((tmp_path / "pid").read_text())
    state = json.loads(cli("state", "a").stdout)
    assert (state["status"], state["pid"], state["id"], state["ociVersion"]) == ("created", pid, "a", "1.2.0")
    assert state["bundle"] == str(cli.bundle) and state["rootfs"] == str(cli.bundle / "rootfs")
    (cli.bundle / "config.json").write_text("{}")  # edits after create change nothing
    assert cli("start", "a").returncode == 0
    assert cli.status("a") == "running"
    for words in (["start", "a"], ["delete", "a"], ["create", "-b", str(cli.bundle), "a"]):
        assert cli(*words).returncode == 1, words
    assert cli.status("a") == "running"
    assert cli("kill", "a", "TERM").returncode == 0
    cli.wait("a", "stopped")
    assert cli("kill", "a", "KILL").returncode == 1
    assert cli("delete", "a").returncode == 0
    gone = cli("state", "a")
    assert (gone.returncode, gone.stderr) == (1, "lading-runtime: container a does not exist\n")
    assert cli("delete", "--force", "a").returncode == 0


@pytest.mark.parametrize("script, status", [("exit 7", 7), ("echo out; echo err >&2", 0)])
def test_run_in_the_foreground_returns_the_container_s_status_and_leaves_nothing(
    cli: Cli, script: str, status: int
) -> None:
    cli.config("a", "sh", "-c", script)
    done = cli("run", "-b", str(cli.bundle), "a")
    assert done.returncode == status, done.stderr
    assert (done.stdout, done.stderr) == (("out\n", "err\n") if status == 0 else ("", ""))
    assert cli("list", "-q").stdout == ""


def test_a_signal_to_the_runtime_reaches_the_container(cli: Cli) -> None:
    cli.config("a", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    words = cli.command("run", "-b", str(cli.bundle), "a")
    with subprocess.Popen(words, env=cli.env, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(90) == 9


def test_kept_containers_can_be_listed_and_deleted(cli: Cli) -> None:
    cli.config("a", "true")
    assert cli("run", "--keep", "-b", str(cli.bundle), "a").returncode == 0
    rows = json.loads(cli("list", "--format", "json").stdout)
    assert [(r["id"], r["status"], r["owner"]) for r in rows] == [("a", "stopped", "root")]
    table = cli("list").stdout.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert cli("delete", "a").returncode == 0


def test_exec_takes_a_command_or_a_process_file(cli: Cli, tmp_path: Path) -> None:
    cli.config("a", "sleep", "100")
    cli.quiet("run", "--detach", "-b", str(cli.bundle), "a")
    shell = ["sh", "-c", "echo $A $(id -u):$(id -g) $PWD; exit 6"]
    done = cli("exec", "--env", "A=b", "--user", "5:6", "--cwd", "/tmp", "a", *shell)
    assert (done.returncode, done.stdout) == (6, "b 5:6 /tmp\n")
    file = tmp_path / "process.json"
    file.write_text(
        dumps({"cwd": "/", "args": shell, "env": ["A=c", "PATH=/bin"], "user": {"uid": 1, "gid": 2}})
    )
    assert cli("exec", "--process", str(file), "a").stdout == "c 1:2 /\n"
    missing = cli("exec", "a", "nonesuch")
    assert missing.returncode == 255
    assert "executable file not found in $PATH" in missing.stderr
    cli.quiet("exec", "--detach", "--pid-file", str(tmp_path / "pid"), "a", "sleep", "50")
    pids = json.loads(cli("ps", "--format", "json", "a").stdout)
    assert int((tmp_path / "pid").read_text()) in pids and len(pids) == 2
    assert cli("ps", "a").stdout.count("sleep") == 2
    # Its parent ended, so it is ours to reap; a pid namespace does not end before its last process is reaped.
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    os.waitpid(int((tmp_path / "pid").read_text()), 0)


def test_pause_stops_exec_until_resume(cli: Cli) -> None:
    cli.config("a", "sleep", "100")
    cli.quiet("run", "--detach", "-b", str(cli.bundle), "a")
    assert cli("pause", "a").returncode == 0
    assert cli.status("a") == "paused"
    assert cli("exec", "a", "true").returncode == 255
    assert cli("pause", "a").returncode == 1
    assert cli("resume", "a").returncode == 0
    assert cli("exec", "a", "true").returncode == 0
    assert cli("pause", "a").returncode == 0
    assert cli("delete", "--force", "a").returncode == 0


def test_limits_are_set_updated_and_counted(cli: Cli) -> None:
    from lading.kernel.cgroups import manager

    limits = {"memory": {"limit": 64 << 20}, "pids": {"limit": 30}, "cpu": {"quota": 50000, "period": 100000}}
    cli.config("a", "sleep", "100", resources=limits)
    cli.quiet("run", "--detach", "-b", str(cli.bundle), "a")
    group = manager(f"/{cli.parent}/a")
    assert (group.stats().memory.limit, group.stats().pids_limit) == (64 << 20, 30)
    assert cli("update", "--memory", str(128 << 20), "--pids-limit", "40", "a").returncode == 0
    assert (group.stats().memory.limit, group.stats().pids_limit) == (128 << 20, 40)
    assert cli("update", "-r", "-", "a", stdin=None, input='{"memory": {"limit": 33554432}}').returncode == 0
    assert group.stats().memory.limit == 32 << 20
    tight = '{"memory": {"limit": 4096, "checkBeforeUpdate": true}}'
    refused = cli("update", "-r", "-", "a", stdin=None, input=tight)
    assert refused.returncode == 1 and "below present use" in refused.stderr
    event = json.loads(cli("events", "--stats", "a").stdout)
    assert event["type"] == "stats" and event["data"]["memory"]["usage"]["limit"] == 32 << 20


def test_a_second_container_in_the_same_group_is_refused(cli: Cli) -> None:
    cli.config("a", "sleep", "100")
    cli.quiet("run", "--detach", "-b", str(cli.bundle), "a")
    refused = cli("run", "-b", str(cli.bundle), "b")
    assert refused.returncode == 1 and "is not empty" in refused.stderr
    assert cli("list", "-q").stdout.split() == ["a"]
    assert cli("exec", "a", "true").returncode == 0


def test_the_terminal_s_master_goes_to_the_console_socket(cli: Cli, tmp_path: Path) -> None:
    cli.config("a", "sh", "-c", "tty; stty size; test -t 0 && echo yes")
    cli.change(process={"terminal": True, "consoleSize": {"height": 33, "width": 77}})
    path = str(tmp_path / "c")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        cli.quiet("create", "-b", str(cli.bundle), "--console-socket", path, "a")
        accepted, _ = server.accept()
        with accepted:
            _, fds, _, _ = socket.recv_fds(accepted, 100, 1)
    assert cli("start", "a").returncode == 0
    said = b""
    while b"yes" not in said:
        said += os.read(fds[0], 1000)
    os.close(fds[0])
    assert said.replace(b"\r", b"").split(b"\n")[:2] == [b"/dev/pts/0", b"33 77"]


def test_in_the_foreground_our_terminal_becomes_the_container_s(cli: Cli) -> None:
    cli.config("a", "sh", "-c", "read line; echo got $line; exit 4")
    cli.change(process={"terminal": True})
    pid, master = pty.fork()
    if pid == 0:
        words = cli.command("run", "-b", str(cli.bundle), "a")
        os.execvpe(words[0], words, cli.env)
    os.write(master, b"hello\r")
    said = b""
    while b"got hello" not in said:
        said += os.read(master, 1000)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
    os.close(master)


def test_a_detached_terminal_without_a_socket_is_refused(cli: Cli) -> None:
    cli.config("a", "true")
    cli.change(process={"terminal": True})
    done = cli("create", "-b", str(cli.bundle), "a")
    assert done.returncode == 1 and "--console-socket" in done.stderr
    assert cli("list", "-q").stdout == ""


def test_an_interrupted_create_is_listed_refused_and_cleared_by_force(cli: Cli) -> None:
    (cli.root / "half").mkdir(parents=True)
    cli.config("half", "true")
    assert cli("list", "-q").stdout == "half\n"
    refused = cli("run", "-b", str(cli.bundle), "half")
    assert refused.returncode == 1 and "interrupted" in refused.stderr
    assert cli("delete", "half").returncode == 1
    assert cli("delete", "--force", "half").returncode == 0
    assert cli("run", "-b", str(cli.bundle), "half").returncode == 0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", "config.json"),
        ('{"ociVersion": "1.2.0", "root": {}}', "root.path"),
        ('{"ociVersion": "1.2.0", "root": {"path": "none"}, "windows": {}}', "windows"),
    ],
)
def test_a_bad_bundle_is_one_line_and_leaves_nothing(cli: Cli, config: str, said: str) -> None:
    (cli.bundle / "config.json").write_text(config)
    done = cli("create", "-b", str(cli.bundle), "a")
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert cli("list", "-q").stdout == ""


def test_a_group_below_the_container_s_can_be_chosen_for_exec(cli: Cli) -> None:
    from lading.kernel.cgroups import manager

    cli.config("a", "sleep", "100")
    cli.quiet("run", "--detach", "-b", str(cli.bundle), "a")
    group = manager(f"/{cli.parent}/a")
    if group.version == 2:
        pytest.skip("on v2 processes live only in leaves")
    os.mkdir(group.main_directory() + "/sub")
    shown = cli("exec", "--cgroup", "sub", "a", "cat", "/proc/self/cgroup").stdout
    assert f"freezer:/{cli.parent}/a/sub\n" in shown
    assert cli("exec", "--cgroup", "none", "a", "true").returncode == 255
