"""Ranges of subuid(5) that an ordinary user may map."""

from __future__ import annotations

from pathlib import Path

import pytest

from lading.kernel import idmap


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("ann:100000:65536\nbob:200000:10\n1001:300000:5\n:1:1\n", [(200000, 10), (300000, 5)]),
        ("bob:1:x\nbob:1\nbob:7:0\n bob:5:2 \n", [(5, 2)]),
        # What overlaps goes to whoever stands first, as the kernel takes no map of both.
        ("bob:165536:65536\nbob:200000:65536\n", [(165536, 65536), (231072, 34464)]),
        ("bob:10:10\nbob:10:10\n", [(10, 10)]),
        ("bob:10:10\nbob:30:10\nbob:5:50\n", [(10, 10), (30, 10), (5, 5), (20, 10), (40, 15)]),
        ("bob:10:10\nbob:0:15\n", [(10, 10), (0, 10)]),
    ],
)
def test_subordinate_ranges(tmp_path: Path, text: str, expected: list[tuple[int, int]]) -> None:
    (tmp_path / "subuid").write_text(text)
    found = idmap.subordinate(f"{tmp_path}/subuid", "bob", 1001)
    assert found == expected
    rows, inside = [], 1
    for first, count in found:
        rows.append((inside, first, count))
        inside += count
    if rows:
        idmap.check(rows, "subuid")


def test_no_file(tmp_path: Path) -> None:
    assert idmap.subordinate(f"{tmp_path}/subuid", "bob", 1001) == []


def test_no_more_rows_than_the_kernel_takes(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("".join(f"bob:{n * 10}:5\n" for n in range(1, 500)))
    assert len(idmap.subordinate(f"{tmp_path}/subuid", "bob", 1001)) == 339
