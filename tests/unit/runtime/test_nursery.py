"""The process that clones for a keeper: whose children its newborns are, what they get, and what its death costs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from lading.errors import KernelError, LadingError
from lading.formats.oci_runtime import Linux, Process, Root, Seccomp, Spec, State
from lading.kernel import Kernel
from lading.runtime import birth, channel
from lading.runtime.job import Job, Stdio
from lading.runtime.join import Plan
from lading.runtime.nursery import Nursery, opened
from lading.runtime.request import RunRequest
from lading.runtime.resources import CgroupHandle

Open = Callable[..., Nursery]


def _job(*, terminal: bool = False, stdio: Stdio | None = None) -> Job:
    spec = Spec(
        oci_version="1.2.0",
        root=Root(path="/nowhere"),
        process=Process(args=["echo", "ü"], cwd="/", terminal=terminal),
        linux=Linux(seccomp=Seccomp(default_action="SCMP_ACT_ALLOW")),
    )
    request = RunRequest("one", spec, "/bundle", stdio=stdio or Stdio(-1, -1, -1))
    state = State(oci_version="1.2.0", id="one", status="creating", bundle="/bundle")
    job = Job(request, state, Plan(), CgroupHandle(None), "/anchor")
    job.filter = b"program."
    return job


def _tell(kernel: Kernel, job: Job) -> None:
    """A newborn that says what it has."""
    process, linux = job.spec.process, job.spec.linux
    assert process is not None and linux is not None
    opened = {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2}
    known = {job.channel.read_fd, job.channel.write_fd, job.stdio.stdout}
    listing = 1  # of the directory itself
    said = (os.getppid(), len(opened - known) - listing, *process.args, linux.seccomp, job.filter, job.anchor)
    os.write(job.stdio.stdout, repr(said).encode())
    os._exit(7)


@pytest.fixture
def nursery() -> Iterator[Open]:
    made: list[Nursery] = []

    def forked(kernel: Kernel | None = None, main: Callable[[Kernel, Job], object] = _tell) -> Nursery:
        one = opened(kernel or Kernel(), main)
        made.append(one)
        return one

    yield forked
    for one in made:
        one.close()


def _born(nursery: Nursery, job: Job) -> int:
    born = birth.give_birth(Kernel(), job, _tell, nursery)
    born.up.close()
    return born.pid


def _until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 60.0
    while not check():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.01)


def _dead(pid: int) -> bool:
    """Whether it is a zombie, or reaped."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_newborn_is_its_owners_child_and_has_only_what_it_was_sent(nursery: Open) -> None:
    read_fd, write_fd = os.pipe()
    spare = os.open("/dev/null", os.O_RDONLY)  # what the owner has open is not for the newborn
    one = nursery()
    for _ in range(3):
        pid = _born(one, _job(stdio=Stdio(-1, write_fd, -1)))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert os.read(read_fd, 4096).decode() == repr(
            (os.getpid(), 0, "echo", "ü", None, b"program.", "/anchor")
        )
    # Between two births it holds nothing but its end of the line.
    _until(lambda: sum(int(fd) > 2 for fd in os.listdir(f"/proc/{one.pid}/fd")) <= 1)
    for fd in (read_fd, write_fd, spare):
        os.close(fd)


def test_it_takes_no_job_that_has_its_owners_descriptors_or_power(nursery: Open) -> None:
    one = nursery()
    assert one.takes(_job()) and one.takes(_job(terminal=True))
    for name, value in (("sources", {0: 5}), ("root_mount", 5), ("preserve_fds", 1)):
        job = _job()
        setattr(job, name, value)
        assert not one.takes(job), name
    for kinds in ({"user"}, {"time"}):
        job = _job()
        job.plan.new = kinds
        assert not one.takes(job), kinds
    job = _job()
    job.plan.joins = [("pid", 0x20000000, 5)]
    assert not one.takes(job)


def test_an_owner_that_lost_it_clones_for_itself(nursery: Open) -> None:
    read_fd, write_fd = os.pipe()
    one = nursery()
    os.kill(one.pid, signal.SIGKILL)
    _until(lambda: _dead(one.pid))
    for _ in range(2):
        pid = _born(one, _job(stdio=Stdio(-1, write_fd, -1)))
        os.waitpid(pid, 0)
        assert os.read(read_fd, 4096).decode().startswith(f"({os.getpid()}, ")
    with pytest.raises(ChildProcessError):
        os.waitpid(one.pid, os.WNOHANG)  # it was reaped
    os.close(read_fd)
    os.close(write_fd)


class Deadly(Kernel):
    """Whoever clones dies."""

    def clone(self, flags: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Full(Kernel):
    """No process can be made."""

    def clone(self, flags: int) -> int:
        raise KernelError("clone", 11)


def test_a_birth_that_kills_it_is_an_error_and_not_tried_twice(nursery: Open) -> None:
    one = nursery(Deadly())
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(LadingError, match="was killed"):
        _born(one, _job())
    assert len(os.listdir("/proc/self/fd")) < before, "the channel, or the line, stayed open"
    assert not one.takes(_job())


def test_what_clone_says_arrives(nursery: Open) -> None:
    one = nursery(Full())
    for _ in range(2):  # and it is ready for the next
        with pytest.raises(KernelError) as caught:
            _born(one, _job())
        assert caught.value.errno == 11
    assert one.takes(_job())


def test_a_job_that_is_too_large_is_not_sent(nursery: Open) -> None:
    job = _job()
    assert job.spec.process is not None
    job.spec.process.env = ["A=" + "x" * 100_000]
    job.channel = channel.Channel(0, 1)
    one = nursery()
    assert one.bear(job) == 0 and one.takes(job)


def test_it_ends_with_its_owner() -> None:
    read_fd, write_fd = os.pipe()
    owner = os.fork()
    if owner == 0:
        try:
            one = opened(Kernel(), _tell)
            os.write(write_fd, str(one.pid).encode())
            signal.pause()
        finally:
            os._exit(1)
    pid = int(os.read(read_fd, 64))
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    _until(lambda: _dead(pid))
    os.close(read_fd)
    os.close(write_fd)
