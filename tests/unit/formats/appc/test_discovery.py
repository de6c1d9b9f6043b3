"""Discovery: tags out of any page, endpoints in the page's order, and no way for a page to speak of others' images."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.appc import discovery, metatags
from lading.formats.appc.discovery import Endpoint
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.labels import Label
from lading.formats.appc.wanted import wanted

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


def _meta(name: str, content: str) -> str:
    return f'<meta name="{name}" content="{content}">'


PAGE = f"""<!DOCTYPE html><html><head><title>x</title>
{_meta("ac-discovery", "example.com https://storage.example.com/{os}/{arch}/{name}-{version}.{ext}")}
{_meta("ac-discovery", "example.com hdfs://storage.example.com/{name}-{version}.{ext}")}
{_meta("ac-discovery-pubkeys", "example.com https://example.com/pubkeys.gpg")}
{_meta("ac-discovery", "example.com/other https://example.com/other.{ext}")}
</head><body>{_meta("ac-discovery", "example.com/app http://second.example/{name}.{ext}?v={version}")}</body></html>"""


def test_a_page_gives_endpoints_and_keys_in_its_order() -> None:
    found = discovery.endpoints(PAGE, wanted("example.com/app:1.0.0,os=linux,arch=amd64"))
    assert found.endpoints == [
        Endpoint(
            "https://storage.example.com/linux/amd64/example.com/app-1.0.0.aci",
            "https://storage.example.com/linux/amd64/example.com/app-1.0.0.aci.asc",
        ),
        Endpoint("http://second.example/example.com/app.aci?v=1.0.0", "http://second.example/example.com/app.aci.asc?v=1.0.0"),
    ]  # fmt: skip
    assert found.keys == ["https://example.com/pubkeys.gpg"]
    assert [why for _, why in found.skipped] == ["the scheme 'hdfs' is not supported"]


@pytest.mark.parametrize(
    "text", ["example.com/app,os=linux,arch=amd64", "example.com/app:,os=linux,arch=amd64"]
)
def test_the_version_is_latest_when_none_was_asked_for(text: str) -> None:
    found = discovery.endpoints(PAGE, wanted(text))
    assert found.endpoints[0].aci.endswith("/app-latest.aci")


def test_a_template_with_a_variable_that_has_no_value_is_skipped() -> None:
    found = discovery.endpoints(PAGE, wanted("example.com/app:1.0.0,os=linux"))
    assert [e.aci for e in found.endpoints] == ["http://second.example/example.com/app.aci?v=1.0.0"]
    assert ("nothing is known for {arch}") in [why for _, why in found.skipped]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("https://e.example/{name}", "it has no {ext}"), ("https://e.example/{name}.{ext}{", "nothing is known for {}"),
        ("https://e.example/{}.{ext}", "nothing is known"), ("https://e.example/{ext", "it has no {ext}"), ("/{name}.{ext}",
        "not an absolute URL"),
        ("https:///{name}.{ext}", "no host"), ("javascript:{ext}", "not an absolute URL"), ("file:///etc/passwd?{ext}",
        "not supported"),
        ("https://e.example/" + "a" * 9000 + ".{ext}", "longer than"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_skipped_with_the_reason(template: str, reason: str) -> None:
    found = discovery.endpoints(_meta("ac-discovery", "example.com " + template), wanted("example.com/app"))
    assert found.endpoints == []
    assert [reason in why for _, why in found.skipped] == [True]


@pytest.mark.parametrize(
    "prefix", ["example.co", "example.com/ap", "example.org", "xexample.com", "com", "/"]
)
def test_a_page_cannot_speak_of_names_that_are_not_below_its_prefix(prefix: str) -> None:
    tags = _meta("ac-discovery", prefix + " https://e.example/{name}.{ext}") + _meta(
        "ac-discovery-pubkeys", prefix + " https://e.example/k"
    )
    found = discovery.endpoints(tags, wanted("example.com/app"))
    assert (found.endpoints, found.keys) == ([], [])


def test_a_value_is_replaced_once_and_made_fit_for_a_url() -> None:
    made = discovery.render("https://e/{name}/{x}.{ext}", {"name": "a/b", "x": "{ext} é<>", "ext": "aci"})
    assert made == ("https://e/a/b/%7Bext%7D%20%C3%A9%3C%3E.aci", None)


def test_the_same_endpoint_twice_is_one() -> None:
    tag = _meta("ac-discovery", "example.com https://e.example/{name}.{ext}")
    assert len(discovery.endpoints(tag * 3, wanted("example.com/app")).endpoints) == 1


def test_pages_are_the_names_and_its_parents() -> None:
    assert discovery.pages("example.com/a/b") == [
        "https://example.com/a/b?ac-discovery=1", "https://example.com/a?ac-discovery=1", "https://example.com?ac-discovery=1",
    ]  # fmt: skip
    assert (
        discovery.pages("example.com/a", scheme="http", port=8080)[0]
        == "http://example.com:8080/a?ac-discovery=1"
    )


@pytest.mark.parametrize(
    ("asked", "fits"),
    [("example.com/app", True), ("example.com/app:1.0", True), ("example.com/app:1.0,os=linux", True), ("example.com/app:2.0",
    False),
     ("example.com/app,channel=beta", False), ("example.com/other", False), ("example.com/app,channel=", False)],
)  # fmt: skip
def test_what_arrives_must_be_what_was_asked_for(asked: str, fits: bool) -> None:
    manifest = ImageManifest.new("example.com/app")
    manifest.labels = [Label(name="version", value="1.0"), Label(name="os", value="linux")]
    if fits:
        discovery.check_found(manifest, wanted(asked))
        return
    with pytest.raises(InvalidInput) as caught:
        discovery.check_found(manifest, wanted(asked))
    assert caught.value.reason == "other-image"


# -- tags ----------------------------------------------------------------------------------------------------------


def _read(html: str) -> list[tuple[str, str, str]]:
    return [(tag.kind, tag.prefix, tag.value) for tag in metatags.read(html)]


ONE = [("discovery", "a.example", "https://x")]


@pytest.mark.parametrize(
    "html",
    [
        '<meta name="ac-discovery" content="a.example https://x">', "<META CONTENT='a.example https://x' NAME='ac-discovery'/>",
        "<meta\nname=ac-discovery\tcontent='  a.example \n  https://x  ' >",
        '<meta name="ac-discovery" content="a.example&#32;https&#x3a;//x">',
        '<!-- <meta name="ac-discovery" content="b c"> --><meta name="ac-discovery" content="a.example https://x">',
        '<!--><meta name="ac-discovery" content="a.example https://x">',
        '<script>"<meta name=ac-discovery content=\'b c\'>"</script><meta name="ac-discovery" content="a.example https://x">',
        '<title><meta name=ac-discovery content="b c"></TITLE ><meta name="ac-discovery" content="a.example https://x">',
        '<p title="<meta name=ac-discovery content=\'b c\'>"><meta name="ac-discovery" content="a.example https://x">',
        '<meta name="ac-discovery" name="x" content="a.example https://x" content="b c">',
        '< meta><a<b><meta name="ac-discovery" content="a.example https://x">',
        '<meta name="ac-discovery" content="a.example https://x"><meta name="ac-discovery" content="b c"',
        "a < b & c<meta name=ac-discovery content='a.example https://x'><meta",
        '<?xml version="1.0"?><!DOCTYPE x><meta name="ac-discovery" content="a.example https://x">',
        '</meta name="ac-discovery" content="b c"><meta name="ac-discovery" content="a.example https://x">',
        '<meta name="ac-discovery" content="a.example https://x"><plaintext><meta name="ac-discovery" content="b c">',
        '<metadata name="ac-discovery" content="b c"><meta name="ac-discovery" content="a.example https://x">',
        '<meta name="ac-discovery" content="a.example https://x"><script><meta name="ac-discovery" content="b c">',
    ],
)  # fmt: skip
def test_one_tag_is_found_in_whatever_surrounds_it(html: str) -> None:
    assert _read(html) == ONE


@pytest.mark.parametrize(
    "html",
    [
        "", "<", "<meta", "<meta>", '<meta name="ac-discovery">', '<meta name="ac-discovery" content="">',
        '<meta name="ac-discovery" content="a.example">',
        '<meta name="discovery" content="a b">', '<meta content="a b">', '<meta name="ac-discovery" content="a b', "<!-- " * 9,
        "<script>", "\0", "<!", "</",
    ],
)  # fmt: skip
def test_what_is_no_tag_gives_none(html: str) -> None:
    assert _read(html) == []


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.text("<>/=\"' !-&#;amet\tn", max_size=60))
def test_any_page_is_read_to_its_end(html: str) -> None:
    found = _read(
        html
        + " --></script></title><p a=\"\" b=''>"
        + '<meta name="ac-discovery" content="a.example https://x">'
    )
    assert len(found) <= 1 or found[-1] == ONE[0]


@pytest.mark.parametrize(
    "part",
    [
        "<",
        "<meta ",
        "<!--",
        "<script",
        "</",
        "<a b='",
        '<a "',
        "&#",
        "<title>",
        "<meta name=x content=y>",
        "<a" + " b" * 5,
    ],
)
def test_a_hostile_page_costs_no_more_than_its_length(part: str) -> None:
    """Each scan goes forward only: the number of characters looked at is linear, so a page of the largest size is read."""
    html = part * (metatags.LARGEST // len(part))
    assert _read(html) == []


@pytest.mark.parametrize(
    "html", ["x" * (metatags.LARGEST + 1), '<meta name="ac-discovery" content="a b">' * (metatags.MOST + 1)]
)
def test_a_page_beyond_all_measure_is_refused(html: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        metatags.read(html)
    assert caught.value.reason == "discovery-page"
