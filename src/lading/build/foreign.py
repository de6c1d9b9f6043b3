"""Commands of another architecture: what the kernel runs them with, and what to say when it has nothing for them.

A handler of binfmt_misc knows programs by their first bytes. One with the flag F has its interpreter opened when it is
registered; without it the kernel looks for the path inside the container.
Source: Documentation/admin-guide/binfmt-misc.rst; the numbers of elf(5).
"""

from __future__ import annotations

import os
import struct

from lading.errors import CommandNotExecutable, CommandNotFound, LadingError
from lading.formats import platform as platforms

BINFMT = "/proc/sys/fs/binfmt_misc"
_EXEC, _DYN = 2, 3
# architecture → bits, byte order, machine of an ELF header
_ELF = {
    "386": (32, "<", 3),
    "amd64": (64, "<", 62),
    "arm": (32, "<", 40),
    "arm64": (64, "<", 183),
    "loong64": (64, "<", 258),
    "mips": (32, ">", 8),
    "mips64": (64, ">", 8),
    "mips64le": (64, "<", 8),
    "mipsle": (32, "<", 8),
    "ppc": (32, ">", 20),
    "ppc64": (64, ">", 21),
    "ppc64le": (64, "<", 21),
    "riscv64": (64, "<", 243),
    "s390x": (64, ">", 22),
}
_INSTALL = "install qemu-user-static and binfmt-support, or register an emulator with the flag F"


class Handler:
    """An entry of binfmt_misc. ``fixed``: its interpreter is open already (the flag F)."""

    __slots__ = ("enabled", "fixed", "interpreter", "name")

    def __init__(self, name: str, *, enabled: bool, interpreter: str, fixed: bool) -> None:
        self.name = name
        self.enabled = enabled
        self.interpreter = interpreter
        self.fixed = fixed


def explain(error: LadingError, platform: str) -> LadingError:
    """The error of a command of ``platform`` that could not be executed, told with the reason where that is the platform."""
    wanted, here = platforms.parse(platform), platforms.host()
    if wanted.architecture == here.architecture:
        return error
    if not isinstance(error, (CommandNotExecutable, CommandNotFound)):
        return error
    known = handler(wanted.architecture)
    foreign = f"{error.message}: {platform} is foreign to this machine ({platforms.text(here)})"
    if isinstance(error, CommandNotFound):
        if known is None or known.fixed or not known.enabled:
            return error
        told = f"{foreign}, and the handler {known.name!r} looks for {known.interpreter} in the image"
        return CommandNotFound(
            told,
            hint="register it with the flag F, or copy that program into the image",
            reason="foreign-platform",
        )
    if known is None:
        told = f"{foreign}, and " + (
            "no handler of binfmt_misc runs its programs"
            if os.path.exists(f"{BINFMT}/status")
            else "binfmt_misc is not mounted, so no handler of it is seen"
        )
        return CommandNotExecutable(told, hint=_INSTALL, reason="foreign-platform")
    if not known.enabled:
        told = f"{foreign}, and the handler {known.name!r} is switched off"
        hint = f"switch it on: echo 1 > {BINFMT}/{known.name}"
        return CommandNotExecutable(told, hint=hint, reason="foreign-platform")
    return error


def handler(architecture: str, directory: str = "") -> Handler | None:
    """The handler that programs of ``architecture`` meet, one that is switched on before others; None for none."""
    directory = directory or BINFMT
    found: Handler | None = None
    try:
        names = os.listdir(directory)
        everything = _text(f"{directory}/status").strip() == "enabled"
    except OSError:
        return None
    for name in sorted(names):
        if name in ("register", "status"):
            continue
        try:
            lines = _text(f"{directory}/{name}").splitlines()
        except OSError:
            continue  # removed meanwhile
        fields = dict(line.split(" ", 1) for line in lines[1:] if " " in line)
        if not _meets(fields, architecture):
            continue
        enabled = everything and lines[0] == "enabled"
        if found is None or (enabled and not found.enabled):
            flags = next((line.partition(":")[2] for line in lines if line.startswith("flags:")), "")
            found = Handler(
                name, enabled=enabled, interpreter=fields.get("interpreter", ""), fixed="F" in flags
            )
    return found


def _meets(fields: dict[str, str], architecture: str) -> bool:
    """Whether a handler's ``magic`` and ``mask`` at ``offset`` are those of a program."""
    try:
        magic = bytes.fromhex(fields["magic"])
        mask = bytes.fromhex(fields.get("mask", "ff" * len(magic)))
        offset = int(fields.get("offset", "0"))
    except (KeyError, ValueError):
        return False
    for program in _programs(architecture):
        part = program[offset : offset + len(magic)]
        if len(part) == len(magic) and all(
            have & care == want & care for have, want, care in zip(part, magic, mask, strict=True)
        ):
            return True
    return False


def _programs(architecture: str) -> list[bytes]:
    """The first bytes of an architecture's programs: at a fixed place, and at any."""
    if architecture not in _ELF:
        return []
    bits, order, machine = _ELF[architecture]
    ident = b"\x7fELF" + bytes((1 if bits == 32 else 2, 1 if order == "<" else 2, 1)) + bytes(9)
    return [ident + struct.pack(f"{order}HHI", kind, machine, 1) + bytes(108) for kind in (_EXEC, _DYN)]


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(1 << 16)
