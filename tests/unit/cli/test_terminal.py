"""Which keys a user may leave a container by."""

from __future__ import annotations

import pytest

from lading.cli.terminal import detach_keys
from lading.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", b"\x10\x11"), ("ctrl-a", b"\x01"), ("ctrl-],q", b"\x1dq"), ("CTRL-P,ctrl-@", b"\x10\x00")],
)
def test_keys_are_characters_and_ctrl_with_a_letter(text: str, keys: bytes) -> None:
    assert detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-\xe9", "ctrl-\u017f", "ctrl-", "ctrl-1", "ab", ",", "\xe9", "alt-x"])
def test_what_no_keyboard_makes_of_ctrl_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a key"):
        detach_keys(text)
