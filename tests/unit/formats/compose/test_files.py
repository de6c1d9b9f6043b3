"""Several files, extends, include, profiles, fragments: the specification's "Merge", "Include" and so on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats.compose import checking, resolving
from lading.formats.compose.loading import Loader
from lading.formats.compose.model import Project

FUZZ = settings(max_examples=1_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)
Load = Callable[..., Project]


def merged(load: Load, *bodies: str) -> dict[str, object]:
    texts = [f"services: {{foo: {{image: i, {body}}}}}" for body in bodies]
    made: dict[str, object] = load(*texts, check=False).services["foo"].encode()
    return made


@pytest.mark.parametrize(
    ("base", "over", "field", "expected"),
    [
        ("environment: {A: 1, B: 2}", "environment: {B: X, C: 3}", "environment", {"A": "1", "B": "X", "C": "3"}),
        ("environment: [A=1]", "environment: {A: 2}", "environment", {"A": "2"}),
        ("dns: [1.1.1.1]", "dns: [8.8.8.8]", "dns", ["1.1.1.1", "8.8.8.8"]),
        ("dns: 1.1.1.1", "dns: [8.8.8.8]", "dns", ["1.1.1.1", "8.8.8.8"]),
        ("cap_add: [A, B]", "cap_add: [B, C]", "cap_add", ["A", "B", "C"]),
        ("command: [echo, foo]", "command: [echo, bar]", "command", ["echo", "bar"]),
        ("command: echo foo", "command: echo bar", "command", ["echo", "bar"]),
        ("entrypoint: [a, b]", "entrypoint: c", "entrypoint", ["c"]),
        ("healthcheck: {test: [CMD, a], retries: 1}", "healthcheck: {test: b}", "healthcheck",
         {"test": ["CMD-SHELL", "b"], "retries": 1}),
        ("volumes: ['foo:/work']", "volumes: ['bar:/work']", "volumes",
         [{"type": "volume", "source": "bar", "target": "/work", "volume": {}}]),
        ("volumes: ['foo:/work']", "volumes: ['bar:/other']", "volumes",
         [{"type": "volume", "source": "foo", "target": "/work", "volume": {}},
          {"type": "volume", "source": "bar", "target": "/other", "volume": {}}]),
        ("volumes: [{type: bind, source: /a, target: /v, read_only: true}]", "volumes: [{type: bind, source: /b, target: /v}]",
         "volumes", [{"type": "bind", "source": "/b", "target": "/v"}]),
        ("command: a b", "command: null", "command", None),
        ("logging: {options: {a: 1}}", "logging: {driver: local, options: {b: 2}}", "logging",
         {"driver": "local", "options": {"a": "1", "b": "2"}}),
        ("blkio_config: {device_read_bps: [{path: /d, rate: 1}]}", "blkio_config: {device_read_bps: [{path: /d, rate: 2}]}",
         "blkio_config", {"device_read_bps": [{"path": "/d", "rate": "1"}, {"path": "/d", "rate": "2"}]}),
        ("ports: ['80:80', '9000:90', '80:80/tcp']", "ports: ['0.0.0.0:9000:90']", "ports",
         [{"mode": "ingress", "target": 80, "published": "80", "protocol": "tcp"},
          {"mode": "ingress", "target": 90, "published": "9000", "protocol": "tcp", "host_ip": "0.0.0.0"}]),
        ("build: ./web", "build: {target: t}", "build", {"context": "/srv/web", "target": "t"}),
        ("ulimits: {nofile: 1}", "ulimits: {nofile: {soft: 2, hard: 3}}", "ulimits", {"nofile": {"soft": 2, "hard": 3}}),
        ("ports: ['8080:80']", "ports: !reset []", "ports", None),
        ("environment: {FOO: BAR, B: 1}", "environment: {FOO: !reset null}", "environment", {"B": "1"}),
        ("environment: {FOO: BAR}", "environment: {FOO: !reset null}", "environment", None),
        ("dns: [1.1.1.1]", "dns: !override [8.8.8.8]", "dns", ["8.8.8.8"]),
        ("labels: {a: 1}", "labels: !override {b: 2}", "labels", {"b": "2"}),
        ("logging: {driver: json-file, options: {a: 1}}", "logging: {driver: local, options: {b: 2}}", "logging",
         {"driver": "local", "options": {"b": "2"}}),
        ("restart: always", "restart: 'no'", "restart", "no"),
        ("ulimits: {nofile: 1}", "ulimits: {nproc: 2}", "ulimits",
         {"nofile": {"single": 1, "soft": 1, "hard": 1}, "nproc": {"single": 2, "soft": 2, "hard": 2}}),
        ("extra_hosts: ['a=1.1.1.1']", "extra_hosts: {b: 2.2.2.2}", "extra_hosts", {"a": ["1.1.1.1"], "b": ["2.2.2.2"]}),
        ("depends_on: [a]", "depends_on: {b: {condition: service_healthy}}", "depends_on",
         {"a": {}, "b": {"condition": "service_healthy"}}),
        ("secrets: [s]", "secrets: [{source: s, mode: '0400'}]", "secrets", [{"source": "s", "mode": "0400"}]),
    ],
)  # fmt: skip
def test_what_two_files_say_together(load: Load, base: str, over: str, field: str, expected: object) -> None:
    found = merged(load, base, over).get(field)
    if field == "depends_on" and isinstance(found, dict):
        found = {
            k: {f: v for f, v in d.items() if v not in ("service_started", True)} for k, d in found.items()
        }
    assert found == expected


def test_ports_that_differ_in_anything_stay_apart_and_equal_ones_are_one(load: Load) -> None:
    ports = (
        load(
            "services: {a: {image: x, ports: ['8080:80', '81:81']}}",
            "services: {a: {ports: ['8443:80', '81:81', '81:81/udp']}}",
        )
        .services["a"]
        .ports
    )
    assert [(p.published, p.target, p.protocol) for p in ports] == [
        ("8080", 80, "tcp"), ("81", 81, "tcp"), ("8443", 80, "tcp"), ("81", 81, "udp"),
    ]  # fmt: skip


def test_a_list_and_a_mapping_are_not_merged(load: Load) -> None:
    with pytest.raises(InvalidInput, match="cannot merge"):
        load("services: {a: {image: x, dns: [1.1.1.1]}}", "services: {a: {dns: {b: c}}}")


def test_fragments_and_extensions(load: Load) -> None:
    project = load(
        """
        x-env: &env {A: 1, B: 2}
        x-more: {anything: [goes, here]}
        services:
          one: {image: x, environment: {<<: *env, B: 3}, x-mine: true}
          two: &two {image: y, environment: *env}
          three: {<<: *two, image: z}
        """
    )
    assert {n: (s.image, s.environment) for n, s in project.services.items()} == {
        "one": ("x", {"A": "1", "B": "3"}),
        "two": ("y", {"A": "1", "B": "2"}),
        "three": ("z", {"A": "1", "B": "2"}),
    }
    assert project.encode()["x-more"] == {"anything": ["goes", "here"]}


def test_extends_of_the_same_file_another_file_and_in_a_chain(load: Load) -> None:
    other = """
    services:
      base: {image: b, build: ., environment: {A: 1}, volumes: ["./data:/data"], env_file: base.env}
      middle: {extends: base, environment: {B: 2}}
    """
    project = load(
        "services: {it: {extends: {file: lib/common.yaml, service: middle}, environment: {A: 9}}, same: {extends: it, image: s}}",
        files={"/srv/lib/common.yaml": other, "/srv/lib/base.env": "F=1"},
    )
    it, same = project.services["it"], project.services["same"]
    assert (it.image, it.environment) == ("b", {"F": "1", "A": "9", "B": "2"})
    assert (it.volumes[0].source, it.build.context if it.build else "") == ("/srv/lib/data", "/srv/lib")
    assert (same.image, same.environment) == ("s", it.environment)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("services: {a: {image: x, extends: b}, b: {image: x, extends: a}}", "cycle"),
        ("services: {a: {image: x, extends: nobody}}", "no-service"),
        ("services: {a: {image: x, extends: {service: b, file: nowhere.yaml}}}", "not-found"),
        ("services: {a: {image: x, extends: {service: b, of: c}}}", "unknown-field"),
    ],
)
def test_extends_that_lead_nowhere(load: Load, text: str, reason: str) -> None:
    with pytest.raises(LadingError) as raised:
        load(text)
    assert raised.value.reason == reason


def test_what_is_included_has_its_own_directory_and_variables(load: Load) -> None:
    project = load(
        "include: [sub/compose.yaml]\nservices: {web: {image: 'w:$TAG', depends_on: [db]}}",
        files={
            "/srv/sub/compose.yaml": "services: {db: {image: 'p:$TAG', volumes: ['./d:/d', 'v:/v']}}\nvolumes: {v: }",
            "/srv/sub/.env": "TAG=inner",
        },
        environ={"TAG": "outer"},
    )
    assert (project.services["web"].image, project.services["db"].image) == ("w:outer", "p:outer")
    assert project.services["db"].volumes[0].source == "/srv/sub/d"
    alone = load(
        "include: [{path: [a.yaml, b.yaml], project_directory: other, env_file: e}]\nservices: {x: {image: x}}",
        files={
            "/srv/a.yaml": "services: {db: {image: 'p:$TAG', build: .}}",
            "/srv/b.yaml": "services: {db: {environment: {A: 1}}}",
            "/srv/e": "TAG=inner",
        },
    )
    db = alone.services["db"]
    assert (db.image, db.environment, db.build.context if db.build else "") == (
        "p:inner",
        {"A": "1"},
        "/srv/other",
    )


def test_what_is_included_can_be_extended_and_what_stands_here_goes_over_it(load: Load) -> None:
    project = load(
        """
        include: [b.yaml]
        services: {a: {image: x}, c: {extends: b, hostname: c}, d: {image: d, ports: !reset []}}
        """,
        files={
            "/srv/b.yaml": "services: {a: {image: y, hostname: a}, b: {image: b, user: u}, d: {image: e, ports: ['80']}}"
        },
    )
    assert (project.services["a"].image, project.services["a"].hostname) == ("x", "a")
    assert (project.services["c"].image, project.services["c"].user, project.services["c"].hostname) == (
        "b",
        "u",
        "c",
    )
    assert project.services["d"].ports == []


def test_includes_that_lead_nowhere(load: Load) -> None:
    with pytest.raises(NotFound):
        load("include: [b.yaml]\nservices: {a: {image: x}}")
    with pytest.raises(InvalidInput, match="includes itself"):
        load("include: [b.yaml]\nservices: {}", files={"/srv/b.yaml": "include: [b.yaml]"})


def test_profiles_choose_services(load: Load) -> None:
    text = """
    services:
      always: {image: x}
      debug: {image: x, profiles: [debug], depends_on: [tool]}
      tool: {image: x, profiles: [debug, tools]}
    """
    assert list(load(text).services) == ["always"]
    assert list(load(text, profiles=("tools",)).services) == ["always", "tool"]
    assert list(load(text, named=("debug",)).services) == ["always", "debug", "tool"]
    assert list(load(text, profiles=("*",)).services) == ["always", "debug", "tool"]
    with pytest.raises(InvalidInput, match="profile"):
        load("services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [p]}}")


def test_everything_gets_the_projects_name_and_what_is_external_its_own(load: Load) -> None:
    project = load(
        "services: {a: {image: x}}\nnetworks: {out: {external: true}, own: {name: mine}}\n"
        "volumes: {v: , w: {external: {name: theirs}}}"
    )
    assert {k: n.name for k, n in project.networks.items()} == {
        "out": "out",
        "own": "mine",
        "default": "app_default",
    }
    assert {k: v.name for k, v in project.volumes.items()} == {"v": "app_v", "w": "theirs"}


def test_long_lists_are_merged_in_no_time(load: Load) -> None:
    bodies = [f"dns: [{', '.join(f'{who}{n}' for n in range(50_000))}]" for who in "ab"]
    found = merged(load, *bodies)["dns"]
    assert isinstance(found, list)
    assert len(found) == 100_000


@pytest.mark.parametrize("backwards", [False, True])
def test_a_chain_of_services_that_extend_one_another_ends(load: Load, backwards: bool) -> None:
    def chain(length: int) -> str:
        rows = [f"a{n}: {{extends: a{n - 1}, environment: {{V{n}: x}}}}" for n in range(1, length)]
        return f"services: {{{', '.join(['a0: {image: i}', *(reversed(rows) if backwards else rows)])}}}"

    assert len(load(chain(51)).services["a50"].environment) == 50
    with pytest.raises(InvalidInput) as raised:
        load(chain(52))
    assert raised.value.reason == "too-deep"


def test_thousands_of_variables_that_are_not_set_are_told_in_linear_time() -> None:
    words = "".join(f"${{V{n}}}" for n in range(60_000))
    loader = Loader(lambda path: None, {})
    begun = time.process_time()
    loader.load([("c.yaml", f"services: {{a: {{image: i, command: '{words}'}}}}".encode())], "/srv")
    assert len(loader.warnings) == 60_000
    assert time.process_time() - begun < 8


_WORDS = st.sampled_from(
    "services image x a b command ports volumes 80:80 ./a:/b networks default build context . environment A=1 depends_on "
    "extends include name secrets configs file $A ${A:-b} ${ deploy replicas 3 healthcheck test true null develop watch".split()
)
_TREES = st.recursive(
    st.one_of(
        _WORDS, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False), st.text(max_size=6)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_WORDS, inner, max_size=5)),
    max_leaves=20,
)


@pytest.mark.fuzz
@FUZZ
@given(
    st.dictionaries(st.sampled_from(["a", "b"]), st.dictionaries(_WORDS, _TREES, max_size=6), max_size=2),
    _TREES,
)
def test_any_tree_gives_a_project_or_one_clear_refusal(services: object, rest: object) -> None:
    tree = {"services": services}
    if isinstance(rest, dict):
        tree.update(rest)
    _try(yaml.safe_dump(tree).encode())


@pytest.mark.fuzz
@FUZZ
@given(st.text(alphabet="services:\n {}[]&*!-?|>'\"<#,ab0$reset", max_size=80))
def test_any_text_gives_a_project_or_one_clear_refusal(text: str) -> None:
    _try(text.encode())


def _try(data: bytes) -> None:
    loader = Loader(lambda path: None, {})
    try:
        project = loader.load([("c.yaml", data)], "/srv")
        project.name = "app"
        resolving.fill(project, {})
        resolving.active(project, (), ())
        checking.check(project)
        resolving.environments(project, lambda path: None, {}, [])
    except LadingError as error:
        assert error.message
        assert error.reason != "internal" or "NUL" in error.message
    else:
        assert Project.decode(project.encode()).encode() == project.encode()


def test_files_of_variables_refer_to_the_services_own_and_names_alone_are_the_callers(load: Load) -> None:
    project = load(
        "services: {a: {image: x, env_file: a.env, environment: {OWN: own, GONE: }}}",
        files={"/srv/a.env": "A=$OWN\nHERE\nNOWHERE\n"},
        environ={"HERE": "here"},
    )
    assert project.services["a"].environment == {"A": "own", "HERE": "here", "OWN": "own", "GONE": None}


def test_files_of_labels_refer_to_their_own_lines_alone(load: Load) -> None:
    project = load(
        "services: {a: {image: x, label_file: l, labels: {b: mine}}}",
        files={"/srv/l": "a=1\nb=2\nc=$a$HERE\nd\n"},
        environ={"HERE": "here"},
    )
    assert project.services["a"].labels == {"a": "1", "b": "mine", "c": "1"}
    assert project.services["a"].label_file == ["/srv/l"]
