"""Places of shared caches, and what is believed of their records."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.build.importcache import Imported, SharedCache
from lading.build.progress import Progress
from lading.build.sharing import CONFIG, Place, SharedConfig, check_indexes, decode, described, places
from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.oci_image import Manifest
from support.mutating import mutated

KEY = "ab" * 32
DIFF = "sha256:" + "1" * 64


def test_a_name_alone_is_a_registrys():
    [place] = places(["registry.test/cache:1"], to=True)
    assert (place.kind, place.where, place.whole) == ("registry", "registry.test/cache:1", False)


def test_attributes_are_typed():
    [place] = places(
        ["type=local,dest=d,mode=max,tag=t,compression=zstd,compression-level=3,ignore-error=true"], to=True
    )
    assert (place.where, place.whole, place.tag, place.compression, place.level, place.tolerant) == (
        "d", True, "t", "zstd", 3, True,
    )  # fmt: skip
    [place] = places([f"type=local,src=d,digest={DIFF}"], to=False)
    assert place.digest == DIFF


@pytest.mark.parametrize(
    "text,to",
    [
        ("type=local", True),
        ("type=local,dest=d", False),
        ("type=registry", True),
        ("type=registry,ref=a@sha256:" + "0" * 64, True),
        ("type=inline,mode=max", True),
        ("type=inline", False),
        ("type=nothing,ref=a", True),
        ("type=registry,ref=a,mode=all", True),
        ("type=registry,ref=a,compression=lzma", True),
        ("type=local,src=d,digest=x", False),
        ("type=registry,ref=a,what", True),
        ("a b", True),
    ],
)
def test_mistakes_are_refused(text, to):
    with pytest.raises(InvalidInput):
        places([text], to=to)


@pytest.mark.parametrize("text", ["type=gha", "type=s3,region=x", "type=registry,ref=a,image-manifest=false"])
def test_what_is_not_supported_is_named(text):
    with pytest.raises(Unsupported):
        places([text], to=True)


def config(**changes):
    record = {"keys": [KEY], "name": "RUN x", "layers": [0], "created": [""], "sizes": [1], **changes}
    return json.dumps({"version": 1, "layers": [{"blob": 0, "diffId": DIFF}], "records": [record]})


def test_the_places_of_a_cache_are_let_go_of_with_it():
    closed = []

    class Origin:
        def close(self) -> None:
            closed.append(self)

    manifest = Manifest(config=described(CONFIG, b"{}"))
    origins = [Origin(), Origin()]
    imported = [Imported(Place("local"), origin, manifest, SharedConfig()) for origin in origins]
    with SharedCache(None, None, imported, Progress()):
        assert closed == []
    assert closed == origins


def test_records_are_checked():
    made = decode(config(), "the cache")
    assert made.records[0].layers == [0]
    check_indexes(made, 1, "the cache")
    with pytest.raises(InvalidInput):
        check_indexes(made, 0, "the cache")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"version": 2}',
        config(keys=["../../etc/passwd"]),
        config(keys=[KEY.upper()]),
        config(layers=[-1]),
        config(layers=[0, 1]),
        config(sizes=[-5]),
        config(sizes=["x"]),
        '{"version":1,"layers":[{"blob":0,"diffId":"nothing"}]}',
    ],
)
def test_hostile_records_are_refused(text):
    with pytest.raises(LadingError):
        decode(text, "the cache")


SHARED = {
    "version": 1,
    "layers": [{"blob": 0, "diffId": DIFF}],
    "records": [
        {"keys": [KEY], "name": "x", "layers": [0], "created": ["2020-01-01T00:00:00Z"], "sizes": [3]}
    ],
}


@given(mutated(SHARED) | st.binary(max_size=60))
def test_any_configuration_is_read_as_it_is_written_or_refused(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        made = decode(text, "the cache")
        check_indexes(made, 1, "the cache")
    except LadingError as error:
        assert error.message.startswith("the cache")
    else:
        assert decode(json.dumps(made.encode()), "again").encode() == made.encode()


@given(st.text('type=registry,ref local"dest:mode/max@0;', max_size=40), st.booleans())
def test_any_text_is_a_place_or_refused(text, to):
    try:
        places([text], to=to)
    except LadingError as error:
        assert error.message
