"""Making a container, as one transaction: recorded first, undone whole when any part fails."""

from __future__ import annotations

import os
import time

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.oci_runtime import Linux, State
from lading.kernel.seccomp_flags import FLAG_NEW_LISTENER
from lading.runtime import birth, command, filters, init, join, resources
from lading.runtime.config import text_of
from lading.runtime.job import Job, Stdio
from lading.runtime.store import StateRecord, start_time
from lading.runtime.sysctls import check_sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel
    from lading.runtime.container import Runtime
    from lading.runtime.request import RunRequest
    from lading.runtime.resources import CgroupHandle

OCI_VERSION = "1.2.0"


class Made:
    """A container that exists: its record, the descriptor of its first process, its terminal's master or -1."""

    __slots__ = ("console", "pidfd", "record")

    def __init__(self, record: StateRecord, pidfd: int, console: int) -> None:
        self.record = record
        self.pidfd = pidfd
        self.console = console


def check(request: RunRequest, plan: join.Plan) -> None:
    """Fields that this runtime or this machine cannot honour, by name, before anything is made."""
    spec = request.spec
    for name in ("solaris", "windows", "vm", "zos"):
        if getattr(spec, name) is not None:
            raise Unsupported(f"{name}: this runtime makes Linux containers")
    if spec.root is None and request.rootfs is None:
        raise InvalidInput("root: a container needs one")
    linux = spec.linux or Linux()
    if linux.intel_rdt is not None:
        raise Unsupported("linux.intelRdt: resource control of caches is not supported")
    own = {name for name in join.KINDS if plan.owns(name)}
    for name in linux.sysctl:
        check_sysctl(name, own)
    if spec.hostname and "uts" not in own:
        raise InvalidInput("hostname needs the container to have its own uts namespace")
    if spec.domainname and "uts" not in own:
        raise InvalidInput("domainname needs the container to have its own uts namespace")
    # A joined mount namespace keeps the root that it has: nothing is mounted or masked there.
    if "mount" not in plan.new:
        for field, value in (
            ("mounts", spec.mounts),
            ("linux.maskedPaths", linux.masked_paths),
            ("linux.readonlyPaths", linux.readonly_paths),
            ("linux.devices", linux.devices),
        ):
            if value:
                raise InvalidInput(f"{field} need the container to have a new mount namespace of its own")
    if linux.net_devices and "network" not in own:
        raise InvalidInput("linux.netDevices need the container to have its own network namespace")
    if linux.net_devices and "user" in own:
        raise Unsupported("linux.netDevices beside a user namespace")
    if spec.process is not None and spec.process.command_line:
        raise Unsupported("process.commandLine: it is for Windows, use args")


def make(runtime: Runtime, request: RunRequest) -> Made:
    """Make the container, up to its command (``hold``) or past it. Nothing is left behind on failure."""
    kernel, store, spec = runtime.kernel, runtime.store, request.spec
    plan = join.plan(kernel, spec.linux or Linux())
    made = None
    try:
        check(request, plan)
        anchor = store.create(request.id)
        try:
            made = _recorded(runtime, request, plan, anchor)
        finally:
            if made is None:
                store.remove(request.id)
                _stopped(runtime, request)
    finally:
        plan.close()
    return made


def _stopped(runtime: Runtime, request: RunRequest) -> None:
    """An error on the way leads to the end of the life cycle, and there are the poststop hooks (runtime.md, Lifecycle)."""
    hooks = request.spec.hooks
    if hooks is not None and hooks.poststop:
        from lading.runtime.ending import poststop

        poststop(runtime, request.id, request.bundle, request.spec, hooks.poststop)


def _recorded(runtime: Runtime, request: RunRequest, plan: join.Plan, anchor: str) -> Made:
    spec = request.spec
    rootless = resources.is_rootless()
    made_filter = None
    if spec.linux is not None and spec.linux.seccomp is not None:
        made_filter = filters.prepare(spec.linux.seccomp, runtime.filter_cache, request.profile)
    runtime.store.write_config(request.id, text_of(spec, made_filter.text if made_filter else ""))
    me = os.getpid()
    record = StateRecord(
        id=request.id,
        bundle=request.bundle,
        creator=me,
        creator_start=start_time(me),
        created=time.time(),
        rootfs=os.path.join(request.bundle, spec.root.path) if spec.root else anchor,
        owner=os.geteuid(),
        cgroup=runtime.group_of(spec, request.id, rootless),
    )
    runtime.store.write(record)
    group = resources.setup(spec, request.id, cgroup_manager=runtime.cgroup_manager, rootless=rootless)
    record.cgroup = group.saved()
    made = None
    try:
        made = _born(runtime, request, plan, anchor, record, group, made_filter)
    finally:
        if made is None:
            _drop_group(group)
    return made


def _drop_group(group: CgroupHandle) -> None:
    try:
        group.kill()
        group.delete()
    except LadingError:
        pass  # the first error is the one to tell


def _born(
    runtime: Runtime,
    request: RunRequest,
    plan: join.Plan,
    anchor: str,
    record: StateRecord,
    group: CgroupHandle,
    made_filter: filters.Filter | None,
) -> Made:
    kernel, spec = runtime.kernel, request.spec
    state = State(
        oci_version=OCI_VERSION,
        id=request.id,
        status="creating",
        bundle=request.bundle,
        annotations=spec.annotations,
    )
    job = Job(request, state, plan, group, anchor)
    console_end = -1
    born = None
    try:
        if made_filter is not None:
            job.filter, job.filter_flags = made_filter.program, made_filter.flags
        if _needs_power(job):
            from lading.runtime.sources import prepare

            prepare(kernel, job)
        if spec.process is not None and spec.process.terminal:
            from lading.runtime.console import way_out

            console_end = way_out(job, request.console_socket)
        if request.hold:
            from lading.runtime.starting import hold

            job.start = hold(anchor)
        if plan.joins_mount and not (spec.process and spec.process.terminal):
            job.stdio = command.with_null(kernel, job.stdio)
        born = birth.give_birth(kernel, job, init.become, runtime.nursery)
        state.pid = record.pid = born.pid
        permission = birth.from_outside(kernel, job, born)
        if group.unit or not group.path:  # where systemd has put it, or that nobody would
            record.cgroup = group.saved()
        if spec.linux is not None and spec.linux.net_devices:
            from lading.runtime.netdevices import move

            move(kernel, born.pid, spec.linux.net_devices, plan)
        born.wants_gate = not request.hold
        born.questions = _questions(job)
        if request.hold:
            # Nothing ends such a process when we are killed, as the gate does: it has to be known before it goes on.
            _write_first_process(runtime, record)
        birth.permit(kernel, born, permission)
        if not request.hold:  # while the container sets itself up
            _write_first_process(runtime, record)
        if request.pid_file:
            birth.write_pid_file(request.pid_file, born.pid)
        if request.meanwhile is not None:
            birth.do_meanwhile(born, request.meanwhile)
        pid = born.pid
        birth.converse(
            kernel,
            born,
            lambda: _outer_hooks(kernel, job),
            lambda fd: birth.hand_over_listener(kernel, pid, fd, spec, state),
        )
        if request.hold:
            birth.wait_until_ready(born)
        else:
            birth.pass_gate(kernel, born)
            _poststart(kernel, job)
        console = -1
        if console_end >= 0:
            from lading.runtime.console import receive_master

            console = receive_master(console_end)
        return Made(record, kernel.pidfd_open(born.pid), console)
    except BaseException:
        if born is not None:
            birth.destroy(born.pid)
            if console_end >= 0:
                from lading.runtime.console import last_words

                request.said = last_words(console_end)
        raise
    finally:
        job.close()
        for fd in _streams(job.stdio) - _streams(request.stdio):
            os.close(fd)
        if console_end >= 0:
            os.close(console_end)
        if born is not None:
            born.up.close()


def _streams(stdio: Stdio) -> set[int]:
    return {stdio.stdin, stdio.stdout, stdio.stderr}


def _write_first_process(runtime: Runtime, record: StateRecord) -> None:
    record.start_time = start_time(record.pid)
    runtime.store.write(record)


def _questions(job: Job) -> int:
    hooks = job.spec.hooks
    outer = hooks is not None and bool(hooks.prestart or hooks.create_runtime)
    return outer + bool(job.filter_flags & FLAG_NEW_LISTENER) + job.meanwhile


def _needs_power(job: Job) -> bool:
    """Whether a mount's source or the root has to be opened out here, see :mod:`lading.runtime.sources`."""
    return job.plan.owns("user") or any(
        m.uid_mappings or m.gid_mappings or "idmap" in m.options or "ridmap" in m.options
        for m in job.spec.mounts
    )


def _outer_hooks(kernel: Kernel, job: Job) -> None:
    from lading.runtime.hooks import run_all

    hooks = job.spec.hooks
    if hooks is not None:
        run_all(kernel, "prestart", hooks.prestart, job.state, directory=job.bundle)
        run_all(kernel, "createRuntime", hooks.create_runtime, job.state, directory=job.bundle)


def _poststart(kernel: Kernel, job: Job) -> None:
    hooks = job.spec.hooks
    if hooks is not None and hooks.poststart:
        from lading.runtime.hooks import run_all

        running = job.state.replace(status="running")
        run_all(kernel, "poststart", hooks.poststart, running, directory=job.bundle)
