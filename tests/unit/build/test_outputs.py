"""``--output`` in its forms, and what is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.build.outputs import annotation, choose, parse
from lading.errors import InvalidInput, LadingError, Unsupported


def test_shorthands_are_files_and_a_tar_stream():
    assert (parse("out").kind, parse("out").dest) == ("local", "out")
    assert (parse("-").kind, parse("-").dest) == ("tar", "-")
    assert parse("type=oci").dest == "-"


def test_attributes_are_typed():
    made = parse(
        'type=image,"name=a:1,b:2",compression=zstd,compression-level=7,force-compression=true,push=true,'
        "annotation.org.x=y,annotation-index.k=v=w,annotation-manifest[linux/arm64].p=q"
    )
    assert made.names == ["a:1", "b:2"]
    assert (made.form.compression, made.form.level, made.form.force, made.push) == ("zstd", 7, True, True)
    assert [(a.place, a.platform, a.key, a.value) for a in made.form.annotations] == [
        ("manifest", "", "org.x", "y"),
        ("index", "", "k", "v=w"),
        ("manifest", "linux/arm64", "p", "q"),
    ]
    assert parse("type=oci,tar=false,dest=d").archive is False
    assert parse("type=docker").stored
    assert not parse("type=docker,dest=f").stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        "type=nothing",
        "dest=x",
        "type=local",
        "type=local,dest=-",
        "type=oci,tar=false",
        "type=image,dest=x",
        "type=image,compression=lzma",
        "type=image,compression-level=x",
        "type=image,compression-level=10",
        "type=image,compression=zstd,compression-level=23",
        "type=image,compression=uncompressed,compression-level=1",
        "type=image,compression=zstd,oci-mediatypes=false",
        "type=image,oci-mediatypes=false,annotation.a=b",
        "type=image,push=perhaps",
        "type=image,annotation=x",
        "type=image,annotation-nowhere.a=b",
        "type=image,annotation-index[linux/arm64].a=b",
        "type=local,dest=x,compression=gzip",
        "type=tar,push=true",
        "type=image,unknown=1",
        "type=image,justaword",
    ],
)
def test_mistakes_are_refused(text):
    with pytest.raises(InvalidInput):
        parse(text)


@pytest.mark.parametrize(
    "text", ["type=image,compression=estargz", "type=image,push-by-digest=true", "type=image,store=false"]
)
def test_what_is_not_supported_is_named(text):
    with pytest.raises(Unsupported):
        parse(text)


def test_flags_add_outputs_and_names():
    assert [o.kind for o in choose([])] == ["image"]
    assert [o.kind for o in choose(["out"], load=True)] == ["local", "docker"]
    assert [o.kind for o in choose([], push=True, names=["a"])] == ["registry"]
    [both] = choose(["type=image,name=b"], push=True, names=["a"])
    assert both.push
    assert both.names == ["b", "a"]
    with pytest.raises(InvalidInput, match="name"):
        choose([], push=True)
    with pytest.raises(InvalidInput, match="standard output"):
        choose(["-", "type=oci"])
    with pytest.raises(InvalidInput, match="annotation"):
        choose(["out"], annotations=["a=b"])
    with pytest.raises(InvalidInput, match="Docker's manifests"):
        choose(["type=image,oci-mediatypes=false"], annotations=["a=b"])
    with pytest.raises(InvalidInput):
        choose([], names=["a@sha256:" + "0" * 64])


def test_annotations_say_where_they_stand():
    assert [(a.place, a.key, a.value) for a in annotation("a=b=c")] == [("manifest", "a", "b=c")]
    made = annotation("index,manifest[linux/arm64]:k=v")
    assert [(a.place, a.platform) for a in made] == [("index", ""), ("manifest", "linux/arm64")]
    for wrong in ("a", "=b", "nowhere:a=b", "index[linux/amd64]:a=b"):
        with pytest.raises(InvalidInput):
            annotation(wrong)


WORDS = [
    "type=", "local", "image", "oci", "dest=", "name=", "push=", "true", "compression=", "zstd", "gzip", "compression-level=",
    "annotation", "-manifest-descriptor", "[linux/amd64]", ".", "k", "=", ",", '"', "-", "22", "oci-mediatypes=", "a:1",
    "\0", "é",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_any_text_is_an_output_or_refused_in_a_line(text):
    for call in (parse, annotation, lambda t: choose([t], push=True, names=["a"], annotations=["k=v"])):
        try:
            call(text)
        except LadingError as error:
            assert error.message
            assert len(str(error).splitlines()) == 1
