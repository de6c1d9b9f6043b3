"""Where an ordinary user's files go when nobody said: below /tmp, where anybody can be first."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lading.errors import Denied
from lading.node import rootless
from lading.roots import Roots


def test_a_home_below_tmp_that_somebody_else_prepared_is_refused(tmp_path: Path) -> None:
    uid = random.randrange(1 << 20, 1 << 30)  # nobody's
    roots = Roots.default({"LADING_RUN": str(tmp_path / "run")}, uid)
    home = f"/tmp/lading-home-{uid}"
    assert roots.data.startswith(home + "/")
    with pytest.raises(Denied, match="/run does not belong"):
        rootless._private_directories(roots, uid)  # ours, and not theirs
    os.mkdir(home, 0o700)
    try:
        found = Roots(roots.data, str(tmp_path / "run"), roots.config, uid)
        os.chmod(tmp_path / "run", 0o700)
        owner = os.geteuid()
        with pytest.MonkeyPatch.context() as patch:
            real = os.lstat
            patch.setattr(
                rootless.os,
                "lstat",
                lambda p: (
                    os.stat_result((0o040700, 0, 0, 1, uid, 0, 0, 0, 0, 0)) if p == found.run else real(p)
                ),
            )
            with pytest.raises(Denied, match=f"lading-home-{uid} does not belong"):
                rootless._private_directories(found, uid)
        assert os.stat(home).st_uid == owner
    finally:
        os.rmdir(home)
