"""The eBPF program that lets a cgroup v2 group use certain devices.

cgroup v1 has files (``devices.allow``, ``devices.deny``); v2 has a hook instead: a small program that the
kernel asks at every open and mknod of a device. :func:`assemble` turns rules
(:mod:`lading.kernel.devicerules`) into instructions, :func:`attach_device_filter` loads and attaches them.

Source: bpf(2), include/uapi/linux/bpf.h (bpf_cgroup_dev_ctx).
"""

from __future__ import annotations

import os
from errno import EACCES, ENOSYS, EPERM

from lading.errors import Denied, KernelError, Unsupported
from lading.kernel.devicerules import DeviceRule, effective
from lading.kernel.ffi import Library, addressof, buffer, get_errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_MULTI = 2  # BPF_F_ALLOW_MULTI
_REPLACE = 4  # BPF_F_REPLACE
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_CGROUP_DEVICE_PROGRAM, _CGROUP_DEVICE_ATTACH = 15, 6
_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}

# Instruction codes (class | size or operation | source), as in Documentation/bpf/instruction-set.rst.
_LOAD32, _AND32_K, _RSH32_K = 0x61, 0x54, 0x74
_MOV32_X, _MOV64_K = 0xBC, 0xB7
_JNE_K, _JNE_X, _JEQ_K, _EXIT = 0x55, 0x5D, 0x15, 0x95
_JNE32_K = 0x56


def _ins(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return (
        bytes((code, src << 4 | dst))
        + offset.to_bytes(2, "little", signed=True)
        + (value & 0xFFFFFFFF).to_bytes(4, "little")
    )


def assemble(rules: Sequence[DeviceRule]) -> bytes:
    """The BPF_PROG_TYPE_CGROUP_DEVICE program for ``rules``: 1 allows, 0 denies.

    Registers: r2 type, r3 access, r4 major, r5 minor of the request.
    """
    everything, exceptions = effective(rules)
    code = [
        _ins(_LOAD32, 2, 1, 0),
        _ins(_MOV32_X, 3, 2),
        _ins(_AND32_K, 2, 0, 0, 0xFFFF),
        _ins(_RSH32_K, 3, 0, 0, 16),
        _ins(_LOAD32, 4, 1, 4),
        _ins(_LOAD32, 5, 1, 8),
    ]
    for rule in exceptions:
        checks: list[tuple[int, int, int, int]] = [(_JNE_K, 2, 0, _TYPES[rule.type])]
        mask = 0
        for letter in rule.access:
            mask |= _ACCESS[letter]
        body: list[bytes] = []
        # An allowing rule must cover the whole request; a denying one need only touch it.
        body.append(_ins(_MOV32_X, 1, 3))
        if everything:
            body.append(_ins(_AND32_K, 1, 0, 0, mask))
            tests = [(_JEQ_K, 1, 0, 0)]
        else:
            body.append(_ins(_AND32_K, 1, 0, 0, mask))
            tests = [(_JNE_X, 1, 3, 0)]
        for register, number in ((4, rule.major), (5, rule.minor)):
            if number is not None:
                tests.append((_JNE32_K, register, 0, number))
        verdict = [_ins(_MOV64_K, 0, 0, 0, int(rule.allow)), _ins(_EXIT)]
        # Every test jumps over what is left of this rule when the request does not match it.
        total = len(checks) + len(body) + len(tests) + len(verdict)
        at = 0
        for op, dst, src, value in checks:
            at += 1
            code.append(_ins(op, dst, src, total - at, value))
        code += body
        at += len(body)
        for op, dst, src, value in tests:
            at += 1
            code.append(_ins(op, dst, src, total - at, value))
        code += verdict
    code += [_ins(_MOV64_K, 0, 0, 0, int(everything)), _ins(_EXIT)]
    return b"".join(code)


def attach_device_filter(directory: str, rules: Sequence[DeviceRule]) -> None:
    """Make ``rules`` the device filter of the v2 group ``directory``, in place of the one we set before.

    The new program is attached before the old ones go, so no moment is without a filter. Raises
    :class:`Denied` without CAP_BPF or CAP_SYS_ADMIN in the first user namespace, :class:`Unsupported`
    without CONFIG_CGROUP_BPF.
    """
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        program = load(assemble(rules))
        try:
            old = _attached(group)
            try:
                if len(old) == 1:
                    _attach(group, program, _MAX_MULTI | _REPLACE, old[0])
                else:
                    _attach(group, program, _MAX_MULTI, 0)
                    for fd in old:
                        _bpf(_PROG_DETACH, _words(group, fd, _CGROUP_DEVICE_ATTACH, 0), "detaching a filter")
            finally:
                for fd in old:
                    os.close(fd)
        finally:
            os.close(program)
    finally:
        os.close(group)


def load(code: bytes) -> int:
    """Load a device program; returns its descriptor. The verifier's last words are in the error."""
    instructions = buffer(code)
    licence = buffer(b"Apache-2.0\0")
    attributes = (
        _words(_CGROUP_DEVICE_PROGRAM, len(code) // 8)
        + addressof(instructions).to_bytes(8, "little")
        + addressof(licence).to_bytes(8, "little")
    )
    try:
        return _bpf(_PROG_LOAD, attributes + _words(0, 0, 0, 0, 0, 0), "loading the device filter")
    except KernelError:
        log = buffer(16384)
        again = attributes + _words(1, len(log)) + addressof(log).to_bytes(8, "little") + _words(0, 0)
        try:
            return _bpf(_PROG_LOAD, again, "loading the device filter")
        except KernelError as error:
            last = (log.value.decode(errors="replace").strip().splitlines() or [""])[-1]
            raise KernelError(error.call, error.errno, hint=last) from None


def _attach(group: int, program: int, flags: int, replaced: int) -> None:
    _bpf(
        _PROG_ATTACH,
        _words(group, program, _CGROUP_DEVICE_ATTACH, flags, replaced),
        "attaching the device filter",
    )


def _attached(group: int) -> list[int]:
    """Descriptors of the device programs of ``group`` itself."""
    ids = buffer(4 * 64)
    address = addressof(ids).to_bytes(8, "little")
    query = _words(group, _CGROUP_DEVICE_ATTACH, 0, 0) + address + _words(64, 0)
    answer = _bpf_buffer(_PROG_QUERY, query, "asking for device filters")
    count = int.from_bytes(answer[24:28], "little")
    found = []
    for index in range(count):
        try:
            found.append(
                _bpf(
                    _PROG_GET_FD_BY_ID,
                    ids.raw[4 * index : 4 * index + 4] + _words(0, 0),
                    "opening a device filter",
                )
            )
        except KernelError:
            continue  # it was detached meanwhile
    return found


def _words(*values: int) -> bytes:
    return b"".join((v & 0xFFFFFFFF).to_bytes(4, "little") for v in values)


def _bpf(command: int, attributes: bytes, what: str) -> int:
    result, _ = _call(command, attributes, what)
    return result


def _bpf_buffer(command: int, attributes: bytes, what: str) -> bytes:
    return _call(command, attributes, what)[1]


def _call(command: int, attributes: bytes, what: str) -> tuple[int, bytes]:
    number = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280}.get(os.uname().machine)
    if number is None:
        raise Unsupported(f"bpf: architecture {os.uname().machine} is not known")
    bpf = Library().function("syscall", "l", "lipI")
    raw = buffer(attributes)
    result = bpf(number, command, raw, len(attributes))
    if result < 0:
        code = get_errno()
        if code in (EPERM, EACCES):
            raise Denied(f"{what}: {os.strerror(code)}", hint="it needs CAP_BPF or CAP_SYS_ADMIN")
        if code == ENOSYS:
            raise Unsupported(f"{what}: this kernel has no bpf()")
        raise KernelError(f"{what}: bpf", code)
    return result, raw.raw
