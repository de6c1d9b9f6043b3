"""How an emptyDir in memory is mounted."""

from __future__ import annotations

import pytest

from lading.formats.podvolumes import EmptyDirVolumeSource
from lading.node import memory


@pytest.mark.parametrize(
    ("fields", "group", "expected"),
    [
        ({}, None, "mode=777"),
        ({"mode": 0o700}, 5, "mode=2770,gid=5"),
        ({"size_limit": "1Ki"}, None, "mode=777,size=1024"),
        ({"size_limit": "0"}, None, "mode=777"),
        ({"uid": 7, "gid": 8}, None, "mode=777,uid=7,gid=8"),
    ],
)
def test_it_has_its_mode_group_and_limit(fields: dict[str, object], group: int | None, expected: str) -> None:
    assert memory.options(EmptyDirVolumeSource(medium="Memory", **fields), group) == expected
