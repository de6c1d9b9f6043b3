"""Start-up is a feature: what ``lading run`` and ``lading-runtime`` may import, and nothing else.

Every entry point is imported in a fresh interpreter that notes who asked for each module. A forbidden module names its
importer; a standard module that no list knows fails too, so that nothing heavy comes in unseen. The actual run of a
container is held to the same lists by ``tests/integration/test_run_imports.py``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lading.startlist import modules as modules_of

SOURCE = Path(__file__).resolve().parents[2] / "src"

FORBIDDEN = frozenset(
    "ctypes struct types re enum typing dataclasses json argparse subprocess socket logging pathlib tempfile shutil "
    "threading asyncio "
    "datetime inspect yaml traceback contextlib functools collections urllib http email ssl hashlib random "
    "concurrent multiprocessing tarfile gzip signal selectors textwrap locale gettext pickle copy string "
    "msgspec rich importlib.metadata importlib.resources".split()
)
"""Each costs between half a millisecond and fifty, and none is needed to start a container."""

ALLOWED = frozenset(
    # a fraction of a millisecond each, and without them there is no annotation and no system call
    "__future__ _ctypes _struct "
    # C modules: no Python code, some tens of microseconds each
    "time errno gc fcntl _socket select resource termios math array zlib _json _signal _random _sqlite3 _weakref atexit "
    "binascii _posixsubprocess mmap pwd grp _bisect _heapq _hashlib _sha256 _sha2 _collections _functools _operator itertools "
    "_contextvars _string _blake2 marshal syslog tty".split()
)
"""What the hot path may import beyond Lading's own modules and what the interpreter has loaded before it starts."""

BY_SQLITE = frozenset("functools collections collections.abc operator keyword reprlib".split())
"""What CPython's ``_sqlite3`` imports from C; allowed only together with it (3 ms that buy the records)."""

RECORDER = """
import sys
seen = {}
class Recorder:
    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while frame and frame.f_globals.get("__name__", "").startswith(("importlib", "_frozen_importlib")):
            frame = frame.f_back
        seen.setdefault(name, frame.f_globals.get("__name__", "?") if frame else "?")
baseline = set(sys.modules)
sys.meta_path.insert(0, Recorder())
"""

HOT = {
    "lading": ["lading.cli.main", "lading.cli.run"],
    "lading run": [
        "lading.cli.main",
        "lading.cli.run",
        "lading.node",
        "lading.runtime",
        "lading.network",
        "lading.kernel",
    ],
    "lading-runtime": ["lading.runtime.cli", "lading.runtime.commands"],
}
"""Entry point → modules that a start of it has loaded, all of them at import time."""


def loaded_by(modules: list[str], before: str = "", options: tuple[str, ...] = ()) -> dict[str, str]:
    """Import ``modules`` in a fresh interpreter; every module this added → the module that asked for it first."""
    code = (
        RECORDER
        + before
        + "".join(f"import {name}\n" for name in modules)
        + "new = {m: seen.get(m, '?') for m in sys.modules if m not in baseline}\n"
        + "import json; print(json.dumps(new))"
    )
    done = subprocess.run(
        [sys.executable, "-I", *options, "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{code}"],
        check=False, capture_output=True, text=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    new: dict[str, str] = json.loads(done.stdout)
    return new


def complaints(new: dict[str, str]) -> list[str]:
    """One line for each module that should not have been loaded."""
    found = []
    for name, importer in sorted(new.items()):
        top = name.partition(".")[0]
        if top == "lading" or name in ALLOWED or ("_sqlite3" in new and name in BY_SQLITE):
            continue
        kind = "forbidden on" if name in FORBIDDEN or top in FORBIDDEN else "not on the list of"
        found.append(f"{name}: {kind} the hot path; imported by {importer}")
    return found


def exists(module: str) -> bool:
    """Whether the module has been written; parents are looked up without importing them."""
    path = SOURCE / Path(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("entry", HOT)
def test_a_start_imports_only_what_the_budget_allows(entry: str) -> None:
    modules = [name for name in HOT[entry] if exists(name)]
    if not modules:
        pytest.skip("not written yet")
    new = loaded_by(modules)
    assert not complaints(new), "\n" + "\n".join(complaints(new))


GROUPS = {
    "lading run": ("run", "network"),
    "lading-runtime": ("runtime",),
}
"""Entry point → its start files."""


@pytest.fixture(scope="module")
def start_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Start files of these sources, made in a place of their own; the interpreter's options to use them."""
    options = ("-X", f"pycache_prefix={tmp_path_factory.mktemp('bytecode')}")
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from lading.startlist import main; main()"
    subprocess.run([sys.executable, "-I", "-B", *options, "-c", code], check=True, stdin=subprocess.DEVNULL)
    return options


@pytest.mark.parametrize("entry", GROUPS)
def test_a_start_from_start_files_is_held_to_the_same_budget(
    entry: str, start_files: tuple[str, ...]
) -> None:
    serve = "from lading import start\n" + "".join(f"start.serve({g!r})\n" for g in GROUPS[entry])
    tail = "assert not start._unserved, start._unserved\n"
    new = loaded_by(HOT[entry], serve + tail, ("-B", *start_files))
    assert not complaints(new), "\n" + "\n".join(complaints(new))


@pytest.mark.parametrize("entry", GROUPS)
def test_nearly_all_that_a_start_imports_is_in_its_start_files(entry: str) -> None:
    listed = {name for group in GROUPS[entry] for name in modules_of(group)} | {"lading"}
    new = [name for name in loaded_by(HOT[entry]) if name.partition(".")[0] == "lading"]
    missing = sorted(set(new) - listed)
    # Each costs a tenth of a millisecond more than it could; a tenth of them is worth a failure.
    assert len(missing) < len(new) / 10, f"add to the lists of src/lading/startlist.py: {' '.join(missing)}"


def test_the_records_of_every_format_import_nothing_heavy() -> None:
    names = ["jsontext", "schema", "oci_image", "oci_runtime", "pod", "rootfs"]
    assert complaints(loaded_by([f"lading.formats.{name}" for name in names])) == []


def test_the_budget_sees_an_offender_and_names_its_importer(tmp_path: Path) -> None:
    (tmp_path / "innocent.py").write_text("import guilty\n")
    (tmp_path / "guilty.py").write_text("import textwrap\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{RECORDER}import innocent\nprint(seen['re'], seen['textwrap'])"
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["textwrap", "guilty"]
    assert complaints({"textwrap": "guilty"}) == ["textwrap: forbidden on the hot path; imported by guilty"]
    assert complaints({"brandnew": "x"}) == ["brandnew: not on the list of the hot path; imported by x"]


def test_every_forbidden_name_is_a_module() -> None:
    external = {"yaml", "msgspec", "rich"}
    assert [name for name in FORBIDDEN - external if importlib.util.find_spec(name) is None] == []
    assert not FORBIDDEN & ALLOWED
