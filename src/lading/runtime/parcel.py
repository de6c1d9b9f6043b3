"""A :class:`~lading.runtime.job.Job` as bytes with descriptors beside it, for a process that does not share our memory.

``marshal`` writes what a job is made of once the records in it are marked: a record becomes a tuple of its class's name and
its fields, and nothing else in a job is a tuple. ``pickle`` would do without that and loads five other modules first, six
milliseconds of a container's start. Both ends are one program in one version of it (they are forked from one
process), so neither checks what it reads.
"""

from __future__ import annotations

from marshal import dumps, loads

from lading.formats import oci_runtime
from lading.runtime import resources
from lading.runtime.channel import Channel
from lading.runtime.job import Job, Stdio
from lading.runtime.join import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lading.formats.schema import Record

#: Fields of a job that are written as they are.
_PLAIN = (
    "anchor",
    "bundle",
    "filter",
    "filter_flags",
    "make_cwd",
    "make_way",
    "meanwhile",
    "no_new_keyring",
    "no_pivot",
    "plain_lines",
)
_SCALARS = {str, int, bool, float, bytes, type(None)}


def pack(job: Job) -> tuple[bytes, list[int]]:
    """What a newborn needs of ``job``, and the descriptors that have to go with it, in their order.

    The seccomp profile stays here: it is large, and is there as a program already.
    """
    fds = [job.channel.read_fd, job.channel.write_fd]

    def place(fd: int) -> int:
        if fd < 0:
            return -1
        fds.append(fd)
        return len(fds) - 1

    spec, plan, start = job.spec, job.plan, job.start
    if spec.linux is not None and spec.linux.seccomp is not None:
        spec = spec.replace(linux=spec.linux.replace(seccomp=None))
    parts = (
        [getattr(job, name) for name in _PLAIN],
        _flat(spec),
        _flat(job.state),
        None if job.rootfs is None else job.rootfs.__dict__,
        job.cgroup.saved(),
        list(plan.new),
        plan.offsets,
        [(name, flag, place(fd)) for name, flag, fd in plan.joins],
        [place(fd) for fd in (job.stdio.stdin, job.stdio.stdout, job.stdio.stderr)],
        None if start is None else (place(start.read_fd), place(start.write_fd)),
        place(job.console_fd),
    )
    return dumps(parts), fds


def unpack(data: bytes, fds: list[int]) -> Job:
    """The job that :func:`pack` made, in the process that received ``fds``."""
    plain, spec, state, rootfs, cgroup, new, offsets, joins, stdio, start, console = loads(data)
    job = Job.__new__(Job)
    for name, value in zip(_PLAIN, plain, strict=True):
        setattr(job, name, value)
    job.spec = _built(spec)
    job.state = _built(state)
    job.rootfs = None
    if rootfs is not None:
        from lading.formats.rootfs import Rootfs

        job.rootfs = Rootfs.__new__(Rootfs)
        job.rootfs.__dict__ = rootfs
    job.cgroup = resources.load(cgroup)
    job.plan = Plan()
    job.plan.new = set(new)
    job.plan.offsets = offsets
    job.plan.joins = [(name, flag, fds[place]) for name, flag, place in joins]
    job.channel = Channel(fds[0], fds[1])
    job.stdio = Stdio(*[fds[place] if place >= 0 else -1 for place in stdio])
    job.start = None if start is None else Channel(fds[start[0]], fds[start[1]])
    job.console_fd = fds[console] if console >= 0 else -1
    # What a job that travels has none of, see Nursery.takes.
    job.preserve_fds, job.sockets, job.sources, job.root_mount = 0, [], {}, -1
    return job


def _flat(record: Record) -> tuple[str, dict[str, Any]]:
    return (
        type(record).__name__,
        {
            name: value if type(value) in _SCALARS else _flat_part(value)
            for name, value in record.__dict__.items()
        },
    )


def _flat_part(value: Any) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list:
        # One kind of thing: a list that begins with a plain value has no record in it.
        return [_flat_part(item) for item in value] if value and type(value[0]) not in _SCALARS else value
    if kind is dict:
        return {key: _flat_part(item) for key, item in value.items()}
    return _flat(value)


def _built(flat: tuple[str, dict[str, Any]]) -> Any:
    name, fields = flat
    kind = getattr(oci_runtime, name)
    made = kind.__new__(kind)
    for key, value in fields.items():
        if type(value) not in _SCALARS:
            fields[key] = _built_part(value)
    made.__dict__ = fields
    return made


def _built_part(value: Any) -> Any:
    kind = type(value)
    if kind is tuple:
        return _built(value)
    if kind is list:
        return [_built_part(item) for item in value] if value and type(value[0]) not in _SCALARS else value
    if kind is dict:
        return {key: _built_part(item) for key, item in value.items()}
    return value
