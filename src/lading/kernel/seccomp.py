"""Seccomp filters: rules in, classic BPF out (libseccomp).

Compiling loads a library and takes milliseconds, so callers keep what :func:`compile_filter` returns and load it
with the raw seccomp(2) call (:meth:`lading.kernel.Kernel.seccomp_load`); the hot path never sees libseccomp.
"""

from __future__ import annotations

import _struct as struct
import os

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.kernel.ffi import Functions, buffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_VALUE = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY")

OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

#: runtime-spec's architectures → libseccomp's names.
ARCHITECTURES = {
    "SCMP_ARCH_X86": "x86",
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_ARM": "arm",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_LOONGARCH64": "loongarch64",
    "SCMP_ARCH_M68K": "m68k",
    "SCMP_ARCH_MIPS": "mips",
    "SCMP_ARCH_MIPS64": "mips64",
    "SCMP_ARCH_MIPS64N32": "mips64n32",
    "SCMP_ARCH_MIPSEL": "mipsel",
    "SCMP_ARCH_MIPSEL64": "mipsel64",
    "SCMP_ARCH_MIPSEL64N32": "mipsel64n32",
    "SCMP_ARCH_PPC": "ppc",
    "SCMP_ARCH_PPC64": "ppc64",
    "SCMP_ARCH_PPC64LE": "ppc64le",
    "SCMP_ARCH_PARISC": "parisc",
    "SCMP_ARCH_PARISC64": "parisc64",
    "SCMP_ARCH_RISCV64": "riscv64",
    "SCMP_ARCH_S390": "s390",
    "SCMP_ARCH_S390X": "s390x",
    "SCMP_ARCH_SH": "sh",
    "SCMP_ARCH_SHEB": "sheb",
}
_EPERM, _ENOSYS, _EEXIST = 1, 38, 17
_NONE = -1  # __NR_SCMP_ERROR
_ATTR_NNP = 3
_ATTR_OPTIMIZE, _BINARY_TREE = 8, 2
_X32_BIT = 0x40000000


class Comparison:
    """One argument's condition: argument ``index`` ``op`` ``value`` (for MASKED_EQ: ``& value`` is ``second``)."""

    __slots__ = ("index", "op", "second", "value")

    def __init__(self, index: int, op: str, value: int, second: int = 0) -> None:
        self.index = index
        self.op = op
        self.value = value
        self.second = second


class Rule:
    """``action`` for each of ``names`` whose arguments meet all ``conditions``."""

    __slots__ = ("action", "conditions", "errno", "names")

    def __init__(
        self,
        names: list[str],
        action: str,
        errno: int | None = None,
        conditions: list[Comparison] | None = None,
    ) -> None:
        self.names = names
        self.action = action
        self.errno = errno
        self.conditions = conditions or []


def action(name: str, errno: int | None, what: str) -> int:
    """The kernel's number of an action; ``errno`` is what ERRNO returns or TRACE passes (EPERM by default)."""
    if name not in ACTIONS:
        raise InvalidInput(f"{what}: action {name!r} is not known")
    if name not in _WITH_VALUE:
        if errno is not None:
            raise InvalidInput(f"{what}: {name} takes no errno")
        return ACTIONS[name]
    value = _EPERM if errno is None else errno
    if not 0 <= value <= 0xFFFF:
        raise InvalidInput(f"{what}: errno {value} is out of range")
    return ACTIONS[name] | value


_FUNCTIONS = (
    ("seccomp_init", "p", "I"),
    ("seccomp_release", "v", "p"),
    ("seccomp_arch_resolve_name", "I", "s"),
    ("seccomp_arch_native", "I", ""),
    ("seccomp_arch_add", "i", "pI"),
    ("seccomp_attr_set", "i", "piI"),
    ("seccomp_syscall_resolve_name", "i", "s"),
    ("seccomp_syscall_resolve_name_arch", "i", "Is"),
    ("seccomp_rule_add_array", "i", "pIiIp"),
    ("seccomp_export_bpf", "i", "pi"),
)


def _library() -> Functions:
    try:
        return Functions("libseccomp.so.2", _FUNCTIONS)
    except OSError:
        raise Unsupported("seccomp filters need libseccomp.so.2", hint="install libseccomp2") from None


def compile_filter(
    default: str, default_errno: int | None, architectures: list[str], rules: list[Rule]
) -> bytes:
    """A filter as BPF, eight bytes an instruction in native byte order.

    The native architecture is always covered. Names that this libseccomp does not know are skipped, as every runtime
    does: profiles list the calls of all kernels. Calls newer than every call the profile names answer ENOSYS instead of
    a restrictive default, so that a C library falls back to an older call.

    Raises :class:`InvalidInput` and :class:`Unsupported`.
    """
    base = action(default, default_errno, "linux.seccomp.defaultAction")
    lib = _library()
    context = lib.seccomp_init(base)
    if not context:
        raise Unsupported(f"linux.seccomp.defaultAction: libseccomp does not take {default}")
    try:
        tokens = _add_architectures(lib, context, architectures)
        _check(lib.seccomp_attr_set(context, _ATTR_NNP, 0), "no_new_privs attribute")
        # The kernel tries a new filter on every call number there is, to know which are always allowed: with one
        # comparison after the other that takes it a millisecond, with a search tree a tenth. Before libseccomp 2.5
        # there is no such attribute, and the filter is right without it.
        lib.seccomp_attr_set(context, _ATTR_OPTIMIZE, _BINARY_TREE)
        for index, rule in enumerate(rules):
            _add_rule(lib, context, base, rule, f"linux.seccomp.syscalls[{index}]")
        program = _export(lib, context)
    finally:
        lib.seccomp_release(context)
    if default in _PERMISSIVE:
        return program
    return _enosys_for_newer(lib, tokens, rules) + program


def unknown(names: list[str]) -> list[str]:
    """Those that this libseccomp knows as system calls of no architecture. Raises :class:`Unsupported` without one."""
    lib = _library()
    return [name for name in names if lib.seccomp_syscall_resolve_name(name.encode()) == _NONE]


def _check(result: int, what: str) -> None:
    if result < 0:
        raise LadingError(f"seccomp: {what}: {os.strerror(-result)}", reason="seccomp")


def _add_architectures(lib: Functions, context: int, names: list[str]) -> list[int]:
    tokens = [int(lib.seccomp_arch_native())]
    for name in names:
        if name not in ARCHITECTURES:
            raise InvalidInput(f"linux.seccomp.architectures: {name!r} is not known")
        token = int(lib.seccomp_arch_resolve_name(ARCHITECTURES[name].encode()))
        if not token:
            raise Unsupported(f"linux.seccomp.architectures: this libseccomp does not know {name}")
        result = lib.seccomp_arch_add(context, token)
        if result not in (0, -_EEXIST):
            _check(result, f"architecture {name}")
        if token not in tokens:
            tokens.append(token)
    return tokens


def _add_rule(lib: Functions, context: int, base: int, rule: Rule, what: str) -> None:
    act = action(rule.action, rule.errno, what)
    if act == base:
        return
    conditions = []
    for condition in rule.conditions:
        if condition.op not in OPERATORS:
            raise InvalidInput(f"{what}: operator {condition.op!r} is not known")
        if not 0 <= condition.index <= 5:
            raise InvalidInput(f"{what}: argument {condition.index} does not exist, there are 0 to 5")
        conditions.append(
            struct.pack(
                "IIQQ",
                condition.index,
                OPERATORS[condition.op],
                condition.value & 0xFFFFFFFFFFFFFFFF,
                condition.second & 0xFFFFFFFFFFFFFFFF,
            )
        )
    indexes = [c.index for c in rule.conditions]
    # Two conditions on one argument cannot be joined by "and" in libseccomp; runc made them alternatives, and
    # profiles rely on it.
    groups = [[c] for c in conditions] if len(set(indexes)) != len(indexes) else [conditions]
    for name in rule.names:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number == _NONE:
            continue
        for group in groups:
            array = buffer(b"".join(group)) if group else None
            result = lib.seccomp_rule_add_array(context, act, number, len(group), array)
            if result not in (0, -_EEXIST):
                _check(result, f"{what}: {name}")


def _export(lib: Functions, context: int) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(lib.seccomp_export_bpf(context, fd), "export")
        size = os.lseek(fd, 0, os.SEEK_CUR)
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)


# -- the stub for newer calls ------------------------------------------------------------------------------------------

_LD_ABS, _JEQ, _JGE, _JGT, _RET = 0x20, 0x15, 0x35, 0x25, 0x06
_NR, _ARCH = 0, 4
_ARCH_X86_64 = 0xC000003E
_TOKEN_X32 = 0x4000003E


def _instruction(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, when_true, when_false, value)


def _newest(lib: Functions, token: int, rules: list[Rule]) -> int:
    newest = -1
    for rule in rules:
        for name in rule.names:
            newest = max(newest, int(lib.seccomp_syscall_resolve_name_arch(token, name.encode())))
    return newest


def _enosys_for_newer(lib: Functions, tokens: list[int], rules: list[Rule]) -> bytes:
    """Instructions in front of the filter; each architecture's block falls through to what follows it."""
    blocks = b""
    for token in tokens:
        newest = _newest(lib, token, rules)
        if newest < 0 or token == _TOKEN_X32:
            continue
        answer = _instruction(_RET, ACTIONS["SCMP_ACT_ERRNO"] | _ENOSYS)
        if token == _ARCH_X86_64:
            # x32 calls share the architecture and have a high bit; they are left to the filter itself.
            body = (
                _instruction(_LD_ABS, _NR)
                + _instruction(_JGE, _X32_BIT, 2, 0)
                + _instruction(_JGT, newest, 0, 1)
                + answer
            )
        else:
            body = _instruction(_LD_ABS, _NR) + _instruction(_JGT, newest, 0, 1) + answer
        blocks += _instruction(_LD_ABS, _ARCH) + _instruction(_JEQ, token, 0, len(body) // 8) + body
    return blocks
