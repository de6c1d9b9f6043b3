"""What an ordinary user is told when the machine keeps /dev/net/tun to itself."""

from __future__ import annotations

import errno

import pytest

from lading.errors import LadingError
from lading.network import rootless
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
