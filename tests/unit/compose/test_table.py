"""The command line of ``lading compose``: what scripts give it."""

from __future__ import annotations

import pytest

from lading.cli.commands import ROOT
from lading.errors import Unsupported
from lading.flags import parse


@pytest.mark.parametrize(
    "words",
    [
        "--no-ansi up -d --quiet-build",
        "build --compress --force-rm --no-rm --parallel --progress plain",
        "pull --parallel",
        "pull --no-parallel",
        "rm --all -f",
        "config --models",
        "config --no-path-resolution",
        "config --lock-image-digests",
        "commit -m why -c CMD=x --pause=false web made",
        "export -o file web",
    ],
)
def test_what_docker_composes_users_write_is_known(words: str) -> None:
    assert parse(ROOT, ["compose", *words.split()]).command.action


@pytest.mark.parametrize(
    "words", ["alpha viz", "bridge convert", "publish x", "--insecure-registry x up", "--dry-run up"]
)
def test_what_is_not_supported_is_refused_by_name(words: str) -> None:
    with pytest.raises(Unsupported) as raised:
        parse(ROOT, ["compose", *words.split()])
    assert words.split()[0] in raised.value.message
