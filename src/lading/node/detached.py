"""Keepers of their own: the process that ``run -d`` and ``start`` leave behind, and talking to it.

A keeper is forked, not executed: it already has everything imported, and the command that forked it is about to end. It
is a session of its own, holds no descriptor of the command's and has init (or a subreaper) as its parent.
"""

from __future__ import annotations

import os
import time

from lading.errors import Conflict, InvalidInput, LadingError, NotFound
from lading.formats import jsontext
from lading.kernel.title import entitle
from lading.node import dozing, lifecycle, lookup, sockets, wire
from lading.node.loop import Loop
from lading.node.model import CREATED, PAUSED, RESTARTING, RUNNING
from lading.node.records import REMOVING
from lading.node.runner import PodRunner
from lading.node.shop import alive, before_fork, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from lading.formats.pod import Pod
    from lading.node.model import PodRecord
    from lading.node.session import Session
    from lading.node.shop import Shop

#: Seconds that a keeper which is giving a pod's things back is waited for.
_FINISHING = 15.0


def run(shop: Shop, pod: Pod, progress: object, on_created: Callable[[PodRecord], None] | None) -> PodRecord:
    """Create a pod and start it under a keeper of its own."""
    record = lifecycle.create(shop, pod, progress, claimed=True)
    if on_created is not None:
        on_created(record)
    _spawn(shop, record)
    return shop.records.get(record.id) or record


def run_session(
    shop: Shop,
    pod: Pod,
    progress: object,
    size: tuple[int, int],
    on_created: Callable[[PodRecord], None] | None,
) -> tuple[PodRecord, Session]:
    """As :func:`run`, attached from the first byte."""
    record = lifecycle.create(shop, pod, progress, claimed=True)
    if on_created is not None:
        on_created(record)
    return _with_session(shop, record, size)


def _with_session(shop: Shop, record: PodRecord, size: tuple[int, int]) -> tuple[PodRecord, Session]:
    from lading.node.session import SocketSession

    container = record.pod.spec.containers[0]
    ours, theirs = sockets.pair()
    try:
        _spawn(shop, record, theirs, size)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return record, SocketSession(ours, container.tty, _killer(shop, record, container.name))


def whole(shop: Shop, reference: str, verb: str) -> PodRecord:
    """What ``reference`` names. Raises :class:`InvalidInput` for a part of a pod, which stops, starts and goes as one."""
    record, container = shop.records.resolve(reference)
    if container is not None and not record.single:
        raise InvalidInput(
            f"{reference} is a container of pod {record.name}", hint=f"lading {verb} {record.name}"
        )
    return record


def start(shop: Shop, reference: str) -> PodRecord:
    """Start a created or ended pod under a keeper of its own."""
    record = whole(shop, reference, "start")
    if is_running(record):
        return record
    _spawn(shop, record)
    if not record.single:
        from lading.node import membership

        membership.start(shop, record)
    return shop.records.get(record.id) or record


def start_session(shop: Shop, reference: str, size: tuple[int, int]) -> tuple[PodRecord, Session]:
    """As :func:`start`, attached from the first byte; one that runs is attached to."""
    record = whole(shop, reference, "start")
    if is_running(record):
        return record, attach(shop, reference, stdin=True)
    return _with_session(shop, record, size)


def is_running(record: PodRecord) -> bool:
    """Whether a process of the pod lives, or its keeper is about to start one."""
    for container in record.containers:
        if container.state in (RUNNING, PAUSED) and alive(container.pid, container.pid_start):
            return True
        if container.state == RESTARTING and alive(record.keeper_pid, record.keeper_start):
            return True
    return False


def take_over(shop: Shop, record: PodRecord, socket: str = "", *, heir_of: int = 0) -> PodRecord:
    """Make this process the keeper of an ended or created pod, before anything is started.

    ``heir_of`` is the process that created the pod and waits for this one to keep it.

    Raises :class:`Conflict` (reason ``running``) when somebody else was faster.
    """
    end = time.monotonic() + _FINISHING
    while True:
        with shop.records.database:
            found = shop.records.get(record.id)
            if found is None:
                raise NotFound(f"no such container or pod: {record.name}")
            if is_running(found):
                raise Conflict(f"container {found.name} is running already", reason="running")
            if lookup.staged(shop.records.database, found.id) == {found.id: REMOVING}:
                raise Conflict(f"container {found.name} is being removed", reason="removing")
            kept = alive(found.keeper_pid, found.keeper_start)
            kept = kept and found.keeper_pid not in (os.getpid(), heir_of)
            if not kept:
                had_keeper = found.keeper_pid not in (0, heir_of)
                lifecycle.claim(shop, found)
                if socket:
                    found.keeper_socket = socket
                found.stopped = False
                found.phase, found.reason, found.message = "Pending", "", ""
                shop.records.update(
                    found,
                    "keeper_pid",
                    "keeper_start",
                    "keeper_socket",
                    "stopped",
                    "phase",
                    "reason",
                    "message",
                )
                for container in found.containers:
                    # One of a pod has its turn later than others: until then its end of last time is not this time's.
                    ended = container.state != CREATED and not found.single
                    if container.restarts or container.state == RESTARTING or ended:
                        container.restarts = 0
                        container.state = CREATED if not container.started or not found.single else "exited"
                        shop.records.save(found, container)
                break
        if time.monotonic() > end:
            raise Conflict(f"container {record.name} is still being ended by its keeper", reason="running")
        time.sleep(0.01)
    if had_keeper:
        from lading.node import releasing

        releasing.release(shop, found)
    return found


# -- the fork ------------------------------------------------------------------------------------------------------


def _disclaim(shop: Shop, record: PodRecord) -> None:
    """No keeper came to be: the pod that this command claimed for it is nobody's again."""
    found = shop.records.get(record.id)
    if found is not None and found.keeper_pid == os.getpid():
        found.keeper_pid = found.keeper_start = 0
        found.keeper_socket = ""
        shop.records.update(found, "keeper_pid", "keeper_start", "keeper_socket")


def adopt(shop: Shop, record: PodRecord) -> None:
    """Give a running pod whose keeper was killed a new one. Its streams are lost, and the exit status of what runs now."""
    _spawn(shop, record, adopting=True)


def _spawn(
    shop: Shop,
    record: PodRecord,
    attached: _socket.socket | None = None,
    size: tuple[int, int] = (0, 0),
    *,
    adopting: bool = False,
) -> None:
    """Fork the keeper and wait until it says that the first container runs. Raises what it raised."""
    before_fork()
    command = os.getpid()
    read, write = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        # Two forks: the command may be a long-lived program that never waits for unknown children.
        status = 1
        try:
            os.setsid()
            if os.fork() == 0:
                _become_keeper(shop, record, write, attached, size, command, adopting)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    os.waitpid(middle, 0)
    said = b""
    while block := os.read(read, 65536):
        said += block
    os.close(read)
    if said != b"{}":
        _disclaim(shop, record)
    if not said:
        raise LadingError(
            f"container {record.name}: its keeper ended before it started anything",
            hint="`lading check --repair` cleans up",
            reason="keeper-lost",
        )
    if said != b"{}":
        raise wire.decode_error(jsontext.loads(said))


def _become_keeper(
    shop: Shop,
    record: PodRecord,
    tell: int,
    attached: _socket.socket | None,
    size: tuple[int, int],
    command: int,
    adopting: bool,
) -> None:
    import gc

    since = time.monotonic() if adopting else 0.0
    # The command's garbage is left alone: finalised here, after its descriptors were closed below, a file or socket of
    # the command's would close one of ours that got the same number.
    gc.freeze()
    shop.disinherit()
    try:
        keep = [tell] + ([attached.fileno()] if attached is not None else [])
        detach_process(keep)
        # The command's arguments may hold what `-e` gave the container; everybody on the machine can read them in ps(1).
        entitle(f"lading-keeper {record.name}")
        if adopting:
            _keep_adopted(shop, record, tell)
        else:
            record = take_over(shop, record, heir_of=command)
            _keep(shop, record, tell, attached, size)
    except LadingError as error:
        _tell(tell, error)
    except BaseException as error:
        _tell(tell, error)
        crashed(shop, record, since)
    finally:
        os._exit(0)


def _tell(fd: int, error: BaseException | None) -> None:
    try:
        os.write(fd, jsontext.dumps(wire.encode_error(error)).encode() if error is not None else b"{}")
        os.close(fd)
    except OSError:
        pass


def crashed(shop: Shop, record: PodRecord, since: float) -> None:
    """The end of a keeper by a mistake of ours: another one for the pod, unless this is one and no older than ``since``."""
    from lading.node import heirs

    if since and time.monotonic() - since < heirs.YOUNG:
        note_crash(shop, record)
    else:
        heirs.bequeath(shop, record)


def note_crash(shop: Shop, record: PodRecord) -> None:
    """A keeper has no terminal: what it died of goes beside the pod's logs."""
    import traceback

    try:
        with open(f"{shop.pod_directory(record.id)}/keeper-error", "a") as stream:
            traceback.print_exc(file=stream)
    except OSError:
        pass


def detach_process(keep: list[int]) -> None:
    """Leave the command behind: its streams, descriptors and directory."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd, inheritable=True)
    low = 3
    for fd in sorted(keep):
        if fd > low:
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, max(low, int(os.sysconf("SC_OPEN_MAX")) if low > 65536 else 65536))
    os.chdir("/")
    os.umask(0o022)
    import _signal  # type: ignore[import-not-found]

    for number in range(1, 32):
        if callable(_signal.getsignal(number)):  # what a command in the foreground does about it
            _signal.signal(number, _signal.SIG_DFL)
    for number in (1, 2, 3, 10, 12, 13):
        _signal.signal(number, _signal.SIG_IGN)


def _keep(
    shop: Shop, record: PodRecord, tell: int, attached: _socket.socket | None, size: tuple[int, int]
) -> None:
    loop = Loop()
    runner = PodRunner(shop, loop, record)
    listener = lifecycle.serve(shop, loop, runner)
    loop.on_signal(15, runner.stop)
    if attached is not None:
        from lading.node.desk import Desk

        attached.setblocking(False)
        caller = Desk(shop, loop, {record.id: runner}).serve(attached)
        running = runner.running[record.container.name]
        caller.attach(running, runner, stdin=running.container.stdin)
        runner.size = size
    runner.on_first(lambda error: _tell(tell, error))
    runner.begin()
    dozing.keep(runner, listener)


def _keep_adopted(shop: Shop, record: PodRecord, tell: int) -> None:
    with shop.records.database:
        found = shop.records.get(record.id)
        if found is None or alive(found.keeper_pid, found.keeper_start):
            raise Conflict(f"container {record.name} has a keeper again", reason="running")
        lifecycle.claim(shop, found)
        shop.records.update(found, "keeper_pid", "keeper_start", "keeper_socket")
    loop = Loop()
    runner = PodRunner(shop, loop, found)
    listener = lifecycle.serve(shop, loop, runner)
    loop.on_signal(15, runner.stop)
    from lading.node import adopting

    adopting.adopt(runner)
    _tell(tell, None)
    dozing.keep(runner, listener)


# -- talking to one ------------------------------------------------------------------------------------------------


def attach(shop: Shop, reference: str, *, stdin: bool) -> Session:
    """The streams of a running container. Raises :class:`Conflict` when it does not run or nobody keeps it."""
    from lading.node.session import SocketSession

    record, container = shop.records.resolve(reference)
    target = container or record.container
    if target.state not in (RUNNING, RESTARTING, PAUSED) or not is_running(record):
        raise Conflict(
            f"container {reference} is not running", hint=f"lading start {reference}", reason="state"
        )
    try:
        sock = sockets.connect(record.keeper_socket)
    except NotFound:
        raise Conflict(
            f"container {reference}: its keeper is gone, and with it the other end of its streams",
            hint="restart it to attach",
            reason="keeper-lost",
        ) from None
    request: dict[str, object] = {"op": "attach", "id": record.id, "container": target.name, "stdin": stdin}
    answer = wire.ask(sock, request, within=wire.PATIENCE)
    return SocketSession(sock, bool(answer.get("tty")), _killer(shop, record, target.name))


def _killer(shop: Shop, record: PodRecord, name: str) -> Callable[[int], None]:
    """What sends a signal to the first process of a container, whichever that is by then."""

    def kill(number: int) -> None:
        found = shop.records.get(record.id)
        for container in found.containers if found is not None else ():
            if container.name == name:
                send_signal(shop.kernel, container.pid, container.pid_start, number)

    return kill
