"""Pod manifests: the specification's example, every rule with its field, and ``null`` where its validator compares with one."""

from __future__ import annotations

import copy
import json

import pytest

from lading.errors import InvalidInput
from lading.formats.appc.pod import PodManifest, Volume, is_ipv4

ID = "sha512-" + "cd" * 64

FULL: dict[str, object] = {
    "acVersion": "0.8.11",
    "acKind": "PodManifest",
    "apps": [
        {
            "name": "worker",
            "image": {"name": "example.org/worker", "id": ID, "labels": [{"name": "version", "value": "1.0.0"}]},
            "app": {
                "exec": ["/bin/worker", "--debug=true"],
                "user": "0",
                "group": "0",
                "mountPoints": [{"name": "work", "path": "/var/lib/work"}],
            },
            "readOnlyRootFS": True,
            "mounts": [
                {"volume": "worklib", "path": "/var/lib/work"},
                {"volume": "own", "path": "/own", "appVolume": {"name": "own", "kind": "empty", "mode": "0700", "uid": 1,
                "gid": 2}},
            ],
            "annotations": [{"name": "foo", "value": "baz"}],
        },
        {"name": "register", "image": {"id": ID}},
    ],
    "volumes": [
        {"name": "worklib", "kind": "host", "source": "/opt/work", "readOnly": True, "recursive": True},
        {"name": "tmp", "kind": "empty"},
    ],
    "isolators": [{"name": "resource/memory", "value": {"limit": "4G"}}, {"name": "os/unix/sysctl",
    "value": {"net.core.somaxconn": "9"}}],
    "annotations": [{"name": "ip-address", "value": "10.1.2.3"}],
    "ports": [
        {"name": "ftp", "hostPort": 2121},
        {
            "name": "web", "hostPort": 80, "hostIP": "203.0.113.23",
            "podPort": {"name": "web", "protocol": "tcp", "port": 8080, "count": 1, "socketActivated": False},
        },
    ],
    "userAnnotations": {"Any Key": "x"},
    "userLabels": {"team": "y"},
}  # fmt: skip


def _parse(value: object) -> PodManifest:
    return PodManifest.parse(json.dumps(value))


def _changed(path: str, value: object) -> dict[str, object]:
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
    assert _parse(FULL).text() == json.dumps(FULL, separators=(",", ":"))


def test_what_is_absent_is_null_where_the_validator_compares_with_null() -> None:
    small = {"acVersion": "0.8.11", "acKind": "PodManifest", "apps": []}
    written = json.loads(_parse(small).text())
    assert written == {**small, "volumes": None, "isolators": None, "annotations": None, "ports": None}
    assert _parse(written) == _parse(small)
    assert list(written)[:3] == ["acVersion", "acKind", "apps"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("volumes", ...), ("volumes", None), ("isolators", []), ("annotations", ...), ("ports", []), ("userLabels", ...),
        ("apps.0.app", ...), ("apps.0.readOnlyRootFS", ...), ("apps.0.mounts", []), ("apps.0.image.name", ...),
        ("apps.0.image.id", ...),
        ("apps.0.annotations.0.name", "appc.io/executor/supports-x"), ("volumes.0.readOnly", ...), ("volumes.0.recursive", False),
        ("volumes.1", {"name": "tmp", "kind": "empty", "mode": "1777", "uid": 0, "gid": 0, "readOnly": False}),
        ("volumes.1", {"name": "tmp", "kind": "empty", "recursive": True}), ("ports.1.hostIP", "0.0.0.0"), ("ports.1.hostIP", ""),
        ("ports.0.hostPort", 65535), ("isolators.0", {"name": "example.com/unknown", "value": "x"}), ("apps.1.name", "worker-2"),
    ],
)  # fmt: skip
def test_a_valid_variation_is_accepted_and_survives(path: str, value: object) -> None:
    made = _parse(_changed(path, value))
    assert _parse(json.loads(made.text())) == made


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("acKind", "ImageManifest", "acKind"), ("acVersion", "x", "acVersion"), ("apps", ..., "apps"), ("apps", {}, "apps"),
        ("apps.0.name", "Worker", "apps[0].name"), ("apps.0.name", "a.b", "apps[0].name"), ("apps.1.name", "worker",
        "apps[1].name"),
        ("apps.0.name", ..., "apps[0].name"), ("apps.0.image", ..., "apps[0].image"),
        ("apps.1.image.id", ..., "apps[1].image.id"),
        ("apps.0.image.id", "sha512-277205b3", "apps[0].image.id"), ("apps.0.image.name", "A", "apps[0].image.name"),
        ("apps.0.image.labels.0.name", "name", "apps[0].image.labels[0].name"), ("apps.0.app.user", ..., "apps[0].app.user"),
        ("apps.0.readOnlyRootFS", "yes", "apps[0].readOnlyRootFS"), ("apps.0.mounts.0.volume", ..., "apps[0].mounts[0].volume"),
        ("apps.0.mounts.0.volume", "", "apps[0].mounts[0].volume"), ("apps.0.mounts.0.path", ..., "apps[0].mounts[0].path"),
        ("apps.0.mounts.0.path", "var", "apps[0].mounts[0].path"),
        ("apps.0.mounts.1.appVolume.kind", "tmp", "apps[0].mounts[1].appVolume.kind"),
        ("apps.0.annotations", [{"name": "a", "value": "1"}] * 2, "apps[0].annotations[1].name"),
        ("volumes.0.name", "a_b", "volumes[0].name"), ("volumes.1.name", "worklib", "volumes[1].name"),
        ("volumes.0.kind", ..., "volumes[0].kind"), ("volumes.0.kind", "nfs", "volumes[0].kind"),
        ("volumes.0.source", ..., "volumes[0].source"), ("volumes.0.source", "opt/work", "volumes[0].source"),
        ("volumes.0.mode", "0755", "volumes[0].mode"), ("volumes.0.uid", 0, "volumes[0].uid"), ("volumes.0.gid", 0,
        "volumes[0].gid"),
        ("volumes.1.source", "/x", "volumes[1].source"), ("volumes.1.mode", "rwxr-xr-x", "volumes[1].mode"),
        ("volumes.1.mode", 755, "volumes[1].mode"), ("volumes.1.uid", "0", "volumes[1].uid"), ("volumes.1.gid", -1,
        "volumes[1].gid"),
        ("isolators.0.value", {}, "isolators[0].value"), ("annotations.0.name", "IP", "annotations[0].name"),
        ("ports.0.name", "", "ports[0].name"), ("ports.0.hostPort", ..., "ports[0].hostPort"), ("ports.0.hostPort", 0,
        "ports[0].hostPort"),
        ("ports.0.hostPort", 65536, "ports[0].hostPort"), ("ports.1.hostIP", "::1", "ports[1].hostIP"),
        ("ports.1.hostIP", "203.0.113", "ports[1].hostIP"), ("ports.1.podPort.port", 0, "ports[1].podPort.port"),
        ("userLabels", {"a": None}, "userLabels.a"),
    ],
)  # fmt: skip
def test_a_breach_is_refused_with_its_field(path: str, value: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _parse(_changed(path, value))
    assert caught.value.message.startswith(f"manifest.{field}: ")


def test_a_volume_gets_the_texts_defaults() -> None:
    empty = Volume(name="a", kind="empty").settled()
    assert (empty.read_only, empty.mode, empty.uid, empty.gid, empty.recursive) == (False, "0755", 0, 0, None)
    host = Volume(name="a", kind="host", source="/x").settled()
    assert (host.read_only, host.recursive, host.mode, host.uid) == (False, True, None, None)
    assert Volume(name="a", kind="host", source="/x", recursive=False).settled().recursive is False


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("203.0.113.23", True), ("0.0.0.0", True), ("255.255.255.255", True), ("256.0.0.1", False), ("1.2.3", False), ("1.2.3.4.5",
    False),
     ("01.2.3.4", False), ("1.2.3.", False), ("::", False), ("", False), ("\u0661.2.3.4", False)],
)  # fmt: skip
def test_an_address_is_a_dotted_quad(text: str, is_one: bool) -> None:
    assert is_ipv4(text) is is_one
