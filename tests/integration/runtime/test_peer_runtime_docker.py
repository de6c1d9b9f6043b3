"""Debian's docker, through containerd, with ``lading-runtime`` in runc's place; the daemon is the test's
own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import runtime_script
from support.docker import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer("dockerd", "docker")]


class Docker:
    def __init__(self, daemon: Daemon) -> None:
        self.base = daemon.client

    def __call__(self, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.base, *words],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            **more,  # type: ignore[call-overload]
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self("run", "--runtime", "lading", "--network", "none", *words)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Iterator[Docker]:
    directory = Path(tmp_path_factory.mktemp("long"))
    # On cgroup v2 with systemd its driver is by default the other one.
    flags = [
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        "--add-runtime",
        f"lading={runtime_script(directory)}",
    ]
    with Daemon(directory, "/lading-test-docker", *flags) as daemon:
        made = Docker(daemon)
        archive = directory / "image.tar"
        subprocess.run(["tar", "-C", str(busybox / "rootfs"), "-cf", str(archive), "."], check=True)
        done = made("import", "--change", "ENV PATH=/bin", str(archive), "box:1")
        assert done.returncode == 0, done.stderr
        try:
            yield made
        finally:
            for id in made("ps", "-aq").stdout.split():
                made("rm", "--force", id)


def test_run_prints_and_returns_the_status(docker: Docker) -> None:
    done = docker.run("--rm", "box:1", "sh", "-c", "echo hello; exit 3")
    assert (done.returncode, done.stdout) == (3, "hello\n"), done.stderr


def test_commands_that_cannot_run_have_docker_s_codes(docker: Docker) -> None:
    assert docker.run("--rm", "box:1", "nonesuch").returncode == 127
    assert docker.run("--rm", "box:1", "/bin").returncode == 126


def test_limits_reach_the_kernel_and_can_be_updated(docker: Docker) -> None:
    done = docker.run(
        "-d", "--name", "limited", "--memory", "64m", "--pids-limit", "30", "box:1", "sleep", "100"
    )
    assert done.returncode == 0, done.stderr
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true"
    assert docker("exec", "limited", "sh", "-c", script).stdout.strip() == str(64 << 20)
    done = docker("update", "--memory", "32m", "--memory-swap", "64m", "limited")
    assert done.returncode == 0, done.stderr
    assert docker("exec", "limited", "sh", "-c", script).stdout.strip() == str(32 << 20)
    stats = json.loads(docker("stats", "--no-stream", "--format", "{{json .}}", "limited").stdout)
    assert stats["MemUsage"].endswith("32MiB")
    docker("rm", "--force", "limited")


def test_a_terminal_in_run_and_exec(docker: Docker) -> None:
    done = docker.run("--rm", "-t", "box:1", "tty")
    assert done.stdout.strip() == "/dev/pts/0", done.stderr
    assert docker.run("-d", "--name", "term", "-t", "box:1", "sleep", "100").returncode == 0
    assert docker("exec", "-t", "term", "tty").stdout.strip() == "/dev/pts/1"
    docker("rm", "--force", "term")


def test_a_detached_container_is_executed_in_paused_and_stopped(docker: Docker) -> None:
    assert docker.run("-d", "--name", "long", "box:1", "sleep", "100").returncode == 0
    done = docker("exec", "-u", "3:4", "-e", "A=b", "-w", "/tmp", "long", "sh", "-c", "id -u; echo $A; pwd")
    assert done.stdout.split() == ["3", "b", "/tmp"], done.stderr
    assert "sleep 100" in docker("top", "long").stdout
    assert docker("pause", "long").returncode == 0
    assert "Paused" in docker("ps", "--format", "{{.Status}}").stdout
    assert docker("unpause", "long").returncode == 0
    assert docker("stop", "-t", "0", "long").returncode == 0
    assert docker("inspect", "--format", "{{.State.ExitCode}}", "long").stdout.strip() == "137"
    assert docker("start", "long").returncode == 0
    assert docker("rm", "--force", "long").returncode == 0
