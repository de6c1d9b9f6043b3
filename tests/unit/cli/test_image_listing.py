"""What ``images`` and ``inspect`` say of images: digests of indexes, times that are none, and Docker's name patterns."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lading.cli import images as face
from lading.cli.inspect import image_json
from lading.formats import jsontext
from lading.formats.oci_image import OCI_INDEX, Descriptor, ImageConfig, Index, RunConfig
from lading.images import Image, Images
from lading.images.newlayer import LayerWriter
from lading.images.register import create
from lading.images.tarentry import Entry
from lading.images.tarwrite import TarWriter
from lading.images.travelling import compressed


def _image(store: Images, created: str, *names: str) -> Image:
    with store.lease() as lease, LayerWriter(store, lease=lease) as layer:
        tar = TarWriter(layer.write)
        tar.add(Entry(b"file", size=4))
        tar.data(b"data")
        tar.close()
        descriptor, diff_id = layer.finish()
        config = ImageConfig(created=created, os="linux", architecture="amd64", config=RunConfig())
        return create(store, config, [descriptor], [diff_id], names, lease=lease)


def _row(image: Image, name: str) -> dict[str, object]:
    return face._row(image, name, time.time(), full=False)


def test_what_came_by_an_index_shows_the_indexs_digest(tmp_path: Path) -> None:
    store = Images(str(tmp_path))
    image = _image(store, "", "quay.io/own/app:1")
    data = jsontext.dumps(Index(media_type=OCI_INDEX, manifests=[image.descriptor]).encode()).encode()
    with store.lease() as lease:
        digest = store.content.put(data, lease=lease)
        target = Descriptor(media_type=OCI_INDEX, digest=digest, size=len(data))
        store.register(target, ["quay.io/other/app:2"], lease=lease)
    image = store.get("quay.io/other/app:2")
    assert image_json(store, image)["RepoDigests"] == [
        f"quay.io/other/app@{digest}",
        f"quay.io/own/app@{image.digest}",
    ]
    (listed,) = store.list()
    assert face._digest(store, listed, "quay.io/other/app:2") == digest
    assert face._digest(store, listed, "quay.io/own/app:1") == image.digest
    assert store.get(f"quay.io/other/app@{digest}").id == image.id


def test_what_was_made_here_has_no_digest_before_it_travels(tmp_path: Path) -> None:
    store = Images(str(tmp_path / "images"))
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper" / "file").write_bytes(b"1")
    image = store.commit(_image(store, "", "base:1"), str(tmp_path / "upper"), names=["quay.io/own/app:1"])
    assert face._digest(store, image, "quay.io/own/app:1") == "<none>"
    assert image_json(store, image)["RepoDigests"] == []
    with store.lease() as lease:
        made = compressed(store, image.descriptor, lease=lease)
    image = store.get("quay.io/own/app:1")
    assert face._digest(store, image, "quay.io/own/app:1") == made.digest
    assert image_json(store, image)["RepoDigests"] == [f"quay.io/own/app@{made.digest}"]


@pytest.mark.parametrize("created", ["", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_time_that_means_none_is_not_shown_as_decades(tmp_path: Path, created: str) -> None:
    assert _row(_image(Images(str(tmp_path)), created, "a:1"), "a:1")["created_since"] == "N/A"


def test_history_gives_each_step_the_size_of_its_own_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a layer had to be mended, and so lies in two directories."""
    store = Images(str(tmp_path / "images"))
    base = _image(store, "2020-01-01T00:00:00Z", "base:1")
    upper = tmp_path / "upper"
    (upper / "made-up").mkdir(parents=True)
    (upper / "made-up" / "more").write_bytes(b"x" * 100)
    store.commit(base, str(upper), names=["app:1"], message="why")
    values = {"no-trunc": True, "human": False, "format": "{size} {created_by} {comment}", "quiet": False}

    class Parsed(dict[str, object]):
        args = ("app:1",)

    face.history(SimpleNamespace(images=store), Parsed(values))  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines() == ["100 lading commit why", "4  not told"]
    assert image_json(store, store.get("app:1"))["Comment"] == "why"


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("busybox:latest", "busybox", True),
        ("busybox:latest", "busy*:late*", True),
        ("busybox:latest", "*", True),
        ("busybox:latest", "busybox:1", False),
        ("quay.io/own/app:1", "*", False),  # a star ends at a slash, as in Docker's filter
        ("quay.io/own/app:1", "quay.io/*/app", True),
        ("localhost:5000/app:1", "localhost:5000/app", True),
        ("localhost:5000/app:1", "localhost:5000/app:[0-9]", True),
        ("", "*", False),
    ],
)
def test_reference_patterns_are_dockers(name: str, pattern: str, fits: bool) -> None:
    assert face._matches(name, pattern) is fits


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ("<none>", "<none>")),
        ("busybox", ("busybox", "latest")),
        ("localhost:5000/web:1.0", ("localhost:5000/web", "1.0")),
        ("web@sha256:" + "0" * 64, ("web", "<none>")),
        ("x.example/app:1,arch=amd64", ("x.example/app", "1,arch=amd64")),
        ("x.example/app,url=http://a/b:1", ("x.example/app", "url=http://a/b:1")),
    ],
)
def test_a_name_is_shown_as_repository_and_tag(name: str, shown: tuple[str, str]) -> None:
    assert face.split_name(name) == shown


def test_an_import_notes_what_could_not_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "files.tar").open("wb") as file:
        tar = TarWriter(file.write)
        tar.add(Entry(b"file", xattrs={b"security.selinux": b"label"}))
        tar.close()

    class Parsed(dict[str, object]):
        args = (str(tmp_path / "files.tar"),)

    context = SimpleNamespace(images=Images(str(tmp_path / "images")))
    assert face.import_(context, Parsed(change=[], message="", platform="")) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("sha256:")
    assert printed.err == (
        "lading import: note: security.selinux belongs to the machine that made the archive and was left out\n"
    )
