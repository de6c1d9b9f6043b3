"""A number in a file."""

import os
from pathlib import Path


class Counter:
    """How often :meth:`add` was called, across restarts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self) -> int:
        """One more; the new number."""
        count = int(self.path.read_text()) + 1 if self.path.exists() else 1
        new = self.path.with_suffix(".new")
        new.write_text(str(count))
        os.replace(new, self.path)
        return count
