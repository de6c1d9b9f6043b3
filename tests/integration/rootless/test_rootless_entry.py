"""An ordinary user runs containers: with a range of ids, with a single one, and is told what is not possible."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import lading
from support.signing import Signer

pytestmark = [pytest.mark.root, pytest.mark.peer("newuidmap", "useradd")]

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def as_user(name: str, home: Path, environment: dict[str, str], *arguments: str, python: str = "") -> Done:
    """``lading ARGUMENTS`` as the user ``name``, or ``python``'s code, with the system's own interpreter."""
    command = ["/usr/bin/setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups"]
    return subprocess.run(
        [*command, "/usr/bin/python3", *(["-c", python] if python else ["-m", "lading"]), *arguments],
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(home / "src"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def reap() -> None:
    """Orphans become children of the test run, which has to bury them."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


@pytest.fixture(scope="module")
def user() -> Iterator[tuple[str, Path]]:
    """A user of the machine made for this module, and a home that he can reach with a copy of the package."""
    name = f"ldt{os.getpid() % 100000}"
    home = Path(tempfile.mkdtemp(prefix="ldhome", dir="/tmp"))
    subprocess.run(["useradd", "-M", "-d", str(home), "-s", "/bin/sh", name], check=True)
    try:
        source = Path(lading.__file__).parent
        ours = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, home / "src/lading", ignore=ours)
        # What Lading needs beside itself: the system's interpreter has the library only where the machine has its package.
        shutil.copytree(Path(yaml.__file__).parent, home / "src/yaml", ignore=ours)
        uid = pwd.getpwnam(name).pw_uid
        subprocess.run(["chown", "-R", f"{uid}:{uid}", str(home)], check=True)
        yield name, home
        deadline = time.monotonic() + 30
        while subprocess.run(["pgrep", "-u", name], capture_output=True).returncode == 0:
            reap()
            assert time.monotonic() < deadline, "the namespaces' holder did not end by itself"
            time.sleep(0.5)
    finally:
        subprocess.run(["userdel", "-f", name], check=True, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["range", "single"])
def mode(request: pytest.FixtureRequest) -> str:
    """``range``: with newuidmap; ``single``: it is out of the user's PATH, which leaves one id."""
    return str(request.param)


@pytest.fixture
def lading_as(user: tuple[str, Path], mode: str) -> Run:
    """Run ``lading`` as the user, with roots of the mode's own."""
    name, home = user
    roots = home / mode
    environment = {
        "LADING_ROOT": f"{roots}/data",
        "LADING_RUN": f"{roots}/run",
        "LADING_CONFIG": f"{roots}/config",
    }
    if mode == "single":
        narrow = home / "bin"
        narrow.mkdir(exist_ok=True)
        for program in ("busybox", "sh", "dpkg-query", "dpkg", "gpgv"):
            found = shutil.which(program, path="/usr/bin:/bin")
            if found and not (narrow / program).exists():
                (narrow / program).symlink_to(found)
        environment["PATH"] = str(narrow)

    def run(*arguments: str, python: str = "", **more: str) -> Done:
        return as_user(name, home, {**environment, **more}, *arguments, python=python)

    if not run("images", "-q").stdout:
        assert run("bootstrap", "busybox").returncode == 0
    return run


def test_a_container_runs_as_root_of_the_users_namespace(lading_as: Run, mode: str) -> None:
    done = lading_as(
        "run", "--rm", "--network", "none", "busybox", "sh", "-c", "id -u; wc -l </proc/self/uid_map"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["0", "2" if mode == "range" else "1"]


def test_the_holder_goes_by_its_own_name(user: tuple[str, Path], lading_as: Run) -> None:
    """And not by the arguments of the command that happened to be the first."""
    assert lading_as("ps", "--filter", "name=secret").returncode == 0
    found = subprocess.run(["pgrep", "-a", "-u", user[0]], capture_output=True, text=True).stdout
    assert "lading-holder" in found and "secret" not in found


def test_other_owners_exist_only_with_a_range(lading_as: Run, mode: str) -> None:
    script = "touch /x && chown 5:5 /x && stat -c %u /x"
    done = lading_as("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
    if mode == "range":
        assert (done.returncode, done.stdout) == (0, "5\n")
    else:
        assert done.returncode == 1
        assert "Invalid argument" in done.stderr


def test_later_commands_reach_a_detached_container(lading_as: Run) -> None:
    script = "echo up; sleep 60"
    started = lading_as("run", "-d", "--network", "none", "--name", "web", "busybox", "sh", "-c", script)
    assert started.returncode == 0, started.stderr
    try:
        assert lading_as("ps", "-q").stdout.strip() == started.stdout.strip()[:12]
        assert lading_as("exec", "web", "echo", "in").stdout == "in\n"
        assert lading_as("logs", "web").stdout == "up\n"
        assert lading_as("stop", "-t", "0", "web").returncode == 0
    finally:
        assert lading_as("rm", "-f", "web").returncode == 0
    assert lading_as("ps", "-aq").stdout == ""
    assert "as recorded" in lading_as("check").stdout


POD = """
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"restartPolicy": "Never",
 "volumes": [{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}],
 "initContainers": [{"name": "i", "image": "busybox", "command": ["touch", "/v/f", "/m/f"],
  "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a"}, {"name": "m", "mountPath": "/m"}]}],
 "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "ls /v/a /m; cat /proc/self/oom_score_adj"],
  "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "m", "mountPath": "/m"}]}]}}
"""


def test_an_application_of_several_services_has_its_volumes_and_files(
    lading_as: Run, user: tuple[str, Path]
) -> None:
    file = user[1] / "compose.yaml"
    file.write_text(
        """
        name: shop
        x-quick: &quick {image: busybox, network_mode: none, stop_grace_period: 0s}
        services:
          db:
            <<: *quick
            command: sh -c 'cat /run/secrets/word > /data/row; exec sleep 1000'
            volumes: ["rows:/data"]
            secrets: [{source: word, mode: 0400}]
            healthcheck: {test: "test -s /data/row", interval: 100ms}
          web:
            <<: *quick
            command: sleep 1000
            volumes: ["rows:/data:ro"]
            depends_on: {db: {condition: service_healthy}}
        volumes: {rows: }
        secrets: {word: {environment: WORD}}
        """
    )
    compose = ("compose", "--file", str(file))
    try:
        started = lading_as(*compose, "up", "--wait", WORD="secret")
        assert started.returncode == 0, started.stderr
        assert lading_as(*compose, "exec", "-T", "web", "cat", "/data/row", WORD="secret").stdout == "secret"
        assert lading_as("compose", "--project-name", "shop", "ps", "--services").stdout.split() == [
            "db",
            "web",
        ]
    finally:
        ended = lading_as(*compose, "down", "--volumes", WORD="secret")
    assert ended.returncode == 0, ended.stderr
    assert lading_as("ps", "-aq").stdout == lading_as("volume", "ls", "-q").stdout == ""


def test_a_pod_has_its_volumes_and_its_class_of_service(lading_as: Run, user: tuple[str, Path]) -> None:
    path = user[1] / "pod.json"
    path.write_text(POD)
    done = lading_as("pod", "run", "--rm", "--network", "none", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["/m:", "f", "/v/a:", "f", "1000"]


@pytest.mark.parametrize(
    ("flag", "shown"),
    [
        ("--network", "/sys/class/net"),
        ("--pid", "/proc"),
        ("--ipc", "/dev/shm"),
        ("--uts", "/proc/sys/kernel/hostname"),
    ],
)
def test_what_belongs_to_the_hosts_namespaces_is_the_hosts_own(lading_as: Run, flag: str, shown: str) -> None:
    """Its file systems may be mounted by root alone: the container gets the mounts that are there."""
    kind = {"--network": "net"}.get(flag, flag[2:])
    words = [flag, "host", *([] if flag == "--network" else ["--network", "none"])]
    script = f"ls -d {shown}; readlink /proc/self/ns/{kind}"
    done = lading_as("run", "--rm", *words, "busybox", "sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [shown, os.readlink(f"/proc/self/ns/{kind}")]
    mounts = lading_as("run", "--rm", *words, "busybox", "cat", "/proc/self/mounts").stdout.splitlines()
    options = [line.split()[3].split(",")[0] for line in mounts if line.split()[1].startswith("/sys")]
    assert options and set(options) == {"ro"}


def test_a_commit_that_cannot_freeze_says_how_it_can_do_without(lading_as: Run) -> None:
    lading_as("run", "-d", "--network", "none", "--name", "busy", "busybox", "sleep", "60")
    try:
        done = lading_as("commit", "busy", "made:2")
        assert done.returncode == 1 and done.stderr.endswith("--pause=false\n")
        assert lading_as("commit", "--pause=false", "busy", "made:2").returncode == 0
    finally:
        assert lading_as("rm", "-f", "busy").returncode == 0


def test_a_limit_that_cannot_be_set_is_said(lading_as: Run) -> None:
    done = lading_as("run", "--rm", "--network", "none", "--memory", "64m", "busybox", "true")
    assert done.returncode == 125
    assert "control group" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_pod_with_users_of_its_own_is_refused_by_name(lading_as: Run) -> None:
    done = lading_as("run", "--rm", "--userns", "auto", "--network", "none", "busybox", "true")
    assert done.returncode == 125 and "an ordinary user has no ranges of users to give" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_root_that_somebody_else_prepared_is_refused(user: tuple[str, Path]) -> None:
    name, home = user
    trap = home / "trap"
    trap.mkdir()
    trap.chmod(0o777)
    done = as_user(name, home, {"LADING_RUN": str(trap)}, "ps")
    assert done.returncode != 0
    assert "does not belong to this user alone" in done.stderr


def test_a_container_on_a_private_copy_works_without_privilege_too(lading_as: Run, mode: str) -> None:
    script = "id -u; rm /etc/group; echo x > /new"
    run = ("run", "--network", "none")
    done = lading_as(*run, "--name", "copied", "busybox", "sh", "-c", script, LADING_STORAGE="copy")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    assert lading_as("diff", "copied").stdout.split("\n")[:-1] == ["C /etc", "D /etc/group", "A /new"]
    assert lading_as("commit", "copied", "made:1").returncode == 0
    assert lading_as("rm", "copied").returncode == 0
    shown = lading_as(*run, "--rm", "made:1", "ls", "/etc/group", "/new")
    assert shown.stdout == "/new\n"


MANIFEST = """
{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "x.example/app", "pathWhitelist": ["/bin", "/bin/sh", "/bin/cat",
 "/usr", "/usr/bin", "/usr/bin/sh", "/usr/bin/cat", "/usr/bin/busybox", "/bin/busybox", "/etc/mine"],
 "app": {"exec": ["sh", "-c", "cat /etc/mine; ls /etc/passwd || echo gone"], "user": "0", "group": "0"},
 "dependencies": [{"imageName": "x.example/busybox"}]}
"""


def test_an_image_of_app_container_is_built_kept_and_run(
    lading_as: Run, user: tuple[str, Path], mode: str
) -> None:
    place = user[1] / f"aci-{mode}"
    (place / "rootfs/etc").mkdir(parents=True)
    (place / "rootfs/etc/mine").write_text("mine\n")
    (place / "manifest").write_text(MANIFEST)
    subprocess.run(["chown", "-R", user[0], str(place)], check=True)
    base, app = str(place / "base.aci"), str(place / "app.aci")
    for words in (
        ["build", "--image", "busybox", "--name", "x.example/busybox", "-o", base],
        ["build", str(place), "-o", app],
        ["import", base, app],
        ["extract", base, str(place / "root")],
    ):
        done = lading_as("aci", *words)
        assert done.returncode == 0, done.stderr
    done = lading_as("run", "--rm", "--network", "none", "x.example/app")
    assert done.stdout.split() == ["mine", "gone"], done.stderr
    assert "as recorded" in lading_as("check").stdout


@pytest.mark.peer("gpg", "gpgv")
def test_keys_are_trusted_and_a_signed_image_is_fetched(
    user: tuple[str, Path], lading_as: Run, mode: str, tmp_path: Path
) -> None:
    place = user[1] / f"signed-{mode}"
    (place / "app/rootfs").mkdir(parents=True)
    manifest = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/signed"}
    (place / "app/manifest").write_text(json.dumps(manifest))
    subprocess.run(["chown", "-R", user[0], str(place)], check=True)
    assert lading_as("aci", "build", str(place / "app"), "-o", str(place / "app.aci")).returncode == 0
    signer = Signer(tmp_path / "s")
    try:
        key = signer.key("Ann <ann@example.com>")
        (place / "key").write_bytes(signer.public(key))
        (place / "app.aci.asc").write_bytes(signer.sign((place / "app.aci").read_bytes(), key))
    finally:
        signer.close()
    refused = lading_as("aci", "fetch", str(place / "app.aci"))
    assert refused.returncode == 1 and "no key is trusted" in refused.stderr
    trust = lading_as("trust", "--prefix", "example.com", "--skip-fingerprint-review", str(place / "key"))
    assert trust.returncode == 0, trust.stderr
    assert key in lading_as("trust", "list").stdout
    done = lading_as("aci", "fetch", str(place / "app.aci"))
    assert done.returncode == 0 and key in done.stderr, done.stderr


#: Runs a pod to its end as a face of Lading does that fills what no manifest may say.
FACE = """
import json, sys, time
from lading.roots import Roots
from lading.formats.pod import Pod
from lading.kernel import Kernel
from lading.node import Node, rootless
own = Roots.default()
rootless.enter(own, Kernel())
node = Node(own)
pod = Pod.decode(json.loads(sys.argv[1]))
node.run_detached(pod)
code = node.wait("extras")
while node.inspect("extras").keeper_pid:
    time.sleep(0.02)
for line in node.logs("extras"):
    print(line.text.decode())
node.remove("extras")
print(code, [finding.what for finding in node.check()])
"""
SERVER = """
import socket
with socket.socket(fileno=3) as listener:
    while True:
        listener.accept()[0].sendall(b"served\\n")
"""


def test_handlers_system_calls_and_companions_need_no_root(lading_as: Run) -> None:
    own = {
        "name": "c",
        "image": "busybox",
        "command": ["sh", "-c", "nc ${AT%:*} ${AT#*:}; mkdir /d 2>&1; cat /made; exit 3"],
        "x-lading": {
            "preStart": ["sh", "-c", "echo before > /made"],
            "postStop": ["echo", "after"],
            "systemCalls": {"mode": "remove", "names": ["mkdir", "mkdirat"], "errno": "EROFS"},
        },
    }
    clerk = {"name": "clerk", "command": ["/usr/bin/python3", "-c", SERVER], "env": {"AT": "{address}"}}
    spec = {
        "restartPolicy": "Never",
        "containers": [own],
        "x-lading": {"companions": [clerk], "networkMode": "none"},
    }
    done = lading_as(json.dumps({"metadata": {"name": "extras"}, "spec": spec}), python=FACE)
    assert (done.returncode, done.stderr) == (0, "")
    served, refused, *rest = done.stdout.splitlines()
    assert served == "served" and refused.endswith("Read-only file system")
    assert rest == ["before", "after", "3 []"]


def test_an_ordinary_users_service_manager_is_told_that_a_container_runs(
    lading_as: Run, user: tuple[str, Path]
) -> None:
    place = user[1] / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.settimeout(60)
        heard.bind(str(place))
        try:
            place.chmod(0o777)
            done = lading_as("run", "--rm", "--network", "none", "busybox", "true", NOTIFY_SOCKET=str(place))
            assert (done.returncode, done.stderr) == (0, "")
            assert heard.recv(4096) == b"READY=1"
        finally:
            place.unlink()


def test_an_ordinary_users_images_have_rockets_verbs(lading_as: Run, user: tuple[str, Path]) -> None:
    done = lading_as("rkt", "image", "list", "--fields=name", "--no-legend")
    assert (done.returncode, done.stderr) == (0, "") and "busybox:latest" in done.stdout.splitlines()
    file = str(user[1] / "busybox.aci")
    assert lading_as("rkt", "image", "export", "--overwrite", "docker://busybox", file).returncode == 0
    fetched = lading_as("rkt", "fetch", "--insecure-options=image", file)
    assert fetched.returncode == 0, fetched.stderr
    for words in (("verify",), ("rm",)):
        done = lading_as("rkt", "image", *words, fetched.stdout.strip())
        assert done.returncode == 0 and "successfully" in done.stdout, done.stderr


def test_an_ordinary_user_is_told_of_private_users_by_the_flag(lading_as: Run) -> None:
    done = lading_as("rkt", "run", "--private-users", "docker://busybox")
    assert done.returncode == 254 and "--private-users: an ordinary user" in done.stderr


def test_apps_of_an_ordinary_user_share_their_processes(lading_as: Run) -> None:
    show = "ps -o pid,args; cat /proc/self/oom_score_adj"
    done = lading_as(
        "rkt", "run", "--net=none", "--mds-register", "docker://busybox", "--exec=/bin/sleep", "--", "1", "---",
        "docker://busybox", "--name=b", "--exec=/bin/sh", "--",
        "-c", f"wget -qO- $AC_METADATA_URL/acMetadata/v1/pod/uuid; echo; {show}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("[b] ") for line in lines), lines
    uuid, _, first, *others, score = [line.removeprefix("[b] ") for line in lines]
    assert first.split() == ["1", "lading-pause", f"rkt-{uuid}"]
    assert any("sleep" in line for line in others) and score == "1000"
    made = lading_as("rkt", "run", "-d", "--net=none", "docker://busybox", "--exec=/bin/sleep", "--", "600", "---",
                     "docker://busybox", "--name=b", "--exec=/bin/sleep", "--", "600")  # fmt: skip
    assert made.returncode == 0, made.stderr
    name = f"rkt-{made.stdout.strip()}"
    try:
        done = lading_as("pod", "exec", "-c", "b", name, "cat", "/proc/self/oom_score_adj")
        assert (done.returncode, done.stdout) == (0, "1000\n"), done.stderr
    finally:
        assert lading_as("pod", "rm", "-f", name).returncode == 0


def test_an_ordinary_user_looks_after_pods_of_apps(lading_as: Run, user: tuple[str, Path]) -> None:
    def rkt(*words: str) -> str:
        done = lading_as("rkt", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    live = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
    uuid = rkt(
        "run", "-d", "--net=none", "docker://busybox", "--exec=/bin/sh", "--", "-c", f"touch /new; {live}"
    )
    file = str(user[1] / "left.aci")
    try:
        assert "state=running" in rkt("status", "--wait-ready", uuid)
        assert rkt("enter", uuid, "id", "-u") == "0"
        rkt("app", "add", uuid, "docker://busybox", "--name=more", "--exec=/bin/sh", "--", "-c", live)
        rkt("app", "start", uuid, "--app=more")
        assert rkt("enter", "--app=more", uuid, "hostname") == f"rkt-{uuid}"
        rkt("app", "rm", uuid, "--app=more")
        assert rkt("stop", uuid) == f'"{uuid}"'
        assert "app-busybox=3" in rkt("status", uuid)
        rkt("export", "--overwrite", uuid, file)
        assert lading_as("aci", "validate", file).returncode == 0
        assert f'Garbage collecting pod "{uuid}"' in rkt("gc", "--grace-period=0s")
        assert rkt("list", "--no-legend") == ""
    finally:
        lading_as("pod", "rm", "-f", f"rkt-{uuid}")


def test_a_build_copies_and_unpacks_with_owners(lading_as: Run, user: tuple[str, Path], mode: str) -> None:
    import tarfile

    name, home = user
    place = home / f"context-{mode}"
    place.mkdir()
    (place / "f").write_text("x")
    info = tarfile.TarInfo("packed")
    info.uid, info.gid = 7, 8
    with tarfile.open(place / "a.tar", "w") as archive:
        archive.addfile(info)
    (place / "Dockerfile").write_text(
        "FROM busybox AS one\nADD a.tar /a/\nCOPY --chown=5:6 f /owned\n"
        "FROM busybox\nCOPY --from=one /owned /a/packed /to/\nRUN --network=none stat -c '%n=%u:%g' /to/*\n"
    )
    subprocess.run(["chown", "-R", f"{name}:{name}", str(place)], check=True)
    assert lading_as("bootstrap", "-q", "busybox").returncode == 0
    done = lading_as("build", "--progress=plain", "-o", f"type=tar,dest={place}/out.tar", str(place))
    assert done.returncode == 0, done.stderr
    with tarfile.open(place / "out.tar") as made:
        owners = {
            entry.name.strip("/"): (entry.uid, entry.gid) for entry in made if entry.name.startswith("to/")
        }
    if mode == "range":
        assert "/to/owned=5:6" in done.stderr
    assert owners["to/owned"] == (5, 6)
    assert owners["to/packed"] == (7, 8)
