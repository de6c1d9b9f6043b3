"""What another ordinary user of the machine finds of root's containers: nothing, whatever modes their files have."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import leaks

pytestmark = pytest.mark.root
SOMEBODY = 54321
MANIFEST = """
apiVersion: v1
kind: Secret
metadata: {{name: s}}
stringData: {{password: topsecret}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  containers:
  - name: main
    image: busybox
    command: [sh, -c, "cp /bin/busybox /box && chmod 4755 /box && touch /v/emptied/f /v/memory/f /v/named/f; sleep 600"]
    volumeMounts:
    - {{name: e, mountPath: /v/emptied}}
    - {{name: m, mountPath: /v/memory}}
    - {{name: s, mountPath: /v/secret}}
    - {{name: n, mountPath: /v/named}}
  volumes:
  - {{name: e, emptyDir: {{}}}}
  - {{name: m, emptyDir: {{medium: Memory}}}}
  - {{name: s, secret: {{secretName: s}}}}
  - {{name: n, persistentVolumeClaim: {{claimName: {name}}}}}
"""


@pytest.fixture
def here(lading_class: Any) -> Iterator[Any]:
    """A ``lading`` below a directory that everybody may enter, as ``/var/lib`` is, with an open umask."""
    base = Path(tempfile.mkdtemp(prefix="lading-open-"))
    base.chmod(0o755)
    for name in ("root", "run", "config"):
        (base / name).mkdir(mode=0o755)
    command = lading_class(base)
    before = os.umask(0o022)
    try:
        command("bootstrap", "--quiet", "busybox", check=True, timeout=120)
        yield command
    finally:
        os.umask(before)
        left = command("ps", "-aq").stdout.split() + command("pod", "ps", "-q").stdout.split()
        if left:
            command("rm", "-f", "-v", *left)
        command("network", "prune", "-f")
        leaks.remove_idle_roots(str(base))
        shutil.rmtree(base)


def reached(base: Path, paths: list[Path]) -> list[str]:
    """What of ``paths`` another user can look at."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(SOMEBODY, SOMEBODY, SOMEBODY)
            os.setresuid(SOMEBODY, SOMEBODY, SOMEBODY)
            for path in paths:
                try:
                    os.lstat(path)
                    os.write(write, f"{path.relative_to(base)}\n".encode())
                except PermissionError:
                    pass
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as stream:
        found = stream.read().split("\n")[:-1]
    os.waitpid(pid, 0)
    return found


def test_files_of_containers_volumes_and_images_cannot_be_reached_by_their_paths(here: Any) -> None:
    """CVE-2021-41091: a set-user-ID program of a container's root was one of the host's root to everybody who could reach it."""
    name = f"o{uuid.uuid4().hex[:10]}"
    here("pod", "run", "-", input=MANIFEST.format(name=name), check=True)
    deadline = time.monotonic() + 60
    while here("exec", name, "test", "-u", "/box").returncode:
        assert time.monotonic() < deadline
    everything = [Path(top, one) for top, _, files in os.walk(here.base) for one in files]
    kinds = {"suid": 0, "secret": 0, "layer": 0}
    for path in everything:
        found = path.lstat()
        kinds["suid"] += bool(stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_ISUID)
        kinds["secret"] += path.name == "password"
        kinds["layer"] += "layers" in path.parts
    assert all(kinds.values()), kinds
    held = [p for p in everything if {"pods", "volumes", "images", "runtime", "network"} & set(p.parts)]
    assert reached(here.base, held) == []


def test_directories_that_were_open_are_closed(here: Any) -> None:
    name = f"o{uuid.uuid4().hex[:10]}"
    here("volume", "create", name + "1", check=True)
    for part in ("root/pods", "run/pods", "root/volumes"):
        (here.base / part).mkdir(exist_ok=True)
        (here.base / part).chmod(0o755)
    here("volume", "create", name + "2", check=True)
    here("pod", "run", "-", input=MANIFEST.format(name=name), check=True)
    for part in ("root/pods", "run/pods", "root/volumes"):
        assert stat.S_IMODE((here.base / part).stat().st_mode) == 0o700, part


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_neither_containers_nor_roots_have_the_umask_of_who_calls(
    lading_class: Any, tmp_path: Path, mask: int
) -> None:
    """With 000 anybody could put another ``node.db`` into the root; with 077 no user but root could look into ``/``."""
    command = lading_class(tmp_path / "new")
    before = os.umask(mask)
    try:
        command("bootstrap", "--quiet", "busybox", check=True, timeout=120)
        script = "umask; stat -c '%a' / /etc/hosts /made . /v"
        words = (
            "--rm",
            "--network",
            "none",
            "--user",
            "1234",
            "-w",
            "/made/here",
            "-v",
            "named:/v",
            "busybox",
        )
        ran = command.out("run", *words, "sh", "-c", script)
        container = command.out("run", "-d", "--network", "none", "busybox", "sleep", "600")
        executed = command.out("exec", container, "sh", "-c", "umask")
        command.out("save", "-o", str(tmp_path / "saved"), "busybox")
        opened = [
            path
            for path in (tmp_path / "new").rglob("*")
            if not path.is_symlink() and path.lstat().st_mode & 0o1002 == 0o002 and "layers" not in path.parts
        ]
    finally:
        os.umask(before)
        command("rm", "-f", *command("ps", "-aq").stdout.split())
        command("volume", "prune", "-af")
    assert ran.split() == ["0022", "755", "644", "755", "755", "755"]
    assert executed == "0022"
    assert opened == []
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o666 & ~(mask | 0o002)
