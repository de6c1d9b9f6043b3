"""Which variables an instruction sees: global arguments, arguments, the environment, and what stages hand on."""

from __future__ import annotations

import pytest

from lading.formats.dockerfile import Arg, DockerfileError, Env, parse
from lading.formats.dockerfile.scope import CONTROLS, PLATFORMS, PROXIES, Globals, Scope, automatic
from lading.formats.oci_image import Platform

AMD = Platform(os="linux", architecture="amd64")
ARM = Platform(os="linux", architecture="arm64", variant="v8")


def outer(*lines: str, given: dict[str, str] | None = None) -> Globals:
    file = parse("\n".join((*lines, "FROM x")).encode())
    return Globals(given or {}, automatic(AMD, ARM, "end"), file.args, file.escape)


def walked(scope: Scope, *lines: str) -> Scope:
    for made in parse("\n".join(("FROM x", *lines)).encode()).stages[0].instructions:
        if isinstance(made, Arg):
            scope.declare(made)
        elif isinstance(made, Env):
            scope.set(made.expanded(scope.expander))
    return scope


def test_automatic_arguments_tell_both_platforms() -> None:
    made = automatic(AMD, ARM)
    assert (made["BUILDPLATFORM"], made["TARGETPLATFORM"]) == ("linux/amd64", "linux/arm64/v8")
    assert (made["TARGETOS"], made["TARGETARCH"], made["TARGETVARIANT"], made["TARGETSTAGE"]) == (
        "linux",
        "arm64",
        "v8",
        "default",
    )
    assert set(made) == {*PLATFORMS, "TARGETSTAGE"}
    assert len(PROXIES) == 10 and "SOURCE_DATE_EPOCH" in CONTROLS


def test_global_arguments_see_those_above_them() -> None:
    made = outer("ARG A=1 B=2$A", "ARG C=$B$TARGETARCH D", "ARG E=$E", given={"A": "x"})
    assert [made.get(name) for name in "ABCDE"] == ["x", "2x", "2xarm64", None, ""]
    assert made.get("TARGETARCH") == "arm64" and made.get("HTTP_PROXY") is None
    assert list(made.declared) == ["A", "B", "C", "D", "E"]


def test_a_given_value_replaces_an_automatic_one() -> None:
    assert outer(given={"TARGETARCH": "riscv64"}).get("TARGETARCH") == "riscv64"


def test_a_stage_sees_what_it_declares() -> None:
    scope = Scope(outer("ARG G=1 H", given={"I": "3", "J": "4"}), ["PATH=/bin"], "\\")
    assert (scope.get("G"), scope.get("TARGETARCH"), scope.get("I"), scope.get("PATH")) == (
        None,
        None,
        None,
        "/bin",
    )
    walked(scope, "ARG G", "ARG H I=9 J K=$G$I", "ARG TARGETARCH L")
    assert [scope.get(n) for n in ("G", "H", "I", "J", "K", "TARGETARCH", "L")] == [
        "1",
        None,
        "3",
        "4",
        "13",
        "arm64",
        None,
    ]
    assert scope.args["L"] is None and "M" not in scope.args


def test_a_default_of_the_stage_replaces_the_global_value() -> None:
    scope = Scope(outer("ARG A=1"), [], "\\")
    assert walked(scope, "ARG A=2").get("A") == "2"


def test_of_an_argument_and_the_environment_the_later_counts() -> None:
    scope = walked(Scope(outer(), [], "\\"), "ARG A=1", "ENV A=2")
    assert scope.get("A") == "2"
    walked(scope, "ARG A=3")
    assert (scope.get("A"), scope.env["A"]) == ("3", "2")
    assert "A=3" in scope.command_env() and scope.pairs() == ["A=2"]


def test_the_words_of_one_instruction_see_the_values_before_it() -> None:
    scope = walked(Scope(outer(), [], "\\"), "ENV A=1", "ENV A=2 B=$A C=$B")
    assert scope.pairs() == ["A=2", "B=1", "C="]


def test_a_stage_hands_its_arguments_on_and_its_environment_over_them() -> None:
    scope = walked(Scope(outer(), ["X=0"], "\\"), "ARG A=1 B=2", "ENV B=3", "ARG B=4", "ARG C")
    child = scope.child()
    assert (child.get("A"), child.get("B"), child.get("X")) == ("1", "3", "0")
    assert "C" in child.args
    walked(child, "ENV A=9")
    assert scope.get("A") == "1"


def test_proxies_reach_a_command_unless_it_sets_its_own() -> None:
    made = outer(given={"http_proxy": "p", "NO_PROXY": "q", "OTHER": "r"})
    scope = Scope(made, [], "\\")
    assert scope.proxies() == ["HTTP_PROXY=p", "http_proxy=p", "NO_PROXY=q", "no_proxy=q"]
    assert scope.command_env() == []
    walked(scope, "ARG http_proxy", "ENV NO_PROXY=z")
    assert scope.proxies() == ["HTTP_PROXY=p", "no_proxy=q"]


def test_arguments_that_no_arg_asks_for_can_be_told() -> None:
    made = outer("ARG A", given={"A": "1", "B": "2", "C": "3"})
    walked(Scope(made, [], "\\"), "ARG B")
    assert set(made.given) - made.used == {"C"}


def test_what_scans_are_asked_for_is_no_variable() -> None:
    scope = walked(Scope(outer(), [], "\\"), "ARG BUILDKIT_SBOM_SCAN_STAGE=true")
    assert scope.get("BUILDKIT_SBOM_SCAN_STAGE") is None
    assert scope.args["BUILDKIT_SBOM_SCAN_STAGE"] == "true"


def test_a_default_that_cannot_be_expanded_is_told_at_its_line() -> None:
    with pytest.raises(DockerfileError) as caught:
        outer("", "ARG A=${B:?no}")
    assert caught.value.location is not None and caught.value.location.first == 2
