"""Isolators: every one of the specification read exactly, wrong values refused with their field, unknown ones reported."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.appc import isolators
from lading.formats.appc.isolators import APP, POD, Isolator, Resource, gather

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


def _one(name: str, value: object, scope: str = APP) -> isolators.Isolation:
    return gather([Isolator(name=name, value=value)], scope)


@pytest.mark.parametrize(
    ("name", "value", "scope"),
    [
        ("os/linux/cpu-shares", 2048, APP), ("os/linux/cpu-shares", 2, APP), ("os/linux/cpu-shares", 262144, APP),
        ("os/linux/oom-score-adj", 250, APP), ("os/linux/oom-score-adj", -1000, APP), ("os/linux/oom-score-adj", 1000, APP),
        ("os/linux/no-new-privileges", True, APP), ("os/linux/no-new-privileges", False, APP),
        ("os/linux/capabilities-retain-set", {"set": ["CAP_KILL"]}, APP),
        ("os/linux/capabilities-retain-set", {"set": ["CAP_PONIES"]}, APP),
        ("os/linux/capabilities-remove-set", {"set": ["CAP_SYS_CHROOT", "CAP_MKNOD"]}, APP),
        ("os/linux/seccomp-remove-set", {"errno": "ENOTSUP", "set": ["clock_adjtime", "clock_settime", "reboot"]}, APP),
        ("os/linux/seccomp-retain-set", {"errno": "", "set": ["accept", "bind"]}, APP),
        ("os/linux/seccomp-retain-set", {"set": ["@appc.io/all"]}, APP),
        ("os/linux/seccomp-remove-set", {"set": ["@appc.io/empty", "@example/own-list"], "errno": "E2BIG"}, APP),
        ("resource/block-bandwidth", {"default": True, "limit": "2M"}, POD),
        ("resource/block-iops", {"default": True, "limit": "1000"}, APP),
        ("resource/network-bandwidth", {"default": True, "limit": "1G"}, APP),
        ("resource/cpu", {"request": "250m", "limit": "500m"}, APP), ("resource/cpu", {"request": "30m", "limit": "1m"}, POD),
        ("resource/memory", {"request": "1G", "limit": "2Gi"}, APP), ("resource/memory", {"limit": "1G", "default": False}, APP),
        ("os/unix/sysctl", {"net.ipv4.tcp_mtu_probing": "1", "net/ipv4/ip_forward": "0"}, POD), ("os/unix/sysctl", {}, POD),
        ("os/linux/selinux-context", {"user": "system_u", "role": "system_r", "type": "dhcpc_t", "level": "s0-s0:c0"}, POD),
        ("os/linux/apparmor-profile", {"profile": "rkt-default"}, APP),
    ],
)  # fmt: skip
def test_a_known_isolator_is_accepted_and_enforced(name: str, value: object, scope: str) -> None:
    assert _one(name, value, scope).ignored == []


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("os/linux/cpu-shares", 1, ""), ("os/linux/cpu-shares", 262145, ""), ("os/linux/cpu-shares", "2048", ""),
        ("os/linux/cpu-shares", None, ""), ("os/linux/cpu-shares", True, ""), ("os/linux/cpu-shares", 2.0, ""),
        ("os/linux/oom-score-adj", -1001, ""), ("os/linux/oom-score-adj", 1001, ""), ("os/linux/oom-score-adj", "pants", ""),
        ("os/linux/no-new-privileges", 123, ""), ("os/linux/no-new-privileges", {"set": ["CAP_KILL"]}, ""),
        ("os/linux/no-new-privileges", "true", ""), ("os/linux/no-new-privileges", None, ""),
        ("os/linux/capabilities-retain-set", {"set": []}, ".set"), ("os/linux/capabilities-retain-set", {"set": "CAP_KILL"},
        ".set"),
        ("os/linux/capabilities-retain-set", {}, ".set"), ("os/linux/capabilities-remove-set", ["CAP_KILL"], ""),
        ("os/linux/capabilities-remove-set", {"set": ["CAP_KILL", ""]}, ".set[1]"),
        ("os/linux/capabilities-remove-set", {"set": [1]}, ".set"), ("os/linux/capabilities-remove-set", {"sets": ["CAP_KILL"]},
        ""),
        ("os/linux/seccomp-remove-set", {"set": []}, ".set"), ("os/linux/seccomp-remove-set", {"errno": "EPERM"}, ".set"),
        ("os/linux/seccomp-remove-set", {"set": ["reboot"], "errno": "eperm"}, ".errno"),
        ("os/linux/seccomp-remove-set", {"set": ["reboot"], "errno": "PERM"}, ".errno"),
        ("os/linux/seccomp-remove-set", {"set": ["reboot"], "errno": "E-PERM"}, ".errno"),
        ("os/linux/seccomp-remove-set", {"set": ["reboot"], "errno": "E"}, ".errno"),
        ("os/linux/seccomp-remove-set", {"set": ["reboot"], "errno": 1}, ".errno"),
        ("os/linux/seccomp-retain-set", {"set": ["@all"]}, ".set[0]"), ("os/linux/seccomp-retain-set", {"set": ["@/x"]},
        ".set[0]"),
        ("os/linux/seccomp-retain-set", {"set": ["read write"]}, ".set[0]"),
        ("resource/block-bandwidth", {"default": False, "limit": "1G"}, ".default"),
        ("resource/block-bandwidth", {"limit": "1G"}, ".default"),
        ("resource/block-bandwidth", {"default": True}, ".limit"),
        ("resource/block-iops", {"default": True, "limit": "1", "request": "1"}, ".request"),
        ("resource/network-bandwidth", {"default": True, "limit": "fast"}, ".limit"),
        ("resource/memory", {"default": True, "request": "1G", "limit": "2G"}, ".default"),
        ("resource/memory", {}, ""), ("resource/memory", {"limit": "-1"}, ".limit"), ("resource/memory", {"limit": "1GB"},
        ".limit"),
        ("resource/memory", {"limit": True}, ".limit"), ("resource/memory", "1G", ""), ("resource/memory", {"Limit": "1G"}, ""),
        ("resource/cpu", {"request": ["1"]}, ".request"), ("resource/cpu", {"limit": ""}, ".limit"),
        ("os/unix/sysctl", {"net.ipv4.tcp_rfc1337": 1}, ".net.ipv4.tcp_rfc1337"), ("os/unix/sysctl", ["net.ipv4.tcp_rfc1337"],
        ""),
        ("os/unix/sysctl", {"net..ipv4": "1"}, ""), ("os/unix/sysctl", {"": "1"}, ""), ("os/unix/sysctl", {"../x": "1"}, ""),
        ("os/linux/selinux-context", {"user": "u", "role": "r:t", "type": "t", "level": "s0"}, ".role"),
        ("os/linux/selinux-context", {"user": "u", "role": "", "type": "t", "level": "s0"}, ".role"),
        ("os/linux/selinux-context", {"user": "u", "role": "r", "type": "t"}, ".level"),
        ("os/linux/apparmor-profile", {"profile": ""}, ".profile"), ("os/linux/apparmor-profile", {}, ".profile"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_field(name: str, value: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _one(name, value)
    assert caught.value.message.startswith(f"isolators[0].value{field}: ")


def test_values_are_in_base_units() -> None:
    made = gather(
        [
            Isolator(name="resource/cpu", value={"request": "250m", "limit": "0.5"}),
            Isolator(name="resource/memory", value={"limit": "123Mi"}),
            Isolator(name="resource/block-bandwidth", value={"default": True, "limit": "2M"}),
            Isolator(name="resource/block-iops", value={"default": True, "limit": 1000}),
            Isolator(name="resource/network-bandwidth", value={"default": True, "limit": "1G"}),
        ],
        APP,
    )
    assert made.cpu == Resource(250, 500)
    assert made.memory == Resource(128974848, 128974848)  # a request left out is the limit
    assert made.block_bandwidth == Resource(None, 2_000_000)
    assert made.block_iops == Resource(None, 1000)
    assert made.network_bandwidth == Resource(None, 10**9)


@pytest.mark.parametrize("text", ["128974848", "125952Ki", "123Mi"])
def test_the_texts_three_spellings_are_one_quantity(text: str) -> None:
    made = _one("resource/memory", {"limit": text}).memory
    assert made is not None and made.limit == 128974848


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.integers(0, 10**6), st.sampled_from("KMGTP"))
def test_the_metric_suffixes_are_the_texts(number: int, suffix: str) -> None:
    made = _one("resource/memory", {"limit": f"{number}{suffix}"}).memory
    assert made is not None and made.limit == min(number * 1000 ** ("KMGTP".index(suffix) + 1), 2**63 - 1)


def test_sets_tell_names_from_wildcards() -> None:
    made = _one("os/linux/seccomp-retain-set", {"set": ["read", "@appc.io/all"], "errno": "EPERM"}).seccomp
    assert made is not None
    assert (made.retain, made.names, made.wildcards, made.errno, made.unfiltered) == (
        True, ["read"], ["@appc.io/all"], "EPERM", True,
    )  # fmt: skip
    removed = _one("os/linux/seccomp-remove-set", {"set": ["@appc.io/all"]}).seccomp
    assert removed is not None and not removed.unfiltered and not removed.default
    kept = _one("os/linux/seccomp-remove-set", {"set": ["@appc.io/empty", "read"]}).seccomp
    assert kept is not None and kept.default and not kept.unfiltered


def test_the_bounding_set_follows_the_text() -> None:
    assert len(isolators.bounding_set(None)) == 14
    removed = _one(
        "os/linux/capabilities-remove-set", {"set": ["CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_SYS_ADMIN"]}
    )
    assert len(isolators.bounding_set(removed.capabilities)) == 12
    kept = _one("os/linux/capabilities-retain-set", {"set": ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"]})
    assert isolators.bounding_set(kept.capabilities) == ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"]


@pytest.mark.parametrize(
    ("first", "second"),
    [("os/linux/seccomp-remove-set", "os/linux/seccomp-retain-set"), ("os/linux/seccomp-retain-set",
    "os/linux/seccomp-retain-set"),
     ("os/linux/capabilities-retain-set", "os/linux/capabilities-remove-set"), ("os/linux/seccomp-remove-set",
     "os/linux/seccomp-remove-set")],
)  # fmt: skip
def test_sets_that_exclude_each_other_are_refused(first: str, second: str) -> None:
    pair = [Isolator(name=first, value={"set": ["a"]}), Isolator(name=second, value={"set": ["b"]})]
    for both in (pair, pair[::-1]):
        with pytest.raises(InvalidInput, match=r"^isolators\[1\]\.name: "):
            gather(both, APP)


@pytest.mark.parametrize("name", ["os/linux/cpu-shares", "os/linux/oom-score-adj"])
def test_what_may_be_given_once_is_refused_the_second_time(name: str) -> None:
    with pytest.raises(InvalidInput, match="given twice"):
        gather([Isolator(name=name, value=500)] * 2, APP)


def test_of_a_resource_given_twice_the_later_counts() -> None:
    made = gather([Isolator(name="resource/memory", value={"limit": str(n)}) for n in (1, 2)], APP)
    assert made.memory == Resource(2, 2)


def test_what_is_unknown_or_in_the_wrong_place_is_reported() -> None:
    made = gather(
        [
            Isolator(name="resource/network-ponies", value=0),
            Isolator(name="os/unix/sysctl", value={"net.a": "1"}),
            Isolator(name="resource/memory", value={"limit": "1"}),
        ],
        APP,
    )
    assert made.ignored == [
        ("resource/network-ponies", "unknown isolator"),
        ("os/unix/sysctl", "it applies to pods only"),
    ]
    assert made.sysctls == {}
    assert made.memory is not None


def test_a_name_must_be_an_identifier() -> None:
    with pytest.raises(InvalidInput, match=r"^isolators\[0\]\.name: "):
        _one("Resource/CPU", {})


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(
    st.sampled_from(isolators.KNOWN),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["set", "errno", "limit", "request", "default", "profile"]), inner
            )
        ),
        max_leaves=6,
    ),
)
def test_no_value_does_worse_than_be_refused(name: str, value: object) -> None:
    try:
        _one(name, value)
    except InvalidInput as error:
        assert error.message.startswith("isolators[0].")
