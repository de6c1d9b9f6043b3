"""Copy-up assembles the image's real layers; nothing outside the root is ever read."""

from __future__ import annotations

import os

import pytest

from lading.formats.rootfs import Rootfs
from lading.kernel import Kernel
from lading.volumes.copyup import copy_up

pytestmark = pytest.mark.root


@pytest.fixture
def layers(tmp_path):
    low, top, target = tmp_path / "low", tmp_path / "top", tmp_path / "target"
    for directory in (low / "data/sub", top / "data", target):
        directory.mkdir(parents=True)
    (low / "data/hidden").write_text("old")
    (low / "data/sub/deep").write_text("deep")
    os.mknod(top / "data/hidden", 0o020000, 0)  # an overlay whiteout
    (top / "data/file").write_text("new")
    os.chown(top / "data/file", 12, 34)
    os.chmod(top / "data/file", 0o4755)  # chown drops the set-user-id bit
    os.setxattr(top / "data/file", "user.note", b"x")
    os.link(top / "data/file", top / "data/again")
    os.symlink("/etc/passwd", top / "data/link")
    os.symlink("/../../../../etc", top / "escape")
    return Rootfs(lower=[str(top), str(low)]), str(target)


def test_content_owner_mode_links_and_attributes_arrive(layers):
    rootfs, target = layers
    assert copy_up(Kernel(), rootfs, "/data", target)
    assert sorted(os.listdir(target)) == ["again", "file", "link", "sub"]
    info = os.stat(f"{target}/file")
    assert (info.st_uid, info.st_gid, info.st_mode & 0o7777, info.st_nlink) == (12, 34, 0o4755, 2)
    assert os.getxattr(f"{target}/file", "user.note") == b"x"
    assert os.readlink(f"{target}/link") == "/etc/passwd"
    with open(f"{target}/sub/deep") as file:
        assert file.read() == "deep"


def test_a_volume_with_content_is_left_alone(layers):
    rootfs, target = layers
    with open(f"{target}/mine", "w") as file:
        file.write("mine")
    assert not copy_up(Kernel(), rootfs, "/data", target)
    assert os.listdir(target) == ["mine"]


def test_a_link_that_climbs_out_of_the_image_leads_nowhere(layers):
    rootfs, target = layers
    assert not copy_up(Kernel(), rootfs, "/escape", target)
    assert os.listdir(target) == []


def test_nothing_is_mounted_on_the_host_afterwards(layers):
    rootfs, target = layers
    with open("/proc/self/mounts") as file:
        before = file.read()
    copy_up(Kernel(), rootfs, "/data", target)
    with open("/proc/self/mounts") as file:
        assert file.read() == before
