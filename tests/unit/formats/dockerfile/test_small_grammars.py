"""Modes of ``--chmod``, ports of EXPOSE, and the escape of words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.formats.dockerfile import DockerfileError
from lading.formats.dockerfile.permissions import Permissions
from lading.formats.dockerfile.ports import exposed
from lading.formats.dockerfile.words import flags_and_rest, quoted_words


@pytest.mark.parametrize(
    ("text", "mode", "directory", "result"),
    [
        ("644", 0o777, False, 0o644), ("0755", 0, True, 0o755), ("4755", 0, False, 0o4755), ("07777", 0, False, 0o7777),
        ("0", 0o777, False, 0),
        ("+x", 0o644, False, 0o755), ("a+x", 0o600, False, 0o711), ("u+x", 0o644, False, 0o744),
        ("go-rwx", 0o777, False, 0o700),
        ("u=rwX,go=rX", 0o600, False, 0o644), ("u=rwX,go=rX", 0o700, False, 0o755), ("u=rwX,go=rX", 0o600, True, 0o755),
        ("g=u", 0o640, False, 0o660), ("o=", 0o777, False, 0o770), ("=r", 0o777, False, 0o444), ("u+s", 0o755, False, 0o4755),
        ("g+s", 0o755, False, 0o2755), ("+t", 0o777, True, 0o1777), ("o+s", 0o755, False, 0o755),
        ("u=rw", 0o4755, False, 0o655),
        ("u=rwx", 0o4755, True, 0o4755), ("u=rwxs", 0o755, True, 0o4755), ("a-x+X", 0o755, False, 0o755),
        ("a-x+X", 0o644, False, 0o644),
        ("u+r-w", 0o200, False, 0o400), ("ug+rw,o-rwx", 0o007, False, 0o660),
    ],
)  # fmt: skip
def test_a_mode_is_octal_or_as_chmod_takes_it(text: str, mode: int, directory: bool, result: int) -> None:
    assert oct(Permissions.parse(text).applied(mode, directory=directory)) == oct(result)


@pytest.mark.parametrize(
    "text", ["", "8", "10000", "u", "u+q", "+x,", ",", "x+u", "u+x ", "u=rwX;g=r", "-1", "0x1", "+" * 300]
)
def test_another_text_is_no_mode(text: str) -> None:
    with pytest.raises(DockerfileError):
        Permissions.parse(text)


@given(st.text("ugoa+-=rwxXst,0123457", max_size=12), st.integers(0, 0o7777), st.booleans())
def test_a_mode_stays_a_mode(text: str, mode: int, directory: bool) -> None:
    try:
        made = Permissions.parse(text)
    except DockerfileError:
        return
    assert 0 <= made.applied(mode, directory=directory) <= 0o7777


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", ["80/tcp"]), ("53/udp", ["53/udp"]), ("53/UDP", ["53/udp"]), ("80/", ["80/tcp"]),
        ("1-3/sctp", ["1/sctp", "2/sctp", "3/sctp"]),
        ("5-5", ["5/tcp"]), ("127.0.0.1:80:81", ["81/tcp"]), ("[::1]:80:81/udp", ["81/udp"]), ("::1:80:81", ["81/tcp"]),
        ("8080:80", ["80/tcp"]),
        ("90-99:80", ["80/tcp"]), ("1-2:3-4", ["3/tcp", "4/tcp"]), ("0", ["0/tcp"]),
    ],
)  # fmt: skip
def test_a_word_exposes_ports(text: str, ports: list[str]) -> None:
    assert exposed(text) == ports


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "65536", "2-1", "80/x", "/tcp", "1.2.3:1:2", "1-3:1-2", "1-", "x:1", ":::"]
)
def test_another_word_exposes_none(text: str) -> None:
    with pytest.raises(DockerfileError):
        exposed(text)


@given(st.text(max_size=30), st.sampled_from(["\\", "`"]))
def test_words_and_flags_lose_nothing_but_blanks(text: str, escape: str) -> None:
    text = text.replace("\n", " ")
    words = quoted_words(text, escape)
    assert all(words)
    assert sum(map(len, words)) <= len(text)
    flags, rest = flags_and_rest(text, escape)
    assert all(flag.startswith("--") for flag in flags)
    assert text.rstrip().endswith(rest.rstrip()) or not rest
