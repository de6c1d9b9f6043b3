"""Layers stacked on this kernel and in the way of older ones, which takes a child with a mount namespace of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.errors import InvalidInput, KernelError, LadingError
from lading.kernel import Kernel, overlay

pytestmark = pytest.mark.root


class OldKernel(Kernel):
    """A kernel whose overlayfs cannot take layers one by one, as before Linux 6.5."""

    def fsconfig_string(self, fd: int, key: str, value: str) -> None:
        if key == "lowerdir+":
            raise KernelError("fsconfig(lowerdir+)", 22)
        super().fsconfig_string(fd, key, value)


@pytest.fixture
def stack(tmp_path: Path) -> overlay.Stack:
    lower = []
    for number in range(12):
        layer = tmp_path / f"layer-with-a-rather-long-name-{number}"
        layer.mkdir()
        (layer / f"file{number}").write_text(str(number))
        (layer / "same").write_text(str(number))
        lower.append(str(layer))
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    return overlay.Stack(lower, str(tmp_path / "upper"), str(tmp_path / "work"))


@pytest.mark.parametrize("kind", [Kernel, OldKernel])
def test_a_stack_is_written_through_its_descriptor_and_mounted_nowhere(
    kind: type[Kernel], stack: overlay.Stack
) -> None:
    before = Path("/proc/self/mounts").read_text()
    here = os.getcwd()
    fd = overlay.mount_apart(kind(), stack)
    try:
        assert len(os.listdir(f"/proc/self/fd/{fd}")) == 13
        assert Path(f"/proc/self/fd/{fd}/same").read_text() == "0"  # the top-most layer decides
        made = os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
        os.close(made)
    finally:
        os.close(fd)
    assert os.path.exists(stack.upper + "/new")
    assert Path("/proc/self/mounts").read_text() == before and os.getcwd() == here


@pytest.mark.parametrize("kind", [Kernel, OldKernel])
def test_a_read_only_stack_takes_no_change(kind: type[Kernel], stack: overlay.Stack) -> None:
    stack.read_only = True
    fd = overlay.mount_apart(kind(), stack)
    try:
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir("new", dir_fd=fd)
    finally:
        os.close(fd)


def test_more_than_fits_a_page_is_one_error_from_the_child_too(tmp_path: Path) -> None:
    names = [str(tmp_path / f"{n:0200}") for n in range(30)]
    with pytest.raises(LadingError, match="30 layers do not fit the page"):
        overlay.mount_apart(OldKernel(), overlay.Stack(names))
    with pytest.raises(InvalidInput, match="30 layers do not fit the page"):
        overlay.mount(OldKernel(), overlay.Stack(names))
