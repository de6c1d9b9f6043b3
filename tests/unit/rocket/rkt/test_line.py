"""The command line of a pod: which image a flag belongs to, and where arguments begin and end."""

from __future__ import annotations

import pytest

from lading.errors import InvalidInput, Unsupported
from lading.flags import Command, parse
from lading.rocket.rkt import line as lines
from lading.rocket.rkt import table
from lading.rocket.rkt.line import Line, read


def _read(*words: str) -> Line:
    """As the command does it: the flags before the first image are read with everything else, the rest here."""
    flags = table.run()
    root = Command("run", flags=flags, arguments="[IMAGE...]", interspersed=False)
    parsed = parse(root, words)
    return read("rkt run", flags, parsed.values, parsed.args)


Apps = list[tuple[str, list[str] | None, dict[str, list[str]]]]


@pytest.mark.parametrize(
    ("words", "apps"),
    [
        ("a", [("a", None, {})]),
        ("a b", [("a", None, {}), ("b", None, {})]),
        ("a -- x y --- b", [("a", ["x", "y"], {}), ("b", None, {})]),
        ("a -- --exec -- z", [("a", ["--exec", "--", "z"], {})]),
        ("a --", [("a", [], {})]),
        ("a --- b", [("a", None, {}), ("b", None, {})]),
        ("a --exec /x --- b", [("a", None, {"exec": ["/x"]}), ("b", None, {})]),
        ("a --exec /x -- y", [("a", ["y"], {"exec": ["/x"]})]),
        ("a --exec=/x --name n b --name=m", [("a", None, {"exec": ["/x"], "name": ["n"]}), ("b", None, {"name": ["m"]})]),
        ("a -- x --- --user 5 b", [("a", ["x"], {"user": ["5"]}), ("b", None, {})]),
        ("a --readonly-rootfs b", [("a", None, {"readonly-rootfs": ["true"]}), ("b", None, {})]),
        ("a --readonly-rootfs=false", [("a", None, {"readonly-rootfs": ["false"]})]),
        ("a --cap-retain=CAP_KILL", [("a", None, {"caps-retain": ["CAP_KILL"]})]),
        ("a --environment=A=1 --environment B=2", [("a", None, {"environment": ["A=1", "B=2"]})]),
    ],
)  # fmt: skip
def test_apps(words: str, apps: Apps) -> None:
    found = _read(*words.split())
    assert [(app.image, app.args, app.flags) for app in found.apps] == apps


def test_flags_of_the_pod_stand_anywhere() -> None:
    line = _read(
        "--net", "a", "--net=host", "b", "--volume", "v,kind=empty", "--interactive", "--", "--net=x"
    )
    assert line.list("net") == ["default", "host"]
    assert (line.list("volume"), line["interactive"], line["pod-manifest"]) == (["v,kind=empty"], True, None)
    assert line.apps[1].args == ["--net=x"]


def test_a_mount_before_all_images_is_everyones() -> None:
    line = _read("--mount", "volume=v,target=/a", "a", "--mount", "volume=v,target=/b")
    assert (line.mounts, line.apps[0].all("mount")) == (["volume=v,target=/a"], ["volume=v,target=/b"])


@pytest.mark.parametrize(
    "words",
    [
        "--exec /x a",
        "--memory=1M a",
        "a --exec /x --exec /y",
        "a --signature x --signature y",
        "a -- x --- -- y",
        "--- -- x",
        "a --bogus",
        "a --net=x --exec",
    ],
)
def test_what_is_wrong(words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        _read(*words.split())
    assert raised.value.reason == "usage"


@pytest.mark.parametrize(
    "words",
    ["a --stage1-path=/x", "--stage1-hash=x a"],
)
def test_what_is_refused_by_name(words: str) -> None:
    with pytest.raises(Unsupported) as raised:
        _read(*words.split())
    named = next(word for word in words.split() if word.startswith("--")).partition("=")[0]
    assert named in raised.value.message


def test_help_is_asked_for_behind_an_image_too() -> None:
    assert _read("a", "--help", "--bogus").help


def test_pairs() -> None:
    assert list(lines.pairs("x", ["A=1=2", "B="])) == [("A", "1=2"), ("B", "")]
    for text in ("A", "=1"):
        with pytest.raises(InvalidInput):
            list(lines.pairs("x", [text]))


def test_every_flag_of_a_pod_can_be_missing() -> None:
    for flag in (*table.run(), *table.prepare(), *table.run_prepared()):
        assert flag.kind == "list" or flag.unset or flag.refuse, flag.name
    declared = {flag.name for flag in table.app()}
    assert declared == {*lines.ONCE, *lines.SEVERAL}
