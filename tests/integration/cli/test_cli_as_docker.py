"""What a person who comes from Docker types next: ps options, links, filters of prune, processors that are not there."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def busy(lading):  # type: ignore[no-untyped-def]
    """A container with links in it, running."""
    script = (
        "mkdir -p /srv/deep && echo text > /srv/deep/file && ln -s /srv/deep/file /link && ln -s ../link /srv/again && "
        "ln -s srv/deep /dir && ln -s loop /loop && ln -s ../../../../srv/deep/file /out && exec sleep 100000"
    )
    lading("run", "-d", "--name", "busy", "busybox", "sh", "-c", script, check=True)
    end = time.monotonic() + 60
    while not lading("exec", "busy", "cat", "/proc/1/cmdline").stdout.startswith("sleep"):
        assert time.monotonic() < end, "the container never came to its sleep"
        time.sleep(0.05)
    yield lading
    lading("rm", "-f", "busy", check=True)


def test_top_takes_the_options_of_ps(busy, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setitem(busy.env, "COLUMNS", "30")
    monkeypatch.setitem(busy.env, "PS_FORMAT", "comm")
    pid = busy.out("inspect", "--format", "{State.Pid}", "busy")
    for options in (["-o", "pid,comm"], ["-eo", "pid,comm"]):
        lines = [line.split() for line in busy.out("top", "busy", *options).splitlines()]
        assert lines[0] == ["PID", "COMMAND"]
        assert [line[0] for line in lines[1:]] == [pid]
    heading, line = busy.out("top", "busy", "aux").splitlines()
    assert "%CPU" in heading
    assert line.split()[1] == pid and line.endswith("sleep 100000")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "comm"], "shows no PID"),
        (["-o", "nonsense"], "nonsense"),
        (["nonsense"], "is not a column"),
    ],
)
def test_top_says_which_option_is_wrong(busy, words: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    done = busy("top", "busy", *words)
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_cp_follows_a_link_when_asked(busy, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    busy("cp", "busy:/link", str(tmp_path / "plain"), check=True)
    assert (tmp_path / "plain").is_symlink()
    for link in (
        "/link",
        "/srv/again",
        "/out",
    ):  # the last one leads out of a root, were it not the container's
        busy("cp", "-L", f"busy:{link}", str(tmp_path), check=True)
        copied = tmp_path / link.rpartition("/")[2]
        assert not copied.is_symlink() and copied.read_text() == "text\n"
    busy("cp", "-L", "busy:/dir", str(tmp_path / "made"), check=True)
    busy("cp", "busy:/dir/", str(tmp_path / "slash"), check=True)
    for name in ("made", "slash"):
        assert not (tmp_path / name).is_symlink() and (tmp_path / name / "file").read_text() == "text\n"
    done = busy("cp", "-L", "busy:/loop", str(tmp_path / "loop"))
    assert done.returncode == 1 and "too many symbolic links" in done.stderr
    assert busy("cp", "-L", "busy:/nothing", str(tmp_path)).returncode == 1


@pytest.mark.parametrize("source", [".", "./", "/.", "./."])
def test_cp_of_a_dot_copies_what_the_directory_holds(busy, tmp_path: Path, source: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "note").write_text("here")
    where = f"/dot{os.urandom(4).hex()}"
    busy.out("exec", "busy", "mkdir", where)
    done = subprocess.run(
        busy.argv(["cp", f"{tmp_path}/." if source == "/." else source, f"busy:{where}"]),
        env=busy.env,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0
    assert busy.out("exec", "busy", "ls", where) == "note"


def test_cpus_and_memory_nodes_that_are_not_there_are_named(busy) -> None:  # type: ignore[no-untyped-def]
    kinds = [("--cpuset-cpus", "CPUs")]
    if Path("/sys/devices/system/node/online").exists():  # a kernel without NUMA has none to name
        kinds.append(("--cpuset-mems", "memory nodes"))
    for flag, word in kinds:
        for command in (["run", "--rm", flag, "0,9999", "busybox", "true"], ["update", flag, "9999", "busy"]):
            done = busy(*command)
            assert done.returncode == (125 if command[0] == "run" else 1)
            assert (
                f"{flag} {command[-2] if command[0] == 'update' else '0,9999'}: this machine has the {word} 0"
                in (done.stderr)
            )
    assert busy("update", "--cpuset-cpus", str(min(os.sched_getaffinity(0))), "busy").returncode == 0


def test_prune_removes_what_its_filters_choose(lading) -> None:  # type: ignore[no-untyped-def]
    for name, label in (("old", "tier=a"), ("new", "tier=b"), ("bare", "")):
        lading("create", "--name", name, *(["-l", label] if label else []), "busybox", check=True)

    def left() -> set[str]:
        return set(lading.out("ps", "-a", "--filter", "status=created", "--format", "{names}").split())

    lading("container", "prune", "-f", "--filter", "until=10h", check=True)
    assert left() == {"old", "new", "bare"}
    lading("container", "prune", "-f", "--filter", "label=tier", "--filter", "label!=tier=b", check=True)
    assert left() == {"new", "bare"}
    lading("system", "prune", "-f", "--filter", "label!=tier", check=True)
    assert left() == {"new"}
    lading("container", "prune", "-f", "--filter", "label=tier=b", "--filter", "until=0s", check=True)
    assert left() == set()
    for words in (["container", "prune"], ["image", "prune"], ["volume", "prune"], ["system", "prune"]):
        done = lading(*words, "-f", "--filter", "colour=blue")
        assert done.returncode == 1 and "'colour' is unknown" in done.stderr
    assert lading("system", "prune", "-f", "--volumes", "--filter", "until=1h").returncode == 1


def test_images_and_volumes_are_pruned_by_label(lading) -> None:  # type: ignore[no-untyped-def]
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    archive = lading.base / "empty.tar"
    archive.write_bytes(empty.getvalue())
    kept = lading.out("import", "-c", "LABEL keep=yes", str(archive))
    gone = lading.out("import", "-c", "LABEL keep=no", str(archive))
    lading("image", "prune", "-f", "--filter", "label!=keep=yes", check=True)
    assert json.loads(lading.out("image", "inspect", kept))[0]["Id"] == kept
    assert lading("image", "inspect", gone).returncode == 1
    lading("image", "prune", "-f", check=True)
    assert lading("image", "inspect", kept).returncode == 1
    for name in ("one", "two"):
        lading("volume", "create", "--label", f"is={name}", name, check=True)
    lading("volume", "prune", "-a", "-f", "--filter", "label=is=one", check=True)
    assert lading.out("volume", "ls", "-q") == "two"
    lading("volume", "rm", "two", check=True)


def test_what_is_no_archive_is_said_to_be_none(lading, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "letter").write_text("Dear reader,\n" * 100)
    done = lading("load", "-i", str(tmp_path / "letter"))
    assert done.returncode == 1 and "this is not a tar archive" in done.stderr


def test_an_image_that_cannot_be_fetched_is_named(lading) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as free:  # bound and not listening: nobody else answers there
        free.bind(("127.0.0.1", 0))
        done = lading("run", "--rm", f"localhost:{free.getsockname()[1]}/busybos", "true")
    assert done.returncode == 125
    assert "/busybos' is not here, and fetching it failed: " in done.stderr and done.stderr.count("\n") == 1


def test_a_flag_whose_value_is_wrong_is_named(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("run", "--health-interval", "soon", "busybox")
    assert done.returncode == 125 and "--health-interval: duration 'soon'" in done.stderr


def test_a_refused_flag_says_so_once(lading) -> None:  # type: ignore[no-untyped-def]
    assert lading("run", "--log-driver", "x", "busybox").stderr.count("not supported") == 1


def test_a_part_of_a_volume_is_mounted(lading) -> None:  # type: ignore[no-untyped-def]
    fill = "mkdir -p /v/in/it && echo here > /v/in/it/file && ln -s /etc /v/out"
    lading("run", "--rm", "-v", "parts:/v", "busybox", "sh", "-c", fill, check=True)

    def part(path: str, *words: str):  # type: ignore[no-untyped-def]
        return lading("run", "--rm", "--mount", f"src=parts,dst=/p,volume-subpath={path}", "busybox", *words)

    assert part("in/it", "cat", "/p/file").stdout == "here\n"
    assert part("in/it/file", "cat", "/p").stdout == "here\n"
    for wrong in ("nothing", "out"):  # a link that leads out of the volume leads nowhere
        done = part(wrong, "ls", "/p")
        assert done.returncode == 125 and f"{wrong} does not exist in the volume" in done.stderr
    name = lading.out(
        "create", "--mount", "src=parts,dst=/p,readonly,volume-subpath=in", "busybox", "cat", "/p/it/file"
    )
    for _ in range(2):
        assert lading("start", "-a", name).stdout == "here\n"
    lading("rm", name, check=True)
    lading("volume", "rm", "parts", check=True)


def test_ps_shows_which_words_of_a_command_belong_together(lading) -> None:  # type: ignore[no-untyped-def]
    lading.out("create", "--name", "quoted", "busybox", "sh", "-c", "echo a b")
    shown = lading.out("ps", "-a", "--no-trunc", "--filter", "name=quoted", "--format", "{command}")
    lading.out("rm", "quoted")
    assert shown == "\"sh -c 'echo a b'\""


def test_a_process_has_its_primary_group_among_the_others_too(lading) -> None:  # type: ignore[no-untyped-def]
    def groups(*words: str) -> list[str]:
        said = lading.out("run", "--rm", *words, "busybox", "grep", "Groups", "/proc/self/status")
        return said.partition(":")[2].split()

    assert groups() == ["0"]
    assert groups("--user", "7:8", "--group-add", "9") == ["8", "9"]


def test_stats_counts_what_passed_the_network(lading) -> None:  # type: ignore[no-untyped-def]
    lading.out("run", "-d", "--name", "talker", "busybox", "sleep", "100")
    lading("exec", "talker", "ping", "-c", "1", "-W", "1", "255.255.255.254")
    shown = lading.out("stats", "--no-stream", "--format", "{net_io}", "talker")
    lading.out("rm", "-f", "talker")
    received, _, sent = shown.partition(" / ")
    assert received and sent not in ("", "0B"), shown


@pytest.mark.parametrize("command", ["run --rm {} busybox true", "update {} nothing-of-this-name"])
@pytest.mark.parametrize("flag", ["--memory-swap", "--memory-reservation"])
def test_limits_that_contradict_each_other_are_named_as_flags(lading, command: str, flag: str) -> None:  # type: ignore[no-untyped-def]
    value = "32m" if flag == "--memory-swap" else "1g"
    said = lading(*command.format(f"--memory 64m {flag} {value}").split()).stderr
    assert flag in said and "than --memory" in said


def test_a_committed_layer_is_named_by_what_the_container_ran(lading) -> None:  # type: ignore[no-untyped-def]
    lading("run", "--name", "maker", "busybox", "sh", "-c", "echo '$HOME' >/note", check=True)
    lading("commit", "maker", "made:1", check=True)
    steps = lading.out("history", "--no-trunc", "--format", "{created_by}", "made:1").splitlines()
    assert steps[0] == "sh -c echo '$HOME' >/note"
    lading("rm", "maker", check=True)


def test_forced_removal_of_what_is_not_there_says_so_and_succeeds(lading) -> None:  # type: ignore[no-untyped-def]
    done = lading("rm", "-f", "absent")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 1 and "no such container" in done.stderr and "absent" in done.stderr
    assert lading("rm", "absent").returncode == 1


def test_bootstrap_says_the_name_that_was_asked_for(lading) -> None:  # type: ignore[no-untyped-def]
    lading("tag", "busybox", "a/first:1", check=True)  # the same image, and earlier in any list
    assert lading.out("bootstrap", "busybox").startswith("busybox:latest: ")
    lading("rmi", "a/first:1", check=True)
