"""Images as a whole: names, removal, archives, commit, and layers that need each other."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import threading

import pytest

from lading.errors import Conflict, Corrupt, InvalidInput, LadingError, NotFound
from lading.formats.oci_image import Descriptor, ImageConfig
from lading.images import Images, union
from lading.images.files import try_lock
from lading.images.newlayer import LayerWriter
from lading.images.register import create
from support.making import make


@pytest.fixture
def image(images, new_tar):
    return make(images, new_tar().dir("etc").file("etc/hello", b"hello").bytes(), cmd=["sh"])


def test_an_image_is_found_by_name_id_prefix_and_digest(images, image):
    for text in (
        "test:1",
        "docker.io/library/test:1",
        image.id,
        image.id[7:],
        image.short_id,
        image.digest,
        image.id[7:11],
    ):
        assert images.get(text).digest == image.digest, text
    assert images.get("test:1").config.config.cmd == ["sh"]
    assert images.get(f"test@{image.digest}").id == image.id


def test_what_is_not_here_is_not_found(images, image):
    for text in ("test:2", "other", "sha256:" + "0" * 64, "0" * 64, f"other@{image.digest}"):
        with pytest.raises(NotFound):
            images.get(text)
    with pytest.raises(InvalidInput):
        images.get("UPPER/..")


def test_an_image_for_another_machine_says_so(images, image):
    with pytest.raises(NotFound) as caught:
        images.get("test:1", "linux/s390x")
    assert caught.value.reason == "platform"


def test_tags_move_and_removing_one_of_two_names_keeps_the_image(images, image, new_tar):
    images.tag("test:1", "quay.io/a/b:x")
    assert sorted(images.get("test:1").names) == ["quay.io/a/b:x", "test:1"]
    report = images.remove("quay.io/a/b:x")
    assert report.untagged == ["quay.io/a/b:x"] and report.removed == []
    other = make(images, new_tar().file("x").bytes(), names=["test:1"])
    assert images.get("test:1").id == other.id
    assert images.get(image.id).names == []


def test_removing_the_last_name_removes_everything_the_image_alone_had(images, image):
    report = images.remove("test:1")
    assert report.removed == [image.id] and len(report.blobs) == 3 and len(report.layers) == 1
    assert images.list() == [] and list(images.content.list()) == [] and images.layers.list() == []
    assert os.listdir(images.root + "/names") == []


def test_a_layer_of_two_images_survives_the_removal_of_one(images, new_tar):
    base = new_tar().file("base").bytes()
    make(images, base, names=["a:1"])
    b = make(images, base, new_tar().file("top").bytes(), names=["b:1"])
    images.remove("a:1")
    assert all(os.path.isdir(path) for path in images.get("b:1").layers)
    assert images.check() == []
    assert len(b.layers) == 2


def test_an_image_in_use_is_not_removed_and_force_only_takes_its_names(images, image):
    with pytest.raises(Conflict) as caught:
        images.remove("test:1", in_use={image.id})
    assert caught.value.reason == "in-use"
    images.remove("test:1", force=True, in_use={image.id})
    assert images.get(image.id).names == []
    assert images.prune(in_use={image.id}, all=True).removed == []
    assert images.prune().removed == [image.id]


def test_prune_takes_images_without_a_name_and_with_all_every_unused_one(images, image, new_tar):
    make(images, new_tar().file("x").bytes(), names=[])
    assert len(images.prune().removed) == 1
    assert images.prune(all=True).removed == [image.id]
    assert images.usage().content == 0


def test_a_lease_keeps_content_from_the_collector(images, image):
    with images.lease() as lease:
        digest = images.content.put(b"in flight", lease=lease)
        images.remove("test:1")
        assert images.content.has(digest)
    images.prune()
    assert not images.content.has(digest)


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("packed", ["", "gzip", "zstd"])
def test_images_survive_an_archive_with_their_digests(images, image, tmp_path, format, packed):
    import gzip

    from backports import zstd

    out = io.BytesIO()
    images.tag("test:1", "second:2")
    images.save(["test:1", "second:2"], out, format=format)
    data = {"": bytes, "gzip": gzip.compress, "zstd": zstd.compress}[packed](out.getvalue())
    other = Images(str(tmp_path / "other"))
    other.load(io.BytesIO(data))
    assert sorted(other.get("test:1").names) == ["second:2", "test:1"]
    assert other.get("test:1").digest == image.digest
    assert {d for d, _ in other.content.list()} == {d for d, _ in images.content.list()}


def test_an_oci_directory_comes_back(images, image, tmp_path):
    images.save(["test:1"], str(tmp_path / "layout"), format="oci-dir")
    other = Images(str(tmp_path / "other"))
    assert other.load(str(tmp_path / "layout"))[0].digest == image.digest


def docker_archive(layers: list[bytes], *, links: bool = False) -> bytes:
    """``docker save`` as it was before OCI layouts: ``ID/layer.tar``, ``ID.json``, ``manifest.json`` last."""
    import hashlib

    out = io.BytesIO()
    config = {
        "os": "linux", "architecture": "amd64", "config": {"Cmd": ["x"], "Env": None},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(d).hexdigest() for d in layers]},
    }  # fmt: skip
    with tarfile.open(fileobj=out, mode="w") as tar:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        names = []
        for number, data in enumerate(layers):
            name = f"{number}/layer.tar"
            if links and number:
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, "../0/layer.tar"
                tar.addfile(info)
            else:
                add(name, data)
            names.append(name)
        add("c.json", json.dumps(config).encode())
        add(
            "manifest.json",
            json.dumps([{"Config": "c.json", "RepoTags": ["old:1"], "Layers": names}]).encode(),
        )
    return out.getvalue()


def test_an_old_docker_archive_loads_with_its_image_id(images, new_tar):
    data = docker_archive([new_tar().file("a", b"1").bytes(), new_tar().file("b", b"2").bytes()])
    (image,) = images.load(io.BytesIO(data))
    assert image.names == ["old:1"] and image.config.config.cmd == ["x"] and len(image.layers) == 2
    again = images.load(io.BytesIO(data))[0]
    assert (again.id, again.digest) == (image.id, image.digest)


def test_layers_that_are_links_to_each_other_load(images, new_tar):
    layer = new_tar().file("a").bytes()
    (image,) = images.load(io.BytesIO(docker_archive([layer, layer], links=True)))
    assert len(image.diff_ids) == 2 and len(image.layers) == 1


BAD_ARCHIVES = {
    "nothing": b"",
    "no archive": b"hello" * 1000,
    "a tar of files": None,
    "a cut archive": "cut",
    "a layer that is missing": "missing",
}


@pytest.mark.parametrize("what", BAD_ARCHIVES)
def test_a_bad_archive_is_one_error_and_leaves_nothing(images, new_tar, what):
    good = docker_archive([new_tar().file("a", b"1" * 5000).bytes()])
    data = BAD_ARCHIVES[what]
    if data is None:
        data = new_tar().file("etc/passwd").bytes()
    elif data == "cut":
        data = good[: len(good) // 2]
    elif data == "missing":
        data = _renamed(good)
    with pytest.raises(LadingError):
        images.load(io.BytesIO(data))
    assert images.list() == [] and list(images.content.list()) == [] and images.layers.list() == []
    assert images.check() == []


def _renamed(archive: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            data = old.extractfile(member)
            member.name = member.name.replace("0/layer.tar", "elsewhere.tar")
            new.addfile(member, data)
    return out.getvalue()


def test_a_layer_that_is_not_what_its_diff_id_says_is_corrupt(images, new_tar):
    good = docker_archive([new_tar().file("a", b"1").bytes()])
    with pytest.raises(Corrupt) as caught:
        images.load(io.BytesIO(good.replace(b"1" + bytes(511), b"2" + bytes(511))))
    assert caught.value.reason == "diff-id-mismatch"
    assert images.layers.list() == []


def shown(image) -> dict[str, str]:
    """The union as text: permissions, and content or target."""
    found = {}
    for node in union.walk(image.layers):
        content = ""
        if stat.S_ISREG(node.there.st_mode):
            with open(node.path, "rb") as file:
                content = file.read().decode()
        found[node.name.decode()] = f"{stat.S_IMODE(node.there.st_mode):o} {content}".strip()
    return found


def test_a_made_up_parent_takes_the_attributes_of_the_layer_below(images, new_tar):
    base = new_tar().dir("tmp", mode=0o1777).dir("tmp/in", mode=0o700).bytes()
    image = make(images, base, new_tar().file("tmp/in/f").bytes())
    assert shown(image) == {"tmp": "1777", "tmp/in": "700", "tmp/in/f": "644 data"}
    assert len(image.layers) == 3


def test_a_hard_link_into_a_lower_layer_shares_its_content(images, new_tar):
    base = new_tar().dir("a", mode=0o711).file("a/f", b"lower", mode=0o600).bytes()
    image = make(images, base, new_tar().dir("b").link("b/g", "a/f").bytes())
    assert shown(image) == {"a": "711", "a/f": "600 lower", "b": "755", "b/g": "600 lower"}
    upper = {n.name: n.there.st_ino for n in union.walk(image.layers)}
    assert upper[b"a/f"] == upper[b"b/g"]


def test_a_hard_link_to_nothing_is_corrupt(images, new_tar):
    with pytest.raises(Corrupt) as caught:
        make(images, new_tar().file("f").bytes(), new_tar().link("g", "gone").bytes())
    assert caught.value.reason == "bad-link"


def test_entries_below_a_lower_layers_link_land_where_it_leads(images, new_tar):
    base = (
        new_tar()
        .dir("usr")
        .dir("usr/lib", mode=0o711)
        .file("usr/lib/a", b"a")
        .symlink("lib", "usr/lib")
        .bytes()
    )
    image = make(images, base, new_tar().file("lib/b", b"b").bytes())
    assert shown(image) == {
        "lib": "777", "usr": "755", "usr/lib": "711", "usr/lib/a": "644 a", "usr/lib/b": "644 b",
    }  # fmt: skip


def test_whiteouts_and_opaque_directories_hide_what_is_below(images, new_tar):
    base = new_tar().file("d/old").file("e/old").file("gone").bytes()
    top = (
        new_tar()
        .dir("d")
        .file("d/.wh..wh..opq", b"")
        .file("d/new", b"n")
        .file(".wh.gone", b"")
        .dir("e")
        .bytes()
    )
    assert set(shown(make(images, base, top))) == {"d", "d/new", "e", "e/old"}


def test_commit_keeps_what_a_container_changed(images, image, tmp_path):
    rootfs = images.rootfs(image, str(tmp_path / "c"))
    os.mkdir(rootfs.upper + "/etc", 0o755)
    os.mknod(rootfs.upper + "/etc/hello", stat.S_IFCHR | 0o600, 0)
    with open(rootfs.upper + "/etc/new", "w") as file:
        file.write("new")
    with open(rootfs.upper + "/sparse", "wb") as sparse:
        sparse.truncate(1 << 20)
        sparse.seek(1 << 19)
        sparse.write(b"middle")
    made = images.commit(
        image, rootfs.upper, changes=['CMD ["run"]', "ENV A=1"], message="why", names=["c:1"]
    )
    assert [(c.kind, c.path) for c in images.changes(rootfs)] == [
        ("C", "/etc"), ("A", "/sparse"), ("D", "/etc/hello"), ("A", "/etc/new"),
    ]  # fmt: skip
    assert set(shown(made)) == {"etc", "etc/new", "sparse"}
    sparse_path = next(n.path for n in union.walk(made.layers) if n.name == b"sparse")
    assert os.stat(sparse_path).st_blocks * 512 < 1 << 20
    assert made.config.config.cmd == ["run"] and made.config.config.env == ["A=1"]
    assert [line.comment for line in images.history(made)] == ["why", "not told"]
    out = io.BytesIO()
    images.export(rootfs, out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        assert sorted(tar.getnames()) == ["etc", "etc/new", "sparse"]


def test_import_makes_an_image_of_plain_files(images, new_tar):
    image = images.import_(
        io.BytesIO(new_tar().file("bin/sh").bytes()),
        names=["i:1"],
        changes=["ENTRYPOINT /bin/sh -c x", "EXPOSE 80"],
    )
    assert image.config.config.entrypoint == ["/bin/sh", "-c", "/bin/sh -c x"]
    assert image.config.config.exposed_ports == {"80/tcp": {}}
    with pytest.raises(InvalidInput):
        images.import_(io.BytesIO(b""))
    with pytest.raises(InvalidInput) as caught:
        images.import_(io.BytesIO(new_tar().bytes()), changes=["RUN x"])
    assert caught.value.reason == "unknown-instruction"


def test_two_loads_and_a_removal_at_once_end_in_one_of_the_right_states(images, new_tar):
    data = docker_archive([new_tar().file(f"f{n}", b"x" * 3000).bytes() for n in range(4)])
    errors: list[BaseException] = []

    def load() -> None:
        try:
            for _ in range(5):
                Images(images.root).load(io.BytesIO(data))
        except BaseException as error:
            errors.append(error)

    def drop() -> None:
        for _ in range(20):
            try:
                Images(images.root).remove("old:1")
            except NotFound:
                pass
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=t) for t in (load, load, drop)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert images.check() == []
    images.load(io.BytesIO(data))
    assert all(os.path.isdir(path) for path in images.get("old:1").layers)


def test_check_finds_and_mends_broken_content_layers_and_records(images, image):
    layer = images.layers.list()[0]
    with images.layers.stage(locked=True) as staging:
        os.rename(f"{images.root}/layers/{layer}", staging.path + "/gone")
        from lading.images.files import remove_tree

        remove_tree(staging.path + "/gone")
    assert any("unpacked layers" in f.problem for f in images.check())
    assert all(f.repaired for f in images.check(repair=True))
    assert images.check() == []
    with open(images.resolved.path(image.digest), "w") as file:
        file.write("{")
    assert all(f.repaired for f in images.check(repair=True))
    assert images.get("test:1").id == image.id
    blob = next(d for d, size in images.content.list() if d not in (image.id, image.digest))
    os.chmod(images.content.path(blob), 0o644)
    os.truncate(images.content.path(blob), 5)
    assert [f.object for f in images.check()] == [blob]
    images.check(repair=True)
    assert not images.content.has(blob)


def test_tags_that_end_as_temporary_files_do_are_names_like_any(images, new_tar):
    made = make(images, new_tar().file("f").bytes(), names=["demo:v1.tmp", "demo:1.42-00000000.tmp"])
    assert {r.tag for r, _ in images.names.list()} == {"v1.tmp", "1.42-00000000.tmp"}
    assert images.check(repair=True) == []
    images.prune(in_use=(), all=False)
    assert images.get("demo:v1.tmp").digest == made.digest


@pytest.mark.parametrize("part", ["names", "resolved"])
def test_a_record_that_was_never_finished_is_found_and_removed(images, image, monkeypatch, part):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "rename", killed)
        if part == "names":
            images.tag(image, "other:1")
        else:
            images.resolved.put(image)
    assert [(r.tag, n.image) for r, n in images.names.list()] == [("1", image.digest)]
    assert images.resolved.list() == [image.digest]
    found = images.check(repair=True)
    assert [f.problem for f in found] == ["a record that was never finished"]
    assert found[0].object.startswith(f"{images.root}/{part}/")
    assert images.check() == []


def test_repair_leaves_a_docker_image_its_type(images, image):
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.loads(images.content.read(image.digest))
    manifest["mediaType"] = docker
    data = json.dumps(manifest).encode()
    with images.lease() as lease:
        digest = images.content.put(data, lease=lease)
        images.register(Descriptor(media_type=docker, digest=digest, size=len(data)), ["d:1"], lease=lease)
    with open(images.resolved.path(digest), "w") as file:
        file.write("{")
    assert all(f.repaired for f in images.check(repair=True))
    assert images.get("d:1").descriptor.media_type == docker


def test_prune_holds_the_lock_of_what_it_removes(images, monkeypatch):
    """Whoever wants to resume at that moment finds it taken, and does not write into a file without a name."""
    with images.lease() as lease, images.content.ingest("sha256:" + "1" * 64, 9, lease=lease) as ingest:
        ingest.write(b"half")
    taken = []
    unlink = os.unlink

    def watched(path: str, **where: int) -> None:
        if "/ingest/" in str(path):
            with open(path, "rb") as file:
                taken.append(not try_lock(file.fileno()))
        unlink(path, **where)

    monkeypatch.setattr(os, "unlink", watched)
    images.prune(in_use=(), all=False)
    assert taken == [True]
    assert os.listdir(images.root + "/ingest") == []


def test_names_and_layers_are_durable_with_the_directories_that_lead_to_them(
    images, image, new_tar, monkeypatch
):
    synced = set()
    fsync = os.fsync

    def watched(fd: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{fd}").removeprefix(images.root + "/"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    images.tag(image, "host.example/new/deep:1")
    assert {"names", "names/host.example", "names/host.example/new", "names/host.example/new/deep"} <= synced
    synced.clear()
    make(images, new_tar().file("fresh", b"fresh").bytes(), names=["fresh:1"])
    assert "layers" in synced
    with Images(images.root + "/apart").lease() as lease:
        synced.clear()
        with LayerWriter(Images(images.root + "/apart"), lease=lease) as writer:
            writer.finish()
    assert {"apart", "apart/blobs", "apart/blobs/sha256"} <= synced


def test_looking_up_reads_no_manifest(images, image):
    for digest, _ in list(images.content.list()):
        images.content.remove(digest)
    assert Images(images.root).get("test:1").layers == image.layers


def test_a_root_that_is_opaque_hides_all_layers_below(images, new_tar):
    lower = new_tar().dir("etc").file("etc/below", b"1").file("below").bytes()
    upper = new_tar().dir("etc").file("etc/above", b"2").file(".wh..wh..opq", b"").bytes()
    image = make(images, lower, upper)
    assert [node.name for node in union.walk(image.layers)] == [b"etc", b"etc/above"]


def test_an_image_that_names_no_machine_is_committed_on_as_any_other(images, new_tar, tmp_path):
    with images.lease() as lease:
        with LayerWriter(images, lease=lease) as writer:
            writer.write(new_tar().file("a").bytes())
            descriptor, diff_id = writer.finish()
        image = create(images, ImageConfig(), [descriptor], [diff_id], ["none:1"], lease=lease)
    (tmp_path / "upper").mkdir()
    made = images.commit(image, str(tmp_path / "upper"), names=["none:2"])
    assert len(made.diff_ids) == 2 and made.platform.architecture == ""


def test_users_are_asked_when_whoever_records_one_sees_that_images_go(images, image):
    asked = []

    def in_use() -> list[str]:
        asked.append(os.path.exists(images.root + "/removing"))
        return [image.id]

    with pytest.raises(Conflict):
        images.remove("test:1", in_use=in_use)
    assert images.prune(in_use=in_use, all=True).removed == []
    assert asked == [True, True] and not os.path.exists(images.root + "/removing")
    images.confirm(image.digest)


def test_a_new_user_waits_for_a_removal_and_hears_of_it(images, image):
    heard = []
    threads = []

    def confirm() -> None:
        try:
            images.confirm(image.digest)
        except NotFound as error:
            heard.append(error)

    def in_use() -> list[str]:
        threads.append(threading.Thread(target=confirm))
        threads[0].start()
        threads[0].join(0.2)
        return []

    assert images.remove("test:1", in_use=in_use).removed == [image.id]
    threads[0].join(60)
    assert len(heard) == 1
