"""``RUN --mount``: every option, what it is without, and what it refuses."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.formats.dockerfile import DockerfileError, Expander
from lading.formats.dockerfile.mounts import Device, RunMount

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 200, deadline=None)


def test_a_bind_shows_the_context_read_only() -> None:
    made = RunMount.parse("target=/src")
    assert (made.type, made.target, made.source, made.from_, made.read_only) == ("bind", "/src", "", "", True)
    made = RunMount.parse("type=bind,from=build,src=/out,dst=/in,rw")
    assert (made.from_, made.source, made.target, made.read_only) == ("build", "/out", "/in", False)


@pytest.mark.parametrize(
    ("text", "read_only"),
    [
        ("target=/a,ro", True), ("target=/a,readonly=false", False), ("target=/a,rw=true", False), ("target=/a,rw=false", True),
        ("target=/a,ro,rw", False), ("type=cache,target=/a", False), ("type=cache,target=/a,ro", True),
        ("type=tmpfs,target=/a", False),
    ],
)  # fmt: skip
def test_a_mount_is_read_only_or_not(text: str, read_only: bool) -> None:
    assert RunMount.parse(text).read_only is read_only


def test_a_cache_is_called_by_its_target_and_shared() -> None:
    made = RunMount.parse("type=cache,target=/var/cache/apt/")
    assert (made.id, made.sharing, made.mode, made.uid, made.gid) == (
        "/var/cache/apt",
        "shared",
        0o755,
        0,
        0,
    )
    made = RunMount.parse(
        "type=Cache,id=x,target=/c,sharing=LOCKED,mode=0700,uid=5,gid=6,from=base,source=/d"
    )
    assert (made.id, made.sharing, made.mode, made.uid, made.gid) == (
        "x",
        "locked",
        0o700,
        5,
        6,
    )
    assert (made.from_, made.source) == ("base", "/d")


@pytest.mark.parametrize(
    ("text", "name", "target", "env", "required"),
    [
        ("id=aws", "aws", "/run/secrets/aws", None, False), ("source=aws,required", "aws", "/run/secrets/aws", None, True),
        ("id=aws,target=/root/.aws", "aws", "/root/.aws", None, False),
        ("target=/root/.netrc", ".netrc", "/root/.netrc", None, False),
        ("id=a/b", "a/b", "/run/secrets/b", None, False), ("id=t,env=TOKEN", "t", "", "TOKEN", False),
        ("id=t,env=TOKEN,target=/t", "t", "/t", "TOKEN", False), ("id=t,required=false", "t", "/run/secrets/t", None, False),
    ],
)  # fmt: skip
def test_a_secret_is_a_file_or_a_variable(
    text: str, name: str, target: str, env: str | None, required: bool
) -> None:
    made = RunMount.parse(f"{text},type=secret")
    assert (made.id, made.target, made.env, made.required, made.mode) == (name, target, env, required, 0o400)


def test_an_agent_is_called_default() -> None:
    made = RunMount.parse("type=ssh")
    assert (made.id, made.target, made.mode, made.required) == ("default", "", 0o600, False)
    made = RunMount.parse("type=ssh,id=k,target=/s,required,mode=0666,uid=1")
    assert (made.id, made.target, made.mode, made.uid, made.required) == ("k", "/s", 0o666, 1, True)


def test_a_tmpfs_may_have_a_size() -> None:
    assert RunMount.parse("type=tmpfs,target=/t").size == 0
    assert RunMount.parse("type=tmpfs,target=/t,size=64m").size == 64 << 20


def test_quotes_keep_commas() -> None:
    assert RunMount.parse('type=bind,"target=/a,b"', Expander(lambda name: None)).target == "/a,b"


def test_variables_are_resolved_later_and_checked_then() -> None:
    made = RunMount.parse("type=$T,target=$HOME/x,size=$S")
    assert made.unexpanded and (made.type, made.target) == ("$T", "$HOME/x")
    done = made.expanded(Expander({"T": "tmpfs", "HOME": "/h", "S": "1k"}.get))
    assert (done.type, done.target, done.size, done.unexpanded) == ("tmpfs", "/h/x", 1024, False)
    with pytest.raises(DockerfileError):
        made.expanded(Expander({"T": "bind"}.get))


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("type=cach,target=/x", "type 'cach' is unknown", "did you mean cache?"),
        ("tarqet=/x", "no option 'tarqet'", "did you mean target?"),
        ("target", "target wants a value", "target=VALUE"),
        ("target=/x,size=1", "type=bind has no option size", "size belongs to tmpfs"),
        ("target=/x,required", "no option required", "secret and ssh"),
        ("target=/x,sharing=locked", "no option sharing", "cache"),
        ("target=/x,mode=0755", "no option mode", "cache and secret and ssh"),
        ("type=cache,target=/x,sharing=shard", "sharing 'shard'", "shared?"),
        ("type=cache,target=/x,mode=9", "mode '9' is not an octal mode", "0755"),
        ("type=cache,target=/x,uid=a", "uid 'a'", "uid=1000"),
        ("type=cache,target=/x,uid=4294967296", "is not a number", ""), ("type=tmpfs,target=/x,size=big", "size 'big'", "512m"),
        ("target=/x,ro=maybe", "readonly is true or false", ""), ("type=secret", "names no secret", "id=NAME"),
        ("target=/", "may not be /", ""),
        ("type=secret,id=a,source=b", "two names of one option", ""),
        ("type=secret,id=a,from=b", "no option from", "bind and cache"),
        ("type=ssh,source=a", "no option source", ""), ("from=$X,target=/x", "variables are not expanded in from", "AS name"),
        ('target="/x', "a double quote is not closed", ""), ("type=cache,target=/../", "may not be /", ""),
    ],
)  # fmt: skip
def test_what_a_mount_cannot_have_is_refused(text: str, words: str, hint: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        made = RunMount.parse(text)
        made.expanded(Expander(lambda name: None))
    assert words in caught.value.why
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "name", "required"),
    [
        ("v.com/c=x", "v.com/c=x", False), ("v.com/c", "v.com/c", False), ("v.com/c=x,required", "v.com/c=x", True),
        ("name=v.com/c=x,required=false", "v.com/c=x", False), ("required,v.com/c=x", "v.com/c=x", True),
    ],
)  # fmt: skip
def test_a_device_has_a_name(text: str, name: str, required: bool) -> None:
    made = Device.parse(text)
    assert (made.name, made.required) == (name, required)


def test_a_device_has_one_name() -> None:
    for text in ("v.com/c=x,name=v.com/c=y", "a,b", "a,required=x"):
        with pytest.raises(DockerfileError):
            Device.parse(text)


PIECES = st.sampled_from(
    ["type=", "bind", "cache", "secret", "tmpfs", "ssh", ",", "target=", "/x", "id=", "a", "ro", "rw", "=", '"', "$X",
    "mode=", "0755", "size=", "1g", "env="]
)  # fmt: skip


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.lists(PIECES, max_size=12).map("".join))
def test_any_text_is_a_mount_or_a_mistake(text: str) -> None:
    for read in (RunMount.parse, Device.parse):
        try:
            made = read(text)
            if isinstance(made, RunMount):
                made.expanded(Expander({"X": "y"}.get))
        except DockerfileError as error:
            assert error.why
