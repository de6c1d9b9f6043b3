"""Caches shared between machines: a build on another one finds everything, and what cannot be read costs nothing but time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.lading import Lading
from support.registryserver import RegistryServer

pytestmark = pytest.mark.root

FILE = """
FROM busybox AS build
COPY source /source
RUN tr a-z A-Z < /source > /made
FROM busybox
RUN echo other > /other
COPY --from=build /made /made
CMD ["cat", "/made"]
"""


@pytest.fixture
def machines(tmp_path, lading) -> Iterator[list[Lading]]:
    """Two machines with the same base image."""
    lading("save", "-o", f"{tmp_path}/base.tar", "busybox", check=True)
    made = [Lading(tmp_path / name) for name in ("one", "two")]
    for machine in made:
        machine("load", "-q", "-i", f"{tmp_path}/base.tar", check=True)
    yield made
    for machine in made:
        machine.close()


@pytest.fixture
def elsewhere(context, tmp_path):
    """The same context at two places."""
    context.dockerfile(FILE).file("source", "hello\n")
    shutil.copytree(context.path, tmp_path / "copy")
    return context.path, tmp_path / "copy"


def build(machine: Lading, where: Path, *flags: str):
    return machine("build", *flags, "-t", "made", str(where), check=True).stderr


@pytest.mark.parametrize("mode,steps", [("min", 0), ("max", 0)])
def test_another_machine_finds_all_of_a_cache_in_a_directory(machines, elsewhere, tmp_path, mode, steps):
    one, two = machines
    build(one, elsewhere[0], "--cache-to", f"type=local,dest={tmp_path}/cache,mode={mode}")
    told = build(two, elsewhere[1], "--cache-from", f"type=local,src={tmp_path}/cache")
    assert told.count("DONE") == steps
    assert two.out("run", "--rm", "made") == "HELLO"
    assert two.out("check") == "Everything is as recorded."
    # What comes before the last step is only there with mode=max.
    (elsewhere[1] / "Dockerfile").write_text(FILE.replace('["cat", "/made"]', '["cat", "/made"]\nRUN true'))
    two("rmi", "-f", "made", check=True)
    two("builder", "prune", "-af", check=True)
    (elsewhere[1] / "Dockerfile").write_text(FILE.replace("echo other", "echo changed"))
    told = build(two, elsewhere[1], "--cache-from", f"type=local,src={tmp_path}/cache")
    assert ("#" in told) and (told.count("DONE") == (2 if mode == "max" else 4))


def test_a_directory_keeps_a_cache_for_each_tag_and_nothing_else(machines, elsewhere, tmp_path):
    one, two = machines
    cache = tmp_path / "cache"
    build(one, elsewhere[0], "--cache-to", f"type=local,dest={cache},mode=max,tag=a")
    before = {p.name for p in (cache / "blobs/sha256").iterdir()}
    (elsewhere[0] / "source").write_text("changed\n")
    build(one, elsewhere[0], "--cache-to", f"type=local,dest={cache},mode=max,tag=b")
    assert before < {p.name for p in (cache / "blobs/sha256").iterdir()}
    build(one, elsewhere[0], "--cache-to", f"type=local,dest={cache},mode=max,tag=a")
    assert len(json.loads((cache / "index.json").read_text())["manifests"]) == 2
    assert not before <= {p.name for p in (cache / "blobs/sha256").iterdir()}
    assert "no 'c'" in build(two, elsewhere[1], "--cache-from", f"type=local,src={cache},tag=c")


def test_a_registry_holds_a_cache_and_an_image_its_own(machines, elsewhere, tmp_path):
    one, two = machines
    with RegistryServer(tmp_path) as server:
        ref = f"{server.host}/cache:main"
        build(one, elsewhere[0], "--cache-to", f"type=registry,ref={ref},mode=max")
        told = build(two, elsewhere[1], "--cache-from", ref)
        assert "DONE" not in told
        assert two.out("run", "--rm", "made") == "HELLO"
        image = f"{server.host}/app:1"
        one("build", "-q", "-t", image, "--push", "--cache-to", "type=inline", str(elsewhere[0]), check=True)
        two("rmi", "-f", "made", check=True)
        two("builder", "prune", "-af", check=True)
        told = build(two, elsewhere[1], "--cache-from", f"type=registry,ref={image}")
        assert "DONE" not in told
        assert two.out("run", "--rm", "made") == "HELLO"
        assert two.out("check") == "Everything is as recorded."


def test_what_cannot_be_read_is_told_and_built(machines, elsewhere, tmp_path):
    one, two = machines
    cache = tmp_path / "cache"
    build(one, elsewhere[0], "--cache-to", f"type=local,dest={cache},mode=max")
    for blob in (cache / "blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.write_bytes(blob.read_bytes()[:-4] + b"zzzz")
    told = build(
        two, elsewhere[1], "--cache-from", f"type=local,src={cache}", "--cache-from", "127.0.0.1:1/none"
    )
    assert "WARNING: import cache from 127.0.0.1:1/none" in told
    assert told.count("DONE") == 4
    assert two.out("run", "--rm", "made") == "HELLO"
    assert two.out("check") == "Everything is as recorded."
    failed = one("build", "--cache-to", "type=registry,ref=127.0.0.1:1/none", str(elsewhere[0]))
    assert failed.returncode == 1
    one(
        "build", "--cache-to", "type=registry,ref=127.0.0.1:1/none,ignore-error=true", str(elsewhere[0]), check=True
    )  # fmt: skip
