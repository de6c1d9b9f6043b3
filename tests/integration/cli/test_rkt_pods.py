"""``lading rkt`` on pods that are there: looked at, entered, attached to, joined, exported, stopped and collected."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.integration.cli.test_cli_terminal import Screen

pytestmark = pytest.mark.root

LIVE = "trap 'echo bye; exit 3' TERM; while :; do sleep 0.05; done"
IMAGE = "x.example/busybox"


@pytest.fixture(scope="module")
def rkt(lading, tmp_path_factory: pytest.TempPathFactory) -> Rkt:  # type: ignore[no-untyped-def]
    """The verbs, with an App Container image in the store."""
    base = str(tmp_path_factory.mktemp("aci") / "base.aci")
    lading.out("aci", "build", "--image", "busybox", "--name", f"{IMAGE}:1", "-o", base)
    lading.out("aci", "import", base)
    return Rkt(lading)


@pytest.fixture(autouse=True)
def nothing_left(rkt: Rkt) -> Iterator[None]:
    """Every test ends without a pod."""
    yield
    rkt.clear()


class Rkt:
    """``lading rkt``."""

    def __init__(self, lading) -> None:  # type: ignore[no-untyped-def]
        self.lading = lading

    def __call__(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        done = self.lading("rkt", *words, input=input)
        assert "resource busy" not in done.stderr and "internal error" not in done.stderr, done.stderr
        return done

    def out(self, *words: str, input: str | None = None) -> str:
        done = self(*words, input=input)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def run(self, *apps: str, flags: tuple[str, ...] = ()) -> str:
        """A detached pod whose apps are ``NAME=SHELL``: its UUID."""
        words: list[str] = []
        for app in apps:
            name, _, script = app.partition("=")
            words += ["---"] if words else []
            words += [IMAGE, "--name", name, "--exec", "/bin/sh", *flags, "--", "-c", script]
        return self.out("run", "--net=none", "--detach", *words)

    def status(self, uuid: str, *flags: str) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.out("status", *flags, uuid).splitlines())

    def states(self) -> dict[str, str]:
        return {pod["name"]: pod["state"] for pod in json.loads(self.out("list", "--format=json"))}

    def clear(self) -> None:
        running = [uuid for uuid, state in self.states().items() if state == "running"]
        if running:
            self("stop", "--force", *running)
        self.out("gc", "--grace-period=0s", "--expire-prepared=0s")


def test_a_pod_from_its_beginning_to_its_end(rkt: Rkt) -> None:
    uuid = rkt.run(f"one=echo up; {LIVE}", "two=exec sleep 600")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid)
    rows = [line.split("\t") for line in rkt.out("list", "--no-legend").splitlines()]
    cells = [[cell for cell in row if cell] for row in rows]
    assert cells[0][:4] == [uuid[:8], "one", f"{IMAGE}:1", "running"] and cells[1] == ["two", f"{IMAGE}:1"]
    ready = rkt.status(uuid[:8], "--wait-ready")
    assert (ready["state"], ready["exited"], ready["networks"]) == ("running", "false", "")
    assert os.path.exists(f"/proc/{ready['pid']}")
    busy = rkt("rm", uuid)
    assert busy.returncode == 254 and f'pod "{uuid}" is currently running' in busy.stderr
    waiting = subprocess.Popen(
        rkt.lading.argv(["rkt", "status", "--wait", uuid]),
        env=rkt.lading.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert rkt("status", "--wait=10ms", uuid).returncode == 254
    assert rkt.out("stop", uuid) == f'"{uuid}"'
    said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and "state=exited" in said and "app-one=3" in said
    assert rkt.out("stop", uuid) == f'pod "{uuid}" is already stopped'
    assert "up\nbye" in rkt.lading.out("pod", "logs", "-c", "one", f"rkt-{uuid}")
    first = rkt("gc")
    assert first.stdout == "" and f'moving pod "{uuid}" to garbage' in first.stderr
    marked = rkt.status(uuid)
    assert (marked["state"], marked["exited"], marked["app-one"]) == ("exited garbage", "true", "3")
    assert rkt.out("gc", "--grace-period=0s") == f'Garbage collecting pod "{uuid}"'
    assert rkt.states() == {}


def test_what_is_prepared_is_listed_and_expires(rkt: Rkt) -> None:
    uuid = rkt.out("prepare", "--quiet", IMAGE)
    assert rkt.states() == {uuid: "prepared"}
    assert rkt.status(uuid).keys() == {"state", "created"}
    for words in (["stop", uuid], ["enter", uuid, "true"], ["export", uuid, "/nonexistent/x.aci"]):
        refused = rkt(*words)
        assert refused.returncode == 254 and "prepared" in refused.stderr
    assert rkt("gc").stdout == ""
    assert rkt.out("gc", "--expire-prepared=0s") == f'Garbage collecting pod "{uuid}"'


def test_enter_runs_as_root_beside_the_app(rkt: Rkt) -> None:
    uuid = rkt.run(f"main={LIVE}", flags=("--user=7", "--group=7"))
    assert rkt.out("enter", uuid, "sh", "-c", "id -u; echo $AC_APP_NAME; hostname") == (
        f"0\nmain\nrkt-{uuid}"
    )
    piped = rkt("enter", uuid, input="echo from stdin; exit 4")
    assert (piped.returncode, piped.stdout) == (4, "from stdin\n")
    assert piped.stderr == 'no command specified, assuming "/bin/sh"\n'
    assert rkt("enter", uuid, "nosuchthing").returncode == 127
    screen = Screen(rkt.lading, "rkt", "enter", uuid)
    screen.until(b"# ")
    screen.type(b"\x10\x11\x15")  # the shell's own keys, none of which leaves it
    screen.type(b"stty size; exit 6\n")
    screen.until(b"31 97")
    assert screen.process.wait(60) == 6


def test_ctrl_c_ends_what_was_entered_with_and_not_the_app(rkt: Rkt) -> None:
    uuid = rkt.run(f"main={LIVE}")
    inside = subprocess.Popen(
        rkt.lading.argv(["rkt", "enter", uuid, "sh", "-c", "echo here; exec sleep 7007"]),
        env=rkt.lading.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert inside.stdout is not None and inside.stdout.readline() == b"here\n"
    inside.send_signal(signal.SIGINT)
    assert inside.wait(60) == 130
    inside.stdout.close()
    assert "7007" not in rkt.out("enter", uuid, "ps")
    assert rkt.status(uuid)["state"] == "running"


def test_attach_leaves_the_app_and_comes_back(rkt: Rkt) -> None:
    script = "while read x; do echo got $x; echo err >&2; test $x = end && exit 5; done"
    uuid = rkt.run(f"main={script}", flags=("--stdin=stream",))
    assert rkt.out("attach", "--mode=list", uuid).split() == ["stdin", "stdout", "stderr"]
    for number in (signal.SIGINT, signal.SIGTERM):
        attached = subprocess.Popen(
            rkt.lading.argv(["rkt", "attach", "--mode=stdin,stdout", uuid]),
            env=rkt.lading.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert attached.stdin is not None and attached.stdout is not None and attached.stderr is not None
        attached.stdin.write(b"hello\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == b"got hello\n"
        attached.stdin.close()  # the end of what is typed here is no end for the app, nor of its output
        assert rkt.out("enter", uuid, "sh", "-c", "echo more > /proc/1/fd/1") == ""
        assert attached.stdout.readline() == b"more\n"
        attached.send_signal(number)
        assert attached.wait(60) == 128 + number and attached.stderr.read() == b""
        attached.stdout.close()
        attached.stderr.close()
        assert rkt.status(uuid)["state"] == "running"
    last = rkt("attach", uuid, input="end\n")
    assert (last.returncode, last.stdout, last.stderr) == (5, "got end\n", "err\n")
    assert rkt.status(uuid, "--wait")["app-main"] == "5"


def test_attach_to_a_terminal(rkt: Rkt) -> None:
    uuid = rkt.run("main=while read x; do echo got $x; test $x = end && exit 5; done", flags=("--stdin=tty",))
    assert rkt.out("attach", "--mode=list", uuid) == "tty"
    screen = Screen(rkt.lading, "rkt", "attach", uuid)
    screen.type(b"hello\n")
    screen.until(b"got hello")
    screen.type(b"\x10\x11")
    assert screen.process.wait(60) == 0
    assert rkt.status(uuid)["state"] == "running"
    screen = Screen(rkt.lading, "rkt", "attach", "--mode=tty", uuid)
    screen.type(b"end\n")
    assert screen.process.wait(60) == 5


def test_an_exported_app_is_an_image_with_what_it_wrote(rkt: Rkt, tmp_path) -> None:  # type: ignore[no-untyped-def]
    uuid = rkt.run("main=echo mine > /etc/mine; rm /bin/wget; exit 2")
    rkt.status(uuid, "--wait")
    path = str(tmp_path / "out.aci")
    rkt.out("export", uuid, path)
    assert rkt("export", uuid, path).returncode == 254
    rkt.out("export", "--overwrite", uuid, path)
    root = str(tmp_path / "root")
    rkt.lading.out("aci", "extract", "--rootfs-only", path, root)
    assert open(f"{root}/etc/mine").read() == "mine\n"
    assert not os.path.lexists(f"{root}/bin/wget") and os.path.lexists(f"{root}/bin/sh")
    manifest = json.loads(rkt.lading.out("aci", "cat-manifest", path))
    assert manifest["name"] == IMAGE
    assert [name for name in os.listdir(tmp_path) if name.endswith(".part")] == []


def test_an_app_joins_shares_and_leaves(rkt: Rkt) -> None:
    uuid = rkt.out(
        "run", "--net=none", "--detach", "--volume", "shared,kind=empty,mode=0777", IMAGE, "--name=main",
        "--mount=volume=shared,target=/s", "--exec=/bin/sh", "--", "-c", f"echo hers > /s/f; {LIVE}",
    )  # fmt: skip
    script = f"cat /x/f; hostname; touch /x/g; {LIVE}"
    rkt.out(
        "app", "add", uuid, IMAGE, "--name=more", "--mount=volume=shared,target=/x",
        "--mnt-volume=own,kind=empty,target=/own", "--exec=/bin/sh", "--", "-c", script,
    )  # fmt: skip
    again = rkt("app", "add", uuid, IMAGE, "--name=more")
    assert again.returncode == 254 and "already" in again.stderr
    assert rkt.out("app", "list", "--no-legend", uuid).split() == ["main", "running", "more", "created"]
    rkt.out("app", "start", uuid, "--app=more")
    assert rkt.out("enter", "--app=more", uuid, "ls", "-d", "/own") == "/own"
    deadline = time.monotonic() + 60
    while rkt("enter", "--app=main", uuid, "test", "-e", "/s/g").returncode:
        assert time.monotonic() < deadline
    assert rkt.lading.out("logs", f"rkt-{uuid}-more") == f"hers\nrkt-{uuid}"
    assert [app["name"] for app in json.loads(rkt.out("cat-manifest", uuid))["apps"]] == ["main", "more"]
    assert rkt("app", "stop", uuid, "--app=main").returncode == 254
    rkt.out("app", "stop", uuid, "--app=more")
    assert "exit_code=3" in rkt.out("app", "status", uuid, "--app=more").splitlines()
    rkt.out("app", "start", uuid, "--app=more")
    rkt.out("stop", uuid)
    ended = rkt.status(uuid)
    assert (ended["app-main"], ended["app-more"]) == ("3", "3")
    rkt.out("rm", uuid)
    assert rkt.lading.out("ps", "-aq") == ""


def test_an_app_that_joins_is_in_the_pods_metadata(rkt: Rkt) -> None:
    uuid = rkt.out(
        "run", "--net=none", "--detach", "--mds-register", IMAGE, "--name=main", "--exec=/bin/sh", "--", "-c", LIVE
    )  # fmt: skip
    ask = "for x in pod/uuid apps/more/image/id apps/main/image/id apps/none/image/id; do "
    ask += "wget -qO- $AC_METADATA_URL/acMetadata/v1/$x 2>&1; echo; done"
    rkt.out("app", "add", uuid, IMAGE, "--name=more", "--exec=/bin/sh", "--", "-c", ask)
    rkt.out("app", "start", uuid, "--app=more")
    deadline = time.monotonic() + 60
    while "state=exited" not in rkt.out("app", "status", uuid, "--app=more").splitlines():
        assert time.monotonic() < deadline
    own, more, main, none = rkt.lading.out("logs", f"rkt-{uuid}-more").splitlines()
    assert own == uuid and more == main and main.startswith("sha512-") and "404" in none


def test_many_passes_at_once_remove_each_pod_once_and_a_killed_one_is_finished(rkt: Rkt) -> None:
    uuids = {rkt.run("main=exit 0") for _ in range(4)}
    for uuid in uuids:
        rkt.status(uuid, "--wait")
    argv = rkt.lading.argv(["rkt", "gc", "--grace-period=0s"])
    passes = [
        subprocess.Popen(argv, env=rkt.lading.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    passes[0].kill()
    said = [one.communicate(timeout=60) for one in passes]
    assert [one.returncode for one in passes[1:]] == [0, 0], said
    rkt.out("gc", "--grace-period=0s")
    assert rkt.states() == {} and rkt.lading.out("pod", "ps", "-aq") == ""
    assert rkt.lading.out("check") == "Everything is as recorded."


def test_what_somebody_mounted_in_a_pods_files_is_neither_busy_nor_lost(rkt: Rkt, tmp_path) -> None:  # type: ignore[no-untyped-def]
    uuid = rkt.run("main=mkdir /mnt2")
    rkt.status(uuid, "--wait")
    [inside] = (rkt.lading.base / "root/pods").glob("*/main/upper/mnt2")
    (tmp_path / "precious").write_text("kept")
    subprocess.run(["mount", "--bind", str(tmp_path), str(inside)], check=True)
    assert rkt.out("gc", "--grace-period=0s") == f'Garbage collecting pod "{uuid}"'
    assert (tmp_path / "precious").read_text() == "kept"
    assert rkt.states() == {} and str(inside) not in open("/proc/self/mountinfo").read()


def test_a_pod_whose_keeper_was_killed_is_marked_once_and_one_that_ran_again_anew(rkt: Rkt) -> None:
    again = rkt.run("main=exit 0")
    rkt.status(again, "--wait")
    foreground = subprocess.Popen(
        rkt.lading.argv(["rkt", "run", "--net=none", IMAGE, "--exec=/bin/sleep", "--", "600"]),
        env=rkt.lading.env,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while "running" not in rkt.states().values():
        assert time.monotonic() < deadline
    [lost] = [uuid for uuid, state in rkt.states().items() if state == "running"]
    pid = int(rkt.status(lost, "--wait-ready")["pid"])
    foreground.kill()
    foreground.wait(60)
    os.kill(pid, signal.SIGKILL)
    assert rkt.status(lost, "--wait")["app-busybox"] == "255"
    assert rkt("gc").stderr.count("moving pod") == 2
    assert "moving pod" not in rkt("gc").stderr
    rkt.lading.out("pod", "start", f"rkt-{again}")
    rkt.status(again, "--wait")
    passed = rkt("gc").stderr
    assert f'moving pod "{again}"' in passed and f'moving pod "{lost}"' not in passed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_ends_who_entered_ends_what_is_in_there(rkt: Rkt, number: int) -> None:
    uuid = rkt.run(f"one={LIVE}")
    command = ["sh", "-c", f"trap 'echo got it; exit 7' {number}; echo up; while :; do sleep 0.05; done"]
    for words in (["rkt", "enter", uuid], ["exec", f"rkt-{uuid}/one"]):
        process = subprocess.Popen(
            rkt.lading.argv([*words, *command]),
            env=rkt.lading.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert (process.stdout.read(), process.wait(60)) == ("got it\n", 7)


def test_ps_calls_an_apps_image_by_its_name(rkt: Rkt) -> None:
    uuid = rkt.run("one=sleep 600")
    rkt.out("app", "add", uuid, IMAGE, "--name=more", "--exec=/bin/true")
    shown = rkt.lading.out("ps", "-a", "--format", "{image}").splitlines()
    assert shown == [f"{IMAGE}:1"] * 2
