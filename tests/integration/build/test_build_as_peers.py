"""The same Dockerfile, built here, by Docker's BuildKit and by Buildah: the same files, and the same words on how to run them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.build.peers import Docker, run

pytestmark = [pytest.mark.root, pytest.mark.peer("dockerd", "docker", "buildah"), pytest.mark.timeout(600)]

CASES = {
    "words of the configuration": """
FROM base
LABEL one=1 "two words"="a b" three='it''s'
ENV A=1 B="two words" C=$A-x
ENV D ${B:-none} ${E:-none}
EXPOSE 80 443/tcp 53/udp 8000-8002
VOLUME ["/x", "/y z"]
USER 1000:1000
WORKDIR /made
WORKDIR sub
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD test -e /ok || exit 1
ENTRYPOINT ["/bin/echo", "a"]
CMD ["b", "c"]
""",
    "shell forms and another shell": """
FROM base
CMD echo $HOME
ENTRYPOINT exec top -b
SHELL ["/bin/busybox", "sh", "-c"]
RUN echo $0 > /shell
CMD echo again
""",
    "an entrypoint takes the base image's command away": """
FROM base AS one
CMD ["given"]
FROM one
ENTRYPOINT ["sh"]
""",
    "triggers": """
FROM base AS begin
ONBUILD COPY one.txt /triggered/
ONBUILD RUN echo built > /triggered/built
ONBUILD ENV TRIGGERED=yes
FROM begin
ONBUILD LABEL again=1
RUN cat /triggered/one.txt
""",
    "what RUN leaves": """
FROM base
RUN mkdir -p /a/b && echo x > /a/b/c && ln -s b /a/link && ln /a/b/c /a/hard && chmod 4751 /a/b/c && chown 7:8 /a/b
RUN rm -r /a/b && rm -rf /var && mkdir /var && echo new > /var/new
RUN mkfifo /pipe && rm /bin/yes && mv /bin/true /bin/moved
RUN chmod 700 /tmp && touch -h -d '2001-01-01' /a/link
""",
    "arguments": """
ARG BASE=base
FROM ${BASE} AS one
ARG GIVEN=default
ARG UNSET
ARG TWICE=$GIVEN-2
RUN echo "$GIVEN/$UNSET/$TWICE/$BASE" > /args
ENV GIVEN=env
RUN echo "$GIVEN" > /env
""",
    "stages": """
FROM base AS first
RUN echo 1 > /one
FROM first AS second
RUN echo 2 > /two
FROM base
COPY --from=first /one /from/
COPY --from=1 /two /from/second
COPY --from=second /bin/busybox /from/
""",
    "copies": """
FROM base
RUN mkdir -p /dest/dir && ln -s dir /dest/link && ln -s /nowhere /dest/dangling
COPY one.txt /plain
COPY one.txt /dest/dir/
COPY one.txt two.txt /dest/link/
COPY tree /copied
COPY tree/. /dest/dir
COPY *.txt /wild/
COPY --chown=3:4 one.txt /owned/by/three
COPY --chown=daemon tree /owned/tree
COPY --chmod=0600 one.txt /secret
WORKDIR /relative
COPY one.txt .
COPY one.txt sub/name
ADD packed.tar.gz /unpacked/
ADD one.txt /added
""",
    "users, and what is added for them": """
FROM base
MAINTAINER somebody
ARG GIVEN=1
HEALTHCHECK NONE
VOLUME /one /two
LABEL lines="a \\
b"
USER daemon
RUN id -u > /tmp/who && echo $GIVEN > /tmp/given
USER 7:8
RUN id -u > /tmp/numbers && id -g >> /tmp/numbers && mkdir /tmp/theirs
USER root
ADD --chown=1:2 two.txt /added/
ADD tree/deep /deep/
COPY --chown=daemon:8 tree/top two.txt /several/
EXPOSE 8443/udp
ENTRYPOINT top -b
CMD ["x"]
""",
    "an image without a base": """
FROM scratch
COPY one.txt /
ENV PATH=/more:$PATH
""",
    "what a command is shown": """
FROM base AS origin
RUN mkdir -p -m 750 /o/p && echo x > /o/p/q && chown -R 3:4 /o
FROM base
RUN mkdir /c /c2 /ctx /t
WORKDIR /wd
RUN --mount=target=/ctx cat /ctx/one.txt > /r1
RUN --mount=type=bind,target=.,rw touch here && ls -d here > /r2
RUN --mount=type=bind,from=origin,source=/o/p,target=/t stat -c '%a %u %g' /t /t/q > /r3
RUN --mount=type=bind,from=origin,source=/o/p,target=/t touch /t/z 2> /dev/null || echo ro > /r7
RUN --mount=type=cache,target=/c,mode=0700,uid=3,gid=4 stat -c '%a %u %g' /c > /r4
RUN --mount=type=cache,target=/c2,from=origin,source=/o stat -c '%a %u %g' /c2 /c2/p > /r5
RUN --mount=type=tmpfs,target=/t cp /bin/busybox /t/echo && /t/echo runs > /r6
""",
}


@pytest.fixture(scope="module")
def docker(lading) -> Iterator[Docker]:
    with tempfile.TemporaryDirectory(prefix="lb-") as name:
        made = Docker(Path(name))
        try:
            archive = f"{name}/base.tar"
            lading("tag", "busybox", "base", check=True)
            lading("save", "--format", "docker-archive", "-o", archive, "base", check=True)
            made("load", "-q", "-i", archive)
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def buildah(docker: Docker) -> list[str]:
    base = str(docker.directory)
    words = ["buildah", "--root", f"{base}/b", "--runroot", f"{base}/r", "--storage-driver", "overlay"]
    run(*words, "pull", "-q", f"docker-archive:{base}/base.tar")
    return words


@pytest.fixture
def files(context):
    context.file("one.txt", "one\n").file("two.txt", "two\n", 0o755).file("tree/deep/er/file", "deep\n")
    context.file("tree/top", "top\n").file("tree/deep/exec", "#!/bin/sh\n", 0o775)
    os.symlink("top", context.path / "tree/link")
    os.symlink("/etc/passwd", context.path / "tree/absolute")
    run(
        "tar",
        "-C",
        str(context.path / "tree"),
        "-czf",
        str(context.path / "packed.tar.gz"),
        "top",
        "deep",
        "link",
    )
    return context


@pytest.mark.parametrize("case", CASES)
def test_the_image_is_what_docker_makes(lading, docker, files, case):
    files.dockerfile(CASES[case].lstrip())
    env = {**os.environ, "DOCKER_BUILDKIT": "1"}
    docker("build", "-q", "--network", "none", "-t", "theirs", str(files), env=env)
    _ours(lading, docker, files)
    assert docker.config("ours") == docker.config("theirs")
    assert docker.files("ours") == docker.files("theirs")


def _ours(lading, docker, files) -> None:
    lading("build", "-q", "-t", "ours", str(files), check=True, timeout=180)
    archive = f"{docker.directory}/ours.tar"
    lading("save", "--format", "docker-archive", "-o", archive, "ours", check=True)
    docker("load", "-q", "-i", archive)
    os.unlink(archive)


#: What Buildah 1.28 makes otherwise than BuildKit, by the key of the configuration: ours, and its.
OTHERWISE = {
    # Its CMD does not obey a SHELL that stands before it.
    "shell forms and another shell": {
        "Cmd": (["/bin/busybox", "sh", "-c", "echo again"], ["/bin/sh", "-c", "echo again"])
    },
    "an image without a base": {"WorkingDir": ("/", None)},
}
#: It wants a mount's type, and shows a bind mount's ``rw`` as read-only.
CASES_OF_BUILDAH = [case for case in CASES if case != "what a command is shown"]


@pytest.mark.parametrize("case", CASES_OF_BUILDAH)
def test_the_image_is_what_buildah_makes(lading, docker, buildah, files, case):
    files.dockerfile(CASES[case].lstrip())
    words = [*buildah, "build", "-q", "--format", "docker", "--isolation", "chroot"]
    run(*words, "--layers", "-t", "theirs", str(files))
    archive = f"{docker.directory}/theirs.tar"
    run(
        *buildah,
        "push",
        "-q",
        "localhost/theirs",
        f"docker-archive:{archive}:docker.io/library/theirs:latest",
    )
    docker("load", "-q", "-i", archive)
    os.unlink(archive)
    _ours(lading, docker, files)
    config, found = docker.config("theirs"), docker.files("theirs")
    config["Labels"].pop("io.buildah.version")  # its own mark
    if not config["Labels"]:
        del config["Labels"]
    if (
        config.get("ExposedPorts", {}).pop("8000-8002/tcp", None) is not None
    ):  # a range, which Docker spells out
        config["ExposedPorts"] |= {f"{port}/tcp": {} for port in (8000, 8001, 8002)}
    found.pop("/run", None)  # and its own mount point
    ours = docker.files("ours")
    for made in ("/made", "/made/sub"):  # Docker's WORKDIR is the user's, Buildah's is root's
        if made in ours:
            assert (ours.pop(made)[2:4], found.pop(made)[2:4]) == ((1000, 1000), (0, 0))
    if (
        case == "users, and what is added for them"
    ):  # Buildah makes the directories of volumes, where a RUN comes after them
        for volume in ("/one", "/two"):
            assert found.pop(volume) == ("5", "40755", 0, 0, "")
    assert ours == found
    mine = docker.config("ours")
    for key, values in OTHERWISE.get(case, {}).items():
        assert (mine.pop(key, None), config.pop(key, None)) == values
    assert mine == config
