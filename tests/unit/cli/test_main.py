"""Where every command begins: what is a global option, and what belongs to the command or its container."""

from __future__ import annotations

import pytest

from lading.cli.main import main


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LADING_DEBUG", raising=False)


@pytest.mark.parametrize(
    "words", [["logs", "web", "-D"], ["run", "-D", "busybox"], ["run", "--cpus=x", "busybox", "cc", "-D"]]
)
def test_a_debug_flag_that_is_not_ladings_own_asks_for_no_traceback(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 125
    shown = capfd.readouterr().err
    assert "Traceback" not in shown and shown.count("\n") == 1
    assert shown.startswith(f"lading {words[0]}: ")


@pytest.mark.parametrize("words", [["--debug"], ["-D"], ["--log-level", "debug"]])
def test_a_debug_flag_before_the_command_shows_where_an_error_comes_from(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "run", "--cpus=x", "busybox"]) == 125
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize("words", [["-v", "ps"], ["--version", "run", "--nonsense"], ["--version"]])
def test_version_is_answered_whatever_follows(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capfd.readouterr().out.startswith("lading version ")


@pytest.mark.parametrize("words", [["x" * 130000], ["ps", "x" * 130000], ["ps", "--" + "x" * 130000]])
def test_a_very_long_argument_is_not_said_whole(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 125
    shown = capfd.readouterr().err
    assert len(shown) < 2100 and shown.count("\n") == 1
    assert (shown.startswith("lading") and "--help'" in shown) or "usage: lading ps" in shown


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["rkt", "nonsense"], 254),
        (["rkt", "--nonsense"], 254),
        (["rkt", "run", "--nonsense"], 254),
        (["rkt", "run", "--stage1-path=x", "y"], 254),
        (["rkt", "run", "y", "--nonsense"], 254),
        (["rkt", "run"], 254),
        (["nonsense", "rkt"], 125),
        (["run", "--nonsense", "rkt"], 125),
    ],
)
def test_a_group_may_have_a_status_of_its_own_for_what_is_refused(
    words: list[str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    assert capfd.readouterr().err.count("\n") == 1
