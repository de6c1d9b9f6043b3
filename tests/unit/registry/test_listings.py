"""Tags, the catalog and referrers, page by page."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from lading.registry.errors import Refusal
from lading.registry.referrers import Referrers
from lading.registry.repositories import Repositories

SUBJECT = {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": "sha256:" + "b" * 64,
    "size": 9,
}


def test_tags_come_in_the_order_of_their_bytes_and_in_pages(shop):
    image = shop.image("one")
    data = shop.manifests.read(shop.manifests.find("one", image))
    for tag in ("b", "A", "a", "10", "9"):
        shop.manifests.put("one", tag, "", data)
    lists = Repositories(shop.store)
    assert lists.tags("one", None, "").names == ["10", "9", "A", "a", "b"]
    page = lists.tags("one", 2, "")
    assert (page.names, page.last) == (["10", "9"], "9")
    page = lists.tags("one", 2, "a")
    assert (page.names, page.last) == (["b"], "")
    assert (lists.tags("one", 0, "").names, lists.tags("one", 0, "").last) == ([], "")
    assert lists.tags("one", 5, "").last == ""
    with pytest.raises(Refusal) as caught:
        lists.tags("two", None, "")
    assert caught.value.code == "NAME_UNKNOWN"


def test_the_catalog_shows_what_the_caller_may_see(shop):
    for name in ("c", "a/b", "b", "a"):
        shop.blob(name, b"x")
    lists = Repositories(shop.store)
    assert lists.catalog(None, "", lambda _: True).names == ["a", "a/b", "b", "c"]
    page = lists.catalog(1, "", lambda name: name != "a")
    assert (page.names, page.last) == (["a/b"], "a/b")
    assert lists.catalog(9, "a/b", lambda name: name != "b").names == ["c"]


def test_referrers_are_those_with_that_subject_in_that_repository(shop):
    first = shop.image("one", b"1", subject=SUBJECT, artifactType="text/sbom", annotations={"a": "b"})
    second = shop.image("one", b"2", subject=SUBJECT)
    shop.image("two", b"3", subject=SUBJECT)
    shop.image("one", b"4")
    answer = Referrers(shop.store).list("one", SUBJECT["digest"])
    index = json.loads(answer.data)
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert {d["digest"]: d.get("artifactType") for d in index["manifests"]} == {
        first: "text/sbom",
        second: "application/vnd.oci.image.config.v1+json",
    }
    assert [d.get("annotations") for d in index["manifests"] if d["digest"] == first] == [{"a": "b"}]
    filtered = json.loads(Referrers(shop.store).list("one", SUBJECT["digest"], "text/sbom").data)
    assert [d["digest"] for d in filtered["manifests"]] == [first]
    assert json.loads(Referrers(shop.store).list("none", SUBJECT["digest"]).data)["manifests"] == []


def test_many_referrers_come_in_pages(shop):
    made = {shop.image("one", bytes([n]), subject=SUBJECT) for n in range(7)}
    lists = Referrers(shop.store, largest=700)
    seen: list[str] = []
    last = ""
    pages = 0
    while True:
        answer = lists.list("one", SUBJECT["digest"], last=last)
        seen += [d["digest"] for d in json.loads(answer.data)["manifests"]]
        pages, last = pages + 1, answer.last
        if not last:
            break
    assert pages > 1
    assert len(seen) == 7
    assert set(seen) == made


def test_a_page_of_referrers_is_all_that_is_read_of_them(shop):
    for number in range(24):
        shop.image("one", subject=SUBJECT, annotations={"filler": f"{number}" + "x" * (1 << 20)})
    referrers = Referrers(shop.store, largest=1 << 20)
    tracemalloc.start()
    try:
        answer = referrers.list("one", SUBJECT["digest"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.count == 1
    assert answer.last
    assert peak < 12 << 20


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_older_clients_read_referrers_under_their_tag(shop, algorithm):
    text = "c" * (64 if algorithm == "sha256" else 128)
    made = shop.image("one", subject={**SUBJECT, "digest": f"{algorithm}:{text}"})
    lists = Referrers(shop.store)
    index = json.loads(lists.fallback("one", f"{algorithm}-{text[:64]}") or b"{}")
    assert [d["digest"] for d in index["manifests"]] == [made]
    for tag in ("latest", f"{algorithm}-{'d' * 64}", f"{algorithm}-c", f"md5-{text[:64]}"):
        assert lists.fallback("one", tag) is None
