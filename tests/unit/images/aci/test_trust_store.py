"""Key files: which count for which names, who may have written them, and what adding and removing leaves."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.formats.openpgp import PUBLIC_KEY, armor
from lading.formats.openpgp_packets import Key, keys
from lading.images.aci.trust import TrustStore, read_keys


def made(name: str) -> Key:
    """A key that has never signed anything: here only its packets and its name count."""
    primary = b"\x04\x65\x00\x00\x00\x16" + hashlib.sha256(name.encode()).digest()
    data = (
        bytes([0x99]) + len(primary).to_bytes(2, "big") + primary + bytes([0xB4, len(name)]) + name.encode()
    )
    return keys(data, what=name)[0]


ONE, TWO, THREE = made("one"), made("two"), made("three")


@pytest.fixture
def system(tmp_path: Path) -> TrustStore:
    return TrustStore(str(tmp_path / "system"))


@pytest.fixture
def store(tmp_path: Path, system: TrustStore) -> TrustStore:
    return TrustStore(str(tmp_path / "local"), [system.local])


def names(store: TrustStore, image: str) -> set[str]:
    return {key.users[0] for key in store.trusted(image)}


def put(store: TrustStore, place: str, key: Key | None, *, name: str = "", mode: int = 0o644) -> Path:
    """A key file (None: an empty one) made by hand."""
    path = Path(store.local, "trustedkeys", place, name or (key or ONE).fingerprint.lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(armor(key.packets, PUBLIC_KEY) if key else b"")
    path.chmod(mode)
    return path


def test_no_directory_means_that_nobody_is_trusted(store: TrustStore) -> None:
    assert store.trusted("example.com/app") == [] and store.entries() == []


@pytest.mark.parametrize(
    ("prefix", "image", "counts"),
    [
        ("", "example.com/app", True), ("", "other.example", True), ("example.com", "example.com", True),
        ("example.com", "example.com/app", True), ("example.com", "example.com/a/b/c", True),
        ("example.com", "example.community", False),
        ("example.com/app", "example.com/app", True), ("example.com/app", "example.com/app/part", True),
        ("example.com/app", "example.com/apple", False), ("example.com/app", "example.com", False),
        ("example.com/a/b", "example.com/a/b/c", True), ("example.com/a/b", "example.com/a", False),
    ],
)  # fmt: skip
def test_a_key_counts_for_its_prefix_and_what_is_below(
    store: TrustStore, prefix: str, image: str, counts: bool
) -> None:
    store.add(ONE, prefix)
    assert names(store, image) == ({"one"} if counts else set())


def test_all_prefixes_of_a_name_count_together(store: TrustStore, system: TrustStore) -> None:
    system.add(ONE, "")
    store.add(TWO, "example.com")
    store.add(THREE, "example.com/app")
    assert names(store, "example.com/app") == {"one", "two", "three"}
    assert names(store, "example.com/other") == {"one", "two"}


def test_files_are_where_a_person_looks_for_them(store: TrustStore, tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        paths = [store.add(ONE, ""), store.add(ONE, "example.com/app")]
    finally:
        os.umask(before)
    base = f"{tmp_path}/local/trustedkeys"
    fingerprint = ONE.fingerprint.lower()
    assert paths == [f"{base}/root.d/{fingerprint}", f"{base}/prefix.d/example.com,app/{fingerprint}"]
    assert read_keys(Path(paths[1]).read_bytes(), what="it")[0].packets == ONE.packets
    assert b"Comment: one\n" in Path(paths[1]).read_bytes()
    assert sorted(os.listdir(os.path.dirname(paths[1]))) == [fingerprint]
    assert names(store, "example.com/app") == {"one"}  # no umask makes them anybody's


def test_rockets_own_directories_are_read(store: TrustStore) -> None:
    put(store, "prefix.d/example.com/app", ONE)
    put(store, "prefix.d/example.com", TWO, name=TWO.fingerprint)
    assert names(store, "example.com/app") == {"one", "two"}
    assert [(entry.prefix, entry.fingerprint) for entry in store.entries()] == [
        ("example.com", TWO.fingerprint), ("example.com/app", ONE.fingerprint),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key_at", "mask_at", "taken_from", "left_to"),
    [
        ("root.d", "root.d", ["example.com", "other.example"], []),
        ("root.d", "prefix.d/example.com", ["example.com/app"], ["other.example"]),
        ("prefix.d/example.com", "prefix.d/example.com", ["example.com", "example.com/app"], []),
        (
            "prefix.d/example.com",
            "prefix.d/example.com,app",
            ["example.com/app/x"],
            ["example.com", "example.com/b"],
        ),
        ("prefix.d/example.com", "root.d", [], ["example.com/app"]),
    ],
)
def test_an_empty_local_file_takes_the_systems_key_away(
    store: TrustStore,
    system: TrustStore,
    key_at: str,
    mask_at: str,
    taken_from: list[str],
    left_to: list[str],
) -> None:
    put(system, key_at, ONE)
    put(store, mask_at, None)
    assert [names(store, image) for image in taken_from] == [set()] * len(taken_from)
    assert [names(store, image) for image in left_to] == [{"one"}] * len(left_to)


def test_an_empty_file_of_the_system_takes_nothing_local_away(store: TrustStore, system: TrustStore) -> None:
    put(system, "root.d", None)
    store.add(ONE, "")
    assert names(store, "example.com") == {"one"}


# -- removing ------------------------------------------------------------------------------------------------------


def test_a_key_is_removed_from_one_prefix_or_from_all(store: TrustStore) -> None:
    for prefix in ("", "example.com", "example.com/app"):
        store.add(ONE, prefix)
    store.add(TWO, "example.com")
    assert len(store.remove(ONE.fingerprint, "example.com")) == 1
    assert names(store, "example.com") == {"one", "two"}  # by the root
    assert len(store.remove(f" {ONE.fingerprint[:4]} {ONE.fingerprint[4:]} ".lower())) == 2
    assert names(store, "example.com/app") == {"two"}


def test_what_the_system_trusts_is_masked_and_can_be_trusted_again(
    store: TrustStore, system: TrustStore
) -> None:
    theirs = Path(system.add(ONE, "example.com"))
    before = theirs.read_bytes()
    changed = store.remove(ONE.fingerprint[-16:])
    mine = f"{store.local}/trustedkeys/prefix.d/example.com/{ONE.fingerprint.lower()}"
    assert changed == [(mine, True)] and os.stat(mine).st_size == 0 and theirs.read_bytes() == before
    assert names(store, "example.com") == set()
    with pytest.raises(LadingError):
        store.remove(ONE.fingerprint)
    store.add(ONE, "example.com")
    assert names(store, "example.com") == {"one"}
    assert store.remove(ONE.fingerprint) == [(mine, True)]
    assert names(store, "example.com") == set()


def test_a_file_that_cannot_be_used_can_be_removed(store: TrustStore) -> None:
    put(store, "root.d", ONE, mode=0o666)
    put(store, "prefix.d/example.com", None, name=TWO.fingerprint).write_text("rubbish")
    Path(store.local, "trustedkeys/root.d", THREE.fingerprint).symlink_to("/nonexistent/key")
    for key in (ONE, TWO, THREE):
        assert len(store.remove(key.fingerprint)) == 1
    assert store.entries() == []


@pytest.mark.parametrize("text", ["", "12345678", "x" * 40, "0" * 41, "../../../etc/passwd", "é" * 20])
def test_what_is_no_fingerprint_removes_nothing(store: TrustStore, text: str) -> None:
    store.add(ONE, "")
    with pytest.raises(LadingError) as caught:
        store.remove(text)
    assert caught.value.reason == "invalid" and names(store, "a") == {"one"}


def test_an_end_that_fits_two_keys_removes_neither(store: TrustStore) -> None:
    for head in ("A", "B"):
        put(store, "root.d", None, name=head * 24 + "C" * 16).write_text("key")
    with pytest.raises(LadingError) as caught:
        store.remove("C" * 16)
    assert caught.value.reason == "ambiguous"


# -- what is not believed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
def test_a_key_file_that_others_can_write_is_refused(store: TrustStore, mode: int) -> None:
    path = put(store, "prefix.d/example.com", ONE, mode=mode)
    for ask in (lambda: store.trusted("example.com/app"), store.entries):
        with pytest.raises(LadingError) as caught:
            ask()
        assert caught.value.reason == "unsafe-permissions" and str(path) in str(caught.value)
    assert store.trusted("other.example") == []


@pytest.mark.parametrize("place", ["trustedkeys", "trustedkeys/prefix.d", "trustedkeys/prefix.d/example.com"])
def test_a_directory_that_others_can_write_is_refused(store: TrustStore, place: str) -> None:
    store.add(ONE, "example.com")
    Path(store.local, place).chmod(0o777)
    with pytest.raises(LadingError) as caught:
        store.trusted("example.com")
    assert caught.value.reason == "unsafe-permissions"
    with pytest.raises(LadingError):
        store.add(TWO, "example.com")


@pytest.mark.parametrize(
    "content",
    [b"rubbish", armor(TWO.packets, PUBLIC_KEY), armor(ONE.packets, PUBLIC_KEY)[:-80], b"x" * (5 << 20)],
)
def test_a_file_without_its_key_is_an_error_and_not_passed_over(store: TrustStore, content: bytes) -> None:
    path = put(store, "root.d", ONE)
    path.write_bytes(content)
    with pytest.raises(LadingError) as caught:
        store.trusted("example.com")
    assert str(path) in str(caught.value) and caught.value.reason in ("key", "armor")


def test_other_names_and_things_are_errors_that_name_them(store: TrustStore) -> None:
    put(store, "root.d", ONE, name="release.asc")
    with pytest.raises(LadingError, match=r"release\.asc"):
        store.trusted("example.com")
    os.unlink(f"{store.local}/trustedkeys/root.d/release.asc")
    os.mkfifo(f"{store.local}/trustedkeys/root.d/{ONE.fingerprint}", 0o644)
    with pytest.raises(LadingError, match="no key file"):
        store.trusted("example.com")


@pytest.mark.parametrize("place", ["prefix.d/Not A Name", "prefix.d/a,b/c"])
def test_a_directory_that_is_no_prefix_is_an_error_in_the_list(store: TrustStore, place: str) -> None:
    put(store, place, ONE)
    with pytest.raises(LadingError, match=r"prefix\.d/"):
        store.entries()


def test_editors_files_are_passed_over(store: TrustStore) -> None:
    put(store, "root.d", ONE)
    put(store, "root.d", TWO, name=".release.asc.swp")
    assert names(store, "example.com") == {"one"}


def test_of_a_file_with_several_keys_the_one_it_is_named_for_counts(store: TrustStore) -> None:
    put(store, "root.d", ONE).write_bytes(armor(TWO.packets + ONE.packets, PUBLIC_KEY))
    assert names(store, "example.com") == {"one"}


@pytest.mark.parametrize("name", ["", "Example.com", "../x", "example.com/", "example.com:1"])
def test_a_name_that_is_none_has_no_keys(store: TrustStore, name: str) -> None:
    with pytest.raises(LadingError):
        store.trusted(name)
    if name:
        with pytest.raises(LadingError):
            store.add(ONE, name)
        assert not os.path.exists(store.local)
