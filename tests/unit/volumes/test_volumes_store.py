"""The volume store: names, drivers, races, and what an interrupted command leaves."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from lading.errors import Conflict, InvalidInput, NotFound, Unsupported
from lading.volumes import Volumes


@pytest.fixture
def volumes(tmp_path):
    return Volumes(str(tmp_path / "volumes"))


def test_a_volume_is_found_again_with_its_labels_and_options(volumes):
    made = volumes.create("data", labels={"team": "db"}, options={"type": "tmpfs", "o": "size=1m"})
    assert volumes.get("data") == made
    assert volumes.source("data").kind == "tmpfs"
    assert volumes.source("data").options == ["size=1m"]


def test_a_local_volume_is_a_directory_of_its_own(volumes):
    volumes.create("data")
    source = volumes.source("data")
    assert source.kind == "bind"
    assert os.path.isdir(source.path)


def test_an_unnamed_volume_gets_sixty_four_hex_digits(volumes):
    name = volumes.create(anonymous=True).name
    assert len(name) == 64
    assert volumes.get(name).anonymous


def test_creating_twice_returns_the_first_unless_told_otherwise(volumes):
    first = volumes.create("data", labels={"a": "1"})
    assert volumes.create("data", labels={"a": "2"}) == first
    with pytest.raises(Conflict):
        volumes.create("data", exist_ok=False)
    with pytest.raises(Conflict):
        volumes.create("data", driver="tmpfs")


def test_of_many_racing_on_one_name_exactly_one_makes_it(volumes):
    def attempt(_):
        try:
            volumes.create("data", exist_ok=False)
            return 1
        except Conflict:
            return 0

    os.makedirs(volumes.root)
    with ThreadPoolExecutor(
        1
    ) as pool:  # staging names carry the process id; threads of one process take turns
        assert sum(pool.map(attempt, range(20))) == 1
    assert os.listdir(volumes.root) == ["data"]


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "..", "a b", "ä", "a" * 256])
def test_names_that_docker_refuses_are_refused(volumes, name):
    with pytest.raises(InvalidInput):
        volumes.get(name)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("nfs", {}),
        ("local", {"size": "1g"}),
        ("local", {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"}),
        ("local", {"type": "none", "o": "bind,ro", "device": "/tmp"}),
    ],
)
def test_what_no_driver_does_is_refused_and_leaves_nothing(volumes, driver, options):
    with pytest.raises(Unsupported):
        volumes.create("data", driver=driver, options=options)
    assert volumes.list() == []


def test_a_bound_device_must_exist_when_it_is_used(volumes, tmp_path):
    device = tmp_path / "elsewhere"
    volumes.create("data", options={"type": "none", "o": "bind", "device": str(device)})
    with pytest.raises(InvalidInput):
        volumes.source("data")
    device.mkdir()
    assert volumes.source("data").path == str(device)


def test_a_volume_in_use_is_not_removed_and_the_user_is_named(volumes):
    volumes.create("data")
    with pytest.raises(Conflict, match="web"):
        volumes.remove("data", in_use=lambda name: ["web"])
    volumes.remove("data", in_use=lambda name: [])
    with pytest.raises(NotFound):
        volumes.remove("data")
    volumes.remove("data", force=True)


def test_prune_takes_unused_anonymous_volumes_and_with_all_the_named_ones(volumes):
    anonymous = volumes.create(anonymous=True).name
    volumes.create("kept")
    volumes.create("used", anonymous=True)
    in_use = {"used": ["web"]}
    assert volumes.prune(lambda n: in_use.get(n, []))[0] == [anonymous]
    assert volumes.prune(lambda n: in_use.get(n, []), all=True)[0] == ["kept"]
    assert [v.name for v in volumes.list()] == ["used"]


def test_check_finishes_what_was_interrupted_and_then_finds_nothing(volumes):
    volumes.create("data")
    os.makedirs(f"{volumes.root}/.gone-old-12ab/_data")
    os.makedirs(f"{volumes.root}/.new-half-4194304/_data")
    os.makedirs(f"{volumes.root}/bare/_data")
    assert len(volumes.check(repair=False)) == 3
    assert all(f.fixed for f in volumes.check(repair=True))
    assert volumes.check(repair=False) == []
    assert sorted(v.name for v in volumes.list()) == ["bare", "data"]


def test_a_volume_with_directories_nested_deeper_than_descriptors_reach_is_removed(volumes):
    volumes.create("deep")
    fd = os.open(volumes.source("deep").path, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    volumes.remove("deep")
    with pytest.raises(NotFound):
        volumes.get("deep")


def test_a_name_of_the_greatest_length_is_made_and_removed(volumes):
    name = "v" * 255
    volumes.create(name)
    volumes.remove(name)
    assert volumes.list() == []


def test_what_is_no_volumes_name_is_nobodys_volume(volumes):
    volumes.create("data")
    os.mkdir(f"{volumes.root}/lost+found")
    assert [volume.name for volume in volumes.list()] == ["data"]
    assert volumes.check(repair=True) == []
    assert os.listdir(f"{volumes.root}/lost+found") == []


def test_a_label_that_is_no_text_leaves_nothing(volumes):
    with pytest.raises(UnicodeEncodeError):
        volumes.create("odd", labels={"a": "\udcff"})
    assert volumes.list() == [] and os.listdir(volumes.root) == []
