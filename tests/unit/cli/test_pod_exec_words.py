"""``pod exec`` takes kubectl's order of words too."""

from __future__ import annotations

import pytest

from lading.cli.pods import _after_pod
from lading.errors import InvalidInput


@pytest.mark.parametrize(
    ("words", "name", "command"),
    [
        ("-c web ls -l", "web", "ls -l"),
        ("-cweb -- ls", "web", "ls"),
        ("--container=web ls", "web", "ls"),
        ("--container web -- -x", "web", "-x"),
        ("-- -c", "given", "-c"),
    ],
)
def test_the_container_may_be_named_after_the_pod(words: str, name: str, command: str) -> None:
    assert _after_pod(words.split(), "given") == (name, command.split())


@pytest.mark.parametrize("words", ["-it sh", "-c", "-c web", "--", "--container= sh", "--rm"])
def test_other_flags_there_are_no_program(words: str) -> None:
    with pytest.raises(InvalidInput):
        _after_pod(words.split(), "")
