"""Which of ps's lines are shown, and what its options say about that."""

from __future__ import annotations

import pytest

from lading.cli.psrows import chosen, selects
from lading.errors import InvalidInput

LINES = [
    "USER         PID COMMAND",
    "root           1 init",
    "root          42 sleep 12",
    "root         421 x 42",
]


def test_only_the_containers_processes_are_shown() -> None:
    assert chosen(LINES, {"42"}, ["aux"]) == [LINES[0], LINES[2]]
    assert chosen(LINES, {"12"}, ["aux"]) == [LINES[0]]


def test_without_a_pid_nobody_knows_whose_a_line_is() -> None:
    with pytest.raises(InvalidInput, match="shows no PID"):
        chosen(["COMMAND", "init"], {"1"}, ["-o", "comm"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["aux"], True),
        (["-ef"], True),
        (["-eo", "pid,comm"], True),
        (["-A", "-o", "pid"], True),
        (["-o", "pid,args"], False),
        (["-opid,args"], False),
        (["-fo", "pid,args", "-L"], False),
        (["-f"], False),
        (["-x"], True),
        (["--sort=-pid", "-o", "pid"], False),
    ],
)
def test_what_selects_processes(options: list[str], expected: bool) -> None:
    assert selects(options) is expected
