"""Quantities and sizes are read exactly, and everything outside their grammar is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats import quantity, sizes

SUFFIXES = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(1000),
    "M": Fraction(10**6), "G": Fraction(10**9), "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30),
    "e3": Fraction(1000), "E-2": Fraction(1, 100), "e+2": Fraction(100),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("100m", Fraction(1, 10)), ("1.5", Fraction(3, 2)), ("64Mi", Fraction(64 << 20)), ("1e3", Fraction(1000)),
        ("1E3", Fraction(1000)), ("2E", Fraction(2 * 10**18)), (".5", Fraction(1, 2)), ("5.", Fraction(5)),
        ("+1", Fraction(1)), ("-1", Fraction(-1)), ("0.1", Fraction(1, 10)), (2, Fraction(2)), (0.5, Fraction(1, 2)),
        ("12e-6", Fraction(12, 10**6)), ("1Ei", Fraction(2**60)), ("0", Fraction(0)), ("0e99", Fraction(0)),
    ],
)  # fmt: skip
def test_a_quantity_is_exact(text: str | int | float, units: Fraction) -> None:
    assert quantity.nanos(text) == units * 10**9


@pytest.mark.parametrize("text", ["0.1n", "1e-12", "0.0000000001"])
def test_finer_than_a_billionth_is_rounded_up(text: str) -> None:
    assert quantity.nanos(text) == 1


@pytest.mark.parametrize("text", ["100E", "1e30", "9e999999999", "9223372036854775808", "9Ei"])
def test_a_quantity_is_capped_as_kubernetes_caps_it(text: str) -> None:
    assert quantity.units(text) == 2**63 - 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "1 Mi",
        "1mi",
        "1K",
        "1.2.3",
        "--1",
        "1e",
        "1e1.5",
        "Mi1",
        "1MiB",
        "0x10",
        "1_000",
        "\u0661",
        ".",
        "NaN",
        "1" * 70,
    ],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        quantity.nanos(text)
    assert caught.value.reason == "quantity"


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(sorted(SUFFIXES)), st.booleans())
def test_any_quantity_agrees_with_fractions(whole: int, part: int, suffix: str, negative: bool) -> None:
    sign = "-" if negative else ""
    value = abs(Fraction(f"{whole}.{part:06d}") * SUFFIXES[suffix] * 10**9)
    rounded = -(-value.numerator // value.denominator)
    assert quantity.nanos(f"{sign}{whole}.{part:06d}{suffix}") == (-rounded if negative else rounded)


@given(st.integers(0, 2**62))
def test_canonical_texts_mean_the_same_value(value: int) -> None:
    assert quantity.nanos(quantity.decimal(value)) == value
    assert quantity.units(quantity.binary(value)) == value


def test_units_and_millis_round_up() -> None:
    assert quantity.units("1500m") == 2
    assert quantity.millis("1500u") == 2
    assert quantity.binary(64 << 20) == "64Mi"
    assert quantity.decimal(10**8) == "100m"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0), ("512", 512), ("1b", 1), ("64m", 64 << 20), ("64M", 64 << 20), ("64mb", 64 << 20), ("64MiB", 64 << 20),
        ("1.5g", 3 << 29), ("1k", 1024), ("2t", 2 << 40), ("1 g", 1 << 30),
    ],
)  # fmt: skip
def test_a_size_is_in_powers_of_1024(text: str, count: int) -> None:
    assert sizes.parse(text) == count


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1x", "1.5.5m", "1mm", "0x10", ".5g", "1e3", "1ib", "9" * 41, "99999p"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        sizes.parse(text)


def test_sizes_are_shown_as_docker_shows_them() -> None:
    assert sizes.decimal(7334567) == "7.335MB"
    assert sizes.decimal3(7334567) == "7.33MB"
    assert sizes.binary(15951462) == "15.21MiB"
    assert sizes.decimal3(0) == "0B"
