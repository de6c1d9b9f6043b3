"""Start files are a cache: they serve what the source says now, or nothing."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import lading
from lading import start, startlist

GROUP = "tiny"


class Tree:
    """A package directory with two small modules, whose group is called tiny."""

    def __init__(self, root: Path) -> None:
        self.package = root / "lading"
        self.file = root / "start-tiny"
        (self.package / "tinypack").mkdir(parents=True)
        self.source = self.package / "tinymodule.py"
        self.source.write_text("VALUE = 'old'\n\n\ndef fail():\n    raise ValueError(VALUE)\n")
        (self.package / "tinypack" / "__init__.py").write_text("VALUE = 'pack'\n")

    def load(self, name: str = "tinymodule") -> ModuleType:
        """Import as a fresh process would."""
        forget()
        start.serve(GROUP)
        return importlib.import_module(f"lading.{name}")

    def edit(self, value: str) -> None:
        """Change the source in place; a coarse clock must not hide it."""
        before = self.source.stat().st_mtime_ns
        self.source.write_text(self.source.read_text().replace("old", value))
        os.utime(self.source, ns=(before + 1, before + 1))


def forget() -> None:
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, start.Finder)]
    start._finders.clear()
    start._unserved.clear()
    for name in ("tinymodule", "tinypack", "tinypack.inner", "upper", "lower", "left", "right"):
        sys.modules.pop(f"lading.{name}", None)
        lading.__dict__.pop(name, None)
    importlib.invalidate_caches()


def served(module: ModuleType) -> bool:
    return type(module.__loader__) is start._Loader


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    made = Tree(tmp_path)
    monkeypatch.setattr(start, "PACKAGE", str(made.package))
    monkeypatch.setattr(start, "path", lambda group: str(made.file))
    monkeypatch.setattr(lading, "__path__", [*lading.__path__, str(made.package)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a .pyc of seconds' resolution would hide an edit
    monkeypatch.setitem(startlist._GROUPS, GROUP, "lading: tinymodule tinypack")
    startlist.write(GROUP)
    yield made
    forget()


def test_a_module_from_a_start_file_looks_like_any_other(tree: Tree) -> None:
    module = tree.load()
    pack = tree.load("tinypack")
    assert served(module) and served(pack)
    assert module.VALUE == "old" and module.__file__ == str(tree.source) and module.__package__ == "lading"
    assert module.__cached__.endswith(".pyc") and "__pycache__" in module.__cached__
    assert pack.__path__ == [str(tree.package / "tinypack")] and pack.__package__ == "lading.tinypack"
    assert inspect.getsource(module.fail).startswith("def fail():")
    with pytest.raises(ValueError, match="old") as caught:
        module.fail()
    assert traceback.extract_tb(caught.value.__traceback__)[-1].line == "raise ValueError(VALUE)"
    assert not start._unserved and not start._finders[GROUP].stale


@pytest.fixture
def stack(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Besides: upper needs lower and a module of a package, and imports tinymodule in a function; left and right are a ring."""
    for name, text in {
        "upper": "from lading import lower\nfrom lading.tinypack import inner\n"
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from lading import left\n\n\n"
        "def late():\n    from lading import tinymodule\n\n    return tinymodule\n",
        "lower": "import sys\nSEEN = sys.modules[__name__].__spec__.name\n",
        "left": "import lading.right\nVALUE = 1\n",
        "right": "import lading.left\nVALUE = 2\n",
        "tinypack/inner": "VALUE = 3\n",
    }.items():
        (tree.package / f"{name}.py").write_text(text)
    (tree.package / "tinypack/__init__.py").write_text("from lading.tinypack.inner import VALUE\n")
    names = "lading: tinymodule tinypack upper lower left right lading.tinypack: inner"
    monkeypatch.setitem(startlist._GROUPS, GROUP, names)
    startlist.write(GROUP)
    return tree


def test_what_a_module_needs_is_made_before_it_and_looks_like_any_other(stack: Tree) -> None:
    upper = stack.load("upper")
    lower, inner = sys.modules["lading.lower"], sys.modules["lading.tinypack.inner"]
    finder = start._finders[GROUP]
    assert upper.lower is lower and upper.inner is inner and lading.__dict__["lower"] is lower
    assert sys.modules["lading.tinypack"].__dict__["inner"] is inner
    assert served(lower) and lower.SEEN == "lading.lower" and lower.__spec__.loader is lower.__loader__
    by_itself = stack.load("lower")
    assert by_itself is not lower
    for name in ("__name__", "__file__", "__cached__", "__package__", "__doc__"):
        assert getattr(by_itself, name) == getattr(lower, name)
    assert dict.fromkeys(vars(by_itself)).keys() == dict.fromkeys(vars(lower)).keys()
    assert "lading.tinymodule" in finder.index and "lading.left" in finder.index  # lazy is lazy


def test_only_what_a_module_is_sure_to_import_counts_and_no_ring(stack: Tree) -> None:
    needs = startlist._needs(startlist.modules(GROUP))
    assert needs["lading.upper"] == ("lading.lower", "lading.tinypack.inner")
    assert needs["lading.left"] == needs["lading.right"] == ()
    assert needs["lading.tinypack"] == ()
    left = stack.load("left")
    assert left.VALUE == 1 and sys.modules["lading.right"].VALUE == 2


def test_a_need_that_was_edited_is_imported_the_ordinary_way(stack: Tree) -> None:
    source = stack.package / "lower.py"
    source.write_text("SEEN = 'edited'\n")
    upper = stack.load("upper")
    assert upper.lower.SEEN == "edited" and not served(upper.lower) and start._finders[GROUP].stale


def test_a_need_that_fails_leaves_nothing_behind(stack: Tree) -> None:
    (stack.package / "lower.py").write_text("raise ValueError('not today')\n")
    startlist.write(GROUP)
    for _ in range(2):
        with pytest.raises(ValueError, match="not today"):
            stack.load("upper")
        assert "lading.lower" not in sys.modules and "lading.upper" not in sys.modules


@pytest.mark.parametrize("why", ["_TIMED", "_count"])
def test_the_import_system_does_it_all_when_it_is_timed_or_there_are_threads(
    stack: Tree, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(start, why, True if why == "_TIMED" else lambda: 1)
    monkeypatch.setattr(start.Finder, "_bring", None)
    assert served(stack.load("upper").lower)


def test_an_edited_source_wins_and_the_file_is_written_anew(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.edit("new")
    module = tree.load()
    assert module.VALUE == "new" and not served(module)
    assert served(importlib.import_module("lading.tinypack"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    start.renew()
    module = tree.load()
    assert module.VALUE == "new" and served(module)


def test_a_reload_reads_the_source(tree: Tree) -> None:
    module = tree.load()
    tree.edit("new")
    assert importlib.reload(module).VALUE == "new"


def test_a_group_may_wait_until_one_of_its_modules_is_asked_for(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "_ON_DEMAND", {"lading.tinymodule": GROUP, "lading.tinypack": "nothing"})
    monkeypatch.setattr(start, "path", lambda group: f"{tree.file.parent}/start-{group}")
    monkeypatch.setitem(startlist._GROUPS, "first", "lading: start")
    startlist.write("first")
    forget()
    start.serve("first")
    assert GROUP not in start._finders
    assert not served(importlib.import_module("lading.tinypack")) and start._unserved == ["nothing"]
    assert served(importlib.import_module("lading.tinymodule")) and GROUP in start._finders


def test_a_source_that_is_gone_is_not_served(tree: Tree) -> None:
    tree.source.unlink()
    with pytest.raises(ModuleNotFoundError):
        tree.load()


def _truncated(tree: Tree) -> None:
    tree.file.write_bytes(tree.file.read_bytes()[:-7])


def _empty(tree: Tree) -> None:
    tree.file.write_bytes(b"")


def _garbage(tree: Tree) -> None:
    head = len(start.IDENTITY) + 8
    data = tree.file.read_bytes()
    tree.file.write_bytes(data[:head] + b"\xff" * (len(data) - head))


def _other_interpreter(tree: Tree) -> None:
    data = bytearray(tree.file.read_bytes())
    data[len(start.IDENTITY) - 4] ^= 1
    tree.file.write_bytes(data)


def _writable_by_the_group(tree: Tree) -> None:
    tree.file.chmod(0o664)


def _a_link(tree: Tree) -> None:
    tree.file.rename(tree.file.with_suffix(".real"))
    tree.file.symlink_to(tree.file.with_suffix(".real"))


def _a_pipe(tree: Tree) -> None:
    tree.file.unlink()
    os.mkfifo(tree.file, 0o644)


def _missing(tree: Tree) -> None:
    tree.file.unlink()


@pytest.mark.parametrize(
    "spoil",
    [_truncated, _empty, _garbage, _other_interpreter, _writable_by_the_group, _a_link, _a_pipe, _missing],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_a_file_that_is_not_right_in_every_way_is_ignored(tree: Tree, spoil: object) -> None:
    spoil(tree)  # type: ignore[operator]
    module = tree.load()
    assert module.VALUE == "old" and not served(module)
    assert start._unserved == [GROUP]


def test_a_copied_tree_does_not_run_the_code_of_the_one_it_was_copied_from(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "PACKAGE", str(tree.package) + "-copy")
    assert start._read(str(tree.file)) is None


@pytest.mark.parametrize(
    ("mode", "owner", "trusted"),
    [
        (0o100644, 0, True),
        (0o100644, 1234, True),  # ourselves
        (0o100644, 77, True),  # who owns the package
        (0o100644, 4321, False),
        (0o100664, 0, False),
        (0o100646, 1234, False),
        (0o040755, 0, False),
    ],
)
def test_only_files_that_nobody_else_could_have_written_are_run(
    mode: int, owner: int, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start.os, "geteuid", lambda: 1234)
    monkeypatch.setattr(
        start.os, "stat", lambda path: os.stat_result((0o040755, 0, 0, 1, 77, 77, 0, 0, 0, 0))
    )
    assert start._trusted(os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))) is trusted


def test_readers_and_writers_at_once_only_ever_see_whole_files(tree: Tree) -> None:
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            try:
                for _ in range(15):
                    startlist.write(GROUP)
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(pid)
    reads = 0
    while children:
        assert start._read(str(tree.file)) is not None
        reads += 1
        ended, status = os.waitpid(children[0], os.WNOHANG)
        if ended:
            assert status == 0
            children.pop(0)
    assert reads
    assert [path.name for path in tree.file.parent.iterdir() if path.name.startswith("start-")] == [
        "start-tiny"
    ]


def test_nothing_is_written_where_bytecode_is_unwanted_or_cannot_be(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.file.unlink()
    tree.load()
    start.renew()
    assert not tree.file.exists()
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(start.os, "access", lambda path, mode: False)
    start.renew()
    assert not tree.file.exists()


def test_a_failed_write_is_silent_and_leaves_nothing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.file.unlink()
    tree.load()
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(startlist.os, "write", full)
    start.renew()
    assert [p for p in tree.file.parent.iterdir() if p.name.startswith("start-")] == []


def test_the_file_is_beside_the_bytecode_and_named_for_the_interpreter() -> None:
    where = Path(start.path("run"))
    assert start.__spec__ is not None and start.__spec__.cached is not None
    assert where.parent == Path(start.__spec__.cached).parent
    assert where.name == f"start-run.{sys.implementation.cache_tag}"


def test_the_lists_name_modules_that_exist_each_once() -> None:
    source = Path(start.__file__).parent
    for group in startlist.GROUPS:
        names = startlist.modules(group)
        assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
        missing = [n for n in names if not Path(startlist._source(n)).is_relative_to(source)]
        missing += [n for n in names if not Path(startlist._source(n)).is_file()]
        assert missing == []
    used = (
        {group for groups in start._BY_COMMAND.values() for group in groups}
        | {"runtime", "service"}  # the other programs, which ask for theirs by name
        | set(start._ON_DEMAND.values())
    )
    assert used == set(startlist.GROUPS)


@pytest.mark.parametrize(
    "moment,status,said",
    [
        ("start.serve = lambda group: os.kill(os.getpid(), 2)", -2, ""),
        ("main._dispatch = lambda parsed: os.kill(os.getpid(), 2)", 130, "lading images: interrupted\n"),
    ],
)
def test_ctrl_c_ends_a_command_without_a_traceback_however_early(moment, status, said):
    script = (
        f"import os, sys\nfrom lading import start\nfrom lading.cli import main\n{moment}\nstart.lading()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "images"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (status, said)
