"""The rules of CONTRIBUTING.md that no linter of the shelf knows, as tests.

A rule that is only written down is broken within a month. Each test here prints every breach it finds, so that one run
is enough to mend them all.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 600
"""Lines of a module. The house aims at 400; beyond 600 it has two subjects."""


def _made(path: Path) -> bool:
    """Whether make or git made it: the virtual environment, caches, work."""
    hidden = path.parts[0].startswith(".") and path.parts[0] not in (".ci", ".gitignore")
    return hidden or "__pycache__" in path.parts or path.suffix == ".pyc"


@cache
def _tracked() -> tuple[Path, ...]:
    """Every file of the checkout that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):  # no git on this machine, or an exported tree
        paths = [path for path in ROOT.rglob("*") if not _made(path.relative_to(ROOT))]
    else:
        paths = [ROOT / name for name in names.split("\0") if name]
    return tuple(path for path in paths if path.is_file())


def _python(*tops: str) -> list[Path]:
    return [p for p in _tracked() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in tops]


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(), str(path))
    except SyntaxError as error:
        pytest.fail(f"{path.relative_to(ROOT)}:{error.lineno}: {error.msg}", pytrace=False)


def _where(path: Path, node: ast.AST | None = None) -> str:
    line = getattr(node, "lineno", 1)
    return f"{path.relative_to(ROOT)}:{line}"


def _report(breaches: list[str]) -> None:
    if breaches:
        pytest.fail("\n" + "\n".join(breaches), pytrace=False)


def test_no_module_outgrows_one_subject() -> None:
    sizes = {path: path.read_text().count("\n") for path in _python("src", "tests", "benchmarks", "scripts")}
    _report(
        [
            f"{_where(p)}: {n} lines, {LONGEST} at most; split it by subject"
            for p, n in sizes.items()
            if n > LONGEST
        ]
    )


def test_every_module_of_the_package_says_what_it_is() -> None:
    _report([f"{_where(p)}: no module docstring" for p in _python("src") if not ast.get_docstring(_tree(p))])


def _public(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Public classes, functions and methods; not what is nested in a function."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            # A record of a standard's own object is described by the standard that its module names.
            if "Record" not in bases:
                yield inside + node.name, node
            yield from _public(node.body, f"{inside}{node.name}.")
        elif (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and not node.name.startswith("_")
            and not any(_is_overload_or_setter(d) for d in node.decorator_list)
        ):
            yield inside + node.name, node


@cache
def _documented_methods() -> dict[str, tuple[set[str], set[str]]]:
    """Class name → (its bases' names, its methods that have a docstring)."""
    index: dict[str, tuple[set[str], set[str]]] = {}
    for path in _python("src"):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                methods = {
                    f.name for f in node.body if isinstance(f, ast.FunctionDef) and ast.get_docstring(f)
                }
                index[node.name] = ({ast.unparse(b).rpartition(".")[2] for b in node.bases}, methods)
    return index


def _inherits_docstring(name: str) -> bool:
    """Whether ``Class.method`` implements a method that a base class describes."""
    owner, _, method = name.rpartition(".")
    pending, index = [owner.rpartition(".")[2]], _documented_methods()
    while pending:
        bases, methods = index.get(pending.pop(), (set(), set()))
        if method in methods:
            return True
        pending += bases
    return False


def _declares_flags(node: ast.AST) -> bool:
    """A table of flags is described by the command it belongs to."""
    returns = getattr(node, "returns", None)
    return returns is not None and ast.unparse(returns) in ("list[Flag]", "Sequence[Flag]")


def _is_overload_or_setter(decorator: ast.expr) -> bool:
    return (isinstance(decorator, ast.Name) and decorator.id in ("overload", "override")) or (
        isinstance(decorator, ast.Attribute) and decorator.attr == "setter"
    )


def test_every_public_class_and_function_has_a_docstring() -> None:
    _report([
        f"{_where(path, node)}: {name} has no docstring"
        for path in _python("src")
        for name, node in _public(_tree(path).body)
        if not ast.get_docstring(node) and not _declares_flags(node) and not _inherits_docstring(name)  # type: ignore[arg-type]
    ])  # fmt: skip


def test_annotations_are_never_evaluated_at_start_up() -> None:
    def late(tree: ast.Module) -> bool:
        return any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body) or not any(
            isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.AnnAssign)) for n in tree.body
        )

    _report(
        [
            f"{_where(p)}: from __future__ import annotations"
            for p in _python("src", "tests")
            if not late(_tree(p))
        ]
    )


def test_no_any_crosses_the_border_of_a_package() -> None:
    breaches = []
    for path in _python("src"):
        if path.name != "__init__.py":
            continue
        for _name, node in _public(_tree(path).body):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                hints = [a.annotation for a in ast.walk(node) if isinstance(a, ast.arg)] + [node.returns]
                if any(re.search(r"\bAny\b", ast.unparse(h)) for h in hints if h is not None):
                    breaches.append(f"{_where(path, node)}: {node.name} has Any in its signature")
    _report(breaches)


def test_only_the_commands_print() -> None:
    """Floors below the faces return values and raise errors; what is shown is decided above. Warnings go to stderr."""
    faces = (
        "src/lading/cli/",
        "src/lading/compose/",
        "src/lading/rocket/",
        "src/lading/__main__.py",
        "src/lading/runtime/cli",
        "src/lading/network/resolverd",
    )
    breaches = [
        f"{_where(path, node)}: print() below the faces"
        for path in _python("src")
        if not str(path.relative_to(ROOT)).startswith(faces)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and not any(keyword.arg == "file" for keyword in node.keywords)
    ]
    _report(breaches)


def test_every_integration_test_says_what_it_needs() -> None:
    known = {"root", "rootless", "peer"}
    breaches = []
    for path in _python("tests"):
        if "integration" not in path.parts or not path.name.startswith("test_"):
            continue
        marks = {n.attr for n in ast.walk(_tree(path)) if isinstance(n, ast.Attribute)}
        if not marks & known:
            breaches.append(f"{_where(path)}: no marker root, rootless or peer")
    _report(breaches)


def test_test_modules_of_one_directory_level_are_importable_side_by_side() -> None:
    packages = [p for p in _tracked() if p.name == "__init__.py" and "tests" in p.relative_to(ROOT).parts]
    _report([f"{_where(p)}: tests are modules, not packages" for p in packages])


def test_nothing_in_the_tree_depends_on_one_machine() -> None:
    foreign = re.compile(r"(?<![\w.}*])/(?:home/[a-z]\w*|root/\w|work/)|/\.pyenv/")
    indexes = re.compile(
        r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|proxy\.golang\.org|crates\.io)\b"
    )
    breaches = []
    for path in _tracked():
        if path == Path(__file__) or path.suffix in (".json", ".gz", ".tar", ".png"):
            continue
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            relative = path.relative_to(ROOT)
            if indexes.search(line):
                breaches.append(f"{relative}:{number}: names a package index")
            if foreign.search(line) and relative.parts[0] not in ("tests",):
                breaches.append(f"{relative}:{number}: a path of somebody's own machine: {line.strip()[:80]}")
    _report(breaches)


def _links(path: Path) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fenced ^= line.startswith("```")
        if not fenced:
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                yield number, target


def _anchor(heading: str) -> str:
    """The fragment that a Markdown heading gets: lower case, spaces to hyphens, the rest of punctuation gone."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_every_link_of_the_documents_leads_somewhere() -> None:
    breaches = []
    for path in (p for p in _tracked() if p.suffix == ".md"):
        for number, target in _links(path):
            if target.startswith(("http://", "https://", "mailto:")):
                continue
            name, _, fragment = target.partition("#")
            goal = (path.parent / name).resolve() if name else path
            if not goal.exists():
                breaches.append(f"{path.relative_to(ROOT)}:{number}: {target} does not exist")
            elif fragment and goal.suffix == ".md":
                headings = [
                    line.lstrip("#") for line in goal.read_text().splitlines() if line.startswith("#")
                ]
                if fragment not in {_anchor(h) for h in headings}:
                    breaches.append(f"{path.relative_to(ROOT)}:{number}: {target} has no such heading")
    _report(breaches)


def test_every_file_and_make_target_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    breaches = []
    for path in (p for p in _tracked() if p.suffix == ".md" and "docs/decisions" not in str(p)):
        text = path.read_text()
        breaches += [
            f"{path.relative_to(ROOT)}: `make {name}` is no target"
            for name in re.findall(r"`make ([a-z-]+)[^`]*`", text)
            if name not in targets
        ]
        breaches += [
            f"{path.relative_to(ROOT)}: `{name}` does not exist"
            for name in re.findall(r"`((?:src|tests|docs|scripts|benchmarks)/[\w./-]+\.(?:py|md))`", text)
            if not (ROOT / name).exists()
        ]
    _report(breaches)


def test_the_scripts_are_valid_shell_and_executable() -> None:
    breaches = []
    for path in (ROOT / "scripts" / "setup", ROOT / ".ci" / "run"):
        checked = subprocess.run(["sh", "-n", str(path)], check=False, capture_output=True, text=True)
        if checked.returncode != 0:
            breaches.append(f"{_where(path)}: {checked.stderr.strip()}")
        if not path.stat().st_mode & 0o111:
            breaches.append(f"{_where(path)}: not executable")
    _report(breaches)


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
