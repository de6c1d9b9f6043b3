"""What the caller gives to a build: secrets, agents, limits, arguments, checks."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.root


def test_a_secret_is_seen_by_its_command_alone(lading, context, tmp_path):
    (tmp_path / "secret").write_text("hidden-word")
    context.dockerfile(
        "FROM busybox\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s > /size\n"
        "RUN test ! -e /run/secrets/s && cat /size\n"
    )
    told = lading(
        "build",
        "--progress=plain",
        "-t",
        "secret",
        "--secret",
        f"id=s,src={tmp_path}/secret",
        str(context),
        check=True,
    )
    assert "11" in told.stderr
    assert "hidden-word" not in told.stderr + lading.out("inspect", "secret")
    # A secret is in no key.
    (tmp_path / "secret").write_text("another-one")
    told = lading(
        "build", "--progress=plain", "--secret", f"id=s,src={tmp_path}/secret", str(context), check=True
    )
    assert "DONE" not in told.stderr
    context.dockerfile("FROM busybox\nRUN --mount=type=secret,id=s,required=true true\n")
    assert "not given" in lading("build", str(context)).stderr


def test_keys_are_in_an_agent_that_goes_with_the_build(lading, context, tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{tmp_path}/key"], check=True, timeout=60
    )
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "pass", "-f", f"{tmp_path}/locked"],
        check=True,
        timeout=60,
    )
    context.dockerfile("FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo agent\n")
    told = lading("build", "--progress=plain", "--ssh", f"default={tmp_path}/key", str(context), check=True)
    assert "agent" in told.stderr
    assert not [name for name in os.listdir(lading.base / "run") if name.startswith("agent")]
    refused = lading("build", "--no-cache", "--ssh", f"default={tmp_path}/locked", str(context))
    assert refused.returncode != 0
    assert "passphrase" in refused.stderr
    lading.env.pop("SSH_AUTH_SOCK", None)
    assert "SSH_AUTH_SOCK" in lading("build", "--ssh", "default", str(context)).stderr


def test_commands_have_the_limits_and_hosts_they_are_given(lading, context):
    context.dockerfile("FROM busybox\nRUN ulimit -n; cat /etc/hosts; df -k /dev/shm; ls /sys/class/net\n")
    told = lading(
        "build", "--progress=plain", "--no-cache", "--ulimit", "nofile=98:99", "--add-host", "other:1.2.3.4", "--shm-size",
        "8m", "--network=none", "--cpuset-cpus=0", "-m", "64m", str(context), check=True,
    ).stderr  # fmt: skip
    for text in (" 98\n", "1.2.3.4", "8192"):
        assert text in told, text
    assert "eth0" not in told
    assert lading("build", "--cpuset-cpus=x", str(context)).returncode != 0
    assert lading("build", "--allow=everything", str(context)).returncode != 0


def test_arguments_have_their_scope(lading, context):
    context.dockerfile(
        "ARG BASE=none\nARG GLOBAL=g\nFROM ${BASE} AS one\nARG A=default\nARG GLOBAL\nENV A=env\n"
        "RUN echo A=$A GLOBAL=$GLOBAL P=$TARGETPLATFORM PROXY=$HTTP_PROXY\n"
        "FROM one\nARG TARGETOS\nARG B\nRUN echo A=$A GLOBAL=$GLOBAL OS=$TARGETOS B=$B\n"
    )
    told = lading(
        "build", "--progress=plain", "--build-arg", "BASE=busybox", "--build-arg", "A=given", "--build-arg",
        "HTTP_PROXY=http://p", "--build-arg", "B", "-t", "args", str(context), check=True,
    ).stderr  # fmt: skip
    assert "A=env GLOBAL=g P= PROXY=http://p" in told
    assert "OS=linux" in told
    # A proxy is in no key, and in no image.
    again = lading(
        "build", "--progress=plain", "--build-arg", "BASE=busybox", "--build-arg", "A=given", "--build-arg",
        "HTTP_PROXY=http://other", str(context), check=True,
    ).stderr  # fmt: skip
    assert "DONE" not in again
    assert "http://p" not in lading.out("inspect", "args")


def test_onbuild_comes_about_in_the_next_image_and_the_next_stage(lading, context):
    context.file("f", "copied\n")
    context.dockerfile("FROM busybox\nONBUILD COPY f /f\nONBUILD RUN cat /f && echo triggered > /t\n")
    lading("build", "-q", "-t", "trigger", str(context), check=True)
    assert json.loads(lading.out("inspect", "trigger"))[0]["Config"]["OnBuild"]
    context.dockerfile("FROM trigger\nRUN cat /t\n")
    told = lading("build", "--progress=plain", "-t", "triggered", str(context), check=True).stderr
    assert "copied" in told and "triggered" in told
    assert not json.loads(lading.out("inspect", "triggered"))[0]["Config"].get("OnBuild")
    context.dockerfile(
        "FROM busybox AS x\nRUN echo from-x > /x\nFROM busybox AS base\nONBUILD COPY --from=x /x /y\n"
        "FROM base\nRUN cat /y\n"
    )
    assert "from-x" in lading("build", "--progress=plain", str(context), check=True).stderr


def test_check_builds_nothing_and_says_what_it_found(lading, context):
    context.dockerfile("FROM busybox\nCMD echo hi\nRUN exit 1\n")
    found = lading("build", "--check", str(context))
    assert found.returncode == 1
    assert "JSONArgsRecommended" in found.stdout
    context.dockerfile('FROM busybox\nCMD ["echo"]\n')
    assert lading("build", "--call=check", str(context)).returncode == 0
    context.dockerfile("# check=error=true\nFROM busybox\nCMD echo hi\n")
    failed = lading("build", str(context))
    assert failed.returncode != 0
    assert "JSONArgsRecommended" in failed.stderr
    context.dockerfile("FROM busybox\nCMD echo hi\n")
    assert "WARNING: JSONArgsRecommended" in lading("build", str(context), check=True).stderr


def test_the_command_has_the_names_that_others_have(lading, context):
    context.dockerfile("FROM busybox\n")
    for words in (("buildx", "build"), ("builder", "build"), ("image", "build"), ("build",)):
        assert lading(*words, "-q", str(context)).returncode == 0


def test_a_missing_context_or_file_is_said(lading, context, tmp_path):
    assert "no Dockerfile" in lading("build", str(context)).stderr
    assert "does not exist" in lading("build", f"{tmp_path}/none").stderr
    assert "does not exist" in lading("build", "-f", f"{tmp_path}/none", str(context)).stderr
    context.dockerfile("FROM busybox\nCOPY missing /x\n")
    refused = lading("build", str(context)).stderr
    assert "Dockerfile:2" in refused and "'missing' is not in the build context" in refused
    context.file("src/main.c")
    for written, meant in (
        ("src/mian.c", "src/main.c"),
        ("scr/main.c", "src/main.c"),
        ("Dockerfle", "Dockerfile"),
    ):
        context.dockerfile(f"FROM busybox\nCOPY {written} /x\n")
        assert f"did you mean {meant}?" in lading("build", str(context)).stderr
    context.dockerfile("FROM busybox\nCOPY nothing/like/it /x\n")
    assert "see what the context and its ignore file hold" in lading("build", str(context)).stderr
    misspelt = lading("build", "-f", f"{context}/Dockerfle", str(context)).stderr
    assert f"did you mean {context}/Dockerfile?" in misspelt
    context.dockerfile("FROM busybox\n", name="src/Dockerfile.dev")
    assert f"--file {context}/src/Dockerfile.dev" in lading("build", f"{context}/src").stderr
    context.dockerfile("FROM busybox\n", name="Containerfile")
    (context.path / "Dockerfile").unlink()
    lading("build", "-q", str(context), check=True)
    context.dockerfile("FROM none-such-image\n", name="Containerfile")
    told = lading("build", "--pull=never", str(context)).stderr
    assert "--pull=never" in told and "Containerfile:1: the image 'none-such-image'" in told


def test_an_image_that_cannot_be_had_is_told_with_its_line(lading, context):
    context.dockerfile("ARG BASE=127.0.0.1:1/none\nFROM busybox AS tools\nFROM $BASE\nRUN true\n")
    told = lading("build", str(context)).stderr
    assert "Dockerfile:3: the image '127.0.0.1:1/none': " in told and "^^^^^" in told
    context.dockerfile("FROM busybox AS tools\nFROM busybox\nCOPY --from=tool /bin/sh /x\n")
    told = lading("build", "--pull=never", str(context)).stderr
    assert "Dockerfile:3: the image 'tool'" in told and "did you mean tools?" in told
    context.dockerfile("FROM busybox\n")
    told = lading("build", "--pull=never", "--platform=linux/riscv64", str(context)).stderr
    assert "the image 'busybox' for linux/riscv64: " in told or "--platform linux/riscv64" in told
    context.dockerfile("ARG V\nFROM busybox:$V\n")
    told = lading("build", "--pull=never", str(context)).stderr
    assert "Dockerfile:2: " in told and "that is what busybox:$V comes to" in told


def test_a_mount_without_a_target_is_not_on_the_root(lading, context):
    context.dockerfile("FROM busybox\nRUN --mount=type=cache touch /x\n")
    told = lading("build", str(context)).stderr
    assert "Dockerfile:2: --mount=type=cache: the target is the working directory" in told
    context.dockerfile("FROM busybox\nWORKDIR /w\nRUN --mount=type=cache touch x\nRUN test ! -e x\n")
    assert lading("build", "-q", str(context)).returncode == 0
