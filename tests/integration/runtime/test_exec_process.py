"""Processes executed in a running container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lading.errors import Conflict
from lading.formats.oci_runtime import Box as Size
from lading.formats.oci_runtime import Capabilities, IDMapping, Process, Rlimit, User
from lading.runtime import RunRequest, Stdio

pytestmark = pytest.mark.root
IDS = [IDMapping(container_id=0, host_id=100000, size=65536)]


def execute(container: Any, *args: str, **process: Any) -> tuple[int, str]:
    process.setdefault("user", User())
    process.setdefault("cwd", "/")
    out = os.memfd_create("out")
    try:
        made = container.exec(
            Process(args=list(args), env=["PATH=/bin"], **process), stdio=Stdio(-1, out, out)
        )
        return made.wait(), os.pread(out, 1 << 20, 0).decode()
    finally:
        os.close(out)


def test_it_runs_in_the_containers_namespaces_and_group_and_is_our_child(box: Any) -> None:
    container = box.start("sleep", "60", new="pid mount uts ipc network cgroup time")
    script = "for n in pid mnt uts ipc net cgroup time; do readlink /proc/self/ns/$n; done; echo $(cat /proc/1/comm); exit 9"
    status, out = execute(container, "sh", "-c", script)
    lines = out.split()
    assert status == 9
    assert lines[:7] == [
        os.readlink(f"/proc/{container.pid}/ns/{n}") for n in "pid mnt uts ipc net cgroup time".split()
    ]
    assert lines[7] == "sleep"
    made = container.exec(
        Process(args=["sleep", "60"], env=["PATH=/bin"], cwd="/", user=User()), stdio=Stdio(-1, -1, -1)
    )
    assert made.pid in container.pids()
    container.kill(9)
    assert made.wait() == 137  # the pid namespace took it along
    container.wait()
    container.delete()


def test_it_enters_a_user_namespace(box: Any) -> None:
    container = box.start("sleep", "60", new="user pid mount", uid_mappings=IDS, gid_mappings=IDS)
    user = User(uid=5, gid=6, additional_gids=[7])
    assert execute(container, "id", user=user)[1].split() == ["uid=5", "gid=6", "groups=7"]


def test_identity_limits_and_capabilities_are_its_own(box: Any) -> None:
    container = box.start("sleep", "60")
    script = "grep -E 'CapEff|NoNew' /proc/self/status; grep 'open files' /proc/self/limits; cat /proc/self/oom_score_adj"
    _, out = execute(
        container,
        "sh",
        "-c",
        script,
        no_new_privileges=True,
        oom_score_adj=77,
        rlimits=[Rlimit(type="RLIMIT_NOFILE", soft=11, hard=12)],
        capabilities=Capabilities(bounding=["CAP_KILL"], permitted=["CAP_KILL"], effective=["CAP_KILL"]),
    )
    words = out.split()
    assert (words[1], words[3], words[7:9], words[-1]) == (f"{1 << 5:016x}", "1", ["11", "12"], "77")


def test_it_gets_a_terminal_of_the_container(box: Any) -> None:
    container = box.start("sleep", "60")
    made = container.exec(
        Process(
            args=["sh", "-c", "tty; stty size"],
            env=["PATH=/bin"],
            cwd="/",
            user=User(),
            terminal=True,
            console_size=Size(height=10, width=20),
        )
    )
    out = b""
    try:
        while part := os.read(made.console, 4096):
            out += part
    except OSError:
        pass
    os.close(made.console)
    assert made.wait() == 0
    assert out.decode().split() == ["/dev/pts/0", "10", "20"]


def test_errors_are_told_apart_and_leave_no_process(box: Any, reason: Any) -> None:
    container = box.start("sleep", "60")
    assert reason(lambda: execute(container, "no-such")) == "command-not-found"
    assert reason(lambda: execute(container, "/etc")) == "not-executable"
    assert reason(lambda: execute(container, "true", cwd="/no/such")) == "not-executable"
    assert container.pids() == [container.pid]


def test_nothing_can_be_executed_in_a_stopped_container(box: Any) -> None:
    container = box.start("true")
    container.wait()
    with pytest.raises(Conflict):
        execute(container, "true")
    container.delete()


def test_a_seccomp_listener_is_handed_over_with_the_containers_state(
    box: Any, spec: Any, tmp_path: Any
) -> None:
    import array
    import json
    import socket

    from lading.formats.oci_runtime import Seccomp, Syscall

    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.bind(path)
        agent.listen()
        config = spec("true", process_no_new_privileges=True)
        config.linux.seccomp = Seccomp(
            default_action="SCMP_ACT_ALLOW",
            listener_path=path,
            listener_metadata="who",
            syscalls=[Syscall(names=["swapon"], action="SCMP_ACT_NOTIFY")],
        )
        container = box.runtime.run(RunRequest(box.id(), config, box.bundle, stdio=Stdio(-1, -1, 2)))
        connection, _ = agent.accept()
        data, extra, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
        connection.close()
    assert container.wait() == 0
    told = json.loads(data)
    (fd,) = array.array("i", extra[0][2])
    assert "seccomp notify" in os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    assert (told["fds"], told["metadata"], told["pid"], told["state"]["id"]) == (
        ["seccompFd"],
        "who",
        container.pid,
        container.id,
    )


@pytest.mark.parametrize("by", ["run", "exec"])
def test_a_pipe_becomes_the_users_and_a_file_or_a_terminal_stays_the_callers(
    box: Any, spec: Any, tmp_path: Path, by: str
) -> None:
    """On a terminal the user of that number on the host could have read what root types next."""
    read, write = os.pipe()
    master, slave = os.openpty()
    with open(tmp_path / "file", "w") as file:
        owner = os.fstat(slave).st_uid
        stdio = Stdio(slave, write, file.fileno())
        script = "echo said >/dev/stdout; echo said >&2"
        user = User(uid=12345)
        if by == "run":
            config = spec("sh", "-c", script, process_user=user)
            made = box.runtime.run(RunRequest(box.id(), config, box.bundle, stdio=stdio))
            assert made.wait() == 0
            made.delete()
        else:
            process = Process(args=["sh", "-c", script], cwd="/", user=user, env=["PATH=/bin"])
            assert box.start("sleep", "60").exec(process, stdio=stdio).wait() == 0
        assert os.read(read, 100) == b"said\n"
        assert os.fstat(write).st_uid == 12345
        assert (os.fstat(slave).st_uid, os.fstat(file.fileno()).st_uid) == (owner, os.geteuid())
    assert (tmp_path / "file").read_text() == "said\n"
    for fd in (read, write, master, slave):
        os.close(fd)
