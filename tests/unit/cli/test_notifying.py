"""sd_notify(3): who is told, and that nobody has to be there."""

from __future__ import annotations

import os
import socket

import pytest

from lading.cli.notifying import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told(tmp_path, abstract):
    place = f"\0lading-{os.getpid()}-{os.urandom(4).hex()}" if abstract else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(place)
        heard.settimeout(60)
        assert notify("READY=1\nSTATUS=up", {"NOTIFY_SOCKET": place.replace("\0", "@")})
        assert heard.recv(4096) == b"READY=1\nSTATUS=up"


@pytest.mark.parametrize("place", ["", "relative", "vsock:2:1234", "@", "/nowhere/at/all", "/" + "x" * 200])
def test_nobody_there_is_no_error(place):
    assert notify("READY=1", {"NOTIFY_SOCKET": place}) is False
    assert notify("READY=1", {}) is False
