"""The command-line grammar: what pflag and urfave/cli users may write, and what they are told when it is
wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lading import flags
from lading.errors import Unsupported
from lading.flaghelp import help_text
from lading.flags import Command, Flag, UsageError, parse

RUN = Command(
    "run",
    "Run a container",
    "IMAGE [COMMAND] [ARG...]",
    interspersed=False,
    flags=(
        Flag("detach", "d", "bool", help="Run in the background"),
        Flag("interactive", "i", "bool"),
        Flag("tty", "t", "bool"),
        Flag("publish", "p", "list", "PORT", "Publish a port"),
        Flag("env", "e", "list"),
        Flag("memory", "m", "str", "BYTES", "Memory limit"),
        Flag("pids-limit", "", "int", unset=True),
        Flag("hostname", "h"),
        Flag("network", "", "str", aliases=("net",), default="bridge", help="Connect to a network"),
        Flag("pull", "", choices=("always", "missing", "never"), default="missing"),
        Flag("isolation", "", refuse="only Windows has it"),
        Flag("trusting", "", "bool", default=True, refuse="there is nothing to distrust with"),
        Flag("attach", "a", "list", choices=("stdin", "stdout"), fold=True),
        Flag("latest", "", "str", no_value="newest"),
        Flag("secret-thing", "", "bool", hidden=True),
    ),
)
RM = Command(
    "rm", "Remove containers", "CONTAINER...", flags=(Flag("force", "f", "bool"),), aliases=("remove",)
)
RENAME = Command("rename", "Rename", "CONTAINER NAME")
POD = Command(
    "pod", "Pods", commands=(Command("run", "Run a pod", "FILE"), Command("ps", "List pods", "[NAME]"))
)
ROOT = Command(
    "lading",
    flags=(Flag("root", "", "str", "DIR"), Flag("version", "v", "bool")),
    commands=(RUN, RM, RENAME, POD, Command("checkpoint", refuse="there is no CRIU support")),
)


@pytest.mark.parametrize(
    "words", [["-p", "80:80"], ["-p80:80"], ["-p=80:80"], ["--publish", "80:80"], ["--publish=80:80"]]
)
def test_a_value_may_follow_be_joined_or_stand_behind_an_equals_sign(words: list[str]) -> None:
    assert parse(ROOT, ["run", *words, "img"])["publish"] == ["80:80"]


def test_short_truth_values_group_and_the_last_of_a_group_may_take_a_value() -> None:
    parsed = parse(ROOT, ["run", "-itp", "1:2", "-dm64m", "img"])
    assert (parsed["interactive"], parsed["tty"], parsed["detach"]) == (True, True, True)
    assert parsed["publish"] == ["1:2"]
    assert parsed["memory"] == "64m"


def test_a_truth_value_never_eats_the_next_argument() -> None:
    parsed = parse(ROOT, ["run", "--detach", "false"])
    assert parsed["detach"] is True
    assert parsed.args == ["false"]
    assert parse(ROOT, ["run", "--detach=false", "-t=0", "i"])["detach"] is False


def test_a_value_may_start_with_a_dash() -> None:
    assert parse(ROOT, ["run", "--pids-limit", "-1", "img"])["pids-limit"] == -1


def test_one_dash_means_short_names_unless_the_root_says_otherwise() -> None:
    parsed = parse(ROOT, ["run", "-detach", "img"])
    assert (parsed["detach"], parsed["env"]) == (True, ["tach"])


def test_flags_end_at_the_first_argument_of_a_command_that_says_so() -> None:
    assert parse(ROOT, ["run", "img", "ls", "-d", "--", "x"]).args == ["img", "ls", "-d", "--", "x"]


def test_flags_and_arguments_mix_elsewhere_until_two_dashes() -> None:
    parsed = parse(ROOT, ["rm", "a", "-f", "b", "--", "-f"])
    assert parsed["force"] is True
    assert parsed.args == ["a", "b", "-f"]


def test_global_flags_stand_before_the_subcommand_and_are_kept_apart() -> None:
    parsed = parse(ROOT, ["--root", "/x", "pod", "run", "f.yaml"])
    assert parsed.globals["root"] == "/x"
    assert [c.name for c in parsed.path] == ["lading", "pod", "run"]
    with pytest.raises(UsageError, match="unknown flag --root"):
        parse(ROOT, ["rm", "--root", "/x", "a"])


def test_absent_flags_have_defaults() -> None:
    parsed = parse(ROOT, ["run", "--net", "none", "img"])
    assert parsed["network"] == "none"
    assert parsed["pull"] == "missing"
    assert parsed["pids-limit"] is None
    assert parsed["publish"] == []


def test_a_repeated_scalar_takes_the_last_and_lists_do_not_leak_between_parses() -> None:
    parsed = parse(ROOT, ["run", "-m", "1", "-m", "2", "-e", "A=1", "-e", "B=2", "img"])
    assert parsed["memory"] == "2"
    assert parsed["env"] == ["A=1", "B=2"]
    assert parse(ROOT, ["run", "img"])["env"] == []


def test_a_flag_with_optional_value_takes_it_only_after_an_equals_sign() -> None:
    assert parse(ROOT, ["run", "--latest", "img"])["latest"] == "newest"
    assert parse(ROOT, ["run", "--latest=3", "img"])["latest"] == "3"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--publsh", "1", "i"], "lading run: unknown flag --publsh: did you mean --publish?"),
        (["run", "--hlep"], "lading run: unknown flag --hlep: did you mean --help?"),
        (["run", "--pub", "1", "i"], "unknown flag --pub: did you mean --publish?"),
        (["run", "-x", "i"], "lading run: unknown flag -x"),
        (["run", "--pids-limit", "many", "i"], "--pids-limit: expected an integer, found 'many'"),
        (["run", "--tty=maybe", "i"], "--tty: expected true or false"),
        (["run", "--pull", "often", "i"], "--pull: 'often' is not one of always, missing, never"),
        (["run", "-m"], "lading run: -m needs a value"),
        (["run"], "lading run: IMAGE is missing"),
        (["rm"], "lading rm: CONTAINER is missing"),
        (["rename", "a"], "lading rename: NAME is missing"),
        (["rename", "a", "b", "c"], "unexpected argument 'c'"),
        (["rnu", "i"], "unknown command 'rnu': did you mean 'run'?"),
        (["pod", "rnu"], "lading pod: unknown command 'rnu'"),
        ([], "lading: a command is missing"),
        (["pod"], "lading pod: a command is missing"),
    ],
)
def test_a_mistake_is_one_clear_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(ROOT, words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 125


def test_what_is_known_and_not_supported_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="--isolation: only Windows has it"):
        parse(ROOT, ["run", "--isolation", "hyperv", "img"])
    with pytest.raises(Unsupported, match="lading checkpoint: there is no CRIU support"):
        parse(ROOT, ["checkpoint", "x"])


@pytest.mark.parametrize("value", ["false", "0", "hyperv", ""])
def test_a_refused_flag_that_takes_a_text_is_refused_whatever_the_text(value: str) -> None:
    with pytest.raises(Unsupported, match="--isolation: only Windows has it"):
        parse(ROOT, ["run", f"--isolation={value}", "img"])


def test_a_refused_truth_value_may_say_what_is_so_anyway() -> None:
    for words in (["--trusting"], ["--trusting=1"], ["--trusting=True"]):
        assert parse(ROOT, ["run", *words, "img"])["trusting"] is True
    for words in (["--trusting=false"], ["--trusting=0"], ["--trusting=F"]):
        with pytest.raises(Unsupported, match="nothing to distrust"):
            parse(ROOT, ["run", *words, "img"])


@pytest.mark.parametrize(
    "text", ["1_000", " 5", "5 ", "\uff15", "²", "", "-", "0x", "9" * 30, "9" * 5000, str(2**63)]
)
def test_a_number_is_digits_of_ascii_within_64_bits(text: str) -> None:
    with pytest.raises(UsageError, match="expected an integer") as caught:
        parse(ROOT, ["run", "--pids-limit", text, "img"])
    assert len(str(caught.value)) < 200
    assert parse(ROOT, ["run", "--pids-limit", "+0x10", "img"])["pids-limit"] == 16
    assert parse(ROOT, ["run", "--pids-limit", "010", "img"])["pids-limit"] == 10


def test_words_to_choose_from_may_be_in_capitals_where_the_table_says_so() -> None:
    assert parse(ROOT, ["run", "-a", "STDIN", "img"])["attach"] == ["stdin"]
    with pytest.raises(UsageError, match="'Always' is not one of"):
        parse(ROOT, ["run", "--pull", "Always", "img"])


def test_long_names_after_one_dash_where_the_root_allows_them() -> None:
    create = Command(
        "create",
        "",
        "ID",
        flags=(Flag("bundle", "b"), Flag("no-pivot", "", "bool"), Flag("all", "a", "bool")),
    )
    root = Command("rt", commands=(create,), flags=(Flag("root"),), single_dash=True)
    parsed = parse(root, ["-root", "/r", "create", "-bundle", "/b", "x", "-no-pivot=true", "--a"])
    assert parsed.globals["root"] == "/r"
    assert (parsed["bundle"], parsed["no-pivot"], parsed["all"]) == ("/b", True, True)
    assert parse(root, ["create", "-bundle=/b", "x"])["bundle"] == "/b"
    assert parse(root, ["create", "-b", "/b", "x"])["bundle"] == "/b"
    assert parse(root, ["create", "-help"]).help


def test_help_is_asked_by_flag_or_word_and_checks_nothing_else() -> None:
    assert parse(ROOT, ["--help"]).help
    assert parse(ROOT, ["rm", "-h"]).command is RM
    assert parse(ROOT, ["help", "pod", "run"]).path[-1].name == "run"
    assert parse(ROOT, ["run", "--help", "--nonsense"]).help
    assert (
        parse(ROOT, ["run", "-h", "web", "img"])["hostname"] == "web"
    )  # -h is the command's own where it has one


def test_version_needs_no_command() -> None:
    assert parse(ROOT, ["--version"])["version"] is True
    assert parse(ROOT, ["-v", "rm", "-x"])["version"] is True
    assert parse(ROOT, ["--version=false", "rm", "a"]).command is RM


def test_the_help_is_aligned_wrapped_and_hides_what_is_hidden() -> None:
    text = help_text((ROOT, RUN), 60)
    lines = text.splitlines()
    assert lines[0] == "Usage: lading run [OPTIONS] IMAGE [COMMAND] [ARG...]"
    assert all(len(line) <= 60 for line in lines)
    assert any(
        line.startswith("  -d, --detach ") and line.endswith("Run in the background") for line in lines
    )
    assert "(default bridge)" in text
    assert "secret-thing" not in text and "--net " not in text and "isolation" not in text
    assert "checkpoint" not in help_text((ROOT,), 80)
    assert "Run a pod" in help_text((ROOT, POD), 80)


def test_flags_given_as_a_function_are_made_only_for_the_command_used() -> None:
    made: list[str] = []

    def rows() -> tuple[Flag, ...]:
        made.append("x")
        return (Flag("a", "", "bool"),)

    root = Command("r", commands=(Command("one", flags=rows), Command("two")))
    parse(root, ["two"])
    assert made == []
    assert parse(root, ["one", "--a"])["a"] is True
    assert made == ["x"]


def test_the_module_brings_no_heavy_import() -> None:
    code = (
        "import sys; import lading.flags; "
        "print(sorted({'re','enum','typing','argparse','dataclasses','json'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-S", "-E", "-c", f"import sys; sys.path[:0]={sys.path!r}; {code}"],
        capture_output=True,
        text=True,
    )
    assert out.stdout.strip() == "[]", out.stderr


def test_nearest_finds_swaps_and_gives_up_on_strangers() -> None:
    assert flags.nearest("rnu", ["run", "rm"]) == "run"
    assert flags.nearest("zebra", ["run", "rm"]) == ""
    assert flags.nearest("a" * 100_000, ["a" * 100_001]) == ""


def _group(persistent: bool) -> Command:
    def own() -> list[Flag]:
        return [Flag("dir", unset=True), Flag("leave", "", "list"), Flag("debug", "D", "bool", unset=True)]

    verbs = [
        Command("go", arguments="[X...]", flags=[Flag("own"), Flag("leave", "", "list")], action="a:b"),
        Command("in", commands=[Command("deep", action="a:b")]),
    ]
    group = Command("g", flags=own, commands=verbs, persistent=persistent)
    return Command("p", commands=[group], flags=[Flag("debug", "", "bool")])


def test_flags_of_a_group_stand_behind_its_commands_where_it_says_so() -> None:
    parsed = parse(
        _group(True), ["--debug", "g", "--leave=a", "go", "x", "--dir", "/d", "--own=1", "--leave=b", "-D"]
    )
    assert parsed.globals == {"debug": True, "dir": "/d", "leave": ["a"]}
    assert parsed.values == {"own": "1", "leave": ["b"]} and parsed.args == ["x"]
    deep = parse(_group(True), ["--debug", "g", "in", "--dir=/a", "deep", "--leave=c", "--leave=d"])
    assert deep.globals == {"debug": True, "dir": "/a", "leave": ["c", "d"]} and deep.values == {}
    with pytest.raises(UsageError, match="--dir"):
        parse(_group(False), ["g", "go", "--dir=/d"])
