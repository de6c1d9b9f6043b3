"""Creating a pod, and running one in the foreground: the hot path of ``lading run``."""

from __future__ import annotations

import os

from lading.errors import LadingError, NotFound
from lading.node import prepare, sockets
from lading.node.loop import Loop
from lading.node.runner import PodRunner
from lading.node.shop import process_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from lading.formats.pod import Pod
    from lading.node.model import PodRecord, Stdio
    from lading.node.shop import Shop

#: Signals that are the container's business. SIGWINCH is not: without a terminal there is no window.
_FORWARDED = (1, 2, 3, 10, 12, 15)


def admitted(pod: Pod) -> Pod:
    """The pod checked and with defaults. Raises :class:`InvalidInput`, :class:`Unsupported`."""
    if not pod.spec.extras.container:
        from lading.node import admission

        admission.admit(admission.default(pod))
    return pod


def create(shop: Shop, pod: Pod, progress: object = None, *, claimed: bool = False) -> PodRecord:
    """Record a new pod; its keeper is nobody yet, or with ``claimed`` this process until it has forked one."""
    record = prepare.record_of(shop, admitted(pod), progress)
    if claimed:
        claim(shop, record)
    insert(shop, record)
    return record


def insert(shop: Shop, record: PodRecord) -> None:
    """Record a new pod, and see that its images have not been removed meanwhile: there is no record then."""
    shop.records.insert(record)
    try:
        for made in record.containers:
            shop.images.confirm(made.image_id)
    except NotFound:
        shop.records.delete(record)
        raise


def claim(shop: Shop, record: PodRecord) -> None:
    """Write this process into a record (that is about to be inserted or updated) as the pod's keeper."""
    record.keeper_pid = os.getpid()
    record.keeper_start = process_start(record.keeper_pid)
    record.keeper_socket = f"{shop.roots.keepers}/{record.id[:32]}"


def run(
    shop: Shop,
    pod: Pod,
    stdio: Stdio | None,
    progress: object,
    on_created: Callable[[PodRecord], None] | None,
) -> int:
    """Run a pod as its keeper; the exit code."""
    record = prepare.record_of(shop, admitted(pod), progress)
    claim(shop, record)

    def begin() -> None:
        insert(shop, record)
        if on_created is not None:
            on_created(record)

    return _in_foreground(shop, record, stdio, begin)


def run_again(shop: Shop, reference: str, stdio: Stdio | None) -> int:
    """Run a pod that is created or has ended, as its keeper; the exit code."""
    from lading.node import detached

    record = detached.take_over(shop, detached.whole(shop, reference, "start"))
    return _in_foreground(shop, record, stdio, lambda: None)


def _in_foreground(shop: Shop, record: PodRecord, stdio: Stdio | None, begin: Callable[[], None]) -> int:
    """Keep a pod that is claimed for this process; ``begin`` is called before anything of it is taken."""
    from lading.node.model import Stdio

    loop = Loop()
    failure: list[LadingError] = []
    runner = PodRunner(
        shop,
        loop,
        record,
        stdio=stdio or Stdio(),
        on_first=lambda error: failure.append(error) if error is not None else None,
    )
    undo = _forward_signals(
        runner
    )  # before there is a record: from here on Ctrl-C ends what it says, not just us
    try:
        begin()
        listener = serve(shop, loop, runner)
        try:
            runner.begin()
            loop.after(1.0, _collect_again)
            loop.run(_announced(runner) if os.environ.get("NOTIFY_SOCKET") else lambda: runner.finished)
        finally:
            close(shop, listener, record, loop)
    except Exception as error:
        if not isinstance(error, LadingError):  # a mistake of ours: what runs goes on in the background
            from lading.node import heirs

            heirs.bequeath(shop, record)
        raise
    finally:
        undo()
        loop.close()
    for outlet in runner.outlets:
        outlet.finish()
    if failure and not runner.started:
        raise failure[0]
    if runner.error is not None and any(made.reason == "StartError" for made in record.containers):
        raise runner.error  # others of the pod ran, and say nothing of it
    for outlet in runner.outlets:
        if outlet.lost:
            raise LadingError(
                f"{outlet.lost}: the container's output is cut there; it ended with {runner.exit_code}",
                reason="io",
            )
    return runner.exit_code


def _announced(runner: PodRunner) -> Callable[[], bool]:
    """Whether the pod is finished; asked each time that something happened, it tells the service manager (sd_notify(3))."""
    from lading.node.notifying import Announcer

    announcer = Announcer(runner.sequence)

    def finished() -> bool:
        announcer.look()
        return runner.finished

    return finished


def _collect_again() -> None:
    """A container that lives longer than the way to it: now garbage counts."""
    import gc

    gc.enable()


def serve(
    shop: Shop, loop: Loop, runner: PodRunner, listener: _socket.socket | None = None
) -> _socket.socket:
    """Listen for commands about a pod that this process keeps, at ``listener`` if it does already."""
    if listener is None:
        listener = sockets.listen(f"{shop.roots.keepers}/{runner.record.id[:32]}")
    heard = listener

    def called(_events: int) -> None:
        from lading.node.desk import Desk

        Desk(shop, loop, {runner.record.id: runner}).accept(heard)

    loop.watch(listener.fileno(), called)
    return listener


def close(shop: Shop, listener: _socket.socket, record: PodRecord, loop: Loop) -> None:
    """Stop listening."""
    loop.forget(listener.fileno())
    try:
        os.unlink(f"{shop.roots.keepers}/{record.id[:32]}")
    except OSError:
        pass
    listener.close()


def _forward_signals(runner: PodRunner) -> Callable[[], None]:
    import _signal  # type: ignore[import-not-found]

    arrived: list[int] = []
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def forward(number: int, _frame: object) -> None:
        # Not here: we may be in the middle of anything, a transaction among it.
        arrived.append(number)
        os.eventfd_write(event, 1)

    def deliver(_events: int) -> None:
        os.eventfd_read(event)
        while arrived:
            runner.interrupt(arrived.pop(0))

    runner.loop.watch(event, deliver)

    wanted = [
        n for n in _FORWARDED if n != 1 or _signal.getsignal(1) != _signal.SIG_IGN
    ]  # nohup(1) means the container
    before = [(number, _signal.signal(number, forward)) for number in wanted]
    # A closed pipe on our own stdout must not end the container.
    before.append((13, _signal.signal(13, _signal.SIG_IGN)))

    def undo() -> None:
        for number, handler in before:
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
        runner.loop.forget(event)
        os.close(event)

    return undo
