"""The start files' lists, compared with commands that really run; and start files in an installed copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.startlist import modules

pytestmark = pytest.mark.root

SOURCE = Path(__file__).resolve().parents[2] / "src"

RECORDER = """
import os, sys
me, leave = os.getpid(), os._exit
def leaving(status):
    if os.getpid() == me:
        with open(OUT, "w") as out:
            out.write(" ".join(m for m in sys.modules if m.partition(".")[0] == "lading"))
    leave(status)
os._exit = leaving
from lading import start
getattr(start, ENTRY)()
"""


def loaded(entry: str, words: list[str], out: Path, env: dict[str, str]) -> set[str]:
    """The package's modules that the command's own process had imported at its end."""
    code = f"OUT, ENTRY = {str(out)!r}, {entry!r}\n{RECORDER}"
    told = out.with_suffix(".err")  # no pipe: a created container keeps what it inherits open
    with told.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-P", "-B", "-c", code, *words],
            env=env, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stream, cwd="/",
        )  # fmt: skip
    assert done.returncode == 0, told.read_text()
    return set(out.read_text().split()) - {"lading", "lading.start"}


def lading(env: dict[str, str], *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "lading", *words],
        env=env, check=True, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip


def test_nearly_all_that_commands_import_is_in_their_start_files(
    tmp_path: Path, lading_env: dict[str, str]
) -> None:
    lading(lading_env, "bootstrap", "-q", "busybox")
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM busybox\nCOPY . /x\n")
    lading(lading_env, "build", "-q", str(tmp_path / "context"))
    unlisted: dict[str, list[str]] = {}

    def check(groups: str, *words: str, entry: str = "lading") -> None:
        listed = {name for group in groups.split() for name in modules(group)}
        new = loaded(entry, list(words), tmp_path / "loaded", lading_env)
        if "network" not in groups:
            assert "lading.network" not in new, words
        if len(new - listed) >= len(new) / 10:
            unlisted[" ".join(words)] = sorted(new - listed)
        if "none" in words:  # what the quickest of all runs does without is read and unmarshalled for nothing
            assert listed <= new, f"take these from the group {groups}: {sorted(listed - new)}"

    lading(lading_env, "run", "--rm", "busybox", "true")  # compiles the default seccomp filter, once for all
    check("run", "run", "--rm", "--network", "none", "busybox", "true")
    check("run network", "run", "--rm", "busybox", "true")
    check("run network rkt pods", "rkt", "run", "docker://busybox", "--exec", "/bin/true")
    check("run network", "run", "-d", "--name", "sleeper", "busybox", "sleep", "600")
    try:
        check("exec", "exec", "sleeper", "true")
        check("build", "build", "-q", str(tmp_path / "context"))
        check("look", "ps")
        check("look", "logs", "sleeper")
        check("look inspect network", "inspect", "sleeper")
        check("look inspect", "images")
    finally:
        lading(lading_env, "rm", "-f", "sleeper")
    bundle = tmp_path / "bundle"
    (bundle / "rootfs/bin").mkdir(parents=True)
    (bundle / "rootfs/bin/true").write_bytes(Path("/bin/busybox").read_bytes())
    (bundle / "rootfs/bin/true").chmod(0o755)
    runtime = ["--root", str(tmp_path / "state")]
    loaded("runtime", ["spec", "--bundle", str(bundle)], tmp_path / "loaded", lading_env)
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["/bin/true"]}
    config["linux"]["cgroupsPath"] = f"/lading-start-{os.getpid()}"
    (bundle / "config.json").write_text(json.dumps(config))
    check("runtime", *runtime, "run", "--bundle", str(bundle), "one", entry="runtime")
    check("runtime", *runtime, "create", "--bundle", str(bundle), "two", entry="runtime")
    check("runtime", *runtime, "delete", "--force", "two", entry="runtime")
    assert unlisted == {}, f"add these to the lists of src/lading/startlist.py: {unlisted}"


SERVED = """
import os, sys
def leaving(status):
    from lading import start
    served = sum(type(m.__loader__) is start._Loader for m in list(sys.modules.values()) if hasattr(m, "__loader__"))
    os.write(2, f"served {served}".encode())
    os.kill(os.getpid(), 9)
os._exit = leaving
from lading.start import lading
lading()
"""


@pytest.fixture
def installed() -> Iterator[Path]:
    """What ``pip install`` leaves: a plain copy of the package, root's, where everybody may read it."""
    site = Path(tempfile.mkdtemp(prefix="lading-installed-"))
    shutil.copytree(SOURCE / "lading", site / "lading", ignore=shutil.ignore_patterns("__pycache__"))
    site.chmod(0o755)
    yield site
    shutil.rmtree(site)


def test_an_installed_copy_writes_its_start_files_and_everybody_reads_them(
    installed: Path, lading_env: dict[str, str]
) -> None:
    env = {**lading_env, "PYTHONPATH": str(installed)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)

    def files() -> dict[str, int]:
        cache = installed / "lading/__pycache__"
        return {p.name: p.stat().st_mtime_ns for p in cache.iterdir() if p.name.startswith("start-")}

    def served(**more: object) -> int:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", SERVED, "logs", "--help"],
            env=env, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/",
            **more,  # type: ignore[call-overload]
        )  # fmt: skip
        assert "served " in done.stderr, done.stderr
        return int(done.stderr.rpartition("served ")[2])

    assert served(umask=0o022) == 0
    first = files()
    assert len(first) == 1 and next(iter(first)).startswith("start-look.")
    assert served() >= 5
    assert served(user=65534, group=65534, extra_groups=[]) >= 5
    (installed / "lading/flags.py").touch()
    assert served(user=65534, group=65534, extra_groups=[]) >= 4
    assert files() == first  # they could not write, and said nothing
    assert served() >= 4
    assert files() != first
