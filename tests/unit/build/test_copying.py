"""COPY on ordinary directories: what goes where, under which name, with which attributes."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.build import taking
from lading.build.copying import Attributes, Place
from lading.build.graph import CopyOp, Selection
from lading.build.placing import put
from lading.build.trees import Tree
from lading.errors import InvalidInput, LadingError, NotFound, Unsupported
from lading.formats.dockerfile.ignore import Ignore
from lading.formats.dockerfile.permissions import Permissions
from lading.kernel import Kernel
from support.fuzzing import LONGER

ME = (os.geteuid(), os.getegid())


class Case:
    """A source and a root, both directories; ``copy`` is one COPY instruction."""

    def __init__(self, base: Path) -> None:
        self.source = base / "source"
        self.root = base / "root"
        self.source.mkdir()
        self.root.mkdir()

    def tree(self, ignore: str = "") -> Tree:
        fd = os.open(self.source, os.O_RDONLY | os.O_DIRECTORY)
        patterns = Ignore.parse(ignore.encode()) if ignore else None
        return Tree(Kernel(), fd, what="the context", own=False, ignore=patterns)

    def file(self, name: str, text: str = "text", mode: int = 0o644) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def copy(
        self,
        *paths: str,
        to: str,
        ignore: str = "",
        exclude: list[str] | None = None,
        parents: bool = False,
        mode: str = "",
        moment: int | None = None,
        unpack: bool = False,
    ) -> Case:
        selection = Selection(input=1, paths=list(paths), unpack=unpack)
        op = CopyOp(selections=[selection], destination=to, exclude=exclude or [], parents=parents, mode=mode)
        modes = None
        if mode:
            permissions = Permissions.parse(mode)
            modes = lambda old, directory: permissions.applied(old, directory=directory)  # noqa: E731
        tree = self.tree(ignore)
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        place = Place(Kernel(), fd, Attributes(ME, modes, moment))
        try:
            put(place, tree, selection, op)
        finally:
            place.close()
            os.close(tree.fd)
            os.close(fd)
        return self

    def key(
        self, *paths: str, ignore: str = "", exclude: list[str] | None = None, parents: bool = False
    ) -> str:
        selection = Selection(input=1, paths=list(paths))
        op = CopyOp(selections=[selection], destination="/", exclude=exclude or [], parents=parents)
        tree = self.tree(ignore)
        try:
            return taking.digest_of(tree, selection, op)
        finally:
            os.close(tree.fd)

    @property
    def made(self) -> list[str]:
        """Everything below the root; directories with a slash, links with their target."""
        return sorted(_listed(self.root, ""))


def _listed(path: Path, prefix: str) -> Iterator[str]:
    for entry in os.scandir(path):
        name = prefix + entry.name
        if entry.is_symlink():
            yield f"{name} -> {os.readlink(entry.path)}"
        elif entry.is_dir():
            yield name + "/"
            yield from _listed(Path(entry.path), name + "/")
        else:
            yield name


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_file_gets_the_destination_s_name_or_goes_into_a_directory(case):
    case.file("a")
    assert case.copy("a", to="/b").made == ["b"]
    assert case.copy("a", to="/d/").made == ["b", "d/", "d/a"]
    assert case.copy("a", to="/d").made == ["b", "d/", "d/a"]


def test_a_directory_gives_its_contents(case):
    case.file("d/x/f")
    case.file("d/g")
    assert case.copy("d", to="/new").made == ["new/", "new/g", "new/x/", "new/x/f"]
    assert case.copy("d/", to="/").made == ["g", "new/", "new/g", "new/x/", "new/x/f", "x/", "x/f"]


def test_a_link_as_a_source_is_followed_and_keeps_its_name(case):
    case.file("real/file")
    (case.source / "link").symlink_to("real/file")
    (case.source / "dir").symlink_to("real")
    assert case.copy("link", to="/d/").made == ["d/", "d/link"]
    assert not (case.root / "d/link").is_symlink()
    assert case.copy("dir", to="/e").made == ["d/", "d/link", "e/", "e/file"]


def test_a_link_in_a_directory_stays_a_link(case):
    case.file("d/f")
    (case.source / "d/l").symlink_to("f")
    (case.source / "d/dangling").symlink_to("/nowhere")
    assert case.copy("d", to="/").made == ["dangling -> /nowhere", "f", "l -> f"]


def test_links_never_lead_out_of_the_source(case, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (case.source / "out").symlink_to("../secret")
    (case.source / "root").symlink_to("/etc/passwd")
    for name in ("out", "root"):
        with pytest.raises(NotFound):
            case.copy(name, to="/x")
    with pytest.raises(NotFound):
        case.copy("../secret", to="/x")


def test_a_destination_that_is_a_link_is_followed_inside_the_root(case):
    case.file("f", "new")
    (case.root / "usr/lib").mkdir(parents=True)
    (case.root / "lib").symlink_to("usr/lib")
    (case.root / "file").symlink_to("/usr/target")
    case.copy("f", to="/lib/").copy("f", to="/file")
    assert case.made == [
        "file -> /usr/target",
        "lib -> usr/lib",
        "usr/",
        "usr/lib/",
        "usr/lib/f",
        "usr/target",
    ]


def test_a_directory_of_the_source_goes_through_a_link_at_the_destination(case):
    case.file("root/lib/f")
    (case.root / "usr/lib").mkdir(parents=True)
    (case.root / "lib").symlink_to("usr/lib")
    assert case.copy("root", to="/").made == ["lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/f"]


def test_links_and_files_at_the_destination_are_replaced_directories_are_not(case):
    case.file("d/f", "new")
    (case.root / "victim").write_text("old")
    (case.root / "f").symlink_to("victim")
    case.copy("d", to="/")
    assert (case.root / "victim").read_text() == "old"
    assert (case.root / "f").read_text() == "new"
    case.file("e/victim/inner")
    with pytest.raises(InvalidInput) as error:
        case.copy("e", to="/")
    assert error.value.reason == "not-a-directory"
    (case.root / "g").mkdir()
    case.file("h/g")
    with pytest.raises(InvalidInput) as error:
        case.copy("h", to="/")
    assert error.value.reason == "is-a-directory"


def test_wildcards_match_component_by_component_and_may_match_nothing(case):
    for name in ("a1.txt", "a2.txt", "b.txt", "d1/x.txt", "d2/x.txt"):
        case.file(name, name)
    assert case.copy("a*.txt", to="/out/").made == ["out/", "out/a1.txt", "out/a2.txt"]
    assert case.copy("none*", to="/none/").made == ["out/", "out/a1.txt", "out/a2.txt"]
    case.copy("d*/x.t?t", "[b]*", to="/two/")
    assert (case.root / "two/x.txt").read_text() == "d2/x.txt"
    assert (case.root / "two/b.txt").exists()
    with pytest.raises(NotFound):
        case.copy("missing", to="/x")


def test_an_ignore_file_hides_from_copies_and_keys(case):
    for name in ("keep", "drop", "d/keep", "d/drop", "e/drop"):
        case.file(name, name)
    ignore = "**/drop\n"
    assert case.copy(".", to="/", ignore=ignore).made == ["d/", "d/keep", "e/", "keep"]
    with pytest.raises(NotFound) as error:
        case.copy("drop", to="/x", ignore=ignore)
    assert "ignore file" in error.value.message
    before = case.key(".", ignore=ignore)
    case.file("d/drop", "other")
    assert case.key(".", ignore=ignore) == before
    case.file("d/keep", "other")
    assert case.key(".", ignore=ignore) != before


def test_exceptions_of_an_ignore_file_bring_their_directories_along(case):
    for name in ("d/a/x", "d/a/y", "d/b/z"):
        case.file(name)
    assert case.copy(".", to="/", ignore="d\n!d/a/x\n").made == ["d/", "d/a/", "d/a/x"]
    assert case.copy("d", to="/e", ignore="d\n!d/a/x\n").made[-3:] == ["e/", "e/a/", "e/a/x"]


def test_exclude_counts_from_the_source_and_is_in_the_key(case):
    for name in ("d/a.txt", "d/b.md", "d/x/c.txt", "d/x/d.md", "top.txt", "top.md"):
        case.file(name, name)
    assert case.copy("d", to="/one", exclude=["*.txt"]).made == [
        "one/",
        "one/b.md",
        "one/x/",
        "one/x/c.txt",
        "one/x/d.md",
    ]
    case.copy("top*", to="/two/", exclude=["*.txt"])
    assert sorted(os.listdir(case.root / "two")) == ["top.md"]
    case.copy(".", to="/three", exclude=["**/*.md", "!d/b.md"])
    assert (case.root / "three/d/b.md").exists()
    assert not (case.root / "three/d/x/d.md").exists()
    before = case.key("d", exclude=["**/*.txt"])
    case.file("d/x/c.txt", "other")
    assert case.key("d", exclude=["**/*.txt"]) == before


def test_parents_keep_the_directories_from_the_pivot_on(case):
    for name in ("a/b/c/f", "a/b/g", "a/x/f"):
        case.file(name)
    assert case.copy("a/b/c/f", to="/one/", parents=True).made == [
        "one/",
        "one/a/",
        "one/a/b/",
        "one/a/b/c/",
        "one/a/b/c/f",
    ]
    case.copy("a/./b/c", to="/two/", parents=True)
    assert sorted(_listed(case.root / "two", "")) == ["b/", "b/c/", "b/c/f"]
    case.copy("./a/**/f", to="/three/", parents=True)
    assert sorted(_listed(case.root / "three", "")) == ["a/", "a/b/", "a/b/c/", "a/b/c/f", "a/x/", "a/x/f"]
    case.copy("a/*/f", to="/four/", parents=True)
    assert sorted(_listed(case.root / "four", "")) == ["a/", "a/x/", "a/x/f"]
    with pytest.raises(NotFound):
        case.copy("a/none", to="/five/", parents=True)


def test_what_is_made_on_the_way_has_plain_modes_and_copies_keep_theirs(case):
    case.file("d/x/f", mode=0o4751)
    (case.source / "d/x").chmod(0o2700)
    (case.source / "d").chmod(0o700)
    os.utime(case.source / "d/x/f", (1, 1))
    os.utime(case.source / "d/x", (2, 2))
    case.copy("d", to="/way/new")
    made = case.root / "way/new"
    assert stat.S_IMODE(os.stat(case.root / "way").st_mode) == 0o755
    assert stat.S_IMODE(os.stat(made).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(made / "x").st_mode) == 0o2700
    assert stat.S_IMODE(os.stat(made / "x/f").st_mode) == 0o4751
    assert os.stat(made / "x/f").st_mtime == 1
    assert os.stat(made / "x").st_mtime == 2


def test_modes_are_changed_as_told(case):
    case.file("d/x/f", mode=0o600)
    case.file("d/x/run", mode=0o700)
    case.copy("d", to="/o", mode="0750")
    assert stat.S_IMODE(os.stat(case.root / "o/x/f").st_mode) == 0o750
    case.copy("d", to="/s", mode="u=rwX,go=rX")
    assert stat.S_IMODE(os.stat(case.root / "s/x/f").st_mode) == 0o644
    assert stat.S_IMODE(os.stat(case.root / "s/x/run").st_mode) == 0o755
    assert stat.S_IMODE(os.stat(case.root / "s/x").st_mode) == 0o755


def test_hard_links_stay_one_file_and_are_in_the_key(case):
    first = case.file("d/a")
    os.link(first, case.source / "d/b")
    case.copy("d", to="/")
    assert os.stat(case.root / "a").st_ino == os.stat(case.root / "b").st_ino
    before = case.key("d")
    (case.source / "d/b").unlink()
    case.file("d/b")
    assert case.key("d") != before


def test_holes_stay_holes(case):
    with open(case.source / "sparse", "wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"x")
    case.copy("sparse", to="/sparse")
    made = os.stat(case.root / "sparse")
    assert made.st_size == 64 << 20
    assert made.st_blocks * 512 < 1 << 20
    with open(case.root / "sparse", "rb") as file:
        file.seek(32 << 20)
        assert file.read(2) == b"x\0"


def test_names_that_are_no_text_are_copied(case):
    name = os.fsdecode(b"caf\xe9 \xff\n")
    case.file("d/" + name, "odd")
    case.copy("d", to="/")
    assert (case.root / name).read_text() == "odd"
    assert case.key("d")


def test_a_socket_stays_out(case):
    import socket

    case.file("d/f")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(case.source / "d")
        try:
            bound.bind("socket")
        finally:
            os.chdir(here)
        before = case.key("d")
        assert case.copy("d", to="/").made == ["f"]
        (case.source / "d/socket").unlink()
        assert case.key("d") == before


def test_endless_links_and_nesting_are_refused(case):
    (case.source / "a").symlink_to("b")
    (case.source / "b").symlink_to("a")
    with pytest.raises(InvalidInput) as error:
        case.copy("a", to="/x")
    assert error.value.reason == "loop"
    here = os.open(case.source, os.O_RDONLY)
    for _ in range(420):
        os.mkdir("d", dir_fd=here)
        after = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = after
    os.close(here)
    with pytest.raises(InvalidInput) as error:
        case.key("d")
    assert error.value.reason == "too-deep"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_what_cannot_be_read_is_named(case):
    case.file("d/locked", mode=0)
    with pytest.raises(LadingError) as error:
        case.key("d")
    assert error.value.reason == "unreadable"
    assert "d/locked" in error.value.message


_NAMES = st.sampled_from(["a", "b", "c", "d.txt", "é"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)


@given(files=st.dictionaries(_PATHS, st.text(max_size=5), max_size=8), there=st.lists(_PATHS, max_size=4))
@settings(max_examples=60 * LONGER)
@pytest.mark.fuzz
def test_a_copied_directory_is_what_was_there_under_what_is_new(tmp_path_factory, files, there):
    case = Case(tmp_path_factory.mktemp("model"))
    for path, text in files.items():
        try:
            case.file(path, text)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    for path in there:
        try:
            (case.root / path).parent.mkdir(parents=True, exist_ok=True)
            (case.root / path).write_text("old")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    source = {p.relative_to(case.source): p for p in case.source.rglob("*")}
    before = {p.relative_to(case.root): p.read_text() if p.is_file() else None for p in case.root.rglob("*")}
    clash = any(p in before and (before[p] is None) != q.is_dir() for p, q in source.items())
    if clash:
        with pytest.raises(InvalidInput):
            case.copy(".", to="/")
        return
    expected = before | {p: q.read_text() if q.is_file() else None for p, q in source.items()}
    case.copy(".", to="/")
    after = {p.relative_to(case.root): p.read_text() if p.is_file() else None for p in case.root.rglob("*")}
    assert after == expected


def test_a_name_that_is_a_deletion_s_is_refused_where_it_comes_from(case, tmp_path):
    case.file("d/.wh.f")
    (case.source / "e/.wh.d").mkdir(parents=True)
    with pytest.raises(Unsupported, match=r"'d/.wh.f' in the context: .* cannot be in a layer"):
        case.copy("d", to="/x")
    with pytest.raises(Unsupported, match=r"'e/.wh.d' in the context"):
        case.copy("e", to="/y")
    case.copy("d/.wh.f", to="/plain")
    assert (case.root / "plain").read_text() == "text"
    case.copy("d", to="/z", exclude=["**/.wh.*"])
    assert os.listdir(case.root / "z") == []
    with tarfile.open(case.source / "a.tar", "w") as tar:
        tar.add(case.source / "d", "in")
    with pytest.raises(Unsupported, match=r"a.tar: in/.wh.f: .* cannot be in a layer") as error:
        case.copy("a.tar", to="/u", unpack=True)
    assert error.value.reason == "whiteout-name"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_the_device_that_deletes_in_an_overlay_is_refused(case):
    os.mknod(case.source / "gone", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    with pytest.raises(Unsupported, match=r"'gone' in the context: overlayfs takes the device 0:0"):
        case.copy(".", to="/x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_directory_that_may_not_be_entered_is_named(case):
    case.file("locked/x")
    (case.source / "locked").chmod(0o700)
    tree = case.tree()
    os.seteuid(65534)
    try:
        for ask in (
            lambda: tree.status("locked/x"),
            lambda: tree.names("locked"),
            lambda: tree.real("locked/x"),
        ):
            with pytest.raises(LadingError, match=r"'locked.*' in the context cannot be read") as error:
                ask()
            assert error.value.reason == "unreadable"
    finally:
        os.seteuid(0)
        os.close(tree.fd)
