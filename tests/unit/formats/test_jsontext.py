"""JSON without ``json``: the same language, refused in the same places, and errors that fit on a line."""

from __future__ import annotations

import json
import os
import string
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats import jsontext

FUZZ = settings(max_examples=20_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@FUZZ
@given(values)
def test_what_is_written_reads_back_the_same_here_and_in_the_standard_module(value: object) -> None:
    for text in (jsontext.dumps(value), jsontext.dumps(value, indent=2), jsontext.dumps(value, sort=True)):
        assert jsontext.loads(text.encode()) == value
        assert json.loads(text) == value


@FUZZ
@given(values, st.booleans(), st.sampled_from([None, 1, 4]))
def test_what_the_standard_module_writes_is_read(value: object, ascii_only: bool, indent: int | None) -> None:
    assert jsontext.loads(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == value


@FUZZ
@given(st.text(alphabet='{}[]",:\\ \n0123456789.eE+-truefalsnN/ud8cx\x00é', max_size=40))
def test_text_is_accepted_exactly_when_it_is_json(text: str) -> None:
    try:
        expected = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
        json.dumps(expected, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        with pytest.raises(InvalidInput):
            jsontext.loads(text)
    else:
        assert jsontext.loads(text) == expected


@FUZZ
@given(st.binary(max_size=30))
def test_bytes_of_any_kind_give_a_value_or_one_clear_line(data: bytes) -> None:
    try:
        jsontext.loads(data, what="x.json")
    except InvalidInput as error:
        assert str(error).startswith("x.json: ")
        assert "\n" not in str(error)


def _refuse(name: str) -> object:
    raise ValueError(name)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("duplicate")
    return dict(pairs)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "[", "]", "[1,]", '{"a":}', '{"a" 1}', "{1:2}", "nul", "NaN", "[Infinity]", "-Infinity", "01",
        "1.", ".5", "-", "+1", '"abc', '"\\x"', '"\\u12"', '"\x01"', "1 2", "{} x", "1\x0b", "\ufeff{}", "'a'", "1e999",
        "[-1e999]", "1" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_one_json_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        jsontext.loads(text)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '[{"b":{"x":1,"y":2,"x":1}}]', r'{"\u0061":1,"a":2}'])
def test_a_key_that_stands_twice_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="stands twice"):
        jsontext.loads(text)


def test_a_long_key_does_not_drown_the_error() -> None:
    key = "k" * 50_000
    with pytest.raises(InvalidInput) as caught:
        jsontext.loads(f'{{"{key}": 1, "{key}": 2}}')
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "text", [r'"\ud800"', r'["\udc00x"]', r'{"\uD83D":1}', r'{"a":[{"b":"\udfff"}]}', '"\ud800"']
)
def test_half_a_surrogate_pair_is_refused_because_it_could_never_be_written(text: str) -> None:
    with pytest.raises(InvalidInput, match="surrogate"):
        jsontext.loads(text)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert jsontext.loads(r'"\ud83d\ude00"') == "😀"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [129, 400, 900, 100_000])
def test_deep_nesting_ends_in_an_error_and_not_in_a_traceback(opening: str, depth: int) -> None:
    closing = "]" if opening == "[" else "}"
    with pytest.raises(InvalidInput, match="nested too deeply"):
        jsontext.loads(opening * depth + "1" + closing * depth)


def test_nesting_that_formats_use_is_read_and_written() -> None:
    text = "[" * 120 + "]" * 120
    assert jsontext.dumps(jsontext.loads(text)) == text


def test_many_brackets_side_by_side_are_not_depth() -> None:
    text = "[" + ",".join(["[]"] * 1000) + "]"
    assert len(jsontext.loads(text)) == 1000


def test_the_place_of_an_error_is_given_as_line_and_column() -> None:
    with pytest.raises(InvalidInput, match="line 2, column 7"):
        jsontext.loads('{"a": 1,\n "b": \x07}')


def test_bytes_that_are_not_utf8_are_refused_with_their_place() -> None:
    with pytest.raises(InvalidInput, match="not UTF-8 at byte 2"):
        jsontext.loads(b'"a\xff"')


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), {b"a": 2}, b"x", {"a": object()}, {1, 2}],
)
def test_a_value_without_json_form_is_a_programming_error(value: object) -> None:
    with pytest.raises(TypeError):
        jsontext.dumps(value)


def test_output_is_compact_or_indented_and_keys_keep_their_order_or_are_sorted() -> None:
    value = {"b": [1, {}], "a": []}
    assert jsontext.dumps(value) == '{"b":[1,{}],"a":[]}'
    assert jsontext.dumps(value, sort=True) == '{"a":[],"b":[1,{}]}'
    assert jsontext.dumps(value, indent=2) == json.dumps(value, indent=2)


def test_every_control_character_is_escaped() -> None:
    everything = "".join(map(chr, range(0x100))) + string.printable + "\u2028\u2029\uffff"
    assert json.loads(jsontext.dumps(everything)) == everything
    assert jsontext.dumps(everything).isprintable() or "\n" not in jsontext.dumps(everything)


def test_an_interpreter_without_the_accelerators_behaves_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "_fast", None)
    monkeypatch.setitem(sys.modules, "_json", None)
    assert jsontext.loads('{"a":[1,2.5,"é"]}') == {"a": [1, 2.5, "é"]}
    assert jsontext.dumps({"a": "é\n"}) == '{"a":"é\\n"}'
    for text in ("NaN", "1e999", '{"a":1,"a":1}', "[" * 100_000, r'"\ud800"', "{", "[1,]"):
        with pytest.raises(InvalidInput):
            jsontext.loads(text)


def test_reading_and_writing_json_does_not_load_the_json_package() -> None:
    import subprocess

    code = (
        "import sys; from lading.formats import jsontext as j; j.loads(j.dumps({'a': [1, 'x']})); "
        "sys.exit(any(m in sys.modules for m in ('json', 're')))"
    )
    source = os.path.join(os.path.dirname(__file__), "../../../src")
    assert subprocess.call([sys.executable, "-S", "-c", code], env={"PYTHONPATH": source}) == 0
