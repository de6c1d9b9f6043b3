"""Container logs: nothing lost, nothing decoded, found quickly."""

from __future__ import annotations

import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.node.logfile import files, format_stamp, parse_stamp, read
from lading.node.logwriter import LINE_LIMIT, LogWriter

T0 = 1_700_000_000 * 10**9


def texts(lines):
    return [line.text for line in lines]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


def fill(path, count, **options):
    writer = LogWriter(path, **options)
    for number in range(count):
        writer.write("stdout", b"line %d\n" % number, T0 + number * 10**9)
    writer.close(T0 + count * 10**9)


def test_a_record_is_a_line_of_the_cri_format(path):
    writer = LogWriter(path)
    writer.write("stderr", b"hello\n", 1_475_713_029_669_794_202)
    writer.close(0)
    with open(path, "rb") as file:
        assert file.read() == b"2016-10-06T00:17:09.669794202Z stderr F hello\n"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.just(b"\n") | st.just(b"x" * (LINE_LIMIT + 5)), max_size=12))
def test_the_bytes_that_go_in_come_out_again(tmp_path_factory, chunks):
    path = str(tmp_path_factory.mktemp("log") / "log")
    writer = LogWriter(path)
    for number, chunk in enumerate(chunks):
        writer.write("stdout", chunk, T0 + number)
    writer.close(T0 + len(chunks))
    out = b"".join(line.text + (b"" if line.partial else b"\n") for line in read(path))
    assert out == b"".join(chunks)


def test_rotation_keeps_the_newest_files_and_reads_them_in_order(path):
    fill(path, 1000, max_size=10_000, max_files=3)
    assert [os.path.basename(f) for f in files(path)] == ["log.2", "log.1", "log"]
    assert all(os.path.getsize(f) <= 10_000 for f in files(path))
    found = texts(read(path))
    assert found[-1] == b"line 999"
    first = int(found[0].split()[1])
    assert found == [b"line %d" % n for n in range(first, 1000)]


@pytest.mark.parametrize("tail", [0, 1, 5, 300, 999, 1000, 5000])
def test_tail_counts_from_the_end_across_files(path, tail):
    fill(path, 1000, max_size=20_000, max_files=9)
    expected = [b"line %d" % n for n in range(max(0, 1000 - tail), 1000)]
    assert texts(read(path, tail=tail)) == expected


def test_tail_counts_a_long_line_once_with_all_its_parts(path):
    writer = LogWriter(path)
    writer.write("stdout", b"before\n" + b"x" * (3 * LINE_LIMIT + 7) + b"\nafter\n", T0)
    writer.close(T0)
    assert texts(read(path, tail=1)) == [b"after"]
    assert len(b"".join(texts(read(path, tail=2)))) == 3 * LINE_LIMIT + 7 + len("after")


@settings(max_examples=80, deadline=None)
@given(st.integers(-5, 510), st.integers(-5, 510))
def test_since_and_until_cut_where_the_stamps_say(tmp_path_factory, since, until):
    path = str(tmp_path_factory.mktemp("log") / "log")
    fill(path, 500, max_size=9_000, max_files=9)
    base = T0 // 10**9
    found = texts(read(path, since=base + since, until=base + until))
    assert found == [b"line %d" % n for n in range(500) if since <= n <= until]


def test_a_torn_record_is_left_out(path):
    fill(path, 3)
    with open(path, "ab") as file:
        file.write(b"2023-11-14T22:1")
    assert texts(read(path)) == [b"line 0", b"line 1", b"line 2"]


def test_following_sees_every_line_across_rotations_and_then_ends(path):
    done = threading.Event()

    def write():
        writer = LogWriter(path, max_size=2_000, max_files=50)
        for number in range(400):
            writer.write("stdout", b"line %d\n" % number, time.time_ns())
            if number % 20 == 0:
                time.sleep(0.005)
        writer.close(time.time_ns())
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    found = texts(read(path, follow=lambda: not done.is_set(), poll=0.001))
    thread.join()
    assert found == [b"line %d" % n for n in range(400)]


def test_a_full_disk_loses_lines_aloud_and_never_raises(path, monkeypatch):
    writer = LogWriter(path)
    writer.write("stdout", b"one\n", T0)
    real = os.write

    def full(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    writer.write("stdout", b"two\nthree\n", T0)
    monkeypatch.setattr(os, "write", real)
    writer.write("stdout", b"four\n", T0)
    writer.close(T0)
    assert texts(read(path)) == [b"one", b"[2 log lines were lost: the disk was full]", b"four"]


def test_a_stamp_survives_both_ways():
    stamp = format_stamp(1_475_713_029.5).decode()
    assert stamp == "2016-10-06T00:17:09.500000000Z"
    assert parse_stamp(stamp) == 1_475_713_029.5
    assert parse_stamp("not a stamp at all, thirty char") is None


def test_a_log_is_made_with_its_first_line(path, tmp_path):
    writer = LogWriter(path)
    assert not os.path.exists(path)
    writer.write("stdout", b"begun", 1)
    writer.write("stdout", b" and ended\n", 2)
    writer.close(3)
    assert texts(read(path)) == [b"begun and ended"]
    silent = LogWriter(str(tmp_path / "other"))
    silent.close(4)
    assert not (tmp_path / "other").exists()
