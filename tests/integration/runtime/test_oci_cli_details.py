"""What runc's and crun's own suites found: small habits of a runtime that engines and scripts rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.errors import LadingError
from lading.formats.oci_runtime import ExecCPUAffinity, Hook, Hooks, Mount, Process, User
from lading.kernel.cgroups import detect
from lading.runtime import RunRequest, Stdio
from lading.runtime.cli import main
from lading.runtime.execute import enter

pytestmark = pytest.mark.root


def until(what: Callable[[], bool]) -> None:
    """Wait for a condition; a minute is for a machine that does ten other things."""
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_null_device_as_standard_stream_stays_the_hosts(box: Any, spec: Any, tmp_path: Path) -> None:
    """A pipe becomes the user's, but /dev/null is everybody's: an ``exec -u`` once gave it away."""
    null = tmp_path / "null"
    os.mknod(null, 0o020666, os.makedev(1, 3))
    fd = os.open(null, os.O_RDWR)
    read, write = os.pipe()
    try:
        running = box.start("sleep", "600")
        process = Process(
            args=["stat", "-Lc", "%u", "/proc/self/fd/1"], cwd="/", user=User(uid=77), env=["PATH=/bin"]
        )
        assert running.exec(process, stdio=Stdio(fd, write, fd)).wait() == 0
        assert os.read(read, 99) == b"77\n"
        assert os.fstat(fd).st_uid == 0
    finally:
        for opened in (fd, read, write):
            os.close(opened)


def test_a_user_may_be_given_a_directory_that_it_could_not_enter(own_box: Any) -> None:
    (Path(own_box.bundle) / "rootfs/private").mkdir(mode=0o700)
    assert own_box.sh("pwd; ls / >/dev/null && id -u", process_cwd="/private", process_user=User(uid=77)) == (
        0,
        "/private\n77\n",
    )


def test_a_created_container_holds_nothing_of_its_creator_open(box: Any, spec: Any) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    made = box.runtime.create(RunRequest(box.id(), spec("true"), box.bundle, stdio=Stdio(-1, -1, -1)))
    os.close(write)
    assert os.read(read, 1) == b""  # the end is here: nobody else has the pipe
    os.close(read)
    until(lambda: _open_files(made.pid) == {"null", "start.fifo", "result.fifo"})
    made.start()
    assert made.wait() == 0
    made.delete()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_container_that_was_only_created(box: Any, spec: Any, number: int) -> None:
    made = box.runtime.create(RunRequest(box.id(), spec("true"), box.bundle, stdio=Stdio(-1, -1, -1)))
    made.kill(number)
    assert made.wait() == 128 + number
    assert made.status() == "stopped"
    made.delete()


def test_killing_a_container_in_a_shared_pid_namespace_ends_all_of_it(box: Any) -> None:
    made = box.start("sh", "-c", "sleep 600 & sleep 600 & wait", new="mount uts ipc network")
    until(lambda: len(made.pids()) == 3)
    others = [pid for pid in made.pids() if pid != made.pid]
    made.kill(9)
    made.wait()
    until(lambda: not any(_runs(pid) for pid in others))
    made.delete()


def _open_files(pid: int) -> set[str]:
    paths = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    null = os.stat("/dev/null").st_rdev
    try:
        return {"null" if os.stat(p).st_rdev == null else os.path.basename(os.readlink(p)) for p in paths}
    except FileNotFoundError:  # closed while we looked
        return set()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_hooks_find_their_directory_and_the_start_container_hook_the_environment(
    own_box: Any, spec: Any
) -> None:
    config = spec("true")
    config.process.env.append("GREETING=hello")
    config.hooks = Hooks(
        create_runtime=[Hook(path="/bin/sh", args=["sh", "-c", "test -d rootfs && touch runtime-was-here"])],
        create_container=[Hook(path="/bin/sh", args=["sh", "-c", "test -e bin/busybox && touch was-here"])],
        start_container=[Hook(path="/bin/sh", args=["sh", "-c", 'test "$GREETING" = hello'])],
    )
    assert own_box.run(config)[0] == 0
    assert (Path(own_box.bundle) / "runtime-was-here").exists()
    assert (Path(own_box.bundle) / "rootfs/was-here").exists()


def test_a_read_only_tmpfs_is_filled_before_it_is_closed(box: Any, spec: Any) -> None:
    config = spec(
        "sh", "-c", "echo x >/dev/null && ls -d /dev/pts/ptmx && ! touch /dev/x 2>/dev/null && echo closed"
    )
    config.mounts[1].options.append("ro")
    assert box.run(config) == (0, "/dev/pts/ptmx\nclosed\n")


def test_without_pivot_root_the_hosts_proc_is_not_within_reach(box: Any, spec: Any) -> None:
    """In a user namespace of its own a process may mount procfs only where a whole one is in sight already."""
    masked = {"masked_paths": ["/proc/kcore"], "readonly_paths": ["/proc/sys"]}
    script = "unshare -Urmpf mount -t proc none /proc && echo BAD; echo tried"
    box_root = Path(box.bundle) / "rootfs/bin/unshare"
    if not box_root.is_symlink():
        os.symlink("busybox", box_root)
    out = box.run(spec("sh", "-c", script, **masked), no_pivot=True)
    assert out[1].endswith("tried\n") and "BAD" not in out[1], out


def test_a_container_is_not_bound_to_the_processors_of_its_caller(box: Any, spec: Any) -> None:
    every = os.sched_getaffinity(0)
    if len(every) < 2:
        pytest.skip("one processor")
    one = {min(every)}
    script = "grep Cpus_allowed_list: /proc/self/status"
    os.sched_setaffinity(0, one)
    try:
        assert box.sh(script)[1].split()[1] != str(min(one))
        running = box.start("sleep", "600")
        for affinity, bound in ((None, False), (ExecCPUAffinity(initial="0", final=str(max(every))), True)):
            out = os.memfd_create("out")
            process = Process(
                args=["sh", "-c", script], cwd="/", env=["PATH=/bin"], exec_cpu_affinity=affinity
            )
            assert running.exec(process, stdio=Stdio(-1, out, 2)).wait() == 0
            said = os.pread(out, 999, 0).decode().split()[1]
            os.close(out)
            assert (said == str(max(every))) is bound and said != str(min(one))
    finally:
        os.sched_setaffinity(0, every)


def test_an_exec_joins_groups_below_by_controller(box: Any, reason: Any) -> None:
    running = box.start("sleep", "600")
    group = running.group.manager
    assert group is not None
    process = Process(args=["cat", "/proc/self/cgroup"], cwd="/", env=["PATH=/bin"])
    if detect().mode == "v2":
        os.mkdir(f"{group.main_directory()}/below")
        names, shown = ["below"], ["0::"]
    else:
        os.mkdir(group.directories()["memory"] + "/below")
        names, shown = ["memory:below"], [":memory:"]
        assert reason(lambda: enter(running, process, cgroup=["whaaat:/"])) == "invalid"
    assert reason(lambda: enter(running, process, cgroup=[".."])) == "invalid"
    assert reason(lambda: enter(running, process, cgroup=["missing"])) == "not-found"
    out = os.memfd_create("out")
    assert enter(running, process, stdio=Stdio(-1, out, 2), cgroup=names).wait() == 0
    rows = os.pread(out, 4096, 0).decode().splitlines()
    os.close(out)
    assert any(shown[0] in row and row.endswith(f"{running.id}/below") for row in rows)
    if len(rows) > 1:
        assert sum(row.endswith("/below") for row in rows) == 1


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(tmp_path: Path, bundle: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}

    def call(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lading.runtime.cli", "--root", str(tmp_path / "state"), *words]
        options: dict[str, Any] = {"capture_output": True, "stdin": subprocess.DEVNULL, "cwd": bundle} | more
        return subprocess.run(command, env=env, text=True, timeout=120, check=False, **options)

    yield call
    for id in call("list", "-q").stdout.split():
        call("delete", "--force", id)


def configure(bundle: Path, *args: str, name: str = "config.json", **process: object) -> None:
    from lading.formats.jsontext import dumps
    from lading.runtime.hostspec import template

    config = template()
    config["process"] |= {"args": list(args), "terminal": False, "env": ["PATH=/bin"]} | process
    config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/sys/fs/cgroup"]
    config["linux"]["cgroupsPath"] = f"/lading-test-{uuid.uuid4().hex[:8]}"
    (bundle / name).write_text(dumps(config))


def test_the_terminal_of_a_foreground_run_adds_no_carriage_returns(cli: Any, bundle: Path) -> None:
    configure(bundle, "sh", "-c", "echo one; echo two", terminal=True)
    done = cli("run", "a")
    assert (done.returncode, done.stdout) == (0, "one\ntwo\n"), done.stderr


def test_what_a_failing_hook_wrote_to_the_terminal_is_shown(cli: Any, bundle: Path) -> None:
    configure(bundle, "true", terminal=True)
    config = json.loads((bundle / "config.json").read_text())
    config["hooks"] = {
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo because; kill -SYS $$"]}]
    }
    (bundle / "config.json").write_text(json.dumps(config))
    done = cli("run", "a")
    assert (done.returncode, done.stdout) == (1, "because\n")
    assert "error running startContainer hook #0" in done.stderr and "bad system call" in done.stderr


def test_debug_lines_and_crun_s_flags(cli: Any, bundle: Path, tmp_path: Path) -> None:
    configure(bundle, "echo", "fine", name="other.json")
    log = tmp_path / "log"
    done = cli(
        "--debug",
        "--log",
        str(log),
        "--log-format",
        "json",
        "--cgroup-manager",
        "cgroupfs",
        "run",
        "-f",
        "other.json",
        "a",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
    assert {json.loads(line)["level"] for line in log.read_text().splitlines()} == {"debug"}
    disabled = cli("--cgroup-manager", "disabled", "run", "--config", "other.json", "a")
    assert (disabled.returncode, disabled.stdout) == (0, "fine\n"), disabled.stderr


def test_the_ambient_capability_that_cannot_be_is_a_warning(cli: Any, bundle: Path) -> None:
    sets = {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")} | {
        "ambient": ["CAP_CHOWN", "CAP_KILL"]
    }
    configure(bundle, "grep", "CapAmb", "/proc/self/status", capabilities=sets)
    done = cli("run", "a")
    assert (done.returncode, done.stdout) == (0, "CapAmb:\t0000000000000000\n")
    assert done.stderr.count("can't raise ambient capability") == 2


def test_sizes_of_update_may_have_units_and_signal_zero_only_asks(cli: Any, bundle: Path) -> None:
    configure(bundle, "sleep", "600")
    with open(os.devnull, "w") as null:
        assert cli("run", "--detach", "a", capture_output=False, stdout=null, stderr=null).returncode == 0
    assert cli("update", "--memory", "64M", "a").returncode == 0
    stats = json.loads(cli("events", "--stats", "a").stdout)
    assert stats["data"]["memory"]["usage"]["limit"] == 64 << 20
    assert cli("update", "--memory", "64 parsecs", "a").returncode == 1
    assert cli("kill", "a", "0").returncode == 0
    assert cli("kill", "a", "KILL").returncode == 0
    until(lambda: "stopped" in cli("state", "a").stdout)
    gone = cli("kill", "a", "0")
    assert gone.returncode == 1 and "container not running" in gone.stderr


def test_an_idmap_takes_the_mapping_of_a_user_namespace_that_is_joined(
    box: Any, spec: Any, tmp_path: Path
) -> None:
    from lading.formats.oci_runtime import IDMapping, Namespace

    ids = [IDMapping(container_id=0, host_id=100_000, size=65_536)]
    first = box.start(
        "sleep", "600", new="pid mount uts ipc network user", uid_mappings=ids, gid_mappings=ids
    )
    source = tmp_path / "shared"
    source.mkdir()
    (source / "file").write_text("x")
    mount = Mount(destination="/tmp", source=str(source), options=["rbind", "idmap"])
    config = spec("stat", "-c", "%u", "/tmp/file", mounts=[mount])
    config.linux.namespaces.append(Namespace(type="user", path=f"/proc/{first.pid}/ns/user"))
    assert box.run(config) == (0, "0\n")


def test_poststop_hooks_follow_every_failure(own_box: Any, spec: Any) -> None:
    stopped = Path(own_box.bundle) / "stopped"
    poststop = Hook(path="/bin/sh", args=["sh", "-c", "cat >>stopped"])
    failing = Hook(path="/bin/false")
    for number, kind in enumerate(("create_runtime", "start_container", "poststart"), 1):
        config = spec("sleep", "600")
        hooks: dict[str, Any] = {kind: [failing.replace(path="/bin/false")], "poststop": [poststop]}
        config.hooks = Hooks(**hooks)
        with pytest.raises(LadingError) as caught:
            own_box.run(config)
        assert caught.value.reason == "hook"
        assert stopped.read_text().count('"stopped"') == number


def test_a_poststop_hook_that_fails_is_told_in_the_log(own_box: Any, spec: Any, tmp_path: Path) -> None:
    config = spec("true")
    config.hooks = Hooks(poststop=[Hook(path="/bin/false")])
    made = own_box.runtime.run(RunRequest(own_box.id(), config, own_box.bundle, stdio=Stdio(-1, -1, -1)))
    made.wait()
    log = tmp_path / "log"
    assert main(["--root", own_box.runtime.root, "--log", str(log), "delete", made.id]) == 0
    assert "level=warning" in log.read_text() and "poststop hook" in log.read_text()


def test_a_hook_that_names_no_environment_has_the_runtimes(
    own_box: Any, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LADING_TEST_GREETING", "hello")
    config = spec("true")
    config.hooks = Hooks(
        create_runtime=[
            Hook(path="/bin/sh", args=["sh", "-c", 'test "$LADING_TEST_GREETING" = hello']),
            Hook(path="/bin/sh", args=["sh", "-c", 'test -z "$LADING_TEST_GREETING"'], env=["A=b"]),
        ]
    )
    assert own_box.run(config)[0] == 0


def test_more_memory_and_swap_is_added_to_the_memory_that_stays(cli: Any, bundle: Path) -> None:
    configure(bundle, "sleep", "600")
    config = json.loads((bundle / "config.json").read_text())
    config["linux"]["resources"] |= {"memory": {"limit": 32 << 20, "swap": 32 << 20}}
    (bundle / "config.json").write_text(json.dumps(config))
    with open(os.devnull, "w") as null:
        assert cli("run", "--detach", "a", capture_output=False, stdout=null, stderr=null).returncode == 0
    assert cli("update", "--memory-swap", "96M", "a").returncode == 0
    memory = json.loads(cli("events", "--stats", "a").stdout)["data"]["memory"]
    assert memory["usage"]["limit"] == 32 << 20
    refused = cli("update", "--memory-swap", "16M", "a")
    assert refused.returncode == 1 and "memory.swap" in refused.stderr


def test_a_notify_socket_that_nobody_passes_on_is_a_warning(bundle: Path, tmp_path: Path) -> None:
    configure(bundle, "true")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src"), "NOTIFY_SOCKET": "/run/x"}
    command = [sys.executable, "-m", "lading.runtime.cli", "--root", str(tmp_path / "state"), "run", "a"]
    done = subprocess.run(
        command, cwd=bundle, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 and "NOTIFY_SOCKET" in done.stderr


def test_contradictions_and_unusable_logs_are_errors(cli: Any, bundle: Path) -> None:
    configure(bundle, "true")
    config = json.loads((bundle / "config.json").read_text())
    config["domainname"] = "one"
    config["linux"]["sysctl"] = {"kernel.domainname": "two"}
    (bundle / "config.json").write_text(json.dumps(config))
    done = cli("run", "a")
    assert done.returncode == 1 and "kernel.domainname" in done.stderr
    done = cli("--log", "/nonexistent/directory/log", "list")
    assert done.returncode == 1 and "/nonexistent/directory/log" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("otherwise", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL"])
def test_a_profile_older_than_close_range_lets_a_container_be_created(
    box: Any, spec: Any, otherwise: str
) -> None:
    """Everything is closed before the filter: behind it such a profile forbids the call, or kills for it."""
    from lading.formats.oci_runtime import Seccomp, Syscall

    names = ["close_range"]
    seccomp = Seccomp(default_action="SCMP_ACT_ALLOW", syscalls=[Syscall(names=names, action=otherwise)])
    made = box.runtime.create(
        RunRequest(box.id(), spec("true", seccomp=seccomp), box.bundle, stdio=Stdio(-1, -1, -1))
    )
    until(lambda: _open_files(made.pid) == {"null", "start.fifo", "result.fifo"})
    made.start()
    assert made.wait() == 0
    made.delete()


def test_a_tmpfs_is_everybodys_unless_it_covers_a_directory(own_box: Any) -> None:
    (Path(own_box.bundle) / "rootfs/there").mkdir(mode=0o710)
    mounts = [Mount(destination=path, type="tmpfs", source="t") for path in ("/there", "/not/there")]
    assert own_box.sh("stat -c %a /there /not/there", mounts=mounts) == (0, "710\n1777\n")
