"""Containers on the real kernel: what one sees, what it may, how it ends."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.errors import Conflict, InvalidInput, KernelError, Unsupported
from lading.formats.oci_runtime import (
    Capabilities,
    Device,
    Hook,
    Hooks,
    IDMapping,
    IOPriority,
    Mount,
    Namespace,
    Personality,
    Rlimit,
    Scheduler,
    Seccomp,
    Syscall,
    TimeOffset,
    User,
)
from lading.formats.rootfs import Rootfs
from lading.kernel import Kernel
from lading.runtime import RunRequest

pytestmark = pytest.mark.root
IDS = [IDMapping(container_id=0, host_id=100000, size=65536)]


def test_the_exit_status_and_output_come_through(box: Any) -> None:
    assert box.sh("echo hello; exit 3") == (3, "hello\n")
    assert box.sh("kill -9 $$; exit 1", new="mount uts") == (137, "")


def test_every_namespace_is_its_own(box: Any) -> None:
    kinds = "pid mount uts ipc network cgroup time"
    _, out = box.sh("for n in pid mnt uts ipc net cgroup time; do readlink /proc/self/ns/$n; done", new=kinds)
    ours = {os.readlink(f"/proc/self/ns/{n}") for n in "pid mnt uts ipc net cgroup time".split()}
    assert len(out.split()) == 7
    assert not ours & set(out.split())


def test_the_host_hears_of_no_mount(box: Any) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    container = box.start("sleep", "60")
    assert Path("/proc/self/mountinfo").read_text() == before
    container.delete(force=True)


def test_layers_are_stacked_and_written_to_the_upper_one(box: Any, spec: Any, tmp_path: Path) -> None:
    layers = []
    for n in range(80):  # far beyond what fits a page by absolute path, and not by names
        layer = tmp_path / f"{n:03}{'x' * 40}"
        layer.mkdir()
        (layer / f"from-{n}").touch()
        layers.append(str(layer))
    (tmp_path / "up").mkdir()
    (tmp_path / "work").mkdir()
    rootfs = Rootfs(
        lower=[*layers, f"{box.bundle}/rootfs"], upper=str(tmp_path / "up"), work=str(tmp_path / "work")
    )
    assert sum(map(len, layers)) > 4096
    status, out = box.run(spec("sh", "-c", "ls / | grep -c from-; echo x > /made"), rootfs=rootfs)
    assert (status, out) == (0, "80\n")
    assert (tmp_path / "up/made").read_text() == "x\n"


def test_a_single_layer_without_upper_is_read_only(box: Any, spec: Any) -> None:
    rootfs = Rootfs(lower=[f"{box.bundle}/rootfs"])
    config = spec("sh", "-c", "touch /x || echo refused")
    assert "refused" in box.run(config, rootfs=rootfs)[1]


def test_default_devices_work_and_lead_nowhere_else(box: Any) -> None:
    script = "echo x >/dev/null && head -c 3 /dev/zero | wc -c && ls /dev && readlink /dev/fd && readlink /dev/ptmx"
    status, out = box.sh(script)
    assert status == 0
    assert (
        out.split()
        == "3 fd full null ptmx pts random stderr stdin stdout tty urandom zero /proc/self/fd pts/ptmx".split()
    )


def test_extra_devices_get_number_mode_and_owner(box: Any) -> None:
    device = Device(type="c", path="/dev/dir/thing", major=1, minor=3, file_mode=0o640, uid=5, gid=6)
    _, out = box.sh("stat -c '%t:%T %a %u:%g' /dev/dir/thing", devices=[device])
    assert out == "1:3 640 5:6\n"


def test_masked_and_read_only_paths_protect(box: Any) -> None:
    script = "wc -c </proc/version; ls /proc/bus; echo 1 >/proc/sys/kernel/sysrq || echo ro; test -c /proc/version && echo null"
    _, out = box.sh(
        script,
        masked_paths=["/proc/version", "/proc/bus", "/nonexistent"],
        readonly_paths=["/proc/sys", "/none"],
    )
    assert "0\n" in out and "ro\n" in out and out.endswith("null\n")


def test_a_user_namespace_maps_ids_and_still_has_devices(box: Any) -> None:
    script = (
        "id -u; cat /proc/self/uid_map; echo x >/dev/null && echo wrote; touch /dev/x && stat -c %u /dev/x"
    )
    status, out = box.sh(script, new="user pid mount uts ipc network", uid_mappings=IDS, gid_mappings=IDS)
    assert (status, out.split()) == (0, ["0", "0", "100000", "65536", "wrote", "0"])


def test_clocks_are_shifted_by_the_offsets(box: Any) -> None:
    _, out = box.sh(
        "cat /proc/uptime", new="pid mount time", time_offsets={"boottime": TimeOffset(secs=10_000_000)}
    )
    assert float(out.split()[0]) > 10_000_000


def test_namespaces_are_joined_by_path_even_through_a_descriptor(box: Any, spec: Any) -> None:
    first = box.start("sleep", "60")
    fd = os.open(f"/proc/{first.pid}/ns/net", os.O_RDONLY)
    config = spec(
        "sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/pid; echo $$", new="mount uts"
    )
    config.linux.namespaces += [
        Namespace(type="network", path=f"/proc/self/fd/{fd}"),
        Namespace(type="pid", path=f"/proc/{first.pid}/ns/pid"),
    ]
    _, out = box.run(config)
    os.close(fd)
    net, pid, number = out.split()
    assert net == os.readlink(f"/proc/{first.pid}/ns/net")
    assert pid == os.readlink(f"/proc/{first.pid}/ns/pid")
    assert int(number) > 1


def test_a_user_and_network_namespace_are_joined_together(box: Any, spec: Any) -> None:
    first = box.start("sleep", "60", new="user pid mount network", uid_mappings=IDS, gid_mappings=IDS)
    config = spec("sh", "-c", "id -u; readlink /proc/self/ns/user", new="mount pid")
    for kind, name in (("user", "user"), ("network", "net")):
        config.linux.namespaces.append(Namespace(type=kind, path=f"/proc/{first.pid}/ns/{name}"))
    _, out = box.run(config)
    assert out.split() == ["0", os.readlink(f"/proc/{first.pid}/ns/user")]


def test_bind_mounts_of_files_and_trees_with_recursive_read_only(box: Any, tmp_path: Path) -> None:
    (tmp_path / "src/sub").mkdir(parents=True)
    (tmp_path / "src/f").write_text("hi\n")
    mounts = [
        Mount(destination="/mnt/tree", source=str(tmp_path / "src"), options=["rbind", "rro", "rprivate"]),
        Mount(destination="mnt/file", source=str(tmp_path / "src/f"), options=["bind"]),
    ]
    _, out = box.sh("cat /mnt/tree/f; touch /mnt/tree/sub/x || echo ro; echo new >/mnt/file; cat /mnt/tree/f", mounts=[
        Mount(destination="/mnt", type="tmpfs", source="tmpfs"), *mounts
    ])  # fmt: skip
    assert out.split("\n")[0] == "hi" and "ro\n" in out and out.endswith("new\n")


def test_an_idmapped_mount_shows_shifted_owners(box: Any, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    to = [IDMapping(container_id=0, host_id=5000, size=100)]
    mount = Mount(
        destination="/tmp", source=str(tmp_path), options=["bind", "idmap"], uid_mappings=to, gid_mappings=to
    )
    assert box.sh("stat -c %u:%g /tmp/f", mounts=[mount])[1] == "5000:5000\n"


def test_tmpcopyup_starts_with_what_the_image_has(box: Any) -> None:
    mount = Mount(destination="/bin", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    assert box.sh("/bin/touch /bin/new && readlink /bin/sh", mounts=[mount]) == (0, "busybox\n")


def test_a_file_is_not_mounted_on_a_directory(box: Any, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    mount = Mount(destination="/tmp", source=str(tmp_path / "f"), options=["bind"])
    with pytest.raises(InvalidInput, match="is no directory, and the container has one there"):
        box.sh("true", mounts=[mount])
    assert box.runtime.list() == []


def test_wrong_mounts_name_the_destination_and_the_kernels_reason(box: Any, reason: Any) -> None:
    for options in (["size=nonsense"], ["bogus"]):
        mount = Mount(destination="/tmp/x", type="tmpfs", source="t", options=options)
        with pytest.raises(KernelError, match="/tmp/x"):
            box.sh("true", mounts=[mount])
    assert box.runtime.list() == []


def test_sysctls_of_own_namespaces_are_set_and_others_refused(box: Any) -> None:
    sysctl = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4242"}
    assert (
        box.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax", sysctl=sysctl)[1] == "1\n4242\n"
    )
    with pytest.raises(InvalidInput, match=r"kernel\.panic"):
        box.sh("true", sysctl={"kernel.panic": "1"})


def test_the_process_is_what_the_configuration_says(box: Any) -> None:
    status, out = box.sh(
        "id -u; id -g; pwd; echo $HOME; cat /proc/self/oom_score_adj; grep -E 'Cap|Groups|NoNew|Umask' /proc/self/status;"
        "grep 'open files' /proc/self/limits; cat /proc/self/personality; set -- $(cat /proc/$$/stat); echo ${19}",
        personality=Personality(domain="LINUX32"),
        process_user=User(uid=1000, gid=1001, umask=0o27, additional_gids=[5, 6]),
        process_cwd="/tmp/made/for/it",
        process_no_new_privileges=True,
        process_oom_score_adj=321,
        process_rlimits=[Rlimit(type="RLIMIT_NOFILE", soft=100, hard=500)],
        process_scheduler=Scheduler(policy="SCHED_BATCH", nice=7),
        process_io_priority=IOPriority(class_="IOPRIO_CLASS_BE", priority=6),
        process_capabilities=Capabilities(
            bounding=["CAP_NET_RAW", "CAP_KILL", "CAP_OF_THE_FUTURE"],
            permitted=["CAP_NET_RAW"],
            inheritable=["CAP_NET_RAW"],
            ambient=["CAP_NET_RAW"],
        ),
    )
    lines = out.split("\n")
    assert status == 0
    assert lines[:5] == ["1000", "1001", "/tmp/made/for/it", "/", "321"]
    fields = dict(line.split(":\t", 1) for line in lines[5:] if ":\t" in line)
    assert int(fields["Umask"], 8) == 0o27
    assert fields["Groups"].split() == ["5", "6"]
    assert {k: int(v, 16) for k, v in fields.items() if k.startswith("Cap")} == {
        "CapInh": 1 << 13, "CapPrm": 1 << 13, "CapEff": 1 << 13, "CapBnd": 1 << 13 | 1 << 5, "CapAmb": 1 << 13
    }  # fmt: skip
    assert fields["NoNewPrivs"] == "1"
    assert any(line.split()[3:5] == ["100", "500"] for line in lines if line.startswith("Max open"))
    assert lines[-3:] == ["00000008", "7", ""]


def test_home_comes_from_the_images_passwd(own_box: Any) -> None:
    Path(own_box.bundle, "rootfs/etc/passwd").write_text("x:x:7:7::/home/seven:/bin/sh\n")
    assert own_box.sh("echo $HOME", process_user=User(uid=7))[1] == "/home/seven\n"


@contextlib.contextmanager
def _without_power_over_resources() -> Iterator[None]:
    """Without CAP_SYS_RESOURCE, which root has on most machines and lacks on some."""
    kernel = Kernel()
    effective, permitted, inheritable = kernel.capget()
    kernel.capset(effective & ~(1 << 24), permitted, inheritable)
    try:
        yield
    finally:
        kernel.capset(effective, permitted, inheritable)


def test_a_hard_limit_beyond_our_power_is_a_clear_error(box: Any, reason: Any) -> None:
    limit = Rlimit(type="RLIMIT_NPROC", soft=1, hard=1 << 40)
    with _without_power_over_resources(), pytest.raises(KernelError, match="CAP_SYS_RESOURCE"):
        box.sh("true", process_rlimits=[limit])


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_seccomp_rules_bite_and_the_filter_is_cached(box: Any, no_new_privileges: bool) -> None:
    profile = Seccomp(
        default_action="SCMP_ACT_ALLOW",
        architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        syscalls=[Syscall(names=["mkdir", "mkdirat"], action="SCMP_ACT_ERRNO", errno_ret=28)],
    )
    _, out = box.sh("mkdir /tmp/x 2>&1", seccomp=profile, process_no_new_privileges=no_new_privileges)
    assert "No space left" in out
    assert len(list(Path(box.runtime.filter_cache).iterdir())) == 1


def test_hooks_run_in_order_with_the_state_and_in_their_namespaces(
    box: Any, spec: Any, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.touch()
    script = tmp_path / "hook"
    script.write_text(
        f'#!/bin/sh\necho "$1 $(readlink /proc/self/ns/mnt) $(grep -o \\"status\\":\\"[a-z]*)" >> {log}\n'
    )
    script.chmod(0o755)
    inside = Path(box.bundle, "rootfs/bin/hook")
    inside.write_text(
        '#!/bin/sh\necho "$1 $(readlink /proc/self/ns/mnt) $(grep -o creat[a-z]*)" >> /tmp/log\n'
    )
    inside.chmod(0o755)

    def hook(kind: str, path: Path | str = script) -> list[Hook]:
        return [Hook(path=str(path), args=["hook", kind], env=["PATH=/bin:/usr/bin"])]

    config = spec("true", mounts=[Mount(destination="/tmp/log", source=str(log), options=["bind"])])
    config.hooks = Hooks(
        prestart=hook("prestart"),
        create_runtime=hook("createRuntime"),
        create_container=hook("createContainer"),
        start_container=hook("startContainer", "/bin/hook"),
        poststart=hook("poststart"),
        poststop=hook("poststop"),
    )
    box.run(config)
    inside.unlink()
    ours = os.readlink("/proc/self/ns/mnt")
    seen = [line.split() for line in log.read_text().splitlines()]
    assert [
        line[0] for line in seen
    ] == "prestart createRuntime createContainer startContainer poststart poststop".split()
    assert [line[1] == ours for line in seen] == [True, True, False, False, True, True]
    assert [line[2].split('"')[-1] for line in seen] == ["creating"] * 4 + ["running", "stopped"]


def test_a_failing_or_slow_hook_undoes_the_container(box: Any, spec: Any, reason: Any) -> None:
    config = spec("true")
    config.hooks = Hooks(create_runtime=[Hook(path="/bin/false")])
    assert reason(lambda: box.run(config)) == "hook"
    config.hooks = Hooks(create_container=[Hook(path="/bin/sleep", args=["sleep", "600"], timeout=1)])
    assert reason(lambda: box.run(config)) == "timeout"
    config.hooks = Hooks(prestart=[Hook(path="/no/such/hook")])
    assert reason(lambda: box.run(config)) == "hook"
    assert box.runtime.list() == []


def test_commands_that_cannot_run_are_told_apart_and_leave_nothing(box: Any, spec: Any, reason: Any) -> None:
    assert reason(lambda: box.run(spec("no-such"))) == "command-not-found"
    assert reason(lambda: box.run(spec("/no/such"))) == "command-not-found"
    assert reason(lambda: box.run(spec("/etc"))) == "not-executable"
    assert box.runtime.list() == []
    assert os.listdir(box.runtime.root) in ([], ["@seccomp"])


def test_create_waits_start_releases_and_each_state_is_told(box: Any, spec: Any, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    made = box.runtime.create(RunRequest(box.id(), spec("sleep", "60"), box.bundle, pid_file=str(pid_file)))
    assert int(pid_file.read_text()) == made.pid
    found = box.runtime.get(made.id)
    assert found.state().status == "created"
    found.start()
    assert found.state().status == "running"
    with pytest.raises(Conflict):
        found.start()
    with pytest.raises(Conflict):
        found.delete()
    found.pause()
    assert found.state().status == "paused"
    with pytest.raises(Conflict):
        found.pause()
    found.resume()
    assert found.pids() == [made.pid]
    found.kill(15)
    found.kill(9)
    assert made.wait() == 137
    assert found.state().status == "stopped"
    with pytest.raises(Conflict):
        found.kill(15)
    found.delete()
    assert box.runtime.list() == []


def test_start_by_another_process_passes_the_gate(box: Any, spec: Any) -> None:
    made = box.runtime.create(RunRequest(box.id(), spec("sh", "-c", "exit 5"), box.bundle))
    child = os.fork()
    if child == 0:
        try:
            box.runtime.get(made.id).start()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert made.wait() == 5
    made.delete()


def test_a_missing_command_is_an_error_of_create_already(box: Any, spec: Any, reason: Any) -> None:
    assert (
        reason(lambda: box.runtime.create(RunRequest(box.id(), spec("no-such"), box.bundle)))
        == "command-not-found"
    )


def test_create_without_a_process_is_allowed_and_start_then_fails(box: Any, spec: Any, reason: Any) -> None:
    config = spec("true")
    config.process = None
    made = box.runtime.create(RunRequest(box.id(), config, box.bundle))
    assert reason(made.start) == "invalid"
    made.delete()


def test_an_id_in_use_is_refused(box: Any, spec: Any, reason: Any) -> None:
    first = box.start("sleep", "60")
    assert reason(lambda: box.runtime.run(RunRequest(first.id, spec("true"), box.bundle))) == "exists"
    assert box.runtime.get(first.id).state().status == "running"


def test_a_creator_that_dies_takes_the_unfinished_container_along(box: Any, spec: Any) -> None:
    """kill -9 between birth and the command: nothing runs, and the record lets it be cleared."""
    id = box.id()
    child = os.fork()
    if child == 0:
        from lading.runtime import create

        create.birth.converse = lambda *_: os.kill(os.getpid(), 9)  # type: ignore[assignment]
        config = spec("sleep", "60")
        config.hooks = Hooks(create_runtime=[Hook(path="/bin/true")])
        box.runtime.run(RunRequest(id, config, box.bundle))
        os._exit(1)
    os.waitpid(child, 0)
    container = box.runtime.get(id)
    deadline = time.monotonic() + 60
    while container.state().status not in ("stopped",) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert container.state().status == "stopped"
    container.delete(force=True)


def test_a_terminal_is_the_containers_own(box: Any, spec: Any) -> None:
    from lading.formats.oci_runtime import Box as Size

    config = spec(
        "sh", "-c", "tty; stty size; test -c /dev/console && echo console >/dev/console; ls /dev/pts"
    )
    config.process.terminal = True
    config.process.console_size = Size(height=33, width=77)
    container = box.runtime.run(RunRequest(box.id(), config, box.bundle))
    out = b""
    while True:
        try:
            part = os.read(container.console, 4096)
        except OSError:  # EIO: the last slave was closed
            break
        if not part:
            break
        out += part
    os.close(container.console)
    assert container.wait() == 0
    container.delete()
    assert out.decode().split() == ["/dev/pts/0", "33", "77", "console", "0", "ptmx"]


def test_unsupported_fields_are_refused_by_name(box: Any, spec: Any) -> None:
    config = spec("true")
    config.windows = {}
    with pytest.raises(Unsupported, match="windows"):
        box.run(config)


@pytest.mark.parametrize("field", ["mounts", "maskedPaths", "readonlyPaths", "devices"])
def test_what_a_joined_mount_namespace_would_skip_is_refused(box: Any, spec: Any, field: str) -> None:
    config = spec("true", new="pid")
    config.linux.namespaces.append(Namespace(type="mount", path="/proc/self/ns/mnt"))
    if field != "mounts":
        config.mounts = []
    if field == "devices":
        config.linux.devices = [Device(type="c", path="/dev/null", major=1, minor=3)]
    elif field == "maskedPaths":
        config.linux.masked_paths = ["/proc/kcore"]
    elif field == "readonlyPaths":
        config.linux.readonly_paths = ["/proc/sys"]
    with pytest.raises(InvalidInput, match=f"{field} need"):
        box.run(config)


def test_a_network_device_moves_in_with_name_address_and_mtu(box: Any, spec: Any) -> None:
    from lading.formats.oci_runtime import NetDevice
    from lading.kernel import netlink_netns
    from lading.kernel import netlink_route as route
    from lading.kernel.netlink import Netlink

    def work() -> None:
        with Netlink() as nl:
            here = netlink_netns.current()
            nl.run([route.veth_add("nd0", "nd1", peer_netns=here, mtu=1400)])
            os.close(here)
            index = route.Link(nl.ask(route.link_get("nd0"))).index
            nl.run([route.address_add(index, bytes([10, 9, 8, 7]), 24)])

    home = netlink_netns.current()
    host, _ = netlink_netns.create(work)  # a stand-in for the host's namespace
    try:
        netlink_netns.enter(host)
        config = spec("sh", "-c", "cat /sys/class/net/inside0/mtu; grep -c 10.9.8.7 /proc/net/fib_trie")
        config.mounts.append(Mount(destination="/sys", type="sysfs", source="sysfs"))
        assert config.linux is not None
        config.linux.net_devices = {"nd0": NetDevice(name="inside0")}
        status, out = box.run(config)
        assert status == 0 and out.split()[0] == "1400" and int(out.split()[1]) > 0
        with pytest.raises(InvalidInput, match="nd0"):
            box.run(config)
    finally:
        netlink_netns.enter(home)
        os.close(home)
        os.close(host)


def test_a_relative_source_of_a_bind_is_the_bundles(
    own_box: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere/data").mkdir(parents=True)
    (Path(own_box.bundle) / "data").mkdir()
    (Path(own_box.bundle) / "data/mine").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    bind = Mount(destination="/tmp", type="bind", source="data", options=["bind"])
    assert own_box.sh("ls /tmp", mounts=[bind]) == (0, "mine\n")


def test_a_root_without_dev_gets_one(own_box: Any, spec: Any) -> None:
    (Path(own_box.bundle) / "rootfs/dev").rmdir()
    bare = spec("cat", "/dev/null")
    bare.mounts = [mount for mount in bare.mounts if not mount.destination.startswith("/dev")]
    assert own_box.run(bare) == (0, "")


@pytest.mark.skipif(Path("/sys/fs/selinux/enforce").exists(), reason="a machine with SELinux")
def test_what_this_machine_refuses_is_named_by_its_field(box: Any, spec: Any) -> None:
    with pytest.raises(Unsupported, match=r"^process\.selinuxLabel"):
        box.run(spec("true", process_selinux_label="a_u:b_r:c_t:s0"))
    with pytest.raises(KernelError, match=r"^process\.scheduler"):
        box.run(spec("true", process_scheduler=Scheduler(policy="SCHED_FIFO", priority=200)))
    with pytest.raises(KernelError, match=r"^process\.cwd"):
        box.run(spec("true", process_cwd="/proc/self/fd/7"))
