"""``RUN --mount``, networks, users and programs of a RUN, and that nothing of them gets into the image."""

from __future__ import annotations

import subprocess

import pytest

pytestmark = pytest.mark.root


def built(lading, context, text: str, *flags: str) -> str:
    """What the build of ``text`` on busybox told; it succeeds."""
    context.dockerfile("FROM busybox\n" + text)
    return lading("build", "-t", "mounts", *flags, str(context), check=True, timeout=180).stderr


def test_a_cache_stays_between_builds_and_out_of_the_image(lading, context):
    for expected in ("1", "2"):
        told = built(
            lading,
            context,
            "RUN --mount=type=cache,target=/c,id=count echo >> /c/n; wc -l < /c/n\n",
            "--no-cache",
        )
        assert f" {expected}\n" in told
    assert lading("run", "--rm", "mounts", "ls", "/c").returncode != 0


def test_a_cache_begins_with_the_files_it_is_told_to_and_has_the_mode_it_is_told(lading, context):
    context.dockerfile(
        "FROM busybox AS origin\nRUN mkdir /o && echo begun > /o/f\n"
        "FROM busybox\nRUN --mount=type=cache,target=/c,id=begun,from=origin,source=/o,mode=0700,uid=5 "
        "cat /c/f && stat -c '%a %u' /c\n"
    )
    told = lading("build", str(context), check=True).stderr
    assert " begun\n" in told
    assert " 700 5\n" in told


def test_a_cache_that_cannot_begin_leaves_nothing(lading, context):
    context.dockerfile(
        "FROM busybox\nRUN --mount=type=cache,target=/c,id=broken,from=busybox,source=/bin/sh true\n"
    )
    told = lading("build", str(context))
    assert told.returncode == 1
    assert "--mount source=/bin/sh is no directory" in told.stderr
    caches = lading.base / "root/build/caches"
    assert list(caches.glob("*/id"))
    assert not list(caches.glob("*/files.*"))


def test_a_bind_shows_another_stage_and_what_is_written_to_it_is_thrown_away(lading, context):
    context.dockerfile(
        "FROM busybox AS other\nRUN mkdir /d && echo there > /d/f && ln -s /d/f /d/link\n"
        "FROM busybox\n"
        "RUN --mount=type=bind,from=other,source=/d,target=/mnt/d cat /mnt/d/f; echo x > /mnt/d/g || echo refused\n"
        "RUN --mount=type=bind,from=other,source=/d/link,target=/one,rw cat /one; echo x > /one; cat /one\n"
        "RUN --mount=from=other,target=/all cat /all/d/f; ls /mnt || echo no trace\n"
    )
    told = lading("build", "-t", "bound", str(context), check=True).stderr
    assert told.count(" there\n") == 3
    assert " refused\n" in told
    assert " x\n" in told
    assert " no trace\n" in told
    assert lading("run", "--rm", "bound", "ls", "/one", "/mnt", "/all").stdout == ""


def test_a_bind_of_the_context_is_a_copy(lading, context):
    context.file("data/f", "from here\n")
    told = built(
        lading,
        context,
        "RUN --mount=target=/ctx,rw cat /ctx/data/f && echo changed > /ctx/data/f && ls /ctx\n",
    )
    assert " from here\n" in told
    assert (context.path / "data/f").read_text() == "from here\n"
    context.file("data/f", "another\n")
    assert " another\n" in built(
        lading,
        context,
        "RUN --mount=target=/ctx,rw cat /ctx/data/f && echo changed > /ctx/data/f && ls /ctx\n",
    )


def test_a_link_in_the_context_may_name_what_a_bind_shows(lading, context):
    context.file("v1/f", "linked\n")
    (context.path / "current").symlink_to("v1")
    (context.path / "one").symlink_to("current/f")
    told = built(
        lading,
        context,
        "RUN --mount=source=current,target=/d --mount=source=one,target=/one cat /d/f /one\n",
    )
    assert told.count(" linked\n") == 2


def test_a_bind_of_another_stage_needs_no_overlay(lading, context, monkeypatch):
    monkeypatch.setitem(lading.env, "LADING_STORAGE", "copy")
    told = built(
        lading,
        context,
        "RUN --mount=from=busybox,target=/m,rw ls /m/bin/sh; ls -d /m/../m; echo x > /m/x; "
        "grep -c ' /m overlay' /proc/mounts || echo a copy\n",
        "--no-cache",
    )
    assert " a copy\n" in told


def test_programs_run_from_a_tmpfs(lading, context):
    """As BuildKit has it, unlike ``lading run --tmpfs``: configure scripts try out what they have compiled."""
    line = "cp /bin/busybox /t/echo && /t/echo runs && stat -c '%a %u' /t"
    told = built(lading, context, f"RUN --mount=type=tmpfs,target=/t {line}\n")
    assert " runs\n" in told
    assert " 1777 0\n" in told


def test_tmpfs_has_its_size_and_leaves_nothing(lading, context):
    told = built(
        lading,
        context,
        "RUN --mount=type=tmpfs,target=/t/inner,size=64k mount | grep /t/inner; touch /t/inner/x\n",
    )
    assert "size=64k" in told
    assert lading("run", "--rm", "mounts", "ls", "/t").returncode != 0


def test_what_a_command_makes_at_a_mount_point_stays(lading, context):
    built(
        lading,
        context,
        "RUN --mount=type=tmpfs,target=/kept/tmp mkdir -p /kept && echo x > /kept/file\n",
    )
    assert lading.out("run", "--rm", "mounts", "ls", "/kept") == "file"


def test_the_network_is_none_where_the_file_says_so(lading, context):
    told = built(lading, context, "RUN --network=none ls /sys/class/net; echo end\nRUN ls /sys/class/net\n")
    first, second = told.split("RUN ls /sys")[:2]
    assert "eth0" not in first
    assert "eth0" in second
    context.dockerfile("FROM busybox\nRUN --network=host true\n")
    refused = lading("build", str(context))
    assert refused.returncode == 1
    assert "network.host" in refused.stderr


def test_a_document_is_a_script_or_a_program(lading, context):
    told = built(
        lading,
        context,
        "RUN <<EOF\necho one\necho two\nEOF\nRUN <<EOF\n#!/bin/busybox sh\necho $((6 * 7)) $0\nEOF\n",
    )
    assert " one\n" in told
    assert " two\n" in told
    assert " 42 /dev/pipes/script\n" in told


def test_users_directories_and_variables_are_as_the_file_says(lading, context):
    told = built(
        lading,
        context,
        "ARG A=arg\nENV E=env\nWORKDIR /w/x\nUSER 1000:1001\nRUN id -u; id -g; pwd; echo $A $E; touch /no || echo denied\n",
    )
    for line in ("1000", "1001", "/w/x", "arg env", "denied"):
        assert f" {line}\n" in told


@pytest.mark.parametrize(("number", "status", "word"), [(2, 130, "interrupted"), (15, 143, "SIGTERM")])
def test_an_interrupted_build_ends_its_command_and_leaves_nothing(lading, context, number, status, word):
    context.dockerfile("FROM busybox\nRUN trap '' TERM INT; echo going; sleep 300; sleep 300\n")
    process = subprocess.Popen(
        lading.argv(["build", "--no-cache", str(context)]),
        env=lading.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if " going" in line:
                break
        process.send_signal(number)
        assert process.wait(60) == status
        assert word in process.stderr.read()
    finally:
        process.kill()
        process.stderr.close()
    assert lading.out("ps", "-aq") == ""
    assert lading.out("check") == "Everything is as recorded."


def test_a_build_that_is_killed_takes_its_command_along(lading, context):
    context.dockerfile("FROM busybox\nRUN echo going; sleep 300; sleep 300\n")
    process = subprocess.Popen(
        lading.argv(["build", "--no-cache", str(context)]),
        env=lading.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if " going" in line:
            break
    process.kill()
    process.wait()
    rest = process.stderr.read()  # until the step's process, which has it open too, has ended
    process.stderr.close()
    assert "DONE" not in rest
    assert lading.out("ps", "-aq") == ""
    lading("check", "--repair")
    assert lading.out("check") == "Everything is as recorded."


def test_a_command_may_have_one_locked_cache_at_two_places(lading, context):
    mount = "--mount=type=cache,id=twice,sharing=locked"
    told = built(
        lading, context, f"RUN {mount},target=/a {mount},target=/b echo seen > /a/f; cat /b/f\n", "--no-cache"
    )
    assert " seen\n" in told
