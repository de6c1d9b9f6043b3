"""Control groups through systemd: a transient scope for each container, asked for over D-Bus with ``busctl``.

On a host with systemd, whoever makes groups in its tree by hand works against it; with ``--systemd-cgroup``
the scope is systemd's own, shown by ``systemd-cgls``, and delegated (``Delegate=yes``). Limits are written as
usual, and systemd is told of them (:mod:`lading.runtime.unitproperties`).

Source: systemd's "Control Group APIs and Delegation"; org.freedesktop.systemd1(5), StartTransientUnit.
"""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput, RemoteError, Unsupported
from lading.kernel import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel.cgroups import Layout

_PATIENCE = 25  # seconds
_TEXT = 4096
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def unit_of(wanted: str, id: str, *, rootless: bool) -> tuple[str, str]:
    """Slice and scope of ``linux.cgroupsPath`` (``SLICE:PREFIX:NAME``, each part may be empty but NAME)."""
    if not wanted:
        wanted = f":lading:{id}"
    parts = wanted.split(":")
    if len(parts) != 3 or not parts[2]:
        raise InvalidInput(
            f"linux.cgroupsPath: {wanted!r} is not SLICE:PREFIX:NAME, which --systemd-cgroup needs",
            hint="for example system.slice:lading:web",
        )
    slice_, prefix, name = parts
    slice_ = slice_ or ("user.slice" if rootless else "system.slice")
    if not slice_.endswith(".slice") or "/" in slice_ or slice_.startswith("-") or "--" in slice_:
        raise InvalidInput(
            f"linux.cgroupsPath: {slice_!r} is not the name of a systemd slice", hint="write NAME.slice"
        )
    if name.endswith(".slice"):
        raise Unsupported(f"linux.cgroupsPath: {name!r} is a slice; a container gets a scope")
    unit = f"{prefix}-{name}" if prefix else name
    return slice_, escape(unit) + ".scope"


def escape(name: str) -> str:
    """What systemd allows in a unit name; other bytes as ``\\xNN``."""
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\"
    return "".join(c if c in allowed else "".join(f"\\x{b:02x}" for b in c.encode()) for c in name)


def slice_path(slice_: str) -> str:
    """``a-b.slice`` lives in ``a.slice``: ``/a.slice/a-b.slice``."""
    if slice_ == "-.slice":
        return ""
    words = slice_.removesuffix(".slice").split("-")
    return "".join("/" + "-".join(words[: i + 1]) + ".slice" for i in range(len(words)))


def group_of(slice_: str, unit: str, layout: Layout, *, rootless: bool) -> str:
    """The group systemd gives the scope, as far as that can be known before: :func:`start_scope` returns the real one."""
    top = ""
    if rootless:
        user = _user()
        own = layout.own("" if layout.mode == "v2" else "name=systemd")
        marker = f"/user@{user}.service"
        index = own.find(marker)
        top = own[: index + len(marker)] if index >= 0 else f"/user.slice/user-{user}.slice{marker}"
    return f"{top}{slice_path(slice_)}/{unit}"


def _user() -> int:
    """This user's id outside of all user namespaces but the first, by which systemd knows him."""
    inside = os.getuid()
    for row in userns.own_map():
        if row[0] <= inside < row[0] + row[2]:
            return row[1] + inside - row[0]
    return inside


def user_bus() -> str:
    """The socket of the user's own bus, on which the user's systemd is; empty when there is none."""
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{_user()}"
    for place in (own, f"/run/user/{_user()}"):
        if os.path.exists(f"{place}/bus") and os.path.exists(f"{place}/systemd"):
            return f"{place}/bus"
    return ""


def serves_users() -> bool:
    """Whether an ordinary user can have scopes: there is a systemd of his own, and a way to speak to it."""
    return os.path.isdir("/run/systemd/system") and user_bus() != "" and _busctl() != ""


def require(*, rootless: bool) -> None:
    """Raise :class:`Unsupported` when this machine was not booted with systemd or has no ``busctl``."""
    if not os.path.isdir("/run/systemd/system"):
        raise Unsupported(
            "--systemd-cgroup: systemd does not run on this machine",
            hint="leave the flag out to use cgroupfs",
            reason="no-systemd",
        )
    if _busctl() == "":
        raise Unsupported("--systemd-cgroup: busctl is missing", hint="install systemd", reason="no-systemd")


def _busctl() -> str:
    for directory in os.environ.get("PATH", "/usr/bin:/bin").split(":"):
        path = directory + "/busctl"
        if os.access(path, os.X_OK):
            return path
    return "/usr/bin/busctl" if os.access("/usr/bin/busctl", os.X_OK) else ""


def start_scope(
    unit: str, slice_: str, pid: int, limits: list[list[str]], annotations: dict[str, str], *, user: bool
) -> str:
    """Start the transient scope ``unit`` around the process ``pid``, wait until it is there, and return its group.

    ``limits`` are properties, rows of name, signature and value. Annotations ``org.systemd.property.NAME`` with strings,
    numbers and truth values become properties, too.
    """
    properties: list[list[str]] = [
        ["Description", "s", "lading container " + unit.removesuffix(".scope")],
        ["Slice", "s", slice_],
        ["PIDs", "au", "1", str(pid)],
        ["Delegate", "b", "true"],
        ["DefaultDependencies", "b", "false"],
        [
            "CollectMode",
            "s",
            "inactive-or-failed",
        ],  # forgotten with its last process, also when that was killed
        ["CPUAccounting", "b", "true"],
        ["MemoryAccounting", "b", "true"],
        ["TasksAccounting", "b", "true"],
        *limits,
    ]
    for key, value in annotations.items():
        if key.startswith("org.systemd.property."):
            properties.append([key.removeprefix("org.systemd.property."), *_variant(key, value)])
    words = [str(len(properties))]
    for row in properties:
        words += row
    arguments = ("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "replace", *words, "0")
    try:
        _call(user, *arguments)
    except Conflict:
        # A scope that failed, and that somebody else made, keeps its name until it is forgotten.
        _call(user, "ResetFailedUnit", "s", unit, quiet=True)
        _call(user, *arguments)
    import time

    end = time.monotonic() + 10
    while True:
        if group := _group_of_process(pid, unit):
            return group
        if time.monotonic() > end:
            raise RemoteError(f"systemd did not put process {pid} into {unit}", reason="systemd")
        time.sleep(0.002)


def _group_of_process(pid: int, unit: str) -> str:
    """The group of a process that systemd has put into ``unit``; empty until it has."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            number, kinds, group = line.rstrip("\n").split(":", 2)
            if group.endswith("/" + unit) and (number == "0" or kinds == "name=systemd"):
                return group
    return ""


def set_properties(unit: str, properties: list[list[str]], *, user: bool) -> None:
    """Set properties of a running unit, rows of name, signature and value, until it ends."""
    words = [str(len(properties))]
    for row in properties:
        words += row
    _call(user, "SetUnitProperties", "sba(sv)", unit, "true", *words)


def _variant(key: str, value: str) -> list[str]:
    """A GVariant text of the simple kinds that engines send: ``'text'``, ``true``, ``int32 5``, ``uint64
    5``."""
    words = value.strip().split(" ", 1)
    kinds = {"int32": "i", "uint32": "u", "int64": "x", "uint64": "t", "boolean": "b", "string": "s"}
    if len(words) == 2 and words[0] in kinds:
        return [kinds[words[0]], words[1].strip().strip("'\"")]
    text = value.strip()
    if text in ("true", "false"):
        return ["b", text]
    if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) >= 2:
        return ["s", text[1:-1]]
    if text.lstrip("-").isdigit():
        return ["i", text]
    raise Unsupported(f"annotation {key}: the value {value!r} is not a string, number or truth value")


def attach(unit: str, pid: int, *, user: bool) -> None:
    """Move a process into the scope's group, which somebody who is outside of it may not do himself."""
    _call(user, "AttachProcessesToUnit", "ssau", unit, "", "1", str(pid))


def stop_scope(unit: str, *, user: bool) -> None:
    """Stop the scope; fine when it is gone, which it is as soon as its last process is."""
    _call(user, "StopUnit", "ss", unit, "replace", quiet=True)
    _call(user, "ResetFailedUnit", "s", unit, quiet=True)


def _call(user: bool, method: str, signature: str, *words: str, quiet: bool = False) -> None:
    command = [
        _busctl(),
        "--user" if user else "--system",
        "--quiet",
        f"--timeout={_PATIENCE}",
        "call",
        *_MANAGER,
        method,
        signature,
        *words,
    ]
    environment = dict(os.environ)
    if user and (bus := user_bus()):
        environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={bus}"
    status, said = _run(command, environment)
    if status != 0 and not quiet:
        last = ([line for line in said.splitlines() if line.strip()] or ["no reason given"])[-1].strip()
        if "already" in last:
            raise Conflict(f"systemd: {last}", reason="cgroup-in-use")
        raise RemoteError(f"systemd refused {method} for {words[0]}: {last}", reason="systemd")


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit status and standard error of a program; ``subprocess`` would take longer to import than this to run."""
    said = os.memfd_create("busctl", os.MFD_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        streams = [
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, said, 2),
        ]
        try:
            pid = os.posix_spawn(command[0], command, environment, file_actions=streams)
        except OSError as error:
            raise Unsupported(f"--systemd-cgroup: busctl: {error.strerror}", reason="no-systemd") from None
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status, os.pread(said, _TEXT, 0).decode(errors="replace")
    finally:
        os.close(said)
        os.close(null)
