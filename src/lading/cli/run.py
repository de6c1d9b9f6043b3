"""``lading run`` and ``lading create``."""

from __future__ import annotations

import os

from lading.cli.deferred import progress
from lading.cli.translate import Surroundings, pod_from_run
from lading.errors import Conflict, InvalidInput, LadingError, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.pod import BindMount, Pod
    from lading.node import ContainerRecord, PodRecord, Stdio


def run(context: Context, parsed: Parsed) -> int:
    """Run a command in a new container. The container's own status, or 0 once it runs in the background."""
    detach, tty = parsed["detach"], parsed["tty"]
    if detach and parsed["attach"]:
        raise InvalidInput("--detach and --attach contradict each other")
    if parsed["detach-keys"]:
        from lading.cli.terminal import detach_keys

        detach_keys(parsed["detach-keys"])
    pod = _pod(context, parsed)
    note = _cidfile(parsed)
    if detach:
        record = context.node.run_detached(pod, progress=progress(parsed["quiet"]), on_created=note)
        print(record.id)
        return 0
    if tty or not parsed["sig-proxy"]:
        from lading.cli import terminal

        if tty and pod.spec.containers[0].stdin:
            terminal.demand()
        rows, columns = terminal.size()
        _record, session = context.node.run_session(
            pod, progress=progress(parsed["quiet"]), rows=rows, columns=columns, on_created=note
        )
        return terminal.converse(
            session,
            stdin=pod.spec.containers[0].stdin,
            keys=parsed["detach-keys"],
            tty=tty,
            forward=False,
        )
    return context.node.run(pod, _stdio(parsed), progress=progress(parsed["quiet"]), on_created=note)


def _stdio(parsed: Parsed) -> Stdio:
    from lading.node import Stdio

    attached = parsed["attach"]
    return Stdio(
        stdin=0 if parsed["interactive"] or "stdin" in attached else -1,
        stdout=1 if not attached or "stdout" in attached else -1,
        stderr=2 if not attached or "stderr" in attached else -1,
    )


def create(context: Context, parsed: Parsed) -> int:
    """Create a container without starting it, and print its id."""
    pod = _pod(context, parsed)
    note = _cidfile(parsed)
    record = context.node.create(pod, progress=progress(parsed["quiet"]))
    if note is not None:
        note(record)
    print(record.id)
    return 0


def _pod(context: Context, parsed: Parsed) -> Pod:
    return pod_from_run(parsed.values, parsed.args, _around(context))


def _around(context: Context) -> Surroundings:
    def read_file(flag: str, path: str) -> bytes:
        from lading.formats.env import read_file as read

        return read(flag, path)

    def volumes_of(reference: str) -> Sequence[BindMount]:
        record, inner = context.node.find(reference)
        return _volumes_of(reference, record, inner or record.container)

    try:
        cwd = os.getcwd()
    except OSError:
        cwd = "/"
    return Surroundings(os.environ, cwd, read_file, volumes_of, free_port)


def _volumes_of(reference: str, record: PodRecord, container: ContainerRecord) -> list[BindMount]:
    """What ``--volumes-from`` takes over: binds as they are, and anonymous volumes by the names they got."""
    from lading.cli.inspect import definition_of

    definition = definition_of(record, container)
    if definition.volume_mounts:
        raise Unsupported(
            f"--volumes-from {reference}: the volumes of a manifest are not supported",
            hint="mount them by their names",
        )
    found = []
    for mount in definition.extras.mounts:
        name = container.volumes.get(mount.target, "")
        found.append(mount.replace(volume=name) if name and not mount.source else mount)
    known = {mount.target for mount in found}
    from lading.formats.pod import BindMount as Bind

    found += [
        Bind(target=target, volume=name) for target, name in container.volumes.items() if target not in known
    ]
    return found


def free_port(protocol: str, address: str, first: int, last: int) -> int:
    """The first port of the range that nothing on this machine listens on."""
    import _socket

    kind = _socket.SOCK_DGRAM if protocol == "udp" else _socket.SOCK_STREAM
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    for port in range(first, last + 1):
        sock = _socket.socket(family, kind)
        try:
            sock.bind((address, port))
            return port
        except OSError:
            continue
        finally:
            sock.close()
    raise Conflict(f"--publish: every port from {first} to {last} of the host is taken", reason="port-taken")


def _cidfile(parsed: Parsed) -> Callable[[PodRecord], None] | None:
    path = parsed["cidfile"]
    if not path:
        return None
    if os.path.lexists(path):
        raise Conflict(f"--cidfile {path}: the file exists already", hint="remove it or name another")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise InvalidInput(f"--cidfile {path}: the directory does not exist")

    def note(record: PodRecord) -> None:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LadingError(f"--cidfile {path}: {error.strerror}") from None
        with os.fdopen(fd, "w") as stream:
            stream.write(record.id)

    return note
