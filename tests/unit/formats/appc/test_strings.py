"""What people type about images, volumes, mount points and ports is read exactly and printed again."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, Unsupported
from lading.formats.appc import source, strings
from lading.formats.appc.app import MountPoint, Port
from lading.formats.appc.pod import Volume
from lading.formats.appc.wanted import Wanted, wanted

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


NAMES = st.from_regex(r"[a-z0-9]{1,4}(-[a-z0-9]{1,3}){0,2}", fullmatch=True)
WORDS = st.text(st.characters(exclude_characters="\0,", exclude_categories=["Cs"]), max_size=8)


@pytest.mark.parametrize(
    ("text", "name", "labels"),
    [
        ("example.com/worker:1.0.0", "example.com/worker", {"version": "1.0.0"}), ("example.com/worker", "example.com/worker",
        {}),
        ("example.com/worker,channel=alpha,label=value", "example.com/worker", {"channel": "alpha", "label": "value"}),
        ("example.com/worker:1.0.0,label=value", "example.com/worker", {"version": "1.0.0", "label": "value"}),
        ("example.com/app:1.0,os=linux,arch=amd64", "example.com/app", {"version": "1.0", "os": "linux", "arch": "amd64"}),
        ("a,b=c=d,e=", "a", {"b": "c=d", "e": ""}), ("a:", "a", {"version": ""}), ("a,x=v1+v2 %41", "a", {"x": "v1+v2 %41"}),
        ("a,version=2", "a", {"version": "2"}), ("a:1/2", "a", {"version": "1/2"}),
    ],
)  # fmt: skip
def test_an_image_is_asked_for_by_name_and_labels(text: str, name: str, labels: dict[str, str]) -> None:
    assert wanted(text) == Wanted(name, labels)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"), (":1.0", "empty"), ("example.com/app:1.0:2", "more than one colon"), ("example.com/app,x=a:1.0",
        "a colon"),
        ("example.com/app,channel", "has no value"), ("example.com/app,", "has no value"), ("example.com/app,a=1,a=2",
        "given twice"),
        ("example.com/app:1,version=2", "given twice"), ("example.com/app,name=x", "called 'name'"), ("example.com/app,A=1",
        "AC Identifier"),
        ("Example.com/app", "AC Identifier"), ("name=app", "comes first"), ("example.com/app,os=plan9", "unknown os"), ("a ,b=c",
        "AC Identifier"),
        ("a,=b", "empty"),
    ],
)  # fmt: skip
def test_another_text_asks_for_nothing(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        wanted(text)


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(
    NAMES,
    st.dictionaries(
        NAMES.filter(lambda n: n not in ("name", "os", "arch")),
        WORDS.filter(lambda w: ":" not in w),
        max_size=3,
    ),
)
def test_what_was_asked_for_is_printed_as_it_is_typed(name: str, labels: dict[str, str]) -> None:
    made = Wanted(name, labels)
    assert wanted(str(made)) == made


def test_a_clients_own_labels_do_not_replace_given_ones() -> None:
    made = wanted("a,arch=i386").with_defaults({"os": "linux", "arch": "amd64"})
    assert made.labels == {"os": "linux", "arch": "i386"}


# -- volumes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("database,kind=host,source=/tmp,readOnly=true,recursive=true", Volume(name="database", kind="host", source="/tmp",
        read_only=True, recursive=True)),
        ("foobar,kind=host,source=/tmp,readOnly=false,recursive=false", Volume(name="foobar", kind="host", source="/tmp",
        read_only=False, recursive=False)),
        ("foobar,kind=host,source=/tmp", Volume(name="foobar", kind="host", source="/tmp")),
        ("foobar,kind=empty", Volume(name="foobar", kind="empty")), ("foobar,kind=empty,readOnly=1", Volume(name="foobar",
        kind="empty", read_only=True)),
        ("foobar,kind=empty,mode=0777,uid=12,gid=13", Volume(name="foobar", kind="empty", mode="0777", uid=12, gid=13)),
        ("x,kind=host,source=/a=b c", Volume(name="x", kind="host", source="/a=b c")),
    ],
)  # fmt: skip
def test_a_volume_is_read(text: str, made: Volume) -> None:
    assert strings.volume(text) == made


@pytest.mark.parametrize(
    "text",
    [
        "", "foobar", "foobar,kind=host", "foobar,kind=host,source=tmp", "foobar,kind=empty,source=/tmp",
        "foobar,kind=host,source=/tmp,mode=0755",
        "foobar,kind=host,source=/tmp,uid=0", "foobar,kind=host,source=/tmp,gid=0", "foobar,kind=nothing",
        "foobar,kind=empty,readOnly=yes",
        "foobar,kind=empty,uid=-1", "foobar,kind=empty,uid=root", "foobar,kind=empty,mode=9", "foobar,kind=empty,kind=empty",
        "foobar,kind=empty,size=1", "Foo,kind=empty", "kind=empty", "foobar,kind", "foobar,kind=empty,uid=99999999999",
        ",kind=empty",
    ],
)  # fmt: skip
def test_another_text_is_no_volume(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^volume '"):
        strings.volume(text)


FLAGS = st.none() | st.booleans()
VOLUMES = st.builds(Volume, name=NAMES, kind=st.just("host"), source=WORDS.map("/".__add__), read_only=FLAGS,
recursive=FLAGS) | st.builds(
    Volume, name=NAMES, kind=st.just("empty"), read_only=FLAGS, mode=st.none() | st.sampled_from(["0755", "1777"]),
    uid=st.none() | st.integers(0, 2**32 - 2), gid=st.none() | st.integers(0, 9),
)  # fmt: skip


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(VOLUMES)
def test_a_volume_is_printed_as_it_is_typed(made: Volume) -> None:
    assert strings.volume(strings.volume_text(made)) == made


# -- mount points and ports ----------------------------------------------------------------------------------------


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.builds(MountPoint, name=NAMES, path=WORDS.map("/".__add__), read_only=st.booleans()))
def test_a_mount_point_is_printed_as_it_is_typed(made: MountPoint) -> None:
    assert strings.mount_point(strings.mount_point_text(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "db",
        "db,path=",
        "db,path=tmp",
        "db,path=/tmp,readOnly=x",
        "db,path=/tmp,kind=host",
        "DB,path=/tmp",
        "db,path=/a,path=/b",
    ],
)
def test_another_text_is_no_mount_point(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^mount point '"):
        strings.mount_point(text)


def test_a_path_with_a_comma_has_no_such_form() -> None:
    with pytest.raises(InvalidInput, match="comma"):
        strings.mount_point_text(MountPoint(name="a", path="/a,b"))


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("health-check,protocol=udp,port=8000", Port(name="health-check", protocol="udp", port=8000)),
        ("query,protocol=tcp,port=8080,count=1,socketActivated=true", Port(name="query", protocol="tcp", port=8080,
        socket_activated=True)),
        ("q,protocol=tcp,port=65000,count=536", Port(name="q", protocol="tcp", port=65000, count=536)),
    ],
)  # fmt: skip
def test_a_port_is_read_and_printed(text: str, made: Port) -> None:
    assert strings.port(text) == made
    assert strings.port(strings.port_text(made)) == made


@pytest.mark.parametrize(
    "text",
    ["", "q", "q,port=80", "q,protocol=tcp", "q,protocol=tcp,port=0", "q,protocol=tcp,port=65536", "q,protocol=tcp,port=+80",
    "q,protocol=tcp,port=80,count=0",
     "q,protocol=tcp,port=65000,count=537", "q,protocol=tcp,port=80,x=1", "Q,protocol=tcp,port=80", "q,protocol=,port=80",
     "q,protocol=tcp,port=\u0661"],
)  # fmt: skip
def test_another_text_is_no_port(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^port '"):
        strings.port(text)


@pytest.mark.parametrize(
    ("text", "made"), [("http:8080", ("http", "", 8080)), ("http:127.0.0.1:80", ("http", "127.0.0.1", 80))]
)
def test_a_published_port_names_the_hosts(text: str, made: tuple[str, str, int]) -> None:
    assert strings.published(text) == made


@pytest.mark.parametrize(
    "text", ["", "http", "http:", ":80", "http:0", "http:65536", "http:a:b:80", "http:x"]
)
def test_another_text_publishes_nothing(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^port '"):
        strings.published(text)


# -- sources -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "rest"),
    [
        ("example.com/app:1.0,os=linux", "name", "example.com/app:1.0,os=linux"), ("busybox", "name", "busybox"), ("sha512-abcd",
        "id", "abcd"),
        ("/tmp/app.aci", "file", "/tmp/app.aci"), ("./app.aci", "file", "./app.aci"), ("../app.aci", "file", "../app.aci"),
        ("file:///tmp/app.aci", "file", "/tmp/app.aci"), ("https://example.com/app.aci", "url", "https://example.com/app.aci"),
        ("http://example.com/app.aci", "url", "http://example.com/app.aci"), ("docker://busybox", "registry", "busybox"),
        ("docker:///busybox:1", "registry", "busybox:1"), ("docker://quay.example/a/b@sha256:00", "registry",
        "quay.example/a/b@sha256:00"),
    ],
)  # fmt: skip
def test_the_text_alone_says_where_an_image_comes_from(text: str, kind: str, rest: str) -> None:
    made = source.source(text)
    assert (made.kind, made.text) == (kind, rest)
    assert (made.wanted is not None) == (kind == "name")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha512-",
        "sha512-XYZW",
        "docker:busybox",
        "docker://",
        "https:///x",
        "file://host/x",
        "file://",
        "App",
    ],
)
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        source.source(text)


def test_another_scheme_is_not_supported() -> None:
    with pytest.raises(Unsupported, match="hdfs"):
        source.source("hdfs://example.com/app.aci")
