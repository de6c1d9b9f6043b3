"""The order of a container's set-up, held against a kernel that only writes down."""

from __future__ import annotations

from typing import Any

import pytest

from lading.errors import CommandNotExecutable, CommandNotFound, InvalidInput, KernelError, Unsupported
from lading.formats.oci_runtime import (
    Capabilities,
    Hook,
    Hooks,
    IDMapping,
    Linux,
    Mount,
    Namespace,
    Process,
    Rlimit,
    Root,
    Spec,
    State,
    User,
)
from lading.kernel.capabilities import NAMES
from lading.kernel.fake import FakeKernel
from lading.runtime import channel, command, gate, join, masks, rootfs, security, sysctls
from lading.runtime.init import Init
from lading.runtime.job import Job
from lading.runtime.options import Options
from lading.runtime.request import RunRequest

PROC = {"fs_type": masks.PROC_SUPER_MAGIC}
ALL_BITS = (1 << len(NAMES)) - 1


class Group:
    """A control group that says when it is joined."""

    unit = ""
    path = "/x"

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel

    def join(self) -> None:
        self.kernel.calls.append(("cgroup.join", ()))


class Line:
    """A channel whose other end always agrees."""

    read_fd, write_fd = 5, 8

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def receive(self) -> bytes:
        return channel.GO

    def send(self, message: bytes) -> None:
        self.sent.append(message)


def proc_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "_PROC_ROOT_INODE", 2)
    monkeypatch.setattr(command, "forbid_imports", lambda: None)


def make(kernel: FakeKernel, spec: Spec, *, meanwhile: bool = False, line: Line | None = None) -> Init:
    plan = join.plan(kernel, spec.linux or Linux())
    job = Job(
        RunRequest("x", spec, "/bundle", meanwhile=(lambda pid: None) if meanwhile else None),
        State(oci_version="1.2.0", id="x", status="creating", bundle="/bundle"),
        plan,
        Group(kernel),  # type: ignore[arg-type]
        "/bundle",
    )
    job.channel = line or Line()  # type: ignore[assignment]
    return Init(kernel, job)


def spec(**linux: Any) -> Spec:
    kinds = linux.pop("kinds", ("pid", "mount", "uts", "ipc", "network", "cgroup"))
    return Spec(
        oci_version="1.2.0",
        hostname="box",
        root=Root(path="rootfs", readonly=True),
        mounts=[Mount(destination="/proc", type="proc", source="proc")],
        process=Process(
            cwd="/",
            args=["/bin/sh"],
            user=User(uid=7, gid=8),
            no_new_privileges=linux.pop("no_new_privileges", True),
            capabilities=Capabilities(permitted=["CAP_KILL"], effective=["CAP_KILL"], bounding=["CAP_KILL"]),
            rlimits=[Rlimit(type="RLIMIT_NOFILE", hard=10, soft=5)],
        ),
        linux=Linux(namespaces=[Namespace(type=k) for k in kinds], **linux),
    )


def run(monkeypatch: pytest.MonkeyPatch, config: Spec) -> list[str]:
    proc_root(monkeypatch)
    kernel = FakeKernel(PROC)
    init = make(kernel, config)
    init.job.filter = b"\0" * 8
    for step in init.steps():
        step()
    return kernel.names()


def assert_order(names: list[str], *wanted: str) -> None:
    """Each of ``wanted`` occurs, the first of each after the first of the one before."""
    places = [names.index(name) for name in wanted]
    assert places == sorted(places), list(zip(wanted, places, strict=True))


def test_the_steps_are_taken_in_the_order_that_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    names = run(monkeypatch, spec())
    assert_order(
        names,
        "cgroup.join",  # before anything that costs memory
        "prctl",  # not dumpable …
        "unshare",  # … and only then the cgroup namespace, rooted where we are now
        "setsid",
        "join_session_keyring",
        "interface_up",
        "move_mount",  # the root
        "new_filesystem",
        "pivot_root",
        "umount",  # the old root is gone
        "sethostname",
        "setrlimit",  # limits while we still may
        "close_range",  # before a name is looked up in the container, and because older profiles forbid it
        "bounding_drop",
        "setgroups",
        "setresgid",
        "setresuid",
        "capset",
        "getcwd",
        "seccomp_load",
    )


@pytest.mark.parametrize("path", ["", "/proc/self/fd/9"])
def test_the_place_of_the_root_is_opened_by_who_can_reach_it_and_only_then_is_it_another_user(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    proc_root(monkeypatch)
    kernel = FakeKernel({**PROC, "namespace_type": join.FLAGS["user"]})
    config = spec(kinds=("mount", "pid"))
    rows = [IDMapping(container_id=0, host_id=700000, size=65536)]
    assert config.linux is not None
    config.linux.namespaces.append(Namespace(type="user", path=path))
    if not path:
        config.linux.uid_mappings = config.linux.gid_mappings = rows
    init = make(kernel, config)
    init.become_root_of_user_namespace()
    assert [call for call in kernel.calls if call[0] != "namespace_type"][-3:] == [
        ("open", ("/bundle/rootfs", 0o10200000)),
        ("setresgid", (0,)),
        ("setresuid", (0,)),
    ]


def test_descriptors_are_closed_and_not_only_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the standard streams and the channel, which execve(2) closes."""
    proc_root(monkeypatch)
    kernel = FakeKernel(PROC)
    for step in make(kernel, spec()).steps():
        step()
    assert kernel.arguments("close_range") == [
        (3, 4, 0), (6, 7, 0), (9, ("flags", 0)), (3,),
    ]  # fmt: skip


def test_without_no_new_privileges_the_filter_is_loaded_while_there_is_power(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = run(monkeypatch, spec(no_new_privileges=False))
    assert_order(names, "setrlimit", "seccomp_load", "setresuid", "capset")


def test_the_mask_is_laid_and_the_root_made_read_only_before_the_old_root_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = run(monkeypatch, spec(masked_paths=["/proc/kcore"], readonly_paths=["/proc/sys"]))
    pivot = names.index("pivot_root")
    assert "move_mount" not in names[pivot:]
    assert "mount_setattr" not in names[pivot:]


@pytest.mark.parametrize(
    ("more", "before"),
    [({}, "start_container_hooks"), ({"sysctl": {"net.ipv4.ip_forward": "1"}}, "set_sysctls")],
)
def test_what_the_creator_does_meanwhile_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], before: str
) -> None:
    proc_root(monkeypatch)
    line = Line()
    config = spec(**more)
    assert config.linux is not None
    asked: dict[str, int] = {}
    kernel = FakeKernel(PROC)
    for step in make(kernel, config, meanwhile=True, line=line).steps():
        step()
        asked[step.__name__] = line.sent.count(channel.MEANWHILE)
    assert "interface_up" not in kernel.names()  # that is the creator's, too
    assert asked[before] == 1 == list(asked.values())[-1]
    assert asked["change_root"] == 0


def test_the_first_hook_finds_what_the_creator_does_meanwhile() -> None:
    line = Line()
    config = spec()
    config.hooks = Hooks(create_runtime=[Hook(path="/bin/true")])
    make(FakeKernel(PROC), config, meanwhile=True, line=line).hooks_before_pivot()
    assert line.sent == [channel.MEANWHILE, channel.HOOKS]


def test_imports_are_forbidden_before_the_root_changes() -> None:
    kernel = FakeKernel(PROC)
    steps = [step.__name__ for step in make(kernel, spec()).steps()]
    assert steps.index("forbid_imports") + 1 == steps.index("change_root")


def test_a_joined_namespace_is_entered_only_when_not_dumpable(monkeypatch: pytest.MonkeyPatch) -> None:
    proc_root(monkeypatch)
    kernel = FakeKernel({**PROC, "namespace_type": join.FLAGS["net"]})
    config = spec(kinds=("pid", "mount"))
    assert config.linux is not None
    config.linux.namespaces.append(Namespace(type="network", path="/proc/1/ns/net"))
    init = make(kernel, config)
    for step in init.steps():
        step()
    assert_order(kernel.names(), "prctl", "setns", "pivot_root")
    assert "interface_up" not in kernel.names()  # it is somebody else's


# -- namespaces --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "helper"),
    [
        ([Namespace(type="pid"), Namespace(type="mount")], False),
        ([Namespace(type="network", path="/n")], False),
        ([Namespace(type="pid", path="/n")], True),
        ([Namespace(type="time")], True),
    ],
)
def test_a_helper_is_used_only_where_birth_needs_it(kinds: list[Namespace], helper: bool) -> None:
    kind = next((k.type for k in kinds if k.path), "pid")
    kernel = FakeKernel({"namespace_type": join.FLAGS[join.KINDS[kind]]})
    assert join.plan(kernel, Linux(namespaces=kinds)).needs_helper is helper


@pytest.mark.parametrize(
    "linux",
    [
        Linux(namespaces=[Namespace(type="pid"), Namespace(type="pid")]),
        Linux(namespaces=[Namespace(type="flux")]),
        Linux(namespaces=[Namespace(type="user")]),
        Linux(namespaces=[Namespace(type="network", path="/proc/1/ns/uts")]),
    ],
)
def test_impossible_namespaces_are_refused(linux: Linux) -> None:
    with pytest.raises(InvalidInput, match="namespace"):
        join.plan(FakeKernel({"namespace_type": join.FLAGS["uts"]}), linux)


def test_what_the_host_may_not_join_is_tried_again_with_the_user_namespaces_power() -> None:
    kernel = FakeKernel({"setns": [KernelError("setns", 1), 0, 0]})
    join.enter(kernel, [("network", join.FLAGS["net"], 5), ("user", join.FLAGS["user"], 6)])
    assert [fd for fd, _ in kernel.arguments("setns")] == [5, 6, 5]


# -- options, sysctl, capabilities -------------------------------------------------------------------------------------


def test_later_mount_options_win_and_unknown_ones_go_to_the_file_system() -> None:
    options = Options(["ro", "rw", "nosuid", "rro", "rprivate", "size=1m", "mode=755", "inode64", "noatime"])
    assert options.set == 0x2 | 0x10
    assert options.clear == 0x1 | 0x70
    assert options.tree_set == 0x1
    assert options.data == [("size", "1m"), ("mode", "755"), ("inode64", None)]
    assert options.propagation == [(1 << 18, True)]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_both_spellings_of_a_sysctl_are_understood(name: str, path: str) -> None:
    assert sysctls.sysctl_path(name) == path


@pytest.mark.parametrize(
    "name", ["kernel.panic", "vm.swappiness", "net.ipv4.ip_forward", "kernel.hostname", "kernel/../x"]
)
def test_a_sysctl_that_would_change_the_host_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"linux\.sysctl"):
        sysctls.check_sysctl(name, {"ipc", "uts"})


def test_unknown_capabilities_are_kept_apart_for_a_warning() -> None:
    sets = security.Sets(Capabilities(bounding=["CAP_KILL", "CAP_TIME_TRAVEL"], ambient=["CAP_TIME_TRAVEL"]))
    assert (sets.bounding, sets.warnings) == (1 << 5, ["CAP_TIME_TRAVEL"])


def test_a_capability_that_we_do_not_have_is_not_asked_of_the_kernel() -> None:
    kernel = FakeKernel({"capget": (0, 1 << 5, 0)})
    wanted = Capabilities(permitted=["CAP_KILL", "CAP_SYS_RESOURCE"], effective=["CAP_SYS_RESOURCE"])
    security.become(kernel, Process(user=User(), capabilities=wanted))
    assert kernel.arguments("capset") == [(0, 1 << 5, 0)]


def test_a_process_that_names_no_capabilities_gets_none() -> None:
    kernel = FakeKernel({"capget": (ALL_BITS, ALL_BITS, 0), "bounding_read": False})
    security.become(kernel, Process(user=User()))
    assert kernel.arguments("bounding_drop") == [(number,) for number in range(len(NAMES))]
    assert kernel.arguments("capset") == [(0, 0, 0)]


def test_a_user_namespace_that_denies_setgroups_lets_a_process_have_its_own_group_and_no_other() -> None:
    kernel = FakeKernel()
    security.become(kernel, Process(user=User(gid=5, additional_gids=[5])), setgroups=False)
    assert not kernel.arguments("setgroups") and kernel.arguments("setresgid") == [(5,)]
    with pytest.raises(Unsupported, match="additionalGids"):
        security.become(kernel, Process(user=User(gid=5, additional_gids=[5, 6])), setgroups=False)


@pytest.mark.parametrize("call", ["setresgid", "setresuid"])
def test_a_user_that_the_user_namespace_does_not_have_is_named_with_what_is_missing(call: str) -> None:
    kernel = FakeKernel({call: KernelError(call, 22)})
    with pytest.raises(InvalidInput, match=r"user 7:8: .*subuid"):
        security.become(kernel, Process(user=User(uid=7, gid=8)))


def test_raising_a_hard_limit_without_power_says_what_is_missing() -> None:
    kernel = FakeKernel({"setrlimit": KernelError("prlimit64", 1)})
    with pytest.raises(KernelError, match=r"RLIMIT_NOFILE.*CAP_SYS_RESOURCE"):
        security.set_limits(kernel, [Rlimit(type="RLIMIT_NOFILE", soft=1, hard=2)])


def test_hard_limits_are_raised_for_who_will_have_no_power_to_and_soft_ones_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda number: (5, 10))
    limits = [
        Rlimit(type="RLIMIT_NOFILE", soft=1, hard=20),
        Rlimit(type="RLIMIT_CORE", soft=1, hard=10),
        Rlimit(type="RLIMIT_NPROC", soft=1, hard=2**64 - 1),
    ]
    kernel = FakeKernel({"setrlimit": [KernelError("prlimit64", 1), 0]})
    security.raise_limits(kernel, limits, 42)
    assert kernel.arguments("setrlimit") == [(7, 5, 20, 42), (6, 5, 2**64 - 1, 42)]


def test_cpu_lists_are_read_and_nonsense_is_refused() -> None:
    assert security.parse_cpus("0-2,5", "x") == {0, 1, 2, 5}
    for text in ("a", "3-1", "-1", "1-", "99999"):
        with pytest.raises(InvalidInput):
            security.parse_cpus(text, "x")


# -- commands and errors -----------------------------------------------------------------------------------------------


def test_commands_are_found_as_a_shell_would() -> None:
    assert command.find_command(Process(args=["sh"], env=["PATH=/nowhere:/bin"])) == "/bin/sh"
    with pytest.raises(CommandNotFound):
        command.find_command(Process(args=["no-such-command"]))
    with pytest.raises(CommandNotExecutable):
        command.find_command(Process(args=["/etc"]))
    with pytest.raises(CommandNotExecutable):
        command.find_command(Process(args=["/etc/passwd"]))


@pytest.mark.parametrize(
    "errno, kind", [(2, CommandNotFound), (13, CommandNotExecutable), (8, CommandNotExecutable)]
)
def test_execves_errno_decides_between_126_and_127(errno: int, kind: type) -> None:
    assert type(channel.exec_error("/x", errno)) is kind


@pytest.mark.parametrize(
    "error",
    [
        KernelError("mount(/x)", 22, hint="because"),
        InvalidInput("bad", hint="fix it", reason="escape"),
        CommandNotFound("exec 'x'"),
    ],
)
def test_an_error_survives_the_channel(error: Any) -> None:
    back = channel.decode_error(channel.encode_error(error))
    assert (type(back), str(back), back.reason) == (type(error), str(error), error.reason)


def test_a_bug_in_the_child_names_its_place_and_fits_one_write() -> None:
    try:
        raise RuntimeError("x" * 9000)
    except RuntimeError as error:
        record = channel.encode_error(error)
    assert len(record) <= 4000
    assert "RuntimeError" in str(channel.decode_error(record))


def test_cwd_outside_the_root_is_an_escape() -> None:
    with pytest.raises(InvalidInput) as caught:
        command.settle_in_directory(FakeKernel({"getcwd": "(unreachable)/etc"}), "/proc/self/fd/7", True)
    assert caught.value.reason == "escape"


# -- the gate ----------------------------------------------------------------------------------------------------------


def test_the_gate_passes_signals_on_and_detaches_at_the_exec_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "is_ourselves", lambda kernel, pid: False)
    hup, exec_stop = 0x7F | 1 << 8, 0x7F | 5 << 8 | 4 << 16
    kernel = FakeKernel({"wait_stop": [hup, exec_stop]})
    assert gate.watch(kernel, 9) is None
    assert kernel.arguments("ptrace_continue") == [(9, 1)]
    assert kernel.arguments("ptrace_detach") == [(9,)]


def test_the_gate_kills_what_became_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "is_ourselves", lambda kernel, pid: True)
    kernel = FakeKernel({"wait_stop": [0x7F | 5 << 8 | 4 << 16]})
    with pytest.raises(gate.Denied) as caught:
        gate.watch(kernel, 9)
    assert caught.value.reason == "escape"
    assert kernel.arguments("kill") == [(9, 9)]
    assert "ptrace_detach" not in kernel.names()


def test_a_hook_goes_through_the_gate_while_its_parent_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    forked, new, exec_stop = (0x7F | 5 << 8 | event << 16 for event in (1, 128, 4))
    monkeypatch.setattr(gate, "is_ourselves", lambda kernel, pid: False)
    kernel = FakeKernel({"wait_stop": [forked, new, exec_stop, exec_stop], "ptrace_message": 10})
    assert gate.watch(kernel, 9) is None
    assert kernel.arguments("wait_stop") == [(9,), (10,), (10,), (9,)]
    assert kernel.arguments("ptrace_continue") == [(10, 0), (9, 0)]
    assert kernel.arguments("ptrace_detach") == [(10,), (9,)]

    monkeypatch.setattr(gate, "is_ourselves", lambda kernel, pid: pid == 10)
    kernel = FakeKernel({"wait_stop": [forked, exec_stop, 9], "ptrace_message": 10})
    with pytest.raises(gate.Denied, match="hook"):
        gate.watch(kernel, 9)
    assert kernel.arguments("kill") == [(10, 9), (9, 9)]
    assert kernel.arguments("wait_stop")[-1] == (10,)


def test_many_layers_fall_back_to_one_page_of_options_on_an_old_kernel() -> None:
    from lading.formats.rootfs import Rootfs

    kernel = FakeKernel({"new_filesystem": KernelError("overlay: fsconfig(lowerdir+=/l/1)", 22)})
    layers = Rootfs(lower=[f"/var/lib/lading/layers/{n:064x}" for n in range(50)], upper="/u", work="/w")
    rootfs.assemble(kernel, layers)
    ((_, _, fstype, _, data),) = kernel.arguments("mount")
    assert fstype == "overlay"
    assert len(data) < 4096
    assert data.startswith("lowerdir=" + "0" * 64 + ":")


def test_a_gate_that_cannot_look_stays_shut() -> None:
    """Want of descriptors is our own trouble, not a sign that the process has ended."""

    class Exhausted(FakeKernel):
        def open(self, path: str, *args: object, **more: object) -> int:
            if path != "/proc/self/exe":
                raise KernelError(f"open {path}", 24)
            return 3

        def close(self, fd: int) -> None:
            pass

    with pytest.raises(KernelError):
        gate.is_ourselves(Exhausted(), 9)
