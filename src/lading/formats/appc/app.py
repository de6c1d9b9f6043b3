"""The ``app`` object: how an image, or a pod's override of it, is executed.

Source: spec/aci.md, "Image Manifest Schema", app.
"""

from __future__ import annotations

from lading.formats.appc.errors import bad, join, shown
from lading.formats.appc.isolators import APP, Isolator, gather
from lading.formats.appc.names import check_name
from lading.formats.appc.record import ACRecord
from lading.formats.appc.values import check_absolute, check_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PRE_START, POST_STOP = "pre-start", "post-stop"
LARGEST_PORT = 65535
_LARGEST_ID = 2**32 - 2
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_REST = _FIRST | frozenset("0123456789.-")


class EventHandler(ACRecord):
    """A command for a moment of the app's life: ``pre-start`` or ``post-stop``, in its own root."""

    _null = ("exec",)
    name: str
    exec: list[str] = []

    def check(self, where: str = "") -> None:
        if self.name not in (PRE_START, POST_STOP):
            raise bad(join(where, "name"), f"{shown(self.name)} is not {PRE_START!r} or {POST_STOP!r}")
        if not self.exec:
            raise bad(join(where, "exec"), "an event handler has a command")
        check_exec(self.exec, join(where, "exec"))


class EnvironmentVariable(ACRecord):
    """One variable; the value is whatever text, and nothing in it is expanded."""

    _keep_empty = ("value",)
    name: str
    value: str = ""

    def check(self, where: str = "") -> None:
        if not is_variable(self.name):
            raise bad(
                join(where, "name"),
                f"{shown(self.name)} is not the name of an environment variable",
                hint="letters, digits, '_', '.' and '-', the first a letter or '_'",
            )


class MountPoint(ACRecord):
    """Where an app expects data from outside; the name is what a volume is matched by."""

    _wire = {"read_only": "readOnly"}
    name: str
    path: str
    read_only: bool = False

    def check(self, where: str = "") -> None:
        check_name(self.name, join(where, "name"))
        check_absolute(self.path, join(where, "path"))


class Port(ACRecord):
    """A port of an app, or ``count`` of them in a row."""

    _keep_empty = ("count", "socket_activated")
    name: str
    protocol: str
    port: int
    count: int = 1
    socket_activated: bool = False

    def check(self, where: str = "") -> None:
        check_name(self.name, join(where, "name"))
        if not self.protocol or not self.protocol.isprintable():
            raise bad(join(where, "protocol"), f"{shown(self.protocol)} is not a protocol", hint="tcp or udp")
        check_range(self.port, 1, LARGEST_PORT, join(where, "port"))
        check_range(self.count, 1, LARGEST_PORT, join(where, "count"))
        if self.port + self.count - 1 > LARGEST_PORT:
            raise bad(
                join(where, "count"),
                f"{self.count} ports from {self.port} on end beyond {LARGEST_PORT}",
            )

    def settle(self) -> None:
        """The text wants a count of one or more; ``actool patch-manifest --ports`` writes 0 for a count that was not given."""
        if self.count == 0:
            self.count = 1


class App(ACRecord):
    """How an app is executed. ``user`` and ``group`` are a name, a number, or the path of a file whose owner is meant."""

    _wire = {"supplementary_gids": "supplementaryGIDs"}
    _null = ("exec",)
    exec: list[str] = []
    event_handlers: list[EventHandler] = []
    user: str
    group: str
    supplementary_gids: list[int] = []
    working_directory: str = ""
    environment: list[EnvironmentVariable] = []
    mount_points: list[MountPoint] = []
    ports: list[Port] = []
    isolators: list[Isolator] = []
    user_annotations: dict[str, str] = {}
    user_labels: dict[str, str] = {}

    def check(self, where: str = "") -> None:
        check_exec(self.exec, join(where, "exec"))
        for field, value in (("user", self.user), ("group", self.group)):
            if not value:
                raise bad(
                    join(where, field), "must not be empty", hint="a name, a number or the path of a file"
                )
        for index, number in enumerate(self.supplementary_gids):
            check_range(number, 0, _LARGEST_ID, join(where, f"supplementaryGIDs[{index}]"))
        if self.working_directory:
            check_absolute(self.working_directory, join(where, "workingDirectory"))
        for kind, items in (
            ("eventHandlers", self.event_handlers),
            ("environment", self.environment),
            ("mountPoints", self.mount_points),
            ("ports", self.ports),
        ):
            _check_all(items, join(where, kind))
        unique([e.name for e in self.event_handlers], join(where, "eventHandlers"), "name")
        unique([e.name for e in self.environment], join(where, "environment"), "name")
        gather(self.isolators, APP, join(where, "isolators"))

    def settle(self) -> None:
        """See :meth:`Manifest.settle`."""
        for port in self.ports:
            port.settle()

    def handler(self, name: str) -> list[str]:
        """The command of the event handler ``name``; empty when there is none."""
        return next((list(e.exec) for e in self.event_handlers if e.name == name), [])


def _check_all(items: Sequence[ACRecord], where: str) -> None:
    for index, item in enumerate(items):
        item.check(f"{where}[{index}]")


def unique(names: Sequence[str], where: str, field: str) -> None:
    """Raise :class:`InvalidInput` for the second of two equal names."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise bad(f"{where}[{index}].{field}", f"{shown(name)} is given twice")
        seen.add(name)


def check_exec(words: Sequence[str], where: str) -> None:
    """A command: whatever words, the first of them not empty. Raises :class:`InvalidInput`."""
    if words and not words[0]:
        raise bad(f"{where}[0]", "the name of the executable is empty")


def is_variable(name: str) -> bool:
    """Whether an environment variable may be called ``name``."""
    return bool(name) and name[0] in _FIRST and _REST.issuperset(name)
