"""What ``lading cp`` takes from a container's archive: a container may have written anything into it."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from lading.cli.files import _extract, _safe
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
        _member("out/x", tarfile.SYMTYPE, "x"),
        _member("..", tarfile.SYMTYPE, "x"),
        _member("l", tarfile.LNKTYPE, ".."),
        _member("l", tarfile.LNKTYPE, "out/x"),
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


def _extracted(where: Path, *members: tarfile.TarInfo) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member in members:
            tar.addfile(member)
    out.seek(0)
    with tarfile.open(fileobj=out, mode="r|") as tar:
        for member in tar:
            _extract(tar, member, str(where), "", None, True)


def test_a_hard_link_to_a_symbolic_link_is_that_link_and_touches_nothing_it_leads_to(tmp_path: Path) -> None:
    """A container may hold two names of one symbolic link, and it may lead anywhere."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.write_text("kept")
    outside.chmod(0o600)
    before = outside.stat()
    link = _member("d/link", tarfile.SYMTYPE, link=str(outside))
    for _ in range(2):  # the second time over what is there
        _extracted(
            inside,
            _member("d", tarfile.DIRTYPE, mode=0o755),
            link,
            _member("d/again", tarfile.LNKTYPE, link="d/link", mode=0o755),
            _member("d/again", tarfile.LNKTYPE, link="d/again"),
        )
        assert os.readlink(inside / "d/again") == str(outside)
        assert (inside / "d/again").lstat().st_ino == (inside / "d/link").lstat().st_ino
    after = outside.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns, after.st_nlink) == (
        before.st_mode,
        before.st_uid,
        before.st_mtime_ns,
        1,
    )


def test_a_hard_link_to_nothing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LadingError, match="cannot link to gone"):
        _extracted(tmp_path, _member("h", tarfile.LNKTYPE, link="gone"))
