"""What an administrator mounted in a volume is not the volume's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lading.errors import Conflict
from lading.kernel import Kernel
from lading.kernel.mounts import MS_BIND
from lading.volumes import Volumes

pytestmark = pytest.mark.root


def test_a_volume_with_a_mount_in_it_stays_whole_until_that_is_gone(tmp_path: Path) -> None:
    volumes, kernel = Volumes(str(tmp_path / "volumes")), Kernel()
    volumes.create("data")
    inside = Path(volumes.source("data").path) / "inside"
    inside.mkdir()
    (inside.parent / "own").touch()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    kernel.mount(str(precious), str(inside), "", MS_BIND)
    try:
        with pytest.raises(Conflict) as raised:
            volumes.remove("data", force=True)
        assert raised.value.reason == "mounted" and str(inside) in raised.value.message
        assert (inside.parent / "own").exists() and (precious / "file").read_text() == "kept"
    finally:
        kernel.umount(str(inside))
    volumes.remove("data")
    assert volumes.list() == [] and (precious / "file").exists()
