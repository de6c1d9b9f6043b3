"""What a pod's namespaces cost its keeper when they cannot be had: nothing that stays."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lading.errors import KernelError
from lading.node import holder, podusers
from lading.node.holder import Holder
from lading.node.spaces import by_child

EAGAIN = 11


class Refusing:
    """A kernel with no process left to give."""

    def clone(self, flags: int) -> int:
        raise KernelError("clone", EAGAIN)

    def fork(self) -> int:
        raise KernelError("fork", EAGAIN)


def _runner(directory: Path, *, own_users: bool = False) -> Any:
    spec = SimpleNamespace(host_users=False if own_users else None)
    record = SimpleNamespace(id="x", name="pod", pod=SimpleNamespace(spec=spec))
    shop = SimpleNamespace(kernel=Refusing(), pod_directory=lambda _id: str(directory))
    users = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC) if own_users else -1
    return SimpleNamespace(record=record, shop=shop, users=users)


def _open() -> set[str]:
    gc.collect()  # what tests before this one left to be closed is closed by now
    return {name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}


def test_a_pause_process_that_cannot_be_born_leaves_no_descriptor(tmp_path: Path) -> None:
    runner = _runner(tmp_path)
    before = _open()
    with pytest.raises(KernelError):
        Holder(runner)._pause(runner.shop.kernel)
    assert _open() == before


def test_a_pause_process_that_cannot_be_written_down_ends_and_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, text: str) -> None:
        raise OSError(28, "No space left on device", path)

    def bear(self: Holder, kernel: object, pause: object) -> int:
        return 4194305  # above every pid

    monkeypatch.setattr(holder, "_note", full)
    monkeypatch.setattr(Holder, "_bear", bear)
    runner = _runner(tmp_path)
    made = Holder(runner)
    before = _open()
    with pytest.raises(OSError, match="No space"):
        made._pause(runner.shop.kernel)
    assert _open() == before
    assert made.pause_pid == 4194305, "who closes the holder has to know whom to reap"


def test_namespaces_that_cannot_be_made_leave_no_descriptor(tmp_path: Path) -> None:
    kernel = _runner(tmp_path).shop.kernel
    before = _open()
    with pytest.raises(KernelError):
        by_child(kernel, "pod", ("ipc",))
    assert _open() == before


def test_namespaces_of_own_users_that_cannot_be_made_leave_no_descriptor(tmp_path: Path) -> None:
    runner = _runner(tmp_path, own_users=True)
    before = _open()
    with pytest.raises(KernelError):
        podusers.spaces(runner, ("net", "ipc"))
    assert _open() == before
    podusers.close(runner)
