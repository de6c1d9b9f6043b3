"""The Dockerfiles of examples/dockerfiles, as their README builds them: each image does its job.

Those that install much (``real``) run with ``make real``; ``make test`` has the others.
"""

from __future__ import annotations

import json
import socket
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.lading import Lading
from support.packagesite import PackageSite

pytestmark = [pytest.mark.root, pytest.mark.peer("mmdebstrap"), pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "dockerfiles"
LIGHT = "busybox-static cron"
HEAVY = "python3 gcc libc6-dev make nodejs npm postgresql-15 python3-pip python3-venv"


def _real(request: pytest.FixtureRequest) -> bool:
    """Whether one of the chosen tests installs much."""
    return any(item.get_closest_marker("real") for item in request.session.items)


@pytest.fixture(scope="module")
def packages(lading, tmp_path_factory, request) -> Iterator[PackageSite]:
    wanted = f"{LIGHT} {HEAVY}" if _real(request) else LIGHT
    made = PackageSite(lading, tmp_path_factory.mktemp("packages"), wanted)
    yield made
    made.close()


class Project:
    """One of the examples. ``lading``: the command; ``base``: the image that all of them begin with."""

    def __init__(self, lading: Lading, base: str) -> None:
        self.lading = lading
        self._base = base
        self._left: list[str] = []

    def build(self, name: str, *flags: str, check: bool = True) -> str:
        """Build ``examples/dockerfiles/NAME``, whose last part is what the image is called; what is told on the way."""
        words = ["build", "--progress=plain", "--network", "host", "-t", name.rpartition("/")[2]]
        place = str(EXAMPLES / name)
        done = self.lading(
            *words, "--build-arg", f"BASE={self._base}", *flags, place, check=check, timeout=300
        )
        return done.stderr

    def start(self, *words: str) -> str:
        """A container in the background."""
        made = self.lading.out("run", "-d", *words)
        self._left.append(made)
        return made

    def serve(self, image: str, port: int, *flags: str) -> tuple[str, str]:
        """A container with its port on loopback, and the URL there."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        return self.start("-p", f"127.0.0.1:{free}:{port}", *flags, image), f"http://127.0.0.1:{free}"

    def files(self, image: str, tmp_path: Path) -> set[str]:
        """Names of everything in an image that is no directory."""
        made = self.lading.out("create", "--network", "none", image, "true")
        try:
            self.lading("export", "-o", str(tmp_path / "files.tar"), made, check=True)
        finally:
            self.lading("rm", made)
        with tarfile.open(tmp_path / "files.tar") as archive:
            return {entry.name for entry in archive if not entry.isdir()}

    def close(self) -> None:
        """Remove what was started, and its volumes."""
        if self._left:
            self.lading("rm", "-f", "-v", *self._left)


@pytest.fixture
def project(lading, packages) -> Iterator[Project]:
    made = Project(lading, packages.image)
    yield made
    made.close()


def asked(url: str, data: bytes | None = None, method: str = "GET") -> str:
    """What a server answers, as soon as it does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 30
    while True:
        try:
            with opener.open(urllib.request.Request(url, data, method=method), timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something; an assertion when it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def test_static_site(project, tmp_path):
    project.build("static-site", "--build-arg", "TITLE=Harbour")
    made, url = project.serve("static-site", 8080)
    assert "<h1>Harbour</h1>" in asked(url)
    assert "Served by one program" in asked(url + "/about.html")
    with pytest.raises(urllib.error.HTTPError):
        asked(url + "/news.draft.html")
    assert project.lading.out("top", made, "-o", "pid,uid").split()[3] == "65534"
    wanted = {"bin/httpd", "etc/passwd", "etc/group", "www/about.html", "www/index.html"}
    assert project.files("static-site", tmp_path) == wanted


def test_cron(project):
    project.build("cron", "--build-arg", "SCHEDULE=*/1 * * * *")
    made = project.start("--network", "none", "cron")
    until(lambda: "report: begun" in project.lading.out("logs", made), "the job of the start")
    assert (
        project.lading.out("exec", made, "cat", "/etc/cron.d/report")
        .split("\n")[3]
        .startswith("*/1 * * * * root report")
    )
    assert project.lading.out("exec", made, "cat", "/var/spool/report/last").endswith("Z")


@pytest.mark.real
def test_cron_goes_on(project):
    project.build("cron")
    made = project.start("--network", "none", "cron")
    until(lambda: "report: again" in project.lading.out("logs", made), "the job of the minute", 90)


@pytest.mark.real
def test_monorepo(project, tmp_path):
    contexts = [f"--build-context={name}={EXAMPLES}/monorepo/{name}" for name in ("libs", "config")]
    project.build("monorepo/services", "--target", "api", "-t", "api", *contexts)
    project.build("monorepo/services", "--target", "worker", "-t", "worker", *contexts)
    _, url = project.serve("api", 8000)
    assert asked(url) == "production: 2 items\nrope 12.50\nlamp 19.99\n"
    assert project.lading.out("run", "--rm", "--network", "none", "worker") == "3 pieces of each: 97.47"
    found = {name for name in project.files("worker", tmp_path) if name.startswith("srv/")}
    assert found == {
        "srv/lib/money/__init__.py",
        "srv/lib/text/__init__.py",
        "srv/worker/README.md",
        "srv/worker/run.py",
    }
    labels = json.loads(project.lading.out("image", "inspect", "api"))[0]["Config"]["Labels"]
    assert labels == {"org.opencontainers.image.vendor": "one repository"}
    told = project.build(
        "monorepo/services", "--target", "worker", "--build-arg=ENVIRONMENT=development", *contexts
    )
    assert "RUN --mount=type=bind,from=libs" not in told or "CACHED" in told
    assert project.lading.out("run", "--rm", "--network", "none", "services", "5") == "5 pieces of each: 0.05"


@pytest.mark.real
def test_monorepo_ships_nothing_that_fails(project, tmp_path):
    (tmp_path / "libs/money/tests").mkdir(parents=True)
    (tmp_path / "libs/text/tests").mkdir(parents=True)
    broken = "import unittest\n\nclass T(unittest.TestCase):\n    def test(self):\n        self.fail('as it should')\n"
    (tmp_path / "libs/money/tests/test_it.py").write_text(broken)
    contexts = [
        "--build-context",
        f"libs={tmp_path}/libs",
        "--build-context",
        f"config={EXAMPLES}/monorepo/config",
    ]
    told = project.build("monorepo/services", "--target", "worker", *contexts, check=False)
    assert "as it should" in told
    assert "the command ended with status 1" in told


def test_onbuild(project, tmp_path):
    project.build("onbuild/base", "-t", "site-base")
    project.build("onbuild/site", "-t", "harbour", "--build-arg=OWNER=pilot")
    made, url = project.serve("harbour", 8080)
    assert "Harbour" in asked(url)
    assert asked(url + "/map") == "index.html\n"
    assert project.lading.out("exec", made, "busybox", "cat", "/etc/open-points") == "2"
    config = json.loads(project.lading.out("image", "inspect", "harbour"))[0]["Config"]
    assert (config["Labels"], config["User"]) == ({"site.owner": "pilot"}, "nobody")
    assert "OnBuild" not in config
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/todo.txt").touch()
    (tmp_path / "Dockerfile").write_text("FROM site-base\n")
    refused = project.lading("build", str(tmp_path))
    assert refused.returncode == 1
    assert "a site has an index.html" in refused.stderr


@pytest.mark.real
def test_c_program(project, tmp_path):
    project.build("c-program", "--build-arg=VERSION=1.2")
    words = ["run", "--rm", "-i", "--network", "none", "c-program"]
    assert project.lading.out(*words, input="one two\nthree\n") == "2 3 14"
    assert project.lading.out(*words, "--version") == "tally 1.2"
    assert project.files("c-program", tmp_path) == {"tally"}


@pytest.mark.real
def test_python_web(project):
    project.build("python-web", "--target", "test", "-t", "tested")
    project.build("python-web", "--build-arg=VERSION=2.1")
    made, url = project.serve("python-web", 8000)
    assert asked(url) == "Welcome, visitor 1 of 2.1\n"
    until(
        lambda: project.lading.out("inspect", "--format", "{State[Health][Status]}", made) == "healthy",
        "health",
    )
    project.lading("stop", made, check=True)
    assert "visits: closed" in project.lading("logs", made).stderr
    project.lading("start", made, check=True)
    assert asked(url) == "Welcome, visitor 2 of 2.1\n"
    for gone in ("pip", "/src/tests"):
        assert project.lading("exec", made, "sh", "-c", f"command -v {gone}").returncode != 0


@pytest.mark.real
def test_node_app(project):
    project.build("node-app", "--target", "test", "-t", "tested")
    project.build("node-app")
    made, url = project.serve("node-app", 3000)
    assert asked(url + "/Moby%20Dick", b"635", "PUT") == '[{"title":"Moby Dick","pages":635}]\n'
    assert json.loads(asked(url)) == [{"title": "Moby Dick", "pages": 635}]
    assert json.loads(asked(url + "/alive")) == {"alive": True, "mode": "production"}
    assert project.lading.out("exec", made, "id", "-un") == "shelf"
    there = project.lading.out("exec", made, "find", ".", "-type", "f").split("\n")
    assert not [name for name in there if name.endswith(".md") or "test" in name]
    assert project.lading("exec", made, "sh", "-c", "command -v npm").returncode != 0


@pytest.mark.real
def test_postgres(project):
    project.build("postgres")
    made = project.start("--network", "none", "postgres")

    def query(text: str) -> str:
        return project.lading.out("exec", made, "psql", "-XAtc", text)

    def healthy() -> bool:
        return project.lading.out("inspect", "--format", "{State[Health][Status]}", made) == "healthy"

    until(healthy, "the server is not ready")
    assert query("SELECT name FROM stations ORDER BY height DESC") == "Gipfel\nHafen"
    query("INSERT INTO stations VALUES ('Mitte', 1200)")
    project.lading("stop", made, check=True)
    assert project.lading.out("wait", made) == "0"
    project.lading("start", made, check=True)
    until(healthy, "the server is not ready again")
    assert query("SELECT count(*) FROM stations") == "3"
