"""``lading compose watch``: what changes in the sources goes into the containers, or makes them anew.

Source: Compose specification, "Develop". Files are looked at twice a second: size, times and inode of everything below a rule's
path that neither ``ignore`` nor the build context's ignore file hides. A change is acted on when it is over, that is when a look
finds the same as the one before.
"""

from __future__ import annotations

import io
import os
import tarfile
import time

from lading.cli.main import complain
from lading.compose import hooks, state
from lading.compose.application import Application, read_file
from lading.compose.converge import Convergence, Wishes
from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats.dockerfile.ignore import DEFAULT_NAME, Ignore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.compose.model import Project
    from lading.formats.compose.model_service import Build, Watch

_PERIOD = 0.5
_MOST = 50_000
#: What editors and version control leave about, and nobody means.
_ALWAYS = tuple(f"**/{name}" for name in (".git", "*~", ".*.swp", ".*.swx", ".*.swo", "4913", ".DS_Store"))
_ACTIONS = ("rebuild", "sync", "restart", "sync+restart", "sync+exec")

Look = dict[str, tuple[int, int, int, int]]


def watch(context: Context, parsed: Parsed) -> int:
    """Build and start, then follow the sources until Ctrl-C."""
    app = Application(context, parsed)
    named = list(parsed.args)
    project = app.load(named)
    watcher = Watcher(app, project, named)
    if not parsed["no-up"]:
        wishes = Wishes()
        wishes.build = True
        wishes.quiet_pull = wishes.quiet_build = parsed["quiet"]
        Convergence(app, project, named, wishes).run()
    app.say("Watch enabled")
    try:
        watcher.start(lambda: None)
    except KeyboardInterrupt:
        pass
    return 0


class Rule:
    """One ``develop.watch`` of one service, and what its files were when they were last looked at."""

    def __init__(self, service: str, rule: Watch, where: str, build: Build | None = None) -> None:
        self.service = service
        self.rule = rule
        self.path = rule.path
        self.ignore = Ignore([*_ALWAYS, *rule.ignore], f"{where}.ignore")
        self.include = Ignore(rule.include, f"{where}.include")
        self.context: Ignore | None = None
        self.prefix = ""
        """The rule's path as the build context has it, which its own ignore file is about"""
        if build is not None and f"{self.path}/".startswith(build.context.rstrip("/") + "/"):
            data = read_file(f"{build.context}/{DEFAULT_NAME}")
            inner = os.path.relpath(self.path, build.context)
            self.prefix = "" if inner == "." else inner + "/"
            self.context = Ignore.parse(data) if data else None
        if rule.action not in _ACTIONS:
            raise InvalidInput(f"{where}.action: {rule.action[:40]!r} is not one of {', '.join(_ACTIONS)}")
        if rule.action.startswith("sync") and not rule.target.startswith("/"):
            raise InvalidInput(
                f"{where}.target: an absolute path in the container is needed to synchronise to"
            )
        if rule.action == "sync+exec" and rule.exec is None:
            raise InvalidInput(f"{where}.exec: required field is missing", reason="missing-field")
        self.done: Look = self.look()
        self.last: Look = self.done

    def hidden(self, name: str) -> bool:
        """Whether a file below the rule's path is left out."""
        if self.ignore.ignored(name) or (
            self.context is not None and self.context.ignored(self.prefix + name)
        ):
            return True
        return bool(self.include) and not self.include.ignored(name)

    def skipped(self, directory: str) -> bool:
        """Whether a directory is left out with all that is in it."""
        if self.ignore.may_skip(directory):
            return True
        return self.context is not None and self.context.may_skip(self.prefix + directory)

    def look(self) -> Look:
        """What is there. Raises :class:`InvalidInput` for more files than can be looked at."""
        found: Look = {}
        if os.path.isfile(self.path):
            self._take(found, "", self.path)
            return found
        for directory, below, files in os.walk(self.path):
            inner = os.path.relpath(directory, self.path)
            prefix = "" if inner == "." else inner + "/"
            below[:] = [d for d in below if not self.skipped(prefix + d)]
            for name in files:
                if not self.hidden(prefix + name):
                    self._take(found, prefix + name, f"{directory}/{name}")
            if len(found) > _MOST:
                raise InvalidInput(
                    f"{self.path}: more than {_MOST} files to watch", hint="leave some out with ignore"
                )
        return found

    @staticmethod
    def _take(found: Look, name: str, path: str) -> None:
        try:
            info = os.lstat(path)
        except OSError:
            return  # gone since the directory was read
        found[name] = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_mode)

    def changed(self) -> tuple[list[str], list[str]]:
        """What was changed or added, and what was removed, once that is over."""
        now = self.look()
        if now != self.last:
            self.last = now
            return [], []
        if now == self.done:
            return [], []
        changed = [name for name, stamp in now.items() if self.done.get(name) != stamp]
        removed = [name for name in self.done if name not in now]
        self.done = now
        return changed, removed


class Watcher:
    """The rules of a project's services."""

    def __init__(self, app: Application, project: Project, named: list[str]) -> None:
        self.app = app
        self.project = project
        self.rules: list[Rule] = []
        for name, service in project.services.items():
            if service.develop is None or (named and name not in named):
                continue
            for index, rule in enumerate(service.develop.watch):
                where = f"services.{name}.develop.watch[{index}]"
                try:
                    self.rules.append(Rule(name, rule, where, service.build))
                except LadingError as error:
                    raise app.located(error) from None
        if not self.rules:
            raise NotFound("no service has a develop.watch section", reason="nothing-to-watch")

    def start(self, meanwhile: Callable[[], None]) -> None:
        """Follow the sources until Ctrl-C, or until no container of the project is left."""
        for rule in self.rules:
            if rule.rule.initial_sync and rule.rule.action.startswith("sync"):
                self._act(rule, list(rule.done), [])
        while True:
            meanwhile()
            for rule in self.rules:
                changed, removed = rule.changed()
                if changed or removed:
                    try:
                        self._act(rule, changed, removed)
                    except LadingError as error:
                        complain(error)
            time.sleep(_PERIOD)

    def _members(self, service: str) -> list[state.Member]:
        found = state.members(self.app.context.node, self.project.name, [service])
        return [m for m in found if m.running]

    def _act(self, rule: Rule, changed: list[str], removed: list[str]) -> None:
        action = rule.rule.action
        count = len(changed) + len(removed)
        files = f"{count} {'file' if count == 1 else 'files'}"
        if action == "rebuild":
            self.app.say(f"Rebuilding service {rule.service} after {files} changed")
            wishes = Wishes()
            wishes.no_needs = True
            wishes.build = True
            Convergence(self.app, self.project, [rule.service], wishes).run()
            return
        if action.startswith("sync"):
            for member in self._members(rule.service):
                self._sync(member, rule, changed, removed)
            self.app.say(f"Syncing service {rule.service} after {files} changed")
        if action in ("restart", "sync+restart"):
            for member in self._members(rule.service):
                self.app.context.node.restart(member.id)
            self.app.say(f"Restarted service {rule.service}")
        if action == "sync+exec":
            assert rule.rule.exec is not None
            for member in self._members(rule.service):
                hooks.carry_out(self.app.context.node, member.id, [rule.rule.exec], "exec")

    def _sync(self, member: state.Member, rule: Rule, changed: list[str], removed: list[str]) -> None:
        node = self.app.context.node
        if changed:
            node.cp_in(member.id, "/", io.BytesIO(archive(rule.path, rule.rule.target, changed)))
        gone = [_inside(rule.rule.target, name) for name in removed]
        if gone:
            from lading.formats.compose.model_service import Hook

            hooks.carry_out(node, member.id, [Hook(command=["rm", "-rf", "--", *gone])], "sync")


def _inside(target: str, name: str) -> str:
    return f"{target.rstrip('/')}/{name}" if name else target


def archive(path: str, target: str, names: list[str]) -> bytes:
    """A tar of files below ``path``, to be unpacked at the root of a container so that they are below ``target``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        parents: set[str] = set()
        for name in names:
            inside = _inside(target, name).lstrip("/")
            source = f"{path}/{name}" if name else path
            try:
                member, data = _entry(tar, source, inside)
            except FileNotFoundError:
                continue  # removed meanwhile
            except OSError as error:
                raise LadingError(f"{source}: {error.strerror}") from None
            if member.isreg() or member.issym():
                _directories(tar, os.path.dirname(inside), parents)
                tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _entry(tar: tarfile.TarFile, source: str, inside: str) -> tuple[tarfile.TarInfo, bytes]:
    """One file with what it holds now: it may be written to, or be another kind of file, at any moment. Raises OSError."""
    if os.path.islink(source):
        return tar.gettarinfo(source, arcname=inside), b""
    fd = os.open(
        source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    )  # a fifo waits for nobody
    with open(fd, "rb") as stream:
        member = tar.gettarinfo(arcname=inside, fileobj=stream)
        if (
            member.islnk()
        ):  # a further name of a file that is there already: a file of its own in the container
            member.type, member.linkname = tarfile.REGTYPE, ""
        data = stream.read() if member.isreg() else b""
    member.size = len(data)
    return member, data


def _directories(tar: tarfile.TarFile, path: str, made: set[str]) -> None:
    if not path or path in made:
        return
    _directories(tar, os.path.dirname(path), made)
    made.add(path)
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(entry)
