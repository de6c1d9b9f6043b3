"""Every rule of the linter speaks where it should, and is silent where a file or a comment says so."""

from __future__ import annotations

import time

import pytest

from lading.formats.dockerfile import DockerfileError, parse
from lading.formats.dockerfile.ignore import Ignore
from lading.formats.dockerfile.linter import report
from lading.formats.dockerfile.rules import RULES, Warning, parsed


def warnings(*lines: str, **more: object) -> list[Warning]:
    """What is told of the lines, also before a mistake."""
    return report(parse("\n".join(lines).encode()), **more).warnings  # type: ignore[arg-type]


def told(*lines: str, **more: object) -> list[tuple[str, int]]:
    return [(made.rule, made.location.first) for made in warnings(*lines, **more)]


CASES: dict[str, list[tuple[list[str], list[int]]]] = {
    "StageNameCasing": [(["FROM x AS Build"], [1]), (["FROM x AS build"], [])],
    "FromAsCasing": [
        (["FROM x as y"], [1]), (["from x AS y"], [1]), (["FROM x AS y"], []), (["from x as y"], []), (["From x as y"], []),
    ],
    "NoEmptyContinuation": [(["FROM x", "RUN a \\", "", " b"], [4]), (["FROM x", "RUN a \\", "# c", " b"], [])],
    "ConsistentInstructionCasing": [
        (["FROM x", "run a", "RUN b"], [2]), (["from x", "run a", "RUN b"], [3]), (["FROM x", "Run a"], [2]),
        (["ARG A", "from x", "run b"], []),
    ],
    "DuplicateStageName": [(["FROM x AS a", "FROM y AS A"], [2]), (["FROM x AS a", "FROM y AS b"], [])],
    "ReservedStageName": [(["FROM x AS scratch"], [1]), (["FROM x AS context"], [1]), (["FROM scratch AS y"], [])],
    "JSONArgsRecommended": [
        (["FROM x", "CMD a", "ENTRYPOINT b"], [2, 3]), (["FROM x", 'CMD ["a"]', "RUN b"], []),
        (["FROM x", 'SHELL ["a"]', "CMD b"], []),
        (["FROM x AS y", 'SHELL ["a"]', "FROM y", "CMD b"], []),
    ],
    "MaintainerDeprecated": [(["FROM x", "MAINTAINER me"], [2]), (["FROM x", "LABEL maintainer=me"], [])],
    "UndefinedArgInFrom": [
        (["ARG VERSION=1", "FROM x:$VERSOIN"], [2]), (["FROM --platform=$PLATT x$TARGETARCH"], [1]),
        (["ARG V", "FROM x$V"], []),
    ],
    "WorkdirRelativePath": [
        (["FROM x", "WORKDIR a", "WORKDIR b"], [2]), (["FROM x", "WORKDIR /a", "WORKDIR b"], []),
        (["FROM x AS y", "WORKDIR /a", "FROM y", "WORKDIR b"], []),
    ],
    "UndefinedVar": [
        (["FROM x", "ARG A", "ENV B=$A C=$D E=${F:-g} H=$PATH"], [3, 3]), (["FROM x", "COPY <<E /x", "$A \\$B", "E"], [2]),
        (["FROM x", "COPY <<'E' /x", "$A", "E", "RUN echo $B"], []),
        (["ARG G=1", "FROM x", "USER $G", "ARG G", "USER $G"], [3]),
        (["FROM x AS y", "ARG A=1", "ENV B=2", "FROM y", "USER $A$B"], []),
        (["FROM x AS y", "ARG A=1", "FROM x", "USER $A"], [4]),
        (["FROM x", "EXPOSE 80$A"], [2]), (["FROM x", "USER $TARGETARCH$HTTP_PROXY"], [2, 2]),
        (["FROM x", "ARG TARGETARCH", "USER $TARGETARCH"], []),
        (["FROM x", "RUN --mount=type=cache,target=/c$A b"], [2]), (["FROM x", "ONBUILD USER $A"], []),
    ],
    "MultipleInstructionsDisallowed": [
        (["FROM x", 'CMD ["a"]', 'CMD ["b"]', 'CMD ["c"]'], [2, 3]), (["FROM x", "HEALTHCHECK NONE", "HEALTHCHECK NONE"], [2]),
        (["FROM x", 'ENTRYPOINT ["a"]', "FROM y", 'ENTRYPOINT ["b"]'], []),
    ],
    "LegacyKeyValueFormat": [(["FROM x", "ENV A b", "LABEL c d"], [2, 3]), (["FROM x", "ENV A=b"], [])],
    "RedundantTargetPlatform": [(["FROM --platform=$TARGETPLATFORM x"], [1]), (["FROM --platform=$BUILDPLATFORM x"], [])],
    "SecretsUsedInArgOrEnv": [
        (["FROM x", "ARG TOKEN", "ENV db_Password=a APIKEY=b"], [2, 3, 3]),
        (["FROM x", "ENV PUBLIC_KEY=a TOKEN_FILE=b MONKEY=c AUTH_VERSION=1"], []),
    ],
    "InvalidDefaultArgInFrom": [(["ARG V", "FROM x:$V"], [2]), (["ARG I", "FROM ${I}"], [2]), (["ARG V=1", "FROM x:$V"], [])],
    "FromPlatformFlagConstDisallowed": [
        (["FROM --platform=linux/amd64 x"], [1]), (["FROM --platform=linux/amd64 x AS build-amd64"], []),
        (["FROM --platform=$BUILDPLATFORM x"], []),
    ],
    "ExposeProtoCasing": [(["FROM x", "EXPOSE 80/TCP 53/udp"], [2])],
    "ExposeInvalidFormat": [(["FROM x", "EXPOSE 127.0.0.1:80:80 81:81 82"], [2, 2])],
    "InvalidDefinitionDescription": [
        (["# check=experimental=all", "# other words", "ARG A=1", "# b the base", "FROM x AS b", "# words", "", "ARG C"], [3]),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "lines", "expected"), [(r, *case) for r, cases in CASES.items() for case in cases]
)
def test_a_rule_speaks_where_it_is_broken(rule: str, lines: list[str], expected: list[int]) -> None:
    given = {"V": "1", "I": "busybox"} if rule == "InvalidDefaultArgInFrom" else {}
    found = [line for name, line in told(*lines, build_args=given) if name == rule]
    assert found == expected


def test_every_rule_is_shown_here_but_the_one_that_needs_an_image() -> None:
    assert set(RULES) == {*CASES, "CopyIgnoredFile", "InvalidBaseImagePlatform"}


@pytest.mark.parametrize(
    ("patterns", "sources", "expected"),
    [
        (["secret", "*.log"], "secret a.log dir/a.log /", ["secret", "a.log"]),
        (["dir"], "dir/x/y ./dir", ["dir/x/y", "dir"]), (["*"], ". a", [".", "a"]),
        (["a"], ". a", ["a"]), (["*", "!keep"], "a", []), (["x"], "https://e.com/x git@e.com:x", []),
    ],
)  # fmt: skip
def test_files_that_are_ignored_cannot_be_copied(
    patterns: list[str], sources: str, expected: list[str]
) -> None:
    ignore = Ignore(patterns)
    found = [
        w.message
        for w in warnings("FROM x", f"ADD {sources} /d/", dockerignore=ignore)
        if w.rule == "CopyIgnoredFile"
    ]
    assert [message.split("'")[1] for message in found] == expected
    assert not told("FROM x AS y", "FROM x", "COPY --from=y secret /d", dockerignore=Ignore(["secret"]))


def test_a_resembling_name_is_offered() -> None:
    (made,) = warnings("FROM x", "ARG VERSION=1", "USER $VERSOIN")
    assert made.message == "$VERSOIN is defined nowhere above (did you mean VERSION?)"
    (made,) = warnings("ARG VERSION=1", "FROM x:a$VERSIO-")
    assert "did you mean VERSION?" in made.message


def test_the_environment_of_a_base_image_counts() -> None:
    lines = ("FROM --platform=$BUILDPLATFORM node:20", "USER $NODE_VERSION$NODE_VERSIN$OTHER")
    assert told(*lines) == [("UndefinedVar", 2)] * 3
    asked: list[tuple[str, str]] = []

    def environment(base: str, platform: str) -> list[str]:
        asked.append((base, platform))
        return ["NODE_VERSION=20"]

    assert told(*lines, environment=environment) == [("UndefinedVar", 2)] * 2
    assert asked[0][0] == "node:20" and asked[0][1].startswith("linux/")
    assert told(*lines, environment=lambda base, platform: None) == []  # what is not known may be there


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["# check=skip=all", "FROM x", "CMD a"], []),
        (["# check=skip=JSONArgsRecommended", "FROM x", "CMD a", "ENV A b"], ["LegacyKeyValueFormat"]),
        (["FROM x", "# check=skip=JSONArgsRecommended // a shell is wanted", "CMD a", "ENTRYPOINT b"], ["JSONArgsRecommended"]),
        (["FROM x", "# check=skip=all", "# why", "CMD a"], []),
        (["FROM x", "# check=nonsense", "CMD a"], ["JSONArgsRecommended"]),
        (["# check=skip=StageNameCasing", "FROM x AS Y"], []), (["", "# check=skip=all", "FROM x AS Y"], []),
    ],
)  # fmt: skip
def test_rules_are_turned_off_for_a_file_or_an_instruction(lines: list[str], expected: list[str]) -> None:
    assert [rule for rule, _ in told(*lines)] == expected


def test_warnings_become_errors_where_the_file_says_so() -> None:
    made = report(parse(b"# check=error=true;skip=StageNameCasing\nFROM x AS Y\nCMD a\n"))
    assert made.fails and made.error is None and len(made.warnings) == 1
    assert not report(parse(b"# check=error=true\nFROM x\n")).fails
    assert not report(parse(b"# check=error=true\nFROM x\nCMD a\n"), check="error=false").fails


@pytest.mark.parametrize("text", ["nonsense", "skip", "error=maybe", "warn=all", "skip=a;b=c"])
def test_an_option_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        parsed(text)
    found = report(parse(f"# check={text}\nFROM x\n".encode())).error
    assert found is not None and found.location is not None and found.location.first == 1


@pytest.mark.parametrize(
    ("lines", "words", "line"),
    [
        (["ARG I", "FROM $I"], "names no image", 2), (["FROM --platform=$P x"], "is empty", 1),
        (["FROM --platform=a/b/c/d x"], "platform", 1),
        (["FROM Upper"], "Upper", 1), (["FROM x", "COPY --from=3 a b"], "no stage 3", 2),
        (["FROM x", "COPY --from=y a b", "FROM z AS y"], "begins later", 2),
        (["FROM x", "USER ${U:?say who}"], "say who", 2), (["FROM x", "ENV A='b"], "single quote", 2),
        (["FROM x", "EXPOSE $A"], "", 0),
        (["ARG A=${B", "FROM x"], "'}' is missing", 1), (["FROM x", "VOLUME $A"], "a path is empty", 2),
        (["FROM x", "STOPSIGNAL $A"], "signal", 2),
        (["FROM x", "RUN --mount=type=$A,target=/a b"], "type '' is unknown", 2),
        (["FROM x", "RUN --mount=from=y b", "FROM z AS y"], "begins later", 2),
    ],
)  # fmt: skip
def test_what_a_build_would_stop_at_is_told_as_well(lines: list[str], words: str, line: int) -> None:
    made = report(parse("\n".join(lines).encode()))
    if not line:
        assert made.error is None
        return
    assert made.error is not None and made.error.location is not None
    assert words in made.error.why and made.error.location.first == line
    assert made.error.source


def test_a_target_leaves_out_the_stages_that_it_does_not_need() -> None:
    lines = (
        "FROM x AS a",
        "CMD a",
        "FROM a AS b",
        "FROM x AS c",
        "CMD c",
        "FROM x AS d",
        "COPY --from=b e f",
        "CMD d",
        "FROM y",
        "CMD e",
    )
    assert [line for _, line in told(*lines, target="d")] == [2, 8]
    assert [line for _, line in told(*lines)] == [2, 5, 8, 10]
    assert isinstance(report(parse("\n".join(lines).encode()), target="nope").error, DockerfileError)


def test_triggers_are_checked_where_a_stage_begins_with_them() -> None:
    assert told("FROM x AS a", "ONBUILD WORKDIR rel", "FROM a", "FROM x") == [("WorkdirRelativePath", 3)]


def test_a_warning_is_shown_with_its_line() -> None:
    file = parse(b"FROM x\nENV A b\n")
    (made,) = report(file).warnings
    assert str(made).startswith("Dockerfile:2: LegacyKeyValueFormat: ")
    assert made.render(file.source).split("\n")[1:] == ["> 2 │ ENV A b", "    │     ^"]
    assert made.description == RULES[made.rule]


def test_names_that_are_nearly_right_by_the_thousand_are_told_without_comparing_each_with_each() -> None:
    """In the square of their number it would take a minute."""
    lines = ["FROM x", *(f"ENV SOME_NAME_{n}=$SOME_NAMES_{n}" for n in range(3_000))]
    begun = time.process_time()
    made = warnings(*lines)
    assert time.process_time() - begun < 20
    assert len(made) == 3_000
    assert "did you mean SOME_NAME_0?" in made[1].message
    assert "did you mean" not in made[-1].message
