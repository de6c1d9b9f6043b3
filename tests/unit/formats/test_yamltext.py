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
        ("? [1, 2]\n: x", "line 1: the key is not text"), ("a: 1e400", "JSON"), ("a: -.inf", "JSON"), ("a: !!bool maybe", "f"),
        ("a: !!set {b}", "line 1: the tag"), ("a: !!binary aGk=", "JSON"), ("a: !!timestamp 2001-01-01", "JSON"),
        ("a: !!omap [b: 1]", "JSON"), ("a: !!int x", "f"),
        ("a: {<<: {b: 1, b: 2}}", "given twice"), ("&a {<<: *a, b: 1}", "itself"), ("a: {<<: 1}", "merge key takes mappings"),
        ("a: {<<: [{b: 1}, 2]}", "merge key takes mappings"), ("a: !!map [1]", "expected a mapping"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_with_the_place(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        one(text)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["1", "true", "~", "1.5", "0x1", "", "!!int 1"])
def test_a_key_is_text_or_quoted(key: str) -> None:
    """To Python ``1`` and ``true`` are one key: the second took the first one's place, and nobody was told."""
    with pytest.raises(InvalidInput, match=r"line 2: the key .*is not text; quote it"):
        one(f"a: b\n? {key}\n: c")


def test_quoted_keys_that_look_like_numbers_are_text() -> None:
    assert one("{'1': a, \"true\": b, '<<': c, no: d, 8080/tcp: e}") == {
        "1": "a", "true": "b", "<<": "c", "no": "d", "8080/tcp": "e",
    }  # fmt: skip


def test_the_mapping_that_is_merged_first_wins() -> None:
    """yaml.org's text of the merge key: keys in mapping nodes earlier in the sequence override later ones."""
    assert one("made: {<<: [{x: 1}, {x: 2, y: 2}], z: 3}") == {"made": {"x": 1, "y": 2, "z": 3}}


_LONG = "k" * 5000


@pytest.mark.parametrize(
    "text",
    [f"{_LONG}: 1\n{_LONG}: 2", f'? "{_LONG}"\n: 1\n? "{_LONG}"\n: 2', f"a: !{_LONG} 1"],
    ids=["key", "quoted key", "tag"],
)
def test_an_error_stays_one_short_line(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        one(text)
    assert len(str(caught.value)) < 500


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


def _deep(levels: int, entry: str) -> str:
    lines = ["- &a0 [1]"]
    lines += ["- " + entry.format(f"&a{i} [*a{i - 1}]") for i in range(1, levels)]
    return "\n".join([*lines, f"- *a{levels - 1}"])


@pytest.mark.parametrize("levels", [102, 1500])
@pytest.mark.parametrize("entry", ["{}", "{{<<: {{x: {}}}, x: 1}}"], ids=["seen", "overridden"])
def test_aliases_make_nothing_deeper_than_a_reader_can_go(levels: int, entry: str) -> None:
    """A value that an explicit key overrides is seen nowhere but through the last alias: the walk met all levels at once."""
    with pytest.raises(Exhausted):
        one(_deep(levels, entry))


def test_levels_that_a_manifest_may_have_come_through_aliases_too() -> None:
    made = one(_deep(95, "{}"))
    assert isinstance(made, list)
    assert len(made) == 96


def test_what_merge_keys_copy_is_bounded_before_it_is_copied() -> None:
    pairs = ", ".join(f"k{i}: 1" for i in range(2000))
    with pytest.raises(Exhausted, match="merge keys") as caught:
        one(f"a: &a {{{pairs}}}\nb: {{<<: [{', '.join(['*a'] * 1900)}]}}")
    assert "line 2" in str(caught.value)


def test_a_chain_of_merges_is_no_way_to_recurse() -> None:
    lines = ["- &a0 {k: 1}"] + [f"- {{<<: {{x: &a{i} {{<<: *a{i - 1}}}}}, x: 1}}" for i in range(1, 1900)]
    with pytest.raises(Exhausted):
        one("\n".join([*lines, "- *a1899"]))


def test_merge_bombs_are_bounded() -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: v}}" for i in range(1, 12)]
    made = one("\n".join(lines))
    assert isinstance(made, dict)
    assert len(made["a11"]) == 12
