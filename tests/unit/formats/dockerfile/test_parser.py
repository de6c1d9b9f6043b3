"""A Dockerfile becomes typed instructions, whatever the way it is written in."""

from __future__ import annotations

from typing import TypeVar

import pytest

from lading.formats.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Location,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
    parse,
    parse_instruction,
)

Made = TypeVar("Made", bound=Instruction)


def read(*lines: str) -> Dockerfile:
    return parse("\n".join(lines).encode())


def only(kind: type[Made], *lines: str) -> Made:
    """The one instruction behind a FROM."""
    (made,) = read("FROM scratch", *lines).stages[0].instructions
    assert isinstance(made, kind)
    return made


def test_stages_have_names_bases_platforms_and_places() -> None:
    file = read(
        "ARG V=1", "FROM --platform=$BUILDPLATFORM debian:$V AS Build", "RUN x", "", "from build", "RUN y"
    )
    assert [a.definitions[0].name for a in file.args] == ["V"]
    first, second = file.stages
    assert (first.name, first.base, first.platform, first.index) == (
        "build",
        "debian:$V",
        "$BUILDPLATFORM",
        0,
    )
    assert (second.name, second.title, second.base, second.index) == ("", "stage-1", "build", 1)
    assert first.location == Location("Dockerfile", 2, 2)
    assert [i.keyword for i in file] == ["ARG", "FROM", "RUN", "FROM", "RUN"]


def test_a_target_is_found_by_name_in_any_case_or_by_number() -> None:
    file = read("FROM a AS one", "FROM b AS two", "FROM c")
    assert [file.target(name).index for name in ("", "ONE", "two", "0", "2")] == [2, 0, 1, 0, 2]


def test_lines_are_joined_without_comments_and_empty_lines() -> None:
    made = only(Run, "RUN a && \\", "  # why", "", "\t# indented", "    b \\  ", "c")
    assert made.shell == "a &&     b c"
    assert made.location == Location("Dockerfile", 2, 7)
    file = read("FROM a", "RUN x \\", "", "  y", "RUN z")
    assert file.empty_continuations == [4]


@pytest.mark.parametrize(
    ("line", "joined"),
    [
        ("RUN a \\", True),
        ("RUN a\\ \t", True),
        ("RUN a \\\\", False),
        ("RUN a \\ b", False),
        ("RUN a \\\\\\", False),
    ],
)
def test_a_line_goes_on_behind_one_escape_and_blanks(line: str, joined: bool) -> None:
    assert len(read("FROM x", line, "RUN b").stages[0].instructions) == (1 if joined else 2)


def test_the_escape_directive_changes_what_continues_a_line() -> None:
    file = read("# escape=`", "FROM x", "RUN dir C:\\`", "  && dir D:\\", 'ENV A=a`" B=b\\')
    run, env = file.stages[0].instructions
    assert isinstance(run, Run) and isinstance(env, Env)
    assert (file.escape, run.shell) == ("`", "dir C:\\  && dir D:\\")
    assert [(p.name, p.value) for p in env.pairs] == [("A", 'a`"'), ("B", "b\\")]


@pytest.mark.parametrize(
    ("top", "syntax", "check", "escape"),
    [
        (["# syntax=docker/dockerfile:1", "#CHECK = skip=all", "# escape=`"], "docker/dockerfile:1", "skip=all", "`"),
        (["#!/usr/bin/env x", "# check=error=true", "# escape=`"], "", "error=true", "\\"),
        (["# a comment", "# escape=`"], "", "", "\\"), (["", "# escape=`"], "", "", "\\"),
        (["# unknown=x", "# escape=`"], "", "", "\\"),
        (["# escape=", "# check=x"], "", "", "\\"), (["  # escape = ` "], "", "", "`"),
    ],
)  # fmt: skip
def test_directives_stand_at_the_very_top(top: list[str], syntax: str, check: str, escape: str) -> None:
    made = read(*top, "FROM x")
    assert (made.directives.syntax, made.directives.check, made.escape) == (syntax, check, escape)


def test_byte_order_marks_and_carriage_returns_are_no_text() -> None:
    file = parse(b"\xef\xbb\xbf# escape=\\\r\nFROM x\r\nRUN a \\\r\n  b\r\nCOPY <<E /f\r\nline\r\nE\r\n")
    run, copy = file.stages[0].instructions
    assert isinstance(run, Run) and isinstance(copy, Copy)
    assert run.shell == "a   b"
    assert copy.documents[0].content == "line\r\n"  # a document is kept as it is
    assert file.source[3] == "  b"


def test_bytes_that_are_no_utf8_survive() -> None:
    made = parse(b"FROM x\nCOPY <<E /f\n\xff\xfe\nE\n").stages[0].instructions[0]
    assert isinstance(made, Copy)
    assert made.documents[0].content.encode("utf-8", "surrogateescape") == b"\xff\xfe\n"


def test_comments_right_above_an_instruction_belong_to_it() -> None:
    file = read("# first", "", "# V the version", "ARG V", "#", "# second", "FROM x", "RUN y")
    assert file.args[0].comments == ("first", "", "V the version")
    assert file.stages[0].comments == ("second",)
    assert file.stages[0].instructions[0].comments == ()


def test_arguments_have_defaults_or_none() -> None:
    made = only(Arg, "ARG A B= C=1 D=\"two words\" E='x=y'")
    assert [(d.name, d.value) for d in made.definitions] == [
        ("A", None), ("B", ""), ("C", "1"), ("D", '"two words"'), ("E", "'x=y'"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        ("ENV A=1 B=2", [("A", "1", False), ("B", "2", False)]),
        ("ENV A  b  c=d", [("A", "b  c=d", True)]),
        ("ENV A=a\\ b C='d e'\"f g\"", [("A", "a\\ b", False), ("C", "'d e'\"f g\"", False)]),
        ('ENV A= B=""', [("A", "", False), ("B", '""', False)]),
        ("ENV A=b\\", [("A", "b", False)]),
        ("env a\tb", [("a", "b", True)]),
    ],
)
def test_pairs_are_written_with_equals_signs_or_with_a_space(
    line: str, pairs: list[tuple[str, str, bool]]
) -> None:
    made = only(Env, line)
    assert [(p.name, p.value, p.legacy) for p in made.pairs] == pairs


def test_labels_are_pairs_and_maintainer_is_the_rest_of_the_line() -> None:
    made = only(Label, 'LABEL "com.example.a"="b c" d=e')
    assert [(p.name, p.value) for p in made.pairs] == [('"com.example.a"', '"b c"'), ("d", "e")]
    assert only(Maintainer, "MAINTAINER  Ada  <a@b>").author == "Ada  <a@b>"


@pytest.mark.parametrize(
    ("line", "exec_", "shell"),
    [
        ("a b | c", None, "a b | c"), ('["a", "b c"]', ["a", "b c"], ""), ("['a']", None, "['a']"), ('["a"', None, '["a"'),
        ('["a"] b', None, '["a"] b'), ('["\\u00e9\\n"]', ["é\n"], ""), ("[ ]", [], ""), ('  [ "a" ]  ', ["a"], ""),
    ],
)  # fmt: skip
def test_a_command_is_a_json_list_or_text_for_the_shell(
    line: str, exec_: list[str] | None, shell: str
) -> None:
    for keyword in ("CMD", "ENTRYPOINT"):
        kind = Cmd if keyword == "CMD" else Entrypoint
        made = only(kind, f"{keyword} {line}")
        assert (made.exec, made.shell) == (exec_, shell)
    assert only(Cmd, "CMD a b").argv(["/bin/sh", "-c"]) == ["/bin/sh", "-c", "a b"]


def test_run_has_flags_before_its_command() -> None:
    made = only(
        Run, "RUN --mount=type=tmpfs,target=/t --mount=type=cache,target=/c --network=none --security=insecure "
        "--device=v.com/c=gpu,required -- --x"
    )  # fmt: skip
    assert [m.type for m in made.mounts] == ["tmpfs", "cache"]
    assert (made.network, made.security, made.shell) == ("none", "insecure", "--x")
    assert [(d.name, d.required) for d in made.devices] == [("v.com/c=gpu", True)]
    assert made.flags == ["device", "mount", "network", "security"]
    plain = only(Run, "RUN x --network=none")
    assert (plain.network, plain.security, plain.flags, plain.mounts) == ("default", "sandbox", [], [])


def test_quotes_and_escapes_in_flags_are_resolved() -> None:
    made = only(Copy, "COPY --chown=\"a b\":'c' --exclude=x\\ y --exclude=é /a /b")
    assert (made.chown, made.exclude, made.sources, made.destination) == ("a b:c", ["x y", "é"], ["/a"], "/b")


def test_copy_and_add_have_sources_a_destination_and_flags() -> None:
    copy = only(
        Copy, "COPY --from=0x --chown=1:2 --chmod=u=rwX,go=rX --link --parents=true --exclude=*.md a b c/"
    )
    assert (copy.from_, copy.chown, copy.chmod, copy.link, copy.parents) == (
        "0x",
        "1:2",
        "u=rwX,go=rX",
        True,
        True,
    )
    assert (copy.sources, copy.destination, copy.exclude) == (["a", "b"], "c/", ["*.md"])
    assert only(Copy, 'COPY ["a b", "c"]').sources == ["a b"]
    add = only(Add, "ADD --keep-git-dir --unpack=false --checksum=sha256:" + "0" * 64 + " https://x/y /z")
    assert (add.keep_git_dir, add.unpack, add.link) == (True, False, False)
    plain = only(Add, "ADD a b")
    assert (plain.keep_git_dir, plain.unpack, plain.checksum) == (None, None, "")


def test_the_rest_of_the_line_is_one_word_for_workdir_user_and_stopsignal() -> None:
    assert only(Workdir, "WORKDIR /a b").path == "/a b"
    assert only(User, "USER a:b").user == "a:b"
    assert only(Stopsignal, "STOPSIGNAL SIGRTMIN+3").signal == "SIGRTMIN+3"


def test_ports_volumes_and_shells_are_lists() -> None:
    assert only(Expose, "EXPOSE 90-92/udp 80 $PORT").ports == ["$PORT", "80", "90-92/udp"]
    assert only(Volume, "VOLUME /a /b").paths == ["/a", "/b"]
    assert only(Volume, 'VOLUME [" /a b "]').paths == ["/a b"]
    assert only(Shell, 'SHELL ["/bin/bash", "-c"]').words == ["/bin/bash", "-c"]


def test_health_checks_have_times_in_nanoseconds() -> None:
    made = only(
        Healthcheck, "HEALTHCHECK --interval=1m30s --timeout=5s --start-period=1h --start-interval=100ms --retries=3 "
        "cmd curl -f /"
    )  # fmt: skip
    assert (made.interval, made.timeout, made.start_period) == (
        90_000_000_000,
        5_000_000_000,
        3_600_000_000_000,
    )
    assert (made.start_interval, made.retries) == (100_000_000, 3)
    assert made.test == ["CMD-SHELL", "curl -f /"]
    assert only(Healthcheck, 'HEALTHCHECK CMD ["a"]').test == ["CMD", "a"]
    assert only(Healthcheck, "HEALTHCHECK none").test == ["NONE"]


def test_a_trigger_is_checked_at_once_and_kept_as_text() -> None:
    made = only(Onbuild, "onbuild  copy --chmod=644 <<E /x", "hello", "E")
    assert isinstance(made.trigger, Copy)
    assert made.trigger.documents[0].content == "hello\n"
    assert made.expression == "copy --chmod=644 <<E /x\nhello\nE"
    again = parse_instruction(made.expression, Location("Dockerfile", 9, 9))
    assert isinstance(again, Copy)
    assert (again.documents[0].content, again.location.first) == ("hello\n", 9)


def test_a_trigger_of_an_image_is_one_instruction() -> None:
    made = parse_instruction("RUN cat <<EOF\nhello\nEOF")
    assert isinstance(made, Run)
    assert made.shell_text == "cat <<EOF\nhello\nEOF"


def test_dockers_own_frontends_mean_this_language() -> None:
    for image in (
        "docker/dockerfile:1",
        "docker.io/docker/dockerfile-upstream:master-labs",
        "r.example:5000/dockerfile@sha256:0",
    ):
        assert read(f"# syntax={image}", "FROM x").directives.syntax == image
