"""A node of the module's own, with the smallest image there is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.formats.pod import Container, ContainerExtras, Pod, PodExtras, PodSpec
from lading.node import Node
from lading.roots import Roots


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roots]:
    base: Path = tmp_path_factory.mktemp("node")
    made = Roots(f"{base}/data", f"{base}/run", f"{base}/etc", os.geteuid())
    Node(made).images.bootstrap("busybox")
    yield made
    node = Node(made)
    for record in node.list(all=True):
        node.remove(record.id, force=True, volumes=True)
    node.check(repair=True)


@pytest.fixture
def node(roots: Roots) -> Iterator[Node]:
    made = Node(roots)
    before = {record.id for record in made.list(all=True)}
    yield made
    for record in made.list(all=True):
        if record.id not in before:
            made.remove(record.id, force=True, volumes=True)
    made.shop.close()


@pytest.fixture
def one() -> Callable[..., Pod]:
    """A container as ``lading run`` makes it: a pod of one."""

    def make(
        *args: str,
        name: str = "",
        remove: bool = False,
        restart: str = "",
        mode: str = "none",
        **extras: object,
    ) -> Pod:
        container = Container(
            name="main",
            image="busybox",
            args=[a.replace("$", "$$") for a in args],
            extras=ContainerExtras(restart=restart, **extras),
        )
        spec = PodSpec(
            containers=[container],
            restart_policy="Never",
            termination_grace_period_seconds=2,
            extras=PodExtras(container=True, remove=remove, network_mode=mode),
        )
        pod = Pod(spec=spec)
        pod.metadata.name = name
        return pod

    return make
