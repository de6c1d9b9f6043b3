"""The commands' entry points: take what a command imports out of one *start file*, then run it.

Half of a short command's time would go into finding, opening and reading a hundred small modules. A start file holds the
code of a group's modules in one piece, beside the package's own bytecode; a finder that stands first in
``sys.meta_path`` serves them from there. It is a cache and nothing else: a module whose source has another size or
modification time than when the file was written, a file that is missing, damaged, of another interpreter or writable by
others, all mean the ordinary import. ``lading.startlist`` says what is in the groups and writes the files. See
docs/decisions/0007-start-files.md and 0013-needs-first.md.

Nothing may be imported here that the interpreter has not loaded already: this module itself is found the slow way.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from _thread import _count
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, NoReturn

    Entry = tuple[str, str, int, int, tuple[str, ...]]

IDENTITY = b"lading start 2\n\0" + MAGIC_NUMBER
"""How a start file begins: its format, and the interpreter's bytecode. Two lengths and two marshalled parts follow."""

PACKAGE = os.path.dirname(__file__)

_BY_COMMAND = {
    "run": ("run",),
    "create": ("run",),
    "start": ("run",),
    "exec": ("exec",),
    "ps": ("look",),
    "logs": ("look",),
    "inspect": ("look", "inspect"),
    "images": ("look", "inspect"),
    "build": ("build",),
}

_ON_DEMAND = {
    "lading.build.running": "run",
    "lading.network": "network",
    "lading.formats.oci_limits": "limits",
    "lading.runtime.limiting": "limits",
    "lading.runtime.limits": "limits",
    "lading.network.publishing": "ports",
    "lading.network.ports": "ports",
    "lading.kernel.bpf": "more",
    "lading.kernel.cgroups.v2": "more",
    "lading.node.podvolumes": "more",
    "lading.rocket": "rkt",
    "lading.rocket.rkt.running": "pods",
}
"""Module → the group that is served from when this module is first asked for: ``--network none`` does without the first."""

_Module = type(sys)

_TIMED = "importtime" in sys._xoptions
"""With ``-X importtime`` every module goes through the import system, which is what is timed."""

_unserved: list[str] = []
"""The groups whose files should be written anew."""


def lading() -> NoReturn:
    """``lading``: this process ends here, without the interpreter's clean-up (a millisecond and more)."""
    # Until main() can tell it in a line, Ctrl-C ends us as it ends any program: without a traceback.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _collect_rarely()
    occupy_standard()
    for word in sys.argv[1:9]:
        groups = _BY_COMMAND.get(word)
        if groups:
            for group in groups:
                serve(group)
            break
    from lading.cli.main import main

    status = main()
    renew()
    os._exit(status)


def runtime() -> NoReturn:
    """``lading-runtime``: likewise."""
    _collect_rarely()
    occupy_standard()
    serve("runtime")
    from lading.runtime.cli import main

    status = main()
    renew()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        status = status or 1
    os._exit(status)


def _collect_rarely() -> None:
    # Nearly nothing that a short command makes is garbage, and looking for it takes a tenth of its time: a millisecond
    # of reading a start file alone. A run makes some 150,000 objects.
    gc.set_threshold(200_000, 20, 50)


def occupy_standard() -> None:
    """Put /dev/null where the caller closed a standard stream (``>&-``), as C libraries do for setuid programs.

    Else the next file that is opened, a database say, becomes number 1, and a container's output is written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))


class Finder:
    """Serves the modules of a group, each once: who reloads a module means its source.

    ``index`` says of each module where its source is, where its bytecode would be, the source's modification time and
    size, and what the module needs: the group's modules that it imports when it is executed.
    """

    def __init__(self, index: dict[str, Entry], codes: dict[str, CodeType]) -> None:
        self.index = index
        self.codes = codes
        self.stale = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module's spec, like the ordinary one; none when the module is not ours or has been edited."""
        if name not in self.index:
            group = _ON_DEMAND.get(name)
            if not group or group in _finders or group in _unserved:
                return None
            serve(group)
            return _finders[group].find_spec(name) if group in _finders else None
        entry = self._take(name)
        if entry is None:
            return None
        if not _count() and not _TIMED:  # another thread could meet a module half made
            for need in entry[4]:
                self._bring(need)
        return self._spec(name, entry)

    def _take(self, name: str) -> Entry | None:
        """The module's entry, once; none when its source is not what the code was made of."""
        entry = self.index.pop(name, None)
        if entry is None:
            return None
        try:
            now = os.stat(entry[0])
        except OSError:
            return None
        if now.st_mtime_ns != entry[2] or now.st_size != entry[3]:
            self.stale = True
            return None
        return entry

    def _spec(self, name: str, entry: Entry) -> ModuleSpec:
        origin = entry[0]
        spec = ModuleSpec(name, _Loader(name, origin, self.codes.pop(name)), origin=origin)
        if origin.endswith("/__init__.py"):
            spec.submodule_search_locations = [origin[:-12]]
        spec.has_location = True
        spec.cached = entry[1]
        return spec

    def _bring(self, name: str) -> None:
        """Make a module and what it needs, so that the import statements that want it find it made.

        The import system takes 15 calls for a module, three times as long as this. A package is left to it, and so is
        whatever we cannot serve.
        """
        modules = sys.modules
        if name in modules or name not in self.index:
            return
        package, _, child = name.rpartition(".")
        if package not in modules:
            __import__(package)
            if name in modules:
                return
        entry = self._take(name)
        if entry is None:
            return
        for need in entry[4]:
            self._bring(need)
        spec = self._spec(name, entry)
        module = _Module(name)
        own = module.__dict__
        own["__spec__"] = spec
        own["__loader__"] = spec.loader
        own["__package__"] = package
        own["__file__"] = entry[0]
        own["__cached__"] = entry[1]
        modules[name] = module
        try:
            exec(spec.loader.get_code(name), own)  # type: ignore[union-attr]
        except BaseException:
            del modules[name]
            raise
        setattr(modules[package], child, module)


class _Loader(SourceFileLoader):
    """The ordinary loader of a source file, with the code at hand."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        self.name = name
        self.path = path
        self._code: CodeType | None = code

    def get_code(self, fullname: str) -> CodeType | None:
        code, self._code = self._code, None
        return code or super().get_code(fullname)


_finders: dict[str, Finder] = {}


def serve(group: str) -> None:
    """Have the modules of ``group`` imported from its start file, as far as it is valid."""
    where = path(group)
    if not where or group in _finders:
        return
    try:
        read = _read(where)
    except (OSError, EOFError, ValueError, TypeError):
        read = None
    if read is None:
        _unserved.append(group)
        return
    finder = _finders[group] = Finder(*read)
    sys.meta_path.insert(0, finder)


def path(group: str) -> str:
    """Where the group's start file is: beside this module's bytecode. Empty when there is no such place.

    With ``-O`` the code would be another.
    """
    cached = __spec__.cached if __spec__ else None
    if not cached or not cached.startswith("/") or sys.flags.optimize:
        return ""
    return f"{os.path.dirname(cached)}/start-{group}.{sys.implementation.cache_tag}"


def _read(where: str) -> tuple[Any, Any] | None:
    fd = os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        info = os.fstat(fd)
        if not _trusted(info):
            return None
        data = os.read(fd, info.st_size)
    finally:
        os.close(fd)
    start = len(IDENTITY) + 8
    if not data.startswith(IDENTITY) or len(data) < start:
        return None
    first = int.from_bytes(data[start - 8 : start - 4], "little")
    second = int.from_bytes(data[start - 4 : start], "little")
    if len(data) != start + first + second:
        return None
    view = memoryview(data)
    package, index = loads(view[start : start + first])
    if package != PACKAGE:  # the tree was copied: those paths are another tree's
        return None
    return index, loads(view[start + first :])


def _trusted(info: os.stat_result) -> bool:
    """Whether only who may change the package, root or we ourselves could have written this regular file."""
    if info.st_mode & 0o170000 != 0o100000 or info.st_mode & 0o022:
        return False
    return info.st_uid in (0, os.geteuid()) or info.st_uid == os.stat(PACKAGE).st_uid


def renew() -> None:
    """At a command's end: write the start files it would have liked to have. No failure is one: they are a cache."""
    wanted = _unserved + [group for group, finder in _finders.items() if finder.stale]
    if not wanted or sys.dont_write_bytecode or not os.access(os.path.dirname(path(wanted[0])), os.W_OK):
        return
    try:
        from lading.startlist import write

        for group in wanted:
            write(group)
    except Exception:
        return
