"""Commands of this checkout, as files and words that others can execute."""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE = str(Path(__file__).parents[2] / "src")


def runtime_script(directory: Path) -> Path:
    """An executable that is ``lading-runtime`` of this checkout: engines want a path."""
    script = directory / "lading-runtime"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {sys.executable} -m lading.runtime.cli "$@"\n')
    script.chmod(0o755)
    return script
