"""Which variables an instruction sees: global arguments before the first FROM, then a stage's own ARGs and ENVs.

Source: docs.docker.com/reference/dockerfile, "ARG": scope, predefined arguments, automatic platform arguments; "ENV".
"""

from __future__ import annotations

from lading.formats import platform as platforms
from lading.formats.dockerfile import Arg, Expander

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.oci_image import Platform

PROXIES = tuple(
    name
    for lower in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (lower.upper(), lower)
)
"""Known to every RUN without an ARG, and never part of what is built: neither in the image nor in a key."""


def automatic(build: Platform, target: Platform) -> dict[str, str]:
    """The platform arguments, which FROM sees at once and a stage after ``ARG NAME``."""
    made = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        made[f"{prefix}PLATFORM"] = platforms.text(platform)
        made[f"{prefix}OS"] = platform.os
        made[f"{prefix}ARCH"] = platform.architecture
        made[f"{prefix}VARIANT"] = platform.variant
        made[f"{prefix}OSVERSION"] = platform.os_version
    return made


class Globals:
    """What ARG says before the first FROM. ``values`` are those with a value; ``declared`` all names."""

    def __init__(
        self, given: Mapping[str, str], known: Mapping[str, str], arguments: list[Arg], escape: str
    ) -> None:
        self.given = given
        self.known = dict(known)
        self.values: dict[str, str] = {}
        self.used: set[str] = set()
        for argument in arguments:
            for definition in argument.definitions:
                name = definition.name
                self.used.add(name)
                if name in given:
                    self.values[name] = given[name]
                elif definition.value is not None:
                    self.values[name] = Expander(self.get, escape).word(definition.value)

    def get(self, name: str) -> str | None:
        """The value that FROM sees."""
        if name in self.values:
            return self.values[name]
        if name in self.known:
            return self.given.get(name, self.known[name])
        return None


class Scope:
    """A stage's variables. ``env`` is the image's environment in order; ``args`` what ARG declared so far.

    ENV wins over ARG, whichever comes first.
    """

    def __init__(self, outer: Globals, env: list[str], escape: str) -> None:
        self._outer = outer
        self._escape = escape
        self.env: dict[str, str] = {}
        for pair in env:
            name, _, value = pair.partition("=")
            self.env[name] = value
        self.args: dict[str, str | None] = {}

    def copy(self, outer: Globals) -> Scope:
        """The scope that a stage which begins with this one's result has: its environment, none of its arguments."""
        return Scope(outer, self.pairs(), self._escape)

    def pairs(self) -> list[str]:
        """The environment as an image has it."""
        return [f"{name}={value}" for name, value in self.env.items()]

    def get(self, name: str) -> str | None:
        """The value that an instruction sees."""
        if name in self.env:
            return self.env[name]
        return self.args.get(name)

    @property
    def expander(self) -> Expander:
        """What expands an instruction's words here and now."""
        return Expander(self.get, self._escape)

    def declare(self, argument: Arg) -> None:
        """ARG: a value that was given, or the global one's, or the default."""
        outer = self._outer
        for definition in argument.definitions:
            name = definition.name
            outer.used.add(name)
            if name in outer.given:
                self.args[name] = outer.given[name]
            elif definition.value is not None:
                self.args[name] = self.expander.word(definition.value)
            elif name in outer.values:
                self.args[name] = outer.values[name]
            elif name in outer.known:
                self.args[name] = outer.known[name]
            else:
                self.args.setdefault(name, None)

    def command_env(self) -> list[str]:
        """What a RUN command finds in its environment: the image's, and arguments that have a value below it."""
        made = {name: value for name, value in self.args.items() if value is not None}
        made.update(self.env)
        return [f"{name}={value}" for name, value in made.items()]

    def proxies(self) -> list[str]:
        """Proxies that were given and are not declared: in a command's environment, and in no key."""
        given = self._outer.given
        return [f"{n}={given[n]}" for n in PROXIES if n in given and n not in self.args and n not in self.env]
