"""Signatures in the store: added, found again, gone with their image."""

from __future__ import annotations

import threading

import pytest

from lading.errors import Corrupt
from lading.formats.signing.attached import Signature
from lading.images.signing import kept
from lading.images.signing.kept import BUNDLE, TAG, Entry

DIGEST = "sha256:" + "a" * 64


def entry(text: str) -> Entry:
    return Entry(TAG, signature=Signature(text.encode(), "AAAA", {"k": "v"}))


def test_entries_come_back_as_they_were(images):
    bundle = Entry(BUNDLE, bundle=b"{}")
    assert kept.entries(images, DIGEST) == []
    assert kept.add(images, DIGEST, [entry("one"), bundle]) == 2
    assert kept.add(images, DIGEST, [entry("one"), entry("two")]) == 1
    found = kept.entries(images, DIGEST)
    assert found == [entry("one"), bundle, entry("two")]
    assert found[0].signature.annotations == {"k": "v"}
    assert [e.form for e in found] == [TAG, BUNDLE, TAG]


def test_of_several_that_sign_at_once_none_is_lost(images):
    threads = [
        threading.Thread(target=kept.add, args=(images, DIGEST, [entry(str(number))])) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {e.signature.payload for e in kept.entries(images, DIGEST)} == {str(n).encode() for n in range(8)}


def test_they_go_with_their_content_and_not_before(images):
    with images.lease() as lease:
        digest = images.content.put(b"a manifest", lease=lease)
        kept.add(images, digest, [entry("one")])
        kept.remember(images, "f" * 64, digest)
        images.prune(all=True)
        assert kept.entries(images, digest)
        assert kept.remembered(images, "f" * 64)
    images.prune(all=True)
    assert not images.content.has(digest)
    assert not kept.entries(images, digest)
    assert not kept.remembered(images, "f" * 64)


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"entries": 5},
        {"entries": [{}]},
        {"entries": [{"form": "other"}]},
        {"entries": [{"form": "tag", "payload": "%", "signature": "x"}]},
        {"entries": [{"form": "tag", "payload": "", "signature": "x", "annotations": [1]}]},
        {"entries": ["text"]},
    ],
)
def test_a_broken_record_is_said_as_such(images, about):
    images.pins.put("signature", DIGEST.replace(":", "-"), holds=[], about=about)
    with pytest.raises(Corrupt):
        kept.entries(images, DIGEST)
