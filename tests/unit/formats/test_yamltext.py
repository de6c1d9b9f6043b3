"""YAML from hands that may be hostile: YAML 1.2's scalars, and bounds on what a document may cost."""

from __future__ import annotations

import pytest

from lading.errors import Exhausted, InvalidInput
from lading.formats.yamltext import documents


def one(text: str) -> object:
    (made,) = documents(text.encode(), what="f")
    return made


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("y", "y"), ("true", True), ("False", False), ("~x", "~x"), ("0644", 420),
        ("0o644", 420), ("644", 644), ("0x1F", 31), ("089", "089"), ("1.5", 1.5), ("1e3", 1000.0), ("2026-01-02", "2026-01-02"),
        ("12:30:45", "12:30:45"), ("1_000", "1_000"), ("'no'", "no"), ("0", 0), ("-5", -5), ("1.2.3", "1.2.3"), ("=", "="),
        ("500m", "500m"), ("null ", None), ("+1", 1),
    ],
)  # fmt: skip
def test_scalars_are_yaml_1_2_with_octal_modes(text: str, value: object) -> None:
    assert one(f"x: {text}") == {"x": value}


def test_several_documents_and_empty_ones() -> None:
    assert documents(b"---\na: 1\n---\n---\n# nothing\n---\nb: 2\n", what="f") == [{"a": 1}, {"b": 2}]
    assert documents(b"", what="f") == []


def test_merge_keys_and_anchors_work() -> None:
    assert one("base: &b {x: 1, y: 2}\nmade: {<<: *b, y: 3}") == {
        "base": {"x": 1, "y": 2},
        "made": {"x": 1, "y": 3},
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\na: 2", "given twice"), ("a: [1", "line"), ("a: !!python/object:os.system {}", "tag"), ("a: !x 1", "tag"),
        ("a: .inf", "JSON"), ("a: .nan", "JSON"), ("a: &x [*x]", "itself"), ("\x00", "f"), ("a:\n\t- b", "line"),
        ("? [1, 2]\n: x", "unhashable"), ("a: 1e400", "JSON"), ("a: -.inf", "JSON"), ("a: !!bool maybe", "f"),
        ("a: !!set {b}", "line 1: the tag"), ("a: !!binary aGk=", "JSON"), ("a: !!timestamp 2001-01-01", "JSON"),
        ("a: !!omap [b: 1]", "JSON"), ("a: !!int x", "f"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_with_the_place(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        one(text)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        documents(b"a: \xff", what="f")


def _laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [_laughs(9), "[" * 101, "- " * 101 + "x", "x: &a 1\ny: [" + "*a, " * 2500 + "]", "a: " + "x" * (4 << 20)],
    ids=["laughs", "flow depth", "block depth", "aliases", "size"],
)
def test_a_bomb_is_refused_before_it_goes_off(text: str) -> None:
    with pytest.raises(Exhausted):
        one(text)


def test_merge_bombs_are_bounded() -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: v}}" for i in range(1, 12)]
    try:
        made = one("\n".join(lines))
    except InvalidInput as error:
        assert "merge keys" in str(error)
    else:
        # From PyYAML 6.0.4 on a key that is merged twice is there once, so that nothing grows.
        assert isinstance(made, dict)
        assert len(made["a11"]) == 12
