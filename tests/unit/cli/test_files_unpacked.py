"""What ``lading cp`` takes from a container's archive: a container may have written anything into it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lading.cli.files import _safe
from lading.errors import LadingError, Unsupported


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode, made.uid = kind, link, mode, 4711
    return made


@pytest.mark.parametrize(
    "member",
    [
        _member("../x"),
        _member("a/../../x"),
        _member("out/x"),
        _member("l", tarfile.LNKTYPE, "../../etc/shadow"),
    ],
)
def test_nothing_leads_outside(member: tarfile.TarInfo, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "out").symlink_to(tmp_path)
    with pytest.raises(LadingError, match="leads outside"):
        _safe(member, str(inside), archive=True)


def test_devices_are_refused_and_set_id_bits_go(tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        _safe(_member("d", tarfile.BLKTYPE), str(tmp_path), archive=True)
    kept = _safe(_member("/s", mode=0o6777), str(tmp_path), archive=True)
    assert (kept.name, kept.mode, kept.uid) == ("s", 0o755, 4711)
    assert _safe(_member("s"), str(tmp_path), archive=False).uid != 4711
