"""What is decided about a request before anything is read: its route, its range, its conditions, its words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.registry import words
from lading.registry.edge import routes
from lading.registry.edge.conditions import Conditions
from lading.registry.errors import Refusal

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("path", "kind", "name", "rest"),
    [
        ("/v2/", "base", "", ""),
        ("/v2", "base", "", ""),
        ("/v2/_catalog", "catalog", "", ""),
        ("/v2/a/tags/list", "tags", "a", ""),
        ("/v2/a/b/manifests/latest", "manifest", "a/b", "latest"),
        ("/v2/tags/list/manifests/list", "manifest", "tags/list", "list"),
        (f"/v2/a/blobs/{DIGEST}", "blob", "a", DIGEST),
        ("/v2/a/blobs/uploads/", "uploads", "a", ""),
        ("/v2/a/blobs/uploads", "uploads", "a", ""),
        ("/v2/a/blobs/uploads/x", "upload", "a", "x"),
        ("/v2/blobs/uploads/blobs/uploads/x", "upload", "blobs/uploads", "x"),
        (f"/v2/a/referrers/{DIGEST}", "referrers", "a", DIGEST),
        ("/v2/manifests/latest", "none", "", ""),
        ("/v1/a/tags/list", "none", "", ""),
        ("/v2/a/tags/other", "none", "", ""),
        ("/", "none", "", ""),
        ("", "none", "", ""),
    ],
)
def test_a_path_is_read_from_its_end(path, kind, name, rest):
    found = routes.find(path)
    assert (found.kind, found.name, found.rest) == (kind, name, rest)


@given(st.text(alphabet="/v2abloupsdmnifetgrc_.:-%", max_size=60))
def test_any_path_is_some_route_or_none(path):
    found = routes.find(path)
    assert found.kind in routes.METHODS or found.kind == routes.NONE


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, (0, 100)),
        ("bytes=0-9", (0, 10)),
        ("bytes=10-", (10, 90)),
        ("bytes=-10", (90, 10)),
        ("bytes=-1000", (0, 100)),
        ("bytes=99-1000", (99, 1)),
        ("bytes=100-", None),
        ("bytes=100-200", None),
        ("bytes=-0", None),
        ("BYTES = 0-0", (0, 1)),
        ("bytes=9-1", None),
        ("bytes=0-1,5-6", (0, 100)),
        ("bytes=", (0, 100)),
        ("bytes=-", (0, 100)),
        ("bytes=a-b", (0, 100)),
        ("bytes=٣-", (0, 100)),
        ("bytes=" + "9" * 40 + "-", (0, 100)),
        ("lines=1-2", (0, 100)),
    ],
)
def test_one_satisfiable_range_is_given_and_others_are_not(header, span):
    headers = {} if header is None else {"Range": header}
    assert Conditions(headers, DIGEST).span(100) == span


@given(st.text(max_size=30), st.integers(0, 1 << 40))
def test_no_range_leads_out_of_the_content(text, size):
    span = Conditions({"Range": "bytes=" + text}, DIGEST).span(size)
    if span is not None:
        start, length = span
        assert start >= 0
        assert length >= 0
        assert start + length <= size


def test_a_range_counts_only_while_its_condition_holds():
    held = {"Range": "bytes=0-1", "If-Range": f'"{DIGEST}"'}
    assert Conditions(held, DIGEST).span(100) == (0, 2)
    assert Conditions({**held, "If-Range": '"other"'}, DIGEST).span(100) == (0, 100)


@pytest.mark.parametrize(
    ("headers", "method", "verdict"),
    [
        ({}, "GET", 0),
        ({"If-None-Match": f'"{DIGEST}"'}, "GET", 304),
        ({"If-None-Match": f'W/"{DIGEST}"'}, "HEAD", 304),
        ({"If-None-Match": f'"other", "{DIGEST}"'}, "GET", 304),
        ({"If-None-Match": "*"}, "GET", 304),
        ({"If-None-Match": '"other"'}, "GET", 0),
        ({"If-None-Match": "*"}, "PUT", 412),
        ({"If-Match": '"other"'}, "GET", 412),
        ({"If-Match": f'"{DIGEST}"'}, "PUT", 0),
        ({"If-Match": "*"}, "PUT", 0),
    ],
)
def test_conditions_end_a_request_as_rfc_9110_has_it(headers, method, verdict):
    assert Conditions(headers, DIGEST).verdict(method) == verdict


@given(st.text(max_size=40))
def test_every_word_is_taken_whole_or_refused(text):
    for read in (words.repository, words.tag, words.digest):
        try:
            assert read(text) == text
        except Refusal as error:
            assert error.status == 400
    try:
        tag, digest = words.reference(text)
        assert bool(tag) != bool(digest)
    except Refusal as error:
        assert error.status == 400
    try:
        number = words.number(text, "n")
        assert number is None or number >= 0
    except Refusal as error:
        assert error.status == 400
