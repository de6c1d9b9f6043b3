"""What BuildKit's own tests ask of Dockerfiles, and builds here once did otherwise."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.root


def built(lading, context, text: str, *flags: str) -> str:
    """What the build of a Dockerfile tells; the image is called ``made``."""
    context.dockerfile(text)
    done = lading("build", "--progress=plain", "-t", "made", *flags, str(context), check=True, timeout=120)
    return done.stderr


def inspected(lading, what: str) -> dict[str, object]:
    return json.loads(lading.out("image", "inspect", "made"))[0][what]


def test_a_linked_copy_to_an_empty_name_goes_into_the_working_directory(lading, context):
    """It once put a file in the directory's place."""
    context.file("one", "1\n")
    told = built(
        lading,
        context,
        'FROM busybox\nWORKDIR /var/www\nRUN touch kept\nENV empty=""\nCOPY --link one $empty\nRUN ls\n',
    )
    assert " kept\n" in told
    assert " one\n" in told


def test_directories_on_the_way_have_the_mode_that_chmod_says_in_numbers(lading, context):
    context.file("one").file("sub/two")
    told = built(
        lading,
        context,
        "FROM busybox\nCOPY --chmod=777 one /a/b/one\nCOPY --chmod=750 sub /c/d/\nCOPY --chmod=go= one /e/one\n"
        "COPY --chmod=1711 --link one /f/one\nRUN mkdir -m 700 /g\nCOPY --chmod=755 one /g/h/one\n"
        "RUN stat -c '%n=%a' /a /a/b /c /c/d /e /e/one /f /f/one /g /g/h\n",
    )
    for text in (
        "/a=777",
        "/a/b=777",
        "/c=750",
        "/c/d=750",
        "/e=755",
        "/e/one=600",
        "/f=711",
        "/f/one=1711",
        "/g=700",
        "/g/h=755",
    ):
        assert f" {text}\n" in told, text


def test_a_proxy_is_given_by_both_names(lading, context):
    told = built(
        lading,
        context,
        "FROM busybox\nRUN echo $HTTP_PROXY-$http_proxy-$NO_PROXY-$no_proxy\nENV http_proxy=own\n"
        "RUN echo $HTTP_PROXY-$http_proxy\n",
        "--build-arg=http_proxy=h",
        "--build-arg=NO_PROXY=n",
    )
    assert " h-h-n-n\n" in told
    assert " h-own\n" in told


def test_an_image_without_a_base_has_the_usual_words(lading, context):
    context.file("one")
    built(lading, context, "FROM scratch\nCOPY one /\nENV PATH=/more:$PATH\n")
    config = inspected(lading, "Config")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert (config["Env"], config["WorkingDir"]) == ([f"PATH=/more:{path}"], "/")


def test_the_target_s_name_is_told_although_nobody_asked_for_a_target(lading, context):
    text = "FROM busybox AS first\nARG TARGETSTAGE\nRUN echo stage=$TARGETSTAGE\nFROM first{}\n"
    assert " stage=last\n" in built(lading, context, text.format(" AS last"))
    assert " stage=default\n" in built(lading, context, text.format(""))


def test_the_host_of_commands_has_the_name_that_was_asked_for(lading, context):
    text = "FROM busybox\nRUN hostname\n"
    assert " named\n" in built(lading, context, text, "--build-arg=BUILDKIT_SANDBOX_HOSTNAME=named")
    assert " build\n" in built(lading, context, text)


def test_caches_have_a_name_space(lading, context):
    text = "FROM busybox\nRUN --mount=type=cache,target=/spaced echo >> /spaced/n; wc -l < /spaced/n\n"
    for flags, lines in (
        ([], "1"),
        (["BUILDKIT_CACHE_MOUNT_NS=a"], "1"),
        (["BUILDKIT_CACHE_MOUNT_NS=a"], "2"),
    ):
        told = built(lading, context, text, "--no-cache", *(f"--build-arg={flag}" for flag in flags))
        assert f" {lines}\n" in told


def test_a_cache_belongs_to_whom_the_files_it_begins_with_do(lading, context):
    told = built(
        lading,
        context,
        "FROM busybox AS origin\nRUN mkdir -m 750 /o && touch /o/f && chown 3:4 /o\nFROM busybox\n"
        "RUN --mount=type=cache,target=/c,id=theirs,from=origin,source=/o stat -c '%a %u %g' /c\n",
    )
    assert " 750 3 4\n" in told


def test_a_program_of_its_own_is_told_in_the_history(lading, context):
    built(lading, context, "FROM busybox\nRUN <<E\n#!/bin/sh\necho program\nE\n")
    rows = lading.out("history", "--no-trunc", "--format", "{created_by}", "made")
    assert rows.startswith("RUN #!/bin/sh")


@pytest.mark.parametrize("how", ["argument", "file"])
def test_source_date_epoch_is_an_argument_or_the_file_s_default(lading, context, how):
    default, flags = (
        ("=1000000000", []) if how == "file" else ("", ["--build-arg=SOURCE_DATE_EPOCH=1000000000"])
    )
    context.dockerfile(f"ARG SOURCE_DATE_EPOCH{default}\nFROM busybox\nENV A={how}\n")
    lading("build", "-q", "-t", "made", *flags, str(context), check=True)
    assert inspected(lading, "Created") == "2001-09-09T01:46:40Z"


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("SOURCE_DATE_EPOCH=yesterday", "'yesterday' is not a whole number of seconds"),
        ("SOURCE_DATE_EPOCH=context", "SOURCE_DATE_EPOCH=context is not supported"),
        ("BUILDKIT_MULTI_PLATFORM=1", "BUILDKIT_MULTI_PLATFORM=1 is not supported"),
        ("BUILDKIT_INLINE_CACHE=perhaps", "is neither true nor false"),
        ("BUILDKIT_SYNTAX=other/language", "is a language of its own"),
    ],
)
def test_arguments_that_steer_are_obeyed_or_refused(lading, context, argument, why):
    context.dockerfile("FROM busybox\n")
    refused = lading("build", "--build-arg", argument, str(context))
    assert refused.returncode != 0
    assert why in refused.stderr
    assert refused.stderr.count("\n") <= 2


def test_a_mount_of_another_stage_counts_by_what_it_shows(lading, context):
    """As for COPY: the stage was built anew, and what the command saw of it is the same."""
    text = (
        "FROM busybox AS other\nCOPY seed /seed\nRUN mkdir /out && echo same > /out/file && cat /seed > /unseen\n"
        "FROM busybox\nRUN --mount=from=other,source=/out,target=/m{} cat /m/file /proc/sys/kernel/random/uuid > /told\n"
    )
    for mode in ("", ",rw"):
        told = []
        for seed in ("1", "2"):
            context.file("seed", seed + mode)
            built(lading, context, text.format(mode))
            told.append(lading.out("run", "--rm", "--network", "none", "made", "cat", "/told"))
        assert told[0] == told[1]
    context.dockerfile(text.format("").replace("same", "other"))
    lading("build", "-q", "-t", "made", str(context), check=True)
    assert lading.out("run", "--rm", "--network", "none", "made", "cat", "/told").startswith("other\n")
