"""The command-line grammar that ``lading`` and ``lading-runtime`` share, as tables.

A command line is declared, never programmed: a tree of :class:`Command` with :class:`Flag` rows.
:func:`parse` turns arguments into a :class:`Parsed`; ``lading.flaghelp`` prints the same table for a person.
``argparse`` costs 10 ms of a process that lives 40 and guesses abbreviations; this module imports next to nothing and
has the grammar of pflag, which users of Docker and kubectl have in their fingers:

* ``--name value``, ``--name=value``; for truth values ``--name`` and ``--name=false`` (never ``--name
  false``);
* ``-it`` for two truth values, ``-p 80:80``, ``-p80:80``, ``-p=80:80`` for a short name with a value;
* the argument after a flag that wants a value is its value, even when it starts with a dash;
* ``--`` ends the flags; a lone ``-`` is an argument;
* flags and arguments mix freely, except where a command says ``interspersed=False`` (``run IMAGE ARG…``):
  there the first argument ends the flags;
* a group's flags (``lading --root DIR run``) stand before its subcommand;
* no abbreviations; an unknown name is an error with the nearest known one.

With ``single_dash=True`` on the root, long names are also accepted after one dash (``-bundle DIR``), as in
programs on Go's own flag package such as runc.

Example::

    ROOT = Command("lading", commands=(
        Command("run", "Run a container", "IMAGE [COMMAND] [ARG...]", interspersed=False,
        action="lading.cli.run:run",
                flags=(Flag("detach", "d", "bool", help="Run in the background"),
                       Flag("publish", "p", "list", "PORT", "Publish a port"))),))
    parsed = parse(ROOT, ["run", "-d", "-p80:80", "nginx", "-g", "x"])
    parsed["publish"] == ["80:80"]; parsed.args == ["nginx", "-g", "x"]; parsed["detach"] is True
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any


class UsageError(InvalidInput):
    """The command line breaks its grammar."""

    reason = "usage"


_DEFAULTS: dict[str, object] = {"bool": False, "str": "", "int": 0}
_LARGEST = 1 << 63  # what Go's 64-bit integers end below
_LONGEST_GUESS = 200  # characters of a word that others are compared with


class Flag:
    """One option.

    ``name``     the long name without dashes; also the key in :class:`Parsed`.
    ``short``    one letter, or empty.
    ``kind``     ``bool``, ``str``, ``int`` (64 bits) or ``list`` (may be repeated, collects strings).
    ``metavar``  the word for the value in the help; ``""`` picks one by kind.
    ``help``     one sentence without a full stop.
    ``default``  the value when absent; ``None`` means the kind's own (``False``, ``""``, ``0``, ``[]``).
    ``choices``  the only texts allowed, in lower case; with ``fold`` a user may write them in capitals too.
    ``no_value`` the text taken when the name stands without ``=value`` (then a following argument is not
                 its value).
    ``aliases``  further long names, never shown.
    ``hidden``   leave it out of the help.
    ``unset``    the value when absent is ``None``, so that "not given" differs from any value.
    ``refuse``   the flag is known and not supported: using it raises :class:`Unsupported` with this reason, except for
                 saying a truth value's default. It is hidden.
    """

    __slots__ = (
        "aliases",
        "choices",
        "default",
        "fold",
        "help",
        "hidden",
        "kind",
        "metavar",
        "name",
        "no_value",
        "refuse",
        "short",
        "unset",
    )

    def __init__(
        self,
        name: str,
        short: str = "",
        kind: str = "str",
        metavar: str = "",
        help: str = "",
        *,
        default: bool | str | None = None,
        choices: tuple[str, ...] = (),
        fold: bool = False,
        no_value: str | None = None,
        aliases: tuple[str, ...] = (),
        hidden: bool = False,
        unset: bool = False,
        refuse: str = "",
    ) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.metavar = metavar
        self.help = help
        self.default = default
        self.choices = choices
        self.fold = fold
        self.no_value = no_value
        self.aliases = aliases
        self.hidden = hidden or bool(refuse)
        self.unset = unset
        self.refuse = refuse

    def absent(self) -> object:
        """The value when the flag was not given."""
        if self.unset:
            return None
        if self.default is not None:
            return self.default
        return [] if self.kind == "list" else _DEFAULTS[self.kind]

    def convert(self, text: str, shown: str) -> object:
        """The value of ``text``; ``shown`` is the flag as the user wrote it. Raises :class:`UsageError`."""
        if self.fold:
            text = text.lower()
        if self.choices and text not in self.choices:
            raise UsageError(f"{shown}: {text[:60]!r} is not one of {', '.join(self.choices)}")
        try:
            if self.kind == "bool":
                return _truth(text)
            if self.kind == "int":
                return _integer(text)
        except ValueError:
            what = "true or false" if self.kind == "bool" else "an integer"
            raise UsageError(f"{shown}: expected {what}, found {text[:60]!r}") from None
        return text

    def value_word(self) -> str:
        """The metavar shown in the help; empty for truth values."""
        if self.kind == "bool":
            return ""
        return self.metavar or ("N" if self.kind == "int" else "VALUE")


def _truth(text: str) -> bool:
    if text in ("true", "True", "TRUE", "t", "T", "1"):
        return True
    if text in ("false", "False", "FALSE", "f", "F", "0"):
        return False
    raise ValueError(text)


def _integer(text: str) -> int:
    """As Go reads a number: no spaces, no underscores, digits of ASCII (a zero in front is no octal). Raises ValueError."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isalnum()):
        raise ValueError(text)
    value = int(text, 0) if digits[0] != "0" or digits[1:2] in "xXoObB" else int(text)
    if not -_LARGEST <= value < _LARGEST:
        raise ValueError(text)
    return value


class Command:
    """One command, or a group of commands.

    ``arguments``     the positional words, from which the allowed number follows: ``IMAGE [COMMAND]
                      [ARG...]`` is one or more, ``[NAME]`` none or one, ``SRC DST`` exactly two, ``ID...``
                      one or more.
    ``flags``         the rows, or a function that returns them (called only when the command is used).
    ``commands``      subcommands, or a function that returns them; then the command is a group.
    ``action``        ``"package.module:function"``, resolved by whoever runs it; lets a table be declared
                      without importing what it starts.
    ``persistent``    a group whose flags may stand behind the subcommand as well, where that has none of the name.
    ``before``        ``"package.module:function"``, called with the :class:`Parsed` before the action of this command, or of
                      one below it, and before anything is opened for that.
    ``aliases``       further names, never shown. ``hidden`` leaves the command out of its group's help.
    ``refuse``        the command is known and not supported; it is hidden.
    ``failed``        the exit status of whatever is refused, of this command and of those below; 0: the program's own.
    ``single_dash``   (root only) accept ``-name`` for ``--name``.
    ``bare``          a group that may be called without a subcommand.
    """

    __slots__ = (
        "_commands",
        "_flags",
        "action",
        "aliases",
        "arguments",
        "bare",
        "before",
        "description",
        "failed",
        "hidden",
        "interspersed",
        "name",
        "persistent",
        "refuse",
        "single_dash",
        "summary",
    )

    def __init__(
        self,
        name: str,
        summary: str = "",
        arguments: str = "",
        *,
        flags: Sequence[Flag] | Callable[[], Sequence[Flag]] = (),
        commands: Sequence[Command] | Callable[[], Sequence[Command]] = (),
        action: str = "",
        before: str = "",
        persistent: bool = False,
        description: str = "",
        interspersed: bool = True,
        aliases: tuple[str, ...] = (),
        hidden: bool = False,
        refuse: str = "",
        failed: int = 0,
        single_dash: bool = False,
        bare: bool = False,
    ) -> None:
        self.name = name
        self.summary = summary
        self.arguments = arguments
        self._flags = flags
        self._commands = commands
        self.action = action
        self.before = before
        self.persistent = persistent
        self.description = description
        self.interspersed = interspersed
        self.aliases = aliases
        self.hidden = hidden or bool(refuse)
        self.refuse = refuse
        self.failed = failed
        self.single_dash = single_dash
        self.bare = bare

    @property
    def flags(self) -> Sequence[Flag]:
        """The rows; a function given instead of them is called once."""
        if callable(self._flags):
            self._flags = self._flags()
        return self._flags

    @property
    def commands(self) -> Sequence[Command]:
        """The subcommands; a function given instead of them is called once."""
        if callable(self._commands):
            self._commands = self._commands()
        return self._commands

    def allowed(self) -> tuple[int, int | None]:
        """The least and the greatest number of arguments (``None``: no limit)."""
        least, most, endless = 0, 0, False
        for word in self.arguments.split():
            most += 1
            if not word.startswith("["):
                least += 1
            if word.rstrip("]").endswith(("...", "…")):
                endless = True
        return least, None if endless else most


class Parsed:
    """The result of :func:`parse`.

    ``path``     the commands from the root to the one chosen, or to a group of which only the version is asked.
    ``values``   the chosen command's flags by long name, defaults filled in; ``parsed["name"]`` is short
                 for it.
    ``globals``  the flags of the groups above it (an inner group's win over an outer's).
    ``args``     the positional arguments.
    ``help``     help was asked for: nothing else has been checked; print ``flaghelp.help_text`` of ``path``.
    """

    __slots__ = ("args", "globals", "help", "path", "values")

    def __init__(self, path: tuple[Command, ...]) -> None:
        self.path = path
        self.values: dict[str, Any] = {}
        self.globals: dict[str, Any] = {}
        self.args: list[str] = []
        self.help = False

    @property
    def command(self) -> Command:
        """The command chosen."""
        return self.path[-1]

    @property
    def failed(self) -> int:
        """The exit status of what is refused, as the innermost command has it that says so; 0: none does."""
        return next((command.failed for command in reversed(self.path) if command.failed), 0)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def usage(self) -> str:
        """The one-line usage of the command chosen."""
        return usage_line(self.path)


class _Names:
    """Long and short names of one command's flags."""

    __slots__ = ("above", "long", "short")

    def __init__(self, flags: Sequence[Flag]) -> None:
        self.long: dict[str, Flag] = {}
        self.short: dict[str, Flag] = {}
        self.above: set[str] = set()
        for flag in flags:
            self._add(flag)

    def _add(self, flag: Flag) -> None:
        for name in (flag.name, *flag.aliases):
            self.long.setdefault(name, flag)
        if flag.short:
            self.short.setdefault(flag.short, flag)

    def inherit(self, flags: Iterable[Flag]) -> None:
        """Know those of a group, too, where the command has none of the name."""
        for flag in flags:
            if flag.name not in self.long:
                self._add(flag)
                self.above.add(flag.name)


def parse(root: Command, arguments: Sequence[str]) -> Parsed:
    """Parse ``arguments`` (without the program's name) by the tree ``root``.

    Raises :class:`UsageError` for anything outside the grammar and :class:`lading.errors.Unsupported` for a
    flag or command that its table refuses.
    """
    parsed = Parsed((root,))
    try:
        return _parse(parsed, root, list(arguments))
    except (UsageError, Unsupported) as error:
        error.exit_status = parsed.failed or error.exit_status
        raise


def _parse(parsed: Parsed, root: Command, rest: list[str]) -> Parsed:
    path = parsed.path
    above: dict[str, Any] = {}
    everywhere: Sequence[Flag] = ()
    while True:
        command = path[-1]
        parsed.path, parsed.values, parsed.args = path, {}, []
        parsed.globals = above
        group = bool(command.commands)
        rest = _flags_of(parsed, everywhere, rest, root.single_dash, stop=group or not command.interspersed)
        if parsed.help:
            return parsed
        if not group:
            parsed.args = rest
            _check_count(parsed)
            return parsed
        if parsed.values.get("version"):
            return parsed  # whatever follows, as with docker --version
        if not rest:
            if command.bare:
                return parsed
            raise UsageError(f"{_spoken(path)}: a command is missing", hint=f"see '{_spoken(path)} --help'")
        word = rest.pop(0)
        if word == "help" and "help" not in _command_names(command):
            for word in rest:
                path = (*path, _subcommand(path, word))
            parsed.path = path
            parsed.help = True
            return parsed
        path = (*path, _subcommand(path, word))
        inner = {
            name: value for name, value in parsed.values.items() if value is not None or name not in above
        }
        above = {**above, **inner}
        if command.persistent:
            everywhere = command.flags


def _command_names(group: Command) -> dict[str, Command]:
    names: dict[str, Command] = {}
    for command in group.commands:
        names[command.name] = command
        for alias in command.aliases:
            names[alias] = command
    return names


def _subcommand(path: tuple[Command, ...], word: str) -> Command:
    names = _command_names(path[-1])
    command = names.get(word)
    if command is None:
        near = nearest(word, [n for n, c in names.items() if not c.hidden])
        hint = f"did you mean {near!r}?" if near else f"see '{_spoken(path)} --help'"
        raise UsageError(f"{_spoken(path)}: unknown command {word!r}", hint=hint)
    if command.refuse:
        raise Unsupported(f"{_spoken((*path, command))}: {command.refuse}")
    return command


def _flags_of(
    parsed: Parsed, everywhere: Sequence[Flag], rest: list[str], single_dash: bool, *, stop: bool
) -> list[str]:
    """Read the flags of one command, and those that stand ``everywhere``, out of ``rest``; return the arguments left."""
    flags = parsed.command.flags
    names = _Names(flags)
    values = parsed.values
    for flag in flags:
        values[flag.name] = flag.absent()
    names.inherit(everywhere)
    left: list[str] = []
    index, end = 0, len(rest)
    while index < end:
        word = rest[index]
        index += 1
        if word == "--":
            left += rest[index:]
            break
        if len(word) < 2 or word[0] != "-":
            left.append(word)
            if stop:
                left += rest[index:]
                break
            continue
        if word[1] == "-":
            index = _long(parsed, names, word[2:], rest, index, single_dash, "--")
        elif single_dash and len(word) > 2 and word[1:].partition("=")[0] in (*names.long, "help"):
            index = _long(parsed, names, word[1:], rest, index, single_dash, "-")
        else:
            index = _short(parsed, names, word, rest, index)
        if parsed.help:
            return []
    return left


def _long(
    parsed: Parsed, names: _Names, text: str, rest: list[str], index: int, single_dash: bool, dashes: str
) -> int:
    name, equals, value = text.partition("=")
    flag = names.long.get(name)
    if flag is None and single_dash and len(name) == 1:
        flag = names.short.get(name)
    shown = dashes + name
    if flag is None:
        if name == "help":
            parsed.help = True
            return index
        near = nearest(name, [*(n for n, f in names.long.items() if not f.hidden), "help"])
        _unknown(parsed, shown, f"--{near}" if near else "")
    assert flag is not None
    if not equals:
        if flag.kind == "bool":
            value = "true"
        elif flag.no_value is not None:
            value = flag.no_value
        elif index < len(rest):
            value = rest[index]
            index += 1
        else:
            raise _missing(parsed, flag, shown)
    _set(parsed, names, flag, value, shown)
    return index


def _short(parsed: Parsed, names: _Names, word: str, rest: list[str], index: int) -> int:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = names.short.get(letter)
        shown = "-" + letter
        if flag is None:
            if letter == "h":
                parsed.help = True
                return index
            near = ""
            if len(word) > 2:
                near = nearest(word[1:].partition("=")[0], [n for n, f in names.long.items() if not f.hidden])
                shown = f"{shown} in {word}"
            _unknown(parsed, shown, f"--{near}" if near else "")
        assert flag is not None
        if letters.startswith("="):
            value, letters = letters[1:], ""
        elif flag.kind == "bool":
            value = "true"
        elif flag.no_value is not None:
            value = flag.no_value
        elif letters:
            value, letters = letters, ""
        elif index < len(rest):
            value = rest[index]
            index += 1
        else:
            raise _missing(parsed, flag, shown)
        _set(parsed, names, flag, value, shown)
    return index


def _unknown(parsed: Parsed, shown: str, near: str) -> None:
    spoken = _spoken(parsed.path)
    raise UsageError(
        f"{spoken}: unknown flag {shown}",
        hint=f"did you mean {near}?" if near else f"see '{spoken} --help'",
    )


def _missing(parsed: Parsed, flag: Flag, shown: str) -> UsageError:
    return UsageError(
        f"{_spoken(parsed.path)}: {shown} needs a value",
        hint=f"{shown} {flag.value_word()}",
    )


def _set(parsed: Parsed, names: _Names, flag: Flag, text: str, shown: str) -> None:
    spoken = _spoken(parsed.path)
    value = flag.convert(text, f"{spoken}: {shown}") if flag.kind == "bool" or not flag.refuse else None
    if flag.refuse and value != flag.absent():
        raise Unsupported(f"{spoken}: {shown}: {flag.refuse}")
    into = parsed.globals if flag.name in names.above else parsed.values
    if flag.kind == "list":
        into[flag.name] = [*into.get(flag.name, ()), value]
    else:
        into[flag.name] = value


def _check_count(parsed: Parsed) -> None:
    least, most = parsed.command.allowed()
    count = len(parsed.args)
    if count < least:
        words = [w for w in parsed.command.arguments.split() if not w.startswith("[")]
        raise UsageError(
            f"{_spoken(parsed.path)}: {words[count].rstrip('.…')} is missing",
            hint=f"usage: {parsed.usage()}",
        )
    if most is not None and count > most:
        raise UsageError(
            f"{_spoken(parsed.path)}: unexpected argument {parsed.args[most]!r}",
            hint=f"usage: {parsed.usage()}",
        )


def _spoken(path: tuple[Command, ...]) -> str:
    return " ".join(c.name for c in path)


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word most like ``word`` (edit distance at most a third of its length), or ``""``; also for endless words."""
    if len(word) > _LONGEST_GUESS:
        return ""  # nobody mistypes so much, and comparing takes the square of the length
    best, best_distance = "", max(1, (len(word) + 1) // 3) + 1
    for candidate in known:
        if len(word) >= 3 and candidate.startswith(word):
            distance = 1
        elif abs(len(candidate) - len(word)) >= best_distance:
            continue
        else:
            distance = _distance(word, candidate)
        if distance < best_distance:
            best, best_distance = candidate, distance
    return best


def _distance(a: str, b: str) -> int:
    """Edits (insert, delete, replace, swap neighbours) from ``a`` to ``b``."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def usage_line(path: tuple[Command, ...]) -> str:
    """``lading run [OPTIONS] IMAGE [COMMAND] [ARG...]``"""
    command = path[-1]
    words = [_spoken(path)]
    if any(not f.hidden for f in command.flags):
        words.append("[OPTIONS]")
    if command.commands:
        words.append("COMMAND")
    elif command.arguments:
        words.append(command.arguments)
    return " ".join(words)
