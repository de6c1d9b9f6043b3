"""Where the files, the variables and the project's name come from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from lading.cli.commands import ROOT
from lading.cli.context import Context
from lading.compose import configuring, imaging
from lading.compose.application import Application, with_needs
from lading.errors import InvalidInput, LadingError, NotFound
from lading.flags import parse
from lading.roots import Roots

Make = Callable[..., Application]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """``make("-f", "x.yaml", environ={…}, files={name: text}, where="sub")``: ``lading compose`` in that directory."""
    project = tmp_path / "My_App.1"
    project.mkdir()
    for name in ("FILE", "PROJECT_NAME", "PROFILES", "ENV_FILES", "DISABLE_ENV_FILE", "PATH_SEPARATOR"):
        monkeypatch.delenv(f"COMPOSE_{name}", raising=False)

    def making(
        *words: str,
        files: dict[str, str] | None = None,
        environ: dict[str, str] | None = None,
        where: str = "",
    ) -> Application:
        for name, text in (files or {}).items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text)
        for key, value in (environ or {}).items():
            monkeypatch.setenv(key, value)
        (project / where).mkdir(exist_ok=True)
        monkeypatch.chdir(project / where)
        roots = Roots(str(tmp_path / "root"), str(tmp_path / "run"), str(tmp_path / "config"), 0)
        return Application(Context(roots), parse(ROOT, ["compose", *words, "config"]))

    return making


ONE = "services: {a: {image: 'one:${TAG:-none}'}}"
TWO = "services: {a: {image: two, environment: {X: 1}}}"


@pytest.mark.parametrize("name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"])
def test_the_file_is_found_here_or_above(make: Make, name: str) -> None:
    assert make(files={name: ONE}, where="deep").load().services["a"].image == "one:none"


def test_the_canonical_name_wins_and_the_override_file_goes_over_it(make: Make) -> None:
    files = {
        "compose.yaml": ONE,
        "docker-compose.yml": TWO,
        "compose.override.yml": "services: {a: {hostname: h}}",
    }
    service = make(files=files).load().services["a"]
    assert (service.image, service.hostname) == ("one:none", "h")


def test_files_are_named_by_flags_or_by_a_variable(make: Make) -> None:
    files = {"1.yaml": ONE, "2.yaml": TWO, "compose.yaml": "services: {b: {image: b}}"}
    assert make("-f", "1.yaml", "-f", "2.yaml", files=files).load().services["a"].image == "two"
    assert make(environ={"COMPOSE_FILE": "2.yaml:1.yaml"}).load().services["a"].image == "one:none"
    assert (
        make(environ={"COMPOSE_FILE": "2.yaml;1.yaml", "COMPOSE_PATH_SEPARATOR": ";"})
        .load()
        .services["a"]
        .image
        == "one:none"
    )


def test_an_env_file_may_name_the_files(make: Make) -> None:
    assert (
        make(files={".env": "COMPOSE_FILE=other.yaml\nTAG=x", "other.yaml": ONE}).load().services["a"].image
        == "one:x"
    )


def test_no_file_is_one_clear_error(make: Make) -> None:
    with pytest.raises(NotFound) as raised:
        make().load()
    assert raised.value.reason == "no-file"
    with pytest.raises(NotFound):
        make("-f", "nowhere.yaml").load()


def test_standard_input_is_read_once_for_all_that_want_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(f"name: piped\n{ONE}".encode())))
    app = make("-f", "-")
    assert [app.load().name, app.load().name] == ["piped", "piped"]
    assert configuring._variables(app, "yaml").splitlines()[1].split() == ["TAG", "false", "none"]


def test_an_image_that_is_only_built_is_pinned_by_its_own_name(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make(files={"compose.yaml": "name: n\nservices: {a: {build: .}, b: {image: 'x:1'}}"})
    project = app.load()
    monkeypatch.setattr(imaging, "is_here", lambda *_: SimpleNamespace(digest="sha256:0"))
    configuring._pin(app, project)
    assert [s.image for s in project.services.values()] == ["n-a@sha256:0", "x:1@sha256:0"]


def test_the_callers_variables_win_over_the_files(make: Make) -> None:
    files = {"compose.yaml": ONE, ".env": "TAG=file", "other.env": "TAG=other", "third.env": "TAG=third"}
    assert make(files=files).load().services["a"].image == "one:file"
    assert (
        make("--env-file", "other.env", "--env-file", "third.env").load().services["a"].image == "one:third"
    )
    assert make(environ={"TAG": "shell"}).load().services["a"].image == "one:shell"


def test_env_files_can_be_left_out_and_must_exist_when_they_are_named(make: Make) -> None:
    files = {"compose.yaml": ONE, ".env": "TAG=file"}
    assert (
        make(files=files, environ={"COMPOSE_DISABLE_ENV_FILE": "1"}).load().services["a"].image == "one:none"
    )
    with pytest.raises(LadingError):
        make("--env-file", "nowhere.env", environ={"COMPOSE_DISABLE_ENV_FILE": "0"})


def test_the_projects_name_is_the_flags_the_variables_the_files_or_the_directorys(make: Make) -> None:
    files = {"compose.yaml": "services: {a: {image: '$COMPOSE_PROJECT_NAME'}}"}
    assert make(files=files).load().name == "my_app1"
    named = {"compose.yaml": "name: ${N:-declared}\nservices: {a: {image: '$COMPOSE_PROJECT_NAME'}}"}
    project = make(files=named).load()
    assert (project.name, project.services["a"].image) == ("declared", "declared")
    assert make(environ={"COMPOSE_PROJECT_NAME": "variable"}).load().name == "variable"
    project = make("-p", "flag").load()
    assert (project.name, project.services["a"].image, project.networks["default"].name) == (
        "flag",
        "flag",
        "flag_default",
    )


@pytest.mark.parametrize("name", ["Upper", "-dash", "a b", "a/b", "x" * 64])
def test_a_name_that_is_none_is_refused(make: Make, name: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        make(f"--project-name={name}", files={"compose.yaml": ONE}).load()
    assert raised.value.reason == "project-name"


def test_profiles_come_from_flags_or_a_variable(make: Make) -> None:
    files = {
        "compose.yaml": "services: {a: {image: x}, b: {image: x, profiles: [p]}, c: {image: x, profiles: [q]}}"
    }
    assert list(make(files=files).load().services) == ["a"]
    assert list(make("--profile", "p").load().services) == ["a", "b"]
    assert list(make("--profile", "p", "--profile", "q").load().services) == ["a", "b", "c"]
    assert list(make(environ={"COMPOSE_PROFILES": "p,q"}).load().services) == ["a", "b", "c"]


def test_a_service_that_is_not_there_is_told_with_the_nearest_one(make: Make) -> None:
    with pytest.raises(NotFound) as raised:
        make(files={"compose.yaml": "services: {database: {image: x}}"}).load(["databse"])
    assert raised.value.hint == "did you mean 'database'?"


def test_dependencies_come_before_who_needs_them(make: Make) -> None:
    text = "services: {a: {image: x, depends_on: [b, c]}, b: {image: x, depends_on: [c]}, c: {image: x}, d: {image: x}}"
    project = make(files={"compose.yaml": text}).load()
    assert with_needs(project, ["a"]) == ["c", "b", "a"]
    assert with_needs(project, []) == ["c", "b", "a", "d"]


def test_variables_are_left_alone_where_that_is_asked_for(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
    services:
      a:
        image: "i:${TAG}"
        scale: ${N}
        ports: ["${P:-80}:80", "81:81"]
        volumes: ["./${D:-d}:/d", "v:/v"]
        ulimits: {nproc: 5}
        extra_hosts: ["h:1.1.1.1"]
    volumes: {v: }
    """
    app = make("--project-name", "p", files={"compose.yaml": text})
    assert (
        configuring.config(app.context, parse(ROOT, ["compose", "-p", "p", "config", "--no-interpolate"]))
        == 0
    )
    made = yaml.safe_load(capsys.readouterr().out)
    service = made["services"]["a"]
    assert (made["name"], service["image"], service["scale"]) == ("p", "i:${TAG}", "${N}")
    assert service["ports"][0] == "${P:-80}:80"
    assert service["volumes"][0]["source"] == f"{app.directory}/${{D:-d}}"
    assert (service["ulimits"], service["extra_hosts"]) == ({"nproc": 5}, ["h=1.1.1.1"])
    assert made["volumes"] == {"v": {"name": "p_v"}}
    assert made["networks"] == {"default": {"name": "p_default"}}
    with pytest.raises(InvalidInput, match="--hash does not go with"):
        configuring.config(app.context, parse(ROOT, ["compose", "config", "--no-interpolate", "--hash", "a"]))


def test_what_is_printed_has_the_order_and_the_quotes_of_docker_composes_text(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
    services:
      b:
        image: i
        restart: "no"
        environment: {Z: "3", A: 3s, Y: "true", D: 2020-01-01, H: "1e3"}
        healthcheck: {interval: 3s, test: [CMD, "true"], retries: 2}
        volumes: ["./d:/d:ro"]
        ports: ["8080:80"]
    volumes: {v: }
    """
    app = make("--project-name", "p", files={"compose.yaml": text})
    assert configuring.config(app.context, parse(ROOT, ["compose", "-p", "p", "config"])) == 0
    assert (
        capsys.readouterr().out
        == f"""\
name: p
services:
  b:
    environment:
      A: 3s
      D: "2020-01-01"
      H: "1e3"
      'Y': "true"
      Z: "3"
    healthcheck:
      test:
        - CMD
        - "true"
      interval: 3s
      retries: 2
    image: i
    networks:
      default: null
    ports:
      - mode: ingress
        target: 80
        published: "8080"
        protocol: tcp
    restart: 'no'
    volumes:
      - type: bind
        source: {app.directory}/d
        target: /d
        read_only: true
        bind: {{}}
networks:
  default:
    name: p_default
"""
    )
