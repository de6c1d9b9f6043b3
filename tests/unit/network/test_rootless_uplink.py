"""What an ordinary user is told when the machine keeps /dev/net/tun to itself."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lading.errors import LadingError, Unsupported
from lading.network import Network, Networks, rootless
from lading.roots import Roots


@pytest.mark.parametrize(("number", "advice"), [(errno.EACCES, "chmod 666"), (errno.ENODEV, "modprobe tun")])
def test_a_tun_device_that_cannot_be_opened_is_named_with_what_to_do(
    number: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, flags: int) -> int:
        assert path == "/dev/net/tun"
        raise OSError(number, "")

    monkeypatch.setattr(rootless.os, "open", refuse)
    monkeypatch.setattr(rootless, "program", lambda name: f"/usr/bin/{name}")
    with pytest.raises(LadingError) as caught:
        rootless.start_uplink(Roots.default({"HOME": "/nonexistent"}), "key", 3, "eth0", [], changing=False)
    assert caught.value.reason == "uplink"
    assert "/dev/net/tun" in str(caught.value) and advice in str(caught.value)


def test_an_ordinary_user_is_told_that_cni_plugins_are_not_for_him(tmp_path: Path) -> None:
    networks = Networks(Roots(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", 1000))
    with pytest.raises(Unsupported, match="lan of driver cni for an ordinary user"):
        networks.ensure(Network(name="lan", driver="cni"))
