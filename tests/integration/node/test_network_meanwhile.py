"""A container's network is made while the container sets itself up, and is there before its command."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading.errors import CommandNotExecutable, KernelError
from lading.formats.pod import BindMount, Pod
from lading.network import attaching
from lading.node import Node, Stdio, podnetwork

pytestmark = pytest.mark.root
Make = Callable[..., Pod]


def _output(node: Node, pod: Pod) -> bytes:
    read, write = os.pipe()
    try:
        node.run(pod, Stdio(stdin=-1, stdout=write, stderr=write))
    finally:
        os.close(write)
    data = b""
    while block := os.read(read, 65536):
        data += block
    os.close(read)
    return data


def test_the_command_waits_for_its_network_however_long_that_takes(
    node: Node, one: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish = podnetwork.furnish
    seen: list[str] = []

    def late(runner: Any, pid: int) -> None:
        ours = os.stat("/")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            root = os.stat(f"/proc/{pid}/root/")
            if (root.st_dev, root.st_ino) != (ours.st_dev, ours.st_ino):
                break  # everything but the network is there
            time.sleep(0.001)
        furnish(runner, pid)
        seen.append(os.path.realpath(f"/proc/{pid}/exe"))

    monkeypatch.setattr(podnetwork, "furnish", late)
    data = _output(node, one("ip", "-o", "-4", "addr", mode="", remove=True))
    assert b"eth0    inet " in data and b"lo    inet 127.0.0.1/8" in data
    assert seen == [os.path.realpath(sys.executable)]


def test_a_network_that_cannot_be_made_keeps_the_command_from_running_and_leaves_nothing(
    node: Node, one: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise KernelError("address", 105)

    monkeypatch.setattr(attaching.br, "configure", refuse)
    mount = BindMount(source=str(tmp_path), target="/out")
    with pytest.raises(KernelError) as caught:
        _output(node, one("touch", "/out/ran", name="unlucky", mode="", mounts=[mount]))
    monkeypatch.undo()
    assert caught.value.errno == 105
    assert os.listdir(tmp_path) == []
    record = node.inspect("unlucky")
    assert node.networks.attachment(record.id) is None
    assert record.container.state == "exited" and "address" in record.container.error
    end = time.monotonic() + 60
    while node.check(repair=False):  # the kernel takes a moment to take a namespace apart
        assert time.monotonic() < end, node.check(repair=False)
        time.sleep(0.05)


def test_the_containers_own_failure_is_told_even_if_its_network_fails_with_it(
    node: Node, one: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_runner: Any, pid: int) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        raise KernelError("open the network namespace", 2)

    monkeypatch.setattr(podnetwork, "furnish", gone)
    broken = one("true", mode="")
    broken.spec.containers[0].working_dir = "/proc/version"
    with pytest.raises(CommandNotExecutable, match="working directory /proc/version: Not a directory"):
        _output(node, broken)


def test_a_container_that_starts_again_keeps_its_address(node: Node, one: Make) -> None:
    words = _output(node, one("sh", "-c", "hostname -i; exit 3", restart="on-failure:1", mode="")).split()
    assert len(words) == 2 and words[0] == words[1]
