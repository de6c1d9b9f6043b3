"""One build through every floor: context, graph, pods, layers, image, and what is left afterwards."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.root

FILE = """
FROM busybox AS one
ARG WHO=world
WORKDIR /work
COPY hello.txt .
RUN echo "hello $WHO" > out && cat hello.txt
FROM busybox
COPY --from=one /work/out /out
ENV A=b
CMD ["cat", "/out"]
"""


def test_a_build_gives_an_image_that_runs_and_a_second_one_changes_nothing(lading, context):
    context.dockerfile(FILE).file("hello.txt", "hi\n")
    first = lading("build", "-t", "thread", str(context), check=True)
    assert "hi" in first.stderr
    assert lading.out("run", "--rm", "thread") == "hello world"
    made = json.loads(lading.out("inspect", "thread"))[0]
    assert made["Config"]["Cmd"] == ["cat", "/out"]
    assert "A=b" in made["Config"]["Env"]
    assert len(made["RootFS"]["Layers"]) == 2
    second = lading("build", "-q", "-t", "thread", str(context), check=True)
    assert second.stdout.strip() == made["Id"]
    assert "DONE" not in lading("build", "-t", "thread", str(context), check=True).stderr


def test_what_is_built_depends_on_content_alone(lading, context):
    context.dockerfile(FILE).file("hello.txt", "hi\n")
    lading("build", "-q", str(context), check=True)
    context.file("hello.txt", "hi\n")  # another time, the same content
    assert "DONE" not in lading("build", str(context), check=True).stderr
    context.file("hello.txt", "changed\n")
    told = lading("build", str(context), check=True).stderr
    assert told.count("DONE") == 2  # COPY and RUN; what RUN wrote is the same, and so is the last stage
    told = lading("build", "--build-arg", "WHO=you", "-t", "you", str(context), check=True).stderr
    assert told.count("DONE") == 2
    assert lading.out("run", "--rm", "you") == "hello you"


def test_a_failed_step_is_shown_with_its_line_and_leaves_its_predecessors_alone(lading, context):
    context.dockerfile("FROM busybox\nRUN echo one > /one\nRUN echo no >&2; exit 3\n")
    failed = lading("build", "-t", "failed", str(context))
    assert failed.returncode == 1
    assert "Dockerfile:3" in failed.stderr
    assert "RUN echo no >&2; exit 3" in failed.stderr
    assert "status 3" in failed.stderr
    assert lading("inspect", "failed").returncode != 0
    assert lading.out("ps", "-aq") == ""
    assert lading.out("check") == "Everything is as recorded."
    context.dockerfile("FROM busybox\nRUN echo one > /one\nRUN cat /one\n")
    assert lading("build", str(context), check=True).stderr.count("DONE") == 1


def test_a_mistake_in_the_file_is_shown_before_anything_is_done(lading, context):
    context.dockerfile("FROM busybox\nRUNN true\n")
    failed = lading("build", str(context))
    assert failed.returncode == 1
    assert "Dockerfile:2" in failed.stderr
    assert "RUN" in failed.stderr


def test_stages_that_nobody_needs_are_not_built(lading, context):
    context.dockerfile("FROM busybox AS lonely\nRUN exit 1\nFROM busybox\nRUN true\n")
    lading("build", "-q", str(context), check=True)
    assert lading("build", "-q", "--target", "lonely", str(context)).returncode == 1
