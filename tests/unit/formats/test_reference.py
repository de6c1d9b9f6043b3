"""References: Docker's familiar forms, the distribution grammar, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.reference import Reference
from lading.formats.registry import check_registry

D256 = "sha256:" + "a" * 64
D512 = "sha512:" + "0" * 128


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("debian", "docker.io/library/debian:latest", "debian:latest"),
        ("debian:bookworm", "docker.io/library/debian:bookworm", "debian:bookworm"),
        ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("index.docker.io/library/debian:1", "docker.io/library/debian:1", "debian:1"),
        ("grafana/loki:2.9", "docker.io/grafana/loki:2.9", "grafana/loki:2.9"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest", "127.0.0.1:5000/a/b/c:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("[2001:db8::7]/app:x", "[2001:db8::7]/app:x", "[2001:db8::7]/app:x"),
        ("Registry/app", "Registry/app:latest", "Registry/app:latest"),
        ("example.com/a__b/c---d/e.f_g:T_1.2-x", "example.com/a__b/c---d/e.f_g:T_1.2-x", None),
        (f"debian@{D256}", f"docker.io/library/debian@{D256}", f"debian@{D256}"),
        (f"debian:12@{D512}", f"docker.io/library/debian:12@{D512}", f"debian:12@{D512}"),
        ("docker.io/library/debian/extra:1", "docker.io/library/debian/extra:1", "library/debian/extra:1"),
    ],
)
def test_forms_people_type_are_understood_as_docker_does(
    text: str, canonical: str, familiar: str | None
) -> None:
    reference = Reference.parse(text)
    assert str(reference) == reference.canonical == canonical
    if familiar is not None:
        assert reference.familiar == familiar


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty"),
        ("Debian", "lower case"),
        ("https://example.com/app", "URL"),
        ("a" * 64, "image id"),
        ("debian:", "tag"),
        ("debian:-x", "tag"),
        ("debian:" + "x" * 129, "tag"),
        ("debian:a:b", "tag"),
        ("debian@sha256:abc", "64"),
        ("debian@md5:" + "a" * 32, "sha256"),
        ("debian@" + D256.upper(), "digest"),
        ("debian@", "digest"),
        (f"debian@{D256}@{D256}", "digest"),
        ("example.com/", "no repository"),
        ("example.com//app", "empty path"),
        ("example.com/app/", "empty path"),
        ("/app", "empty path"),
        ("a..b", "'..'"),
        ("a___b", "'___'"),
        ("a._b", "'._'"),
        ("-a", "start with"),
        ("a-", "end with"),
        ("example.com/../etc", "'..'"),
        ("de bian", "' '"),
        ("deb\nian", "'\\n'"),
        ("debián", "'á'"),
        ("example.com:0/app", "port"),
        ("example.com:70000/app", "port"),
        ("example.com:/app", "port"),
        ("example.com:80x/app", "port"),
        ("-example.com/app", "host name"),
        ("ex..com/app", "host name"),
        ("user:pw@example.com/app", "digest"),
        ("[::1/app", "IPv6"),
        ("[1:2:3]/app", "IPv6"),
        ("[1::2::3]:5/app", "IPv6"),
        ("example.com/" + "a/" * 127 + "bcd", "255"),
        ("x" * 2000, "1024"),
    ],
)
def test_what_breaks_the_grammar_is_refused_and_named(text: str, named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Reference.parse(text)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_digest_takes_the_place_of_the_default_tag_and_is_what_is_asked_for() -> None:
    assert Reference.parse(f"debian@{D256}").tag == ""
    assert Reference.parse(f"debian:12@{D256}").target == D256
    assert Reference.parse("debian").target == "latest"
    assert Reference.parse("debian", default_tag="").target == ""


def test_changing_tag_and_digest_keeps_the_name_and_checks_the_value() -> None:
    reference = Reference.parse("example.com/app:1")
    assert reference.with_tag("2").canonical == "example.com/app:2"
    assert reference.with_digest(D256).canonical == f"example.com/app:1@{D256}"
    with pytest.raises(InvalidInput):
        reference.with_tag("a b")
    with pytest.raises(InvalidInput):
        reference.with_digest("latest")


_alnum = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=6)
_component = st.builds(
    lambda first, more: first + "".join(sep + part for sep, part in more),
    _alnum,
    st.lists(st.tuples(st.sampled_from([".", "_", "__", "-", "---"]), _alnum), max_size=2),
)
_host = st.sampled_from(
    ["docker.io", "localhost", "localhost:5000", "a.example:443", "[::1]:5000", "10.0.0.1", "UP"]
)
_tag = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}\Z")
_digest = st.sampled_from(["", D256, D512])


@given(_host, st.lists(_component, min_size=1, max_size=4), st.one_of(st.just(""), _tag), _digest)
def test_canonical_and_familiar_text_parse_back_to_the_same_reference(
    host: str, path: list[str], tag: str, digest: str
) -> None:
    text = f"{host}/{'/'.join(path)}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = Reference.parse(text, default_tag="")
    assert Reference.parse(reference.canonical, default_tag="") == reference
    assert Reference.parse(reference.familiar, default_tag="") == reference
    assert len(reference.familiar) <= len(reference.canonical)


@given(st.text(max_size=80))
def test_any_text_parses_to_a_round_trip_or_is_refused_in_one_line(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidInput as error:
        assert len(str(error).splitlines()) == 1
        return
    assert Reference.parse(str(reference)) == reference
    assert ".." not in reference.repository.split("/")
    check_registry(reference.registry)


def test_parsing_needs_no_regular_expressions() -> None:
    code = (
        "import sys, lading.formats.reference as r; r.Reference.parse('debian'); print('re' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": "src"}
    )
    assert done.stdout.strip() == "False", done.stderr
