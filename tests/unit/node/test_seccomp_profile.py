"""The default profile: what a container may do without asking, and what a capability gives back."""

from __future__ import annotations

import pytest

from lading.formats.oci_runtime import Seccomp
from lading.node.seccomp_profile import _BY_CAPABILITY, cache_key, default_profile

DOCKERS_CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
]  # fmt: skip

MASKED = {
    "SCMP_CMP_EQ": lambda given, one, _two: given == one,
    "SCMP_CMP_NE": lambda given, one, _two: given != one,
    "SCMP_CMP_MASKED_EQ": lambda given, one, two: given & one == two,
}


def verdict(profile: Seccomp, name: str, *arguments: int) -> str | int:
    """What the filter answers: ``allow`` or the errno. The rules' own evaluator, as seccomp(2) describes it."""
    for rule in profile.syscalls:
        if name not in rule.names:
            continue
        if all(MASKED[a.op](arguments[a.index], a.value, a.value_two) for a in rule.args):
            return "allow" if rule.action == "SCMP_ACT_ALLOW" else rule.errno_ret
    return profile.default_errno_ret


@pytest.fixture
def ordinary() -> Seccomp:
    return default_profile(DOCKERS_CAPABILITIES, "x86_64")


@pytest.mark.parametrize(
    "name",
    "read openat2 execve futex clock_gettime ptrace chroot seccomp statx arch_prctl memfd_create".split(),
)
def test_ordinary_work_is_allowed(ordinary: Seccomp, name: str) -> None:
    assert verdict(ordinary, name) == "allow"


@pytest.mark.parametrize(
    "name",
    "mount umount2 unshare setns pivot_root keyctl add_key request_key bpf perf_event_open init_module kexec_load "
    "reboot swapon open_by_handle_at userfaultfd io_uring_setup io_uring_enter move_mount open_tree iopl settimeofday "
    "clock_settime acct quotactl kcmp mbind sethostname nfsservctl vm86 syslog".split(),
)
def test_what_reaches_past_the_container_is_refused(ordinary: Seccomp, name: str) -> None:
    assert verdict(ordinary, name) == 1


@pytest.mark.parametrize(
    ("capability", "name"),
    [(capability, name) for capability, names in _BY_CAPABILITY.items() for name in names.split()],
)
def test_a_capability_gives_its_calls_back_and_its_absence_takes_them(capability: str, name: str) -> None:
    assert verdict(default_profile([capability], "x86_64"), name) == "allow"
    assert verdict(default_profile([], "x86_64"), name, 0x10000000) != "allow"


def test_keyrings_and_new_roots_stay_closed_whatever_is_held() -> None:
    profile = default_profile(list(_BY_CAPABILITY), "x86_64")
    assert {verdict(profile, name) for name in ("keyctl", "add_key", "request_key", "userfaultfd")} == {1}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(0x3D0F00, "allow"), (17, "allow"), (0x10000000, 1), (0x00020000, 1), (0x02000000, 1), (0x40000011, 1)],
)
def test_clone_makes_threads_but_no_namespaces(ordinary: Seccomp, flags: int, expected: str | int) -> None:
    assert verdict(ordinary, "clone", flags) == expected


def test_clone3_says_it_does_not_exist_so_that_libc_falls_back(ordinary: Seccomp) -> None:
    assert verdict(ordinary, "clone3", 0) == 38


def test_the_flags_of_clone_are_the_second_argument_on_s390x() -> None:
    profile = default_profile([], "s390x")
    assert verdict(profile, "clone", 0x10000000, 17) == "allow"
    assert verdict(profile, "clone", 0, 0x10000000) == 1


def test_sockets_of_every_family_but_the_hypervisors(ordinary: Seccomp) -> None:
    assert verdict(ordinary, "socket", 2, 1, 0) == "allow"
    assert verdict(ordinary, "socket", 40, 1, 0) == 1


@pytest.mark.parametrize(
    ("persona", "expected"), [(0, "allow"), (0xFFFFFFFF, "allow"), (0x0040000, 1), (4, 1)]
)
def test_personalities_that_weaken_a_process_are_refused(
    ordinary: Seccomp, persona: int, expected: str | int
) -> None:
    assert verdict(ordinary, "personality", persona) == expected


def test_no_name_stands_twice_so_no_rule_shadows_another(ordinary: Seccomp) -> None:
    plain = ordinary.syscalls[0].names
    assert len(plain) == len(set(plain))
    assert not {"socket", "personality", "clone", "clone3"} & set(plain)


def test_the_32_bit_abis_of_a_machine_are_filtered_too(ordinary: Seccomp) -> None:
    assert ordinary.architectures == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert default_profile([], "aarch64").architectures == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert default_profile([], "loongarch64").architectures == []


def test_equal_profiles_have_equal_keys_and_different_ones_different_keys() -> None:
    shuffled = list(reversed(DOCKERS_CAPABILITIES))
    assert default_profile(shuffled, "x86_64") == default_profile(DOCKERS_CAPABILITIES, "x86_64")
    assert cache_key(shuffled, "x86_64") == cache_key([*DOCKERS_CAPABILITIES, "CAP_FOWNER"], "x86_64")
    assert cache_key([], "x86_64") == cache_key(["CAP_CHOWN"], "x86_64") == "default-1-x86_64"
    assert cache_key(["CAP_SYS_ADMIN"], "x86_64") != cache_key([], "x86_64") != cache_key([], "aarch64")


def test_it_decodes_from_its_own_json() -> None:
    profile = default_profile(["CAP_SYS_ADMIN"], "x86_64")
    assert Seccomp.decode(profile.encode()) == profile
