"""Device rules: what a list of them means, and that the eBPF program decides the same (run on a small
interpreter)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidInput, Unsupported
from lading.kernel.bpf import assemble
from lading.kernel.devicerules import DeviceRule, effective


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """A model of the few eBPF instructions that device programs use."""
    bits = sum({"m": 1, "r": 2, "w": 4}[a] for a in access)
    context = struct.pack("<III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers = [0] * 11
    at = 0
    for _ in range(10_000):
        code, nibbles, offset, value = struct.unpack_from("<BBhi", program, at * 8)
        dst, src = nibbles & 15, nibbles >> 4
        at += 1
        if code == 0x61:
            registers[dst] = struct.unpack_from("<I", context, offset)[0]
        elif code == 0xBC:
            registers[dst] = registers[src] & 0xFFFFFFFF
        elif code == 0xB7:
            registers[dst] = value
        elif code == 0x54:
            registers[dst] = registers[dst] & value & 0xFFFFFFFF
        elif code == 0x74:
            registers[dst] = (registers[dst] & 0xFFFFFFFF) >> value
        elif code in (0x55, 0x56):
            at += offset if registers[dst] & 0xFFFFFFFF != value & 0xFFFFFFFF else 0
        elif code == 0x5D:
            at += offset if registers[dst] != registers[src] else 0
        elif code == 0x15:
            at += offset if registers[dst] == value else 0
        elif code == 0x95:
            return bool(registers[0])
        else:
            raise AssertionError(f"instruction {code:#x}")
    raise AssertionError("the program does not end")


def meant(rules: list[DeviceRule], kind: str, major: int, minor: int, access: str) -> bool:
    """devices.rst, said plainly: an exception that allows must cover the request, one that denies need only
    touch it."""
    everything, exceptions = effective(rules)
    for rule in exceptions:
        if rule.type != kind or rule.major not in (None, major) or rule.minor not in (None, minor):
            continue
        if everything and set(rule.access) & set(access):
            return False
        if not everything and set(access) <= set(rule.access):
            return True
    return everything


NUMBERS = st.one_of(st.none(), st.integers(0, 3), st.just(0xFFFFFFFF))
RULES = st.builds(
    DeviceRule,
    st.booleans(),
    st.sampled_from(["b", "c", "a"]),
    NUMBERS,
    NUMBERS,
    st.sampled_from(["r", "w", "m", "rw", "rwm"]),
)


@given(
    st.lists(RULES, max_size=8),
    st.sampled_from("bc"),
    st.sampled_from([0, 1, 2, 3, 0xFFFFFFFF]),
    st.sampled_from([0, 1, 2, 3, 0xFFFFFFFF]),
    st.sampled_from(["r", "w", "m", "rw", "rwm"]),
)
def test_the_program_decides_what_the_rules_mean(
    rules: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    try:
        program = assemble(rules)
    except Unsupported:
        return
    assert run(program, kind, major, minor, access) == meant(rules, kind, major, minor, access)


def test_nothing_is_allowed_without_rules() -> None:
    assert effective([]) == (False, [])
    assert not run(assemble([]), "c", 1, 3, "r")


def test_a_rule_for_all_starts_anew() -> None:
    rules = [DeviceRule(True, "c", 1, 3), DeviceRule(True), DeviceRule(False, "c", 1, 5)]
    everything, exceptions = effective(rules)
    assert everything and [e.line() for e in exceptions] == ["c 1:5 rwm"]
    assert not effective([*rules, DeviceRule(False)])[0]


def test_accesses_of_one_device_add_up_and_can_be_taken_back() -> None:
    rules = [DeviceRule(True, "c", 1, 3, "r"), DeviceRule(True, "c", 1, 3, "w")]
    assert [e.line() for e in effective(rules)[1]] == ["c 1:3 rw"]
    assert [e.line() for e in effective([*rules, DeviceRule(False, "c", 1, None, "w")])[1]] == ["c 1:3 r"]


def test_taking_one_device_out_of_a_wildcard_is_refused_because_the_kernel_would_ignore_it() -> None:
    with pytest.raises(Unsupported) as caught:
        effective([DeviceRule(True, "c", 1, None), DeviceRule(False, "c", 1, 3)])
    assert caught.value.reason == "device-rule"


@pytest.mark.parametrize("bad", [{"type": "x"}, {"access": "rx"}, {"access": ""}, {"major": -5}])
def test_a_malformed_rule_is_an_error(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        DeviceRule(True, **bad)  # type: ignore[arg-type]
