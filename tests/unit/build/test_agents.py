"""SSH agents of a build: they hold what they are given, and go with it, whatever ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lading.build.agents import Agents


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made)], check=True, timeout=60)
    return made


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path leaves room for a socket's."""
    return tmp_path_factory.mktemp("r")


def _servers(place: Path) -> list[str]:
    """The processes that have ``place`` on their command line."""
    found = []
    for name in os.listdir("/proc"):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes() if name.isdigit() else b""
        except OSError:
            continue
        if os.fsencode(f"{place}/agent-") in line:
            found.append(name)
    return found


def _soon_gone(place: Path) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not _servers(place) and not list(place.iterdir()):
            return True
        time.sleep(0.02)
    return False


def test_a_private_agent_has_its_key_and_ends_with_the_build(run, key):
    agents = Agents(str(run))
    _, socket = agents.get(f"default={key}", {})
    listed = subprocess.run(
        ["ssh-add", "-l"], env={**os.environ, "SSH_AUTH_SOCK": socket}, capture_output=True, timeout=60
    )
    assert b"ED25519" in listed.stdout
    assert _servers(run)
    agents.close()
    assert _soon_gone(run)


def test_a_private_agent_goes_with_a_build_that_is_killed(run, key):
    code = (
        "import sys; from lading.build.agents import Agents\n"
        "agents = Agents(sys.argv[1]); agents.get('default=' + sys.argv[2], {})\n"
        "print('there', flush=True); sys.stdin.read()"
    )
    build = subprocess.Popen(
        [sys.executable, "-c", code, str(run), str(key)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert build.stdout is not None
        assert build.stdout.readline() == b"there\n"
        assert _servers(run)
    finally:
        build.kill()
        build.communicate()
    assert _soon_gone(run)
