"""Limits of block devices: which devices they are on this machine, as the values of runtime-spec.

The kernel counts for whole disks alone, never for a partition (Documentation/admin-guide/cgroup-v2.rst, "io.max").
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput
from lading.formats.oci_limits import BlockIO, ThrottleDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.pod import Container
    from lading.formats.podextras import BlockLimit

Number = tuple[int, int]
_BLOCK = "/sys/block"


def collect(container: Container) -> BlockIO:
    """What ``blockBandwidth``, ``blockOperations`` and the weight ask for. Raises :class:`InvalidInput` naming the field."""
    extras = container.extras
    where = f"container {container.name}: x-lading"
    made = BlockIO(weight=extras.blkio_weight)
    made.throttle_read_bps_device, made.throttle_write_bps_device = _rates(
        extras.block_bandwidth, f"{where}.blockBandwidth"
    )
    made.throttle_read_iops_device, made.throttle_write_iops_device = _rates(
        extras.block_operations, f"{where}.blockOperations"
    )
    return made


def _rates(limits: list[BlockLimit], where: str) -> tuple[list[ThrottleDevice], list[ThrottleDevice]]:
    """Reading and writing. What is said of a device by its path goes before what is said of all."""
    read: dict[Number, int] = {}
    write: dict[Number, int] = {}
    for index, limit in sorted(enumerate(limits), key=lambda pair: bool(pair[1].device)):
        numbers = [_device(limit.device, f"{where}[{index}].device")] if limit.device else disks()
        for number in numbers:
            if limit.read is not None:
                read[number] = limit.read
            if limit.write is not None:
                write[number] = limit.write
    return _listed(read), _listed(write)


def _listed(rates: dict[Number, int]) -> list[ThrottleDevice]:
    return [ThrottleDevice(major=major, minor=minor, rate=rate) for (major, minor), rate in rates.items()]


def _device(path: str, where: str) -> Number:
    try:
        info = os.stat(path)
    except OSError as error:
        raise InvalidInput(f"{where}: {path}: {error.strerror}") from None
    if not stat.S_ISBLK(info.st_mode):
        raise InvalidInput(f"{where}: {path} is not a block device", hint="name a disk, as /dev/sda is one")
    number = os.major(info.st_rdev), os.minor(info.st_rdev)
    if number not in disks():
        raise InvalidInput(
            f"{where}: {path} is a part of a disk or holds nothing", hint="name the whole disk"
        )
    return number


def disks(directory: str = _BLOCK) -> list[Number]:
    """The numbers of the machine's disks that hold something."""
    found = []
    for name in sorted(os.listdir(directory)):
        if _read(f"{directory}/{name}/size") not in ("", "0"):
            major, _, minor = _read(f"{directory}/{name}/dev").partition(":")
            found.append((int(major), int(minor)))
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read(64).strip()
    except OSError:
        return ""
