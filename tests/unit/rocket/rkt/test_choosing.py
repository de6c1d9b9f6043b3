"""Which images are fetched, and what is put aside while that is done."""

from __future__ import annotations

import pytest

from lading.cli.commands import ROOT
from lading.errors import InvalidInput
from lading.flags import parse
from lading.rocket.rkt.choosing import policy
from lading.rocket.rkt.insecure import FETCH, insecure, of_line


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ([], "new"), (["--pull-policy=update"], "update"), (["--store-only"], "never"), (["--no-store"], "update"),
        (["--store-only", "--pull-policy=never"], "never"), (["--store-only=false"], "new"),
    ],
)  # fmt: skip
def test_older_words_for_a_policy_mean_the_same(words: list[str], means: str) -> None:
    assert policy(parse(ROOT, ["rkt", "fetch", *words, "x"]).values) == means


@pytest.mark.parametrize("words", [["--store-only", "--no-store"], ["--store-only", "--pull-policy=new"]])
def test_policies_that_contradict_each_other_are_refused(words: list[str]) -> None:
    with pytest.raises(InvalidInput, match="--store-only"):
        policy(parse(ROOT, ["rkt", "fetch", *words, "x"]).values)


def test_what_is_put_aside_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    found = insecure(["image,pubkey"])
    assert found.image and found.pubkey and not found.tls and not found.trusting
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in said] == [
        " --insecure-options image",
        " --insecure-options pubkey",
    ]
    assert insecure(["all-fetch"]).words == frozenset(FETCH)


def test_what_never_was_checked_can_be_put_aside_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert insecure(["ondisk"]).words == frozenset()
    assert "image verify" in capsys.readouterr().err


def test_flags_count_before_and_behind_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    parsed = parse(ROOT, ["rkt", "--insecure-options=tls", "fetch", "--trust-keys-from-https", "x"])
    found = of_line(parsed.globals, ["http"])
    assert found.tls and found.http and found.trusting
    assert "--trust-keys-from-https" in capsys.readouterr().err
    assert not of_line({}, []).words
