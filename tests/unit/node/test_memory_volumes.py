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
        ({"gid": 9}, None, "mode=777,gid=9"),
        ({"size_limit": "1Ki"}, None, "mode=777,size=1024"),
        ({"size_limit": "0"}, None, "mode=777"),
        ({"uid": 7, "gid": 8}, None, "mode=777,gid=8,uid=7"),
    ],
)
def test_it_has_its_mode_group_and_limit(fields: dict[str, object], group: int | None, expected: str) -> None:
    assert memory.options(EmptyDirVolumeSource(medium="Memory", **fields), group) == expected


def test_of_a_pod_with_users_of_its_own_it_belongs_to_these() -> None:
    wanted = EmptyDirVolumeSource(medium="Memory", uid=7)
    assert memory.options(wanted, None, 70000) == "mode=777,gid=70000,uid=70007"
    assert memory.options(wanted, 5, 70000) == "mode=2777,gid=70005,uid=70007"
