"""Whatever a pod manifest or a command line says: it is refused in one line, or it is a Pod that says the same."""

from __future__ import annotations

import copy
import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, LadingError
from lading.flags import Command, parse
from lading.formats import jsontext
from lading.formats.appc import callsets
from lading.formats.appc import isolators as names
from lading.formats.appc.app import App, EnvironmentVariable, EventHandler, MountPoint, Port
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.pod import PodManifest
from lading.formats.appc.reify import reify
from lading.formats.pod import Pod
from lading.node import admission
from lading.rocket.rkt import assemble, netflags, pods, table
from lading.rocket.rkt.activation import hand_on
from lading.rocket.rkt.appimages import AppImage
from lading.rocket.rkt.line import read
from lading.rocket.rkt.podoptions import PodOptions
from lading.rocket.rkt.running import streams
from lading.rocket.translate import translate

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)
IDS = ["sha512-" + digit * 128 for digit in "abc"]
UUID = "6733c088-a507-4694-aabf-edbe4fc5266f"

IMAGES = {
    image_id: ImageManifest.new(f"example.com/{name}")
    for image_id, name in zip(IDS, ("web", "db", "bare"), strict=True)
}
IMAGES[IDS[0]].app = App(
    exec=["/bin/web"], user="0", group="0",
    mount_points=[MountPoint(name="data", path="/data"), MountPoint(name="conf", path="/etc/conf", read_only=True)],
    ports=[Port(name="www", protocol="tcp", port=80),
           Port(name="many", protocol="udp", port=100, count=3, socket_activated=True)],
    environment=[EnvironmentVariable(name="A", value="$(B) b")],
)  # fmt: skip
IMAGES[IDS[1]].app = App(
    exec=["/bin/db", ""], user="postgres", group="/etc/passwd", supplementary_gids=[5], working_directory="/srv",
    event_handlers=[EventHandler(name="pre-start", exec=["/init"])], mount_points=[MountPoint(name="data", path="/var/lib/db/")],
)  # fmt: skip

TEMPLATE: dict[str, Any] = {
    "acVersion": "0.8.11",
    "acKind": "PodManifest",
    "apps": [
        {"name": "web", "image": {"id": IDS[0]}, "mounts": [{"volume": "data", "path": "/more"}], "readOnlyRootFS": True},
        {"name": "db", "image": {"id": IDS[1], "name": "example.com/db"},
         "app": {"exec": ["/x"], "user": "1", "group": "2", "mountPoints": [{"name": "own", "path": "/own"}],
                 "ports": [{"name": "sql", "protocol": "tcp", "port": 5432, "socketActivated": True}],
                 "isolators": [{"name": "resource/memory", "value": {"limit": "1G"}}],
                 "environment": [{"name": "X", "value": "y"}]}},
    ],
    "volumes": [{"name": "data", "kind": "empty", "mode": "0700"}, {"name": "conf", "kind": "host", "source": "/etc"},
                {"name": "own", "kind": "empty"}],
    "ports": [{"name": "www", "hostPort": 8080}, {"name": "sql", "hostPort": 5432, "hostIP": "127.0.0.1"}],
    "isolators": [{"name": "os/unix/sysctl", "value": {"net.core.somaxconn": "9"}}],
    "annotations": [{"name": "a", "value": "b"}],
}  # fmt: skip

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ISOLATORS = st.one_of(
    st.fixed_dictionaries({
        "name": st.sampled_from(["os/linux/seccomp-retain-set", "os/linux/seccomp-remove-set"]),
        "value": st.fixed_dictionaries({
            "set": st.lists(st.sampled_from([*callsets.KNOWN, "mkdir", "reboot", "@x/y"]), min_size=1, max_size=4),
            "errno": st.sampled_from(["", "EPERM", "ENOSYS", "EVERY"]),
        }),
    }),
    st.fixed_dictionaries({
        "name": st.sampled_from(["os/linux/capabilities-retain-set", "os/linux/capabilities-remove-set"]),
        "value": st.fixed_dictionaries({"set": st.lists(st.sampled_from(["CAP_KILL", "CAP_SYS_ADMIN", "CAP_X", "kill"]))}),
    }),
    st.fixed_dictionaries({
        "name": st.sampled_from(names.KNOWN),
        "value": st.sampled_from([None, True, 0, -1000, 2, 5000, "x", [], {}, {"limit": "5M"}, {"limit": "1", "request": "2"},
                                  {"limit": "9E", "default": True}, {"profile": "p"}, {"net.x": "1"},
                                  {"user": "u", "role": "r", "type": "t", "level": "l"}]),
    }),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**33) | TEXTS | ISOLATORS
    | st.sampled_from([*IDS, "data", "www", "/a", "/", "..", "0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def _places(value: object, way: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    found = [way] if way else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _places(inner, (*way, key))
    return found


PLACES = _places(TEMPLATE)


def _changed(changes: list[tuple[int, str, object, bool]]) -> object:
    made: Any = copy.deepcopy(TEMPLATE)
    for number, key, value, beside in changes:
        *way, last = PLACES[number % len(PLACES)]
        here = made
        try:
            for part in way:
                here = here[part]
            if beside and isinstance(here, list):
                here.append(value)
            elif beside:
                here[key] = value
            else:
                here[last] = value
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # another change took the place away
    return made


FIELDS = st.sampled_from(
    "app mounts annotations volumes ports isolators userLabels eventHandlers supplementaryGIDs appVolume podPort readOnly".split()
)


def _is_one_line(error: LadingError) -> None:
    assert str(error).isprintable() and error.reason


def _admitted(pod: Pod) -> None:
    """The Pod is admitted or refused, and is the same when it has been written and read."""
    pod.metadata.name = pod.metadata.name or "pod"
    again = Pod.decode(jsontext.loads(jsontext.dumps(pod.encode())))
    assert again.encode() == pod.encode()
    try:
        admission.admit(pod)
    except LadingError as error:
        _is_one_line(error)


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
@FUZZ
@given(
    st.lists(
        st.tuples(st.integers(0, 10**4), FIELDS, VALUES | st.lists(ISOLATORS, max_size=3), st.booleans()),
        max_size=4,
    )
)
@example([])
def test_a_pod_manifest_is_refused_or_a_pod(changes: list[tuple[int, str, object, bool]]) -> None:
    try:
        manifest = PodManifest.parse(jsontext.dumps(_changed(changes)))
        assert PodManifest.parse(manifest.text()) == manifest
        reified, _ = reify(manifest, IMAGES, implicit=True)
        assert PodManifest.parse(reified.text()) == reified
        assert reify(reified, IMAGES)[0] == reified  # what is executed leaves nothing open
        made = translate(
            reified,
            IMAGES,
            uuid=UUID,
            metadata_url="http://127.0.0.1:1",
        )
    except LadingError as error:
        _is_one_line(error)
        return
    for app, container in zip(reified.apps, made.pod.spec.containers, strict=True):
        assert container.name == app.name
        assert len(container.extras.mounts) + len(container.volume_mounts) == len(app.mounts)
    hand_on(made.pod, [("TCP", 8080), ("TCP", 5432)])
    _admitted(made.pod)


WORDS = st.one_of(
    st.sampled_from(["web", "db", "bare", "--", "---", "-", "--net", "--help", "--detach", "--interactive", "--no-overlay"]),
    st.sampled_from([flag.name for flag in table.run() if not flag.refuse]).map(lambda name: f"--{name}"),
    st.tuples(
        st.sampled_from([flag.name for flag in table.run() if not flag.refuse]),
        st.sampled_from(["", "x", "0", "-1", "true", "data", "data,kind=empty", "data,kind=host,source=/srv,readOnly=true",
                         "volume=data,target=/a", "www:80", "www:127.0.0.1:80", "many:65535", "64M", "500m", "A=b", "a=b",
                         "CAP_KILL,CAP_CHOWN", "mode=retain,@rkt/default-whitelist,mkdir", "h=1.2.3.4",
                         "mode=remove,errno=EPERM,@systemd/clock", "9" * 20,
                         "host", "none", "default:IP=10.1.2.3", "1.1.1.1", "/bin/sh", "\x1b[m"]),
    ).map("--{0[0]}={0[1]}".format),
    TEXTS.filter(lambda text: "\0" not in text),
)  # fmt: skip


OF_APP = {
    "name": ["one", "a-b", "x" * 63, "Bad"], "exec": ["/bin/sh", "sh"], "working-dir": ["/", "/srv"],
    "user": ["0", "ann", "/etc/passwd"],
    "group": ["0", "wheel"], "supplementary-gids": ["1,2", ""], "readonly-rootfs": ["true", "false"],
    "environment": ["A=b", "B=$(A)", "C="], "annotation": ["a=b"], "user-label": ["k=v"], "stdin": ["null", "stream"],
    "memory": ["64M", "1Gi", "4096"], "cpu": ["500m", "2"], "cpu-shares": ["2", "1024"], "oom-score-adj": ["-1000", "0"],
    "caps-retain": ["CAP_KILL", "CAP_SYS_ADMIN,CAP_CHOWN"], "caps-remove": ["CAP_KILL"], "mount": ["volume=data,target=/a"],
    "seccomp": ["mode=retain,@rkt/default-whitelist,mkdir", "mode=remove,errno=EPERM,reboot", "mode=remove,@appc.io/empty"],
}  # fmt: skip
OF_POD = [
    "--net=host", "--net=none", "--net", "--port=www:8080", "--port=many:127.0.0.1:9000", "--volume=data,kind=empty,mode=0700",
    "--volume=conf,kind=host,source=/etc,readOnly=true", "--dns=1.1.1.1", "--dns-search=a.b", "--hosts-entry=1.2.3.4=h",
    "--hostname=h", "--set-env=S=1", "--mount=volume=data,target=/everywhere",
]  # fmt: skip
SAID = st.sampled_from([f"--{name}={value}" for name, values in OF_APP.items() for value in values])
APPS = st.tuples(
    st.sampled_from(["web", "db", "bare"]),
    st.lists(SAID, max_size=4),
    st.none() | st.lists(TEXTS.filter(lambda text: "\0" not in text), max_size=2),
).map(lambda app: [app[0], *app[1], *([] if app[2] is None else ["--", *app[2], "---"])])
LINES = st.tuples(st.lists(st.sampled_from(OF_POD), max_size=4), st.lists(APPS, min_size=1, max_size=3)).map(
    lambda line: [*line[0], *(word for app in line[1] for word in app)]
)


def _pod_of(words: list[str]) -> pods.Made | None:
    """As ``lading rkt run`` makes it; None for help."""
    flags = table.run()
    parsed = parse(Command("run", flags=flags, arguments="[IMAGE...]", interspersed=False), words)
    if parsed.help:
        return None
    line = read("rkt run", flags, parsed.values, parsed.args)
    if line.help:
        return None
    if not line.apps:
        raise InvalidInput("a pod needs an image")
    known = {image.name.rpartition("/")[2]: image_id for image_id, image in IMAGES.items()}
    stored: Any = SimpleNamespace(digest="sha256:" + "0" * 64, kind="aci", layers=[], names=[])
    chosen = [known.get(app.image, IDS[0]) for app in line.apps]
    found = [AppImage(image_id, stored, IMAGES[image_id], b"{}") for image_id in chosen]
    manifest = assemble.manifest(line, found, assemble.Environment({}, {}))
    options = PodOptions(
        network=netflags.network(line, lambda _: "", lambda: ["back"]), streams=streams(line, manifest)
    )
    return pods.make(manifest, {image.id: image for image in found}, options)


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
@FUZZ
@given(st.lists(WORDS, max_size=8) | LINES)
@example(["web", "--", "x", "---", "db", "--name=b"])
def test_a_command_line_is_refused_or_a_pod(words: list[str]) -> None:
    try:
        made = _pod_of(words)
    except LadingError as error:
        assert error.message and error.reason  # the command shows what is not printable escaped
        return
    if made is None:
        return
    text = made.pod.metadata.annotations[pods.MANIFEST]
    manifest = PodManifest.parse(text)
    assert manifest.text() == text
    assert [app.name for app in manifest.apps] == [container.name for container in made.pod.spec.containers]
    _admitted(made.pod)
