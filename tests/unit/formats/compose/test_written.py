"""A project as ``config`` prints it."""

from __future__ import annotations

import pytest
import yaml

from lading.formats.compose import resolving
from lading.formats.compose.loading import Loader
from lading.formats.compose.written import without_blanks, written


def printed(text: str, *, extended: bool = True, environ: dict[str, str] | None = None) -> dict:
    project = Loader(lambda path: None, environ or {}).load([("compose.yaml", text.encode())], "/srv")
    project.name = "app"
    resolving.defaults(project)
    resolving.fill(project, environ or {})
    resolving.prune(project)
    return written(project, extended=extended)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("mem_limit: 50m", {"mem_limit": "52428800"}),
        ("memswap_limit: -1", {"memswap_limit": "-1"}),
        ("shm_size: 64m", {"shm_size": "67108864"}),
        ("mem_limit: 0", {}),
        ("cpus: '0.50'", {"cpus": 0.5}),
        ("cpu_shares: '73'", {"cpu_shares": 73}),
        ("stop_grace_period: 90s", {"stop_grace_period": "1m30s"}),
        ("healthcheck: {test: x, interval: 1000ms}", {"healthcheck": {"test": ["CMD-SHELL", "x"], "interval": "1s"}}),
        ("ulimits: {nproc: 5, nofile: {soft: 1, hard: 2}}", {"ulimits": {"nproc": 5, "nofile": {"soft": 1, "hard": 2}}}),
        ("extra_hosts: ['b=1.1.1.1,1.1.1.2', 'a:::1']", {"extra_hosts": ["a=::1", "b=1.1.1.1", "b=1.1.1.2"]}),
        ("build: ./web", {"build": {"context": "/srv/web", "dockerfile": "Dockerfile"}}),
        ("build: {args: {GONE: , HERE: , N: 1}}",
         {"build": {"args": {"HERE": "h", "N": "1"}, "context": "/srv", "dockerfile": "Dockerfile"}}),
        ("environment: [GONE, HERE]", {"environment": {"GONE": None, "HERE": None}}),
        ("volumes: [./a:/a/]", {"volumes": [{"type": "bind", "source": "/srv/a", "target": "/a", "bind": {}}]}),
        ("volumes: [{type: bind, source: /a/, target: /a, bind: {create_host_path: false}}]",
         {"volumes": [{"type": "bind", "source": "/a/", "target": "/a", "bind": {"create_host_path": False}}]}),
        ("volumes: [{type: tmpfs, target: /t, tmpfs: {mode: 0700, size: 0}}]",
         {"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"mode": 0o700}}]}),
        ("secrets: [{source: s, mode: 0440}]", {"secrets": [{"source": "s", "target": "/run/secrets/s", "mode": "0440"}]}),
        ("deploy: {replicas: 0}", {"deploy": {"replicas": 0, "placement": {}, "resources": {}}}),
        ("gpus: all", {"gpus": [{"count": -1}]}),
        ("attach: true", {"attach": True}),
        ("pull_policy: if_not_present", {"pull_policy": "missing"}),
        ("dns: ''", {}),
        ("pre_start: [{command: x}]", {"pre_start": [{"command": ["x"], "image": "i"}]}),
    ],
)  # fmt: skip
def test_a_value_has_one_form(body: str, expected: dict) -> None:
    (service,) = printed(
        f"services: {{a: {{image: i, {body}}}}}\nsecrets: {{s: {{environment: S}}}}", environ={"HERE": "h"}
    )["services"].values()
    assert service == {"image": "i", "networks": {"default": None}, **expected}


def test_what_nobody_uses_is_left_out_and_a_network_says_where_its_addresses_come_from() -> None:
    made = printed(
        """
        services: {a: {image: i, networks: [n], volumes: ['v:/v'], configs: [c]}}
        networks: {n: , other: }
        volumes: {v: , other: }
        configs: {c: {content: x}, other: {content: y}}
        secrets: {other: {environment: O}}
        """
    )
    assert made["networks"] == {"n": {"name": "app_n", "ipam": {}}}
    assert made["volumes"] == {"v": {"name": "app_v"}}
    assert list(made["configs"]) == ["c"]
    assert "secrets" not in made


def test_only_json_has_mappings_with_nothing_in_them() -> None:
    made = without_blanks(printed("services: {a: {image: i, deploy: {replicas: 1}}}"))
    assert made == {
        "name": "app",
        "networks": {"default": {"name": "app_default"}},
        "services": {"a": {"deploy": {"replicas": 1}, "image": "i", "networks": {"default": None}}},
    }


def test_extensions_are_kept_or_only_those_of_the_top() -> None:
    text = "x-top: 1\nservices: {a: {image: i, x-in: 2, labels: {x-label: l}, deploy: {x-deep: 3}}}"
    assert printed(text)["services"]["a"]["x-in"] == 2
    plain = printed(text, extended=False)
    assert plain["x-top"] == 1
    assert yaml.safe_dump(plain["services"]["a"]) == yaml.safe_dump(
        {
            "deploy": {"placement": {}, "resources": {}},
            "image": "i",
            "labels": {"x-label": "l"},
            "networks": {"default": None},
        }
    )
