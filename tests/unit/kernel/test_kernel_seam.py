"""The seam itself: errors that name what failed, a fake that covers every call, paths that stay inside."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from lading.errors import InvalidInput, KernelError
from lading.kernel import Kernel, idmap, paths, seccomp
from lading.kernel.capabilities import NAMES, mask
from lading.kernel.fake import FakeKernel


def test_a_failing_call_names_itself_its_object_and_errno() -> None:
    with pytest.raises(KernelError) as caught:
        Kernel().open_tree("/no/such/thing")
    assert caught.value.errno == 2
    assert "open_tree(/no/such/thing)" in str(caught.value)


def test_the_fake_records_every_public_call_of_the_real_kernel() -> None:
    fake = FakeKernel()
    for name in dir(Kernel):
        if not name.startswith("_"):
            assert getattr(FakeKernel, name) is not getattr(Kernel, name), name
    fake.mount("a", "b")
    fake.mount_setattr(3, set_=1)
    assert fake.calls == [("mount", ("a", "b")), ("mount_setattr", (3, ("set_", 1)))]


def test_the_fake_answers_a_list_in_order_and_keeps_the_last() -> None:
    fake = FakeKernel({"fork": [5, 0], "umount": KernelError("umount", 22)})
    assert [fake.fork(), fake.fork(), fake.fork()] == [5, 0, 0]
    with pytest.raises(KernelError):
        fake.umount("/x")


def test_capability_names_are_in_the_kernels_order() -> None:
    assert (
        NAMES.index("CAP_CHOWN"),
        NAMES.index("CAP_SYS_ADMIN"),
        NAMES.index("CAP_CHECKPOINT_RESTORE"),
    ) == (0, 21, 40)
    assert mask(["CAP_KILL", "CAP_BOGUS"]) == (1 << 5, ["CAP_BOGUS"])


# -- paths inside a root -----------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> int:
    (tmp_path / "root").mkdir()
    return os.open(tmp_path / "root", os.O_PATH)


def test_a_link_out_of_the_root_is_resolved_inside(root: int, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    os.symlink(str(tmp_path / "outside"), tmp_path / "root/out")
    fd = paths.make_directory_inside(Kernel(), root, "/out/new/deep")
    assert os.readlink(f"/proc/self/fd/{fd}").startswith(f"{tmp_path}/root/")
    assert list((tmp_path / "outside").iterdir()) == []


def test_dot_dot_stops_at_the_root(root: int, tmp_path: Path) -> None:
    fd = paths.make_directory_inside(Kernel(), root, "a/../../../../b")
    assert os.readlink(f"/proc/self/fd/{fd}") == f"{tmp_path}/root/b"


def test_a_dangling_link_is_completed_inside_the_root(root: int, tmp_path: Path) -> None:
    os.symlink("/etc/target", tmp_path / "root/link")
    os.close(paths.make_file_inside(Kernel(), root, "/link"))
    assert (tmp_path / "root/etc/target").is_file()


def test_a_link_cycle_ends_with_an_error(root: int, tmp_path: Path) -> None:
    os.symlink("b", tmp_path / "root/a")
    os.symlink("a", tmp_path / "root/b")
    with pytest.raises(KernelError) as caught:
        paths.make_directory_inside(Kernel(), root, "a/x")
    assert caught.value.errno == 40


def test_a_magic_link_is_refused(tmp_path: Path) -> None:
    fd = os.open("/", os.O_PATH)
    with pytest.raises(KernelError) as caught:
        paths.open_inside(Kernel(), fd, "/proc/self/root")
    assert caught.value.errno == 40


def test_a_file_in_place_of_a_directory_is_an_error(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/f").write_text("")
    with pytest.raises(KernelError) as caught:
        paths.make_directory_inside(Kernel(), root, "f/x")
    assert caught.value.errno == 20


# -- id maps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows", [[], [(0, 0, 0)], [(0, 0, 10), (5, 100, 10)], [(0, 0, 10), (10, 9, 1)], [(-1, 0, 1)]]
)
def test_impossible_id_maps_are_refused(rows: list[tuple[int, int, int]]) -> None:
    with pytest.raises(InvalidInput):
        idmap.check(rows, "linux.uidMappings")


def test_without_power_ones_own_id_is_mapped_with_setgroups_denied() -> None:
    fake = FakeKernel({"open": [KernelError("open", 13), 7, 8, 9]})
    own = [(0, os.geteuid(), 1)], [(0, os.getegid(), 1)]
    assert idmap.write(fake, 42, *own) is False
    assert [a[0] for a in fake.arguments("open")] == [
        "/proc/42/uid_map",
        "/proc/42/setgroups",
        "/proc/42/uid_map",
        "/proc/42/gid_map",
    ]
    assert fake.arguments("write")[0] == (7, b"deny")


# -- seccomp -----------------------------------------------------------------------------------------------------------


def _run(program: bytes, nr: int, arch: int = 0xC000003E, args: tuple[int, ...] = (0,) * 6) -> int:
    """Interpret classic BPF on a struct seccomp_data, as the kernel does."""
    data = struct.pack("IIQ6Q", nr, arch, 0, *args)
    code = [struct.unpack_from("HBBI", program, i) for i in range(0, len(program), 8)]
    pc = a = 0
    while True:
        op, jt, jf, k = code[pc]
        pc += 1
        if op == 0x20:
            a = struct.unpack_from("I", data, k)[0]
        elif op == 0x06:
            return k
        elif op == 0x54:
            a &= k
        elif op == 0x05:
            pc += k
        else:
            test = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[op]
            pc += jt if test else jf


needs_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="call numbers of x86_64")
_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


@needs_x86
def test_a_filter_compares_arguments() -> None:
    rules = [
        seccomp.Rule(["personality"], "SCMP_ACT_ALLOW", None, [seccomp.Comparison(0, "SCMP_CMP_EQ", 8)]),
        seccomp.Rule(["read", "nonexistent_call"], "SCMP_ACT_ALLOW"),
        seccomp.Rule(["fadvise64"], "SCMP_ACT_ERRNO", 13),
    ]
    program = seccomp.compile_filter("SCMP_ACT_ERRNO", None, [], rules)
    assert _run(program, 0) == _ALLOW
    assert _run(program, 135, args=(8, 0, 0, 0, 0, 0)) == _ALLOW
    assert _run(program, 135, args=(9, 0, 0, 0, 0, 0)) == _EPERM
    assert _run(program, 221) == 0x0005000D
    assert _run(program, 1) == _EPERM


@needs_x86
def test_two_conditions_on_one_argument_are_alternatives() -> None:
    conditions = [seccomp.Comparison(0, "SCMP_CMP_EQ", 1), seccomp.Comparison(0, "SCMP_CMP_EQ", 2)]
    rule = seccomp.Rule(["personality"], "SCMP_ACT_KILL_PROCESS", None, conditions)
    program = seccomp.compile_filter("SCMP_ACT_ALLOW", None, [], [rule])
    answers = [_run(program, 135, args=(value, 0, 0, 0, 0, 0)) for value in (1, 2, 3)]
    assert answers == [_KILL, _KILL, _ALLOW]


@needs_x86
def test_calls_newer_than_the_profile_answer_enosys_and_others_the_default() -> None:
    rules = [seccomp.Rule(["read", "openat2"], "SCMP_ACT_ALLOW")]
    program = seccomp.compile_filter("SCMP_ACT_ERRNO", None, ["SCMP_ARCH_X86"], rules)
    assert _run(program, 437) == _ALLOW  # openat2
    assert _run(program, 438) == _ENOSYS
    assert _run(program, 436) == _EPERM
    assert _run(program, 0x40000000 | 500) != _ENOSYS  # x32
    assert _run(program, 3, arch=0x40000003) == _ALLOW  # i386's read
    assert _run(program, 438, arch=0x40000003) == _ENOSYS


@pytest.mark.parametrize(
    ("default", "architectures", "rule"),
    [
        ("SCMP_ACT_NONE", [], None),
        ("SCMP_ACT_ALLOW", ["SCMP_ARCH_PDP11"], None),
        ("SCMP_ACT_ALLOW", [], seccomp.Rule(["read"], "SCMP_ACT_BOGUS")),
        ("SCMP_ACT_ALLOW", [], seccomp.Rule(["read"], "SCMP_ACT_KILL", 5)),
        ("SCMP_ACT_ALLOW", [], seccomp.Rule(["read"], "SCMP_ACT_ERRNO", 70000)),
        (
            "SCMP_ACT_ALLOW",
            [],
            seccomp.Rule(["read"], "SCMP_ACT_KILL", None, [seccomp.Comparison(6, "SCMP_CMP_EQ", 0)]),
        ),
        (
            "SCMP_ACT_ALLOW",
            [],
            seccomp.Rule(["read"], "SCMP_ACT_KILL", None, [seccomp.Comparison(0, "==", 0)]),
        ),
    ],
)
def test_wrong_profiles_are_refused_by_name(
    default: str, architectures: list[str], rule: seccomp.Rule | None
) -> None:
    with pytest.raises(InvalidInput, match=r"linux\.seccomp"):
        seccomp.compile_filter(default, None, architectures, [rule] if rule else [])
