"""Removing a pod's directory: quickly what is usually there, wholly whatever is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.formats.pod import Container, Pod, PodSpec
from lading.kernel import tree
from lading.kernel.fake import FakeKernel
from lading.node import remove
from lading.node.model import ContainerRecord, PodRecord


def record() -> PodRecord:
    pod = Pod(spec=PodSpec(containers=[Container(name="main")]))
    return PodRecord(id="p", name="p", pod=pod, containers=[ContainerRecord(id="p", pod_id="p", name="main")])


def fill(directory: Path) -> None:
    (directory / "main/upper").mkdir(parents=True)
    (directory / "main/work/work/incompat/volatile").mkdir(parents=True)
    for name in ("hosts", "hostname", "resolv.conf", "main/log", "main/work/work/incompat/volatile/dirty"):
        (directory / name).touch()


def test_what_a_silent_container_leaves_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "p")
    monkeypatch.setattr(tree, "_remove", lambda *_: pytest.fail("the long way was taken"))
    remove._remove_files(FakeKernel(), str(tmp_path / "p"), record())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["main/upper/etc/passwd", "main/log.1", "volumes/a/b", "main/work/work/#1"])
def test_whatever_else_is_there_goes_too(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "p")
    (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "p" / name).touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "p/main/upper/link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside/kept").touch()
    remove._remove_files(FakeKernel(), str(tmp_path / "p"), record())
    remove._remove_files(FakeKernel(), str(tmp_path / "p"), record())
    assert os.listdir(tmp_path) == ["outside"] and os.listdir(tmp_path / "outside") == ["kept"]


def test_directories_nested_deeper_than_descriptors_reach_are_counted_and_removed(tmp_path: Path) -> None:
    top = tmp_path / "p"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        for name in ("d", "beside"):
            os.mkdir(name, dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("file", os.O_CREAT, dir_fd=fd))
    os.close(fd)
    assert tree.size(str(top)) >= 0
    tree.remove(str(top))
    assert os.listdir(tmp_path) == []
