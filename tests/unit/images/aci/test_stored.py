"""App Container images in the store: found by name, labels and ID, pinned to their dependencies, rendered without copies."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest
from tests.unit.images.aci.conftest import archive, labels, manifest, on, put, tree
from tests.unit.images.conftest import Tar

from lading.errors import Conflict, Exhausted, InvalidInput, LadingError, NotFound
from lading.formats.appc.wanted import wanted
from lading.images import union
from lading.images.aci.archive import extract
from lading.images.aci.envelope import Envelope
from lading.images.aci.root import render


def shown(image) -> dict[str, object]:
    """What a container of the image sees."""
    found: dict[str, object] = {}
    for node in union.walk(image.layers):
        path = os.fsdecode(node.path)
        if stat.S_ISLNK(node.there.st_mode):
            found[os.fsdecode(node.name)] = os.readlink(path)
        else:
            is_file = stat.S_ISREG(node.there.st_mode)
            found[os.fsdecode(node.name)] = Path(path).read_bytes() if is_file else None
    return found


def names(images) -> list[str]:
    return sorted(name for image in images.list() for name in image.names)


# --- names ----------------------------------------------------------------------------------------------------------


def test_an_image_is_found_by_name_labels_and_id(images):
    one = put(images, archive("x.example/app", labels=labels(version="1.0", os="linux", arch="amd64")))
    two = put(images, archive("x.example/app", {"a": b""}, labels=labels(version="2.0", os="linux")))
    for text, image in {
        "x.example/app:1.0": one,
        "x.example/app,version=1.0,arch=amd64": one,
        "x.example/app:2.0": two,
        "x.example/app": two,
        "x.example/app,os=linux": two,
        one.id: one,
        one.id.replace(":", "-"): one,
        one.id.replace(":", "-")[:20]: one,
        one.id[7:19]: one,
        one.digest: one,
    }.items():
        assert images.get(text).digest == image.digest, text
    assert one.names == ["x.example/app:1.0,arch=amd64,os=linux"]
    for text in ("x.example/app:3.0", "x.example", "sha512-" + "0" * 20):
        with pytest.raises(NotFound):
            images.get(text)
    with pytest.raises(InvalidInput):  # nobody's name here, and no reference either
        images.get("x.example/app,arch=i386")


def test_of_images_for_several_machines_this_ones_comes_first(images):
    from lading.formats.appc.labels import platform_labels
    from lading.formats.platform import host

    here = platform_labels(host())["arch"]
    other = "i386" if here != "i386" else "amd64"
    mine = put(images, archive("m", labels=labels(os="linux", arch=here)))
    put(images, archive("m", labels=labels(os="linux", arch=other)))
    assert images.get("m").id == mine.id


def test_no_label_speaks_to_the_terminal(images):
    image = put(images, archive("app", labels=labels(version="1", note="\x1b[2J\nlie")))
    assert image.names == ["app:1,note=\\x1b[2J\\nlie"]
    assert images.get("app:1").digest == image.digest


def test_an_image_that_names_no_machine_is_for_any(images):
    image = put(images, archive("any"))
    other = put(images, archive("other", labels=labels(os="linux", arch="s390x")))
    assert images.get("any", "linux/s390x").digest == image.digest
    assert images.get("other", "linux/s390x").digest == other.digest
    with pytest.raises(NotFound):
        images.get("other", "linux/amd64")


def test_an_id_that_two_images_begin_with_is_ambiguous(images, monkeypatch):
    put(images, archive("a"))
    put(images, archive("b"))
    monkeypatch.setattr("lading.images.aci.finding.id_prefix", lambda text: "")
    with pytest.raises(InvalidInput) as caught:
        images.get("sha512-00")
    assert caught.value.reason == "ambiguous"


def test_the_same_image_that_comes_again_stays_one(images):
    data = archive(labels=labels(version="1"))
    first = put(images, data)
    again = put(images, gzip.compress(data))
    assert again.digest == first.digest and len(images.list()) == 1


def test_a_manifest_of_another_name_or_label_than_was_asked_for_is_refused(images):
    data = archive("x.example/app", labels=labels(version="1"))
    for text in ("x.example/other", "x.example/app:2", "x.example/app,os=linux"):
        with pytest.raises(InvalidInput) as caught:
            put(images, data, asked=wanted(text))
        assert caught.value.reason == "other-name"
    assert images.list() == [] and images.layers.list() == []
    assert put(images, data, asked=wanted("x.example/app:1")).names == ["x.example/app:1"]


# --- dependencies ---------------------------------------------------------------------------------------------------


def test_dependencies_come_in_listed_order_depth_first_the_later_over_the_earlier(images):
    """A→[B, C], C→[D]: B, D, C, A from the bottom."""
    order = {"b": b"B", "d": b"D", "c": b"C", "a": b"A"}
    put(images, archive("d", {"f3": b"D", "f2": b"D", "d": b""}))
    put(images, archive("b", {"f3": b"B", "f2": b"B", "f1": b"B", "b": b""}))
    put(images, archive("c", {"f3": b"C", "c": b""}, dependencies=on("d")))
    top = put(images, archive("a", {"a": b"", "f0": b"A"}, dependencies=on("b", "c")))
    assert [
        os.listdir(path)[0] if len(os.listdir(path)) == 1 else sorted(os.listdir(path))[0]
        for path in reversed(top.layers)
    ] == list(order)
    assert shown(top) == {
        "a": b"", "b": b"", "c": b"", "d": b"", "f0": b"A", "f1": b"B", "f2": b"D", "f3": b"C"
    }  # fmt: skip


def test_ten_images_deep_share_every_file(images):
    put(images, archive("n0", {"f0": b"0"}))
    before = 0
    for depth in range(1, 10):
        image = put(images, archive(f"n{depth}", {f"f{depth}": b"x"}, dependencies=on(f"n{depth - 1}")))
        assert len(images.layers.list()) == depth + 1
        assert image.layers[1:] == images.get(f"n{depth - 1}").layers
        before = image.size
    assert before == 10 and len(shown(image)) == 10


def test_a_dependency_that_is_not_here_is_named_and_nothing_is_kept(images):
    with pytest.raises(NotFound) as caught:
        put(images, archive(dependencies=[{"imageName": "y.example/base", "labels": labels(version="9")}]))
    assert caught.value.reason == "dependency" and "y.example/base:9" in str(caught.value)
    assert images.list() == [] and images.layers.list() == []


def test_a_dependency_by_id_is_that_image_and_no_newer_one(images):
    old = put(images, archive("base", {"v": b"1"}))
    put(images, archive("base", {"v": b"2"}))
    by_id = [{"imageName": "base", "imageID": old.id.replace(":", "-")}]
    assert shown(put(images, archive("one", dependencies=by_id))) == {"v": b"1"}
    assert shown(put(images, archive("two", dependencies=on("base")))) == {"v": b"2"}
    with pytest.raises(NotFound):
        put(images, archive("three", dependencies=[{"imageName": "base", "imageID": "sha512-" + "0" * 128}]))


def test_a_newer_base_makes_a_new_envelope_of_the_same_image_and_the_old_one_stays_as_it_was(images):
    put(images, archive("base", {"v": b"1"}))
    top = archive("top", dependencies=on("base"))
    before = put(images, top)
    put(images, archive("base", {"v": b"2"}))
    after = put(images, top)
    assert before.id == after.id and before.digest != after.digest
    assert shown(images.get(before.digest)) == {"v": b"1"}
    for text in ("top", after.id.replace(":", "-"), after.id, after.short_id):
        assert shown(images.get(text)) == {"v": b"2"}


def test_whitelists_on_the_way_say_what_stays(images):
    put(images, archive("low", {"a": b"1", "d": None, "d/x": b"x", "d/y": b"y"}))
    put(
        images,
        archive("mid", {"m": b"m", "n": b"n"}, dependencies=on("low"), pathWhitelist=["/a", "/d/x", "/m"]),
    )
    top = put(images, archive("top", {"t": b"t"}, dependencies=on("mid"), pathWhitelist=["/d/x", "/m", "/t"]))
    assert shown(images.get("mid")) == {"a": b"1", "d": None, "d/x": b"x", "m": b"m"}
    assert shown(top) == {"d": None, "d/x": b"x", "m": b"m", "t": b"t"}
    whole = images.layers.directory(images.get("low").layers[0].split("/")[-2])
    part = next(path for path in top.layers if os.path.exists(path + "/d/x"))
    assert os.path.samefile(whole + "/d/x", part + "/d/x")


def test_a_graph_of_many_diamonds_is_as_long_as_it_has_images(images):
    put(images, archive("n0", {"f": b"0"}))
    for depth in range(1, 8):
        image = put(images, archive(f"n{depth}", dependencies=on(f"n{depth - 1}", f"n{depth - 1}")))
    assert len(image.layers) == 8


def test_more_than_can_be_rendered_is_refused_and_leaves_nothing(images, monkeypatch):
    monkeypatch.setattr("lading.formats.appc.rendering.DEEPEST", 3)
    put(images, archive("n0"))
    put(images, archive("n1", dependencies=on("n0")))
    put(images, archive("n2", dependencies=on("n1")))
    layers = images.layers.list()
    with pytest.raises(Exhausted):
        put(images, archive("n3", {"x": b""}, dependencies=on("n2")))
    assert images.layers.list() == layers and len(images.list()) == 3


# --- keeping and removing -------------------------------------------------------------------------------------------


def test_what_a_dependant_needs_stays_when_the_dependencys_name_goes(images):
    put(images, archive("base", {"b": b"b"}))
    put(images, archive("top", {"t": b"t"}, dependencies=on("base")))
    images.remove("base")
    assert names(images) == ["top"]
    images.prune()
    assert shown(images.get("top")) == {"b": b"b", "t": b"t"}
    assert images.check() == []
    images.remove("top")
    assert images.layers.list() == [] and list(images.content.list()) == []


def test_prune_keeps_named_images_and_all_takes_them(images):
    put(images, archive("base"))
    put(images, archive("top", dependencies=on("base")))
    assert images.prune().removed == [] and names(images) == ["base", "top"]
    images.prune(all=True)
    assert images.list() == [] and list(images.content.list()) == [] and images.layers.list() == []


def test_a_tag_beside_the_name_is_one_of_two_names(images):
    image = put(images, archive("app"))
    images.tag("app", "mine:1")
    with pytest.raises(Conflict):
        images.remove(image.id)
    images.remove("app")
    assert names(images) == ["mine:1"]


@pytest.mark.parametrize("lost", ["record", "layer", "both"])
def test_what_is_lost_is_unpacked_again_from_the_archive(images, lost):
    put(images, archive("base", {"a": b"a", "b": b"b"}))
    image = put(images, archive("top", {"t": b"t"}, dependencies=on("base"), pathWhitelist=["/a", "/t"]))
    if lost in ("record", "both"):
        os.unlink(images.resolved.path(image.digest))
    if lost in ("layer", "both"):
        for path in image.layers:
            os.rename(os.path.dirname(path), images.root + "/gone-" + path.split("/")[-2])
    assert images.check()
    images.check(repair=True)
    assert images.check() == [] and shown(images.get("top")) == {"a": b"a", "t": b"t"}


def test_a_forged_envelope_is_corrupt(images):
    image = put(images, archive("app"))
    envelope = Envelope.read(images.content, image.digest)
    for field, value in (("image_id", "sha512-00"), ("image_id", "sha256-" + "0" * 64)):
        forged = envelope.replace(**{field: value}).data()
        with images.lease() as lease:
            digest = images.content.put(forged, lease=lease)
        with pytest.raises(LadingError) as caught:
            Envelope.read(images.content, digest)
        assert caught.value.reason == "corrupt"


# --- as any other image ---------------------------------------------------------------------------------------------

APP = {
    "exec": ["/bin/serve", "now"],
    "user": "7",
    "group": "8",
    "workingDirectory": "/srv",
    "environment": [{"name": "A", "value": "b"}],
    "ports": [{"name": "http", "protocol": "tcp", "port": 80}],
    "mountPoints": [{"name": "data", "path": "/data"}],
}


def test_its_configuration_is_an_oci_one(images):
    image = put(images, archive("app", app=APP, labels=labels(os="linux", arch="aarch64", version="1")))
    run = image.config.config
    assert (run.cmd, run.user, run.working_dir, run.env) == (["/bin/serve", "now"], "7:8", "/srv", ["A=b"])
    assert list(run.exposed_ports) == ["80/tcp"] and list(run.volumes) == ["/data"]
    assert (image.platform.os, image.platform.architecture) == ("linux", "arm64")


def test_it_is_saved_as_an_oci_image_that_loads_and_shows_the_same(images, tmp_path):
    put(images, archive("base", {"lib": "usr", "usr": None, "usr/x": b"x", "gone": None, "gone/y": b"y"}))
    data = (
        Tar().file("manifest", archive_manifest("top", app=APP, dependencies=on("base")))
        .dir("rootfs", mode=0o711, uid=5, gid=6).dir("rootfs/lib").file("rootfs/lib/z", b"z").bytes()
    )  # fmt: skip
    image = put(images, data)
    out = io.BytesIO()
    images.save(["top"], out)
    again = io.BytesIO()
    images.save(["top", image.id], again)
    again.seek(0)
    from lading.images import Images

    other = Images(str(tmp_path / "other"))
    (loaded,) = other.load(io.BytesIO(out.getvalue()))
    assert loaded.kind == "oci" and loaded.config.config == image.config.config
    assert loaded.names == ["top:latest"]
    assert shown(loaded) == shown(image) == {
        "gone": None, "gone/y": b"y", "lib": None, "lib/z": b"z", "usr": None, "usr/x": b"x"
    }  # fmt: skip
    assert loaded.owner == image.owner
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as one, tarfile.open(fileobj=again) as two:
        assert sorted(one.getnames()) == sorted(two.getnames())  # the same blobs
    assert [i.kind for i in images.list()] == ["aci", "aci"]


def archive_manifest(name: str, **fields: object) -> bytes:
    import json

    return json.dumps(manifest(name, **fields)).encode()


def test_a_file_that_no_oci_layer_can_hold_is_said(images):
    put(images, archive("app", {".wh.x": b""}))
    with pytest.raises(LadingError) as caught:
        images.save(["app"], io.BytesIO())
    assert caught.value.reason == "unsupported" and ".wh.x" in str(caught.value)


def test_a_commit_on_it_is_an_oci_image_with_one_layer_more(images, tmp_path):
    put(images, archive("base", {"b": b"b"}))
    image = put(images, archive("top", {"t": b"t"}, dependencies=on("base"), app=APP))
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/new").write_bytes(b"n")
    made = images.commit(image, str(tmp_path / "upper"), names=["made:1"])
    assert made.kind == "oci" and made.config.config.cmd == ["/bin/serve", "now"]
    assert shown(made) == {"b": b"b", "t": b"t", "new": b"n"}
    assert [line.size for line in images.history(made)] == [1, 1, 1]
    assert sum(line.size for line in images.history(image)) == 2


def test_what_was_there_before_makes_way_and_a_link_to_a_directory_is_not_followed(images, tmp_path):
    """Source: spec/ace.md, "Filesystem Setup"."""
    lower = {"real": None, "real/kept": b"", "link": "/real", "dir": None, "dir/gone": b"", "file": b"old"}
    put(images, archive("base", lower))
    upper = {"link": None, "link/new": b"", "dir": b"a file now", "file": None, "file/deep": b""}
    image = put(images, archive("top", upper, dependencies=on("base")))
    render(images, image, str(tmp_path / "out"), root_only=True)
    assert tree(tmp_path / "out") == {
        "real": None, "real/kept": b"", "link": None, "link/new": b"", "dir": b"a file now", "file": None, "file/deep": b"",
    }  # fmt: skip


def test_all_properties_of_a_file_are_kept_on_every_way(images, tmp_path):
    """Source: spec/aci.md, "Image Archives": timestamps, modes, owners, extended attributes."""
    manifest_text = json.dumps(manifest("props")).encode()
    capability = b"\x01\x00\x00\x02" + bytes(16)
    pax = {"mtime": "1234567890.123456789", "SCHILY.xattr.user.note": "kept"}
    tar = Tar().file("manifest", manifest_text).dir("rootfs", mode=0o1777, uid=7, gid=8, mtime=1000)
    tar.file("rootfs/tool", b"x", mode=0o6755, uid=1000, gid=2000, pax_headers=pax)
    tar.dir("rootfs/d", mode=0o2750, mtime=2000)
    if os.geteuid() == 0:
        raw = capability.decode("utf-8", "surrogateescape")
        tar.file("rootfs/capable", b"x", pax_headers={"SCHILY.xattr.security.capability": raw})
    data = tar.bytes()
    image = put(images, data)
    extract([data], str(tmp_path / "extracted"), root_only=True)
    render(images, image, str(tmp_path / "rendered"), root_only=True)
    for root in (image.layers[0], str(tmp_path / "extracted"), str(tmp_path / "rendered")):
        tool, top, below = (os.stat(f"{root}/{name}") for name in ("tool", "", "d"))
        assert (tool.st_mode & 0o7777, tool.st_mtime_ns) == (0o6755, 1234567890_123456789)
        assert (top.st_mode & 0o7777, below.st_mode & 0o7777, below.st_mtime) == (0o1777, 0o2750, 2000)
        assert os.getxattr(f"{root}/tool", "user.note") == b"kept"
        if os.geteuid() == 0:
            assert (tool.st_uid, tool.st_gid, top.st_uid, top.st_gid) == (1000, 2000, 7, 8)
            assert os.getxattr(f"{root}/capable", "security.capability") == capability


def test_rendering_writes_the_whole_root_or_nothing(images, tmp_path):
    put(images, archive("base", {"b": b"b", "l": "b"}))
    image = put(images, archive("top", {"t": b"t"}, dependencies=on("base")))
    render(images, image, str(tmp_path / "out"), root_only=False)
    assert tree(tmp_path / "out/rootfs") == {"b": b"b", "l": "b", "t": b"t"}
    assert (tmp_path / "out/manifest").exists()
    render(images, image, str(tmp_path / "root"), root_only=True)
    assert tree(tmp_path / "root") == {"b": b"b", "l": "b", "t": b"t"}
    assert not os.path.samefile(tmp_path / "root/b", tmp_path / "out/rootfs/b")
    with pytest.raises(InvalidInput):
        render(images, image, str(tmp_path / "out"), root_only=False)
