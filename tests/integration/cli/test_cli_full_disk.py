"""No space left: one clear line, nothing half made, and all is well once there is space again."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import leaks

pytestmark = pytest.mark.root
FILL = "head -c 100000000 /dev/zero > /big; exit 1"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, lading_class) -> Iterator[object]:  # type: ignore[no-untyped-def]
    """A lading whose files lie on a small file system of their own."""
    disk = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(disk)], check=True)
    command = lading_class(disk)
    try:
        command("bootstrap", "--quiet", "busybox", check=True, timeout=120)
        yield command
        _free(command)
        left = command("ps", "-aq").stdout.split()
        if left:
            command("rm", "-f", "-v", *left)
        command("check", "--repair")
        leaks.remove_idle_roots(str(disk))  # nobody finds the root once its file system is gone
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(command) -> None:  # type: ignore[no-untyped-def]
    with (command.base / "ballast").open("ab", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass


def _free(command) -> None:  # type: ignore[no-untyped-def]
    Path(command.base / "ballast").unlink(missing_ok=True)


def _remove(command) -> None:  # type: ignore[no-untyped-def]
    command("rm", "-f", "-v", "full")
    command("volume", "rm", "full")
    command("rmi", "localhost/full")
    command("network", "rm", "full")


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--rm", "busybox", "true"),
        ("run", "-d", "--name", "full", "--network", "none", "busybox", "sleep", "600"),
        ("create", "--name", "full", "-v", "/etc", "busybox"),
        ("run", "--rm", "-v", "full:/etc", "busybox", "true"),
        ("volume", "create", "full"),
        ("network", "create", "full"),
        ("commit", "kept", "localhost/full"),
        ("cp", "{big}", "kept:/big"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_command_that_finds_no_space_says_so_and_leaves_nothing(
    small, tmp_path: Path, words: tuple[str, ...]
) -> None:  # type: ignore[no-untyped-def]
    big = tmp_path / "big"
    big.write_bytes(bytes(3 << 20))
    if small("inspect", "kept").returncode:
        small(
            "run",
            "--name",
            "kept",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "head -c 300000 /dev/zero > /file",
            check=True,
        )
    names = small.out("ps", "-a", "--format", "{names}")
    command = [word.format(big=big) for word in words]
    _fill(small)
    done = small(*command)
    _free(small)
    if done.returncode == 0:  # it needed no more than what stands ready
        assert done.stderr == ""
        _remove(small)
    else:
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "space" in done.stderr or "disk is full" in done.stderr, done.stderr
        assert "internal error" not in done.stderr
        assert small.out("ps", "-a", "--format", "{names}") == names
    found = small("check")
    assert found.returncode == 0, found.stdout
    again = small(*command)
    assert again.returncode == 0, again.stderr
    _remove(small)


def test_a_container_that_fills_the_disk_goes_on_and_its_log_says_what_was_lost(small) -> None:  # type: ignore[no-untyped-def]
    script = (
        "echo before; head -c 100000000 /dev/zero > /big; echo during; rm /big; echo after; exec sleep 600"
    )
    small("run", "-d", "--name", "greedy", "--network", "none", "busybox", "sh", "-c", script, check=True)
    deadline = time.monotonic() + 60
    said = ""
    while "after" not in said:  # the records cannot always be read while there is no byte left
        assert time.monotonic() < deadline, said
        said = small("logs", "greedy").stdout
    assert said.splitlines()[0] == "before"
    assert "after" in said
    small("rm", "-f", "greedy", check=True)


@pytest.mark.parametrize("flags", [("--rm",), ("-d", "--rm")], ids=" ".join)
def test_a_container_that_filled_the_disk_goes_as_it_was_asked_to(small, flags: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    small("run", *flags, "--name", "gone", "--network", "none", "busybox", "sh", "-c", FILL)
    deadline = time.monotonic() + 60
    while (shown := small("ps", "-a", "--format", "{names}")).returncode or "gone" in shown.stdout:
        assert time.monotonic() < deadline  # meanwhile there may be no space to read the records
        time.sleep(0.1)
    assert shutil.disk_usage(small.base).free > 8 << 20
    found = small("check")
    assert found.returncode == 0, found.stdout


def test_a_container_that_filled_the_disk_can_be_removed(small) -> None:  # type: ignore[no-untyped-def]
    small("run", "--name", "stays", "--network", "none", "busybox", "sh", "-c", FILL)
    removed = small("rm", "-f", "stays")
    assert removed.returncode == 0, removed.stderr
    assert "stays" not in small.out("ps", "-a", "--format", "{names}")
    assert small("check").returncode == 0


def test_a_step_of_a_build_that_filled_the_disk_leaves_nothing(small, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN --network=none {FILL}\n")
    free, names = shutil.disk_usage(small.base).free, small.out("ps", "-a", "--format", "{names}")
    failed = small("build", str(tmp_path))
    assert failed.returncode == 1
    assert "Dockerfile:2: the command ended with status 1" in failed.stderr
    assert small.out("ps", "-a", "--format", "{names}") == names
    assert shutil.disk_usage(small.base).free > free - (1 << 20)
    found = small("check")
    assert found.returncode == 0, found.stdout
