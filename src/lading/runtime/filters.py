"""``linux.seccomp`` as a compiled filter, kept on disk by the digest of the profile.

Compiling Docker's default profile takes libseccomp some ten milliseconds; a container that uses a profile seen before
reads a file of a few kilobytes instead.
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput, Unsupported
from lading.formats.jsontext import dumps
from lading.kernel.seccomp_flags import FLAG_NEW_LISTENER, FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Seccomp

_VERSION = b"2"  # of what compile_filter makes of a profile; raise it when that changes
NOTIFY = "SCMP_ACT_NOTIFY"


class Filter:
    """A profile's ``program``, the ``flags`` of seccomp(2) to load it with, and its ``text`` as JSON."""

    __slots__ = ("flags", "program", "text")

    def __init__(self, program: bytes, flags: int, text: str) -> None:
        self.program = program
        self.flags = flags
        self.text = text


_named: dict[str, Filter] = {}
_NAMES = 16


def prepare(profile: Seccomp, cache: str, name: str = "") -> Filter:
    """The filter for ``profile``; ``cache`` is a directory, made when missing.

    ``name`` stands for the very same profile in every call of this process: what was worked out for it is used again.
    Raises :class:`InvalidInput` and :class:`Unsupported` naming the field.
    """
    made = _named.get(name)
    if made is None:
        flags = _flags(profile)
        text = dumps(profile.encode())
        made = Filter(_compiled(profile, text, cache), flags, text)
        if name and len(_named) < _NAMES:
            _named[name] = made
    return made


def _flags(profile: Seccomp) -> int:
    flags = 0
    for name in profile.flags:
        if name not in FLAGS:
            raise InvalidInput(f"linux.seccomp.flags: {name!r} is not known")
        flags |= FLAGS[name]
    if any(rule.action == NOTIFY for rule in profile.syscalls) or profile.default_action == NOTIFY:
        _check_notify(profile)
        flags |= FLAG_NEW_LISTENER
        # TSYNC and a listener exclude each other, and one thread needs no synchronising.
        flags &= ~FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]
    return flags


def _check_notify(profile: Seccomp) -> None:
    if not profile.listener_path:
        raise InvalidInput(f"linux.seccomp: action {NOTIFY} needs listenerPath")
    if profile.default_action == NOTIFY:
        raise InvalidInput(f"linux.seccomp.defaultAction: {NOTIFY} would stop the container's own set-up")
    for rule in profile.syscalls:
        if rule.action == NOTIFY and "write" in rule.names:
            raise InvalidInput(
                "linux.seccomp: the write call cannot be notified: the listener is handed over with it"
            )


def _compiled(profile: Seccomp, text: str, cache: str) -> bytes:
    from _blake2 import blake2b

    data = _VERSION + os.uname().machine.encode() + text.encode("utf-8", "surrogateescape")
    digest = blake2b(data, digest_size=24).hexdigest()
    path = f"{cache}/{digest}"
    return _kept(path) or _compile(profile, cache, path)


def _kept(path: str) -> bytes:
    """The program kept at ``path``; nothing unless it is whole and only this user could have written it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        found = os.fstat(fd)
        ours = found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode) and not found.st_mode & 0o022
        return os.read(fd, 1 << 20) if ours and found.st_size and found.st_size % 8 == 0 else b""
    finally:
        os.close(fd)


def _compile(profile: Seccomp, cache: str, path: str) -> bytes:
    from lading.kernel import seccomp

    rules = [
        seccomp.Rule(
            rule.names,
            rule.action,
            rule.errno_ret,
            [seccomp.Comparison(a.index, a.op, a.value, a.value_two) for a in rule.args],
        )
        for rule in profile.syscalls
    ]
    program = seccomp.compile_filter(
        profile.default_action, profile.default_errno_ret, profile.architectures, rules
    )
    if len(program) // 8 > 4096:
        raise Unsupported(f"linux.seccomp: {len(program) // 8} instructions are more than the kernel's 4096")
    try:
        os.makedirs(cache, 0o700, exist_ok=True)
        new = f"{path}.{os.getpid()}"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            whole = os.write(fd, program) == len(program)  # a full disk takes a part
        finally:
            os.close(fd)
        if whole:
            os.rename(new, path)
        else:
            os.unlink(new)
    except OSError:
        pass  # a cache that cannot be written costs time, nothing else
    return program
