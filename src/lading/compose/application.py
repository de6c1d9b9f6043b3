"""One invocation of ``lading compose``: its files, its variables, its project.

Source: docker compose's documentation of its command line and ``COMPOSE_*`` variables; Compose specification, "Compose file".
"""

from __future__ import annotations

import os
import sys

from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats.compose import checking, dotenv, naming, resolving
from lading.formats.compose.document import located
from lading.formats.compose.loading import Loader
from lading.formats.compose.shapes import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.compose.model import Project
    from lading.formats.compose.model_service import Service

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_LARGEST = 16 << 20


class Application:
    """What the global flags and the environment ask for. Files are read when :meth:`load` is first called."""

    def __init__(self, context: Context, parsed: Parsed) -> None:
        self.context = context
        self.globals = parsed.globals
        self.environ: dict[str, str] = dict(os.environ)
        self.paths = self._given_files()
        self.directory = self._directory()
        self.env_files: list[str] = []
        self._read_env_files()
        if not self.paths:
            self.paths = self._found_files()
        if self.paths and not self.globals["project-directory"] and not self.globals["workdir"]:
            self.directory = _parent(self.paths[0])
        self._loader: Loader | None = None
        self._input: bytes | None = None
        self.services: dict[str, Service] = {}
        """Every service of the file, whatever its profile."""

    # -- where everything is ----------------------------------------------------------------------------------------

    def _given_files(self) -> list[str]:
        given: list[str] = self.globals["file"]
        return [path if path == "-" else os.path.abspath(path) for path in given] or self._listed_files()

    def _listed_files(self) -> list[str]:
        text = self.environ.get("COMPOSE_FILE", "")
        separator = self.environ.get("COMPOSE_PATH_SEPARATOR") or ":"
        return [path if path == "-" else os.path.abspath(path) for path in text.split(separator) if path]

    def _directory(self) -> str:
        given: str = self.globals["project-directory"] or self.globals["workdir"]
        if given:
            return os.path.abspath(given)
        if self.paths:
            return _parent(self.paths[0])
        found = self._found_files()
        return _parent(found[0]) if found else os.getcwd()

    def _found_files(self) -> list[str]:
        """The file of this directory or of the nearest above it that has one, and its override file."""
        listed = self._listed_files()
        if listed:
            return listed
        directory = os.path.abspath(self.globals["project-directory"] or os.getcwd())
        while True:
            for name in _NAMES:
                if os.path.exists(f"{directory}/{name}"):
                    over = [f"{directory}/{n}" for n in _OVERRIDES if os.path.exists(f"{directory}/{n}")][:1]
                    return [f"{directory}/{name}", *over]
            above = os.path.dirname(directory)
            if above == directory:
                return []
            directory = above

    def _read_env_files(self) -> None:
        """Variables of ``.env`` or of ``--env-file``, below those of the caller."""
        if self.asked("COMPOSE_DISABLE_ENV_FILE"):
            return
        given: list[str] = [os.path.abspath(path) for path in self.globals["env-file"]]
        if not given and self.environ.get("COMPOSE_ENV_FILES"):
            given = [os.path.abspath(path) for path in self.environ["COMPOSE_ENV_FILES"].split(",") if path]
        paths = given or [f"{self.directory}/.env"]
        made: dict[str, str] = {}
        for path in paths:
            data = read_file(path)
            if data is None:
                if given:
                    raise NotFound(f"--env-file {path} does not exist")
                continue
            self.env_files.append(path)
            for name, value in dotenv.parse(data, where=path, lookup={**made, **os.environ}).items():
                if value is not None:
                    made[name] = value
        self.environ = {**made, **os.environ}

    def asked(self, variable: str) -> bool:
        """Whether a variable that switches something on does so."""
        return self.environ.get(variable, "").lower() in ("1", "true")

    @property
    def profiles(self) -> list[str]:
        """The profiles that are asked for."""
        given: list[str] = [name for text in self.globals["profile"] for name in text.split(",") if name]
        return given or [p for p in self.environ.get("COMPOSE_PROFILES", "").split(",") if p]

    @property
    def parallel(self) -> int:
        """How many things may be done at once; 0: no limit."""
        given: int | None = self.globals["parallel"]
        if given is None:
            text = self.environ.get("COMPOSE_PARALLEL_LIMIT", "")
            given = whole(text, "COMPOSE_PARALLEL_LIMIT") if text else 8
        return max(given, 0)

    @property
    def quiet(self) -> bool:
        """Whether nothing is said of what is done."""
        return bool(self.globals["progress"] == "quiet" or self.environ.get("COMPOSE_PROGRESS") == "quiet")

    def say(self, text: str) -> None:
        """One line about what was done, on standard error."""
        if not self.quiet:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def warn(self, text: str) -> None:
        """One line about what is odd."""
        sys.stderr.write(f"warning: {text}\n")

    def warn_of_orphans(self, names: Sequence[str]) -> None:
        """One line about containers whose services are gone."""
        self.warn(
            f"there are containers of services that the file does not have: {', '.join(names)}: "
            "remove them with --remove-orphans"
        )

    # -- the project ------------------------------------------------------------------------------------------------

    def name(self, declared: str = "") -> str:
        """The project's name: flag, variable, file, directory. Raises :class:`InvalidInput`."""
        for where, given in (
            ("--project-name", self.globals["project-name"]),
            ("COMPOSE_PROJECT_NAME", self.environ.get("COMPOSE_PROJECT_NAME", "")),
            ("name", declared),
        ):
            if given:
                return naming.check(given, where)
        made = naming.normal(os.path.basename(self.directory))
        if not made:
            raise InvalidInput(
                f"the directory {self.directory} makes no project's name",
                hint="choose one with --project-name",
            )
        return made

    def project_name(self) -> str:
        """The project's name, for what needs no file: by flag or variable, else by the file."""
        if self.globals["project-name"] or self.environ.get("COMPOSE_PROJECT_NAME"):
            return self.name()
        return self.load().name

    def has_file(self) -> bool:
        """Whether there is a file to load."""
        return bool(self.paths)

    def load(
        self,
        named: Collection[str] = (),
        *,
        consistent: bool = True,
        environments: bool = True,
        normal: bool = True,
        absolute: bool = True,
    ) -> Project:
        """The project with what the profiles and ``named`` services ask for. Raises what reading and checking raise."""
        loader, files, name = self._opened(absolute=absolute)
        try:
            project = loader.load(files, self.directory)
            project.name = name
            resolving.defaults(project)
            if normal:
                resolving.fill(project, loader.environ)
            self.services = dict(project.services)
            for service in named:
                self._known(service)
            resolving.active(project, self.profiles, named)
            if consistent:
                checking.check(project)
            if environments:
                resolving.environments(project, read_file, loader.environ, loader.warnings)
        except InvalidInput as error:
            raise located(error, loader.places) from None
        finally:
            self._tell(loader)
        if consistent:
            from lading.compose import refusals

            try:
                refusals.check(project)
            except LadingError as error:
                raise self.located(error) from None
        return project

    def tree(self, *, absolute: bool = True) -> tuple[str, dict[str, object]]:
        """The project's name, and its files' tree with the variables left as they are. Raises what reading raises."""
        loader, files, name = self._opened(verbatim=True, absolute=absolute)
        try:
            return name, loader.tree(files, self.directory)
        except InvalidInput as error:
            raise located(error, loader.places) from None
        finally:
            self._tell(loader)

    def _opened(
        self, *, verbatim: bool = False, absolute: bool
    ) -> tuple[Loader, list[tuple[str, bytes]], str]:
        """What loads the files, the files, and the project's name."""
        if not self.paths:
            raise NotFound(
                f"there is no Compose file in {os.getcwd()} or above it",
                hint=f"write {_NAMES[0]}, or name one with --file",
                reason="no-file",
            )
        files = [(_spoken(path), self.data(path)) for path in self.paths]
        loader = Loader(
            read_file, self.environ, home=os.environ.get("HOME", ""), verbatim=verbatim, absolute=absolute
        )
        self._loader = loader
        declared = self._declared_name(files)
        name = self.name(declared)
        loader.environ["COMPOSE_PROJECT_NAME"] = self.environ["COMPOSE_PROJECT_NAME"] = name
        return loader, files, name

    def _tell(self, loader: Loader) -> None:
        for text in loader.warnings:
            self.warn(text)
        loader.warnings = []

    def located(self, error: LadingError) -> LadingError:
        """The error with the file and the line in front."""
        return located(error, self._loader.places) if self._loader is not None else error

    def _declared_name(self, files: Sequence[tuple[str, bytes]]) -> str:
        """The top-level ``name`` of the last file that has one."""
        from lading.formats.compose.document import read
        from lading.formats.compose.interpolation import interpolate

        found = ""
        for path, data in files:
            for document in read(data, what=path, places={}):
                name = document.get("name")
                if isinstance(name, str) and name:
                    found = naming.normal(interpolate(name, self.environ))
                elif name is not None and not isinstance(name, str):
                    raise InvalidInput(f"{path}: name: expected a text, found {name!r}"[:200])
        return found

    def data(self, path: str) -> bytes:
        """A Compose file's bytes; ``-`` is standard input, which is read once however often it is asked for. Raises NotFound."""
        if path == "-":
            if self._input is None:
                self._input = sys.stdin.buffer.read(_LARGEST)
            return self._input
        data = read_file(path)
        if data is None:
            raise NotFound(f"the Compose file {path} does not exist")
        return data

    def _known(self, service: str) -> None:
        if service not in self.services:
            from lading.flags import nearest

            near = nearest(service, list(self.services))
            raise NotFound(
                f"there is no service {service!r} in the file",
                hint=f"did you mean {near!r}?" if near else f"the services are {', '.join(self.services)}",
                reason="no-service",
            )

    def config_files(self) -> str:
        """The files, as the label has them."""
        return ",".join(self.paths)


def _parent(path: str) -> str:
    return os.getcwd() if path == "-" else os.path.dirname(path)


def _spoken(path: str) -> str:
    """A path as short as it may be: below the current directory without that."""
    if path == "-":
        return "standard input"
    here = os.getcwd() + "/"
    return path.removeprefix(here)


def read_file(path: str) -> bytes | None:
    """A file's bytes, or None when there is none. Raises :class:`LadingError`."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LadingError(f"{path}: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise InvalidInput(f"{path}: larger than {_LARGEST >> 20} MiB")
    return data


def with_needs(project: Project, named: Sequence[str]) -> list[str]:
    """The named services (all of them without a name) with everything they depend on, dependencies first."""
    made: list[str] = []

    def visit(name: str) -> None:
        if name in made or name not in project.services:
            return
        for other in project.services[name].depends_on:
            visit(other)
        made.append(name)

    for name in named or project.services:
        visit(name)
    return made
