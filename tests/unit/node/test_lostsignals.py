"""Which signals the first process of a PID namespace never gets, and what is sent in their place."""

from __future__ import annotations

import os

import pytest

from lading.node.lostsignals import effective, judged


def _status(nspid: str, caught: int = 0, ignored: int = 0) -> str:
    return f"Name:\tx\nNSpid:\t{nspid}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"


TERM = 1 << 14


@pytest.mark.parametrize(
    ("status", "number", "sent"),
    [
        (_status("77\t1"), 15, 9),
        (_status("77\t1", caught=TERM), 15, 15),
        (_status("77\t1", ignored=TERM), 15, 15),
        (_status("77\t1", caught=TERM), 2, 9),
        (_status("77\t2"), 15, 15),
        (_status("77"), 15, 15),
        ("", 15, 15),
    ],
)
def test_what_would_be_lost_becomes_a_kill(status: str, number: int, sent: int) -> None:
    assert judged(status, number) == sent


def test_other_processes_get_what_is_sent() -> None:
    assert effective(os.getpid(), 15) == 15
    assert effective(2**22 + 1, 15) == 15  # no such process
    assert effective(1, 28) == 28  # its default action is nothing
