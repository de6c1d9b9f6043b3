"""What the flags of a build say of what goes into it."""

from __future__ import annotations

import pytest

from lading.cli import buildflags, buildoutput
from lading.cli.buildinput import _hosts, pairs
from lading.cli.buildsecrets import LARGEST, secret
from lading.errors import InvalidInput, NotFound, Unsupported
from lading.flags import Command, Parsed, parse


def flags(*words: str) -> Parsed:
    root = Command(
        "lading", commands=(Command("build", "", "[DIRECTORY]", flags=buildflags.build(), action="x:y"),)
    )
    return parse(root, ["build", *words])


def test_every_flag_has_one_row():
    rows = buildflags.build()
    names = [name for row in rows for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))
    shorts = [row.short for row in rows if row.short]
    assert len(shorts) == len(set(shorts))


@pytest.mark.parametrize(
    "word", ["--squash", "--rm=false", "--security-opt=x", "--arch=arm64", "--volume=/a:/b"]
)
def test_what_is_not_supported_is_refused_by_its_name(word):
    with pytest.raises(Unsupported) as error:
        flags(word, ".")
    assert word.partition("=")[0] in error.value.message


def test_what_is_the_case_anyway_may_be_said():
    assert flags("--rm", "--layers=true", "--force-rm=false", "--tls-verify", ".").args == ["."]
    assert flags("--pull", ".")["pull"] == "always"
    assert flags("--pull=false", ".")["pull"] == "false"
    assert flags(".")["pull"] == "missing"


def test_secrets_are_files_or_variables(tmp_path):
    (tmp_path / "f").write_bytes(b"\0bytes\n")
    environ = {"V": "value", "both": "variable"}
    assert secret(f"id=a,src={tmp_path}/f", environ) == ("a", b"\0bytes\n")
    assert secret(f"type=file,id=a,source={tmp_path}/f", environ) == ("a", b"\0bytes\n")
    assert secret("id=a,env=V", environ) == ("a", b"value")
    assert secret("id=V,type=env", environ) == ("V", b"value")
    assert secret("id=both", environ) == ("both", b"variable")


@pytest.mark.parametrize(
    "text",
    ["", "id", "id=", "src=/x", "id=a,src=/x,env=V", "id=a,mode=1", "id=a,id=b", "id=a,type=dir", "a,id=b"],
)
def test_a_secret_that_says_nothing_sensible_is_refused(text):
    with pytest.raises(InvalidInput):
        secret(text, {"V": ""})


def test_a_secret_that_is_not_there_or_too_large_is_refused(tmp_path):
    for text in (f"id=a,src={tmp_path}/none", "id=a,env=NONE", "id=none-such-file"):
        with pytest.raises(NotFound):
            secret(text, {})
    (tmp_path / "f").write_bytes(b"x" * (LARGEST + 1))
    with pytest.raises(InvalidInput):
        secret(f"id=a,src={tmp_path}/f", {})


def test_hosts_are_names_and_addresses():
    assert _hosts(["a:1.2.3.4", "b=::1", "c:[fe80::1]", "d:host-gateway"]) == [
        "a=1.2.3.4",
        "b=::1",
        "c=fe80::1",
        "d=host-gateway",
    ]
    for text in ("a", "a:", ":1.2.3.4", "a:1.2.3", "a b:1.2.3.4", "a\x1b:1.2.3.4"):
        with pytest.raises(InvalidInput):
            _hosts([text])


@pytest.mark.parametrize("flag", ["--iidfile", "--metadata-file", "--output=type=tar,dest"])
def test_where_nothing_can_be_written_is_told_before_the_build(flag, tmp_path):
    assert buildoutput.wanted(flags(f"{flag}={tmp_path}/f", ".")).outputs
    with pytest.raises(InvalidInput, match="is no directory"):
        buildoutput.wanted(flags(f"{flag}={tmp_path}/missing/f", "."))


def test_an_argument_without_a_value_is_the_caller_s_variable(monkeypatch):
    monkeypatch.setenv("GIVEN", "x")
    monkeypatch.delenv("NOT_GIVEN", raising=False)
    assert pairs(["GIVEN", "NOT_GIVEN", "A=", "B=c=d"], "--build-arg", environ=True) == {
        "GIVEN": "x",
        "A": "",
        "B": "c=d",
    }
    with pytest.raises(InvalidInput):
        pairs(["=x"], "--build-arg", environ=True)
