"""Public escapes, really attempted. Each test names the CVE; docs/security.md says what stands against it."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading.errors import InvalidInput, KernelError, LadingError
from lading.formats.oci_runtime import Hook, Hooks, Mount, Namespace, Process, Seccomp, User
from lading.kernel import Kernel
from lading.runtime import RunRequest, Stdio, execute, gate, masks, mounts, procmounts

pytestmark = pytest.mark.root


def loader(rootfs: Path) -> None:
    """Give a hostile root a "dynamic loader" of its own: what the kernel maps for our interpreter if it runs again."""
    interpreter = os.path.realpath(sys.executable)
    with open(interpreter, "rb") as file:
        data = file.read(4096)
    start = data.index(b"/lib")
    path = data[start : data.index(b"\0", start)].decode()
    target = rootfs / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", target)


@pytest.mark.parametrize("how", ["direct", "script", "link"])
@pytest.mark.parametrize("by", ["run", "create", "exec"])
def test_cve_2019_5736_the_interpreter_is_never_executed_in_the_container(
    own_box: Any, spec: Any, how: str, by: str
) -> None:
    rootfs = Path(own_box.bundle, "rootfs")
    loader(rootfs)
    (rootfs / "script").write_text("#!/proc/self/exe\n")
    (rootfs / "script").chmod(0o755)
    os.symlink("/proc/self/exe", rootfs / "link")
    command = {"direct": "/proc/self/exe", "script": "/script", "link": "/link"}[how]

    def attack() -> None:
        if by == "run":
            own_box.run(spec(command))
        elif by == "create":
            made = own_box.runtime.create(RunRequest(own_box.id(), spec(command), own_box.bundle))
            made.start()
        else:
            own_box.start("sleep", "60").exec(
                Process(args=[command], cwd="/", user=User()), stdio=Stdio(-1, -1, -1)
            )

    with pytest.raises(LadingError) as caught:
        attack()
    assert caught.value.reason == "escape"


def test_cve_2019_5736_without_the_gate_the_attack_would_work(
    own_box: Any, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: with the gate off, the kernel runs our interpreter's file with the image's loader."""
    loader(Path(own_box.bundle, "rootfs"))
    monkeypatch.setattr(gate, "is_ourselves", lambda kernel, pid: False)
    status, _ = own_box.run(spec("/proc/self/exe"))
    assert status >= 0  # it was executed: no error of ours


@pytest.mark.parametrize("by", ["run", "create", "exec"])
@pytest.mark.parametrize("how", ["direct", "script"])
def test_cve_2019_5736_the_interpreter_is_no_programs_loader(
    own_box: Any, spec: Any, how: str, by: str
) -> None:
    """An ELF header may name /proc/self/exe as its loader: our file is then mapped into the image's program."""
    rootfs = Path(own_box.bundle, "rootfs")
    hostile_elf(rootfs / "elf")
    (rootfs / "script").write_text("#!/elf\n")
    (rootfs / "script").chmod(0o755)
    command = {"direct": "/elf", "script": "/script"}[how]
    with pytest.raises(LadingError) as caught:
        if by == "run":
            own_box.run(spec(command))
        elif by == "create":
            own_box.runtime.create(RunRequest(own_box.id(), spec(command), own_box.bundle)).start()
        else:
            process = Process(args=[command], cwd="/", user=User())
            own_box.start("sleep", "60").exec(process, stdio=Stdio(-1, -1, -1))
    assert caught.value.reason == "escape"


@pytest.mark.parametrize("how", ["direct", "script", "loader", "fork"])
@pytest.mark.parametrize("by", ["run", "create"])
def test_cve_2019_5736_a_hook_in_the_container_is_not_the_interpreter(
    own_box: Any, spec: Any, how: str, by: str
) -> None:
    """A startContainer hook is a file of the image, and is executed before the command is."""
    rootfs = Path(own_box.bundle, "rootfs")
    loader(rootfs)
    hostile_elf(rootfs / "elf")
    (rootfs / "script").write_text("#!/proc/self/exe\n")
    (rootfs / "script").chmod(0o755)
    command = {"direct": "/proc/self/exe", "script": "/script", "loader": "/elf", "fork": "/script"}[how]
    config = spec("touch", "/tmp/started")
    config.hooks = Hooks(start_container=[Hook(path=command, args=["sh", "-c", "echo x >/tmp/owned"])])
    if how == "fork":
        config.hooks.start_container.insert(0, Hook(path="/bin/true"))
    with pytest.raises(LadingError) as caught:
        if by == "run":
            own_box.run(config)
        else:
            own_box.runtime.create(RunRequest(own_box.id(), config, own_box.bundle)).start()
    assert caught.value.reason == "escape"
    assert not (rootfs / "tmp/started").exists()


def test_hooks_of_the_container_and_of_the_host_pass_the_gate(own_box: Any, spec: Any) -> None:
    """The host's hook is our own interpreter, rightly: it is reached by the container's copy of that mount."""
    config = spec("cat", "/tmp/inside")
    script = f"open({os.path.join(own_box.bundle, 'rootfs/tmp/outside')!r}, 'w').write('x')"
    config.hooks = Hooks(
        create_container=[Hook(path=os.path.realpath(sys.executable), args=["python", "-c", script])],
        start_container=[
            Hook(path="/bin/sh", args=["sh", "-c", "echo 1 >/tmp/inside; (echo 2 >>/tmp/inside)"]),
            Hook(path="/bin/sh", args=["sh", "-c", "cat >/dev/null; echo 3 >>/tmp/inside"], timeout=60),
        ],
    )
    assert own_box.run(config) == (0, "1\n2\n3\n")
    assert Path(own_box.bundle, "rootfs/tmp/outside").exists()
    config.hooks.start_container.append(Hook(path="/bin/false", args=["false"]))
    with pytest.raises(LadingError, match="exit status 1"):
        own_box.run(config)
    config.hooks.start_container[-1] = Hook(path="/no-such")
    with pytest.raises(LadingError, match="No such file"):
        own_box.run(config)


def test_cve_2019_5736_a_loader_is_found_by_the_gate_alone(
    own_box: Any, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: without the question the kernel maps our file and goes on."""
    loader(Path(own_box.bundle, "rootfs"))
    hostile_elf(Path(own_box.bundle, "rootfs/elf"))
    monkeypatch.setattr(gate, "is_loaded_by_us", lambda pid, inode: False)
    assert own_box.run(spec("/elf"))[0] >= 0


def hostile_elf(path: Path) -> None:
    """A dynamic program of the host, with another loader in its header."""
    data = Path(shutil.which("true") or "/bin/true").read_bytes()
    start = data.index(b"/lib")
    end = data.index(b"\0", start)
    path.write_bytes(data[:start] + b"/proc/self/exe".ljust(end - start, b"\0") + data[end:])
    path.chmod(0o755)


def test_the_hosts_interpreter_may_run_by_a_mount_of_the_containers_own(box: Any, spec: Any) -> None:
    """The same inode is fine when the container was given it: the gate looks at the mount too."""
    binds = [
        Mount(destination=path, source=path, options=["rbind", "ro"])
        for path in (
            "/usr",
            "/lib",
            "/lib64",
            os.path.dirname(os.path.dirname(os.path.realpath(sys.executable))),
        )
        if os.path.isdir(path)
    ]
    assert box.run(spec(os.path.realpath(sys.executable), "-c", "print(1+1)", mounts=binds)) == (0, "2\n")


def test_a_module_in_the_image_is_never_imported(own_box: Any, spec: Any) -> None:
    """After the root has changed an import would find the image's file at our module's path."""
    rootfs = Path(own_box.bundle, "rootfs")
    source = Path(mounts.__file__).parent
    for directory in {str(source), os.path.dirname(os.__file__)}:
        hostile = rootfs / directory.lstrip("/")
        hostile.mkdir(parents=True)
        for name in ("traceback", "hooks", "copyup", "fcntl", "struct", "encodings", "linecache"):
            (hostile / f"{name}.py").write_text("open('/owned', 'w').write('x')\n")
    assert own_box.run(spec("echo", "fine"))[1] == "fine\n"
    with pytest.raises(LadingError):
        own_box.run(spec("no-such-command"))
    assert not (rootfs / "owned").exists()


def test_cve_2021_30465_a_target_swapped_for_a_link_does_not_lead_out(
    own_box: Any, spec: Any, tmp_path: Path
) -> None:
    rootfs = Path(own_box.bundle, "rootfs")
    host = tmp_path / "host"
    host.mkdir()
    (rootfs / "a").mkdir()
    os.symlink(str(host), rootfs / "b")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            exchange(str(rootfs / "a"), str(rootfs / "b"))

    attacker = os.fork()  # a process, so that our own stays single-threaded
    if attacker == 0:
        try:
            swap()
        finally:
            os._exit(0)
    try:
        config = spec("true", mounts=[Mount(destination="/a/x", type="tmpfs", source="t") for _ in range(3)])
        for _ in range(15):
            try:
                own_box.run(config)
            except KernelError:
                pass  # refusing is fine, leading out is not
            assert list(host.iterdir()) == []
    finally:
        os.kill(attacker, 9)
        os.waitpid(attacker, 0)


def exchange(a: str, b: str) -> None:
    import ctypes

    ctypes.CDLL(None).renameat2(-100, a.encode(), -100, b.encode(), 2)


def test_proc_behind_a_link_is_refused(own_box: Any, spec: Any, reason: Any) -> None:
    """CVE-2019-19921 and its kin: masks would protect nothing if /proc led elsewhere."""
    rootfs = Path(own_box.bundle, "rootfs")
    (rootfs / "proc").rmdir()
    (rootfs / "evil").mkdir()
    os.symlink("evil", rootfs / "proc")
    assert reason(lambda: own_box.run(spec("true"))) == "invalid"


def test_cve_2022_0492_control_groups_asked_for_read_only_are_so_everywhere(box: Any) -> None:
    mount = Mount(destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=["ro"])
    script = (
        "n=0; for d in /sys/fs/cgroup/*/; do n=$((n+1)); mkdir $d/x 2>/dev/null && echo BAD $d; "
        "echo /x 2>/dev/null >$d/release_agent && echo BAD $d; done; test $n -gt 0 && echo looked"
    )
    for new in ("pid mount cgroup", "pid mount"):
        assert box.sh(script, new=new, mounts=[mount]) == (0, "looked\n")


@pytest.mark.parametrize("by", ["run", "exec"])
def test_cve_2024_21626_a_leaked_descriptor_is_no_way_out(own_box: Any, spec: Any, by: str) -> None:
    leaked = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leaked, True)
    try:
        for number in [leaked, *range(3, 12)]:
            path = f"/proc/self/fd/{number}"
            with pytest.raises(LadingError):
                if by == "run":
                    own_box.run(spec("ls", "/", process_cwd=path))
                else:
                    running = own_box.start("sleep", "60")
                    try:
                        running.exec(Process(args=["ls"], cwd=path, user=User(), env=["PATH=/bin"]))
                    finally:
                        running.delete(force=True)
            if by == "exec" and number != leaked:
                break
        _, out = own_box.sh("ls /proc/self/fd")
        assert out.split()[:3] == ["0", "1", "2"] and str(leaked) not in out.split()[4:]
        assert len(out.split()) == 4  # ls has the directory open
    finally:
        os.close(leaked)


def test_cve_2024_21626_a_working_directory_outside_the_root_is_refused_whatever_led_there(
    own_box: Any,
) -> None:
    """A descriptor that the caller asked to keep is not closed, and still no way out."""
    leaked = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    process = Process(args=["ls"], cwd=f"/proc/self/fd/{leaked}", user=User(), env=["PATH=/bin"])
    try:
        with pytest.raises(LadingError) as caught:
            execute.enter(own_box.start("sleep", "60"), process, preserve_fds=leaked - 2)
    finally:
        os.close(leaked)
    assert caught.value.reason == "escape"


@pytest.mark.parametrize("how", ["direct", "link", "script", "up"])
@pytest.mark.parametrize("by", ["run", "create", "exec"])
def test_cve_2024_21626_no_command_is_found_through_a_leaked_descriptor(
    own_box: Any, spec: Any, how: str, by: str, tmp_path: Path
) -> None:
    """close-on-exec comes too late: execve(2) looks up its file first. What ran would be the host's, and then written to."""
    rootfs = Path(own_box.bundle, "rootfs")
    shutil.copy("/bin/busybox", tmp_path / "busybox")
    (tmp_path / "below").mkdir()
    leaked = os.open(tmp_path / ("below" if how == "up" else ""), os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leaked, True)
    path = f"/proc/self/fd/{leaked}/" + ("../busybox" if how == "up" else "busybox")
    os.symlink(path, rootfs / "link")
    (rootfs / "script").write_text(f"#!{path} sh\n")
    (rootfs / "script").chmod(0o755)
    args = [{"link": "/link", "script": "/script"}.get(how, path), "true"]
    try:
        with pytest.raises(LadingError) as caught:
            if by == "run":
                own_box.run(spec(*args))
            elif by == "create":
                own_box.runtime.create(RunRequest(own_box.id(), spec(*args), own_box.bundle)).start()
            else:
                process = Process(args=args, cwd="/", user=User(), env=["PATH=/bin"])
                own_box.start("sleep", "60").exec(process, stdio=Stdio(-1, -1, -1)).wait()
    finally:
        os.close(leaked)
    assert caught.value.reason == "command-not-found"


@pytest.mark.parametrize("filtered", [False, True], ids=["", "seccomp"])
def test_exec_leaves_no_descriptor_of_its_own_to_be_looked_up(own_box: Any, filtered: bool) -> None:
    """An exec holds the host's /proc for a while, and ``..`` of that is the host's root."""
    filter = Seccomp(default_action="SCMP_ACT_ALLOW") if filtered else None
    rootfs = Path(own_box.bundle, "rootfs")
    running = own_box.start("sleep", "60", seccomp=filter)
    for number in range(3, 120):
        (rootfs / "a").unlink(missing_ok=True)
        os.symlink(f"/proc/self/fd/{number}/../bin/busybox", rootfs / "a")
        with pytest.raises(LadingError) as caught:
            running.exec(Process(args=["/a", "true"], cwd="/", user=User()), stdio=Stdio(0, 1, 2)).wait()
        assert caught.value.reason == "command-not-found", number


@pytest.mark.parametrize("terminal", [False, True])
def test_exec_opens_no_device_by_a_name_of_the_container(
    own_box: Any, tmp_path: Path, terminal: bool
) -> None:
    """With a link in its place the exec's input was any file of the host, open for writing."""
    trap = tmp_path / "trap"
    trap.write_text("untouched")
    leaked = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    script = f"cd /dev; umount pts; for f in null ptmx; do rm -f $f; ln -s /proc/self/fd/{leaked}/trap $f; done; sleep 60"
    running = own_box.start("sh", "-c", script)
    out = os.memfd_create("out")
    command = ["sh", "-c", "stat -Lc %t:%T /proc/self/fd/0; echo owned >&0"]
    process = Process(args=command, cwd="/", user=User(), env=["PATH=/bin"], terminal=terminal)
    try:
        wait_for(lambda: os.path.islink(f"/proc/{running.pid}/root/dev/ptmx"))
        if terminal:
            with pytest.raises(KernelError, match="ptmx"):
                running.exec(process)
        else:
            running.exec(process, stdio=Stdio(-1, out, -1)).wait()
            assert os.pread(out, 100, 0) == b"1:3\n"
    finally:
        os.close(leaked)
        os.close(out)
    assert trap.read_text() == "untouched"


def test_a_joined_mount_namespace_gives_no_device_by_its_name(
    own_box: Any, spec: Any, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.write_text("untouched")
    leaked = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    script = f"cd /dev; rm null; ln -s /proc/self/fd/{leaked}/trap null; sleep 60"
    running = own_box.start("sh", "-c", script)
    wait_for(lambda: os.path.islink(f"/proc/{running.pid}/root/dev/null"))
    before = len(os.listdir("/proc/self/fd"))
    config = spec("sh", "-c", "echo owned >&0", new="uts")
    config.mounts = []
    config.linux.namespaces.append(Namespace(type="mount", path=f"/proc/{running.pid}/ns/mnt"))
    out = os.memfd_create("out")
    try:
        made = own_box.runtime.run(RunRequest(own_box.id(), config, own_box.bundle, stdio=Stdio(-1, -1, out)))
        assert made.wait() == 0
        made.delete()
        assert os.pread(out, 100, 0) == b""
    finally:
        os.close(leaked)
        os.close(out)
    assert trap.read_text() == "untouched"
    assert len(os.listdir("/proc/self/fd")) == before - 1  # without the leaked one


@pytest.mark.parametrize("stdin", ["none", "the host's"])
@pytest.mark.parametrize("by", ["run", "exec"])
def test_the_hosts_null_device_is_not_the_containers_to_change(
    own_box: Any, spec: Any, by: str, stdin: str
) -> None:
    """Root in the container may chmod(2) whatever it holds, or finds mounted: every process of the host uses that node."""
    mine = os.open("/dev/null", os.O_RDWR)
    given = mine if stdin == "the host's" else -1
    out = os.memfd_create("out")
    before = os.stat("/dev/null")
    script = (
        "for f in /proc/self/fd/0 /proc/keys /proc/version; do test -c $f || echo MISSING $f; cat $f; echo x >$f; "
        "chmod 600 $f 2>/dev/null && echo CHMOD $f; touch -d @1 $f 2>/dev/null && echo TOUCH $f; done; echo looked"
    )
    masked = ["/proc/keys", "/proc/version"]
    try:
        if by == "run":
            config = spec("sh", "-c", script, masked_paths=masked)
            made = own_box.runtime.run(
                RunRequest(own_box.id(), config, own_box.bundle, stdio=Stdio(given, out, out))
            )
            made.wait()
            made.delete()
        else:
            process = Process(args=["sh", "-c", script], cwd="/", user=User(), env=["PATH=/bin"])
            running = own_box.start("sleep", "60", masked_paths=masked)
            running.exec(process, stdio=Stdio(given, out, out)).wait()
        after = os.stat("/dev/null")
        assert os.pread(out, 4096, 0) == b"looked\n"
        assert (after.st_mode, after.st_uid, after.st_mtime) == (
            before.st_mode,
            before.st_uid,
            before.st_mtime,
        )
    finally:
        os.chmod("/dev/null", 0o666)
        os.close(mine)
        os.close(out)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cve_2025_31133_a_replaced_null_device_is_not_what_masks(
    own_box: Any, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image's own /dev, and the attacker's luckiest moment: between the making of the device and its use."""
    rootfs = Path(own_box.bundle, "rootfs")
    (rootfs / "target").write_text("secret\n")
    (rootfs / "other").write_text("not a mask\n")
    mask = masks.Guard.mask

    def swapped(self: masks.Guard, path: str) -> None:
        (rootfs / "dev/null").unlink()
        os.symlink("/other", rootfs / "dev/null")
        mask(self, path)

    monkeypatch.setattr(masks.Guard, "mask", swapped)
    config = spec("sh", "-c", "stat -c '%t:%T' /target; wc -c </target", masked_paths=["/target"])
    config.mounts = [m for m in config.mounts if m.type == "proc"]
    assert own_box.run(config) == (0, "1:3\n0\n")


def test_cve_2025_31133_an_image_dev_with_links_is_refused_or_contained(own_box: Any, spec: Any) -> None:
    """No tmpfs on /dev: the image's own directory is used, and its null is a link.

    Where the kernel lets something be mounted on a file of procfs (before Linux 6.12) the container's own one is what gets it.
    """
    rootfs = Path(own_box.bundle, "rootfs")
    os.symlink("/proc/sysrq-trigger", rootfs / "dev/null")
    config = spec("sh", "-c", "stat -L -c '%t:%T' /dev/null", mounts=[])
    config.mounts = [m for m in config.mounts if m.type == "proc"]
    try:
        _, out = own_box.run(config)
    except LadingError:
        return
    assert out == "1:3\n"


def test_cve_2025_52565_a_console_that_is_a_link_is_refused(own_box: Any, spec: Any, tmp_path: Path) -> None:
    rootfs = Path(own_box.bundle, "rootfs")
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (rootfs / str(victim).lstrip("/")).parent.mkdir(parents=True)
    (
        rootfs / str(victim).lstrip("/")
    ).touch()  # there it could be mounted on, whichever root the link is followed from
    os.symlink(victim, rootfs / "dev/console")
    config = spec("true")
    config.mounts = [m for m in config.mounts if m.destination != "/dev"]
    config.process.terminal = True
    with pytest.raises(LadingError):
        own_box.runtime.run(RunRequest(own_box.id(), config, own_box.bundle))
    assert victim.read_text() == "untouched"


def test_cve_2025_52881_values_are_written_to_a_real_procfs_only(tmp_path: Path) -> None:
    kernel = Kernel()
    fake = tmp_path / "proc"
    (fake / "sys/kernel").mkdir(parents=True)
    (fake / "sys/kernel/msgmax").write_text("1")
    fd = os.open(fake, os.O_PATH)
    with pytest.raises(KernelError):
        masks.write_proc(kernel, fd, "sys/kernel/msgmax", b"2")
    os.symlink("/proc/sysrq-trigger", fake / "link")
    with pytest.raises(KernelError):
        masks.write_proc(kernel, fd, "link", b"h")
    os.close(fd)
    real = masks.open_proc(kernel)
    with pytest.raises(KernelError):  # "self" is a link: nothing on the way may be one
        masks.write_proc(kernel, real, "self/oom_score_adj", b"0")
    os.close(real)
    assert (fake / "sys/kernel/msgmax").read_text() == "1"


def test_cve_2025_52881_a_proc_mounted_over_by_the_image_gets_no_sysctl(
    own_box: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    trap.write_text("")
    over = Mount(destination="/proc/sys/kernel/msgmax", source=str(trap), options=["bind"])
    with pytest.raises(InvalidInput, match="lies inside /proc"):
        own_box.sh("true", mounts=[over], sysctl={"kernel.msgmax": "777"})
    monkeypatch.setattr(procmounts, "FILES", {"/proc/sys/kernel/msgmax"})  # if it could be: still not
    assert own_box.sh("true", mounts=[over], sysctl={"kernel.msgmax": "777"})[0] == 0
    assert trap.read_text() == ""


@pytest.mark.parametrize("target", ["/proc", "/proc/self/attr", "/proc/sys"])
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_cve_2019_16884_a_link_of_the_image_leads_no_mount_into_proc(
    own_box: Any, tmp_path: Path, target: str, kind: str
) -> None:
    os.symlink(target, Path(own_box.bundle, "rootfs/volume"))
    source, options = (str(tmp_path), ["rbind"]) if kind == "bind" else ("tmpfs", [])
    over = Mount(destination="/volume", type=kind, source=source, options=options)
    with pytest.raises(InvalidInput) as caught:
        own_box.sh("true", mounts=[over])
    assert caught.value.reason == "proc-mount"


def test_only_a_procfs_is_bound_over_proc(own_box: Any, tmp_path: Path) -> None:
    for source in (str(tmp_path), "/proc/sys"):
        with pytest.raises(InvalidInput, match="is not a proc file system"):
            own_box.sh("true", mounts=[Mount(destination="/proc", source=source, options=["rbind"])])
    procfs = Mount(destination="/proc", source="/proc", options=["rbind"])
    assert own_box.sh("test -d /proc/1", mounts=[procfs])[0] == 0


def test_the_hosts_procfs_elsewhere_may_be_mounted_over(own_box: Any, tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    elsewhere = [
        Mount(destination="/host/proc", source="/proc", options=["rbind"]),
        Mount(destination="/host/proc/bus", source=str(tmp_path), options=["bind"]),
    ]
    assert own_box.sh("test -e /host/proc/bus/mark", mounts=elsewhere)[0] == 0


def test_the_setting_up_process_cannot_be_inspected(box: Any, spec: Any) -> None:
    """CVE-2016-9962: a process of the container must not look into one that is entering it."""
    made = box.runtime.create(RunRequest(box.id(), spec("sleep", "60"), box.bundle))
    assert os.stat(f"/proc/{made.pid}/environ").st_uid == 0
    child = os.fork()
    if child == 0:
        os.setresuid(12345, 12345, 12345)
        try:
            os.readlink(f"/proc/{made.pid}/exe")
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    made.delete(force=True)
