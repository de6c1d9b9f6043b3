"""Compiled seccomp filters on disk: only whole ones stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.formats.oci_runtime import Seccomp
from lading.kernel import seccomp
from lading.runtime import filters

PROGRAM = bytes(range(64))


def test_a_filter_that_a_full_disk_cut_short_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(seccomp, "compile_filter", lambda *_: PROGRAM)
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:32]))
    profile = Seccomp(default_action="SCMP_ACT_ALLOW")
    assert filters.prepare(profile, str(tmp_path)).program == PROGRAM
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(os, "write", write)
    assert filters.prepare(profile, str(tmp_path)).program == PROGRAM
    assert [Path(tmp_path, name).read_bytes() for name in os.listdir(tmp_path)] == [PROGRAM]
    monkeypatch.setattr(seccomp, "compile_filter", lambda *_: b"")
    assert filters.prepare(profile, str(tmp_path)).program == PROGRAM
