"""Two callers at the same container: what one of them has read may be another's by the time it acts."""

from __future__ import annotations

import os
import select
import signal
from typing import Any

import pytest

from lading.errors import Conflict, KernelError, NotFound, TimedOut
from lading.formats.oci_runtime import Hook, Hooks
from lading.kernel import Kernel, idmap
from lading.runtime import RunRequest, birth, cli, ending
from lading.runtime.container import Container
from lading.runtime.store import start_time

pytestmark = pytest.mark.root


@pytest.mark.parametrize("reaped", [True, False])
def test_start_of_a_container_that_is_killed_meanwhile_is_an_error_and_does_not_wait_for_ever(
    box: Any, spec: Any, monkeypatch: pytest.MonkeyPatch, reaped: bool
) -> None:
    made = box.runtime.create(RunRequest(box.id(), spec("true"), box.bundle))
    found = box.runtime.get(made.id)
    made.kill(9)
    if reaped:
        made.wait()
    else:
        os.waitid(os.P_PIDFD, made.pidfd, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(Container, "status", lambda self: "created")  # what it was a moment ago
    with pytest.raises(Conflict) as caught:
        found.start()
    assert caught.value.reason == "state"
    monkeypatch.undo()
    if not reaped:
        made.wait()
    found.delete()


def test_a_late_delete_leaves_the_next_container_of_that_id_alone(box: Any, spec: Any) -> None:
    id = box.id()
    first = box.runtime.run(RunRequest(id, spec("true"), box.bundle))
    late = box.runtime.get(id)
    first.wait()
    first.delete()
    second = box.runtime.run(RunRequest(id, spec("sleep", "60"), box.bundle))
    with pytest.raises(NotFound):
        late.delete(force=True)
    assert second.status() == "running"
    second.kill(9)
    second.wait()
    second.delete()


def test_a_lock_that_was_waited_for_while_its_container_went_is_no_lock_of_the_next(
    box: Any, spec: Any
) -> None:
    store = box.runtime.store
    id = box.id()
    store.create(id)
    lock = store.lock(id)
    real = os.stat

    def replaced(path: Any, *args: Any, **more: Any) -> os.stat_result:
        return real("/", *args, **more) if path == store.path(id) else real(path, *args, **more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(NotFound):
        patch.setattr(os, "stat", replaced)
        lock.__enter__()
    store.remove(id)


def test_exec_enters_no_process_that_has_the_number_of_one_that_ended(
    box: Any, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = box.start("sleep", "60")
    found = box.runtime.get(running.id)
    found.record = found.record.replace(start_time=found.start_time - 1)
    monkeypatch.setattr(Container, "status", lambda self: "running")
    with pytest.raises(Conflict) as caught:
        found.exec(spec("true").process)
    assert caught.value.reason == "state"
    monkeypatch.undo()
    running.kill(9)
    running.wait()
    running.delete()


def test_a_hook_is_ended_by_a_broken_pipe_as_any_program(box: Any, spec: Any, tmp_path: Any) -> None:
    said = tmp_path / "said"
    script = f"{{ yes; echo $? >{said}; }} | head -n 1"
    asked = spec("true")
    asked.hooks = Hooks(create_runtime=[Hook(path="/bin/sh", args=["sh", "-c", script + " >/dev/null"])])
    assert box.run(asked)[0] == 0
    assert said.read_text().strip() == str(128 + 13)


def test_a_maker_of_an_idmap_that_is_killed_leaves_no_stopped_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()

    def killed(kernel: Kernel, pid: int, uids: idmap.Map, gids: idmap.Map) -> bool:
        os.write(write, str(pid).encode())
        os.kill(os.getpid(), 9)
        return True

    monkeypatch.setattr(idmap, "write", killed)
    maker = os.fork()
    if maker == 0:
        try:
            idmap.user_namespace(Kernel(), [(0, 100000, 1)], [(0, 100000, 1)])
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(maker, 0)[1]) == 9
    left = int(os.read(read, 20))
    for fd in (read, write):
        os.close(fd)
    try:
        pidfd = os.pidfd_open(left)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        assert poll.poll(60_000), "it is still there"
    finally:
        if start_time(left):
            signal.pidfd_send_signal(pidfd, 9)
        os.close(pidfd)


def test_a_held_process_is_recorded_before_it_may_go_on(
    box: Any, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[bool] = []
    real = birth.permit

    def permit(kernel: Kernel, born: birth.Born, permission: bytes) -> None:
        known.append(box.runtime.get(id).pid == born.pid)
        real(kernel, born, permission)

    monkeypatch.setattr(birth, "permit", permit)
    id = box.id()
    made = box.runtime.create(RunRequest(id, spec("true"), box.bundle))
    assert known == [True]
    made.delete(force=True)


class Crowded(Kernel):
    """A machine that has no process left to give."""

    def fork(self) -> int:
        raise KernelError("fork", 11)


def test_a_fork_that_fails_costs_no_descriptor(box: Any, spec: Any) -> None:
    running = box.start("sleep", "60")
    crowded = Crowded()
    hooked = spec("true", new="pid mount time")  # a time namespace needs a helper
    hooked.hooks = Hooks(create_runtime=[Hook(path="/bin/true")])
    only_hooked = hooked.replace(linux=spec("true").linux)
    box.runtime.kernel = crowded
    before = len(os.listdir("/proc/self/fd"))
    for call in (
        lambda: box.runtime.get(running.id).exec(spec("true").process),
        lambda: box.runtime.run(RunRequest(box.id(), hooked, box.bundle)),
        lambda: box.runtime.run(RunRequest(box.id(), only_hooked, box.bundle)),
    ):
        with pytest.raises(KernelError, match="fork"):
            call()
        assert len(os.listdir("/proc/self/fd")) == before
    running.kill(9)
    running.wait()
    running.delete()


def test_a_container_whose_record_cannot_be_read_is_ended_by_its_group(box: Any, spec: Any) -> None:
    made = box.start("sleep", "60")
    state = f"{box.runtime.store.path(made.id)}/state.json"
    with open(state, "w") as file:
        file.write("{")
    root = ["--root", box.runtime.root]
    assert cli.main([*root, "delete", made.id]) == 1
    assert cli.main([*root, "delete", "--force", made.id]) == 0
    assert made.wait() == 128 + 9
    assert not made.group.manager.exists() and not os.path.exists(state)


def test_a_record_is_kept_while_its_process_does_not_end(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = box.start("sleep", "60")
    monkeypatch.setattr(Kernel, "pidfd_send_signal", lambda *_: None)  # as if it were stuck in the kernel
    monkeypatch.setattr(ending, "_ENDS_WITHIN", 1)
    with pytest.raises(TimedOut, match=f"process {made.pid} "):
        made.delete(force=True)
    assert box.runtime.get(made.id).status() == "running"
    monkeypatch.undo()
    made.delete(force=True)
    assert box.runtime.list() == []
