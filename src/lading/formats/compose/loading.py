"""Files to a project: read, interpolated, extended, merged, included, in that order.

Source: Compose specification, "Merge", "Include", "Extends", "Interpolation": interpolation comes before merging, file by file;
what is included is a project of its own, with its own directory and environment, whose resources are then taken over.
"""

from __future__ import annotations

import os.path

from lading.errors import InvalidInput, NotFound
from lading.formats.compose import canonical, dotenv, merging, pathsin
from lading.formats.compose.document import Override, Places, Reset, located, place, read, retold
from lading.formats.compose.interpolation import interpolate
from lading.formats.compose.model import Project
from lading.formats.schema import _join as join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    #: The bytes of a file, or None when there is none. Raises LadingError for one that cannot be read.
    ReadFile = Callable[[str], bytes | None]

_DEEPEST = 50
_KEYS = ("version", "name", "services", "networks", "volumes", "configs", "secrets", "models", "include")


class Loader:
    """Loads one project. ``warnings`` collects what is odd and no error.

    ``read``      a file's bytes by its absolute path.
    ``environ``   variables for interpolation: the caller's over those of ``.env``.
    ``home``      what ``~`` stands for.
    ``verbatim``  leave variables as they are (``config --no-interpolate``).
    ``absolute``  make paths absolute (``config --no-path-resolution`` does not).
    """

    def __init__(
        self,
        read: ReadFile,
        environ: Mapping[str, str],
        *,
        home: str = "",
        verbatim: bool = False,
        absolute: bool = True,
    ) -> None:
        self.read = read
        self.environ = dict(environ)
        self.home = home
        self.verbatim = verbatim
        self.absolute = absolute
        self.warnings: list[str] = []
        self.places: Places = {}
        self._unset: set[str] = set()

    def load(self, files: Sequence[tuple[str, bytes]], directory: str) -> Project:
        """The project of ``files`` (names and bytes; paths count from ``directory``). Raises what reading and checking raise."""
        tree = self.tree(files, directory)
        try:
            return Project.decode(tree)
        except InvalidInput as error:
            raise located(error, self.places) from None

    def tree(self, files: Sequence[tuple[str, bytes]], directory: str) -> dict[str, object]:
        """What the files say together, in long forms and not checked. Raises what reading raises."""
        return self._unit(files, directory, self.environ, ())

    # -- one project ------------------------------------------------------------------------------------------------

    def _unit(
        self,
        files: Sequence[tuple[str, bytes]],
        directory: str,
        environ: Mapping[str, str],
        above: tuple[str, ...],
    ) -> dict[str, object]:
        merged: dict[str, object] = {}
        found = False
        for name, data in files:
            for document in self._documents(name, data, directory, environ, self.places):
                found = True
                try:
                    for entry in _included(document.pop("include", None)):
                        self._include(document, entry, directory, environ, above, [n for n, _ in files])
                    self._extend(document, merged, name, directory, environ)
                    merged = merging.merge(merged, document)
                except InvalidInput as error:
                    raise located(error, self.places) from None
        if not found:
            raise InvalidInput(f"{files[0][0]}: the file is empty", hint="it begins with services:")
        settled = merging.unified(merging.settle(merged))
        assert isinstance(settled, dict)
        self._contexts(settled, directory)
        return settled

    def _documents(
        self, name: str, data: bytes, directory: str, environ: Mapping[str, str], places: Places
    ) -> list[dict[str, object]]:
        """The documents of one file: checked at the top, interpolated, in long forms, with absolute paths."""
        made = []
        for document in read(data, what=name, places=places):
            try:
                for key in document:
                    if key not in _KEYS and not key.startswith("x-"):
                        raise InvalidInput(
                            f"{places.get(key, name)}: {key[:60]}: unknown element at the top of a Compose file",
                            hint=_near(key),
                            reason="unknown-field",
                        )
                if "version" in document:
                    if not isinstance(document.pop("version"), str):
                        raise InvalidInput('version: expected a text, such as "3.8"')
                    self._warn(f"{name}: the attribute `version` is obsolete, it has no effect")
                for section in ("services", "networks", "volumes", "configs", "secrets"):
                    _check_names(document.get(section), section)
                if not self.verbatim:
                    document = self._filled(document, environ)
                document = canonical.project(canonical.resources(document))
                made.append(pathsin.absolute(document, directory, self.home) if self.absolute else document)
            except InvalidInput as error:
                raise located(error, places) from None
        return made

    def _filled(self, document: dict[str, object], environ: Mapping[str, str]) -> dict[str, object]:
        filled = self._fill(document, "", environ)
        assert isinstance(filled, dict)
        return filled

    def _fill(self, value: object, where: str, environ: Mapping[str, str]) -> object:
        if isinstance(value, str):
            if "$" not in value:
                return value
            try:
                return interpolate(value, environ, self._not_set)
            except InvalidInput as error:
                raise retold(error, f"{where}: {error.message}") from None
        if isinstance(value, dict):
            return {k: self._fill(v, join(where, k), environ) for k, v in value.items()}
        if isinstance(value, list):
            return [self._fill(v, f"{where}[{i}]", environ) for i, v in enumerate(value)]
        if isinstance(value, Override):
            return Override(self._fill(value.value, where, environ))
        return value

    def _not_set(self, name: str) -> None:
        if name not in self._unset:
            self._unset.add(name)
            self.warnings.append(f"the variable {name!r} is not set: an empty text takes its place")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _contexts(self, tree: dict[str, object], directory: str) -> None:
        """Where nothing says what to build, that is the project's directory: after all merging, for it is a default."""
        services = tree.get("services")
        for service in services.values() if isinstance(services, dict) else ():
            build = service.get("build") if isinstance(service, dict) else None
            if isinstance(build, dict):
                build.setdefault("context", directory if self.absolute else ".")

    # -- extends ----------------------------------------------------------------------------------------------------

    def _extend(
        self,
        document: dict[str, object],
        earlier: dict[str, object],
        name: str,
        directory: str,
        environ: Mapping[str, str],
    ) -> None:
        """Replace every service of a document that extends another by the two in one."""
        services = document.get("services")
        if isinstance(services, Override):
            services = services.value
        if not isinstance(services, dict):
            return
        known = earlier.get("services")
        scope = _Scope(name, services, known if isinstance(known, dict) else {}, directory)
        for service in list(services):
            services[service] = self._extended(scope, service, environ, ())

    def _extended(
        self, scope: _Scope, name: str, environ: Mapping[str, str], above: tuple[tuple[str, str], ...]
    ) -> object:
        service = scope.services.get(name)
        inside = service.value if isinstance(service, Override) else service
        if not isinstance(inside, dict) or inside.get("extends") is None:
            return service
        where = f"services.{name}.extends"
        wanted = inside["extends"]
        if isinstance(wanted, (Reset, Override)):
            wanted = wanted.value if isinstance(wanted, Override) else None
            if wanted is None:
                return {k: v for k, v in inside.items() if k != "extends"}
        if not isinstance(wanted, dict) or not isinstance(wanted.get("service"), str):
            raise InvalidInput(f"{where}: expected a service's name, or a mapping with service and file")
        for key in wanted:
            if key not in ("service", "file"):
                raise InvalidInput(f"{where}.{key}: unknown field", reason="unknown-field")
        base_name: str = wanted["service"]
        step = (scope.name, name)
        if step in above:
            chain = " → ".join(n for _, n in (*above, step))
            raise InvalidInput(f"{where}: services extend each other in a circle: {chain}", reason="cycle")
        if len(above) >= _DEEPEST:
            raise _too_long(where)
        other = scope
        if wanted.get("file"):
            if not isinstance(wanted["file"], str):
                raise InvalidInput(f"{where}.file: expected a path")
            other = self._scope(wanted["file"], scope.directory, environ, where)
        if base_name not in other.services:
            if base_name in other.earlier:
                base: object = other.earlier[base_name]
            else:
                raise InvalidInput(
                    f"{where}: there is no service {base_name!r} in {other.name}", reason="no-service"
                )
        else:
            base = self._extended(other, base_name, environ, (*above, step))
        # Each has all that those before it say: of a chain without end that is the square of the file.
        scope.levels[name] = other.levels.get(base_name, 0) + 1
        if scope.levels[name] > _DEEPEST:
            raise _too_long(where)
        if isinstance(base, Override):
            base = base.value
        own = {k: v for k, v in inside.items() if k != "extends"}
        made = merging.merge_service(merging.settle(base), own, f"services.{name}")
        return Override(made) if isinstance(service, Override) else made

    def _scope(self, file: str, directory: str, environ: Mapping[str, str], where: str) -> _Scope:
        path = pathsin.path(file, directory, self.home)
        data = self.read(path)
        if data is None:
            raise NotFound(f"{place(self.places, where)}: {where}.file: {path} does not exist")
        services: dict[str, object] = {}
        base = os.path.dirname(path)
        for document in self._documents(path, data, base, environ, {}):
            found = document.get("services")
            if isinstance(found, dict):
                services.update(found)
        return _Scope(path, services, {}, base)

    # -- include ----------------------------------------------------------------------------------------------------

    def _include(
        self,
        tree: dict[str, object],
        entry: object,
        directory: str,
        environ: Mapping[str, str],
        above: tuple[str, ...],
        files: Sequence[str],
    ) -> None:
        paths, base, env_files = _include_parts(entry, directory, self.home)
        chain = (*above, *(os.path.join(directory, f) for f in files))
        loaded: list[tuple[str, bytes]] = []
        for path in paths:
            if path in chain or len(above) > _DEEPEST:
                raise InvalidInput(f"include: {path} includes itself", reason="cycle")
            data = self.read(path)
            if data is None:
                raise NotFound(f"{place(self.places, 'include')}: include: {path} does not exist")
            loaded.append((path, data))
        own = dict(environ)
        for path, needed in env_files:
            data = self.read(path)
            if data is None and needed:
                raise NotFound(f"{place(self.places, 'include')}: include: env_file {path} does not exist")
            if data is not None:
                for key, value in dotenv.parse(data, where=path, lookup=environ).items():
                    if value is not None and key not in environ:
                        own[key] = value
        outer, self.places = self.places, {}
        try:
            included = self._unit(loaded, base, own, chain)
        finally:
            for path, where in self.places.items():
                outer.setdefault(path, where)
            self.places = outer
        self._take_over(tree, included, paths[0])

    def _take_over(self, tree: dict[str, object], included: dict[str, object], path: str) -> None:
        for section in ("services", "networks", "volumes", "configs", "secrets", "models"):
            theirs = included.get(section)
            if not isinstance(theirs, dict):
                continue
            if tree.get(section) is None:
                tree[section] = {}
            ours = tree[section]
            ours = ours.value if isinstance(ours, Override) else ours
            if not isinstance(ours, dict):
                continue
            for name, value in theirs.items():
                if ours.get(name, value) != value:
                    self._warn(
                        f"{section}.{name}: what is said here goes over what {path} says, which is included"
                    )
                    ours[name] = merging.merge_entry(section, value, ours[name], f"{section}.{name}")
                else:
                    ours[name] = value


class _Scope:
    """Where the name of an extended service is looked up."""

    def __init__(
        self, name: str, services: dict[str, object], earlier: dict[str, object], directory: str
    ) -> None:
        self.name = name
        self.services = services
        self.earlier = earlier
        self.directory = directory
        self.levels: dict[str, int] = {}  # how many services there are below one that extends another


def _too_long(where: str) -> InvalidInput:
    return InvalidInput(
        f"{where}: more than {_DEEPEST} services extend one another in a row", reason="too-deep"
    )


def _included(value: object) -> list[object]:
    if value is None:
        return []
    if isinstance(value, (Reset, Override)):
        value = value.value if isinstance(value, Override) else []
    if not isinstance(value, list):
        raise InvalidInput("include: expected a list of paths")
    return value


def _include_parts(entry: object, directory: str, home: str) -> tuple[list[str], str, list[tuple[str, bool]]]:
    """The paths of one ``include``, its project directory, and its environment files (and whether they must exist)."""
    if isinstance(entry, str):
        entry = {"path": entry}
    if not isinstance(entry, dict):
        raise InvalidInput("include: expected a path, or a mapping with path")
    for key in entry:
        if key not in ("path", "project_directory", "env_file"):
            raise InvalidInput(f"include: {str(key)[:60]}: unknown field", reason="unknown-field")
    paths = _strings(entry.get("path"), "path")
    if not paths:
        raise InvalidInput("include: path is missing", reason="missing-field")
    for path in paths:
        if "://" in path or path.startswith(("git@", "oci:")):
            from lading.errors import Unsupported

            raise Unsupported(
                f"include: {path}: files from elsewhere are not supported", hint="fetch it first"
            )
    full = [pathsin.path(path, directory, home) for path in paths]
    base = os.path.dirname(full[0])
    if entry.get("project_directory") is not None:
        (given,) = _strings(entry["project_directory"], "project_directory") or ["."]
        base = pathsin.path(given, directory, home)
    listed = _strings(entry.get("env_file"), "env_file")
    if listed:
        return (
            full,
            base,
            [(pathsin.path(path, directory, home), True) for path in listed if path != "/dev/null"],
        )
    return full, base, [(os.path.join(base, ".env"), False)]


def _strings(value: object, what: str) -> list[str]:
    if value is None:
        return []
    rows = [value] if isinstance(value, str) else value
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        raise InvalidInput(f"include: {what}: expected a path or a list of paths")
    return [str(row) for row in rows]


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def _check_names(section: object, where: str) -> None:
    if isinstance(section, Override):
        section = section.value
    if section is None or isinstance(section, Reset):
        return
    if not isinstance(section, dict):
        raise InvalidInput(f"{where}: expected a mapping of names")
    for name in section:
        if not name or not _LETTERS.issuperset(name) or len(name) > 200:
            raise InvalidInput(f"{where}: {name[:80]!r} is not a name: letters, digits, '.', '_' and '-'")


def _near(key: str) -> str:
    from lading.flags import nearest

    found = nearest(key, list(_KEYS))
    return f"did you mean {found!r}?" if found else "an extension's name begins with x-"
