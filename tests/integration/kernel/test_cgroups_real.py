"""Control groups of this machine, whichever kind it has."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Iterator

import pytest

from lading.errors import Conflict, KernelError
from lading.kernel.bpf import assemble, load
from lading.kernel.cgroups import Manager, detect, manager, v1
from lading.kernel.devicerules import DeviceRule

pytestmark = pytest.mark.root


@pytest.fixture
def group() -> Iterator[Manager]:
    parent = f"/lading-test-{uuid.uuid4().hex[:8]}"
    made = manager(parent + "/a")
    yield made
    made.kill()
    made.wait_empty()
    made.delete()
    manager(parent).delete()


def inside(group: Manager, code: str = "pause") -> int:
    """A child in the group that sleeps, or forks another sleeper first."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        group.join()
        if code == "fork":
            os.fork()
        os.write(write, b"x")
        time.sleep(60)
        os._exit(0)
    for _ in range(2 if code == "fork" else 1):
        os.read(read, 1)
    os.close(read)
    os.close(write)
    return pid


def test_a_process_joins_and_is_counted_frozen_thawed_and_killed(group: Manager) -> None:
    group.create()
    pid = inside(group, "fork")
    assert pid in group.pids() and len(group.pids()) == 2
    group.freeze()
    assert group.frozen()
    group.thaw()
    assert not group.frozen()
    assert group.stats().cpu.total > 0
    group.kill()
    os.waitpid(pid, 0)
    group.wait_empty()
    group.delete()
    assert not group.exists()


def test_joining_moves_one_thread_which_does_not_wait_for_the_kernel_s_grace_period(
    group: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing ``cgroup.procs`` takes a lock that waits some 10 ms for every processor; ``tasks`` and 0 do not."""
    if detect().mode == "v2":
        pytest.skip("v2 has no such way in")
    group.create()
    written = []
    real = v1.files.write
    monkeypatch.setattr(
        v1.files, "write", lambda path, text: (written.append((path, text)), real(path, text))
    )
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        group.join()
        os.write(write, repr({(os.path.basename(path), text) for path, text in written}).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 4096).decode() == repr({("tasks", "0")})
    os.close(read)
    os.close(write)


def test_a_group_that_is_used_or_frozen_is_refused(group: Manager) -> None:
    group.create()
    pid = inside(group)
    with pytest.raises(Conflict) as caught:
        manager(group.path).create()
    assert caught.value.reason == "cgroup-in-use"
    with pytest.raises(Conflict) as caught:
        group.delete(timeout=0.05)
    assert caught.value.reason == "busy"
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    group.wait_empty()
    group.freeze()
    with pytest.raises(Conflict) as caught:
        manager(group.path).create()
    assert caught.value.reason == "cgroup-frozen"
    group.thaw()


def test_groups_that_a_container_made_are_deleted_with_it(group: Manager) -> None:
    group.create()
    os.makedirs(group.main_directory() + "/x/y")
    group.delete()
    assert not group.exists()


def test_a_process_that_the_container_froze_itself_is_killed_too(group: Manager) -> None:
    group.create()
    below = manager(group.path + "/below")
    below.create()
    pid = inside(below)
    below.freeze()
    group.kill()
    group.wait_empty(60)
    os.waitpid(pid, 0)
    group.delete()


def test_a_value_the_kernel_refuses_is_named_with_its_file(group: Manager) -> None:
    group.create()
    with pytest.raises(KernelError) as caught:
        group.apply([("pids", "pids.max", "lots")])
    assert caught.value.errno == errno.EINVAL
    assert "pids.max" in caught.value.message and "lots" in caught.value.message


def test_only_the_allowed_devices_can_be_opened(group: Manager) -> None:
    group.create()
    group.allow_devices([DeviceRule(False), DeviceRule(True, "c", 1, 3, "rw")])
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        group.join()
        said = ""
        for path in ("/dev/null", "/dev/zero"):
            try:
                os.close(os.open(path, os.O_RDWR))
                said += "y"
            except PermissionError:
                said += "n"
        os.write(write, said.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 8) == b"yn"
    os.close(read)
    os.close(write)
    group.wait_empty()
    # A second list takes effect without a moment in which nothing is allowed.
    group.allow_devices([DeviceRule(True, "c", 1, 5, "r"), DeviceRule(True, "c", 1, 3, "r")])
    if detect().mode != "v2":
        lines = group.read("devices", "devices.list").splitlines()
        assert sorted(lines) == ["c 1:3 r", "c 1:5 r"]


def test_the_kernel_s_verifier_accepts_the_device_program() -> None:
    rules = [
        DeviceRule(True, "c", None, None, "m"),
        DeviceRule(True, "c", 1, 3),
        DeviceRule(True, "b", 0xFFFFFFFF, None, "r"),
    ]
    for given in (rules, [DeviceRule(True), DeviceRule(False, "c", 1, 3, "w")], []):
        try:
            os.close(load(assemble(given)))
        except KernelError as error:
            if error.errno == errno.EINVAL and "verifier" not in str(error) and detect().mode != "v2":
                pytest.skip("this kernel has no CONFIG_CGROUP_BPF")
            raise


def test_an_out_of_memory_kill_is_counted_and_wakes_the_watcher(group: Manager) -> None:
    import select

    group.create()
    limit = "memory.max" if group.version == 2 else "memory.limit_in_bytes"
    group.apply([("memory", limit, str(24 << 20))])
    watch = group.oom_watch()
    try:
        pid = os.fork()
        if pid == 0:
            group.join()
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
                file.write("1000")
            hog = bytearray(1)
            while True:
                hog += b"x" * (4 << 20)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
        assert group.oom_kills() == 1
        assert select.select([watch], [], [], 5)[0]
        assert watch.take() == 1
    finally:
        watch.close()
