"""Platforms in words."""

from __future__ import annotations

import pytest

from lading.errors import InvalidInput
from lading.formats import platform as platforms


@pytest.mark.parametrize(
    "text,meant",
    [
        ("arm64", "linux/arm64"),
        ("x86_64", "linux/amd64"),
        ("armhf", "linux/arm/v7"),
        ("linux", platforms.text(platforms.host())),
        ("Linux/ARM64/v8", "linux/arm64/v8"),
        ("linux/new-one", "linux/new-one"),
    ],
)
def test_a_known_word_is_a_platform(text, meant):
    assert platforms.text(platforms.parse(text)) == meant


@pytest.mark.parametrize("text", ["bogus", "arm46", "linux/", "/", "a/b/c/d", "linux/a b"])
def test_what_nobody_knows_is_refused(text):
    with pytest.raises(InvalidInput, match="platform"):
        platforms.parse(text)
