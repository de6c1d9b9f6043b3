"""Exec: a further process in a running container. The calling process is its parent; no keeper is needed."""

from __future__ import annotations

import os

from lading.errors import CommandNotExecutable, Conflict, InvalidInput
from lading.formats.oci_runtime import Box, Capabilities, Process, User
from lading.node import spec, users
from lading.node.engine import engine_of
from lading.node.model import PAUSED
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Spec
    from lading.node.model import ContainerRecord, ExecRequest, PodRecord, Stdio
    from lading.node.session import Session
    from lading.node.shop import Shop

_SMALL = 4 << 20


def exec_in(shop: Shop, reference: str, request: ExecRequest, stdio: Stdio | None) -> Session:
    """Start ``request`` in the container ``reference``; the conversation with it."""
    from lading.node.session import ExecSession
    from lading.runtime import Stdio as RuntimeStdio

    record, container = shop.records.resolve(reference)
    made = container or record.container
    if not alive(made.pid, made.pid_start):
        raise Conflict(
            f"container {reference} is not running", hint=f"lading start {reference}", reason="state"
        )
    if made.state == PAUSED:
        raise Conflict(f"container {reference} is paused", hint=f"lading unpause {reference}", reason="state")
    handle = engine_of(shop, record).get(made.id)
    process = process_for(shop, record, made, handle.spec, request)
    ours = [-1, -1, -1]
    theirs: list[int] = []
    # A foreign runtime shares the streams of what it starts: what it says of a failure must not reach the caller raw.
    direct = not record.pod.spec.extras.runtime
    if stdio is not None and not request.tty and direct:
        ends = [stdio.stdin, stdio.stdout, stdio.stderr]
    else:
        ends = [-1, -1, -1]
        if not request.tty and not request.detach:
            if request.stdin or (stdio is not None and stdio.stdin >= 0):
                ends[0], ours[0] = os.pipe2(os.O_CLOEXEC)
            for index in (1, 2):
                ours[index], ends[index] = os.pipe2(os.O_CLOEXEC)
            theirs = [fd for fd in ends if fd >= 0]
    streams = RuntimeStdio(*ends)
    if record.users:
        from lading.node import podusers

        podusers.give_pipes(streams, record.users)
    try:
        made_process = handle.exec(process, stdio=streams)
    except BaseException:
        for fd in ours:
            if fd >= 0:
                os.close(fd)
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    session = ExecSession(made_process, (ours[0], ours[1], ours[2]))
    if request.tty and request.rows and request.columns:
        session.resize(request.rows, request.columns)
    return session


def process_for(
    shop: Shop, record: PodRecord, made: ContainerRecord, running: Spec, request: ExecRequest
) -> Process:
    """The runtime-spec process of an exec: the container's own, changed by the request."""
    own = running.process
    assert own is not None
    container = next(
        c for c in record.pod.spec.containers + record.pod.spec.init_containers if c.name == made.name
    )
    values = dict(text.split("=", 1) for text in own.env if "=" in text)
    user = own.user
    if request.user:
        try:
            identity = users.resolve(request.user, lambda path: _read_inside(shop, made.pid, path))
        except InvalidInput as error:  # as Docker: the command is there, and cannot be executed as that user
            raise CommandNotExecutable(error.message, hint=error.hint) from None
        user = User(uid=identity.uid, gid=identity.gid, additional_gids=identity.groups)
        values["HOME"] = identity.home or "/"
    if request.tty:
        values.setdefault("TERM", "xterm")
    for text in request.env:
        name, _, value = text.partition("=")
        values[name] = value
    process = own.replace(
        args=list(request.command),
        env=[f"{name}={value}" for name, value in values.items()],
        terminal=request.tty,
        user=user,
        cwd=request.working_dir or own.cwd,
        console_size=Box(height=request.rows, width=request.columns) if request.rows else None,
    )
    if request.privileged:
        bounding = spec.capabilities(container.security_context, True)
        process.capabilities = Capabilities(
            bounding=bounding, effective=list(bounding), permitted=list(bounding)
        )
    return process


def _read_inside(shop: Shop, pid: int, path: str) -> bytes:
    """A small file of the running container, through its root and never out of it; nothing when it is no regular file.

    Those of procfs have no size. One that a link leads to is not read: /proc/kmsg gives each of the kernel's messages once,
    to whoever was first, and then waits for another.
    """
    from lading.errors import KernelError
    from lading.kernel.paths import open_plain_inside

    try:
        root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        fd = open_plain_inside(shop.kernel, root, path)
    except (KernelError, OSError):
        return b""
    finally:
        os.close(root)
    try:
        size = os.fstat(fd).st_size
        return os.read(fd, min(size, _SMALL)) if size else b""
    finally:
        os.close(fd)
