"""Short forms and long forms of a service's elements are one: the specification's examples."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from lading.errors import InvalidInput
from lading.formats.compose.model import Project

Load = Callable[..., Project]


def service(load: Load, body: str, more: str = "", **rest: Any) -> Any:
    text = f"services:\n  it:\n    image: x\n{textwrap.indent(textwrap.dedent(body), '    ')}\n{textwrap.dedent(more)}"
    return load(text, **rest).services["it"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('"3000"', [(3000, "", "", "tcp")]),
        ("3000", [(3000, "", "", "tcp")]),
        ('"3000-3002"', [(3000, "", "", "tcp"), (3001, "", "", "tcp"), (3002, "", "", "tcp")]),
        ('"8000:8000"', [(8000, "8000", "", "tcp")]),
        ('"9090-9091:8080-8081"', [(8080, "9090", "", "tcp"), (8081, "9091", "", "tcp")]),
        ('"8000-9000:80"', [(80, "8000-9000", "", "tcp")]),
        ('"127.0.0.1:8001:8001"', [(8001, "8001", "127.0.0.1", "tcp")]),
        ('"127.0.0.1::5000"', [(5000, "", "127.0.0.1", "tcp")]),
        ('"6060:6060/udp"', [(6060, "6060", "", "udp")]),
        ('"[::1]:6001:6001"', [(6001, "6001", "::1", "tcp")]),
        (
            "{target: 80, published: 8080, protocol: udp, host_ip: 10.0.0.1}",
            [(80, "8080", "10.0.0.1", "udp")],
        ),
        ('{target: "80", published: "8083-9000"}', [(80, "8083-9000", "", "tcp")]),
        ("22:22", [(22, "22", "", "tcp")]),
    ],
)
def test_ports(load: Load, row: str, expected: list[tuple[int, str, str, str]]) -> None:
    ports = service(load, f"ports: [{row}]").ports
    assert [(p.target, p.published, p.host_ip, p.protocol) for p in ports] == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("/anonymous", ("volume", "", "/anonymous", False)),
        ("data:/data", ("volume", "data", "/data", False)),
        ("data:/data:ro", ("volume", "data", "/data", True)),
        ("./here:/there", ("bind", "/srv/here", "/there", False)),
        ("../up:/there:ro", ("bind", "/up", "/there", True)),
        (".:/all", ("bind", "/srv", "/all", False)),
        ("~/mine:/there", ("bind", "/home/me/mine", "/there", False)),
        ("/abs:/there:rw,z", ("bind", "/abs", "/there", False)),
        ("{type: bind, source: ./static, target: /opt}", ("bind", "/srv/static", "/opt", False)),
        ("{type: tmpfs, target: /tmp, tmpfs: {size: 64m}}", ("tmpfs", "", "/tmp", False)),
        ("{type: volume, source: data, target: /d, read_only: 'true'}", ("volume", "data", "/d", True)),
    ],
)
def test_volumes(load: Load, row: str, expected: tuple[str, str, str, bool]) -> None:
    (mount,) = service(load, f"volumes:\n  - {row}", "volumes: {data: }").volumes
    assert (mount.type, mount.source, mount.target, mount.read_only) == expected


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ("command: bundle exec thin -p 3000", "command", ["bundle", "exec", "thin", "-p", "3000"]),
        ("command: sh -c 'echo \"a b\" c'", "command", ["sh", "-c", 'echo "a b" c']),
        ('command: [ "bundle", "exec" ]', "command", ["bundle", "exec"]),
        ("command: []", "command", []),
        ("command: ''", "command", []),
        ("command:", "command", None),
        ("entrypoint: /code/entrypoint.sh", "entrypoint", ["/code/entrypoint.sh"]),
        ("dns: 8.8.8.8", "dns", ["8.8.8.8"]),
        ("dns: [8.8.8.8, 9.9.9.9]", "dns", ["8.8.8.8", "9.9.9.9"]),
        ("dns_search: example.com", "dns_search", ["example.com"]),
        ("tmpfs: /run", "tmpfs", ["/run"]),
        ("expose: [3000, '8000']", "expose", ["3000", "8000"]),
        ("environment: [A=1, B=, C]", "environment", {"A": "1", "B": "", "C": "of the caller"}),
        ("environment: {A: 1, B: '', D: true, E: 1.5}", "environment", {"A": "1", "B": "", "D": "true", "E": "1.5"}),
        ("environment: {C: }", "environment", {"C": "of the caller"}),
        ("environment: [GONE]", "environment", {"GONE": None}),
        ("labels: [a=1, b]", "labels", {"a": "1", "b": ""}),
        ("labels: {a: 1, b: }", "labels", {"a": "1", "b": ""}),
        ("annotations: {a.b: c}", "annotations", {"a.b": "c"}),
        ("sysctls: {net.core.somaxconn: 1024}", "sysctls", {"net.core.somaxconn": "1024"}),
        ("sysctls: [net.core.somaxconn=1024]", "sysctls", {"net.core.somaxconn": "1024"}),
        ("extra_hosts: ['a=162.242.195.82', 'b:50.31.209.229', 'c=[::1]', 'a=1.2.3.4']", "extra_hosts",
         {"a": ["162.242.195.82", "1.2.3.4"], "b": ["50.31.209.229"], "c": ["::1"]}),
        ("extra_hosts: {a: 1.2.3.4, b: [1.1.1.1, 2.2.2.2]}", "extra_hosts", {"a": ["1.2.3.4"], "b": ["1.1.1.1", "2.2.2.2"]}),
        ("group_add: [mail, 100]", "group_add", ["mail", "100"]),
        ("cpus: 0.5", "cpus", "0.5"),
        ("mem_limit: 1000000", "mem_limit", "1000000"),
        ("read_only: 'yes'", "read_only", True),
        ("init: true", "init", True),
        ("scale: '3'", "scale", 3),
        ("restart: no", "restart", "no"),
        ("env_file: .env2", "environment", {"FROM": "file"}),
        ("env_file: [{path: .env2, format: raw}, {path: nope, required: false}]", "environment", {"FROM": "file"}),
    ],
)  # fmt: skip
def test_short_forms(load: Load, body: str, field: str, expected: object) -> None:
    found = service(load, body, files={"/srv/.env2": "FROM=file"}, environ={"C": "of the caller"})
    assert getattr(found, field) == expected


def test_ulimits_devices_health_and_build_have_short_forms(load: Load) -> None:
    found = service(
        load,
        """
        ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}
        devices: ["/dev/a", "/dev/b:/dev/c", "/dev/d:/dev/e:rw", {source: /dev/f}]
        healthcheck: {test: curl -f http://localhost, interval: 1m30s, retries: "3"}
        build: ./web
        """,
    )
    assert {k: (v.soft, v.hard) for k, v in found.ulimits.items()} == {
        "nproc": (65535, 65535),
        "nofile": (20000, 40000),
    }
    assert [(d.source, d.target, d.permissions) for d in found.devices] == [
        ("/dev/a", "/dev/a", "rwm"),
        ("/dev/b", "/dev/c", "rwm"),
        ("/dev/d", "/dev/e", "rw"),
        ("/dev/f", "", ""),
    ]
    assert (found.healthcheck.test, found.healthcheck.retries) == (
        ["CMD-SHELL", "curl -f http://localhost"],
        3,
    )
    assert found.build.context == "/srv/web"


def test_configs_and_secrets_are_granted_by_name_or_in_full(load: Load) -> None:
    found = service(
        load,
        "configs: [one, {source: two, target: /etc/two, mode: 0440, uid: '103'}]\nsecrets: [key]",
        """
        configs: {one: {file: ./one}, two: {content: "x"}}
        secrets: {key: {environment: KEY}}
        """,
    )
    assert [(c.source, c.target, c.mode, c.uid) for c in found.configs] == [
        ("one", "", "", ""),
        ("two", "/etc/two", "0440", "103"),
    ]
    assert [s.source for s in found.secrets] == ["key"]


def test_depends_on_as_a_list_means_started(load: Load) -> None:
    project = load("services: {a: {image: x, depends_on: [b]}, b: {image: x}}")
    assert {k: (d.condition, d.required) for k, d in project.services["a"].depends_on.items()} == {
        "b": ("service_started", True)
    }


def test_what_shares_a_namespace_or_links_depends_on_the_other(load: Load) -> None:
    project = load(
        "services: {a: {image: x, network_mode: 'service:b', pid: 'service:c'}, b: {image: x, links: ['c:cc']}, "
        "c: {image: x}, d: {image: x, volumes_from: ['c:ro']}}"
    )
    assert {name: list(s.depends_on) for name, s in project.services.items()} == {
        "a": ["b", "c"],
        "b": ["c"],
        "c": [],
        "d": ["c"],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {a: {image: x, imge: y}}", "services.a.imge: unknown field: did you mean 'image'?"),
        ("services: {a: {image: 3}}", "services.a.image: expected a string"),
        ("services: {a: {}}", "services.a: neither an image nor a build context"),
        ("services: {a: {image: x, depends_on: [b]}}", "services.a.depends_on.b: there is no service 'b'"),
        ("services: {a: {image: x, depends_on: [a]}}", "services wait for each other: a → a"),
        ("services: {a: {image: x, networks: [n]}}", "services.a.networks.n: there is no network 'n'"),
        ("services: {a: {image: x, volumes: ['v:/v']}}", "services.a.volumes[0]: there is no volume 'v'"),
        ("services: {a: {image: x, secrets: [s]}}", "services.a.secrets[0]: there is no secret 's'"),
        ("services: {a: {image: x, ports: ['99999']}}", "services.a.ports[0]: port '99999'"),
        ("services: {a: {image: x, ports: [{published: 1}]}}", "services.a.ports[0].target: required field is missing"),
        ("services: {a: {image: x, networks: [default], network_mode: host}}", "network_mode: it does not go"),
        ("services: {a: {image: x, scale: two}}", "services.a.scale: 'two' is not a whole number"),
        ("services: {a: {image: x, read_only: perhaps}}", "services.a.read_only: 'perhaps' is not true or false"),
        ("services: {a: {image: x, container_name: c, scale: 2}}", "services.a.container_name: there cannot be 2"),
        ("services: {a: {image: x, tmpfs: [/v], volumes: ['/b:/v']}}", "volumes[0].target: /v is the target of tmpfs[0]"),
        ("services: {a: {image: x, tmpfs: [/v, '/v:size=1m']}}", "services.a.tmpfs[1]: /v is the target of tmpfs[0]"),
        ("services: {a: {image: x, ulimits: {nproc: {single: 1}}}}", "services.a.ulimits.nproc.single: unknown field"),
        ("services: {a: {image: x}}\nvolumes: {v: {external: {name: b}, name: a}}", "volumes.v.external.name: the name is 'a'"),
        ("services: {a: {image: x, volumes: ['/a:/v:xx']}}", "services.a.volumes[0]: '/a:/v:xx': the mode 'xx'"),
        ("services: {a: {image: x}}\nsecrets: {s: {content: x}}", "secrets.s.content: unknown field"),
        ("services: {a: {image: x}}\nconfigs: {s: {content: x, file: y}}", "configs.s: file and content contradict"),
        ("services: {a: {image: x}}\nnetworks: {n: {external: true, driver: bridge}}", "networks.n: external says"),
        ("servces: {}", "servces: unknown element at the top"),
        ("", "the file is empty"),
        ("services:", "services: it is empty"),
        ("version: 3\nservices: {a: {image: x}}", "version: expected a text"),
        ("services: {a: {image: x, build: }}", "services.a.build: it is empty"),
        ("services: {a: {image: x, environment: ['A =1']}}", "services.a.environment[0]: 'A =1' has a blank after the name"),
        ("services: {a: {image: x, mem_limit: much}}", "services.a.mem_limit: size 'much' is not a number of bytes"),
        ("services: {a: {image: x, healthcheck: {test: [curl, x]}}}", "services.a.healthcheck.test: 'curl' is not NONE"),
        ("services: {a: {image: x, volumes: [{type: tmpfs, target: /t, tmpfs: {size: -1}}]}}",
         "volumes[0].tmpfs.size: -1 is negative"),
        ("services: {a: {image: x, cpus: half}}", "services.a.cpus: 'half' is not a number"),
        ("services: {a: {image: x, cpu_period: 20ms}}", "services.a.cpu_period: '20ms' is not a number"),
        ("services: {a: {image: x, stop_grace_period: soon}}", "services.a.stop_grace_period: duration 'soon'"),
        ("services: {a: {image: x, privileged: '1'}}", "services.a.privileged: '1' is not true or false"),
        ("services: {a: {image: x, cpus: 1, deploy: {resources: {limits: {cpus: '2'}}}}}",
         "services.a.cpus: deploy.resources says"),
        ("services: {a: {image: x, container_name: cc}, b: {image: x, container_name: cc}}",
         "services.b.container_name: 'cc' is"),
        ("services: {a: {image: x, depends_on: {b: }}, b: {image: y}}", "services.a.depends_on.b: expected an object"),
        ("services: {a: {image: x, depends_on: {b: {restart: true}}}, b: {image: y}}",
         "services.a.depends_on.b.condition: required"),
        ("services: {a: {image: x, ports: [{target: 80, host_ip: here}]}}", "services.a.ports[0].host_ip: 'here' is no address"),
        ("services: {a: {image: x, volumes: [{type: bind, source: /a, target: /a, bind: {selinux: q}}]}}",
         "selinux: 'q' is not z"),
        ("services: {a: {image: x, volumes: ['a/b:/v']}}", "services.a.volumes[0]: there is no volume 'a/b'"),
        ("services: {a: {image: x, command: 'a \\'}}", "services.a.command: 'a \\\\': a backslash stands at the end"),
        ("services: {a: {image: x, develop: {watch: [{path: ., action: copy}]}}}",
         "develop.watch[0].action: 'copy' is not one of"),
        ("services: {a: {image: x, develop: {watch: [{path: ., action: sync}]}}}", "develop.watch[0].target: required field"),
        ("services: {a: {build: {context: ., additional_contexts: {c: 'service:b'}}}, b: {image: y}}",
         "'b' is no service that is built"),
        ("services: {a: {image: x, secrets: [{source: s, uid: 1}]}}\nsecrets: {s: {file: f}}",
         "services.a.secrets[0].uid: expected"),
        ("services: {'a b': {image: x}}", "services: 'a b' is not a name"),
        ("services: [a]", "services: expected a mapping of names"),
        ("[a]", "a Compose file is a mapping"),
        ("services: {a: {image: x, depends_on: {b: {condition: ready}}}, b: {image: x}}", "condition: 'ready' is not"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_path(load: Load, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        load(text)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_mistake_is_told_with_file_and_line(load: Load) -> None:
    with pytest.raises(InvalidInput) as raised:
        load("services:\n  a:\n    image: x\n    ports:\n      - 80\n      - {target: 1, prot: tcp}\n")
    assert raised.value.message.startswith("/srv/0.yaml:6: services.a.ports[1].prot: unknown field")
