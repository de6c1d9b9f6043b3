"""Which disks a limit holds for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lading.errors import InvalidInput
from lading.formats.pod import BlockLimit, Container, ContainerExtras
from lading.node import blocklimits


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, dev, size in (("sda", "8:0", "100"), ("sdb", "8:16", "7"), ("loop0", "7:0", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dev").write_text(dev + "\n")
        (tmp_path / name / "size").write_text(size + "\n")
    found = blocklimits.disks(str(tmp_path))
    monkeypatch.setattr(blocklimits, "disks", lambda: found)


def _of(*limits: BlockLimit) -> Container:
    return Container(name="c", extras=ContainerExtras(block_bandwidth=list(limits), blkio_weight=50))


@pytest.mark.usefixtures("machine")
def test_without_a_device_it_is_every_disk_that_holds_something() -> None:
    made = blocklimits.collect(_of(BlockLimit(read=1000)))
    assert [(d.major, d.minor, d.rate) for d in made.throttle_read_bps_device] == [
        (8, 0, 1000),
        (8, 16, 1000),
    ]
    assert made.throttle_write_bps_device == made.throttle_read_iops_device == []
    assert made.weight == 50


@pytest.mark.usefixtures("machine")
def test_what_is_no_disk_is_refused_by_the_name_of_the_field(tmp_path: Path) -> None:
    for path, why in (("/dev/null", "not a block device"), (f"{tmp_path}/none", "No such file")):
        with pytest.raises(InvalidInput, match=why) as caught:
            blocklimits.collect(_of(BlockLimit(read=1), BlockLimit(device=path, read=1)))
        assert "x-lading.blockBandwidth[1].device" in str(caught.value)
