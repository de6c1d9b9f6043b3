"""App Container is known by name to its own modules alone: everything else is neutral (docs/decisions/0014)."""

from __future__ import annotations

import re
from pathlib import Path

import lading

SOURCE = Path(lading.__file__).parent
HOME = ("formats/appc/", "images/aci/", "rocket/", "cli/commands.py", "cli/help.py", "startlist.py")
"""The format's own rooms and its face, and the tables in which the command line and the start files find these by name."""
WORD = re.compile(r"appc|\baci\b|\bACI\b|\.aci\b")


def test_no_other_module_knows_the_formats_name() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        if not str(path.relative_to(SOURCE)).startswith(HOME)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if WORD.search(line)
    ]
    assert found == []
