"""Platforms: ``os/architecture[/variant]`` in Go's words, and which entry of an index suits a machine.

Source: OCI image-spec, image-index.md, "platform"; GOARCH and GOARM of Go.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.oci_image import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# uname's machine → (architecture, variant)
_MACHINES = {
    "x86_64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "i386": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
    "loongarch64": ("loong64", ""),
    "mips64": ("mips64le", ""),
}
_ALIASES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i686": "386",
    "armhf": "arm",
    "armel": "arm",
}
# What Go's compilers call systems and architectures ("go tool dist list", and names it keeps for others).
_SYSTEMS = frozenset(
    "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 windows zos".split()
)
_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 arm64be armbe loong64 mips mips64 mips64le mipsle ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc "
    "sparc64 wasm".split()
)
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


def host() -> Platform:
    """The platform of this machine."""
    import os

    machine = os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform(os="linux", architecture=architecture, variant=variant)


def parse(text: str) -> Platform:
    """``linux/arm64/v8``, ``linux/amd64``, a known architecture (``arm64``) or system alone. Empty text is this machine.

    Raises :class:`InvalidInput`.
    """
    if not text:
        return host()
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(p and _ALLOWED.issuperset(p) for p in parts):
        raise InvalidInput(
            f"platform {text!r} is not os/architecture[/variant]", hint="for example linux/amd64"
        )
    if len(parts) == 1:
        name = _ALIASES.get(parts[0], parts[0])
        if name in _SYSTEMS:
            parts = [name, host().architecture]
        elif name in _ARCHITECTURES:
            parts = ["linux", *parts]
        else:
            raise InvalidInput(
                f"platform {text!r} is neither an operating system nor an architecture",
                hint="for example linux/amd64 or arm64",
            )
    variant = parts[2] if len(parts) == 3 else {"armhf": "v7", "armel": "v6"}.get(parts[1], "")
    return Platform(os=parts[0], architecture=_ALIASES.get(parts[1], parts[1]), variant=variant)


def text(platform: Platform) -> str:
    """``os/architecture[/variant]``."""
    made = f"{platform.os or 'linux'}/{platform.architecture}"
    return f"{made}/{platform.variant}" if platform.variant else made


def normal(platform: Platform) -> Platform:
    """The same platform with default variants spelt the one way: arm64/v8 is arm64, arm is arm/v7."""
    variant = platform.variant
    if platform.architecture == "arm64" and variant in ("v8", "8"):
        variant = ""
    elif platform.architecture == "arm" and variant in ("", "5", "6", "7", "8"):
        variant = f"v{variant or '7'}"
    elif platform.architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(os=platform.os or "linux", architecture=platform.architecture, variant=variant)


def rank(offered: Platform, wanted: Platform) -> int | None:
    """How well an offered platform runs on the wanted one: 0 is exact, higher is worse, None is not at all.

    A lower variant of ``arm`` and of ``amd64`` runs on a higher one, never the reverse.
    """
    have, want = normal(offered), normal(wanted)
    if have.os != want.os or have.architecture != want.architecture:
        return None
    if have.variant == want.variant:
        return 0
    if have.architecture in ("arm", "arm64", "amd64"):
        have_level = _level(have.variant, 8 if have.architecture == "arm64" else 1)
        want_level = _level(want.variant, 8 if want.architecture == "arm64" else 1)
        if have_level is not None and want_level is not None and have_level <= want_level:
            return 1 + want_level - have_level
    return None


def _level(variant: str, default: int) -> int | None:
    if not variant:
        return default
    digits = variant[1:].partition(".")[0] if variant[:1] == "v" else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else None


def select(offered: Sequence[Platform | None], wanted: Platform) -> int | None:
    """The index of the best entry for ``wanted``, the first of equals; None when nothing fits.

    An entry without a platform suits any machine, but only if no other does.
    """
    best: tuple[int, int] | None = None
    for index, platform in enumerate(offered):
        found = rank(platform, wanted) if platform is not None and platform.architecture else 1000
        if found is not None and (best is None or found < best[0]):
            best = (found, index)
    return None if best is None else best[1]
