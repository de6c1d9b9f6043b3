"""Which kernels are asked for layers one by one (overlayfs.rst: "since kernel version v6.8")."""

from __future__ import annotations

import pytest

from lading.kernel.overlay import takes_layers


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.8.0-31-generic", True),
        ("6.18.44", True),
        ("7.0", True),
        ("6.7.12", False),
        ("6.1.0-56-cloud-amd64", False),
        ("5.15-rc1", False),
        ("6.12-rc3", True),
        ("odd", True),
        ("x.y.z", True),
        ("", True),
    ],
)
def test_releases(release: str, expected: bool) -> None:
    assert takes_layers(release) is expected
