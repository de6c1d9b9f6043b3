"""What a command writes becomes a layer: the very files, and directories whose older files stay."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.root

MOVED = "FROM busybox\nRUN mkdir /new && echo old > /new/old && mv /new /usr/there\n"


def test_a_directory_that_was_moved_into_place_keeps_its_files(lading, context):
    """overlayfs marks it as opaque; the next layer has a part of the same directory, and hides nothing."""
    context.dockerfile(MOVED + "RUN echo more > /usr/there/more\nRUN ls /usr/there\n")
    lading("build", "-q", "-t", "moved", str(context), check=True)
    assert lading.out("run", "--rm", "--network", "none", "moved", "ls", "/usr/there") == "more\nold"


def test_on_a_loaded_image_too(lading, context, tmp_path):
    """Its layers say so for mounts in user namespaces as well, and overlayfs copies that up as any attribute."""
    context.dockerfile(MOVED)
    lading("build", "-q", "-t", "first", str(context), check=True)
    archive = str(tmp_path / "first.tar")
    lading("save", "-o", archive, "first", check=True)
    lading("rmi", "-f", "first", check=True)
    lading("builder", "prune", "-a", "-f", check=True)
    lading("load", "-i", archive, check=True)
    context.dockerfile("FROM first\nRUN echo more > /usr/there/more\n")
    lading("build", "-q", "-t", "second", str(context), check=True)
    assert lading.out("run", "--rm", "--network", "none", "second", "ls", "/usr/there") == "more\nold"
    lading("run", "--name", "adds", "--network", "none", "first", "touch", "/usr/there/added", check=True)
    assert lading.out("diff", "adds").split("\n") == ["C /usr/there", "A /usr/there/added"]
    lading("commit", "adds", "third", check=True)
    assert lading.out("run", "--rm", "--network", "none", "third", "ls", "/usr/there") == "added\nold"


def test_the_layer_is_what_was_written_and_no_copy(lading, context):
    context.dockerfile(
        "FROM busybox\nRUN mkdir -p /mine && echo x > /mine/file && stat -c 'inode %i.' /mine/file\n"
    )
    told = lading("build", "--progress=plain", "-t", "own", str(context), check=True).stderr
    layer = next(path for path in (lading.base / "root/images/layers").glob("*/fs/mine/file"))
    assert f"inode {os.lstat(layer).st_ino}." in told
