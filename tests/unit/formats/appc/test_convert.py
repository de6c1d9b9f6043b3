"""OCI configurations and App Container manifests become each other, and what both can say comes back."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats.appc import convert
from lading.formats.appc.app import App, EventHandler, MountPoint, Port
from lading.formats.appc.image import Dependency, ImageManifest
from lading.formats.appc.isolators import Isolator
from lading.formats.appc.labels import Annotation, Label, mapping
from lading.formats.oci_image import Healthcheck, ImageConfig, RunConfig

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


CONFIG = ImageConfig(
    created="2020-01-02T03:04:05.678Z",
    author="Carly Container",
    architecture="arm",
    variant="v6",
    os="linux",
    config=RunConfig(
        user="www:staff",
        exposed_ports={"80/tcp": {}, "9000-9010/udp": {}},
        env=["PATH=/bin", "EMPTY=", "A=b=c"],
        entrypoint=["/bin/web"],
        cmd=["--port", "80"],
        volumes={"/var/lib/web": {}, "/srv": {}},
        working_dir="/srv/www",
        labels={"Team": "x y", convert.URL: "https://example.com", "org.example": ""},
        stop_signal="SIGQUIT",
        healthcheck=Healthcheck(test=["CMD", "true"], interval=10**9),
        shell=["/bin/bash", "-c"],
    ),
)


def _back(config: ImageConfig) -> tuple[ImageConfig, list[str]]:
    """Through an ACI and back, without the label that carries the ACI's name."""
    there = convert.to_aci(config, name="example.com/web")
    again = ImageManifest.parse(there.manifest.text(), strict=True)
    here = convert.to_oci(again)
    assert here.config.config is not None
    assert here.config.config.labels.pop(convert.NAME) == "example.com/web"
    return here.config, there.lost + here.lost


def test_an_oci_image_becomes_an_aci() -> None:
    made = convert.to_aci(CONFIG, name="example.com/web", labels={"version": "1.0"}).manifest
    app = made.app
    assert app is not None
    assert mapping(made.labels) == {"arch": "armv6l", "os": "linux", "version": "1.0"}
    assert (app.exec, app.user, app.group, app.working_directory) == (
        ["/bin/web", "--port", "80"],
        "www",
        "staff",
        "/srv/www",
    )
    assert {e.name: e.value for e in app.environment} == {"PATH": "/bin", "EMPTY": "", "A": "b=c"}
    assert [(p.name, p.path) for p in app.mount_points] == [("var-lib-web", "/var/lib/web"), ("srv", "/srv")]
    assert [(p.name, p.port, p.count, p.protocol) for p in app.ports] == [
        ("80-tcp", 80, 1, "tcp"),
        ("9000-9010-udp", 9000, 11, "udp"),
    ]
    notes = mapping(made.annotations)
    assert (notes["created"], notes["authors"], notes["homepage"]) == (
        CONFIG.created,
        CONFIG.author,
        "https://example.com",
    )
    assert (notes[convert.ENTRYPOINT], notes[convert.CMD]) == ('["/bin/web"]', '["--port","80"]')
    assert app.user_labels == {"Team": "x y", "org.example": ""}


def test_and_back_with_nothing_lost() -> None:
    assert _back(CONFIG) == (CONFIG, [])


@pytest.mark.parametrize(
    "run",
    [
        RunConfig(), RunConfig(cmd=["sh"]), RunConfig(entrypoint=["sh"]), RunConfig(entrypoint=["a"], cmd=["b"]),
        RunConfig(user="1000"),
        RunConfig(user="1000", cmd=["x"]), RunConfig(user="0"), RunConfig(user="0:0"), RunConfig(user="a:b"),
        RunConfig(labels={"a": "b"}),
        RunConfig(labels={convert.URL: "no address"}), RunConfig(labels={convert.DOCUMENTATION: "http://example.com/d"}),
        RunConfig(volumes={"/a/b": {}, "/a-b": {}, "/": {}}), RunConfig(working_dir="/"), RunConfig(env=["_x.y-z=1"]),
    ],
)  # fmt: skip
def test_every_way_to_say_it_comes_back(run: RunConfig) -> None:
    config = ImageConfig(os="linux", architecture="amd64", config=run)
    assert _back(config) == (config, [])


@pytest.mark.parametrize(
    "platform",
    [
        ("linux", "amd64", ""),
        ("linux", "arm64", ""),
        ("linux", "arm", "v7"),
        ("linux", "386", ""),
        ("freebsd", "amd64", ""),
        ("", "", ""),
    ],
)
def test_a_platform_comes_back(platform: tuple[str, str, str]) -> None:
    system, architecture, variant = platform
    config = ImageConfig(os=system, architecture=architecture, variant=variant, config=RunConfig())
    assert _back(config) == (config, [])


@pytest.mark.parametrize(
    ("config", "lost"),
    [
        (ImageConfig(os="linux", architecture="riscv64"), ["architecture riscv64"]), (ImageConfig(os="plan9",
        architecture="386"), ["os plan9", "architecture 386"]),
        (ImageConfig(os="linux", architecture="amd64", variant="v3"), ["variant v3"]), (ImageConfig(created="soon"),
        ["created 'soon'"]),
        (ImageConfig(os_version="10"), ["os.version"]), (ImageConfig(config=RunConfig(env=["9=x", "A B=c"])),
        ["environment variable '9'", "environment variable 'A B'"]),
        (ImageConfig(config=RunConfig(exposed_ports={"80-70/tcp": {}, "0/tcp": {}, "x": {}})), ["port '80-70/tcp'",
        "port '0/tcp'", "port 'x'"]),
        (ImageConfig(config=RunConfig(on_build=["RUN x"])), ["OnBuild"]), (ImageConfig(config=RunConfig(cmd=[""])),
        ["a command without a name"]),
        (ImageConfig(config=RunConfig(labels={"appc.io/label/Bad": "x", "appc.io/annotation/created": "x"})), ["label 'Bad'",
        "created 'x'"]),
    ],
)  # fmt: skip
def test_what_has_no_place_in_an_aci_is_named(config: ImageConfig, lost: list[str]) -> None:
    made = convert.to_aci(config, name="a")
    assert made.lost == lost
    made.manifest.check()


def test_a_name_or_label_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInput):
        convert.to_aci(CONFIG, name="Not/A Name")
    with pytest.raises(InvalidInput):
        convert.to_aci(CONFIG, name="a", labels={"name": "x"})


MANIFEST = ImageManifest.new("example.com/app").replace(
    labels=[Label(name="os", value="linux"), Label(name="arch", value="aarch64"), Label(name="version", value="2"),
    Label(name="channel", value="b")],
    app=App(
        exec=["app"], user="1", group="2", working_directory="/w", mount_points=[MountPoint(name="data", path="/data")],
        ports=[Port(name="80-tcp", protocol="tcp", port=80)], user_labels={"k": "v"},
    ),
    annotations=[Annotation(name="authors", value="x"), Annotation(name="homepage", value="https://example.com"),
    Annotation(name="lorem", value="ipsum")],
)  # fmt: skip


def test_an_aci_comes_back_from_oci() -> None:
    there = convert.to_oci(MANIFEST)
    assert there.lost == []
    here = convert.to_aci(there.config, name="example.com/app")
    assert here.lost == []
    assert mapping(here.manifest.labels) == mapping(MANIFEST.labels)
    assert mapping(here.manifest.annotations) == mapping(MANIFEST.annotations)
    assert here.manifest.app == MANIFEST.app


def test_an_aci_that_executes_nothing_comes_back_so() -> None:
    library = ImageManifest.new("example.com/lib").replace(labels=[Label(name="version", value="1")])
    there = convert.to_oci(library)
    assert convert.to_aci(there.config, name="example.com/lib").manifest == library


def test_what_has_no_place_in_oci_is_named() -> None:
    app = App(
        exec=["a"], user="0", group="0", supplementary_gids=[1], user_annotations={"a": "b"},
        event_handlers=[EventHandler(name="pre-start", exec=["x"])], isolators=[Isolator(name="resource/cpu",
        value={"limit": "1"})],
        mount_points=[MountPoint(name="m", path="/m", read_only=True)], ports=[Port(name="web", protocol="tcp", port=80,
        socket_activated=True)],
    )  # fmt: skip
    manifest = ImageManifest.new("a").replace(
        app=app, dependencies=[Dependency(image_name="b")], path_whitelist=["/x"]
    )
    assert convert.to_oci(manifest).lost == [
        "that the mount point m is read-only", "the name of the port web", "that the port web is socket-activated",
        "the event handler pre-start", "the isolator resource/cpu", "supplementaryGIDs", "userAnnotations",
        "pathWhitelist, which is in the layers", "dependencies, which are in the layers",
    ]  # fmt: skip


@pytest.mark.parametrize("hint", ['["sh"]', "[1]", "{", '"x"', '["a","b","c"]', ""])
def test_a_hint_that_does_not_fit_the_command_is_not_believed(hint: str) -> None:
    manifest = MANIFEST.replace(annotations=[Annotation(name=convert.ENTRYPOINT, value=hint)])
    run = convert.to_oci(manifest).config.config
    assert run is not None and (run.entrypoint, run.cmd) == ([], ["app"])


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
RUNS = st.builds(
    RunConfig,
    user=st.sampled_from(["", "0", "1000", "a:b", "0:0", "7:"]),
    exposed_ports=st.dictionaries(st.sampled_from(["80/tcp", "53/udp", "1-9/sctp", "65535/tcp"]), st.just({})),
    env=st.lists(st.builds("{}={}".format, st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,3}", fullmatch=True), WORDS), max_size=3,
    unique_by=lambda t: t.partition("=")[0]),
    entrypoint=st.lists(WORDS.filter(bool), max_size=2),
    cmd=st.lists(WORDS.filter(bool), max_size=2),
    volumes=st.dictionaries(st.sampled_from(["/a", "/a/b", "/é", "/"]), st.just({})),
    working_dir=st.sampled_from(["", "/", "/x y"]),
    labels=st.dictionaries(WORDS, WORDS, max_size=3),
    stop_signal=st.sampled_from(["", "SIGTERM", "9"]),
    shell=st.lists(WORDS, max_size=2),
)  # fmt: skip


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(RUNS)
def test_any_configuration_comes_back(run: RunConfig) -> None:
    config = ImageConfig(os="linux", architecture="amd64", config=run)
    assert _back(config) == (config, [])
