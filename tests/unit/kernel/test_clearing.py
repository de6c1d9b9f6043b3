"""A directory goes with what is in it, and nothing goes that is only mounted there."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lading.errors import KernelError
from lading.kernel import clearing
from lading.kernel.fake import FakeKernel

TABLE = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
40 22 0:5 / {base}/p/a rw - tmpfs none rw
41 40 0:5 / {base}/p/a/b\\040c rw shared:3 - tmpfs none rw
42 22 0:5 / {base}/pp rw - tmpfs none rw
43 22 0:5 / {base}/p rw - tmpfs none rw
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE.format(base=tmp_path))
    return str(path)


def test_what_is_mounted_at_a_place_and_below_it_is_found_last_first(tmp_path: Path, table: str) -> None:
    here = [f"{tmp_path}/p", f"{tmp_path}/p/a/b c", f"{tmp_path}/p/a"]
    assert clearing.mounted_below(f"{tmp_path}/p", table) == here
    (tmp_path / "link").symlink_to(tmp_path / "p")
    assert clearing.mounted_below(f"{tmp_path}/link", table) == here
    assert clearing.mounted_below(f"{tmp_path}/p/a/b", table) == []


def _mounted(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    monkeypatch.setattr(clearing, "mounted_below", lambda _path: [point])


def test_it_is_unmounted_before_anything_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p/a").mkdir(parents=True)
    _mounted(monkeypatch, f"{tmp_path}/p/a")
    there: list[bool] = []
    kernel = FakeKernel({"umount": lambda *_: there.append((tmp_path / "p/a").exists())})
    clearing.clear(kernel, f"{tmp_path}/p")
    assert there == [True] and not (tmp_path / "p").exists()


def test_what_cannot_be_unmounted_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p/a").mkdir(parents=True)
    _mounted(monkeypatch, f"{tmp_path}/p/a")
    with pytest.raises(KernelError) as raised:
        clearing.clear(FakeKernel({"umount": KernelError("umount2", errno.EINVAL)}), f"{tmp_path}/p")
    assert f"{tmp_path}/p/a" in raised.value.hint and (tmp_path / "p/a").exists()


def test_what_is_gone_is_no_error(tmp_path: Path) -> None:
    clearing.clear(FakeKernel(), f"{tmp_path}/p")
