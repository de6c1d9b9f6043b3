"""Image manifests: the specification's example, every rule with its field, and exact writing."""

from __future__ import annotations

import copy
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats import jsontext
from lading.formats.appc.app import App, EnvironmentVariable, EventHandler, MountPoint, Port
from lading.formats.appc.image import Dependency, ImageManifest
from lading.formats.appc.isolators import Isolator
from lading.formats.appc.labels import Annotation, Label
from lading.formats.appc.record import LARGEST, unknown_fields

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


ID = "sha512-" + "ab" * 64

FULL: dict[str, object] = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.org/worker",
    "labels": [
        {"name": "version", "value": "1.0.0"}, {"name": "arch", "value": "amd64"}, {"name": "os", "value": "linux"},
    ],
    "app": {
        "exec": ["/usr/bin/worker", "--quiet"],
        "eventHandlers": [{"name": "pre-start", "exec": ["/bin/before"]}, {"name": "post-stop", "exec": ["/bin/after", "-v"]}],
        "user": "100",
        "group": "300",
        "supplementaryGIDs": [400, 500],
        "workingDirectory": "/opt/work",
        "environment": [{"name": "WORKER_DEBUG", "value": "true"}],
        "mountPoints": [{"name": "work", "path": "/var/lib/work", "readOnly": True}],
        "ports": [
            {"name": "health", "protocol": "tcp", "port": 4000, "count": 1, "socketActivated": True},
            {"name": "data", "protocol": "tcp", "port": 20000, "count": 1000, "socketActivated": False},
        ],
        "isolators": [{"name": "resource/cpu", "value": {"request": "250m", "limit": "500m"}}],
        "userAnnotations": {"any key": "x"},
        "userLabels": {"TEAM": "y"},
    },
    "annotations": [{"name": "created", "value": "2014-10-27T19:32:27.67021798Z"}],
    "dependencies": [
        {"imageName": "example.org/base", "imageID": ID, "labels": [{"name": "os", "value": "linux"}], "size": 22017258},
    ],
    "pathWhitelist": ["/etc/ca/example.org/crt", "/etc/systemd/system/"],
}  # fmt: skip
SMALL: dict[str, object] = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "a"}


def _parse(value: object) -> ImageManifest:
    return ImageManifest.parse(json.dumps(value))


def _changed(path: str, value: object) -> dict[str, object]:
    """FULL with the value at ``path`` (``app.ports.0.name``) replaced, or removed when it is ``...``."""
    made = copy.deepcopy(FULL)
    here: object = made
    *way, last = path.split(".")
    for part in way:
        here = here[int(part)] if isinstance(here, list) else here[part]  # type: ignore[index]
    if value is ...:
        del here[last]  # type: ignore[attr-defined]
    else:
        here[int(last) if isinstance(here, list) else last] = value  # type: ignore[index]
    return made


def test_a_full_manifest_is_written_as_it_was_read() -> None:
    assert json.loads(_parse(FULL).text()) == FULL
    # Field for field in the specification's order: its readers do not care, people who compare files do.
    assert _parse(FULL).text() == json.dumps(FULL, separators=(",", ":"))


def test_what_is_absent_is_not_written_but_for_a_command() -> None:
    assert _parse(SMALL).text() == json.dumps(SMALL, separators=(",", ":"))
    made = _parse({**SMALL, "app": {"user": "0", "group": "0"}})
    assert json.loads(made.text())["app"] == {"exec": None, "user": "0", "group": "0"}
    assert _parse(json.loads(made.text())) == made


def test_a_port_is_one_port_when_nothing_is_said() -> None:
    app = _parse(_changed("app.ports.0", {"name": "www", "protocol": "tcp", "port": 80})).app
    assert app is not None and (app.ports[0].count, app.ports[0].socket_activated) == (1, False)


def test_a_count_that_actool_did_not_write_is_one() -> None:
    """Given no count, ``actool patch-manifest --ports`` writes 0, which the text forbids and its own reader takes for 1."""
    made = _parse(_changed("app.ports.0.count", 0))
    assert made == _parse(_changed("app.ports.0.count", 1))
    assert made.app is not None
    made.app.ports[0].count = 0
    with pytest.raises(InvalidInput, match=r"^app\.ports\[0\]\.count: "):
        made.text()


def test_the_texts_own_misspelling_is_understood() -> None:
    value = _changed("app.supplementaryGIDs", ...)
    value["app"]["supplementaryGids"] = [7]  # type: ignore[index]
    app = _parse(value).app
    assert app is not None and app.supplementary_gids == [7]
    assert unknown_fields(_parse(value), value) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("app", ...), ("labels", ...), ("labels", []), ("annotations", None), ("dependencies", []), ("pathWhitelist", []),
        ("app.exec", ...), ("app.exec", None), ("app.exec", []), ("app.exec", ["sh", "", "a\nb"]), ("app.exec",
        ["relative/path"]),
        ("app.user", "root"), ("app.user", "/usr/bin/ping"), ("app.group", "0123"), ("app.supplementaryGIDs", [0]),
        ("app.workingDirectory", ...), ("app.environment", []), ("app.environment.0.value", ""), ("app.environment.0.name",
        "_a.b-c9"),
        ("app.mountPoints.0.readOnly", ...), ("app.ports.0.protocol", "sctp"), ("app.ports.0.port", 65535), ("app.ports.0.port",
        1),
        ("app.ports.1.count", 45536), ("app.userLabels", {"": ""}), ("dependencies.0.imageID", ...), ("dependencies.0.labels",
        ...),
        ("dependencies.0.size", ...), ("dependencies.0.size", 0), ("acVersion", "0.8.11+git"), ("acVersion", "0.1.0"),
        ("app.isolators.0", {"name": "resource/ponies", "value": [1, {"a": None}]}), ("app.isolators.0", {"name": "x",
        "value": None}),
        ("app.eventHandlers", []),
    ],
)  # fmt: skip
def test_a_valid_variation_is_accepted_and_survives(path: str, value: object) -> None:
    made = _parse(_changed(path, value))
    assert _parse(json.loads(made.text())) == made


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("acKind", "PodManifest", "acKind"), ("acKind", ..., "acKind"), ("acVersion", ..., "acVersion"), ("acVersion", "1",
        "acVersion"),
        ("acVersion", 8, "acVersion"), ("name", ..., "name"), ("name", "", "name"), ("name", "EXAMPLE.com/x", "name"), ("name",
        7, "name"),
        ("labels.0.name", "name", "labels[0].name"), ("labels.1.name", "version", "labels[1].name"), ("labels.1.value", "vax",
        "labels[1].value"),
        ("labels", {"version": "1"}, "labels"), ("labels.0", "version=1", "labels[0]"), ("labels.0.name", ..., "labels[0].name"),
        ("app", [], "app"), ("app.exec", "/bin/sh", "app.exec"), ("app.exec", [1], "app.exec[0]"), ("app.exec", [""],
        "app.exec[0]"),
        ("app.user", ..., "app.user"), ("app.user", "", "app.user"), ("app.user", 0, "app.user"), ("app.group", ..., "app.group"),
        ("app.group", "", "app.group"), ("app.supplementaryGIDs", [-1], "app.supplementaryGIDs[0]"),
        ("app.supplementaryGIDs", [2**32], "app.supplementaryGIDs[0]"), ("app.supplementaryGIDs", ["staff"],
        "app.supplementaryGIDs[0]"),
        ("app.workingDirectory", "opt", "app.workingDirectory"), ("app.workingDirectory", "./", "app.workingDirectory"),
        ("app.eventHandlers.0.name", "post-start", "app.eventHandlers[0].name"), ("app.eventHandlers.0.name", "",
        "app.eventHandlers[0].name"),
        ("app.eventHandlers.1.name", "pre-start", "app.eventHandlers[1].name"), ("app.eventHandlers.0.exec", [],
        "app.eventHandlers[0].exec"),
        ("app.environment.0.name", "", "app.environment[0].name"), ("app.environment.0.name", "9A", "app.environment[0].name"),
        ("app.environment.0.name", "A=B", "app.environment[0].name"), ("app.environment.0.name", ".a", "app.environment[0].name"),
        ("app.environment.0.name", "-a", "app.environment[0].name"), ("app.environment.0.name", "ä", "app.environment[0].name"),
        ("app.environment", [{"name": "A", "value": ""}] * 2, "app.environment[1].name"),
        ("app.environment.0.value", "a\0b", "app.environment[0].value"), ("app.environment", {"A": "b"}, "app.environment"),
        ("app.mountPoints.0.name", "Work", "app.mountPoints[0].name"), ("app.mountPoints.0.name", "a/b",
        "app.mountPoints[0].name"),
        ("app.mountPoints.0.path", "", "app.mountPoints[0].path"), ("app.mountPoints.0.path", ..., "app.mountPoints[0].path"),
        ("app.mountPoints.0.path", "db", "app.mountPoints[0].path"), ("app.mountPoints.0.readOnly", "no",
        "app.mountPoints[0].readOnly"),
        ("app.ports.0.name", "x.y", "app.ports[0].name"), ("app.ports.0.port", 0, "app.ports[0].port"),
        ("app.ports.0.port", 65536, "app.ports[0].port"), ("app.ports.0.port", "80", "app.ports[0].port"),
        ("app.ports.0.port", ..., "app.ports[0].port"), ("app.ports.0.protocol", ..., "app.ports[0].protocol"),
        ("app.ports.0.protocol", "", "app.ports[0].protocol"),         ("app.ports.0.count", -1, "app.ports[0].count"),
        ("app.ports.1.count", 45537, "app.ports[1].count"),
        ("app.isolators.0.value", {"limit": "much"}, "app.isolators[0].value.limit"), ("app.isolators.0.name", ...,
        "app.isolators[0].name"),
        ("app.userLabels", {"a": 1}, "app.userLabels.a"), ("app.userAnnotations", ["a"], "app.userAnnotations"),
        ("dependencies.0.imageName", ..., "dependencies[0].imageName"), ("dependencies.0.imageName", "",
        "dependencies[0].imageName"),
        ("dependencies.0.imageID", "sha512-...", "dependencies[0].imageID"), ("dependencies.0.imageID", "md5-ab",
        "dependencies[0].imageID"),
        ("dependencies.0.size", -1, "dependencies[0].size"), ("dependencies.0.size", 1.5, "dependencies[0].size"),
        ("dependencies.0.labels.0.value", "plan9", "dependencies[0].labels[0].value"), ("pathWhitelist.0", "etc/x",
        "pathWhitelist[0]"),
        ("pathWhitelist", "/etc", "pathWhitelist"), ("annotations.0.value", "today", "annotations[0].value"),
    ],
)  # fmt: skip
def test_a_breach_is_refused_with_its_field(path: str, value: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _parse(_changed(path, value))
    assert caught.value.message.startswith(f"manifest.{field}: ")
    assert "\n" not in str(caught.value)


def test_another_major_version_is_not_supported() -> None:
    with pytest.raises(Unsupported, match=r"^manifest\.acVersion: "):
        _parse(_changed("acVersion", "1.0.0"))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"acKind":"ImageManifest"}{}', '"x"', '{"name":"a","name":"b"}', b"\xff"]
)
def test_what_is_no_manifest_at_all_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        ImageManifest.parse(text)


def test_a_manifest_beyond_all_measure_is_refused() -> None:
    with pytest.raises(InvalidInput, match="bytes, more than"):
        ImageManifest.parse(b" " * (LARGEST + 1))


def test_an_unknown_field_is_listed_or_refused() -> None:
    value = _changed("app.ports.1.colour", "red")
    value["minimumSize"] = 1
    made = _parse(value)
    assert unknown_fields(made, value, "manifest") == ["manifest.app.ports[1].colour", "manifest.minimumSize"]
    with pytest.raises(InvalidInput) as caught:
        ImageManifest.parse(json.dumps(value), strict=True)
    assert caught.value.reason == "unknown-field"


def test_nothing_invalid_is_written() -> None:
    made = _parse(FULL)
    made.name = "Not A Name"
    with pytest.raises(InvalidInput):
        made.text()


def test_a_whitelist_is_normal_relative_paths_and_an_empty_one_is_none() -> None:
    made = _parse(_changed("pathWhitelist", ["/etc//x/../y", "/a/", "/", "/../b"]))
    assert made.whitelist() == {"etc/y", "a", "b"}
    assert _parse(SMALL).whitelist() is None


# -- property ------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z0-9]{1,4}(-[a-z0-9]{1,3}){0,2}", fullmatch=True)
IDENTIFIERS = st.from_regex(r"[a-z0-9]{1,4}([-._~/][a-z0-9]{1,3}){0,2}", fullmatch=True).filter(
    lambda t: t not in ("name", "os", "arch", "created", "homepage", "documentation")
)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
PATHS = TEXTS.map(lambda t: "/" + t)
PORTS = st.integers(1, 65535).flatmap(
    lambda first: st.builds(
        Port, name=NAMES, protocol=st.sampled_from(["tcp", "udp"]), port=st.just(first),
        count=st.integers(1, min(65536 - first, 9)), socket_activated=st.booleans(),
    )
)  # fmt: skip
APPS = st.builds(
    App,
    exec=st.lists(TEXTS, max_size=3).filter(lambda words: not words or words[0] != ""),
    event_handlers=st.just([]) | st.builds(EventHandler, name=st.sampled_from(["pre-start", "post-stop"]),
    exec=st.just(["x"])).map(lambda e: [e]),
    user=TEXTS.filter(bool),
    group=TEXTS.filter(bool),
    supplementary_gids=st.lists(st.integers(0, 2**32 - 2), max_size=3),
    working_directory=st.just("") | PATHS,
    environment=st.lists(st.builds(EnvironmentVariable, name=st.from_regex(r"[A-Za-z_][A-Za-z_0-9.-]{0,4}", fullmatch=True),
    value=TEXTS), max_size=3, unique_by=lambda e: e.name),
    mount_points=st.lists(st.builds(MountPoint, name=NAMES, path=PATHS, read_only=st.booleans()), max_size=2),
    ports=st.lists(PORTS, max_size=3),
    isolators=st.lists(st.builds(Isolator, name=st.just("x/y"), value=st.none() | st.integers(-5, 5) | TEXTS), max_size=2),
    user_annotations=st.dictionaries(TEXTS, TEXTS, max_size=2),
    user_labels=st.dictionaries(TEXTS, TEXTS, max_size=2),
)  # fmt: skip
MANIFESTS = st.builds(
    ImageManifest,
    ac_kind=st.just("ImageManifest"),
    ac_version=st.just("0.8.11"),
    name=IDENTIFIERS,
    labels=st.lists(st.builds(Label, name=IDENTIFIERS, value=TEXTS), max_size=3, unique_by=lambda item: item.name),
    app=st.none() | APPS,
    annotations=st.lists(st.builds(Annotation, name=IDENTIFIERS, value=TEXTS), max_size=3, unique_by=lambda item: item.name),
    dependencies=st.lists(st.builds(Dependency, image_name=IDENTIFIERS, image_id=st.sampled_from(["", ID]), size=st.integers(0,
    2**40)), max_size=2),
    path_whitelist=st.lists(PATHS, max_size=3),
)  # fmt: skip


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(MANIFESTS)
def test_what_is_written_is_read_again(made: ImageManifest) -> None:
    assert ImageManifest.parse(made.text(), strict=True) == made
    assert ImageManifest.parse(made.text(indent=4)) == made


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(st.data())
def test_no_document_does_worse_than_be_refused(data: st.DataObject) -> None:
    paths = ["acKind", "name", "labels", "labels.0", "labels.0.name", "app", "app.exec", "app.ports.0", "app.isolators.0.value",
             "app.environment.0", "dependencies.0", "pathWhitelist", "annotations.0.value", "app.userLabels"]  # fmt: skip
    value = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=8,
        )
    )
    try:
        made = ImageManifest.parse(jsontext.dumps(_changed(data.draw(st.sampled_from(paths)), value)))
    except LadingError as error:
        assert str(error).isprintable()
    else:
        assert ImageManifest.parse(made.text()) == made
