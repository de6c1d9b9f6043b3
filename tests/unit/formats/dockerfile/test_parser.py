"""A Dockerfile becomes typed instructions, whatever the way it is written in."""

from __future__ import annotations

from lading.formats.dockerfile import Dockerfile, Location, Run, parse, parse_instruction


def read(*lines: str) -> Dockerfile:
    return parse("\n".join(lines).encode())


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


def test_a_trigger_of_an_image_is_one_instruction() -> None:
    made = parse_instruction("RUN cat <<EOF\nhello\nEOF")
    assert isinstance(made, Run)
    assert made.shell_text == "cat <<EOF\nhello\nEOF"
