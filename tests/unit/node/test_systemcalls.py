"""A container's own choice of system calls, as a profile."""

from __future__ import annotations

import pytest

from lading.formats.pod import SystemCalls
from lading.node import callsets, systemcalls
from lading.node.seccomp_profile import default_profile

KILL = "SCMP_ACT_KILL_PROCESS"


def _made(mode: str, names: str, errno: str = "", sets: str = "") -> dict[str, tuple[str, int | None]]:
    """Name → (action, errno) of the last rule about it that has no condition; "" is what all others get."""
    wanted = SystemCalls(mode=mode, names=names.split(), sets=sets.split(), errno=errno)
    made = systemcalls.profile(wanted, ["CAP_CHOWN"], "x86_64")
    found = {name: (r.action, r.errno_ret) for r in made.syscalls if not r.args for name in r.names}
    return {**found, "": (made.default_action, made.default_errno_ret)}


def test_what_is_retained_and_what_a_start_takes_is_all_there_is() -> None:
    made = _made("retain", "mkdir keyctl", "EACCES")
    allowed = {name for name, (action, _) in made.items() if action == "SCMP_ACT_ALLOW"}
    assert allowed == {"mkdir", "keyctl"} | systemcalls.SETUP
    assert made[""] == made["ptrace"] == made["clone3"] == ("SCMP_ACT_ERRNO", 13)
    assert _made("retain", "mkdir")[""] == (KILL, None)


def test_what_is_removed_is_taken_from_the_default_profile_and_nothing_is_given() -> None:
    default = default_profile(["CAP_CHOWN"], "x86_64")
    made = _made("remove", "mkdir personality socket keyctl", "EACCES")
    for name in ("mkdir", "personality", "socket", "keyctl"):
        assert made[name] == ("SCMP_ACT_ERRNO", 13)
    allowed = {name for name, (action, _) in made.items() if action == "SCMP_ACT_ALLOW"}
    assert allowed == {n for r in default.syscalls if not r.args for n in r.names} - {"mkdir", "clone3"}
    assert made[""] == (default.default_action, default.default_errno_ret)
    assert _made("remove", "mkdir")["mkdir"] == (KILL, None)


def test_a_set_stands_for_its_calls_in_both_modes() -> None:
    made = _made("retain", "mkdir", "EACCES", "clock raw-io")
    allowed = {name for name, (action, _) in made.items() if action == "SCMP_ACT_ALLOW"}
    assert allowed == {"mkdir"} | callsets.SETS["clock"] | callsets.SETS["raw-io"] | systemcalls.SETUP
    made = _made("remove", "mkdir", "EACCES", "privileged")
    gone = {name for name, answer in made.items() if answer == ("SCMP_ACT_ERRNO", 13)}
    assert gone == ({"mkdir"} | callsets.SETS["privileged"]) - systemcalls.SETUP
    assert "setuid" in gone and "capset" not in gone  # without it no command begins


def test_what_every_container_may_call_is_retained_with_its_conditions() -> None:
    default = default_profile(["CAP_CHOWN"], "x86_64")
    wanted = SystemCalls(mode="retain", names=["mount", "personality"], sets=["default"], errno="EACCES")
    made = systemcalls.profile(wanted, ["CAP_CHOWN"], "x86_64")
    conditions = [r for r in made.syscalls if r.args]
    assert conditions == [r for r in default.syscalls if r.args and r.names != ["personality"]]
    assert {"socket", "clone"} == {name for rule in conditions for name in rule.names}
    found = _made("retain", "mount personality", "EACCES", "default")
    allowed = {name for name, (action, _) in found.items() if action == "SCMP_ACT_ALLOW"}
    assert allowed == {n for r in default.syscalls if not r.args for n in r.names} - {"clone3"} | {
        "mount",
        "personality",
    }
    assert found["clone3"] == ("SCMP_ACT_ERRNO", 38)  # so that clone(2) is called instead
    assert found["unshare"] == found["reboot"] == found[""] == ("SCMP_ACT_ERRNO", 13)
    assert not {"socket", "clone"} & set(found)
    assert _made("retain", "", "", "default")[""] == (KILL, None)
    assert _made("retain", "clone3", "", "default")["clone3"] == ("SCMP_ACT_ALLOW", None)


def test_without_what_every_container_may_call_a_start_is_all_there_is() -> None:
    found = _made("remove", "", "EACCES", "default")
    allowed = {name for name, (action, _) in found.items() if action == "SCMP_ACT_ALLOW"}
    assert allowed <= systemcalls.SETUP


def test_sets_hold_names_that_are_calls_somewhere() -> None:
    for name, calls in callsets.SETS.items():
        # Newer than Debian 12's libseccomp, and those that never had a number.
        assert set(systemcalls.unknown(sorted(calls))) <= {"uretprobe", "riscv_hwprobe"}, name


def test_conditions_of_a_removed_call_go_with_it() -> None:
    wanted = SystemCalls(mode="remove", names=["personality", "clone"], errno="EPERM")
    made = systemcalls.profile(wanted, [], "x86_64")
    assert not [r for r in made.syscalls if r.args and {"personality", "clone"} & set(r.names)]


@pytest.mark.parametrize(
    ("name", "number"), [("EPERM", 1), ("ENOSYS", 38), ("eperm", None), ("EVERY", None), ("errorcode", None)]
)
def test_errors_are_known_by_their_names(name: str, number: int | None) -> None:
    assert systemcalls.errno_of(name) == number


# POSIX.1-2001, <errno.h>, which has those of C99, too.
POSIX = """
    E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBADMSG EBUSY ECANCELED ECHILD ECONNABORTED
    ECONNREFUSED ECONNRESET EDEADLK EDESTADDRREQ EDOM EDQUOT EEXIST EFAULT EFBIG EHOSTUNREACH EIDRM EILSEQ EINPROGRESS EINTR
    EINVAL EIO EISCONN EISDIR ELOOP EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG ENETDOWN ENETRESET ENETUNREACH ENFILE ENOBUFS
    ENODATA ENODEV ENOENT ENOEXEC ENOLCK ENOLINK ENOMEM ENOMSG ENOPROTOOPT ENOSPC ENOSR ENOSTR ENOSYS ENOTCONN ENOTDIR
    ENOTEMPTY ENOTSOCK ENOTSUP ENOTTY ENXIO EOPNOTSUPP EOVERFLOW EPERM EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EROFS
    ESPIPE ESRCH ESTALE ETIME ETIMEDOUT ETXTBSY EWOULDBLOCK EXDEV
"""


def test_every_error_of_posix_is_known() -> None:
    assert [name for name in POSIX.split() if systemcalls.errno_of(name) is None] == []


def test_names_that_mean_nothing_are_found() -> None:
    assert systemcalls.unknown(["mkdir", "no_such_call", "socketcall", "arm_sync_file_range"]) == [
        "no_such_call"
    ]
