"""What became of an image on disk is found, file by file."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.images.aci.conftest import archive, on, put

from lading.errors import LadingError
from lading.images import Images
from lading.images.aci.envelope import Envelope
from lading.images.aci.root import render
from lading.images.aci.verifying import verify

FUZZ = settings(max_examples=500 if os.environ.get("LADING_FUZZ") else 40, deadline=None)
FILES = {"bin": None, "bin/sh": b"#!", "bin/big": b"x" * 3_000_000, "etc": None, "etc/mtab": "/proc/mounts"}


def test_an_image_as_it_came_has_nothing_wrong(images):
    base = put(images, archive("x.example/base", FILES))
    assert list(verify(images, base)) == []
    top = put(images, archive("x.example/top", {"a": b""}, dependencies=on("x.example/base")))
    assert list(verify(images, top)) == []


def _gone(root: str) -> None:
    os.unlink(root + "/bin/sh")


def _changed(root: str) -> None:
    with open(root + "/bin/big", "r+b") as file:
        file.seek(2_900_000)
        file.write(b"y")


def _longer(root: str) -> None:
    with open(root + "/bin/sh", "ab") as file:
        file.write(b"!")


def _other_mode(root: str) -> None:
    os.chmod(root + "/bin/sh", 0o4755)


def _elsewhere(root: str) -> None:
    os.unlink(root + "/etc/mtab")
    os.symlink("/etc/shadow", root + "/etc/mtab")


def _other_kind(root: str) -> None:
    shutil.rmtree(root + "/etc")
    os.symlink("/", root + "/etc")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_gone, "bin/sh of sha512-{id}: it is missing"),
        (_changed, "bin/big of sha512-{id}: other content"),
        (_longer, "bin/sh of sha512-{id}: 3 bytes, not 2"),
        (_other_mode, "bin/sh of sha512-{id}: mode 4755, not 644"),
        (_elsewhere, "etc/mtab of sha512-{id}: it leads elsewhere"),
        (_other_kind, "etc of sha512-{id}: another kind of file"),
    ],
)
def test_what_was_changed_is_named_in_the_image_and_in_those_on_it(images, harm, said):
    base = put(images, archive("x.example/base", FILES))
    top = put(images, archive("x.example/top", {"a": b""}, dependencies=on("x.example/base")))
    harm(base.layers[0])
    for image in (base, top):
        assert next(iter(verify(images, image))) == said.format(id=base.id[7:19])


def test_content_that_is_missing_or_other_is_named_by_its_digest(images):
    image = put(images, archive("x.example/base", FILES))
    blobs = [found.digest for found in images_of(images, image)]
    for digest in blobs[1:]:  # without the envelope there is no image
        path = images.content.path(digest)
        data = open(path, "rb").read()
        os.chmod(path, 0o600)
        with open(path, "wb") as file:
            file.write(data[:-1] + b"?")
        assert f"content {digest} does not match its digest" in list(verify(images, image))
        os.unlink(path)
        wrong = list(verify(images, image))
        assert f"content {digest} is missing" in wrong
        with open(path, "wb") as file:
            file.write(data)
    assert list(verify(images, image)) == []


def images_of(images, image):
    from lading.images.aci import FORMAT

    return list(FORMAT.references(images.content, image.descriptor))


NAMES = st.sampled_from(["a", "b", ".wh.a", "a/b", "a/.wh..wh..opq", "a/b/c", "d"])
CONTENTS = st.none() | st.binary(max_size=3) | st.sampled_from(["/", "..", "a", "b/c", "nowhere"])
TREES = st.dictionaries(NAMES, CONTENTS, max_size=5)
LAYERS = st.lists(
    st.tuples(TREES, st.sets(st.integers(0, 3), max_size=2), st.none() | st.sets(NAMES, max_size=3)), min_size=1, max_size=4
)  # fmt: skip


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
@FUZZ
@given(LAYERS, st.data())
def test_what_was_kept_is_as_it_came_until_it_is_changed(tmp_path_factory, layers, data):
    """Images that depend on each other, some of them through whitelists: all are as their archives say, and all render."""
    here = tmp_path_factory.mktemp("store")
    images = Images(str(here / "images"))
    made = []
    for number, (files, below, keep) in enumerate(layers):
        fields = {"dependencies": on(*(f"x.example/i{n}" for n in sorted(below) if n < len(made)))}
        if keep:
            fields["pathWhitelist"] = sorted(f"/{name}" for name in keep)
        try:
            made.append(put(images, archive(f"x.example/i{number}", files, **fields)))
        except LadingError as error:
            assert error.reason in ("hostile-archive", "duplicate-entry")
            shutil.rmtree(here)
            return
    for number, image in enumerate(made):
        assert list(verify(images, image)) == []
        render(images, image, str(here / f"out{number}"), root_only=True)
    top = made[-1]
    files = {name: content for name, content in layers[-1][0].items() if type(content) is bytes}
    layer = images.layers.get(envelope_of(images, top).source(None))
    if files and layer is not None:
        name = data.draw(st.sampled_from(sorted(files)))
        with open(f"{layer.path}/{name}", "ab") as file:
            file.write(b"more")
        assert [text for text in verify(images, top) if text.startswith(f"{name} of ")]
    shutil.rmtree(here)


def envelope_of(images, image):
    return Envelope.read(images.content, image.digest)
