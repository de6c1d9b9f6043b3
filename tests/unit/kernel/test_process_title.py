"""What ps(1) shows of a process that was forked to stay."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from lading.kernel.title import entitle
entitle({title})
for name in ("comm", "cmdline"):
    with open("/proc/self/" + name) as file:
        print(file.read().strip(chr(0) + chr(10)))
print("still well")
"""


def _said(title: str) -> list[str]:
    words = [sys.executable, "-c", SCRIPT.format(title=title), "secret"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_title_takes_the_place_of_the_arguments() -> None:
    assert _said("'lading-holder'") == ["lading-holder", "lading-holder", "still well"]


def test_a_title_longer_than_the_arguments_is_cut() -> None:
    comm, line, well = _said("5000 * 'x'")
    assert (comm, well) == ("x" * 15, "still well")
    assert set(line) == {"x"} and len(line) < 5000
