"""The commands of ``lading-runtime`` that change a container's life: create, start, run, exec, kill, delete;
and state."""

from __future__ import annotations

import os
import sys

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.formats.jsontext import dumps
from lading.runtime.cli import state_root
from lading.runtime.container import Runtime
from lading.runtime.job import Stdio
from lading.runtime.request import RunRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Parsed
    from lading.formats.oci_runtime import Process, Spec
    from lading.runtime.cli import Log
    from lading.runtime.container import Container


def runtime(parsed: Parsed, log: Log | None = None) -> Runtime:
    """The runtime that the global flags describe; its warnings go to ``log``."""
    manager = "systemd" if parsed.globals["systemd-cgroup"] else parsed.globals["cgroup-manager"]
    made = Runtime(state_root(parsed), cgroup_manager=manager)
    if log is not None:
        made.warn = log.warn
    return made


def read_file(path: str) -> bytes:
    """A whole file; raises :class:`NotFound` or :class:`InvalidInput` with its name."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    try:
        parts = []
        while part := os.read(fd, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)


def load_spec(bundle: str, log: Log, config: str = "") -> Spec:
    """``config.json`` of ``bundle``, or ``config``, checked; warnings go to the log."""
    from lading.runtime import validate

    path = os.path.join(bundle, config or "config.json")
    try:
        spec = validate.parse(read_file(path), what=path)
    except NotFound:
        raise NotFound(f"{path}: no such file", hint="name the bundle's directory with --bundle") from None
    for warning in [*validate.check(spec), *_drop_bind_data(spec)]:
        log.warn(warning)
    return spec


def _drop_bind_data(spec: Spec) -> list[str]:
    """Data for a file system ("mode=755") on bind mounts: the kernel ignores it, so engines were never told
    it is wrong.

    Left out, and said; ``Runtime`` itself refuses it.
    """
    from lading.runtime.options import is_bind

    warnings = []
    for index, mount in enumerate(spec.mounts):
        if not is_bind(mount) or not any("=" in option for option in mount.options):
            continue
        from lading.runtime.options import Options

        data = [name if value is None else f"{name}={value}" for name, value in Options(mount.options).data]
        kept = [option for option in mount.options if option not in data]
        if len(kept) != len(mount.options):
            mount.options = kept
            warnings.append(f"mounts[{index}].options: {', '.join(data)}: it means nothing for a bind mount")
    return warnings


def _passed_sockets(spec_process: Process | None, wanted: int) -> int:
    """systemd's socket activation: ``LISTEN_FDS`` descriptors go into the container, which is told
    (sd_listen_fds(3))."""
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isdigit() or spec_process is None:
        return wanted
    spec_process.env = [*spec_process.env, f"LISTEN_FDS={count}", "LISTEN_PID=1"]
    names = os.environ.get("LISTEN_FDNAMES")
    if names:
        spec_process.env.append(f"LISTEN_FDNAMES={names}")
    return wanted + int(count)


def _check_terminal(terminal: bool, socket: str, detached: bool) -> None:
    if terminal and detached and not socket:
        raise InvalidInput("process.terminal: a detached container needs --console-socket for its terminal")
    if socket and not (terminal and detached):
        raise InvalidInput("--console-socket: it is for a detached container with process.terminal")


def _check_descriptors(count: int) -> None:
    for fd in range(3, 3 + count):
        try:
            os.fstat(fd)
        except OSError:
            raise InvalidInput(f"--preserve-fds: descriptor {fd} is not open") from None


def _request(parsed: Parsed, log: Log, spec: Spec, bundle: str, *, detached: bool) -> RunRequest:
    """What the flags that ``create`` and ``run`` share ask for."""
    terminal = spec.process is not None and spec.process.terminal
    _check_terminal(terminal, parsed["console-socket"], detached)
    if os.environ.get("NOTIFY_SOCKET"):
        log.warn("NOTIFY_SOCKET is not passed on: systemd will not hear from the container")
    preserve = _passed_sockets(spec.process, parsed["preserve-fds"])
    _check_descriptors(preserve)
    return RunRequest(
        parsed.args[0],
        spec,
        bundle,
        stdio=Stdio(0, 1, 2),
        console_socket=parsed["console-socket"],
        preserve_fds=preserve,
        pid_file=parsed["pid-file"],
        no_pivot=parsed["no-pivot"],
        no_new_keyring=parsed["no-new-keyring"],
        plain_lines=not parsed["console-socket"],
    )


def create(parsed: Parsed, log: Log) -> int:
    """``create ID``"""
    bundle = os.path.abspath(parsed["bundle"] or ".")
    spec = load_spec(bundle, log, parsed["config"])
    container = runtime(parsed, log).create(_request(parsed, log, spec, bundle, detached=True))
    _send_pidfd(parsed["pidfd-socket"], container.pidfd)
    return 0


def _send_pidfd(path: str, pidfd: int) -> None:
    if path:
        from lading.runtime import console

        fd = console.connect(path)
        console.send_master(fd, pidfd, b"pidfd")
        os.close(fd)


def start(parsed: Parsed, log: Log) -> int:
    """``start ID``"""
    runtime(parsed).get(parsed.args[0]).start()
    return 0


def run(parsed: Parsed, log: Log) -> int:
    """``run ID``: in the foreground the exit status is the container's."""
    bundle = os.path.abspath(parsed["bundle"] or ".")
    spec = load_spec(bundle, log, parsed["config"])
    detach = parsed["detach"]
    request = _request(parsed, log, spec, bundle, detached=detach)
    signals = None
    if not detach:
        from lading.runtime import foreground

        if spec.process is not None and spec.process.terminal:
            foreground.adopt_size(spec.process)
        signals = foreground.Signals()
    try:
        container = runtime(parsed, log).run(request)
    except BaseException:
        if signals is not None:
            signals.restore()
        if request.said:
            os.write(1, request.said)
        raise
    _send_pidfd(parsed["pidfd-socket"], container.pidfd)
    if detach:
        return 0
    status = foreground.attend(container.pid, container.console, signals)
    if not parsed["keep"]:
        container.delete(force=True)
    return status


def state(parsed: Parsed, log: Log) -> int:
    """``state ID``"""
    sys.stdout.write(dumps(described(runtime(parsed).get(parsed.args[0])), indent=2) + "\n")
    return 0


def described(container: Container) -> dict[str, object]:
    """runtime-spec's state and what runc adds to it: rootfs, created, owner."""
    from lading.formats.duration import rfc3339

    record = container.record
    found = container.state()
    shown: dict[str, object] = {
        "ociVersion": found.oci_version,
        "id": found.id,
        "pid": found.pid,
        "status": found.status,
        "bundle": found.bundle,
        "rootfs": record.rootfs or _rootfs(record.bundle, container.config),
        "created": rfc3339(record.created),
    }
    if found.annotations:
        shown["annotations"] = found.annotations
    shown["owner"] = _user(record.owner)
    return shown


def _rootfs(bundle: str, spec: dict[str, object]) -> str:
    root = spec.get("root")
    path = root.get("path") if isinstance(root, dict) else None
    return os.path.normpath(os.path.join(bundle, path)) if isinstance(path, str) and path else ""


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def kill(parsed: Parsed, log: Log) -> int:
    """``kill ID [SIGNAL]``"""
    from lading.formats import signals

    given = parsed.args[1] if len(parsed.args) > 1 else "TERM"
    number = 0 if given == "0" else signals.number(given)  # 0: kill(2)'s question whether it is there
    runtime(parsed).get(parsed.args[0]).kill(number, all=parsed["all"])
    return 0


def delete(parsed: Parsed, log: Log) -> int:
    """``delete ID``"""
    machine = runtime(parsed, log)
    id = parsed.args[0]
    force = parsed["force"]
    try:
        container = machine.get(id)
    except LadingError as error:
        if not force or error.reason in ("id", "denied"):
            raise
        from lading.runtime import ending

        ending.forget(machine, id)
        return 0
    container.delete(force=force)
    return 0


def execute(parsed: Parsed, log: Log) -> int:
    """``exec ID COMMAND…`` or ``exec --process FILE ID``"""
    container = runtime(parsed).get(parsed.args[0])
    process = _process(parsed, container)
    from lading.runtime import validate

    warnings: list[str] = []
    validate.check_process(process, warnings=warnings)
    for warning in warnings:
        log.warn(warning)
    detach = parsed["detach"]
    _check_terminal(process.terminal, parsed["console-socket"], detach or bool(parsed["console-socket"]))
    preserve = parsed["preserve-fds"]
    _check_descriptors(preserve)
    from lading.runtime import foreground
    from lading.runtime.execute import enter

    if process.terminal and not detach and not parsed["console-socket"]:
        foreground.adopt_size(process)
    running = enter(
        container,
        process,
        stdio=Stdio(0, 1, 2),
        console_socket=parsed["console-socket"],
        preserve_fds=preserve,
        pid_file=parsed["pid-file"],
        cgroup=parsed["cgroup"],
        ignore_paused=parsed["ignore-paused"],
        plain_lines=not parsed["console-socket"],
    )
    _send_pidfd(parsed["pidfd-socket"], running.pidfd)
    if detach:
        return 0
    return foreground.attend(running.pid, running.console)


def _process(parsed: Parsed, container: Container) -> Process:
    from lading.formats.oci_runtime import Capabilities, Process, User

    if parsed["process"]:
        if len(parsed.args) > 1:
            raise InvalidInput("--process: a command cannot stand beside it")
        from lading.formats.jsontext import loads

        path = parsed["process"]
        process = Process.decode(loads(read_file(path), what=path), where=path, strict=False)
    else:
        if len(parsed.args) < 2:
            raise InvalidInput("exec: COMMAND is missing", hint=f"usage: {parsed.usage()}")
        given = container.config.get("process")
        if not isinstance(given, dict):
            raise Conflict(
                f"container {container.id} has no process whose settings could be taken", hint="use --process"
            )
        process = Process.decode(given, strict=False)
        process.args = parsed.args[1:]
        process.terminal = parsed["tty"]
        process.console_size = None
    if parsed["tty"]:
        process.terminal = True
    if parsed["cwd"]:
        process.cwd = parsed["cwd"]
    process.env = [*process.env, *parsed["env"]]
    if parsed["user"]:
        uid, colon, gid = parsed["user"].partition(":")
        if not uid.isdigit() or (colon and not gid.isdigit()):
            raise InvalidInput(f"--user: {parsed['user']!r} is not UID or UID:GID")
        user = process.user
        process.user = User(
            uid=int(uid),
            gid=int(gid) if colon else user.gid,
            umask=user.umask,
            additional_gids=user.additional_gids,
        )
    for text in parsed["additional-gids"]:
        if not text.isdigit():
            raise InvalidInput(f"--additional-gids: {text!r} is not a number")
        process.user.additional_gids.append(int(text))
    if parsed["no-new-privs"]:
        process.no_new_privileges = True
    if parsed["apparmor"]:
        process.apparmor_profile = parsed["apparmor"]
    if parsed["process-label"]:
        process.selinux_label = parsed["process-label"]
    if parsed["cap"]:
        sets = process.capabilities or Capabilities()
        from lading.kernel.capabilities import NAMES

        for name in parsed["cap"]:
            if name not in NAMES:
                raise InvalidInput(f"--cap: {name!r} is not a capability")
            for held in (sets.bounding, sets.effective, sets.permitted):
                if name not in held:
                    held.append(name)
            if name in sets.inheritable and name not in sets.ambient:
                sets.ambient.append(name)
        process.capabilities = sets
    return process
