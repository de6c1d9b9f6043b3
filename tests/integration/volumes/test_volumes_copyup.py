"""Copy-up assembles the image's real layers; nothing outside the root is ever read."""

from __future__ import annotations

import os

import pytest

from lading.errors import KernelError
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


class OldKernel(Kernel):
    """A kernel whose overlayfs cannot take layers one by one, as before Linux 6.5."""

    def fsconfig_string(self, fd, key, value):
        if key == "lowerdir+":
            raise KernelError("fsconfig(lowerdir+)", 22)
        super().fsconfig_string(fd, key, value)


def test_many_layers_on_an_old_kernel_give_the_images_files_and_never_the_hosts(tmp_path):
    lower = []
    for number in range(8):
        layer = tmp_path / f"layer-with-a-rather-long-name-{number}"
        (layer / "etc").mkdir(parents=True)
        (layer / "etc" / f"file{number}").write_text(str(number))
        lower.append(str(layer))
    target = tmp_path / "target"
    target.mkdir()
    assert copy_up(OldKernel(), Rootfs(lower=lower), "/etc", str(target))
    assert sorted(os.listdir(target)) == [f"file{n}" for n in range(8)]


def test_holes_stay_holes_and_sockets_and_pipes_arrive(layers, tmp_path):
    rootfs, target = layers
    data = tmp_path / "top/data"
    with open(data / "sparse", "wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
        file.truncate(128 << 20)
    os.mkfifo(data / "pipe", 0o640)
    os.mknod(data / "socket", 0o140600)
    assert copy_up(Kernel(), rootfs, "/data", target)
    info = os.stat(f"{target}/sparse")
    assert info.st_size == 128 << 20
    assert info.st_blocks * 512 <= 1 << 20
    with open(f"{target}/sparse", "rb") as file:
        file.seek((64 << 20) - 1)
        assert file.read(5) == b"\0end\0"
    assert oct(os.stat(f"{target}/pipe").st_mode) == oct(0o010640)
    assert oct(os.stat(f"{target}/socket").st_mode) == oct(0o140600)
