"""What diff says of a container's writable layer."""

from __future__ import annotations

import os
import shutil

import pytest

from lading.errors import Unsupported
from support.making import make


def test_a_directory_made_anew_is_compared_with_the_one_it_replaced(images, new_tar, tmp_path):
    """As Docker's list: what has its name again is changed, not added, and what has not is deleted, at every depth."""
    below = new_tar().dir("o").file("o/one").file("o/two").dir("o/sub").file("o/sub/three").dir("o/sub/deep")
    image = make(images, below.file("o/sub/deep/four").bytes())
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    os.makedirs(rootfs.upper + "/o/sub")
    whose = "user" if rootfs.userxattr else "trusted"
    os.setxattr(rootfs.upper + "/o", f"{whose}.overlay.opaque", b"y")
    for name in ("o/one", "o/sub/new"):
        with open(f"{rootfs.upper}/{name}", "w") as file:
            file.write("other")
    assert {(c.kind, c.path) for c in images.changes(rootfs)} == {
        ("C", "/o"), ("C", "/o/one"), ("D", "/o/two"), ("C", "/o/sub"),
        ("A", "/o/sub/new"), ("D", "/o/sub/three"), ("D", "/o/sub/deep"),
    }  # fmt: skip


def test_a_file_that_was_only_opened_for_writing_or_linked_to_is_no_change(images, new_tar, tmp_path):
    layer = new_tar().file("a", b"aaa", mtime=1001).file("b", b"bbb", mtime=1001).symlink("s", "a")
    image = make(images, layer.bytes())
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    # overlayfs copies up with the times and everything else.
    for name in ("a", "b"):
        shutil.copy2(f"{image.layers[0]}/{name}", f"{rootfs.upper}/{name}")
    os.link(rootfs.upper + "/a", rootfs.upper + "/link")
    assert [(c.kind, c.path) for c in images.changes(rootfs)] == [("A", "/link")]
    with open(rootfs.upper + "/b", "r+b") as file:
        file.write(b"BBB")  # and its old time given back: only the bytes tell
    os.utime(rootfs.upper + "/b", ns=(0, 1001 * 10**9))
    assert [(c.kind, c.path) for c in images.changes(rootfs)] == [("C", "/b"), ("A", "/link")]


def test_an_attribute_that_an_archive_would_give_another_name_is_refused(images, new_tar, tmp_path):
    image = make(images, new_tar().dir("d").bytes())
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    with open(rootfs.upper + "/new", "w"):
        pass
    os.setxattr(rootfs.upper + "/new", "user.a=b", b"value")
    with pytest.raises(Unsupported) as caught:
        images.commit(image, rootfs.upper, names=["c:1"])
    assert "new" in str(caught.value) and "user.a=b" in str(caught.value)
    os.removexattr(rootfs.upper + "/new", "user.a=b")
    images.commit(image, rootfs.upper, names=["c:1"])


def test_a_container_that_deletes_while_it_is_looked_at_is_no_trouble(images, new_tar, tmp_path):
    image = make(images, new_tar().file("f", b"old").bytes())
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    for name in ("d/in", "e/in"):
        os.makedirs(f"{rootfs.upper}/{name}")
    for name in ("f", "g"):
        with open(f"{rootfs.upper}/{name}", "w") as file:
            file.write("new")
    found = images.changes(rootfs)
    assert next(found).path == "/d"
    shutil.rmtree(rootfs.upper + "/d")
    os.unlink(rootfs.upper + "/f")
    assert [(c.kind, c.path) for c in found] == [("A", "/e"), ("A", "/g"), ("A", "/e/in")]
