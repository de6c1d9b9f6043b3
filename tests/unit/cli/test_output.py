"""What ``--format`` and ``--filter`` mean, and how lists and failures on several objects are shown."""

from __future__ import annotations

import pytest

from lading.cli import output
from lading.errors import Conflict, InvalidInput, NotFound
from lading.formats import jsontext

ROW = {"id": "abc", "pid": 7, "State": {"Pid": 7, "Labels": {"a.b": "c"}}, "Env": ["A=1"], "off": False}


@pytest.mark.parametrize(
    "template",
    ["{{.Names}}", "{{ .Names }}", "{{- .Names -}}", "{{json .}}", "{{ json .State }}", "{{index .Env 0}}",
     "{{range .Mounts}}", "{{if .State}}x{{end}}", "{{len .Name}}", "{{$x}}", "{{end}}"],
)  # fmt: skip
def test_a_go_template_is_refused_whatever_it_begins_with(template: str) -> None:
    with pytest.raises(InvalidInput, match="Go templates are not supported"):
        output.fill(template, ROW)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{{"id": "{id}"}}', '{"id": "abc"}'),
        ("{{{id}}}", "{abc}"),
        ("{State.Pid} {State[Labels][a.b]} {Env[0]}", "7 c A=1"),
        ("{off} {pid:>3} {Env}", 'false   7 ["A=1"]'),
        (r"{id}\t{pid}", "abc\t7"),
    ],
)
def test_a_template_is_filled(template: str, text: str) -> None:
    assert output.fill(template, ROW) == text


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{nope}", "unknown field 'nope': the fields are id, pid, State"),
        ("{State.Nope}", "unknown field 'Nope': the fields are Pid, Labels"),
        ("{State[Nope]}", "unknown field 'Nope': the fields are Pid, Labels"),
        ("{Env[3]}", "out of range"),
        ("{id:99999999999999}", "wider than memory"),
        ("{id", "'}'"),
        ("{}", "positional"),
    ],
)
def test_a_template_that_cannot_be_filled_is_one_clear_line(template: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        output.fill(template, ROW)
    assert why in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_keeps_its_columns_when_a_cell_holds_a_tab(capsys: pytest.CaptureFixture[str]) -> None:
    output.listing(
        [{"id": "a", "pid": 7, "command": "x\ty"}],
        (("ID", "id"), ("COMMAND", "command")),
        template=r"table {id}\t{pid:d}\t{command}",
    )
    assert capsys.readouterr().out == "ID   PID   COMMAND\na    7     x?y\n"


@pytest.mark.parametrize("template", ["{pid:d}", "{State.Pid:>4}", "{Env[0]}", r"table {pid:d}\t{x}"])
def test_a_template_for_no_rows_at_all_is_taken_when_its_syntax_is_right(
    template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = (("PID", "pid"), ("X", "x"))
    output.listing([], columns, template=template)
    assert capsys.readouterr().out == ("PID   X\n" if template.startswith("table") else "")
    with pytest.raises(InvalidInput):
        output.listing([], columns, template="{pid")


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("web", True),
        ("^web$", True),
        ("^/web$", True),
        ("w.b", True),
        ("^eb", False),
        ("web2", False),
        ("b$", True),
    ],
)
def test_a_name_is_filtered_by_a_regular_expression(pattern: str, fits: bool) -> None:
    assert output.name_fits([pattern], "web", "/web") is fits
    assert output.name_fits(["zzz", pattern], "web", "/web") is fits


def test_a_broken_regular_expression_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"name=\(: not a regular expression"):
        output.name_fits(["("], "web")


def test_a_filter_that_is_true_or_false_is_nothing_else() -> None:
    assert output.truth({}, "dangling") is None
    assert output.truth({"dangling": ["0", "True"]}, "dangling") is True
    with pytest.raises(InvalidInput, match="dangling=maybe: neither true nor false"):
        output.truth({"dangling": ["maybe"]}, "dangling")


def test_what_is_not_there_is_told_and_no_failure_only_where_it_may_miss(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def act(name: str) -> None:
        if name == "gone":
            raise NotFound("gone is not there")
        if name == "used":
            raise Conflict("used is in use")

    assert output.each(["a", "gone", "b"], act, may_miss=True) == 0
    shown = capfd.readouterr()
    assert shown.out == "a\nb\n" and "gone is not there" in shown.err
    assert output.each(["a", "gone"], act) == 1
    assert output.each(["a", "used"], act, may_miss=True) == 1


HOSTILE = {"name": "x\x1b[31m\x07\x9b1m", "tab": "a\tb"}


@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_is_shown_what_it_would_obey(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels, names of files and the like come from images and containers. A pipe gets a template's text as it is."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    escaped, raw = r"x\x1b[31m\x07\x9b1m", HOSTILE["name"]
    output.listing([HOSTILE], (("NAME", "name"),), template="{name} {tab}")
    output.objects([HOSTILE], "{name}")
    output.show(f"A /{HOSTILE['name']}\n")
    shown = escaped if terminal else raw
    assert capsys.readouterr().out == f"{shown} a\tb\n{shown}\nA /{shown}\n"


def test_json_and_tables_hold_no_control_character_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    output.objects([HOSTILE], "")
    output.objects([HOSTILE], "json")
    output.listing([HOSTILE], (("NAME", "name"),), template="json")
    output.listing([HOSTILE], (("NAME", "name"),))
    text = capsys.readouterr().out
    assert text.replace("\n", "").isprintable()
    assert jsontext.loads(text.splitlines()[-3]) == HOSTILE
