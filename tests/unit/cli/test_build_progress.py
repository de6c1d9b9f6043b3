"""What a build shows: on a terminal, in plain lines, as JSON, and of a failure."""

from __future__ import annotations

import base64
import io
import json
import random

import pytest

from lading.build.executor import StepFailed
from lading.build.graph import Graph, ImageOp, RunOp, Vertex
from lading.cli.buildjson import JSONLines
from lading.cli.buildlines import Lines, fitted, printable, width
from lading.cli.buildlive import Live
from lading.cli.buildplain import Plain
from lading.cli.buildprogress import Quiet, heads
from lading.errors import LadingError
from lading.formats.dockerfile import parse
from support.terminal import Terminal

FILE = b"FROM base AS one\nRUN first\nRUN second && \\\n  more\nFROM base\nRUN third\n"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def graph() -> Graph:
    made = Graph()
    base = made.add(Vertex(ImageOp(diff_ids=["sha256:" + "1" * 64]), name="FROM base", stage="one", line=1))
    first = made.add(Vertex(RunOp(args=["first"]), [base], name="RUN first", stage="one", line=2))
    made.add(Vertex(RunOp(args=["second"]), [first], name="RUN second && more", stage="one", line=3))
    made.add(Vertex(RunOp(args=["third"]), [base], name="RUN third", stage="stage-1", line=6))
    return made


def begun(shown):
    made = graph()
    shown.begin(made, range(len(made)))
    return made


# -- lines -----------------------------------------------------------------------------------------------------------


def test_colours_and_cursor_movements_are_left_out_and_other_control_characters_are_escaped():
    assert printable("\x1b[1;31mred\x1b[0m") == "red"
    assert printable("\x1b[2Ja\x1b]0;title\x07b\x1bMc") == "abc"
    assert printable("a\x00\x07\x9b31mb\x1b") == "a\\x00\\x07\\x9b31mb\\x1b"
    assert printable("a\tb") == "a       b"
    assert printable("\u202edlrow") == "\\u202edlrow"


def test_lines_come_whole_and_keep_what_a_progress_bar_left():
    lines = Lines()
    assert lines.feed("stdout", b"one\ntw") == ["one"]
    assert lines.feed("stderr", b"other\n") == ["other"]
    assert lines.showing(9) == ["one", "other", "tw"]
    assert lines.feed("stdout", b"o\r\n10%\r20%\r\n") == ["two", "20%"]
    lines.feed("stdout", "é".encode()[:1])
    assert lines.feed("stdout", "é".encode()[1:] + b"\n") == ["é"]
    assert lines.flush() == []


def test_a_command_that_never_ends_its_line_takes_no_memory():
    lines = Lines()
    for _ in range(100):
        lines.feed("stdout", b"x" * 65536)
    assert len(lines.last) <= 60
    assert max(map(len, lines.last)) <= 4096
    assert lines.feed("stdout", b"y" * 100_000)[0].startswith("x")


def test_lines_are_cut_by_columns_not_by_characters():
    assert fitted("abcdef", 6) == "abcdef"
    assert fitted("abcdefg", 6) == "abc..."
    assert width("日本") == 4
    assert width(fitted("日本語日本語", 8)) <= 8
    assert fitted("abcdef", 2) == ".."


def test_steps_are_counted_for_each_stage():
    made = graph()
    assert heads(made, {0, 1, 2}) == {
        0: "[one 1/3] FROM base",
        1: "[one 2/3] RUN first",
        2: "[one 3/3] RUN second && more",
    }
    assert heads(made, {3}) == {3: "[1/1] RUN third"}
    made[3].where = "linux/amd64->arm64"
    assert heads(made, {0, 3})[3] == "[linux/amd64->arm64 stage-1 1/1] RUN third"


def test_a_step_of_several_platforms_is_shown_once():
    made, out = graph(), io.StringIO()
    shown = Plain(out)
    shown.begin(made, {0, 1})
    shown.begin(made, {0, 2})
    assert shown.learn(made, {0, 1, 2, 3}) == [3]
    assert out.getvalue().count("FROM base") == 1


# -- plain -----------------------------------------------------------------------------------------------------------


def test_plain_lines_have_the_known_form():
    out, clock = io.StringIO(), Clock()
    shown = Plain(out, clock=clock)
    made = begun(shown)
    shown.cached(1, made[1])
    shown.started(2, made[2])
    clock.now += 0.25
    shown.log(2, made[2], "stdout", b"hel")
    shown.log(2, made[2], "stdout", b"lo\nand")
    shown.finished(2, made[2], 0.31)
    shown.started(3, made[3])
    shown.failed(3, made[3], LadingError("broken\x1b[2J"))
    assert out.getvalue().splitlines() == [
        "#1 [one 1/3] FROM base",
        "",
        "#2 [one 2/3] RUN first",
        "#2 CACHED",
        "",
        "#3 [one 3/3] RUN second && more",
        "#3 0.250 hello",
        "#3 0.250 and",
        "#3 DONE 0.3s",
        "",
        "#4 [stage-1 1/1] RUN third",
        "#4 ERROR: broken",
    ]


def test_a_reader_that_went_away_is_no_failure():
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    shown = Plain(Closed())
    made = begun(shown)
    shown.cached(1, made[1])


# -- json ------------------------------------------------------------------------------------------------------------


def test_json_lines_are_buildkits_solve_status():
    out, clock = io.StringIO(), Clock()
    shown = JSONLines(out, clock=clock)
    made = begun(shown)
    shown.cached(1, made[1])
    shown.started(2, made[2])
    shown.log(2, made[2], "stderr", b"\xff\n")
    shown.failed(2, made[2], LadingError("no"))
    shown.phase("store x", "started", 0, 10)
    shown.phase("store x", "storing", 5, 10)
    shown.phase("store x", "done", 10, 10)
    shown.warn("careful")
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    by_digest = {}
    for row in rows:
        for vertex in row.get("vertexes", []):
            by_digest.setdefault(vertex["digest"], {}).update(vertex)
    second = by_digest[f"sha256:{made[2].key}"]
    assert second["inputs"] == [f"sha256:{made[1].key}"]
    assert second["started"] == second["completed"] == "1970-01-01T00:01:40.000000000Z"
    assert second["error"] == "no"
    assert by_digest[f"sha256:{made[1].key}"]["cached"] is True
    [log] = [row["logs"][0] for row in rows if "logs" in row]
    assert (log["stream"], base64.b64decode(log["data"])) == (2, b"\xff\n")
    last = [row["statuses"][0] for row in rows if "statuses" in row][-1]
    assert (last["current"], last["total"], "completed" in last) == (10, 10, True)
    assert base64.b64decode(rows[-1]["warnings"][0]["short"]) == b"careful"


# -- live ------------------------------------------------------------------------------------------------------------


def live(terminal: Terminal, clock: Clock) -> Live:
    return Live(terminal, size=terminal.size, clock=clock, ticking=False)


def test_what_is_finished_stays_and_what_runs_is_drawn_below_it():
    terminal, clock = Terminal(60, 20), Clock()
    shown = live(terminal, clock)
    made = begun(shown)
    shown.cached(1, made[1])
    shown.started(2, made[2])
    for number in range(9):
        clock.now += 1
        shown.log(2, made[2], "stdout", b"line %d\n" % number)
    screen = terminal.screen()
    assert screen[0].startswith(" => [one 1/3] FROM base")
    assert screen[1].startswith(" => CACHED [one 2/3] RUN first")
    assert screen[2].startswith("[+] Building 9.0s (2/4, 1 cached)")
    assert screen[3].startswith(" => [one 3/3] RUN second && more")
    assert screen[3].endswith("9.0s")
    assert screen[4:] == [f" => => # line {n}" for n in range(3, 9)]
    shown.finished(2, made[2], 9.0)
    assert not any("line" in row for row in terminal.screen())
    shown.close()
    assert terminal.screen()[-1].startswith("[+] Building 9.0s (3/4, 1 cached)")
    assert not terminal.hidden


def test_bytes_of_transfers_are_shown_and_go_when_they_are_done():
    terminal, clock = Terminal(), Clock()
    shown = live(terminal, clock)
    shown.phase("pull base", "started")
    clock.now += 1
    shown.phase("pull base", "downloading", 5_000_000, 20_000_000)
    assert "pull base 5MB / 20MB" in terminal.screen()[-1]
    shown.phase("pull base", "done", 20_000_000)
    shown.close()
    assert any("pull base 20MB" in row for row in terminal.screen())
    assert "CANCELED" not in "".join(terminal.screen())


def test_what_did_not_end_is_told_as_given_up_and_nothing_is_drawn_afterwards():
    terminal, clock = Terminal(), Clock()
    shown = live(terminal, clock)
    made = begun(shown)
    shown.started(1, made[1])
    shown.close()
    before = terminal.screen()
    assert any("CANCELED [one 2/3] RUN first" in row for row in before)
    shown.log(1, made[1], "stdout", b"late\n")
    shown.close()
    assert terminal.screen() == before


@pytest.mark.parametrize("columns,height", [(80, 24), (40, 6), (20, 3), (10, 2), (5, 1), (200, 5)])
def test_the_drawn_part_fits_every_screen_and_never_reaches_what_stands_above(columns, height):
    terminal, clock = Terminal(columns, height), Clock()
    terminal.write("before\n")
    shown = live(terminal, clock)
    made = begun(shown)
    for number in (1, 2, 3):
        shown.started(number, made[number])
    for number in range(50):
        clock.now += 1
        shown.log(
            number % 3 + 1,
            made[number % 3 + 1],
            "stdout",
            b"\x1b[5A wide \xe6\x97\xa5\xe6\x9c\xac " * 9 + b"\n",
        )
    for number in (1, 2, 3):
        shown.finished(number, made[number], 1.0)
    shown.close()
    told = terminal.everything()
    assert told[0] == "before"[:columns]
    assert sum(row.startswith(" => "[:columns]) for row in told) >= (4 if columns >= 10 else 0)
    assert not terminal.hidden


def test_a_terminal_that_is_resized_keeps_what_was_finished_once():
    chance = random.Random(7)
    for _ in range(30):
        terminal, clock = Terminal(70, 40), Clock()
        terminal.write("before\n")
        shown = live(terminal, clock)
        made = begun(shown)
        shown.started(1, made[1])
        for number in range(20):
            clock.now += 1
            shown.log(1, made[1], "stdout", b"some output of the command %d\n" % number)
            if chance.random() < 0.3:
                terminal.resize(chance.randint(30, 100), chance.randint(30, 50))
        shown.finished(1, made[1], 1.0)
        shown.close()
        told = terminal.everything()
        assert told[0] == "before"
        assert sum("RUN first" in row for row in told) == 1
        assert sum("FROM base" in row for row in told) == 1


# -- failures --------------------------------------------------------------------------------------------------------


def test_a_failure_shows_the_lines_the_last_output_the_status_and_what_to_do():
    for shown in (Plain(io.StringIO()), Quiet(io.StringIO()), live(Terminal(), Clock())):
        made = begun(shown)
        shown.started(2, made[2])
        for number in range(30):
            shown.log(2, made[2], "stderr", b"said %d\x1b[9;9H\n" % number)
        error = LadingError("the command ended with status 127")
        shown.failed(2, made[2], error)
        shown.tell_failure(StepFailed(made[2], error, 127), parse(FILE, "Dockerfile"))
        out = shown._out
        text = "\n".join(out.everything()) if isinstance(out, Terminal) else out.getvalue()
        assert "Dockerfile:3-4" in text
        assert "> 3 │ RUN second && \\" in text
        assert "> 4 │   more" in text
        assert "  2 │ RUN first" in text
        end = text.rpartition("------\n > ")[2]
        assert "said 29" in end
        assert "said 10" in end
        assert "said 9\n" not in end
        assert (
            "… 10 more before (above)" if isinstance(shown, Plain) else "… 10 more before (--progress=plain"
        ) in end
        assert "lading build: Dockerfile:3-4: the command ended with status 127" in end
        assert "install it in a step before" in end
        assert "\x1b" not in text
