"""Every command explains itself, and the first page shows all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lading.cli.commands import ROOT
from lading.cli.help import GROUPS, overview
from lading.cli.main import main
from lading.flags import Command


def leaves(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    for child in command.commands:
        if child.refuse:
            continue
        here = (*path, child.name)
        yield here, child
        yield from leaves(child, here)


ALL = list(leaves(ROOT))
OPTIONS = [f"--{flag.name}" for flag in ROOT.flags if not flag.hidden]


@pytest.mark.parametrize("path", [p for p, _ in ALL], ids=" ".join)
def test_every_command_has_help_that_names_its_options(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = dict(ALL)[path]
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.startswith(f"Usage: lading {' '.join(path)}")
    assert command.summary in shown.out or command.description.split()[0] in shown.out
    for flag in command.flags:
        if not flag.hidden:
            assert f"--{flag.name}" in shown.out
            if (
                isinstance(flag.default, str) and flag.default
            ):  # as it can be typed, whatever lines it is broken into
                assert f"(default {flag.default})" in " ".join(shown.out.split())


@pytest.mark.parametrize("path", [p for p, c in ALL if not c.commands], ids=" ".join)
def test_every_command_has_an_action_that_exists(path: tuple[str, ...]) -> None:
    import importlib

    module, _, name = dict(ALL)[path].action.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_first_page_shows_every_command_once() -> None:
    page = overview(ROOT)
    listed = [name for _, names in GROUPS for name in names]
    assert sorted(listed) == sorted(set(listed))
    shown = {c.name for c in ROOT.commands if not c.refuse} - {"container", "image"}
    assert shown == set(listed)
    assert "lading run --rm busybox echo hello" in page


@pytest.mark.parametrize(
    ("typed", "meant"), [("rnu", "run"), ("imags", "images"), ("netwrk", "network"), ("stp", "stop")]
)
def test_a_typing_error_gets_the_nearest_command(
    typed: str, meant: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([typed]) == 125
    assert f"did you mean {meant!r}" in capfd.readouterr().err


def test_lading_alone_is_the_first_page_and_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == overview(ROOT)


def test_the_completion_script_is_bash(capsys: pytest.CaptureFixture[str]) -> None:
    import subprocess

    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert subprocess.run(["bash", "-n"], input=script.encode(), check=False).returncode == 0
    asked = {"net": ["network"], "-": OPTIONS, "''": [c.name for c in ROOT.commands if not c.hidden]}
    for word, answer in asked.items():
        ask = f'COMP_WORDS=(lading {word}); COMP_CWORD=1; _lading; echo "${{COMPREPLY[*]}}"'
        done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, check=True)
        assert done.stdout.split() == answer


def test_help_says_each_choice_once_and_no_default_that_is_no_number_of_anything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["run", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(stdin, stdout, stderr)" in shown and "STDIN" not in shown
    main(["ps", "--help"])
    assert "-1" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    ["volume update x", "start --checkpoint-dir x c", "push --platform a/b i", "rmi --platform a/b i",
     "history --platform a/b i", "image inspect --platform a/b i", "network create --ipv4=false n", "network inspect -v n",
     "volume create --group x v", "pull --disable-content-trust=false i"],
)  # fmt: skip
def test_what_docker_has_and_lading_has_not_is_refused_by_its_name(
    words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 125
    shown = capfd.readouterr().err
    assert "not supported" in shown and shown.count("\n") == 1
