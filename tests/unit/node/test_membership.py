"""Whose users a container has that is to live in a pod."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lading.errors import InvalidInput
from lading.formats.pod import Container, ContainerExtras, ObjectMeta, Pod, PodExtras, PodSpec
from lading.node import membership
from lading.node.model import PodRecord


def _pod(name: str, host_users: bool | None, **extras: Any) -> Pod:
    container = Container(name="c", image="i", extras=ContainerExtras(userns=extras.pop("userns", "")))
    spec = PodSpec(containers=[container], host_users=host_users, extras=PodExtras(**extras))
    return Pod(metadata=ObjectMeta(name=name), spec=spec)


def _joined(house: bool | None, own: bool | None, userns: str) -> Pod:
    record = PodRecord(id="a" * 64, name="house", pod=_pod("house", house), created=0.0)
    shop: Any = SimpleNamespace(records=SimpleNamespace(resolve=lambda _name: (record, None)))
    pod = _pod("member", own, userns=userns, container=True, pod="house")
    membership.join(shop, pod)
    return pod


@pytest.mark.parametrize(
    ("house", "own", "userns"),
    [(False, None, ""), (False, False, "auto"), (None, None, ""), (None, None, "host"), (True, None, "host")],
)
def test_it_has_the_users_of_the_pod(house: bool | None, own: bool | None, userns: str) -> None:
    assert _joined(house, own, userns).spec.host_users is house


@pytest.mark.parametrize(
    ("house", "own", "userns", "said"),
    [
        (None, False, "auto", "has the host's users"),
        (True, False, "auto", "has the host's users"),
        (False, None, "host", "has users of its own"),
    ],
)
def test_others_that_it_asks_for_are_refused(
    house: bool | None, own: bool | None, userns: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=f"that pod {said}, and so has"):
        _joined(house, own, userns)
