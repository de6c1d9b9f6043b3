"""The command line of a pod: images, what is said about each, and what is said about all of them.

``[flags] IMAGE [flags] -- arguments --- IMAGE …``: a flag about an app follows its image, flags about the pod stand anywhere,
``--`` begins the arguments of the app before it and ``---`` ends them. Source: Rocket's documentation, "rkt run".
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.flags import Command, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from lading.flags import Flag

ONCE = (
    "caps-remove caps-retain cpu cpu-shares exec group memory name oom-score-adj readonly-rootfs seccomp signature "
    "stderr stdin stdout supplementary-gids user working-dir"
).split()
"""Flags about the image before them, of which the last word of an app's counts; ``exec`` and ``signature`` are said once."""
SEVERAL = ("annotation", "environment", "mount", "user-annotation", "user-label")
"""Those that may be said several times."""
_SINGLE = ("exec", "signature")


class AppLine:
    """One image and what is said about it: ``flags`` by name, ``args`` after ``--`` (None: there is no ``--``)."""

    __slots__ = ("args", "flags", "image")

    def __init__(self, image: str) -> None:
        self.image = image
        self.flags: dict[str, list[str]] = {}
        self.args: list[str] | None = None

    def one(self, name: str) -> str | None:
        """The value of a flag; None when it was not given."""
        values = self.flags.get(name)
        return values[-1] if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a flag."""
        return self.flags.get(name, [])


class Line:
    """``apps`` in their order; ``mounts`` stand before all images; ``flags`` are the pod's, by name.

    ``help``: somebody asked for it, and nothing else has been looked at.
    """

    __slots__ = ("apps", "flags", "help", "mounts")

    def __init__(self) -> None:
        self.apps: list[AppLine] = []
        self.mounts: list[str] = []
        self.flags: dict[str, Any] = {}
        self.help = False

    def take(self, values: Mapping[str, Any]) -> None:
        """Flags that stand after the images so far."""
        for name, value in values.items():
            if value is None or value == []:
                continue
            if name in ONCE or name in SEVERAL:
                self._of_app(name, value)
            elif type(value) is list:
                self.flags.setdefault(name, []).extend(value)
            else:
                self.flags[name] = value

    def _of_app(self, name: str, values: list[str]) -> None:
        if not self.apps:
            if name != "mount":
                raise UsageError(f"--{name} must follow an image", hint=f"IMAGE --{name} …")
            self.mounts += values
            return
        given = self.apps[-1].flags.setdefault(name, [])
        given += values
        if name in _SINGLE and len(given) > 1:
            raise UsageError(f"--{name} is given twice for the image {self.apps[-1].image}")

    def __getitem__(self, name: str) -> Any:
        return self.flags.get(name)

    def list(self, name: str) -> Sequence[str]:
        """The values of a flag of the pod that may be given several times."""
        found: list[str] = self.flags.get(name, [])
        return found


def read(spoken: str, flags: Sequence[Flag], values: Mapping[str, Any], words: Sequence[str]) -> Line:
    """The line of which the flags before the first image are in ``values`` already, and ``words`` is the rest.

    ``spoken`` is the command, for errors. Every flag must be declared as one that may be missing (``unset``) or repeated.
    Raises :class:`UsageError`.
    """
    line = Line()
    line.take(values)
    more = Command(spoken, flags=flags, arguments="[WORD...]", interspersed=False)
    rest = list(words)
    while rest:
        word = rest[0]
        if word == "--":
            rest = _arguments(line, rest[1:])
        elif word == "---":
            del rest[0]  # it ends arguments, and there may be none to end
        elif len(word) > 1 and word[0] == "-":
            end = next((index for index, text in enumerate(rest) if text in ("--", "---")), len(rest))
            parsed = parse(more, rest[:end])
            if parsed.help:
                line.help = True
                return line
            line.take(parsed.values)
            rest = [*parsed.args, *rest[end:]]
        elif not word:
            raise UsageError(f"{spoken}: the name of an image is empty")
        else:
            line.apps.append(AppLine(word))
            del rest[0]
    return line


def _arguments(line: Line, rest: list[str]) -> list[str]:
    if not line.apps:
        raise UsageError("-- begins the arguments of the image before it, and there is none")
    app = line.apps[-1]
    if app.args is not None:
        raise UsageError(f"the image {app.image} has arguments already", hint="name the next image first")
    end = rest.index("---") if "---" in rest else len(rest)
    app.args = rest[:end]
    return rest[end + 1 :]


# -- what several flags are made of ----------------------------------------------------------------------------------


def pairs(flag: str, texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``NAME=VALUE`` texts. Raises :class:`InvalidInput`."""
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidInput(f"--{flag} {text[:80]!r} is not NAME=VALUE")
        yield name, value


def words(texts: Sequence[str]) -> list[str]:
    """Lists with commas in one list."""
    return [word for text in texts for word in text.split(",") if word]


def refuse(line: Line, reasons: Mapping[str, str]) -> None:
    """Raise :class:`Unsupported` for a flag of the pod that ``reasons`` names and that was given."""
    for name, why in reasons.items():
        if line[name]:
            raise Unsupported(f"--{name}: {why}")
