"""A pod manifest out of a command line: what is said of an app goes over what its image says."""

from __future__ import annotations

from typing import Any

import pytest

from lading.errors import InvalidInput
from lading.formats.appc.app import App, EnvironmentVariable
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.isolators import Isolator
from lading.formats.appc.pod import PodManifest
from lading.rocket.rkt import assemble
from lading.rocket.rkt.appimages import AppImage
from lading.rocket.rkt.assemble import Environment
from lading.rocket.rkt.line import AppLine, Line

ID = "sha512-" + "ab" * 64
NOTHING = Environment({}, {})


def _image(name: str = "example.com/some/worker", app: bool = True, **fields: Any) -> AppImage:
    manifest = ImageManifest.new(name)
    if app:
        manifest.app = App(**{"exec": ["/bin/it", "-v"], "user": "1", "group": "2", **fields})
    return AppImage(ID, None, manifest, b"{}")  # type: ignore[arg-type]


def _line(*apps: dict[str, Any], **flags: list[str]) -> Line:
    line = Line()
    line.flags = dict(flags)
    for said in apps:
        one = AppLine("img")
        one.args = said.pop("args", None)
        one.flags = {k: [v] if isinstance(v, str) else v for k, v in said.items()}
        line.apps.append(one)
    return line


def _app(image: AppImage | None = None, outside: Environment = NOTHING, **said: Any) -> App:
    found = assemble.manifest(_line(said), [image or _image()], outside).apps[0].app
    assert found is not None
    return found


def test_an_app_is_its_image_by_default() -> None:
    made = assemble.manifest(_line({}), [_image()], NOTHING)
    [app] = made.apps
    assert (app.name, app.image.id, app.image.name) == ("worker", ID, "example.com/some/worker")
    assert app.app == App(exec=["/bin/it", "-v"], user="1", group="2")
    PodManifest.parse(made.text())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"args": ["a"]}, ["/bin/it", "-v", "a"]),
        ({"exec": "/x"}, ["/x"]),
        ({"exec": "/x", "args": ["a", "b"]}, ["/x", "a", "b"]),
    ],
)
def test_commands(said: dict[str, Any], words: list[str]) -> None:
    assert _app(**said).exec == words


def test_an_image_without_an_app_needs_a_command() -> None:
    made = _app(_image(app=False), exec="/x", args=["y"])
    assert (made.exec, made.user, made.group) == (["/x", "y"], "0", "0")
    with pytest.raises(InvalidInput):
        _app(_image(app=False))


def test_who_it_is_and_where_it_starts() -> None:
    made = _app(user="ann", group="/etc/x", **{"working-dir": "/w", "supplementary-gids": "7,8"})
    assert (made.user, made.group, made.working_directory, made.supplementary_gids) == (
        "ann",
        "/etc/x",
        "/w",
        [7, 8],
    )


def test_variables_go_over_each_other_in_their_order() -> None:
    image = _image(environment=[EnvironmentVariable(name=n, value="image") for n in ("B", "C", "D")])
    outside = Environment({"A": "caller", "B": "caller", "1": "odd"}, {"C": "given", "D": "given"})
    made = _app(image, outside, environment=["D=own", "E=a=b"])
    assert {v.name: v.value for v in made.environment} == {
        "A": "caller",
        "B": "image",
        "C": "given",
        "D": "own",
        "E": "a=b",
    }


def test_an_apps_mount_goes_over_everyones_at_the_same_place() -> None:
    line = _line({"mount": ["volume=own,target=/a/", "volume=own,target=/c"]}, volume=["own,kind=empty"])
    line.mounts = ["volume=all,target=/a", "volume=all,target=/b"]
    [app] = assemble.manifest(line, [_image()], NOTHING).apps
    assert [(m.volume, m.path) for m in app.mounts] == [("own", "/a/"), ("all", "/b"), ("own", "/c")]


@pytest.mark.parametrize(
    "text", ["", "volume=a", "target=/a", "volume=a,target=b", "volume=a,volume=b,target=/x", "volume=a,path=/x"]
)  # fmt: skip
def test_mounts_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput):
        assemble.mount(text)


@pytest.mark.parametrize(
    ("said", "isolators"),
    [
        ({"memory": "64M"}, {"resource/memory": {"request": "64M", "limit": "64M"}}),
        ({"memory": "64K"}, {"resource/memory": {"request": "64K", "limit": "64K"}}),
        ({"cpu": "500m"}, {"resource/cpu": {"request": "500m", "limit": "500m"}}),
        ({"cpu-shares": "512"}, {"os/linux/cpu-shares": 512}),
        ({"oom-score-adj": "-5"}, {"os/linux/oom-score-adj": -5}),
        ({"caps-retain": "CAP_KILL,CAP_CHOWN"}, {"os/linux/capabilities-retain-set": {"set": ["CAP_KILL", "CAP_CHOWN"]}}),
        ({"caps-remove": "CAP_KILL"}, {"os/linux/capabilities-remove-set": {"set": ["CAP_KILL"]}}),
        (
            {"seccomp": "mode=retain,errno=EPERM,chmod,chown"},
            {"os/linux/seccomp-retain-set": {"set": ["chmod", "chown"], "errno": "EPERM"}},
        ),
        ({"seccomp": "mode=remove,@rkt/default-blacklist"}, {"os/linux/seccomp-remove-set": {"set": ["@rkt/default-blacklist"]}}),
    ],
)  # fmt: skip
def test_isolators(said: dict[str, str], isolators: dict[str, object]) -> None:
    assert {i.name: i.value for i in _app(**said).isolators} == isolators


def test_an_isolator_of_the_line_takes_the_place_of_the_images() -> None:
    image = _image(
        isolators=[
            Isolator(name="os/linux/capabilities-retain-set", value={"set": ["CAP_KILL"]}),
            Isolator(name="os/linux/seccomp-remove-set", value={"set": ["mount"]}),
            Isolator(name="resource/memory", value={"limit": "1G"}),
            Isolator(name="os/linux/no-new-privileges", value=True),
        ]
    )
    made = _app(image, memory="64M", seccomp="mode=retain,read", **{"caps-remove": "CAP_CHOWN"})
    assert [i.name for i in made.isolators] == [
        "os/linux/no-new-privileges",
        "resource/memory",
        "os/linux/capabilities-remove-set",
        "os/linux/seccomp-retain-set",
    ]
    assert image.manifest.app is not None and len(image.manifest.app.isolators) == 4


@pytest.mark.parametrize(
    "said",
    [
        {"memory": "16m"},
        {"memory": "much"},
        {"cpu": "-1"},
        {"cpu-shares": "1"},
        {"cpu-shares": "x"},
        {"oom-score-adj": "1001"},
        {"caps-retain": "CAP_KILL", "caps-remove": "CAP_KILL"},
        {"caps-retain": ","},
        {"seccomp": "chmod"},
        {"seccomp": "mode=forbid,chmod"},
        {"seccomp": "mode=retain"},
        {"seccomp": "mode=retain,errno=1,chmod"},
        {"seccomp": "mode=retain,what=1,chmod"},
        {"readonly-rootfs": "maybe"},
        {"supplementary-gids": "wheel"},
        {"environment": ["A"]},
        {"user-label": ["x"]},
        {"name": "No Name"},
    ],
)
def test_what_is_no_value(said: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        assemble.manifest(_line(said), [_image()], NOTHING)


def test_names() -> None:
    line = _line({}, {"name": "other"})
    assert [a.name for a in assemble.manifest(line, [_image(), _image()], NOTHING).apps] == [
        "worker",
        "other",
    ]
    with pytest.raises(InvalidInput) as raised:
        assemble.manifest(_line({}, {}), [_image(), _image()], NOTHING)
    assert "worker" in raised.value.message
    [app] = assemble.manifest(_line({}), [_image("example.com/my_app.v1")], NOTHING).apps
    assert app.name == "my-app-v1"


def test_labels_annotations_volumes_and_ports() -> None:
    said = {
        "user-label": ["a=1"],
        "user-annotation": ["b=2"],
        "annotation": ["c=3"],
        "readonly-rootfs": "true",
    }
    line = _line(said, volume=["v,kind=empty,mode=0700"], port=["www:127.0.0.1:80", "dns:53"])
    made = assemble.manifest(line, [_image(user_labels={"a": "0", "z": "9"})], NOTHING)
    [app] = made.apps
    assert app.app is not None
    assert (app.app.user_labels, app.app.user_annotations) == ({"a": "1", "z": "9"}, {"b": "2"})
    assert ([(a.name, a.value) for a in app.annotations], app.read_only_root_fs) == ([("c", "3")], True)
    assert [(v.name, v.kind, v.mode) for v in made.volumes] == [("v", "empty", "0700")]
    assert [(p.name, p.host_ip, p.host_port) for p in made.ports] == [
        ("www", "127.0.0.1", 80),
        ("dns", "", 53),
    ]


def test_files_of_variables() -> None:
    text = "# no\n; no\n\nA=1\nB=x=y\r\nC=\n"
    assert assemble.file_variables(text, where="f") == {"A": "1", "B": "x=y", "C": ""}
    for bad in ("A", "=1", "1A=x"):
        with pytest.raises(InvalidInput) as raised:
            assemble.file_variables(f"X=1\n{bad}\n", where="f")
        assert raised.value.message.startswith("f:2:")
