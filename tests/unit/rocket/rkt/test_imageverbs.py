"""Rocket's image verbs: how images are shown, named, kept and let go."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace

import pytest
from tests.unit.images.aci.conftest import archive, labels, on, put

from lading.cli.commands import ROOT
from lading.errors import Conflict, LadingError
from lading.flags import parse
from lading.formats.oci_image import ImageConfig
from lading.images import Images
from lading.images.register import create
from lading.rocket.rkt import imageverbs
from lading.rocket.rkt.imageverbs import Row, arranged, binary, image_of

IDS = ["sha512-" + digit * 128 for digit in "abc"]


@pytest.fixture
def images(tmp_path):
    return Images(str(tmp_path / "images"))


def run(images, *words, in_use=()):
    """One verb on a store; its exit status."""
    parsed = parse(ROOT, ["rkt", "image", *words])
    module, _, name = parsed.command.action.partition(":")
    assert module == "lading.rocket.rkt.imageverbs"
    context = SimpleNamespace(images=images, node=SimpleNamespace(images_in_use=lambda: set(in_use)))
    return getattr(imageverbs, name)(context, parsed)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"), (9, "9B"), (10, "10B"), (1023, "1023B"), (1024, "1.0KiB"), (1536, "1.5KiB"), (10240, "10KiB"),
        (12 << 20, "12MiB"), (143 << 20, "143MiB"), (5 << 60, "5.0EiB"), (1 << 72, "4096EiB"),
    ],
)  # fmt: skip
def test_sizes(size, text):
    assert binary(size) == text


def test_rows_are_arranged_by_several_columns_both_ways():
    rows = [
        Row(IDS[0], "b", 1, came=3.0, used=9.0),
        Row(IDS[1], "a", 2, came=2.0, used=8.0),
        Row(IDS[2], "a", 1, came=1.0, used=7.0),
    ]

    def by(*order, descending=False):
        return [row.id[7] for row in arranged(rows, list(order), descending=descending)]

    assert by("importtime") == ["c", "b", "a"]
    assert by("importtime", descending=True) == ["a", "b", "c"]
    assert by("name", "size") == ["c", "b", "a"]
    assert by("size", "lastused") == ["c", "a", "b"]


def test_the_list(images, capsys):
    put(images, archive("x.example/app", labels=labels(version="1.0", os="linux")))
    assert run(images, "list") == 0
    head, line = capsys.readouterr().out.splitlines()
    assert [cell for cell in head.split("\t") if cell] == ["ID", "NAME", "SIZE", "IMPORT TIME", "LAST USED"]
    cells = [cell for cell in line.split("\t") if cell]
    assert len(cells[0]) == 19 and cells[1:3] == ["x.example/app:1.0", "0B"]
    assert run(images, "list", "--no-legend", "--fields=name,id", "--full") == 0
    name, whole = [cell for cell in capsys.readouterr().out.strip().split("\t") if cell]
    assert name == "x.example/app:1.0" and len(whole) == 7 + 128
    assert run(images, "list", "--format=json") == 0
    [entry] = json.loads(capsys.readouterr().out)
    assert list(entry) == ["id", "name", "import_time", "last_used_time", "size"] and entry["id"] == whole
    assert abs(entry["import_time"] / 1e9 - time.time()) < 3600


@pytest.mark.parametrize("words", [["--fields=latest"], ["--sort=id"], ["--fields="], ["--order=up"]])
def test_columns_that_are_none(images, words):
    with pytest.raises(LadingError) as caught:
        run(images, "list", *words)
    assert caught.value.reason in ("invalid", "usage")


def test_an_image_is_named_by_id_name_or_reference(images):
    image = put(images, archive("x.example/app"))
    images.tag(image, "mine:1")
    short = image.id.replace(":", "-")[:19]
    for text in (short, "x.example/app", "mine:1", "docker://mine:1"):
        assert image_of(images, text).digest == image.digest, text
    for text in ("x.example/other", "sha512-" + "0" * 20, "docker://other", "./file", "https://x.example/a"):
        with pytest.raises(LadingError) as caught:
            image_of(images, text)
        assert caught.value.reason in ("not-found", "invalid")


def test_rm_removes_by_name_and_id_and_counts(images, capfd):
    one = put(images, archive("x.example/one"))
    two = put(images, archive("x.example/two"))
    three = put(images, archive("x.example/three", {"a": b"3"}))
    ids = [image.id.replace(":", "-") for image in (one, two)]
    assert run(images, "rm", "x.example/one", ids[1][:30], "x.example/none") == 254
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        f'successfully removed aci for image: "{ids[0]}" ("x.example/one")',
        f'successfully removed aci for image: "{ids[1]}" ("x.example/two")',
    ]
    assert "2 image(s) successfully removed" in said.err and "x.example/none" in said.err
    assert run(images, "rm", "x.example/three", in_use=[three.digest]) == 254
    assert [image.digest for image in images.list()] == [three.digest]


def test_rm_takes_one_of_several_names_of_the_stores_own(images, capfd):
    lease = images.lease()
    image = create(images, ImageConfig(os="linux", architecture="amd64"), [], [], ["a:1", "b:1"], lease=lease)
    lease.close()
    assert run(images, "rm", "a:1") == 0
    assert "other names; removed one" in capfd.readouterr().out
    assert [found.names for found in images.list()] == [["b:1"]]
    assert run(images, "rm", imageverbs.id_of(image)[:30]) == 0
    assert capfd.readouterr().out.endswith('("b:1")\n') and images.list() == []


def test_rm_by_id_takes_all_names_unless_a_pod_needs_the_image(images, capfd):
    lease = images.lease()
    image = create(images, ImageConfig(os="linux", architecture="amd64"), [], [], ["a:1", "b:1"], lease=lease)
    lease.close()
    short = imageverbs.id_of(image)[:30]
    assert run(images, "rm", short, in_use=[image.digest]) == 254
    assert sorted(images.list()[0].names) == ["a:1", "b:1"]
    assert run(images, "rm", short) == 0 and images.list() == []
    assert "1 image(s) successfully removed" in capfd.readouterr().err


def old(images, image, seconds):
    os.utime(images.resolved.path(image.digest), (time.time() - seconds,) * 2)


def test_gc_takes_what_is_idle_and_leaves_what_is_needed(images, capsys):
    base = put(images, archive("x.example/base", {"b": b""}))
    young = put(images, archive("x.example/young", {"y": b""}, dependencies=on("x.example/base")))
    held = put(images, archive("x.example/held", {"h": b""}))
    idle = put(images, archive("x.example/idle", {"i": b""}))
    for image in (base, held, idle):
        old(images, image, 7200)
    kept = {base.digest, young.digest, held.digest}
    assert run(images, "gc", in_use=[held.digest]) == 0
    assert {image.digest for image in images.list()} == kept | {idle.digest}
    assert run(images, "gc", "--grace-period=1h", in_use=[held.digest]) == 0
    said = capsys.readouterr()
    assert (
        said.out == f'successfully removed aci for image: "{idle.id.replace(":", "-")}" ("x.example/idle")\n'
    )
    assert said.err.splitlines() == ["0 image(s) successfully removed", "1 image(s) successfully removed"]
    assert {image.digest for image in images.list()} == kept
    assert run(images, "gc", "--grace-period=0s") == 0
    assert images.list() == [] and not images.layers.list()


def test_gc_passes_over_an_image_that_a_pod_has_just_been_made_of(images, capsys, monkeypatch):
    image = put(images, archive("x.example/idle"))
    old(images, image, 7200)

    def busy(*_, **__):
        raise Conflict("in use", reason="in-use")

    monkeypatch.setattr(images, "remove", busy)
    assert run(images, "gc", "--grace-period=1h") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "0 image(s) successfully removed\n")


def test_verify_says_which_image_is_not_as_it_was(images, capfd):
    good = put(images, archive("x.example/good"))
    bad = put(images, archive("x.example/bad", {"a": b"1", "b": b"2"}))
    for name in ("a", "b"):
        os.unlink(f"{bad.layers[0]}/{name}")
    assert run(images, "verify", "x.example/bad", "x.example/good") == 254
    said = capfd.readouterr()
    shown = good.id.replace(":", "-")
    assert said.out == f'successfully verified checksum for image: "x.example/good" ("{shown}")\n'
    assert "x.example/bad" in said.err and "it is missing, and 1 more" in said.err
