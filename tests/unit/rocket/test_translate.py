"""A reified pod of apps as a Pod of the engine: each word of the one in the other."""

from __future__ import annotations

from typing import Any

import pytest

from lading.errors import LadingError, Unsupported
from lading.formats.appc import callsets
from lading.formats.appc.app import App, EnvironmentVariable, EventHandler, MountPoint, Port
from lading.formats.appc.image import ImageManifest
from lading.formats.appc.isolators import Isolator
from lading.formats.appc.pod import ExposedPort, PodManifest, RuntimeApp, RuntimeImage, Volume
from lading.formats.appc.reify import reify
from lading.formats.pod import Container, Pod
from lading.node import admission
from lading.rocket.translate import Translated, translate

ID = "sha512-" + "ab" * 64
BLACKLIST = sorted(set(callsets.BLACKLIST))
UUID = "6733c088-a507-4694-aabf-edbe4fc5266f"


def _translated(
    *,
    pod: dict[str, Any] | None = None,
    runtime: dict[str, Any] | None = None,
    isolators: list[tuple[str, Any]] | None = None,
    metadata_url: str = "",
    **app: Any,
) -> Translated:
    image = ImageManifest.new("example.com/main")
    image.app = App(**{"exec": ["/main", "$(A)"], "user": "0", "group": "0", **app})
    image.app.isolators = [Isolator(name=name, value=value) for name, value in isolators or []]
    one = RuntimeApp(name="main", image=RuntimeImage(id=ID), **(runtime or {}))
    manifest = PodManifest.new().replace(apps=[one], **(pod or {}))
    made, _ = reify(manifest, {ID: image})
    return translate(made, {ID: image}, uuid=UUID, metadata_url=metadata_url)


def _app(**asked: Any) -> Container:
    return _translated(**asked).pod.spec.containers[0]


def _admitted(pod: Pod) -> None:
    pod.metadata.name = "pod"
    admission.admit(pod)


def test_what_an_app_executes_and_sees() -> None:
    made = _translated(
        environment=[EnvironmentVariable(name="A", value="1 $HOME $(B) $$")],
        working_directory="/work",
        supplementary_gids=[7, 8],
        metadata_url="http://127.0.0.1:1/t",
    )
    one = made.pod.spec.containers[0]
    assert one.image == "sha512:" + "ab" * 64
    assert (one.command, one.args, one.working_dir) == (["/main", "$$(A)"], [], "/work")
    assert {e.name: e.value for e in one.env} == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "A": "1 $$HOME $$(B) $$$$",
        "AC_APP_NAME": "main",
        "AC_METADATA_URL": "http://127.0.0.1:1/t",
        "container": "lading",
    }
    assert (one.extras.user, one.extras.group_add) == ("0:0", ["7", "8"])
    spec = made.pod.spec
    assert (spec.restart_policy, spec.share_process_namespace, spec.extras.fail_together) == (
        "Never",
        True,
        True,
    )
    assert made.pod.metadata.uid == UUID and made.notes == []
    _admitted(made.pod)


def test_without_a_metadata_service_there_is_no_url() -> None:
    assert "AC_METADATA_URL" not in {e.name for e in _app().env}
    assert _app().working_dir == "/"


def test_handlers() -> None:
    handlers = [
        EventHandler(name="pre-start", exec=["/pre", "a"]),
        EventHandler(name="post-stop", exec=["/post"]),
    ]
    extras = _app(event_handlers=handlers).extras
    assert (extras.pre_start, extras.post_stop) == (["/pre", "a"], ["/post"])


def test_volumes_are_matched_by_name() -> None:
    points = [
        MountPoint(name="data", path="/d"),
        MountPoint(name="logs", path="/l", read_only=True),
        MountPoint(name="again", path="/a"),
    ]
    volumes = [
        Volume(name="data", kind="host", source="/srv", recursive=False),
        Volume(name="logs", kind="empty", mode="0700", uid=5, gid=6),
        Volume(name="again", kind="empty"),
    ]
    made = _translated(mount_points=points, pod={"volumes": volumes})
    one = made.pod.spec.containers[0]
    [bind] = one.extras.mounts
    assert (bind.target, bind.source, bind.read_only, bind.recursive, bind.create_source) == (
        "/d", "/srv", False, False, False,
    )  # fmt: skip
    sources = {v.name: v.empty_dir for v in made.pod.spec.volumes}
    mounted = {m.mount_path: (sources[m.name], m.read_only) for m in one.volume_mounts}
    logs, again = mounted["/l"], mounted["/a"]
    assert logs[0] is not None and (logs[0].mode, logs[0].uid, logs[0].gid, logs[1]) == (0o700, 5, 6, True)
    assert again[0] is not None and (again[0].mode, again[0].uid, again[1]) == (0o755, 0, False)
    _admitted(made.pod)


def test_ports_are_matched_by_name_one_by_one() -> None:
    ports = [Port(name="www", protocol="tcp", port=80, count=2), Port(name="dns", protocol="udp", port=53)]
    exposed = [
        ExposedPort(name="www", host_port=8080, host_ip="127.0.0.1"),
        ExposedPort(name="dns", host_port=5353),
    ]
    made = _translated(ports=ports, pod={"ports": exposed})
    found = {
        (p.protocol, p.container_port, p.host_port, p.host_ip) for p in made.pod.spec.containers[0].ports
    }
    assert found == {("TCP", 80, 8080, "127.0.0.1"), ("TCP", 81, 8081, "127.0.0.1"), ("UDP", 53, 5353, "")}
    _admitted(made.pod)
    with pytest.raises(Unsupported, match="sctp"):
        _translated(
            ports=[Port(name="www", protocol="sctp", port=80)],
            pod={"ports": [ExposedPort(name="www", host_port=8080)]},
        )


DEFAULT = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FSETID FOWNER KILL MKNOD NET_RAW NET_BIND_SERVICE SETUID SETGID SETPCAP SETFCAP "
    "SYS_CHROOT"
).split()


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("os/linux/capabilities-retain-set", {"set": ["CAP_KILL", "CAP_SYS_TIME"]}, ["KILL", "SYS_TIME"]),
        ("os/linux/capabilities-remove-set", {"set": ["CAP_CHOWN"]}, [n for n in DEFAULT if n != "CHOWN"]),
        ("os/linux/no-new-privileges", False, DEFAULT),
    ],
)
def test_capabilities(name: str, value: object, kept: list[str]) -> None:
    context = _app(isolators=[(name, value)]).security_context
    assert context is not None and context.capabilities is not None
    assert (context.capabilities.drop, context.capabilities.add) == (["ALL"], kept)


def test_other_isolators() -> None:
    made = _translated(
        isolators=[
            ("resource/cpu", {"limit": "500m", "request": "250m"}),
            ("resource/memory", {"limit": "64Mi"}),
            ("resource/block-bandwidth", {"default": True, "limit": "2M"}),
            ("resource/block-iops", {"default": True, "limit": "100"}),
            ("resource/network-bandwidth", {"default": True, "limit": "1G"}),
            ("os/linux/no-new-privileges", True),
            ("os/linux/oom-score-adj", 10),
            ("os/linux/cpu-shares", 512),
            ("os/linux/seccomp-remove-set", {"set": ["mount", "umount2"], "errno": "EPERM"}),
            ("example.com/unheard-of", 1),
        ],
        runtime={"read_only_root_fs": True},
        pod={"isolators": [Isolator(name="os/unix/sysctl", value={"net.ipv4.ip_forward": "1"})]},
    )
    one = made.pod.spec.containers[0]
    assert one.resources is not None
    assert one.resources.limits == {"cpu": "500m", "memory": str(64 << 20)}
    assert one.resources.requests == {"cpu": "250m", "memory": str(64 << 20)}
    assert [(b.device, b.read, b.write) for b in one.extras.block_bandwidth] == [("", 2_000_000, 2_000_000)]
    assert [(b.device, b.read, b.write) for b in one.extras.block_operations] == [("", 100, 100)]
    assert (one.extras.oom_score_adj, one.extras.cpu_shares) == (10, 512)
    calls = one.extras.system_calls
    assert calls is not None
    assert (calls.mode, calls.names, calls.errno) == ("remove", ["mount", "umount2"], "EPERM")
    context = one.security_context
    assert context is not None
    assert context.allow_privilege_escalation is False and context.read_only_root_filesystem is True
    assert made.pod.spec.security_context is not None
    assert [(s.name, s.value) for s in made.pod.spec.security_context.sysctls] == [
        ("net.ipv4.ip_forward", "1")
    ]
    assert len(made.notes) == 2
    assert "example.com/unheard-of" in made.notes[0] and "network-bandwidth" in made.notes[1]
    _admitted(made.pod)


@pytest.mark.parametrize(
    ("kind", "values", "seccomp"),
    [
        ("retain", ["@appc.io/all"], "unconfined"),
        ("retain", ["read", "@appc.io/all"], "unconfined"),
        ("remove", ["@appc.io/empty"], ""),
        ("remove", ["@appc.io/empty", "mkdir"], ""),
    ],
)
def test_the_specifications_ways_out_of_a_filter_and_into_the_usual_one(
    kind: str, values: list[str], seccomp: str
) -> None:
    extras = _app(isolators=[(f"os/linux/seccomp-{kind}-set", {"set": values})]).extras
    assert (extras.system_calls, extras.seccomp) == (None, seccomp)


@pytest.mark.parametrize(
    ("kind", "values", "mode", "names", "sets"),
    [
        ("retain", ["@rkt/default-whitelist"], "retain", [], ["default"]),
        ("retain", ["@docker/default-whitelist", "mount", "@rkt/default-whitelist"], "retain", ["mount"], ["default"]),
        ("retain", ["@appc.io/empty", "read"], "retain", ["read"], []),
        ("retain", ["@appc.io/empty"], "retain", [], []),
        ("retain", ["@systemd/network-io", "@systemd/default-whitelist"], "retain", [], ["network-io", "basic"]),
        ("retain", ["@rkt/default-blacklist"], "retain", BLACKLIST, []),
        ("remove", ["@rkt/default-blacklist", "chown", "mount"], "remove", ["chown", *BLACKLIST], []),
        ("remove", ["@docker/default-blacklist"], "remove", BLACKLIST, []),
        ("remove", ["@systemd/clock", "mkdir", "@systemd/raw-io"], "remove", ["mkdir"], ["clock", "raw-io"]),
        ("remove", ["@appc.io/all"], "retain", [], []),
        ("remove", ["@rkt/default-whitelist", "read"], "retain", [], []),
    ],
)  # fmt: skip
def test_sets_of_system_calls_mixed_with_names(
    kind: str, values: list[str], mode: str, names: list[str], sets: list[str]
) -> None:
    made = _translated(isolators=[(f"os/linux/seccomp-{kind}-set", {"set": values, "errno": "EACCES"})])
    calls = made.pod.spec.containers[0].extras.system_calls
    assert calls is not None
    assert (calls.mode, sorted(calls.names), calls.sets, calls.errno) == (mode, sorted(names), sets, "EACCES")
    _admitted(made.pod)


def test_every_set_that_is_known_has_a_meaning() -> None:
    for wildcard in callsets.KNOWN:
        for kind in ("retain", "remove"):
            _admitted(_translated(isolators=[(f"os/linux/seccomp-{kind}-set", {"set": [wildcard]})]).pod)


@pytest.mark.parametrize("value", ["@systemd/keyring", "@rkt/other", "@appc.io/some", "@example.com/set"])
def test_a_set_that_nobody_knows_is_refused(value: str) -> None:
    for kind in ("retain", "remove"):
        with pytest.raises(Unsupported, match="app 'main': the set of system calls @"):
            _app(isolators=[(f"os/linux/seccomp-{kind}-set", {"set": ["read", value]})])


def test_sockets_of_activated_ports() -> None:
    ports = [
        Port(name="www", protocol="tcp", port=80, count=2, socket_activated=True),
        Port(name="dns", protocol="udp", port=53, socket_activated=True),
        Port(name="own", protocol="tcp", port=90),
    ]
    made = _translated(ports=ports, pod={"ports": [ExposedPort(name="www", host_port=8080)]})
    one = made.pod.spec.containers[0]
    assert [(w.port, w.protocol, w.address, w.name, w.host_port) for w in one.extras.listen] == [
        (80, "TCP", "0.0.0.0", "www", 0), (81, "TCP", "0.0.0.0", "www", 0), (53, "UDP", "0.0.0.0", "dns", 0),
    ]  # fmt: skip
    assert [(p.container_port, p.host_port) for p in one.ports] == [(80, 8080), (81, 8081)]
    _admitted(made.pod)


def test_what_cannot_be_said_is_refused_by_name() -> None:
    activated = [Port(name="www", protocol="sctp", port=80, socket_activated=True)]
    with pytest.raises(Unsupported, match="app 'main': port 'www': protocol 'sctp'"):
        _translated(ports=activated)
    with pytest.raises(LadingError, match="more than 63"):
        manifest = PodManifest.new().replace(
            apps=[
                RuntimeApp(
                    name="a" * 64,
                    image=RuntimeImage(id=ID),
                    app=App(exec=["/x"], user="0", group="0"),
                )
            ]
        )
        translate(manifest, {}, uuid=UUID)


def test_a_limit_for_the_whole_pod_is_said_not_to_be_one() -> None:
    limits = [Isolator(name="resource/memory", value={"limit": "1G"})]
    made = _translated(pod={"isolators": limits})
    assert made.notes == ["the pod: isolator resource/memory: limits are set for each app"]
