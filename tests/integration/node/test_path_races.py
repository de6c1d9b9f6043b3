"""``cp`` and ``subPath`` against a process that swaps a directory for a link to the host, as fast as it can."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.formats.pod import Pod
from lading.node import Node, Stdio

pytestmark = pytest.mark.root
_EXCHANGE = 2


@contextmanager
def swapping(a: Path, b: Path) -> Iterator[None]:
    """A process that exchanges the two names (renameat2(2)) until the block ends."""
    first, second = os.fsencode(a), os.fsencode(b)
    pid = os.fork()
    if pid == 0:
        try:
            exchange = ctypes.CDLL(None).renameat2
            while True:
                exchange(-100, first, -100, second, _EXCHANGE)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory of the host that a link in the container names; it holds one secret and must stay as it is."""
    made = tmp_path / "host"
    made.mkdir()
    (made / "secret").write_text("of the host")
    return made


def unharmed(host: Path) -> bool:
    return os.listdir(host) == ["secret"] and (host / "secret").read_text() == "of the host"


def test_cp_never_reaches_the_host_while_directories_turn_into_links(
    node: Node, one: Callable[..., Pod], host: Path
) -> None:
    node.run_detached(one("sleep", "600", name="raced"))
    root = Path(f"/proc/{node.inspect('raced').containers[0].pid}/root")
    (root / "a").mkdir()
    (root / "a/secret").write_text("of the container")
    os.symlink(host, root / "b")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("a/secret", "a/new/file", "plain"):
            entry = tarfile.TarInfo(name)
            entry.size = 5
            archive.addfile(entry, io.BytesIO(b"hello"))
    copied = 0
    with swapping(root / "a", root / "b"):
        for _ in range(60):
            for where in ("/", "/a"):
                try:
                    node.cp_in("raced", where, io.BytesIO(packed.getvalue()))
                    copied += 1
                except LadingError:
                    pass  # refusing is fine
            out = io.BytesIO()
            try:
                node.cp_out("raced", "/a/secret", out)
            except LadingError:
                continue
            assert b"of the host" not in out.getvalue()
    assert unharmed(host) and copied
    node.remove("raced", force=True)


def test_sub_paths_never_reach_the_host_while_directories_turn_into_links(
    node: Node, host: Path, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    (volume / "a").mkdir(parents=True)
    os.symlink(host, volume / "b")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "raced"},
        "spec": {
            "restartPolicy": "Never",
            "hostNetwork": True,
            "volumes": [{"name": "v", "hostPath": {"path": str(volume)}}],
            "containers": [
                {
                    "name": "c",
                    "image": "busybox",
                    "command": ["sh", "-c", "ls /m; touch /m/made"],
                    "volumeMounts": [{"name": "v", "mountPath": "/m", "subPath": "a"}],
                }
            ],
        },
    }
    with swapping(volume / "a", volume / "b"):
        for _ in range(8):
            try:
                node.run(Pod.decode(pod), Stdio(stdin=-1, stdout=-1, stderr=-1))
            except LadingError:
                pass
            with suppress(LadingError):  # refused before it was recorded
                node.remove("raced", force=True)
    assert unharmed(host)


@pytest.mark.parametrize("how", ["export", "commit", "diff"])
def test_whole_roots_are_read_without_the_host_while_directories_turn_into_links(
    node: Node, one: Callable[..., Pod], host: Path, how: str
) -> None:
    """The writable layer is a directory of the host, and a container that runs rearranges it."""
    node.run_detached(one("sleep", "600", name="raced"))
    root = Path(f"/proc/{node.inspect('raced').containers[0].pid}/root")
    for number in range(30):
        (root / f"a/d{number}").mkdir(parents=True)
        (root / f"a/d{number}/mine").write_text("of the container")
        (host / f"d{number}").mkdir()
        (host / f"d{number}/found-on-host").write_text("of the host")
    os.symlink(host, root / "b")
    done = 0
    with swapping(root / "a", root / "b"):
        end = time.monotonic() + 60
        for number in range(4000):
            if number >= 40 and (done or time.monotonic() > end):
                break  # a slow machine needs more than forty to be let in between two swaps
            out = io.BytesIO()
            try:
                if how == "export":
                    node.export("raced", out)
                elif how == "commit":
                    made = node.commit("raced", "raced:1", pause=False)
                    for _, directories, files in os.walk(made.layers[0]):
                        out.write(repr((directories, files)).encode())
                else:
                    out.write("\n".join(change.path for change in node.changes("raced")).encode())
                done += 1
            except LadingError:
                continue  # refusing is fine
            assert b"found-on-host" not in out.getvalue()
    assert done
    node.remove("raced", force=True)
