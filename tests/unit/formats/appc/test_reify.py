"""Reified pods: every mount point has its volume, every image is the one named, every port leads somewhere."""

from __future__ import annotations

import pytest

from lading.errors import InvalidInput, NotFound
from lading.formats.appc import environ, reify
from lading.formats.appc.app import App, EnvironmentVariable, MountPoint, Port
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.labels import Label
from lading.formats.appc.pod import ExposedPort, Mount, PodManifest, RuntimeApp, RuntimeImage, Volume
from lading.formats.appc.wanted import Wanted

ID, OTHER = "sha512-" + "aa" * 64, "sha512-" + "bb" * 64


def _image(name: str = "example.com/db", **fields: object) -> ImageManifest:
    made = ImageManifest.new(name)
    made.labels = [Label(name="version", value="1")]
    made.app = App(exec=["/bin/db"], user="0", group="0").replace(**fields)
    return made


def _app(name: str = "db", image: str = ID, **fields: object) -> RuntimeApp:
    return RuntimeApp(name=name, image=RuntimeImage(id=image)).replace(**fields)


def _pod(*apps: RuntimeApp, **fields: object) -> PodManifest:
    return PodManifest.new().replace(apps=list(apps), **fields)


DATA = MountPoint(name="data", path="/var/lib/db")
HOST = Volume(name="data", kind="host", source="/srv/db")


def test_a_mount_point_gets_the_volume_of_its_name() -> None:
    image = _image(mount_points=[DATA])
    made, notes = reify.reify(_pod(_app(), volumes=[HOST]), {ID: image})
    assert made.apps[0].mounts == [Mount(volume="data", path="/var/lib/db")]
    assert (made.apps[0].image.name, made.apps[0].image.labels) == ("example.com/db", image.labels)
    assert notes == []
    assert made.volumes[0].recursive is True
    made.check()
    again, _ = reify.reify(made, {ID: image})
    assert again == made


def test_a_mount_that_is_given_is_kept() -> None:
    mounts = [Mount(volume="other", path="/var//lib/db/")]
    pod = _pod(_app(mounts=mounts), volumes=[HOST, Volume(name="other", kind="empty")])
    made, _ = reify.reify(pod, {ID: _image(mount_points=[DATA])})
    assert made.apps[0].mounts == mounts


def test_a_mount_point_without_a_volume_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="app 'db': the mount point 'data' has no volume") as caught:
        reify.reify(_pod(_app()), {ID: _image(mount_points=[DATA])})
    assert "--volume data,kind=" in caught.value.hint


def test_or_it_gets_an_empty_one_where_that_was_asked_for() -> None:
    made, notes = reify.reify(_pod(_app()), {ID: _image(mount_points=[DATA])}, implicit=True)
    assert [(v.name, v.kind, v.mode) for v in made.volumes] == [("db-data", "empty", "0755")]
    assert made.apps[0].mounts == [Mount(volume="db-data", path="/var/lib/db")]
    assert notes == ["app 'db': the mount point 'data' got an empty volume"]


def test_an_app_of_the_pod_replaces_its_images() -> None:
    own = App(exec=["/bin/other"], user="1", group="1")
    made, _ = reify.reify(_pod(_app(app=own)), {ID: _image(mount_points=[DATA])})
    assert reify.app_of(made.apps[0], _image()) == own
    assert made.apps[0].mounts == []


def test_an_image_that_executes_nothing_needs_an_app() -> None:
    image = _image()
    image.app = None
    with pytest.raises(InvalidInput, match="nothing about how to execute"):
        reify.reify(_pod(_app()), {ID: image})
    with pytest.raises(InvalidInput, match="no command"):
        reify.reify(_pod(_app()), {ID: _image(exec=[])})


def test_an_image_must_be_here_and_be_the_one_named() -> None:
    with pytest.raises(NotFound, match="app 'db': image sha512-bbbb"):
        reify.reify(_pod(_app(image=OTHER)), {ID: _image()})
    for image in (
        RuntimeImage(id=ID, name="example.com/web"),
        RuntimeImage(id=ID, labels=[Label(name="version", value="2")]),
    ):
        with pytest.raises(InvalidInput) as caught:
            reify.reify(_pod(_app().replace(image=image)), {ID: _image()})
        assert caught.value.reason == "other-image"


def test_a_templates_image_is_looked_for_and_must_be_chosen() -> None:
    asked = RuntimeImage(name="example.com/db", labels=[Label(name="version", value="1")])
    pod = _pod(_app().replace(image=asked), _app("other"))
    pod.check()
    assert reify.unresolved(pod) == {"db": Wanted("example.com/db", {"version": "1"})}
    with pytest.raises(InvalidInput, match="without its ID") as caught:
        reify.reify(pod, {ID: _image()})
    assert caught.value.reason == "not-resolved"
    pod.apps[0].image.id = ID
    assert reify.reify(pod, {ID: _image()})[0].apps[0].image.id == ID


def test_a_mount_must_name_a_volume_or_bring_one() -> None:
    with pytest.raises(InvalidInput, match="'nothing', which is no volume"):
        reify.reify(_pod(_app(mounts=[Mount(volume="nothing", path="/x")])), {ID: _image()})
    own = Mount(volume="own", path="/x", app_volume=Volume(name="own", kind="empty", mode="0700"))
    made, _ = reify.reify(_pod(_app(mounts=[own])), {ID: _image()})
    there = reify.placed(made, made.apps[0], _image())
    assert [(p.volume.mode, p.volume.uid, p.path) for p in there] == [("0700", 0, "/x")]


@pytest.mark.parametrize(
    ("point", "volume", "read_only"), [(True, None, True), (False, True, True), (False, None, False)]
)
def test_a_mount_is_read_only_when_either_side_says_so(
    point: bool, volume: bool | None, read_only: bool
) -> None:
    image = _image(mount_points=[DATA.replace(read_only=point)])
    made, _ = reify.reify(_pod(_app(), volumes=[HOST.replace(read_only=volume)]), {ID: image})
    assert [p.read_only for p in reify.placed(made, made.apps[0], image)] == [read_only]


@pytest.mark.parametrize(
    ("one", "other"), [("/a", "/a"), ("/a", "/a/b"), ("/a/b/../c/d", "/a/c"), ("/", "/x"), ("/a/", "//a")]
)
def test_mounts_within_each_other_are_refused(one: str, other: str) -> None:
    mounts = [Mount(volume="data", path=one), Mount(volume="data", path=other)]
    for pair in (mounts, mounts[::-1]):
        with pytest.raises(InvalidInput, match="overlap"):
            reify.reify(_pod(_app(mounts=pair), volumes=[HOST]), {ID: _image()})


def test_mounts_beside_each_other_are_not() -> None:
    mounts = [Mount(volume="data", path="/a"), Mount(volume="data", path="/ab")]
    reify.reify(_pod(_app(mounts=mounts), volumes=[HOST]), {ID: _image()})


# -- ports ---------------------------------------------------------------------------------------------------------

HTTP = Port(name="http", protocol="tcp", port=80)


def test_a_port_leads_to_the_app_that_has_one_of_its_name() -> None:
    pod = _pod(
        _app(), _app("web", OTHER), ports=[ExposedPort(name="http", host_port=8080, host_ip="127.0.0.1")]
    )
    made = reify.forwarded(pod, {ID: _image(), OTHER: _image(ports=[HTTP])})
    assert [(f.app, f.protocol, f.port, f.host_port, f.host_ip) for f in made] == [
        ("web", "tcp", 80, 8080, "127.0.0.1")
    ]


def test_a_range_is_spread_out() -> None:
    image = _image(ports=[Port(name="data", protocol="udp", port=20000, count=3)])
    made = reify.forwarded(_pod(_app(), ports=[ExposedPort(name="data", host_port=30000)]), {ID: image})
    assert [(f.port, f.host_port) for f in made] == [(20000, 30000), (20001, 30001), (20002, 30002)]


def test_a_pods_own_port_goes_over_the_images() -> None:
    own = Port(name="http", protocol="tcp", port=8000)
    exposed = ExposedPort(name="http", host_port=80, pod_port=own)
    assert [f.port for f in reify.forwarded(_pod(_app(), ports=[exposed]), {ID: _image(ports=[HTTP])})] == [
        8000
    ]


@pytest.mark.parametrize(
    ("ports", "why"),
    [
        ([ExposedPort(name="ftp", host_port=21)], "no app has a port 'ftp'"),
        ([ExposedPort(name="both", host_port=21)], "a port of db and web"),
        ([ExposedPort(name="many", host_port=65530)], "end beyond"),
        ([ExposedPort(name="http", host_port=80), ExposedPort(name="http", host_port=80, host_ip="127.0.0.1")],
        "leads to 'http' already"),
    ],
)  # fmt: skip
def test_a_port_that_leads_nowhere_or_twice_is_refused(ports: list[ExposedPort], why: str) -> None:
    both = Port(name="both", protocol="tcp", port=1)
    images = {
        ID: _image(ports=[HTTP, both, Port(name="many", protocol="tcp", port=1, count=9)]),
        OTHER: _image(ports=[both]),
    }
    with pytest.raises(InvalidInput, match=rf"^ports\[[01]\]: .*{why}"):
        reify.forwarded(_pod(_app(), _app("web", OTHER), ports=ports), images)


def test_one_host_port_serves_two_protocols_and_two_addresses() -> None:
    image = _image(ports=[HTTP, Port(name="quic", protocol="udp", port=80)])
    ports = [
        ExposedPort(name="http", host_port=80, host_ip="10.0.0.1"),
        ExposedPort(name="http", host_port=80, host_ip="10.0.0.2"),
        ExposedPort(name="quic", host_port=80),
    ]
    assert len(reify.forwarded(_pod(_app(), ports=ports), {ID: image})) == 3


# -- environment ---------------------------------------------------------------------------------------------------


def _environment(*pairs: tuple[str, str], url: str = "http://127.0.0.1:1/t") -> dict[str, str]:
    app = App(user="0", group="0", environment=[EnvironmentVariable(name=n, value=v) for n, v in pairs])
    return environ.environment(app, name="main", metadata_url=url)


def test_the_four_variables_of_the_text_are_always_there() -> None:
    assert _environment() == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "AC_APP_NAME": "main",
        "AC_METADATA_URL": "http://127.0.0.1:1/t",
        "container": "lading",
    }


def test_an_image_cannot_forge_what_the_executor_says() -> None:
    made = _environment(
        ("AC_APP_NAME", "x"),
        ("AC_METADATA_URL", "http://evil"),
        ("container", "x"),
        ("PATH", "/opt/bin"),
        ("A", "b"),
    )
    assert (made["AC_APP_NAME"], made["AC_METADATA_URL"], made["container"]) == (
        "main",
        "http://127.0.0.1:1/t",
        "lading",
    )
    assert (made["PATH"], made["A"]) == ("/opt/bin", "b")
    assert "AC_METADATA_URL" not in _environment(("AC_METADATA_URL", "http://evil"), url="")
