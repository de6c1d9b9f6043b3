"""Networks made while the disk of their records is almost full: made, or refused and not there."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from lading.errors import Exhausted, NotFound
from lading.network import NetworkRequest

pytestmark = pytest.mark.root


@pytest.fixture
def small(world, tmp_path: Path):
    """Networks whose records have a megabyte, and a function that leaves so many pages of it."""
    place = tmp_path / "a" / "data"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    networks = world.networks()
    networks.create("first")

    def leave(pages: int) -> None:
        ballast = place / "ballast"
        ballast.unlink(missing_ok=True)
        free = os.statvfs(place).f_bavail
        ballast.write_bytes(bytes(4096 * max(0, free - pages)))

    try:
        yield networks, leave, world
    finally:
        (place / "ballast").unlink(missing_ok=True)
        for network in networks.list():
            networks.remove(network.name, force=True)
        networks.close()
        world.opened.remove(networks)
        # the resolver lets go of the records a moment after the last attachment
        deadline = time.monotonic() + 60
        while subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_network_is_made_or_refused_and_nothing_between(small) -> None:  # type: ignore[no-untyped-def]
    networks, leave, world = small
    outcomes = []
    for pages in range(14):
        networks.close()  # the log starts anew, and takes its pages from what is left
        leave(pages)
        name = f"full{pages}"
        try:
            networks.create(name)
        except Exhausted:
            outcomes.append("refused")
            leave(1000)
            with pytest.raises(NotFound):
                networks.get(name)
        else:
            outcomes.append("made")
            leave(1000)
            pod = world.attach(networks, name, networks=[NetworkRequest(name=name)])
            assert pod.address
            networks.detach(name)
        leave(1000)
    assert outcomes[0] == "refused"
    assert outcomes[-1] == "made"
