"""A registry's libraries are loaded by what needs them, and by nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src" / "lading"


def modules() -> list[str]:
    return [
        ".".join(("lading", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted(SOURCE.rglob("*.py"))
        if path.name != "__main__.py" and "registry/edge" not in str(path)
    ]


def loaded(code: str) -> set[str]:
    command = f"import sys\n{code}\nprint(*(m for m in ('aiohttp', 'bcrypt') if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(SOURCE.parent)},
    )
    return set(done.stdout.split())


def test_only_what_serves_imports_aiohttp() -> None:
    everything = [name for name in modules() if name != "lading.start"]
    assert len(everything) > 300
    assert "aiohttp" not in loaded(f"import {', '.join(everything)}")


@pytest.mark.parametrize(
    "module",
    ["lading.cli.registry", "lading.registry.store", "lading.registry.garbage", "lading.registry.overview"],
)
def test_looking_after_a_registry_needs_neither_aiohttp_nor_bcrypt(module: str) -> None:
    assert loaded(f"import {module}") == set()
