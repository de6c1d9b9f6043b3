"""A mistake names file and line, shows the line, says why, and what to write instead. There is never a traceback."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.dockerfile import (
    Dockerfile,
    DockerfileError,
    Expander,
    Location,
    Stage,
    parse,
    parse_instruction,
)
from lading.formats.dockerfile.lines import LARGEST, LONGEST_LINE, MOST_INSTRUCTIONS
from lading.formats.dockerfile.linter import report

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)


def mistake(*lines: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        parse("\n".join(lines).encode(), "build/Dockerfile")
    return caught.value


@pytest.mark.parametrize(
    ("line", "words", "hint"),
    [
        ("RUNN x", "unknown instruction 'RUNN'", "did you mean RUN?"),
        ("apt-get update", "unknown instruction", "escape character"),
        ("<html>", "unknown instruction", "is this file a Dockerfile?"),
        ("COPY --form=x a b", "COPY has no flag --form", "--from?"),
        ("RUN --from=x y", "RUN has no flag --from", "a flag of COPY"),
        ("USER --x y", "USER has no flag --x", "USER has no flags"),
        ("RUN --qqqqqq x", "no flag --qqqqqq", "--device, --mount"),
        ("COPY --link=maybe a b", "true or false, not 'maybe'", "--link=false"),
        ("COPY --chown a b", "--chown wants a value", "--chown=VALUE"),
        ("COPY --chmod=1 --chmod=2 a b", "given twice", "leave one out"),
        ("COPY a", "a source and a destination", "COPY a /app/"), ("ADD", "a source and a destination", "ADD file /app/"),
        ("COPY a b c", "several sources to 'c', which is a file", "c/"), ("COPY https://x/y /z", "takes no URL", "ADD"),
        ("COPY git@x.org:a/b.git /z", "takes no URL", "ADD"), ("COPY --chmod=888 a b", "not a mode", "0755"),
        ("COPY --chmod=77777 a b", "between 0 and 07777", "u=rwX"), ("COPY --chmod=u+q a b", "'q' in 'u+q'", "u=rwX"),
        ("COPY --from=$X a b", "variables are not expanded", "FROM image:$VERSION AS name"),
        ("COPY --from= a b", "--from is empty", "stage"),
        ("ADD --checksum=sha256:1 https://x/y /z", "not a digest", "64 hexadecimal"),
        ("ADD --checksum=sha256:1 a b", "for what is fetched", ""),
        ("ADD --checksum=zz https://x/y.git /z", "is a commit", "40 hexadecimal"),
        ("ADD --checksum=x https://a/b https://c/d /z/", "one source", ""),
        ("RUN", "RUN wants a command", "RUN apt-get update"), ("RUN []", "the list is empty", "program"),
        ("CMD", "wants a command", "CMD []"),
        ("CMD [1]", "1 in '[1]' is not a string", "strings alone"), ("RUN [\"a\\u0000\"]", "a NUL character", "no program"),
        ("RUN --network=hots x", "--network=hots is unknown", "did you mean host?"),
        ("RUN --security=x y", "--security=x is unknown", "sandbox"),
        ("SHELL /bin/sh", "it does not begin with [", 'SHELL ["/bin/bash", "-c"]'), ("SHELL ['a']", "double quotes", "SHELL"),
        ("SHELL []", "the list is empty", "SHELL"), ("ENV", "ENV wants name=value", "ENV name=value"),
        ("ENV A", "the value is missing", "ENV A=value"),
        ("ENV A=b c", "'c' has no =", "two words"), ("ENV =b", "the name before '=b'", "ENV name=value"),
        ("LABEL a=b =c", "name before", "LABEL"),
        ("ARG", "ARG wants a name", "ARG VERSION"), ("ARG =x", "the name is missing", "ARG NAME=value"),
        ("WORKDIR", "wants a path", "WORKDIR /app"),
        ("USER", "wants a user", "USER nobody"), ("MAINTAINER", "wants a name", "authors"),
        ("EXPOSE", "wants a port", "EXPOSE 80"),
        ("EXPOSE http", "'http' is not a port", "EXPOSE 80"), ("EXPOSE 80/icmp", "not tcp, udp or sctp", "53/udp"),
        ("EXPOSE 70000", "65535", ""),
        ("EXPOSE 9-8", "ends before it begins", ""), ("EXPOSE x:80:80", "not an IP address", ""),
        ("EXPOSE /tcp", "the port is missing", ""),
        ("VOLUME", "wants a path", "VOLUME /data"), ('VOLUME ["", "/a"]', "a path is empty", '["/data"]'),
        ("VOLUME []", "a path is empty", ""),
        ("STOPSIGNAL", "wants a signal", "SIGTERM"), ("STOPSIGNAL SIGNOPE", "SIGNOPE", "SIGTERM"),
        ("HEALTHCHECK", "CMD or NONE", "curl"),
        ("HEALTHCHECK curl x", "'curl' is neither CMD nor NONE", "HEALTHCHECK CMD curl"),
        ("HEALTHCHECK CMD", "wants a command", "curl"),
        ("HEALTHCHECK NONE x", "no arguments", ""), ("HEALTHCHECK --retries=1 NONE", "no flags", ""),
        ("HEALTHCHECK --timeout=5 CMD x", "--timeout", "30s"),
        ("HEALTHCHECK --interval=1us CMD x", "less than 1ms", ""),
        ("HEALTHCHECK --retries=-1 CMD x", "not a number of times", "--retries=3"),
        ("ONBUILD", "wants an instruction", "ONBUILD RUN"),
        ("ONBUILD ONBUILD RUN x", "ONBUILD ONBUILD is not allowed", "any other"),
        ("ONBUILD from x", "ONBUILD FROM is not allowed", ""), ("ONBUILD MAINTAINER x", "is not allowed", ""),
        ("ONBUILD COPPY a b", "'COPPY'", "COPY?"),
        ("FROM", "wants an image", "FROM debian"), ("FROM a b", "not 2 words", "FROM image AS name"),
        ("FROM a AS 1x", "stage name '1x'", "AS build-1"),
        ("FROM a AS b c", "not 4 words", ""), ("FROM --platform= a", "--platform is empty", "linux/amd64"),
        ("FROM a AS b/c", "stage name", ""),
    ],
)  # fmt: skip
def test_a_mistake_says_why_and_what_to_write(line: str, words: str, hint: str) -> None:
    error = mistake("FROM scratch", "RUN true", line, "RUN false")
    assert words in error.why
    assert hint in error.hint
    assert str(error).startswith(f"build/Dockerfile:3: {error.why}")
    assert "\n" not in str(error)
    assert f"> 3 │ {line}" in error.render()


@pytest.mark.parametrize(
    "line",
    [
        "EXPOSE 80 # web",
        "COPY a /b # c",
        "FROM a AS b # c",
        "ENV A=b # c",
        "LABEL a=b #c",
        "STOPSIGNAL TERM # c",
    ],
)
def test_a_comment_behind_an_instruction_is_told_as_one(line: str) -> None:
    assert "a comment has a line of its own" in mistake("FROM scratch", line).hint


def test_the_words_in_question_are_marked() -> None:
    error = mistake("FROM scratch", "COPY a \\", "\t--x=é b \\", "  c", "USER a")
    assert error.render() == "\n".join(
        [
            "build/Dockerfile:2-4: COPY of several sources to 'c', which is a file",
            "  1 │ FROM scratch",
            "> 2 │ COPY a \\",
            "> 3 │     --x=é b \\",
            "> 4 │   c",
            "    │   ^",
            "  5 │ USER a",
            "end a directory with a slash: c/",
        ]
    ).replace("> 2 │ COPY a \\", "> 2 │ COPY a \\")


def test_of_a_long_instruction_the_middle_is_left_out() -> None:
    shown = mistake("FROM scratch", "RUN --bad \\", *["  a && \\"] * 20, "  b").render().split("\n")
    assert shown[2:5] == [">  2 │ RUN --bad \\", "     │     ^^^^^", ">  3 │   a && \\"]
    assert "     │ …" in shown
    assert len(shown) < 14


def test_what_does_not_print_is_shown_as_one_sign() -> None:
    error = mistake("FROM scratch", "RUNN \x1b[31m\x07" + "x" * 500)
    assert "\x1b" not in error.render() and "\x07" not in error.render()
    assert max(len(row) for row in error.render().split("\n")) < 200


@pytest.mark.parametrize(
    "line",
    [
        "RUN --network=\x1b[2J x",
        "COPY --chmod=\x1b7 a b",
        "ENV \x1b",
        "COPY a b \x07c",
        "RUN --mount=type=\x1b,target=/ x",
        "FROM a AS \x1b",
    ],
)
def test_a_terminal_gets_no_control_characters(line: str) -> None:
    error = mistake("FROM scratch", line)
    assert (str(error) + error.hint).isprintable()
    assert all(row.isprintable() for row in error.render().split("\n"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no instruction"), (b"# only\n\n", "no instruction"), (b"ARG A=1\n", "no FROM"),
        (b"RUN x\n", "RUN before the first FROM"),
        (b"FROM x\nRUN a\0b\n", "a NUL character"), (b"\xff\xfeF\0R\0", "UTF-16"),
        (b"# escape=x\nFROM a\n", "neither a backslash nor"),
        (b"# escape=`\n# Escape=`\nFROM a\n", "given twice"),
        (b"# syntax=example.com/lang:1\nFROM a\n", "a language of its own"),
    ],
)  # fmt: skip
def test_a_file_as_a_whole_may_be_a_mistake(data: bytes, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(data)
    assert words in str(caught.value)
    assert isinstance(caught.value, DockerfileError)
    assert caught.value.location is not None


def test_another_language_is_refused_by_its_name() -> None:
    error = mistake("# syntax=example.com/lang:1", "FROM a")
    assert (error.reason, error.location) == ("unsupported", Location("build/Dockerfile", 1, 1))


def test_sizes_have_limits() -> None:
    for data in (
        b"FROM a\n" + b"#" * LARGEST,
        b"FROM a\nRUN " + b"x" * LONGEST_LINE,
        b"FROM a\nRUN x" + b" \\\n y" * LONGEST_LINE,
        b"FROM a\n" * (MOST_INSTRUCTIONS + 1),
    ):
        with pytest.raises(DockerfileError) as caught:
            parse(data)
        assert len(caught.value.render()) < 2000


def test_a_target_that_does_not_exist_has_a_near_one() -> None:
    file = parse(b"FROM a AS build\nFROM b AS test\n")
    for name, hint in (
        ("biuld", "did you mean build?"),
        ("zzzzzz", "the stages are build, test"),
        ("7", "the stages are"),
    ):
        with pytest.raises(DockerfileError) as caught:
            file.target(name)
        assert hint in caught.value.hint
        assert caught.value.reason == "not-found"


def test_sources_are_stages_above_images_or_contexts() -> None:
    file = parse(
        b"FROM a AS one\nFROM b AS two\nCOPY --from=ONE a b\nRUN --mount=from=0 x\nFROM c AS three\n"
    )
    stage = file.stages[1]
    copy, run = stage.instructions
    for name, index in (("ONE", 0), ("0", 0), ("nginx:1", None)):
        found = file.source_stage(name, stage, copy)
        assert (found.index if found is not None else None) == index
    assert file.source_stage("0", stage, run) is None  # a number is a stage for COPY alone
    for name, words in (
        ("1", "no stage 1"),
        ("9", "stages 0 to 0"),
        ("two", "is this stage itself"),
        ("three", "begins later, on line 5"),
    ):
        with pytest.raises(DockerfileError) as caught:
            file.source_stage(name, stage, copy)
        assert words in caught.value.why
        assert caught.value.render().count("│") > 1


def test_of_two_stages_with_one_name_the_nearer_above_is_meant() -> None:
    file = parse(b"FROM a AS x\nFROM b AS x\nFROM c\nCOPY --from=x a b\nFROM d AS x\n")
    found = file.source_stage("x", file.stages[2], file.stages[2].instructions[0])
    assert found is file.stages[1]


def test_a_trigger_is_told_at_the_stage_that_has_it() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_instruction("RUNN x", Location("Dockerfile", 4, 4), source=["", "", "", "FROM base"])
    assert str(caught.value).startswith("Dockerfile:4: unknown instruction")
    for text in ("FROM x", "ONBUILD RUN x", "MAINTAINER x", "RUN x\nRUN y", ""):
        with pytest.raises(DockerfileError):
            parse_instruction(text)


def test_a_mistake_after_expansion_is_told_at_the_instruction() -> None:
    file = parse(b"FROM x\nARG M\n\nCOPY --chmod=$M a b\nSTOPSIGNAL $M\nEXPOSE $M/x\n")
    copy, signal = file.stages[0].instructions[1:3]
    for made, line in ((copy, 4), (signal, 5)):
        with pytest.raises(DockerfileError) as caught:
            made.expanded(Expander({"M": "nope"}.get))
        assert caught.value.location == Location("Dockerfile", line, line)


def test_a_word_is_marked_where_it_stands_alone() -> None:
    error = DockerfileError("x", token="x").at(Location("D", 1, 1), ["COPY --exclude=xy ext/x.txt x /x"])
    assert error.render().split("\n")[2].index("^") == error.render().split("\n")[1].index(" x /") + 1
    error = DockerfileError("x", token="xt").at(Location("D", 1, 1), ["COPY ext y"])
    assert error.render().split("\n")[2].index("^") == error.render().split("\n")[1].index("xt ")


PIECES = st.sampled_from(
    [
        "FROM a", "FROM b AS c", "RUN", "COPY", "ADD", "ENV", "LABEL", "ARG", "CMD", "SHELL", "ONBUILD", "HEALTHCHECK",
        "EXPOSE", "VOLUME",
        "STOPSIGNAL", "USER", "WORKDIR", "MAINTAINER", " ", "\n", "\\\n", "\\", "`", "#", "# escape=`\n",
        "# check=skip=all\n", "'", '"', "[", "]",
        '["a"]', "<<E", "<<-'E'", "\nE\n", "=", "a=b", "$A", "${A:-", "}", "--from=c", "--mount=type=cache,target=/x",
        "--chmod=644", "--link",
        "a", "b/", "80/tcp", "NONE", "\t", "\r\n", "é", "\x00", "\udcff", "--", "--interval=1s",
    ]
)  # fmt: skip


def look(file: Dockerfile) -> None:
    """Everything that is made of a parsed file is made or refused, and stands where it says."""
    for instruction in file:
        assert 1 <= instruction.location.first <= instruction.location.last <= len(file.source)
        assert repr(instruction)
        if isinstance(instruction, Stage):
            assert instruction is file.stages[instruction.index]
        try:
            instruction.expanded(Expander(lambda name: "x y" if name == "A" else None, file.escape))
        except DockerfileError as error:
            assert error.location == instruction.location
    report(file)


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.lists(PIECES, max_size=40).map(" ".join))
def test_any_text_is_a_dockerfile_or_a_mistake(text: str) -> None:
    for data in (text, "FROM a\n" + text):
        try:
            look(parse(data.encode("utf-8", "surrogateescape")))
        except DockerfileError as error:
            assert error.location is not None
            assert str(error).isprintable()
            assert all(row.isprintable() for row in error.render().split("\n"))


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.binary(max_size=300))
def test_any_bytes_are_a_dockerfile_or_a_mistake(data: bytes) -> None:
    for text in (data, b"FROM a\nRUN " + data, b"FROM a\nCOPY <<E /x\n" + data + b"\nE\n"):
        try:
            look(parse(text))
        except DockerfileError as error:
            assert error.render()
