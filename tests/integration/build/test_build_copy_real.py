"""Copying on real roots: owners, link layers, full disks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lading.build.copying import Attributes, Place
from lading.build.trees import Tree
from lading.errors import Exhausted
from lading.kernel import Kernel

pytestmark = pytest.mark.root


def test_a_full_disk_is_said(tmp_path: Path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/large").write_bytes(os.urandom(4 << 20))
    (tmp_path / "small").mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path / "small"], check=True, timeout=60
    )
    try:
        source = os.open(tmp_path / "source", os.O_RDONLY | os.O_DIRECTORY)
        root = os.open(tmp_path / "small", os.O_RDONLY | os.O_DIRECTORY)
        place = Place(Kernel(), root, Attributes((0, 0)))
        try:
            with pytest.raises(Exhausted) as error:
                place.copy(Tree(Kernel(), source, what="the context", own=False), "", "/", into=True)
            assert error.value.reason == "disk-full"
            assert "large" in error.value.message
        finally:
            place.close()
            os.close(root)
            os.close(source)
    finally:
        subprocess.run(["umount", tmp_path / "small"], check=True, timeout=60)


def test_owners_are_the_instruction_s_the_stage_s_or_root_s(lading, context):
    context.file("f")
    os.chown(context.path / "f", 1234, 1234)
    context.dockerfile(
        "FROM busybox AS base\nRUN echo app:x:600:600::/:/bin/sh >> /etc/passwd && touch /mine && chown 7:8 /mine\n"
        "FROM base\nCOPY f /root\nCOPY --chown=app f /app\nCOPY --chown=app:9 f /new/both\nCOPY --chown=33 f /number\n"
        "COPY --from=base /mine /kept\nCOPY --from=base --chown=1:2 /mine /given\n"
        "RUN stat -c '%n=%u:%g' /root/f /app /new /new/both /number /kept /given\n"
    )
    told = lading("build", "--progress=plain", str(context), check=True).stderr
    for text in (
        "/root/f=0:0", "/app=600:600", "/new=600:9", "/new/both=600:9", "/number=33:33", "/kept=7:8", "/given=1:2",
    ):  # fmt: skip
        assert text in told, text
    context.dockerfile("FROM busybox\nCOPY --chown=nobody-here f /x\n")
    refused = lading("build", str(context))
    assert refused.returncode == 1 and "nobody-here" in refused.stderr


def test_capabilities_and_attributes_come_along_from_stages(lading, context):
    context.file("tool", mode=0o755)
    os.setxattr(context.path / "tool", "user.mine", b"v")
    subprocess.run(["setcap", "cap_net_raw=ep", context.path / "tool"], check=True, timeout=60)
    context.dockerfile("FROM scratch AS one\nCOPY tool /tool\nFROM scratch\nCOPY --from=one /tool /copied\n")
    lading("build", "-o", f"type=tar,dest={context.path}/../out.tar", str(context), check=True)
    listed = subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-tvvf", f"{context.path}/../out.tar"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert "security.capability" in listed
    assert "user.mine" in listed


def test_a_linked_layer_lies_on_any_base(lading, context):
    context.file("f", "linked\n")
    context.dockerfile("FROM busybox\nRUN echo one > /one\nCOPY --link f /new/f\nRUN cat /new/f /one\n")
    assert "linked" in lading("build", "--progress=plain", str(context), check=True).stderr
    context.dockerfile("FROM busybox\nRUN echo two > /one\nCOPY --link f /new/f\nRUN cat /new/f /one\n")
    told = lading("build", "--progress=plain", str(context), check=True).stderr
    assert "two" in told
    assert told.count("CACHED") >= 1


def test_a_file_that_another_stage_has_not_is_a_mistake_of_its_line(lading, context):
    context.dockerfile("FROM busybox AS a\nRUN echo x > /x\nFROM busybox\nCOPY --from=a /x /nowhere /y/\n")
    told = lading("build", "--progress=plain", str(context))
    assert told.returncode == 1
    assert "> 4 │ COPY --from=a /x /nowhere /y/" in told.stderr
