"""Several platforms in one build, and commands of another architecture."""

from __future__ import annotations

import struct

import pytest

pytestmark = pytest.mark.root


def test_platforms_are_built_side_by_side_and_what_is_the_same_once(lading, context):
    context.dockerfile(
        "FROM --platform=$BUILDPLATFORM busybox AS once\nRUN echo said\nFROM once AS each\nARG TARGETARCH\n"
        # Each waits until the other one is there as well.
        "RUN --mount=type=cache,id=met,target=/c touch /c/$TARGETARCH; n=0; "
        "until test -e /c/amd64 -a -e /c/arm64; do test $n -lt 200; sleep .1; n=$((n + 1)); done; "
        "echo $TARGETARCH > /arch\n"
        "FROM scratch\nCOPY --from=each /arch /arch\n"
    )
    done = lading(
        "build", "--progress=plain", "--jobs", "2", "--platform", "linux/amd64,linux/arm64", "-t", "met",
        "--build-arg", "UNKNOWN=1", str(context), check=True,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    heads = [line.partition(" ")[2] for line in lines if line.startswith("#") and "[linux/" in line]
    assert heads.count("[linux/amd64 once 2/2] RUN echo said") == 1
    assert sum(line.endswith(" said") and "RUN" not in line for line in lines) == 1
    for where in ("linux/amd64 each", "linux/amd64->arm64 each", "linux/arm64 stage-2"):
        assert any(head.startswith(f"[{where} ") for head in heads), done.stderr
    assert done.stderr.count("no ARG takes --build-arg UNKNOWN") == 1
    again = lading(
        "build", "--progress=plain", "--platform", "linux/amd64,linux/arm64", str(context), check=True
    ).stderr
    assert "DONE" not in again.replace("store", "") and again.count("CACHED") == 2


def test_a_command_of_another_architecture_says_what_it_wants(lading, context):
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    (context.path / "program").write_bytes(ident + struct.pack("<HHI", 2, 243, 1) + bytes(200))
    context.dockerfile('FROM scratch\nCOPY --chmod=755 program /\nRUN ["/program"]\n')
    done = lading("build", "--platform", "linux/riscv64", str(context))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "/Dockerfile:3: exec /program: exec format error: linux/riscv64 is foreign" in last
    assert "install qemu-user-static" in last
