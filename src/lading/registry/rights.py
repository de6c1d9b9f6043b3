"""Who may do what in which repository: a file that a person reads.

::

    # groups
    @team = alice bob

    # who           repositories   rights
    anonymous       public/**      pull
    authenticated   **             pull
    alice           alice/**       all
    @team           team/*         pull push

``*`` is any text within one component of a name, ``**`` one or more components. Rights add up; there are ``pull``, ``push``,
``delete``, and ``all`` for the three. What ``anonymous`` may, everybody may; ``authenticated`` is everybody with a password.
"""

from __future__ import annotations

import re

from lading.errors import InvalidInput, LadingError, NotFound
from lading.images.files import read
from lading.registry.passwords import RESERVED, check_name

PULL, PUSH, DELETE = "pull", "push", "delete"
ACTIONS = (PULL, PUSH, DELETE)
ANONYMOUS = ""
"""The name of a caller who gave none."""

_PATTERN = re.compile(r"[a-z0-9._\-/*]+")


class Rule:
    """One line: ``who`` may do ``actions`` in the repositories that ``pattern`` matches."""

    __slots__ = ("actions", "pattern", "who")

    def __init__(self, who: str, pattern: re.Pattern[str], actions: frozenset[str]) -> None:
        self.who = who
        self.pattern = pattern
        self.actions = actions


class Rights:
    """The rules in force."""

    def __init__(self, rules: list[Rule], groups: dict[str, frozenset[str]]) -> None:
        self._rules = rules
        self._groups = groups

    def allows(self, user: str, repository: str, action: str) -> bool:
        """Whether ``user`` (:data:`ANONYMOUS` for nobody in particular) may do ``action`` there."""
        return any(
            action in rule.actions and self._is(user, rule.who) and rule.pattern.fullmatch(repository)
            for rule in self._rules
        )

    @property
    def open(self) -> bool:
        """Whether anonymous callers may do anything at all."""
        return any(rule.who == "anonymous" for rule in self._rules)

    def _is(self, user: str, who: str) -> bool:
        if who == "anonymous":
            return True
        if not user:
            return False
        if who.startswith("@"):
            return user in self._groups[who]
        return who in ("authenticated", user)


EVERYTHING = Rights([Rule("anonymous", re.compile(".*"), frozenset(ACTIONS))], {})
"""Where there is neither a file of passwords nor of rights."""

USERS = Rights([Rule("authenticated", re.compile(".*"), frozenset(ACTIONS))], {})
"""Where there are passwords and no rights."""


def load(path: str) -> Rights:
    """The rights in a file. Raises :class:`InvalidInput` that names the line, :class:`NotFound`."""
    try:
        data = read(path)
    except OSError as error:
        raise LadingError(f"cannot read {path}: {error.strerror}") from None
    if data is None:
        raise NotFound(f"there is no file of rights {path}")
    try:
        return parse(data.decode(), path)
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text") from None


def parse(text: str, where: str) -> Rights:
    """The rights in ``text``, which ``where`` names. Raises :class:`InvalidInput`."""
    rules: list[Rule] = []
    groups: dict[str, frozenset[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            if "=" in words:
                name, members = _group(words)
                if name in groups:
                    raise InvalidInput(f"the group {name} stands here for the second time")
                groups[name] = members
            else:
                rules.append(_rule(words))
        except InvalidInput as error:
            raise InvalidInput(f"{where}, line {number}: {error.message}", hint=error.hint) from None
    for rule in rules:
        if rule.who.startswith("@") and rule.who not in groups:
            raise InvalidInput(f"{where}: there is no group {rule.who}", hint=f"{rule.who} = NAME NAME …")
    return Rights(rules, groups)


def _group(words: list[str]) -> tuple[str, frozenset[str]]:
    name = words[0]
    if words[1:2] != ["="] or "=" in words[2:] or not name.startswith("@") or len(name) < 2:
        raise InvalidInput("a group is written @NAME = USER USER …")
    check_name(name[1:])
    return name, frozenset(check_name(word) for word in words[2:])


def _rule(words: list[str]) -> Rule:
    if len(words) < 3:
        raise InvalidInput("not WHO REPOSITORIES RIGHTS", hint="for example: alice alice/** pull push")
    who, pattern = words[0], words[1]
    if who not in RESERVED:
        check_name(who.removeprefix("@"))
    if not _PATTERN.fullmatch(pattern):
        raise InvalidInput(f"{pattern[:80]!r} matches no repository: names are lower case")
    actions: set[str] = set()
    for word in words[2:]:
        if word == "all":
            actions.update(ACTIONS)
        elif word in ACTIONS:
            actions.add(word)
        else:
            raise InvalidInput(f"{word[:40]!r} is not one of {', '.join(ACTIONS)}, all")
    return Rule(who, _compiled(pattern), frozenset(actions))


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    for component in pattern.split("/"):
        if not component:
            raise InvalidInput(
                f"{pattern[:80]!r} matches no repository: no name begins or ends with '/', or has two"
            )
        if component == "**":
            parts.append("[^/]+(?:/[^/]+)*")
        elif "**" in component:
            raise InvalidInput(f"{pattern[:80]!r}: ** stands for whole components")
        else:
            parts.append("[^/]*".join(re.escape(piece) for piece in component.split("*")))
    return re.compile("/".join(parts))
