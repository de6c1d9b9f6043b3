"""Debian's podman with ``lading-runtime`` in runc's place."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.peers import remove_pretended_groups

from support.commands import runtime_script

pytestmark = [pytest.mark.root, pytest.mark.peer("podman")]
ULIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1000:1000")


class Podman:
    def __init__(self, directory: Path) -> None:
        self.base = [
            "podman",
            *("--root", str(directory / "root"), "--runroot", str(directory / "run")),
            *("--tmpdir", str(directory / "tmp"), "--events-backend", "file", "--cgroup-manager", "cgroupfs"),
            *("--runtime", str(runtime_script(directory))),
        ]
        self.group = f"/lading-test-{uuid.uuid4().hex[:8]}"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.base, *words], capture_output=True, text=True, timeout=100, check=False)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self("run", *ULIMITS, "--network", "none", "--cgroup-parent", self.group, *words)


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Iterator[Podman]:
    directory = tmp_path_factory.mktemp("podman")
    made = Podman(directory)
    archive = directory / "image.tar"
    subprocess.run(["tar", "-C", str(busybox / "rootfs"), "-cf", str(archive), "."], check=True)
    done = made("import", "--change", "ENV PATH=/bin", str(archive), "box:1")
    assert done.returncode == 0, done.stderr
    yield made
    made("rm", "--all", "--force", "--time", "0")
    made("system", "reset", "--force")
    for mount in Path("/proc/self/mountinfo").read_text().splitlines():
        if str(directory) in mount:
            subprocess.run(["umount", "-l", mount.split(" ")[4]], check=False)
    from lading.kernel.cgroups import manager

    manager(made.group).delete()
    remove_pretended_groups("/sys/fs/cgroup", made.group.lstrip("/"))


def test_run_prints_and_returns_the_status(podman: Podman) -> None:
    done = podman.run("--rm", "box:1", "sh", "-c", "echo hello; exit 3")
    assert (done.returncode, done.stdout) == (3, "hello\n"), done.stderr


def test_a_command_that_does_not_exist_is_127(podman: Podman) -> None:
    assert podman.run("--rm", "box:1", "nonesuch").returncode == 127


def test_limits_reach_the_kernel(podman: Podman) -> None:
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; ls /proc/self/fd | wc -l"
    done = podman.run("--rm", "--memory", "64m", "--pids-limit", "30", "box:1", "sh", "-c", script)
    assert done.stdout.split()[0] == str(64 << 20), done.stderr


def test_a_terminal(podman: Podman) -> None:
    done = podman.run("--rm", "-t", "box:1", "tty")
    assert done.stdout.strip() == "/dev/pts/0", done.stderr


def test_a_detached_container_is_executed_in_paused_and_stopped(podman: Podman) -> None:
    assert podman.run("-d", "--name", "d", "--init=false", "box:1", "sleep", "100").returncode == 0
    done = podman(
        "exec", "--user", "3:4", "--env", "A=b", "--workdir", "/tmp", "d", "sh", "-c", "id -u; echo $A; pwd"
    )
    assert done.stdout.split() == ["3", "b", "/tmp"], done.stderr
    assert podman("exec", "d", "nonesuch").returncode == 127
    assert podman("pause", "d").returncode == 0
    assert "Paused" in podman("ps", "-a", "--format", "{{.Status}}").stdout.title()
    assert podman("unpause", "d").returncode == 0
    assert podman("stop", "--time", "0", "d").returncode == 0
    assert podman("inspect", "--format", "{{.State.ExitCode}}", "d").stdout.strip() == "137"
    assert podman("start", "d").returncode == 0
    assert podman("rm", "--force", "--time", "0", "d").returncode == 0
