"""Pods with users of their own (``hostUsers: false``) on the real kernel: whose ids are seen where, and what root cannot do."""

from __future__ import annotations

import io
import itertools
import os
import signal
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.errors import Exhausted, InvalidInput, Unsupported
from lading.formats.pod import BindMount, ContainerPort, HostDevice, Pod, TmpfsMount
from lading.node import ExecRequest, Node, Stdio, idranges
from lading.node.idranges import SIZE

pytestmark = pytest.mark.root
NOWHERE = Stdio(stdin=-1, stdout=-1, stderr=-1)


def _until(check: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (found := check()):
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)
    return found


def _manifest(name: str, *containers: dict[str, Any], **spec: Any) -> Pod:
    return Pod.decode(
        {
            "metadata": {"name": name},
            "spec": {
                "hostUsers": False,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "containers": list(containers),
                **spec,
            },
        }
    )


def _sh(name: str, script: str, *mounts: dict[str, object], **fields: object) -> dict[str, Any]:
    made = {"name": name, "image": "busybox", "command": ["sh", "-c", script], "volumeMounts": list(mounts)}
    return {**made, **fields}


def _said(node: Node, name: str) -> list[str]:
    return [line.text.decode() for line in node.logs(name)]


def _end(node: Node, pod: Pod) -> tuple[int, list[str]]:
    """Run a pod to its end: its exit code and what it wrote."""
    record = node.run_detached(pod)
    code = node.wait(record.name)
    _until(lambda: node.inspect(record.name).keeper_pid == 0)
    return code, _said(node, record.name)


def _inside(node: Node, name: str, *command: str, user: str = "") -> tuple[int, str]:
    session = node.exec(name, ExecRequest(command=list(command), user=user))
    said = b""
    while session.filenos():
        for _, data in session.read():
            said += data
        time.sleep(0.005)
    code = session.wait()
    session.close()
    return code, said.decode()


def _ids(pid: int) -> tuple[int, int]:
    """The user and group of a process, as the host calls them."""
    lines = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return int(lines["Uid"].split()[0]), int(lines["Gid"].split()[0])


def _upper(node: Node, name: str) -> Path:
    record = node.inspect(name)
    image = node.images.get(record.container.image_id)
    rootfs = node.shop.images.rootfs(image, node.shop.container_directory(record, record.container))
    return Path(rootfs.upper)


@pytest.fixture
def private(one: Callable[..., Pod]) -> Callable[..., Pod]:
    """A pod of one with users of its own."""

    def make(*args: str, **fields: Any) -> Pod:
        pod = one(*args, userns="auto", **fields)
        pod.spec.host_users = False
        return pod

    return make


@pytest.fixture
def long(node: Node, private: Callable[..., Pod]) -> Iterator[Callable[..., Any]]:
    def make(name: str, script: str = "", **fields: Any) -> Any:
        node.run_detached(private("sh", "-c", f"{script}\necho ready; sleep 600", name=name, **fields))
        _until(lambda: "ready" in _said(node, name))
        return node.inspect(name)

    yield make


# -- whose ids -------------------------------------------------------------------------------------------------------


def test_root_inside_is_nobody_outside_and_on_the_disk_is_what_the_container_sees(
    node: Node, long: Callable[..., Any]
) -> None:
    made = long("seen", "mkdir /d; touch /d/f; chown 42:43 /d; chown 7:8 /bin/busybox")
    assert made.users
    assert _ids(made.container.pid) == (made.users, made.users)
    rows = Path(f"/proc/{made.container.pid}/uid_map").read_text().split()
    assert rows == ["0", str(made.users), str(SIZE)]
    upper = _upper(node, "seen")
    assert [(upper / name).stat().st_uid for name in ("d", "d/f", "bin/busybox")] == [42, 0, 7]
    assert _inside(node, "seen", "stat", "-c", "%u:%g", "/d", "/d/f", "/etc/passwd") == (
        0,
        "42:43\n0:0\n0:0\n",
    )
    assert _inside(node, "seen", "id", "-u", user="1000")[1] == "1000\n"
    code, said = _inside(node, "seen", "sh", "-c", "echo to the stream > /dev/stdout", user="12")
    assert (code, said) == (0, "to the stream\n")


def test_two_pods_have_different_ranges_and_give_them_back(node: Node, long: Callable[..., Any]) -> None:
    first, second = long("one"), long("two")
    assert abs(first.users - second.users) >= SIZE
    assert {_ids(r.container.pid)[0] for r in (first, second)} == {first.users, second.users}
    node.remove("one", force=True)
    assert idranges.of(node.shop.records.database, first.id) == 0
    third = long("three")
    assert third.users == first.users, "the first that is free"


def test_a_pods_own_users_outlive_its_restart(node: Node, long: Callable[..., Any]) -> None:
    made = long("again", "touch /mine")
    node.stop("again", timeout=0)
    _until(lambda: node.inspect("again").keeper_pid == 0)
    assert node.inspect("again").users == made.users
    node.start("again")
    now = _until(
        lambda: node.inspect("again") if node.inspect("again").container.state == "running" else None
    )
    assert _ids(now.container.pid)[0] == made.users
    assert _inside(node, "again", "stat", "-c", "%u", "/mine")[1] == "0\n"


def test_a_container_that_restarts_keeps_its_network_and_its_users(
    node: Node, private: Callable[..., Pod]
) -> None:
    node.run_detached(private("sleep", "600", name="restarts", restart="on-failure", mode=""))
    before = node.inspect("restarts").container
    spaces = [os.readlink(f"/proc/{before.pid}/ns/{kind}") for kind in ("user", "net")]
    os.kill(before.pid, signal.SIGKILL)
    after = _until(
        lambda: (
            found
            if (found := node.inspect("restarts").container).pid not in (0, before.pid)
            and found.state == "running"
            else None
        )
    )
    assert [os.readlink(f"/proc/{after.pid}/ns/{kind}") for kind in ("user", "net")] == spaces


def test_a_keeper_that_slept_restarts_its_container_in_the_same_namespaces(
    node: Node, private: Callable[..., Pod]
) -> None:
    """Asleep it holds the network namespace alone, and that says whose it is."""
    keeper = node.run_detached(
        private("sleep", "600", name="sleeper", restart="on-failure", mode="")
    ).keeper_pid
    _until(lambda: b"lading.node.dormant" in Path(f"/proc/{keeper}/cmdline").read_bytes())
    before = node.inspect("sleeper").container
    spaces = [os.readlink(f"/proc/{before.pid}/ns/{kind}") for kind in ("user", "net")]
    os.kill(before.pid, signal.SIGKILL)
    after = _until(
        lambda: (
            found
            if (found := node.inspect("sleeper").container).pid not in (0, before.pid)
            and found.state == "running"
            else None
        )
    )
    assert [os.readlink(f"/proc/{after.pid}/ns/{kind}") for kind in ("user", "net")] == spaces


# -- everything of the pod is in it ----------------------------------------------------------------------------------


def test_every_container_of_a_pod_and_what_joins_it_later_has_the_pods_users(
    node: Node, one: Callable[..., Pod]
) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "m", "mountPath": "/m"}]
    mounts.append({"name": "m", "mountPath": "/part", "subPath": "below"})
    pod = _manifest(
        "whole",
        _sh("a", "hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; sleep 600", *mounts),
        _sh("b", "id -u; sleep 600", *mounts, securityContext={"runAsUser": 1000}),
        hostname="boxy",
        shareProcessNamespace=True,
        securityContext={
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "7"}],
            "fsGroup": 77,
        },
        initContainers=[
            _sh("first", "echo x > /v/f; echo x > /m/f; echo x > /part/g; chown 7:8 /v/f", *mounts),
            _sh("beside", "sleep 600", restartPolicy="Always"),
        ],
        volumes=[{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}],
    )
    made = node.run_detached(pod)
    _until(lambda: node.inspect("whole").state == "running" and _said(node, "whole/b"))
    record = node.inspect("whole")
    users = {c.name: _ids(c.pid)[0] - made.users for c in record.containers if c.pid}
    assert users == {"a": 0, "b": 1000, "beside": 0}
    spaces = {os.readlink(f"/proc/{c.pid}/ns/user") for c in record.containers if c.pid}
    assert len(spaces) == 1
    assert _said(node, "whole/a") == ["boxy", "7"]
    assert _inside(node, "whole/a", "stat", "-c", "%u:%g", "/v/f", "/m/f", "/part/g", "/dev/shm")[1] == (
        "7:8\n0:77\n0:77\n0:0\n"
    )
    assert (
        _inside(node, "whole/b", "sh", "-c", "touch /v/by-group && stat -c %u:%g /v/by-group")[1]
        == "1000:77\n"
    )
    volume = Path(node.shop.pod_directory(record.id), "volumes/v")
    assert [(volume / name).stat().st_uid for name in ("f", "by-group")] == [7, 1000]

    member = one("sh", "-c", "cat /proc/self/uid_map; sleep 600", name="member")
    member.spec.extras.pod, member.spec.extras.network_mode = "whole", ""
    node.run_detached(member)
    _until(lambda: _said(node, "member"))
    found = node.inspect("member")
    assert _said(node, "member")[0].split() == ["0", str(made.users), str(SIZE)]
    assert found.users == made.users
    assert os.readlink(f"/proc/{found.container.pid}/ns/user") in spaces
    node.remove("whole", force=True)
    assert idranges.of(node.shop.records.database, made.id) == 0


def test_volumes_of_every_kind_show_the_ids_that_they_have(node: Node, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    os.chmod(tmp_path, 0o755)
    (host / "of-root").write_text("")
    (host / "of-five").write_text("")
    os.chown(host / "of-five", 5, 6)
    node.volumes.create("kept")
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("host", "kept", "word", "sub")]
    mounts[3].update(subPath="inner")
    pod = _manifest(
        "volumes",
        _sh(
            "main",
            "stat -c %u:%g /host/of-root /host/of-five; touch /kept/new /sub/new; chown 9 /kept/new; cat /word/labels;"
            "stat -c %u /word/labels /sub/new; echo ended > /dev/termination-log",
            *mounts,
        ),
        volumes=[
            {"name": "host", "hostPath": {"path": str(host)}},
            {"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}},
            {"name": "sub", "hostPath": {"path": str(host)}},
            {
                "name": "word",
                "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.name"}}]},
            },
        ],
    )
    code, said = _end(node, pod)
    assert (code, said) == (0, ["0:0", "5:6", "volumes0", "0"]), said
    assert node.inspect("volumes").container.message == "ended\n"
    assert Path(node.volumes.source("kept").path, "new").stat().st_uid == 9
    assert (host / "inner" / "new").stat().st_uid == 0


def test_a_volume_whose_file_system_cannot_show_other_ids_is_named(
    node: Node, private: Callable[..., Pod]
) -> None:
    pod = _manifest(
        "no-idmap",
        _sh("main", "true", {"name": "kernels", "mountPath": "/k"}),
        volumes=[{"name": "kernels", "hostPath": {"path": "/proc"}}],
    )
    with pytest.raises(Unsupported, match=r"volume kernels \(/proc\)") as caught:
        node.run_detached(pod)
    assert caught.value.reason == "idmap"
    bound = private("true", mounts=[BindMount(source="/sys", target="/s")])
    with pytest.raises(Unsupported, match=r"volume /sys"):
        node.run(bound, NOWHERE)


def test_files_go_in_and_out_with_the_ids_that_the_container_knows(
    node: Node, long: Callable[..., Any]
) -> None:
    made = long("copied", "mkdir /w; touch /w/f; chown 42:43 /w", tmpfs=[TmpfsMount(path="/mem")])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("given")
        entry.uid, entry.gid, entry.size = 9, 10, 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    for place in ("/w", "/mem"):
        packed.seek(0)
        node.cp_in("copied", place, packed, archive=True)
    assert _inside(node, "copied", "stat", "-c", "%u:%g", "/w/given", "/mem/given")[1] == "9:10\n9:10\n"
    assert (_upper(node, "copied") / "w/given").stat().st_uid == 9
    probe = Path(node.shop.roots.data, "probe")
    probe.touch()
    assert probe.stat().st_uid == 0, "this thread is itself again"
    probe.unlink()
    out = io.BytesIO()
    node.cp_out("copied", "/w", out)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        owners = {entry.name: (entry.uid, entry.gid) for entry in archive}
    assert owners == {"w": (42, 43), "w/f": (0, 0), "w/given": (9, 10)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("beyond")
        entry.uid = SIZE  # the first user of the next pod
        archive.addfile(entry)
    packed.seek(0)
    with pytest.raises(InvalidInput, match="65536"):
        node.cp_in("copied", "/w", packed, archive=True)
    image = node.commit("copied", "copied-image")
    try:
        packed = io.BytesIO()
        node.export("copied", packed)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            assert archive.getmember("w").uid == 42
        assert {str(change) for change in node.changes("copied")}
        pod = _manifest("of-image", _sh("main", "stat -c %u:%g /w /w/f /w/given"), hostUsers=True)
        pod.spec.containers[0].image = "copied-image"
        assert _end(node, pod)[1] == ["42:43", "0:0", "9:10"]
    finally:
        node.remove("of-image", force=True)
        node.images.remove(image.id, force=True, in_use=())
    assert made.users


def test_probes_and_handlers_run_with_the_pods_users(node: Node) -> None:
    probe = {"exec": {"command": ["sh", "-c", "id -u > /tmp/probed; test -w /etc"]}, "periodSeconds": 1}
    web = {"httpGet": {"port": 80, "path": "/"}, "periodSeconds": 1}
    pod = _manifest(
        "probed",
        _sh(
            "main",
            "mkdir /www; echo x > /www/index.html; httpd -p 80 -h /www; sleep 600",
            startupProbe=probe,
            readinessProbe=web,
            lifecycle={
                "postStart": {"exec": {"command": ["sh", "-c", "cat /proc/self/uid_map > /tmp/hooked"]}}
            },
        ),
    )
    made = node.run_detached(pod)
    _until(lambda: node.inspect("probed").container.ready)
    said = _inside(node, "probed/main", "cat", "/tmp/probed", "/tmp/hooked")[1].split()
    assert said == ["0", "0", str(made.users), str(SIZE)]


def test_layers_that_an_old_kernel_takes_in_one_page_are_shown_so_too(
    node: Node, private: Callable[..., Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lading.kernel import overlay

    monkeypatch.setattr(overlay, "takes_layers", lambda release: False)
    pod = private("sh", "-c", "touch /new; chown 3 /new; stat -c %u /new /bin/busybox", name="by-page")
    assert _end(node, pod) == (0, ["3", "0"])
    assert (_upper(node, "by-page") / "new").stat().st_uid == 3


def test_many_at_once_have_a_range_each(node: Node, private: Callable[..., Pod]) -> None:
    import threading

    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            own = Node(node.shop.roots)
            own.create(private("true", name=f"many-{number}"))
            own.shop.close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failed
    firsts = sorted(record.users for record in node.list(all=True) if record.name.startswith("many-"))
    assert len(firsts) == 12 and all(b - a >= SIZE for a, b in itertools.pairwise(firsts))


def test_nothing_of_proc_is_hidden_where_that_is_asked_for(node: Node) -> None:
    script = "grep -c ' /proc/' /proc/mounts; echo 1 > /proc/sys/net/ipv4/conf/all/forwarding && echo written"
    rights = {"capabilities": {"add": ["NET_ADMIN"]}}
    whole = _manifest("whole-proc", _sh("main", script, securityContext={"procMount": "Unmasked", **rights}))
    assert _end(node, whole) == (0, ["0", "written"])
    masked = _end(node, _manifest("masked-proc", _sh("main", script, securityContext=rights)))[1]
    assert int(masked[0]) > 5 and "written" not in masked


# -- network, terminals, devices -------------------------------------------------------------------------------------


def test_a_published_port_leads_to_it_and_its_root_owns_the_network(
    node: Node, private: Callable[..., Pod]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = "mkdir /www; echo served > /www/index.html; httpd -p 80 -h /www; echo ready; sleep 600"
    pod = private("sh", "-c", script, name="served", mode="")
    pod.spec.containers[0].ports = [ContainerPort(container_port=80, host_port=port, host_ip="127.0.0.1")]
    node.run_detached(pod)
    _until(lambda: "ready" in _said(node, "served"))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        assert answer.read() == b"served\n"
    code, said = _inside(node, "served", "sh", "-c", "ping -c 1 -W 5 127.0.0.1 >/dev/null && cat /etc/hosts")
    assert code == 0 and "127.0.0.1" in said
    assert _inside(node, "served", "sh", "-c", "echo 192.0.2.9 added >> /etc/hosts")[0] == 0


def test_a_terminal_belongs_to_the_containers_user(node: Node, private: Callable[..., Pod]) -> None:
    pod = private("sh", "-c", "test -t 0 && stat -c %u $(tty) && echo said > /dev/tty", name="tty", user="33")
    pod.spec.containers[0].tty = True
    record, session = node.run_session(pod, rows=24, columns=80)
    said = b""
    while session.filenos():
        for _, data in session.read():
            said += data
        time.sleep(0.005)
    assert session.wait() == 0 and said.split() == [b"33", b"said"]
    assert record.users


def test_a_device_is_the_hosts_own_with_the_hosts_owner(node: Node, private: Callable[..., Pod]) -> None:
    devices = [HostDevice(path="/dev/null", container_path="/dev/void")]
    pod = private(
        "sh", "-c", "echo x > /dev/void && stat -c '%t:%T %u' /dev/void", name="dev", devices=devices
    )
    assert _end(node, pod) == (0, ["1:3 65534"])


@pytest.mark.parametrize("storage", ["overlay", "copy"])
def test_every_kind_of_storage_works(
    node: Node, private: Callable[..., Pod], monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    monkeypatch.setenv("LADING_STORAGE", storage)
    pod = private("sh", "-c", "touch /new; chown 3 /new; stat -c %u /new /bin/busybox", name=f"by-{storage}")
    assert _end(node, pod) == (0, ["3", "0"])
    assert (_upper(node, f"by-{storage}") / "new").stat().st_uid == 3


# -- escapes ---------------------------------------------------------------------------------------------------------


def test_root_of_a_pod_touches_nothing_that_the_hosts_root_owns(
    node: Node, private: Callable[..., Pod], tmp_path: Path
) -> None:
    """With everything that a container may be given: all capabilities, no filter, nothing hidden, a directory of the host."""
    os.chmod(tmp_path, 0o755)
    shared = tmp_path / "shared"
    shared.mkdir()
    outside = tmp_path / "secret"
    outside.write_text("secret")
    outside.chmod(0o600)
    os.link(outside, shared / "linked")
    script = """
    mkdir /mnt; mount -t tmpfs none /mnt && echo "mounts in its own"
    mount -o remount,rw /proc/sys 2>/dev/null; echo 1 > /proc/sys/kernel/panic 2>/dev/null && echo "host sysctl"
    mknod /dev/disk b 254 0 2>/dev/null && echo "made a node"
    mknod /tmp/disk b 254 0 2>/dev/null && cat /tmp/disk >/dev/null && echo "read the disk"
    dd if=/dev/kmsg count=1 >/dev/null 2>&1 && echo "read the log"
    echo x > /sys/kernel/uevent_helper 2>/dev/null && echo "helper"
    kill -0 1 && echo "its own first process"
    for pid in /proc/[0-9]*; do [ -r $pid/root/etc/lading-host ] && echo "host root"; done
    chroot /proc/1/root true; unshare -n true && echo "further namespaces"
    ls /shared; insmod /nothing.ko 2>&1 | grep -q 'not permitted' && echo "no modules"
    """
    pod = private("sh", "-c", script, name="escape", seccomp="unconfined", unmask=["ALL"])
    from lading.formats.pod import CapabilityChange, SecurityContext

    pod.spec.containers[0].security_context = SecurityContext(capabilities=CapabilityChange(add=["ALL"]))
    pod.spec.containers[0].extras.mounts = [BindMount(source=str(shared), target="/shared")]
    before = Path("/proc/sys/kernel/panic").read_text()
    code, said = _end(node, pod)
    for forbidden in ("host sysctl", "made a node", "read the disk", "read the log", "helper", "host root"):
        assert forbidden not in said, said
    assert {"its own first process", "linked", "mounts in its own"} <= set(said)
    assert Path("/proc/sys/kernel/panic").read_text() == before
    assert code in (0, 1)


def test_a_process_of_a_pod_is_nobody_for_the_hosts_files_and_for_other_pods(
    node: Node, long: Callable[..., Any], tmp_path: Path
) -> None:
    """What is left when everything else has failed: a process of the pod in the host's own file system."""
    first, second = long("thief", "touch /f; chmod 600 /f"), long("victim", "echo mine > /f; chmod 600 /f")
    os.chmod(tmp_path, 0o755)
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    victim = f"/proc/{second.container.pid}/root/f"
    assert Path(victim).read_text() == "mine\n" and os.stat(victim).st_uid == second.users

    def as_the_thief() -> None:
        os.setgroups([])
        os.setresgid(first.users, first.users, first.users)
        os.setresuid(first.users, first.users, first.users)

    for command in (
        ["cat", str(secret)],
        ["chmod", "777", str(secret)],
        ["cat", victim],
        ["ls", node.shop.roots.pods],
        ["kill", "-0", str(second.container.pid)],
        ["kill", "-0", str(os.getpid())],
    ):
        done = subprocess.run(command, capture_output=True, preexec_fn=as_the_thief)
        assert done.returncode != 0, command
    done = subprocess.run(["kill", "-0", str(first.container.pid)], preexec_fn=as_the_thief)
    assert done.returncode == 0, "its own processes are its own"


# -- what is refused, and what a kill leaves -------------------------------------------------------------------------


def test_a_user_that_the_pod_does_not_have_is_refused(node: Node, private: Callable[..., Pod]) -> None:
    with pytest.raises(InvalidInput, match="user 70000"):
        node.run(private("true", user="70000"), NOWHERE)


def test_a_pod_without_a_range_is_not_made(
    node: Node, private: Callable[..., Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idranges, "DEFAULT", (idranges.DEFAULT[0], 100))
    with pytest.raises(Exhausted) as caught:
        node.run(private("true", name="none-left"), NOWHERE)
    assert caught.value.reason == "id-ranges"
    assert "none-left" not in {record.name for record in node.list(all=True)}


def test_a_killed_keeper_is_replaced_and_the_pod_keeps_its_users(
    node: Node, long: Callable[..., Any]
) -> None:
    made = long("kept-on", restart="always", mode="")
    space = os.readlink(f"/proc/{made.container.pid}/ns/user")
    os.kill(made.keeper_pid, signal.SIGKILL)
    _until(lambda: not Path(f"/proc/{made.keeper_pid}").exists() or _zombie(made.keeper_pid))
    assert all(finding.fixed for finding in node.check(repair=True))
    os.kill(node.inspect("kept-on").container.pid, signal.SIGKILL)
    now = _until(
        lambda: (
            found
            if (found := node.inspect("kept-on").container).pid not in (0, made.container.pid)
            and found.state == "running"
            else None
        )
    )
    assert os.readlink(f"/proc/{now.pid}/ns/user") == space
    assert _ids(now.pid)[0] == made.users
    node.remove("kept-on", force=True)
    assert node.check(repair=False) == []


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_range_that_no_pod_has_is_found_and_given_back(node: Node) -> None:
    database = node.shop.records.database
    first = idranges.take(database, "f" * 64)
    found = [finding for finding in node.check(repair=True) if "range of users" in finding.what]
    assert [finding.where for finding in found] == [f"users {first} to {first + SIZE - 1}"]
    assert found[0].fixed and idranges.of(database, "f" * 64) == 0
