"""``bootstrap debian:SUITE --include``: what mmdebstrap is asked for, what becomes of its tar, and of its complaints.

A small script stands in for mmdebstrap, so this needs neither the network nor a quarter of a minute.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.errors import InvalidInput, LadingError, NotFound
from lading.images import Images

SCRIPT = """#!/bin/sh
printf '%s\\n' "$@" > "{directory}/asked"
case "$*" in
  *nonesuch*) echo "I: installing" >&2; echo "E: Unable to locate package nonesuch" >&2; exit 100;;
  *broken*) echo "E: the mirror is on fire" >&2; exit 1;;
esac
mkdir -p "{directory}/root/etc/apt"; echo "$0" > "{directory}/root/etc/made"
tar -C "{directory}/root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - .
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in writes down what it was asked for."""
    tool = tmp_path / "bin" / "mmdebstrap"
    tool.parent.mkdir()
    tool.write_text(SCRIPT.format(directory=tmp_path))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return tmp_path


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(str(tmp_path / "images"))


def test_packages_are_included_and_told_of(images: Images, directory: Path) -> None:
    image = images.bootstrap("debian:bookworm", include=["nginx-light,curl", "libc6:amd64"])
    asked = (directory / "asked").read_text().split("\n")
    assert "--include=nginx-light,curl,libc6:amd64" in asked and asked[-3:] == ["bookworm", "-", ""]
    assert image.names == ["debian:bookworm"] and image.config.created == "2023-11-14T22:13:20Z"
    assert image.config.config is not None and image.config.config.cmd == ["bash"]
    (step,) = image.config.history
    assert step.created_by.endswith(
        "debian:bookworm --include nginx-light --include curl --include libc6:amd64"
    )
    assert (Path(image.layers[0]) / "etc/made").exists()
    assert images.bootstrap("debian:bookworm", include=["nginx-light,curl", "libc6:amd64"]).id == image.id


def test_slim_leaves_documentation_out(images: Images, directory: Path) -> None:
    assert images.bootstrap("debian:bookworm-slim").names == ["debian:bookworm-slim"]
    asked = (directory / "asked").read_text()
    assert "path-exclude=/usr/share/doc/*" in asked and "--include" not in asked and "\nbookworm\n" in asked


@pytest.mark.parametrize(
    ("name", "include", "error", "words"),
    [
        ("debian:bookworm", ["nonesuch"], NotFound, "Unable to locate package nonesuch"),
        ("debian:bookworm", ["broken"], LadingError, "the mirror is on fire"),
        ("debian:bookworm", ["--hook=rm"], InvalidInput, "not a Debian package's name"),
        ("debian:bookworm", ["a b;c"], InvalidInput, "not a Debian package's name"),
        ("debian:Book", [], InvalidInput, "not a Debian suite"),
        ("busybox", ["curl"], InvalidInput, "busybox takes no --include"),
    ],
)
def test_what_cannot_be_made_is_one_error_and_leaves_nothing(
    images: Images, directory: Path, name: str, include: list[str], error: type[LadingError], words: str
) -> None:
    with pytest.raises(error) as caught:
        images.bootstrap(name, include=include)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert images.list() == [] and images.check() == []
    for place in ("leases", "ingest", "staging"):
        there = Path(images.root, place)
        assert not there.exists() or os.listdir(there) == []
