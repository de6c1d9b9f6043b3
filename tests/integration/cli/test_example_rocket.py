"""``examples/rocket.sh``: as root and as an ordinary user it shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lading

pytestmark = [
    pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.peer("gpg", "gpgv", "openssl", "podman"),
]  # fmt: skip
SCRIPT = Path(__file__).resolve().parents[3] / "examples/rocket.sh"
SHOWN = (
    r"valid image rocket\.example/web:1\.0", "no key is trusted to sign it", "Fingerprint: (?P<key>[0-9A-F ]+)", "Trusted: ",
    r"from https://rocket\.example/rocket\.example/web-1\.0\.aci", r"rocket\.example/web:1\.0: signed by",
    r"rocket\.example/busybox:1: signed by", "state=running", r"GET http://127\.0\.0\.1:\d+/\nHello from the volume\.",
    "web:1\\.0\trunning", r"enter .*\nHello from the volume\.", "state=exited", "Garbage collecting pod",
    r"podman run .*\nHello from the image\.", "== Done", "Everything that was made is gone again",
)  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    ours = ("LADING_ROOT", "LADING_RUN", "LADING_CONFIG", "GNUPGHOME")
    return {name: value for name, value in os.environ.items() if name not in ours} | more


def work(said: str) -> Path:
    """The directory in which everything was."""
    found = re.search(r"Trusted: (/tmp/rocket\.\w+)/", said)
    assert found, said
    return Path(found[1])


def assert_shown(said: str) -> None:
    place = 0
    for pattern in SHOWN:
        found = re.compile(pattern).search(said, place)
        assert found, f"{pattern} is not in:\n{said[place:]}"
        place = found.end()
    assert not work(said).exists()


def command() -> str:
    return f"{sys.executable} -m lading"


def test_as_root_every_step_works_and_nothing_is_left() -> None:
    done = subprocess.run(
        [str(SCRIPT)], env=environment(LADING=command()), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert_shown(done.stdout)


def test_ctrl_c_while_the_pod_runs_leaves_nothing() -> None:
    made = subprocess.Popen(
        [str(SCRIPT)], env=environment(LADING=command()), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert made.stdout is not None
    said = ""
    try:
        for line in made.stdout:
            said += line
            if line == "Hello from the volume.\n":
                break
        os.killpg(made.pid, signal.SIGINT)
        said += made.stdout.read()
        status = made.wait(timeout=120)
    finally:
        if made.poll() is None:
            os.killpg(made.pid, signal.SIGKILL)
            made.wait()
    assert status == 130, said
    assert "== Done" not in said and said.endswith("Everything that was made is gone again.\n")
    assert not work(said).exists()


@pytest.fixture
def user() -> Iterator[tuple[str, Path]]:
    """A user of the machine made for this test, and a home with a copy of the package and the script."""
    name = f"ldx{os.getpid() % 100000}"
    home = Path(tempfile.mkdtemp(prefix="ldhome", dir="/tmp"))
    subprocess.run(["useradd", "-M", "-d", str(home), "-s", "/bin/sh", name], check=True)
    try:
        source = Path(lading.__file__).parent
        shutil.copytree(source, home / "src/lading", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(SCRIPT, home)
        uid = pwd.getpwnam(name).pw_uid
        subprocess.run(["chown", "-R", f"{uid}:{uid}", str(home)], check=True)
        yield name, home
        deadline = time.monotonic() + 60
        while subprocess.run(["pgrep", "-u", name], capture_output=True).returncode == 0:
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
            assert time.monotonic() < deadline, "processes of the user are left"
            time.sleep(0.1)
    finally:
        subprocess.run(["userdel", "-f", name], check=True, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.rootless
@pytest.mark.peer("newuidmap", "useradd", "pasta")
def test_as_an_ordinary_user_every_step_works_and_nothing_is_left(user: tuple[str, Path]) -> None:
    name, home = user
    before = {path.name for path in home.iterdir()}
    prepare = (
        f"mount -t tmpfs none /mnt && mknod /mnt/tun c 10 200 && chmod 666 /mnt/tun && mount --bind /mnt/tun /dev/net/tun"
        f" && cd {home} && exec setpriv --reuid={name} --regid={name} --init-groups ./rocket.sh"
    )
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": str(home / "src")}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", prepare], env={**env, "LADING": "/usr/bin/python3 -m lading"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert_shown(done.stdout)
    assert {path.name for path in home.iterdir()} == before
