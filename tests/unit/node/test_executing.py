"""Files of a running container that exec reads."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lading.kernel import Kernel
from lading.node import executing

_SHOP: Any = SimpleNamespace(kernel=Kernel())


def test_the_files_that_name_users_are_read(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("a:x:1:1::/:/bin/sh\n")
    assert executing._read_inside(_SHOP, os.getpid(), f"{tmp_path}/passwd") == b"a:x:1:1::/:/bin/sh\n"


def test_a_link_to_a_file_of_the_kernel_is_not_read(tmp_path: Path) -> None:
    """/proc/kmsg in this one's place took the host's messages from its log, and then let root's exec wait for ever."""
    (tmp_path / "passwd").symlink_to("/proc/version")
    assert executing._read_inside(_SHOP, os.getpid(), f"{tmp_path}/passwd") == b""
