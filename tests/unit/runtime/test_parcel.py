"""A job sent to another process is the job that was made: every field of it, and every record below."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lading.formats.oci_runtime import (
    Box,
    Capabilities,
    Device,
    Linux,
    Mount,
    Namespace,
    Process,
    Rlimit,
    Root,
    Scheduler,
    Seccomp,
    Spec,
    State,
    User,
)
from lading.formats.rootfs import Rootfs
from lading.runtime.channel import Channel
from lading.runtime.job import Job, Stdio
from lading.runtime.join import Plan
from lading.runtime.parcel import pack, unpack
from lading.runtime.request import RunRequest
from lading.runtime.resources import CgroupHandle


def _spec() -> Spec:
    return Spec(
        oci_version="1.2.0",
        hostname="here",
        root=Root(path="rootfs", readonly=True),
        mounts=[
            Mount(destination="/proc", type="proc", source="proc"),
            Mount(destination="/data", type="bind", source="/srv", options=["rbind", "ro"]),
        ],
        annotations={"a": "ü", "b": ""},
        process=Process(
            args=["sh", "-c", "true"],
            env=["A=1", "B=\udcff"],
            cwd="/work",
            user=User(uid=7, gid=8, additional_gids=[9, 10], umask=0o27),
            capabilities=Capabilities(bounding=["CAP_CHOWN"], ambient=[]),
            rlimits=[Rlimit(type="RLIMIT_NOFILE", soft=10, hard=1 << 63)],
            console_size=Box(height=24, width=80),
            scheduler=Scheduler(policy="SCHED_OTHER", nice=5),
            oom_score_adj=-3,
        ),
        linux=Linux(
            namespaces=[Namespace(type="pid"), Namespace(type="network", path="/proc/1/ns/net")],
            devices=[Device(type="c", path="/dev/null", major=1, minor=3, file_mode=0o666)],
            sysctl={"net.ipv4.ip_forward": "1"},
            masked_paths=["/proc/kcore"],
        ),
    )


def _job(spec: Spec, *, rootfs: Rootfs | None = None) -> Job:
    request = RunRequest("one", spec, "/bundle", rootfs=rootfs, stdio=Stdio(20, -1, 22), plain_lines=True)
    state = State(oci_version="1.2.0", id="one", status="creating", bundle="/bundle", annotations={"k": "v"})
    plan = Plan()
    plan.new = {"mount", "pid"}
    plan.joins = [("network", 0x40000000, 30), ("ipc", 0x08000000, 31)]
    job = Job(
        request, state, plan, CgroupHandle(None, path="", rootless=True, controllers=("cpu",)), "/anchor"
    )
    job.channel = Channel(40, 41)
    job.filter, job.filter_flags = b"\0\xff" * 9, 3
    return job


def _everything(job: Job, fds: list[int]) -> dict[str, Any]:
    """All that a job holds; in place of a descriptor what it was sent as."""

    def place(fd: int) -> int:
        return fds.index(fd) if fd >= 0 else -1

    found: dict[str, Any] = {name: getattr(job, name) for name in Job.__slots__}
    found["plan"] = (job.plan.new, job.plan.offsets, [(n, f, place(fd)) for n, f, fd in job.plan.joins])
    found["cgroup"] = job.cgroup.saved()
    found["channel"] = (place(job.channel.read_fd), place(job.channel.write_fd))
    found["start"] = job.start and (place(job.start.read_fd), place(job.start.write_fd))
    found["stdio"] = [place(fd) for fd in (job.stdio.stdin, job.stdio.stdout, job.stdio.stderr)]
    found["console_fd"] = place(job.console_fd)
    return found


def _sent(job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    data, fds = pack(job)
    theirs = [fd + 100 for fd in fds]  # the receiver has other numbers for them
    return _everything(job, fds), _everything(unpack(data, theirs), theirs)


def test_every_field_arrives() -> None:
    for rootfs in (None, Rootfs(lower=["/b", "/a"], upper="/u", work="/w", volatile=True)):
        job = _job(_spec(), rootfs=rootfs)
        before, after = _sent(job)
        assert after == before
    job.start, job.console_fd = Channel(50, 51), 52
    before, after = _sent(job)
    assert after == before and after["start"] == (6, 7)


def test_the_seccomp_profile_stays_behind() -> None:
    spec = _spec()
    assert spec.linux is not None
    spec.linux.seccomp = Seccomp(default_action="SCMP_ACT_ALLOW")
    job = _job(spec)
    data, fds = pack(job)
    there = unpack(data, fds)
    assert there.spec.linux is not None and there.spec.linux.seccomp is None
    assert job.spec.linux is not None and job.spec.linux.seccomp is not None


_texts = st.text(max_size=8)


@given(
    env=st.lists(_texts),
    annotations=st.dictionaries(_texts, _texts),
    rlimits=st.lists(st.tuples(_texts, st.integers(0, 1 << 64), st.integers(0, 1 << 64))),
    uid=st.integers(0, 1 << 32),
)
def test_any_specification_arrives(
    env: list[str], annotations: dict[str, str], rlimits: list[tuple[str, int, int]], uid: int
) -> None:
    spec = Spec(
        oci_version="1.2.0",
        annotations=annotations,
        process=Process(
            env=env,
            cwd="/",
            user=User(uid=uid),
            rlimits=[Rlimit(type=kind, soft=soft, hard=hard) for kind, soft, hard in rlimits],
        ),
    )
    before, after = _sent(_job(spec))
    assert after == before
