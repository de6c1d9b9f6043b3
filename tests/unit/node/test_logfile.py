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
from support.fuzzing import LONGER

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


@settings(max_examples=60 * LONGER)
@given(st.lists(st.binary(max_size=40) | st.just(b"\n") | st.just(b"x" * (LINE_LIMIT + 5)), max_size=12))
def test_the_bytes_that_go_in_come_out_again(tmp_path_factory, chunks):
    path = str(tmp_path_factory.mktemp("log") / "log")
    writer = LogWriter(path)
    for number, chunk in enumerate(chunks):
        writer.write("stdout", chunk, T0 + number)
    writer.close(T0 + len(chunks))
    out = b"".join(line.text + (b"" if line.partial else b"\n") for line in read(path))
    assert out == b"".join(chunks)


def test_much_that_is_written_at_once_is_rotated_too(path):
    writer = LogWriter(path, max_size=1000, max_files=2)
    writer.write("stdout", b"".join(b"line %d\n" % n for n in range(500)), T0)
    writer.close(T0)
    assert all(os.path.getsize(f) <= 1000 for f in files(path))
    assert texts(read(path))[-1] == b"line 499"


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


@settings(max_examples=80 * LONGER)
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


def write_through(monkeypatch, *limits):
    """Have the next writes take only so many bytes (0: none), as a disk that is filling up does."""
    real, left = os.write, list(limits)

    def write(fd, data):
        if not left:
            return real(fd, data)
        limit = left.pop(0)
        if not limit:
            raise OSError(28, "No space left on device")
        return real(fd, data[:limit])

    monkeypatch.setattr(os, "write", write)


RECORD = len(b"2023-11-14T22:13:20.000000000Z stdout F ")


def test_lines_lost_to_a_full_disk_are_counted_once(path, monkeypatch):
    writer = LogWriter(path)
    note = len(b"2023-11-14T22:13:20.000000000Z stderr F [2 log lines were lost: the disk was full]\n")
    write_through(monkeypatch, 0, note + RECORD + len(b"three\n") + RECORD, 0)
    writer.write("stdout", b"one\ntwo\n", T0)
    writer.write("stdout", b"three\nfour\nfive\n", T0)  # the note and one line, and then it is full again
    writer.write("stdout", b"six\n", T0)
    writer.write("stdout", b"seven\n", T0)
    writer.close(T0)
    assert texts(read(path)) == [
        b"[2 log lines were lost: the disk was full]",
        b"three",
        b"[3 log lines were lost: the disk was full]",
        b"seven",
    ]


@pytest.mark.parametrize("kept", [1, RECORD // 2, RECORD, RECORD + 2, RECORD + len(b"one\n") - 1])
def test_what_follows_a_torn_record_is_whole(path, kept, monkeypatch):
    """Torn by a kill within write(2), or by a full disk of a file that cannot be cut."""
    writer = LogWriter(path)
    monkeypatch.setattr(
        os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    write_through(monkeypatch, kept)
    writer.write("stdout", b"one\n", T0)
    fresh = LogWriter(path)
    fresh.write("stdout", b"two\n", T0)
    writer.write("stdout", b"three\n", T0)
    *torn, two, note, three = texts(read(path))
    assert (two, note, three) == (b"two", b"[1 log lines were lost: the disk was full]", b"three")
    assert all(b"one".startswith(text) for text in torn)


def test_a_kill_between_the_moves_of_a_rotation_hides_no_file(path, monkeypatch):
    real = os.rename
    for moves in range(5):
        fill(path, 300, max_size=4_000, max_files=5)
        before = texts(read(path))
        left = [moves]

        def rename(source, target, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            real(source, target)

        monkeypatch.setattr(os, "rename", rename)
        writer = LogWriter(path, max_size=1, max_files=5)
        with pytest.raises(KeyboardInterrupt):
            writer.write("stdout", b"never\n", T0)
        monkeypatch.setattr(os, "rename", real)
        found = texts(read(path))
        # The oldest file goes with the first move.
        assert found == before[len(before) - len(found) :] and len(found) >= len(before) * 0.75
        fresh = LogWriter(path, max_files=5)
        fresh.write("stdout", b"after\n", T0 + 300 * 10**9)
        assert texts(read(path)) == [*found, b"after"]


def test_a_rotation_that_fails_moves_nothing_and_loses_nothing(path, monkeypatch):
    real = os.open

    def refuse(name, flags, mode=0o777, **options):
        if flags & os.O_CREAT and str(name) != path:
            raise OSError(24, "Too many open files")
        return real(name, flags, mode, **options)

    monkeypatch.setattr(os, "open", refuse)
    fill(path, 1000, max_size=10_000, max_files=3)
    assert files(path) == [path]
    assert texts(read(path)) == [b"line %d" % n for n in range(1000)]


def test_who_follows_slowly_misses_no_file_that_is_still_there(path):
    fill(path, 10, max_size=2_000, max_files=50)
    lines = read(path, follow=lambda: True, poll=0.001)
    found = [next(lines).text for _ in range(10)]
    # Many rotations while the reader was busy with the tenth line.
    writer = LogWriter(path, max_size=2_000, max_files=50)
    for number in range(10, 1000):
        writer.write("stdout", b"line %d\n" % number, T0 + number * 10**9)
    writer.close(T0)
    assert len(files(path)) > 10
    found += [next(lines).text for _ in range(990)]
    assert found == [b"line %d" % n for n in range(1000)]
    lines.close()


def test_who_follows_too_slowly_goes_on_with_the_oldest_that_is_left(path):
    fill(path, 1, max_size=2_000, max_files=3)
    lines = read(path, follow=lambda: True, poll=0.001)
    assert next(lines).text == b"line 0"
    writer = LogWriter(path, max_size=2_000, max_files=3)
    for number in range(1, 1000):
        writer.write("stdout", b"line %d\n" % number, T0 + number * 10**9)
    writer.close(T0)
    left = texts(read(path))
    assert b"line 1" not in left
    found = [next(lines).text]
    while found[-1] != b"line 999":
        found.append(next(lines).text)
    assert found[-len(left) :] == left
    assert found == sorted(found, key=lambda text: int(text.split()[1]))
    lines.close()


def test_following_leaves_no_descriptor_behind(path):
    fill(path, 1000, max_size=10_000, max_files=9)
    before = len(os.listdir("/proc/self/fd"))
    for taken in (0, 1, 500):
        lines = read(path, follow=lambda: True, poll=0.001)
        for _ in range(taken):
            next(lines)
        lines.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("chunk", "megabytes"),
    [(b"y\n" * (16 << 10), 4), (b"x" * (32 << 10), 100), (bytes(range(256)) * 128, 100)],
)
def test_much_output_stays_within_its_files_and_ends_with_the_last_bytes(path, chunk, megabytes):
    writer = LogWriter(path)
    for number in range((megabytes << 20) // len(chunk)):
        writer.write("stdout", chunk, T0 + number)
    writer.write("stdout", b"\nthe last line\n", T0 + 10**9)
    writer.close(T0 + 10**9)
    sizes = [os.path.getsize(name) for name in files(path)]
    assert len(sizes) == 3 and all(size <= 10 << 20 for size in sizes) and sizes[0] > 9 << 20
    assert texts(read(path, tail=1)) == [b"the last line"]
    with open(files(path)[-1], "rb") as file:
        assert max(len(line) for line in file) < LINE_LIMIT + 100
