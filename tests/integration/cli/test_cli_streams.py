"""Standard streams that are closed or full: the answer is a status and one line, never a traceback or a spoilt file."""

from __future__ import annotations

import shlex
import subprocess

import pytest

pytestmark = pytest.mark.root


def _shell(lading, words: str, streams: str) -> subprocess.CompletedProcess[str]:  # type: ignore[no-untyped-def]
    line = f"{shlex.join(lading.argv(shlex.split(words)))} {streams}"
    return subprocess.run(
        ["bash", "-c", line],
        env=lading.env,
        text=True,
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("streams", [">&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "words", ["ps", "--help", "run --rm busybox sh -c 'echo said; ls /proc/self/fd >&2'"]
)
def test_a_closed_stream_is_nowhere(lading, words: str, streams: str) -> None:  # type: ignore[no-untyped-def]
    done = _shell(lading, words, streams)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert lading("check").returncode == 0


def test_what_a_container_says_into_a_closed_stream_reaches_no_file_of_ours(lading) -> None:  # type: ignore[no-untyped-def]
    # The words are put together inside, as the records hold the command.
    words = "run --name mute busybox sh -c 'printf never-%s told; printf never-%s told >&2'"
    assert _shell(lading, words, "<&- >&- 2>&-").returncode == 0
    assert "never-told" in lading.out("logs", "mute")
    places = (lading.env["LADING_ROOT"], lading.env["LADING_RUN"])
    found = subprocess.run(
        ["grep", "-rl", "never-told", "--include=*.db*", *places], text=True, capture_output=True
    )
    lading.out("rm", "mute")
    assert (found.returncode, found.stdout) == (1, "")
    assert lading("check").returncode == 0


@pytest.mark.parametrize("words", ["export full", "save busybox"])
def test_a_full_disk_is_blamed_on_what_is_written(lading, words: str) -> None:  # type: ignore[no-untyped-def]
    lading.out("create", "--name", "full", "busybox", "true")
    try:
        done = _shell(lading, words, "> /dev/full")
    finally:
        lading.out("rm", "full")
    assert done.returncode == 1
    assert "cannot write the archive: the disk is full" in done.stderr and done.stderr.count("\n") == 1
    hint = done.stderr.partition("`lading ")[2].partition("`")[0]
    assert lading(*hint.split(), "--help").returncode == 0, f"the hint names a command: {hint}"


@pytest.mark.parametrize("redirected", ["> /dev/full", "2> /dev/full"])
def test_output_that_a_full_disk_did_not_take_is_no_success(lading, redirected: str) -> None:  # type: ignore[no-untyped-def]
    done = _shell(lading, "run --rm busybox sh -c 'echo said; echo said >&2'", redirected)
    assert done.returncode == 125
    if redirected.startswith(">"):
        assert done.stderr.splitlines()[0] == "said"
        assert "standard output: No space left on device" in done.stderr and "ended with 0" in done.stderr
    else:
        assert done.stdout == "said\n"
    assert lading.out("ps", "-aq") == ""
