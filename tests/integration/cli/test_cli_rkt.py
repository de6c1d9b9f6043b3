"""Pods of apps by Rocket's command line: run, prepare, run-prepared; images of both formats, networks, a metadata service."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

MANIFEST = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "x.example/box",
    "labels": [{"name": "version", "value": "1.0"}],
    "app": {
        "exec": ["/bin/sh", "-c", 'echo "$AC_APP_NAME $A"'],
        "user": "0",
        "group": "0",
        "environment": [{"name": "A", "value": "image"}],
        "mountPoints": [{"name": "data", "path": "/data"}],
        "ports": [{"name": "www", "protocol": "tcp", "port": 8080}],
    },
    "dependencies": [{"imageName": "x.example/busybox"}],
}
DATA = ("--volume", "data,kind=empty")


@pytest.fixture(scope="module")
def box(lading, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """The archive of ``x.example/box``, which is imported."""
    here = tmp_path_factory.mktemp("box")
    base, out = str(here / "base.aci"), str(here / "box.aci")
    lading.out("aci", "build", "--image", "busybox", "--name", "x.example/busybox:1", "-o", base)
    (here / "box/rootfs").mkdir(parents=True)
    (here / "box/manifest").write_text(json.dumps(MANIFEST))
    lading.out("aci", "build", str(here / "box"), "-o", out)
    lading.out("aci", "import", base, out)
    return here / "box.aci"


@pytest.fixture
def rkt(lading, box) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:  # type: ignore[no-untyped-def]
    """``lading rkt``; its pods are gone afterwards."""
    yield lambda *words, **more: lading("rkt", *words, **more)
    left = lading.out("pod", "ps", "-a", "-q").split()
    if left:
        lading("pod", "rm", "-f", *left, check=True)


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_image_is_run_by_its_name_its_id_its_file_and_from_a_registry(rkt, lading, box) -> None:  # type: ignore[no-untyped-def]
    image_id = lading.out("aci", "import", str(box))
    for image in ("x.example/box", "x.example/box:1.0", image_id, image_id[:20]):
        done = rkt("run", *DATA, image, check=True)
        assert (done.stdout, done.stderr) == ("box image\n", ""), image
    done = rkt("--insecure-options=image", "run", *DATA, str(box), check=True)
    assert done.stdout == "box image\n" and "signatures are not looked at" in done.stderr
    done = rkt("run", "docker://busybox", "--exec", "/bin/echo", "--", "hi", check=True)
    assert (done.stdout, done.stderr) == ("hi\n", "")


def test_an_image_of_the_other_format_has_an_id_by_which_it_is_found(rkt) -> None:  # type: ignore[no-untyped-def]
    words = ("run", "--mds-register", "docker://busybox", "--exec", "/bin/sh")
    done = rkt(
        *words, "--", "-c", "wget -qO- $AC_METADATA_URL/acMetadata/v1/apps/busybox/image/id", check=True
    )
    assert done.stdout.startswith("sha512-") and len(done.stdout) == 7 + 128
    assert rkt("run", done.stdout[:30], "--exec", "/bin/echo", "--", "again", check=True).stdout == "again\n"


def test_apps_of_a_pod_share_it_and_the_first_failure_is_its_status(rkt) -> None:  # type: ignore[no-untyped-def]
    server = "echo one >/tmp/x; hostname; echo hello | nc -l -p 7000; exit 5"
    client = "until nc -w 60 127.0.0.1 7000 </dev/null; do sleep 0.05; done; ls /tmp; sleep 600"
    box = ("--exec", "/bin/sh", "--", "-c")
    done = rkt(
        "run", *DATA, "--hostname=pod", "x.example/box", "--name=server", *box, server, "---",
        "x.example/box", "--name=client", *box, client,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert sorted(done.stdout.splitlines()) == ["[client] hello", "[server] pod"]


def test_what_is_said_of_an_app_goes_over_what_its_image_says(rkt, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "env").write_text("# of all\nB=file\nC=file\n")
    show = (
        'echo "$(id -u):$(id -g) $(id -G) $(pwd) $A $B $C $D"; grep CapBnd /proc/self/status; '
        "touch /x 2>/dev/null || echo read-only; cat /proc/self/oom_score_adj"
    )
    done = rkt(
        "run", *DATA, "--set-env-file", str(tmp_path / "env"), "--set-env=C=flag", "--net=none", "x.example/box",
        "--exec=/bin/sh", "--user=7", "--group=8", "--supplementary-gids=9,10", "--working-dir=/tmp",
        "--environment=D=own", "--caps-retain=CAP_KILL,CAP_CHOWN", "--readonly-rootfs", "--oom-score-adj=500",
        "--", "-c", show, check=True,
    )  # fmt: skip
    words, bounding, read_only, score = done.stdout.splitlines()
    assert words == "7:8 8 9 10 /tmp image file flag own"
    assert int(bounding.split()[1], 16) == 1 << 5 | 1 << 0
    assert (read_only, score) == ("read-only", "500")


def test_volumes_and_mounts(rkt, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "f").write_text("of the host\n")
    host = f"host,kind=host,source={tmp_path},readOnly=true"
    show = "cat /own/f; touch /own/g 2>/dev/null || echo read-only; stat -c %a:%u /data"
    done = rkt(
        "run", "--volume", host, "--volume", "data,kind=empty,mode=0711,uid=5", "x.example/box",
        "--mount", "volume=host,target=/own", "--exec=/bin/sh", "--", "-c", show, check=True,
    )  # fmt: skip
    assert done.stdout.split("\n") == ["of the host", "read-only", "711:5", ""]
    done = rkt("run", "--volume", "spare,kind=empty", "x.example/box", check=True)
    assert done.stdout == "box image\n"
    assert "no app mounts the volume spare" in done.stderr and "'data' got an empty volume" in done.stderr
    done = rkt("run", *DATA, "x.example/box", "--mount", "volume=nowhere,target=/x")
    assert done.returncode == 254 and "'nowhere', which is no volume" in done.stderr


def test_what_the_specification_says_of_an_image_and_its_executor(rkt, lading, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Numbers that are names, a working directory that must be there, /etc/hosts of the image, a console."""
    root = tmp_path / "own/rootfs"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("1000:x:4242:4343::/:/bin/sh\n")
    (root / "etc/group").write_text("2000:x:777:\n")
    (root / "etc/hosts").write_text("127.0.0.1 mine\n")
    script = "id -u; id -g; cat /etc/hosts; [ -c /dev/console ] && echo lost > /dev/console && echo console"
    app = {"exec": ["/bin/sh", "-c", script], "user": "1000", "group": "2000", "workingDirectory": "/etc"}
    manifest = {**MANIFEST, "name": "x.example/own", "app": app}
    (tmp_path / "own/manifest").write_text(json.dumps(manifest))
    lading.out("aci", "build", str(tmp_path / "own"), "-o", str(tmp_path / "own.aci"))
    lading.out("aci", "import", str(tmp_path / "own.aci"))
    done = rkt("run", "--net=none", "x.example/own")
    assert (done.returncode, done.stdout.split("\n")) == (0, ["4242", "777", "127.0.0.1 mine", "console", ""])
    done = rkt("run", "--net=none", "--hosts-entry=192.0.2.1=other", "x.example/own")
    assert "192.0.2.1\tother" in done.stdout and "mine" not in done.stdout
    done = rkt("run", "--net=none", "x.example/own", "--working-dir=/none")
    assert done.returncode == 126 and "working directory /none: No such file or directory" in done.stderr
    done = rkt(
        "run", "--net=none", "--volume", f"d,kind=host,source={tmp_path}", "x.example/own",
        "--mount", "volume=d,target=/data", "--working-dir=/data/own", "--exec=/bin/pwd",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "/data/own\n")


def test_a_volume_comes_from_what_is_there_and_is_what_it_is_called(rkt, lading, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    mount = ("x.example/box", "--mount", "volume=d,target=/etc", "--exec=/bin/ls", "--", "/etc")
    for source, said in (
        ("none", "none does not exist"),
        ("link", f"leads through the symbolic link {tmp_path}/link"),
    ):
        done = rkt("run", "--net=none", "--volume", f"d,kind=host,source={tmp_path}/{source}", *DATA, *mount)
        assert (done.returncode, done.stdout) == (254, "") and said in done.stderr
        assert not (tmp_path / "none").exists()
    done = rkt("run", "--net=none", "--volume", f"d,kind=host,source={tmp_path}/real", *DATA, *mount)
    assert (
        done.returncode == 0
        and "note: app 'box': volume 'd' hides what the image has in /etc\n" in done.stderr
    )
    # A file makes way, in this pod alone; one on the host, behind a link of the image's into a volume, does not.
    show = ("--exec=/bin/sh", "--", "-c", "[ -d /etc/motd ] && echo directory")
    root = tmp_path / "own/rootfs"
    (root / "etc").mkdir(parents=True)
    (root / "etc/motd").write_text("welcome\n")
    (root / "way").symlink_to("/data")
    manifest = {**MANIFEST, "name": "x.example/own", "app": {**MANIFEST["app"], "mountPoints": []}}  # type: ignore[dict-item]
    (tmp_path / "own/manifest").write_text(json.dumps(manifest))
    lading.out("aci", "build", str(tmp_path / "own"), "-o", str(tmp_path / "own.aci"))
    lading.out("aci", "import", str(tmp_path / "own.aci"))
    done = rkt("run", "--net=none", *DATA, "x.example/own", "--mount", "volume=data,target=/etc/motd", *show)
    assert (done.returncode, done.stdout) == (0, "directory\n")
    assert "volume 'data' takes the place of the file that the image has at /etc/motd" in done.stderr
    done = rkt("run", "--net=none", "x.example/own", "--exec=/bin/cat", "--", "/etc/motd")
    assert (done.returncode, done.stdout) == (0, "welcome\n")
    (tmp_path / "real/precious").write_text("kept\n")
    mounts = ("--mount", "volume=d,target=/data", "--mount", "volume=data,target=/way/precious")
    volume = ("--volume", f"d,kind=host,source={tmp_path}/real")
    done = rkt("run", "--net=none", *volume, *DATA, "x.example/own", *mounts, "--exec=/bin/true")
    assert done.returncode == 254 and "mount on /way/precious" in done.stderr
    assert (tmp_path / "real/precious").read_text() == "kept\n"


@pytest.mark.parametrize("name", ["hosts", "volumes", "pause", "empty", "hostname", "keeper-error"])
def test_an_app_may_be_called_as_a_file_of_its_pod(rkt, name: str) -> None:  # type: ignore[no-untyped-def]
    script = "echo there > /data/file && cat /data/file"
    done = rkt("run", *DATA, "x.example/box", f"--name={name}", "--exec=/bin/sh", "--", "-c", script)
    assert (done.returncode, done.stdout) == (0, "there\n")


def test_a_port_leads_to_the_app_on_localhost_too(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ("--exec=/bin/sh", "--", "-c", "while :; do nc -l -p 8080 -e /bin/echo here; done")
    uuid = rkt("run", *DATA, "-d", f"--port=www:{port}", "x.example/box", *serve, check=True).stdout.strip()

    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 60) as client:
                return client.makefile().read() == "here\n"
        except OSError:
            return False

    _until(answers)
    assert lading.out("pod", "ps", "--format", "{name}").split() == [f"rkt-{uuid}"]


def test_networks(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    lading.out("network", "create", "--subnet", "10.213.7.0/24", "rktown")
    show = ("docker://busybox", "--exec=/bin/ip", "--", "-o", "-4", "addr")

    def addresses(*net: str) -> list[str]:
        out = rkt("run", *net, *show, check=True).stdout
        return [line.split()[3].partition("/")[0] for line in out.splitlines() if " lo " not in line]

    try:
        assert addresses("--net=none") == []
        assert addresses("--net=rktown:IP=10.213.7.9") == ["10.213.7.9"]
        several = addresses("--net=default,rktown:IP=10.213.7.10")
        assert len(several) == 2 and "10.213.7.10" in several
        assert len(addresses("--net")) == 1
        done = rkt("run", "--net=host", "docker://busybox", "--exec=/bin/readlink", "--", "/proc/self/ns/net")
        assert done.stdout.strip() == os.readlink("/proc/self/ns/net")
        missing = rkt("run", "--net=nowhere", *show)
        assert missing.returncode == 254 and "nowhere" in missing.stderr
    finally:
        uuids = lading.out("pod", "ps", "-a", "-q").split()
        lading("pod", "rm", "-f", *uuids)
        lading.out("network", "rm", "rktown")


def test_names_and_name_servers(rkt) -> None:  # type: ignore[no-untyped-def]
    done = rkt(
        "run", "--dns=192.0.2.53", "--dns-search=a.example", "--dns-opt=ndots:2", "--hosts-entry=192.0.2.7=db",
        "--hostname=web", "docker://busybox", "--exec=/bin/sh", "--",
        "-c", "cat /etc/resolv.conf; grep -w db /etc/hosts; hostname", check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "search a.example",
        "nameserver 192.0.2.53",
        "options ndots:2",
        "192.0.2.7\tdb",
        "web",
    ]


def test_prepare_and_run_prepared(rkt, lading, tmp_path) -> None:  # type: ignore[no-untyped-def]
    saved = tmp_path / "uuid"
    uuid = rkt("prepare", *DATA, "--uuid-file-save", str(saved), "x.example/box", "--exec=/bin/sh", "--",
               "-c", "hostname; exit 4", check=True).stdout.strip()  # fmt: skip
    assert saved.read_text() == uuid + "\n" and len(uuid) == 36
    assert lading.out("pod", "ps", "-a", "--format", "{name} {phase}") == f"rkt-{uuid} Pending"
    done = rkt("run-prepared", "--hostname=late", uuid[:8])
    assert (done.returncode, done.stdout) == (4, "late\n")
    again = rkt("run-prepared", uuid)
    assert again.returncode == 254 and "is exited, not prepared" in again.stderr
    assert rkt("run-prepared", "ffffffff").returncode == 254


def test_a_prepared_pod_gets_its_metadata_service_when_it_runs(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    ask = "wget -qO- $AC_METADATA_URL/acMetadata/v1/pod/uuid"
    uuid = rkt(
        "prepare", *DATA, "x.example/box", "--exec=/bin/sh", "--", "-c", ask, check=True
    ).stdout.strip()
    assert rkt("run-prepared", "--mds-register", "--net=none", uuid, check=True).stdout == uuid


def test_one_pod_verifies_what_another_one_signed(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    base = "U=$AC_METADATA_URL/acMetadata/v1; "
    sign = base + "wget -qO- $U/pod/uuid; echo; wget -qO- --post-data content=words $U/pod/hmac/sign"
    done = rkt(
        "run", "--mds-register", *DATA, "x.example/box", "--exec=/bin/sh", "--", "-c", sign, check=True
    )
    uuid, signature = done.stdout.splitlines()
    quoted = signature.replace("+", "%2B").replace("=", "%3D").replace("/", "%2F")
    verify = base + (
        f"wget -qO- --post-data 'content=words&uuid={uuid}&signature={quoted}' $U/pod/hmac/verify && echo true; "
        f"wget -qO- --post-data 'content=other&uuid={uuid}&signature={quoted}' $U/pod/hmac/verify || echo false"
    )
    done = rkt(
        "run", "--mds-register", *DATA, "x.example/box", "--exec=/bin/sh", "--", "-c", verify, check=True
    )
    assert done.stdout.split() == ["true", "false"]


def test_a_pod_manifest_is_run_and_its_images_are_found_by_name(rkt, tmp_path) -> None:  # type: ignore[no-untyped-def]
    manifest = {
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [
            {
                "name": "only",
                "image": {"name": "x.example/box", "labels": [{"name": "version", "value": "1.0"}]},
                "app": {"exec": ["/bin/echo", "by manifest"], "user": "0", "group": "0"},
            }
        ],
    }
    path = tmp_path / "pod.json"
    path.write_text(json.dumps(manifest))
    assert rkt("run", "--pod-manifest", str(path), check=True).stdout == "by manifest\n"
    both = rkt("run", "--pod-manifest", str(path), "x.example/box")
    assert both.returncode == 254 and "an image does not go with --pod-manifest" in both.stderr
    path.write_text(json.dumps({**manifest, "volumess": []}))
    odd = rkt("run", "--pod-manifest", str(path))
    assert odd.returncode == 254 and "volumess" in odd.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_pod_in_the_foreground(rkt, lading, number: int) -> None:  # type: ignore[no-untyped-def]
    words = ["rkt", "run", "docker://busybox", "--name=a", "--exec=/bin/sh", "--", "-c", "echo up; exec sleep 600",
             "---", "docker://busybox", "--name=b", "--exec=/bin/sleep", "--", "600"]  # fmt: skip
    process = subprocess.Popen(
        lading.argv(words), env=lading.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "[a] up\n"
    process.send_signal(number)
    assert process.wait(60) != 0
    process.stdout.close()
    assert lading.out("pod", "ps", "-a", "--format", "{status}") == "Stopped"


def test_an_app_that_is_alone_does_not_sit_its_stop_signal_out(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    uuid = rkt("run", "-d", "docker://busybox", "--exec=/bin/sleep", "--", "600", check=True).stdout.strip()
    # Were the signal lost, the grace period of half a minute would follow, and this would be more patient than that.
    lading("pod", "stop", f"rkt-{uuid}", check=True, timeout=25)
    uuid = rkt("run", "-d", "docker://busybox", "--exec=/bin/sh", "--",
               "-c", "trap 'exit 6' TERM; while :; do sleep 0.05; done", check=True).stdout.strip()  # fmt: skip
    lading("pod", "stop", f"rkt-{uuid}", check=True)
    assert lading.out("pod", "wait", f"rkt-{uuid}") in ("6", "143")  # it may have had no time for its trap


def test_an_app_that_failed_starts_again_when_that_is_asked_for(rkt, tmp_path) -> None:  # type: ignore[no-untyped-def]
    volume = f"data,kind=host,source={tmp_path}"
    twice = "echo run; test -e /data/once && exit 0; touch /data/once; exit 3"
    words = ("x.example/box", "--exec=/bin/sh", "--", "-c", twice)
    done = rkt("run", "--restart=on-failure", "--volume", volume, *words)
    assert (done.returncode, done.stdout) == (0, "run\nrun\n")


def test_an_app_that_cannot_start_is_said_although_others_ran(rkt) -> None:  # type: ignore[no-untyped-def]
    first = ("docker://busybox", "--exec=/no/such")
    other = ("docker://busybox", "--name=other", "--exec=/bin/sleep", "--", "600")
    for words in ((*first, "---", *other), (*other, "---", *first)):
        done = rkt("run", *words)
        assert (done.returncode, done.stderr.count("\n")) == (127, 1) and "/no/such" in done.stderr


def test_a_command_that_cannot_be_executed_has_a_shells_status(rkt) -> None:  # type: ignore[no-untyped-def]
    for command, status in (("/no/such", 127), ("/etc/passwd", 126)):
        done = rkt("run", "docker://busybox", "--exec", command)
        assert (done.returncode, done.stdout) == (status, "") and command in done.stderr


def test_interactive_is_the_callers_input_or_terminal(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    done = rkt("run", "--interactive", "docker://busybox", "--exec=/bin/cat", input="said\n", check=True)
    assert done.stdout == "said\n"
    words = ["rkt", "run", "--interactive", "docker://busybox", "--exec=/bin/sh", "--",
             "-c", "test -t 0 && test -t 1 && echo terminal; read x; echo got $x; exit 3"]  # fmt: skip
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(lading.argv(words)[0], lading.argv(words), lading.env)
    said = b""
    try:
        while b"terminal" not in said:
            said += os.read(terminal, 1024)
        os.write(terminal, b"line\r")
        while b"got line" not in said:
            said += os.read(terminal, 1024)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    finally:
        os.close(terminal)
    two = rkt("run", "--interactive", "docker://busybox", "docker://busybox", "--name=b")
    assert two.returncode == 254 and "--interactive is for a pod of one app" in two.stderr


def test_an_app_of_an_archive_has_users_of_its_own_too(rkt) -> None:  # type: ignore[no-untyped-def]
    said = rkt("run", "--private-users", "x.example/box", "--exec=/bin/sh", "--", "-c",
               "cat /proc/self/uid_map; echo lost > /dev/console; ls -ln /etc/passwd", check=True).stdout.split()  # fmt: skip
    assert said[0] == "0" and int(said[1]) >= 65536 and said[2] == "65536"


def test_a_pod_has_users_of_its_own_and_so_have_its_handlers_and_what_is_added(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    show = ("docker://busybox", "--exec=/bin/sh", "--", "-c", "cat /proc/self/uid_map; id -u")
    words = (*show, "---", *show[:1], "--name=two", *show[1:])
    said = rkt("run", "--private-users", "--mds-register", *words, check=True).stdout.splitlines()
    of_each = [
        [word for line in said if line.startswith(f"[{app}]") for word in line.split()[1:]]
        for app in ("busybox", "two")
    ]
    first = of_each[0][1]
    assert of_each == [["0", first, "65536", "0"]] * 2 and int(first) >= 65536
    uuid = rkt(
        "prepare", "--private-users", "docker://busybox", "--exec=/bin/sleep", "--", "600", check=True
    ).stdout.strip()
    named = rkt("run-prepared", "--net=host", uuid)
    assert named.returncode == 254 and "hostNetwork" in named.stderr
    rkt("run-prepared", "--net=none", "-d", uuid, check=True)
    inside = rkt("enter", uuid, "/bin/cat", "/proc/self/uid_map", check=True).stdout.split()
    rkt(
        "app",
        "add",
        uuid,
        "docker://busybox",
        "--name=more",
        "--exec=/bin/cat",
        "--",
        "/proc/self/uid_map",
        check=True,
    )
    rkt("app", "start", uuid, "--app=more", check=True)
    _until(lambda: lading.out("logs", f"rkt-{uuid}-more"))
    assert lading.out("logs", f"rkt-{uuid}-more").split() == inside
    assert inside[0] == "0" and inside[1] != first and inside[2] == "65536"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x.example/box", "--private-users", "--net=host"], "--net=host does not go with --private-users"),
        (["x.example/box", "--stage1-path=/x"], "--stage1-path"),
        (["--net=host", "--port=www:1", "x.example/box"], "--port does not go with --net=host"),
        (["--pull-policy=never", "no.example/where"], "is not to be fetched"),
        ([], "a pod needs an image"),
        (["x.example/box", "--caps-retain=CAP_WISH"], "CAP_WISH"),
        (["--bogus", "x.example/box"], "--bogus"),
        (["x.example/box", "--dir=/x"], "--dir: it stands before the first image"),
        (
            ["--private-users", "--ipc=parent", "x.example/box"],
            "--ipc=parent does not go with --private-users",
        ),
        (["no.example/where:1"], "no key is trusted"),
        (["./no-such.aci"], "there is no such file"),
        (["x.example/box", "--uuid-file-save=/no/such/file"], "--uuid-file-save"),
    ],
)
def test_what_is_refused_is_named(rkt, words: list[str], told: str) -> None:  # type: ignore[no-untyped-def]
    done = rkt("run", *words)
    assert done.returncode == 254 and told in done.stderr
    assert done.stderr.count("\n") <= 3 and done.stdout == ""


def test_a_pod_without_a_way_out_reaches_its_host(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    show = "ip route; ip -4 -o addr show eth0"
    words = ("run", *DATA, "x.example/box", "--exec=/bin/sh", "--net=default-restricted", "--", "-c", show)
    route, address = rkt(*words, check=True).stdout.splitlines()
    assert "default" not in route and route.split()[0].rpartition(".")[0] in address
    every = rkt(
        "run", *DATA, "--net=all", "x.example/box", "--exec=/bin/ip", "--", "-4", "-o", "addr", check=True
    )
    assert [line.split()[1] for line in every.stdout.splitlines()] == ["lo", "eth0", "eth1"]


def test_streams_that_nobody_wants_lead_nowhere(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    said = (
        "--exec=/bin/sh",
        "--",
        "-c",
        "echo out; echo err >&2; exec 3>&1; stat -L -c %t:%T /proc/self/fd/3 >&2",
    )
    done = rkt("run", *DATA, "x.example/box", "--stdout=null", *said, check=True)
    assert (done.stdout, done.stderr) == ("", "err\n1:3\n")
    log = lading("pod", "logs", f"rkt-{rkt('list', '--full', '--no-legend').stdout.split()[0]}", check=True)
    assert (log.stdout, log.stderr) == ("", "err\n1:3\n")
    refused = rkt("run", *DATA, "x.example/box", "--stdout=null", "--stdin=tty")
    assert refused.returncode == 254 and "--stdout=null" in refused.stderr


def test_a_pod_is_prepared_with_copies_of_its_images(rkt, lading) -> None:  # type: ignore[no-untyped-def]
    uuid = rkt("prepare", *DATA, "--no-overlay", "x.example/box", check=True).stdout.strip()
    assert list((lading.base / "root/pods").glob("*/box/copy"))
    assert rkt("run-prepared", uuid, check=True).stdout == "box image\n"
    rkt("run", *DATA, "x.example/box", check=True)
    assert len(list((lading.base / "root/pods").glob("*/box/copy"))) == 1


def test_an_image_may_bring_its_own_resolv_conf(rkt, lading, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "own/rootfs/etc").mkdir(parents=True)
    (tmp_path / "own/rootfs/etc/resolv.conf").write_text("nameserver 192.0.2.9\n")
    manifest = {**MANIFEST, "name": "x.example/own"}
    (tmp_path / "own/manifest").write_text(json.dumps(manifest))
    lading.out("aci", "build", str(tmp_path / "own"), "-o", str(tmp_path / "own.aci"))
    lading.out("aci", "import", str(tmp_path / "own.aci"))
    words = ("x.example/own", "--exec=/bin/cat", "--", "/etc/resolv.conf")
    assert rkt("run", *DATA, "--dns=none", *words, check=True).stdout == "nameserver 192.0.2.9\n"
    assert "192.0.2.9" not in rkt("run", *DATA, *words, check=True).stdout
