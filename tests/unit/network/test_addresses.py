"""Addresses and subnets: pure functions, compared with the standard library's."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import Exhausted, InvalidInput
from lading.network import addresses as ad
from lading.network import pools

subnets = st.builds(
    lambda number, prefix: ipaddress.ip_network((number, prefix), strict=False),
    st.integers(0, 2**32 - 1), st.integers(1, 32),
)  # fmt: skip


@given(subnets, subnets)
def test_overlap_agrees_with_the_standard_library(one, other):
    assert ad.overlaps(ad.parse_subnet(str(one)), ad.parse_subnet(str(other))) == one.overlaps(other)


@given(st.lists(subnets, max_size=20), st.integers(16, 24))
def test_a_chosen_subnet_is_in_the_pool_and_free(used, prefix):
    pool = ad.parse_subnet("10.0.0.0/12")
    taken = [ad.parse_subnet(str(u)) for u in used]
    found = ad.choose_subnet(pool, prefix, taken)
    if found is None:
        size = 1 << (32 - prefix)
        candidates = range(pool[1], pool[1] + (1 << 20), size)
        assert all(any(ad.overlaps((4, c, prefix), t) for t in taken) for c in candidates)
    else:
        assert ad.overlaps(pool, found)
        assert not any(ad.overlaps(found, t) for t in taken)
        assert found[1] & ad.host_mask(4, prefix) == 0


@given(st.sets(st.integers(1, 14)), st.integers(0, 20))
def test_the_next_address_is_free_and_goes_round(taken, cursor):
    found = ad.next_free(1, 14, cursor, taken.__contains__)
    assert (found is None) == (len(taken) == 14)
    if found is not None:
        assert found not in taken
        assert 1 <= found <= 14


def test_a_freed_address_rests_before_it_is_used_again():
    assert ad.next_free(1, 14, 5, set().__contains__) == 6
    assert ad.next_free(1, 14, 14, set().__contains__) == 1


@pytest.mark.parametrize(
    "text", ["10.0.0.1/24", "10.0.0.0", "10.0.0.0/33", "x/8", "::1/64", "10.0.0.0/-1", "10.0.0.0/²"]
)
def test_a_bad_subnet_is_refused(text):
    with pytest.raises(InvalidInput):
        ad.parse_subnet(text)


def test_thousands_of_networks_get_24s_without_overlap():
    used: list[tuple[int, int, int]] = []
    for _ in range(1000):
        used.append(pools.choose_ipv4("lading", False, used))
    assert len({s[1] for s in used}) == 1000
    assert {s[2] for s in used} == {24}


def test_when_all_private_subnets_are_used_it_is_said():
    everything = [ad.parse_subnet(s) for s in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    with pytest.raises(Exhausted, match="every private subnet"):
        pools.choose_ipv4("lading", True, everything)


@pytest.mark.parametrize("text", ["01:00:00:00:00:00", "00:00:00:00:00:00", "xx", "0a:00:00:00:00"])
def test_a_mac_that_is_no_unicast_address_is_refused(text):
    with pytest.raises(InvalidInput):
        ad.parse_mac(text)
