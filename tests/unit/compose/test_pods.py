"""A service as a Pod: what goes where, and what is refused by its path."""

from __future__ import annotations

from typing import Any

import pytest

from lading.compose import labels, pods, refusals
from lading.errors import InvalidInput, LadingError, Unsupported
from lading.formats.compose import checking, resolving
from lading.formats.compose.loading import Loader
from lading.formats.compose.model import Project
from lading.formats.pod import Container, Pod


def project(body: str, more: str = "") -> Project:
    loader = Loader(lambda path: None, {})
    made = loader.load(
        [("c.yaml", f"services: {{it: {{image: x, {body}}}, other: {{image: y}}}}\n{more}".encode())], "/srv"
    )
    made.name = "app"
    resolving.fill(made, {})
    checking.check(made)
    resolving.environments(made, lambda path: None, {}, [])
    refusals.check(made)
    return made


def pod_of(body: str, more: str = "", **rest: Any) -> Pod:
    world = pods.World(
        container=lambda name: f"app-{name}-1",
        file=lambda kind, name, uid, gid, mode: f"/files/{kind}/{name}{uid}{gid}{mode}",
        volumes=lambda name: [],
        free_port=lambda protocol, address, first, last: first,
    )
    return pods.pod_of(project(body, more), "it", 1, world, image="x", marks={}, **rest)


def container(body: str, more: str = "", **rest: Any) -> Container:
    return pod_of(body, more, **rest).spec.containers[0]


def test_names_and_labels_are_docker_composes() -> None:
    made = pod_of("labels: {mine: yes}")
    assert made.metadata.name == "app-it-1"
    found = made.spec.containers[0].extras.labels
    assert found == {
        "mine": "yes",
        labels.PROJECT: "app",
        labels.SERVICE: "it",
        labels.NUMBER: "1",
        labels.ONEOFF: "False",
    }
    assert pod_of("container_name: chosen").metadata.name == "chosen"


@pytest.mark.parametrize(
    ("body", "get", "expected"),
    [
        ("command: [a, '$$(B)']", lambda c: c.args, ["a", "$$(B)"]),
        ("entrypoint: [e, f], command: g", lambda c: (c.command, c.args, c.extras.entrypoint_given), (["e", "f"], ["g"], True)),
        ("entrypoint: []", lambda c: (c.command, c.extras.entrypoint_given), ([], True)),
        ("environment: {A: 1}", lambda c: [(e.name, e.value) for e in c.env], [("A", "1")]),
        ("mem_limit: 64m", lambda c: c.resources.limits, {"memory": str(64 << 20)}),
        ("deploy: {resources: {limits: {memory: 64m, cpus: '0.5', pids: 7}}}",
         lambda c: (c.resources.limits, c.extras.pids_limit), ({"memory": str(64 << 20), "cpu": "0.5"}, 7)),
        ("deploy: {resources: {reservations: {cpus: '0.25', memory: 8m}}}",
         lambda c: (c.resources.requests, c.extras.memory_reservation), ({"cpu": "0.25"}, 8 << 20)),
        ("restart: unless-stopped", lambda c: c.extras.restart, "unless-stopped"),
        ("deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}", lambda c: c.extras.restart, "on-failure:3"),
        ("ports: ['127.0.0.1:81:80/udp']", lambda c: [(p.host_ip, p.host_port, p.container_port, p.protocol) for p in c.ports],
         [("127.0.0.1", 81, 80, "UDP")]),
        ("ports: [80]", lambda c: [(p.host_port, p.container_port) for p in c.ports], [(-1, 80)]),
        ("ports: ['8000-8010:80']", lambda c: [p.host_port for p in c.ports], [8000]),
        ("expose: [90]", lambda c: [(p.host_port, p.container_port) for p in c.ports], [(0, 90)]),
        ("volumes: ['/a:/b:ro']", lambda c: [(m.source, m.target, m.read_only, m.create_source) for m in c.extras.mounts],
         [("/a", "/b", True, True)]),
        ("volumes: [{type: bind, source: /a, target: /b, bind: {create_host_path: false, propagation: rslave}}]",
         lambda c: [(m.create_source, m.propagation) for m in c.extras.mounts], [(False, "rslave")]),
        ("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}]",
         lambda c: [(t.path, t.options) for t in c.extras.tmpfs],
         [("/t", ["size=1048576", "mode=700"])]),
        ("tmpfs: ['/t:size=1m']", lambda c: [(t.path, t.options) for t in c.extras.tmpfs], [("/t", ["size=1m"])]),
        ("healthcheck: {test: 'true', interval: 2s, start_period: 1m, retries: 5}",
         lambda c: (c.extras.healthcheck.test, c.extras.healthcheck.interval, c.extras.healthcheck.start_period,
                    c.extras.healthcheck.retries), (["CMD-SHELL", "true"], 2.0, 60.0, 5)),
        ("healthcheck: {disable: true}", lambda c: c.extras.healthcheck.test, ["NONE"]),
        ("ulimits: {nofile: {soft: 1, hard: 2}}", lambda c: [(u.name, u.soft, u.hard) for u in c.extras.ulimits],
         [("nofile", 1, 2)]),
        ("user: '1:2'", lambda c: c.extras.user, "1:2"),
        ("cap_add: [NET_ADMIN], privileged: true", lambda c: (c.security_context.capabilities.add, c.security_context.privileged),
         (["NET_ADMIN"], True)),
        ("stop_grace_period: 1m30s, stop_signal: SIGUSR1", lambda c: (c.extras.stop_timeout, c.extras.stop_signal),
         (90, "SIGUSR1")),
        ("devices: ['/dev/null:/dev/x:r']", lambda c: [(d.path, d.container_path, d.permissions) for d in c.extras.devices],
         [("/dev/null", "/dev/x", "r")]),
        ("blkio_config: {weight: 300, device_read_bps: [{path: /dev/sda, rate: 1mb}]}",
         lambda c: (c.extras.blkio_weight, [(b.device, b.read) for b in c.extras.block_bandwidth]),
         (300, [("/dev/sda", 1 << 20)])),
    ],
)  # fmt: skip
def test_what_a_field_becomes(body: str, get: Any, expected: object) -> None:
    assert get(container(body)) == expected


def test_volumes_are_named_by_the_project_and_anonymous_ones_go_on() -> None:
    made = container(
        "volumes: ['v:/v', /anon]", "volumes: {v: }", kept={"/anon": "f" * 64, "/of-the-image": "e" * 64}
    )
    assert {m.target: m.volume for m in made.extras.mounts} == {
        "/v": "app_v",
        "/anon": "f" * 64,
        "/of-the-image": "e" * 64,
    }


def test_configs_and_secrets_are_mounted_where_they_belong() -> None:
    made = container(
        "configs: [c, {source: c, target: /etc/c, mode: 0440}], secrets: [s, {source: s, target: t}, {source: s, target: /abs}]",
        "configs: {c: {content: x}}\nsecrets: {s: {file: ./s}}",
    )
    assert {m.target: (m.source, m.read_only) for m in made.extras.mounts} == {
        "/c": ("/files/configs/c", True),
        "/etc/c": ("/files/configs/c0440", True),
        "/run/secrets/s": ("/files/secrets/s", True),
        "/run/secrets/t": ("/files/secrets/s", True),
        "/abs": ("/files/secrets/s", True),
    }


def test_networks_have_the_services_name_its_aliases_and_what_others_link_it_by() -> None:
    made = pod_of(
        "networks: {n: {aliases: [more], ipv4_address: 10.1.2.3, priority: 1}, "
        "m: {priority: 5, mac_address: 'aa:bb:cc:dd:ee:00'}}",
        "networks: {n: , m: {name: theirs}}",
    )
    assert [(n.name, n.aliases, n.ipv4, n.mac) for n in made.spec.extras.networks] == [
        ("theirs", ["it"], "", "aa:bb:cc:dd:ee:00"),
        ("app_n", ["it", "more"], "10.1.2.3", ""),
    ]
    one = pod_of("image: x".replace("image: x", "hostname: h"), "")
    assert [n.name for n in one.spec.extras.networks] == ["app_default"]


@pytest.mark.parametrize(
    ("mode", "network", "networks"),
    [
        ("host", "host", 0),
        ("none", "none", 0),
        ("bridge", "", 0),
        ("'service:other'", "container:app-other-1", 0),
        ("'container:c'", "container:c", 0),
    ],
)
def test_network_modes(mode: str, network: str, networks: int) -> None:
    extras = pod_of(f"network_mode: {mode}").spec.extras
    assert (extras.network_mode, len(extras.networks)) == (network, networks)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("cpus: abc", "services.it.cpus"),
        ("mem_limit: 1x", "services.it.mem_limit"),
        ("mem_limit: 1m, deploy: {resources: {limits: {memory: 2m}}}", "services.it.mem_limit"),
        ("restart: sometimes", "services.it.restart"),
        ("stop_signal: SIGNOPE", "services.it"),
        ("stop_grace_period: long", "services.it.stop_grace_period"),
        ("healthcheck: {test: [x]}", "services.it.healthcheck.test"),
        ("healthcheck: {test: x, interval: soon}", "services.it.healthcheck.interval"),
        ("healthcheck: {test: x, start_period: 1us}", "services.it.healthcheck.start_period"),
        ("healthcheck: {test: x, retries: -1}", "services.it.healthcheck.retries"),
        ("ulimits: {nope: 1}", "services.it.ulimits"),
        ("network_mode: odd", "services.it"),
        ("tmpfs: ['relative']", "services.it"),
        ("cpu_shares: many", "services.it.cpu_shares"),
        (
            "volumes: [{type: volume, target: /v, volume: {subpath: ../up}}]",
            "services.it.volumes[0].volume.subpath",
        ),
        ("volumes: [{type: tmpfs, target: /v, tmpfs: {mode: '9'}}]", "services.it.volumes[0].tmpfs.mode"),
    ],
)
def test_what_is_wrong_is_told_by_its_path(body: str, path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        container(body)
    assert raised.value.message.startswith(path)
    assert "--" not in raised.value.message


@pytest.mark.parametrize(
    "body",
    [
        "cpu_count: 1", "cpu_percent: 5", "isolation: default", "credential_spec: {file: x}", "cpu_rt_period: 1",
        "external_links: [a]", "gpus: all", "models: [m]", "provider: {type: x}", "storage_opt: {size: 1}",
        "use_api_socket: true", "logging: {driver: syslog}", "logging: {options: {tag: x}}", "deploy: {mode: global}",
        "deploy: {endpoint_mode: vip}", "deploy: {placement: {constraints: [a]}}", "deploy: {update_config: {order: stop-first}}",
        "deploy: {labels: {a: b}}", "deploy: {restart_policy: {delay: 1s}}",
        "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
        "volumes: [{type: image, source: x, target: /x}]",
        "volumes: [{type: npipe, source: x, target: /x}]", "networks: {default: {interface_name: eth9}}",
        "networks: {default: {link_local_ips: [169.254.1.1]}}", "blkio_config: {weight_device: [{path: /dev/sda, weight: 5}]}",
        "build: {privileged: true}", "build: {isolation: x}", "pull_refresh_after: 24h",
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_its_path(body: str) -> None:
    with pytest.raises(Unsupported) as raised:
        project(body)
    assert raised.value.message.startswith(f"services.it.{body.partition(':')[0]}")


@pytest.mark.parametrize(
    "more",
    [
        "secrets: {s: {external: true}}", "configs: {s: {external: true}}", "networks: {n: {driver: overlay}}",
        "networks: {n: {enable_ipv4: false}}", "networks: {n: {ipam: {driver: theirs}}}", "volumes: {v: {driver: nfs}}",
        "models: {m: {model: x}}", "secrets: {s: {file: x, template_driver: golang}}",
    ],
)  # fmt: skip
def test_what_is_not_supported_at_the_top_is_refused_by_its_path(more: str) -> None:
    with pytest.raises(LadingError) as raised:
        project("init: true", more)
    assert raised.value.reason == "unsupported"
    assert raised.value.message.startswith(more.partition(":")[0])


@pytest.mark.parametrize(
    ("body", "size", "files"),
    [
        ("logging: {options: {max-size: 10k}}", 10_000, 1),
        ("logging: {driver: json-file, options: {max-size: 1.5m, max-file: 3}}", 1_500_000, 3),
        ("logging: {driver: local, options: {max-size: 1m, compress: 'false'}}", 1_000_000, 5),
        ("logging: {options: {max-file: 1}}", None, 1),
        ("logging: {options: {max-size: -1}}", None, None),
        ("logging: {driver: json-file}", None, None),
    ],
)
def test_a_log_is_as_large_as_its_options_say(body: str, size: int | None, files: int | None) -> None:
    extras = container(body).extras
    assert (extras.log_size, extras.log_files) == (size, files)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("max-size: big", "max-size: 'big' is not a number of bytes"),
        ("max-size: 0", "max-size: 0 leaves no room"),
        ("max-file: 3", "max-file: it says nothing without max-size"),
        ("max-size: 1m, max-file: 0", "max-file: 0 is not 1 or more"),
        ("max-size: 1m, max-file: x", "max-file: 'x' is not a whole number"),
    ],
)
def test_options_of_a_log_that_mean_nothing_are_refused(options: str, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        container(f"logging: {{options: {{{options}}}}}")
    assert raised.value.message.startswith(f"services.it.logging.options.{said}")


def test_a_domains_name_is_set_in_the_namespace_of_names() -> None:
    assert container("domainname: example.org").extras.sysctls == {"kernel.domainname": "example.org"}
    with pytest.raises(InvalidInput) as raised:
        container("domainname: 'a b'")
    assert raised.value.message.startswith("services.it.domainname: 'a b' is not a domain's name")
