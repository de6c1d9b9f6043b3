"""What ``stats`` reads besides control groups."""

from __future__ import annotations

from lading.cli.stats import traffic

TEXT = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    7000       7    0    0    0     0          0         0     7000       7    0    0    0     0       0          0
  eth0:    1000       9    0    0    0     0          0         0      200       3    0    0    0     0       0          0
eth1:30 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0
"""


def test_traffic_is_what_passes_every_interface_but_loopback() -> None:
    assert traffic(TEXT) == (1030, 204)


def test_no_interface_is_no_traffic() -> None:
    assert traffic("") == traffic("a heading\nanother\n") == (0, 0)
