"""Tables, ages and moments as Rocket's users and their scripts know them."""

from __future__ import annotations

import time

import pytest

from lading.rocket.rkt.spoken import ago, moment, tabulated


def test_columns_stand_in_line() -> None:
    rows = [
        ("UUID", "APP", "IMAGE NAME", "STATE"),
        ("5bc080ca", "redis", "redis", "running"),
        ("", "etcd", "coreos.com/etcd:v2.0.9", ""),
    ]
    text = tabulated(rows)
    shown = [line.expandtabs(8) for line in text.splitlines()]
    assert shown[0] == "UUID            APP     IMAGE NAME              STATE"
    assert shown[1] == "5bc080ca        redis   redis                   running"
    assert shown[2] == "                etcd    coreos.com/etcd:v2.0.9  "
    assert text.splitlines()[1].split("\t")[0] == "5bc080ca"
    assert text.splitlines()[2].startswith("\t")


@pytest.mark.parametrize("length", [0, 1, 6, 7, 8, 9, 15, 16])
def test_there_is_a_tab_behind_every_cell_but_the_last(length: int) -> None:
    first, second = tabulated([("x" * length, "a"), ("", "b")]).splitlines()
    assert first.expandtabs(8).index("a") == second.expandtabs(8).index("b")
    assert first[length] == "\t"


def test_no_rows_are_no_lines() -> None:
    assert tabulated([]) == ""


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (-3, "now"),
        (0.9, "now"),
        (1, "1 second ago"),
        (41.7, "41 seconds ago"),
        (60, "1 minute ago"),
        (119, "1 minute ago"),
        (120, "2 minutes ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (86399, "23 hours ago"),
        (86400, "1 day ago"),
        (6 * 86400, "6 days ago"),
        (7 * 86400, "1 week ago"),
        (29 * 86400, "4 weeks ago"),
        (30 * 86400, "1 month ago"),
        (364 * 86400, "12 months ago"),
        (365 * 86400, "1 year ago"),
        (730 * 86400, "2 years ago"),
    ],
)
def test_ages(age: float, text: str) -> None:
    assert ago(age) == text


@pytest.mark.parametrize(
    ("zone", "when", "text"),
    [
        ("CET-1", 1453814614.6319, "2016-01-26 14:23:34.631 +0100 CET"),
        ("CET-1", 1453814614.5, "2016-01-26 14:23:34.5 +0100 CET"),
        ("UTC", 1453814614.0, "2016-01-26 13:23:34 +0000 UTC"),
        ("UTC", 1453814614.0009, "2016-01-26 13:23:34 +0000 UTC"),
    ],
)
def test_moments(zone: str, when: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setenv("TZ", zone)
        time.tzset()
        assert moment(when) == text
    time.tzset()
