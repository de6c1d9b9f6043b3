"""The instructions of a Dockerfile as typed records.

Texts are kept as written, before expansion; :meth:`Instruction.expanded` gives a copy whose words are expanded. Source:
the Dockerfile reference, and BuildKit's ``frontend/dockerfile/instructions``.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, Location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from lading.formats.dockerfile.expansion import Expander
    from lading.formats.dockerfile.mounts import Device, RunMount


class Heredoc:
    """One inline document (``<<NAME``).

    ``name``     the delimiter without quotes; in COPY and ADD also the name of the file.
    ``content``  the lines as written, leading tabs included.
    ``expand``   variables in it are expanded: no part of the delimiter was quoted.
    ``chomp``    ``<<-``: leading tabs are not part of the text (:attr:`text`).
    ``fd``       the number before ``<<``, 0 without one.
    """

    __slots__ = ("chomp", "content", "expand", "fd", "name")

    def __init__(self, name: str, *, expand: bool, chomp: bool, fd: int = 0, content: str = "") -> None:
        self.name = name
        self.expand = expand
        self.chomp = chomp
        self.fd = fd
        self.content = content

    @property
    def text(self) -> str:
        """The content as the file or the command gets it: without leading tabs where ``<<-`` says so."""
        if not self.chomp:
            return self.content
        return "\n".join(line.lstrip("\t") for line in self.content.split("\n"))


class Pair:
    """``name=value`` of ENV and LABEL; ``legacy`` when a space stood where ``=`` should."""

    __slots__ = ("legacy", "name", "value")

    def __init__(self, name: str, value: str, *, legacy: bool = False) -> None:
        self.name = name
        self.value = value
        self.legacy = legacy


class Definition:
    """``name[=value]`` of ARG; ``value`` None without a default."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str | None) -> None:
        self.name = name
        self.value = value


class Instruction:
    """What every instruction has.

    ``keyword``   its name in capitals (``RUN``).
    ``word``      the name as written (``run``).
    ``location``  the lines it stands on, heredocs included.
    ``original``  its text, continuation lines joined and comments left out; heredoc contents are not part of it.
    ``comments``  the comments right above it, without ``#``; an empty line in between stands as ``""``.
    """

    __slots__ = ("comments", "location", "original", "word")

    keyword = ""
    _words: tuple[str, ...] = ()  # attributes of text that are expanded
    _lists: tuple[str, ...] = ()  # attributes of lists of text that are expanded

    def __init__(self, word: str, original: str, location: Location, comments: tuple[str, ...]) -> None:
        self.word = word
        self.original = original
        self.location = location
        self.comments = comments

    @property
    def expands(self) -> bool:
        """Whether the builder expands variables in this kind of instruction; elsewhere ``$`` is for the shell, or plain text."""
        return bool(self._words or self._lists)

    def expanded(self, expander: Expander) -> Self:
        """A copy with variables, quotes and escapes of its words resolved; the instruction itself when it has none.

        Raises :class:`DockerfileError`.
        """
        if not self.expands:
            return self
        made = self._copy()
        try:
            for name in self._words:
                setattr(made, name, expander.word(getattr(self, name)))
            for name in self._lists:
                setattr(made, name, [expander.word(text) for text in getattr(self, name)])
            made._expand_more(expander)
        except DockerfileError as error:
            raise error.at(self.location) from None
        return made

    def told(self, expand: Callable[[str], str], text: str) -> str:
        """``expand(text)``, with a mistake in it told at this instruction. Raises :class:`DockerfileError`."""
        try:
            return expand(text)
        except DockerfileError as error:
            raise error.at(self.location) from None

    def _expand_more(self, expander: Expander) -> None:
        pass

    def _copy(self) -> Self:
        made = object.__new__(type(self))
        for cls in type(self).__mro__:
            for name in getattr(cls, "__slots__", ()):
                setattr(made, name, getattr(self, name))
        return made

    def __repr__(self) -> str:
        return f"<{self.keyword} {self.location}>"


class Arg(Instruction):
    """``ARG name[=default] …``. Defaults are expanded one by one, each seeing those before it (``scope``)."""

    __slots__ = ("definitions",)
    keyword = "ARG"
    definitions: list[Definition]

    @property
    def expands(self) -> bool:
        """ARG is expanded by the scope alone: a default counts only where no value is given."""
        return False


class Env(Instruction):
    """``ENV name=value …``."""

    __slots__ = ("pairs",)
    keyword = "ENV"
    pairs: list[Pair]

    @property
    def expands(self) -> bool:
        """Always: names and values."""
        return True

    def _expand_more(self, expander: Expander) -> None:
        # All of one instruction see the values from before it.
        self.pairs = [
            Pair(expander.word(p.name), expander.word(p.value), legacy=p.legacy) for p in self.pairs
        ]


class Label(Env):
    """``LABEL name=value …``."""

    __slots__ = ()
    keyword = "LABEL"


class Maintainer(Instruction):
    """``MAINTAINER text``: the image's author (deprecated)."""

    __slots__ = ("author",)
    keyword = "MAINTAINER"
    author: str


class Command(Instruction):
    """An instruction with a command line: an exec form (``["a", "b"]``) or a shell form (the rest of the line).

    ``exec``   the words of the exec form, None for the shell form.
    ``shell``  the text of the shell form, empty for the exec form.
    """

    __slots__ = ("exec", "shell")
    exec: list[str] | None
    shell: str

    def argv(self, shell: list[str]) -> list[str]:
        """What is executed where ``shell`` (SHELL's words) runs shell forms."""
        return list(self.exec) if self.exec is not None else [*shell, self.shell]


class Run(Command):
    """``RUN``. ``network`` default, none or host; ``security`` sandbox or insecure; ``flags`` the names given.

    The shell form's heredocs belong to the shell, unless a single one is the whole command (:attr:`document`).
    """

    __slots__ = ("devices", "flags", "heredocs", "mounts", "network", "security")
    keyword = "RUN"
    devices: list[Device]
    flags: list[str]
    heredocs: list[Heredoc]
    mounts: list[RunMount]
    network: str
    security: str

    @property
    def expands(self) -> bool:
        """Only the options of ``--mount``: the command's variables are the shell's own."""
        return any(mount.unexpanded for mount in self.mounts)

    def _expand_more(self, expander: Expander) -> None:
        self.mounts = [mount.expanded(expander) for mount in self.mounts]

    @property
    def document(self) -> Heredoc | None:
        """The heredoc that is the whole command (``RUN <<EOF``), None when there is any other word."""
        if len(self.heredocs) == 1 and self.shell.startswith(("<<", *"0123456789")):
            from lading.formats.dockerfile.heredocs import heredoc

            return self.heredocs[0] if heredoc(self.shell) is not None else None
        return None

    @property
    def script(self) -> str:
        """The text of :attr:`document` when it begins with ``#!``: it is a program to execute, not text for the shell."""
        document = self.document
        text = document.text if document is not None else ""
        return text if text.startswith("#!") else ""

    @property
    def shell_text(self) -> str:
        """What the shell gets: the line, its heredocs behind it; or the document that is the whole command."""
        document = self.document
        if document is not None:
            return document.text
        return self.shell + "".join(f"\n{h.content}{h.name}" for h in self.heredocs)


class Transfer(Instruction):
    """What COPY and ADD share.

    ``sources``      words; patterns and, for ADD, URLs. ``documents`` are the heredocs among the sources.
    ``chown``        ``user[:group]``, ``chmod`` octal or symbolic (``permissions``), both empty without.
    ``exclude``      patterns, never expanded. ``link``: the files are a layer of their own.
    """

    __slots__ = ("chmod", "chown", "destination", "documents", "exclude", "link", "sources")
    _words: tuple[str, ...] = ("chown", "chmod", "destination")
    _lists = ("sources",)
    chmod: str
    chown: str
    destination: str
    documents: list[Heredoc]
    exclude: list[str]
    link: bool
    sources: list[str]

    def _expand_more(self, expander: Expander) -> None:
        self.documents = [
            Heredoc(d.name, expand=False, chomp=False, fd=d.fd, content=expander.heredoc(d.text))
            if d.expand
            else d
            for d in self.documents
        ]
        _checked_transfer(self)


class Copy(Transfer):
    """``COPY``. ``from_`` a stage's name or number, an image or a named context; ``parents`` keeps the directories."""

    __slots__ = ("from_", "parents")
    keyword = "COPY"
    from_: str
    parents: bool


class Add(Transfer):
    """``ADD``. ``keep_git_dir`` and ``unpack`` are None where the file does not say; ``checksum`` ``algorithm:hex`` or empty."""

    __slots__ = ("checksum", "keep_git_dir", "unpack")
    keyword = "ADD"
    _words = ("chown", "chmod", "checksum", "destination")
    checksum: str
    keep_git_dir: bool | None
    unpack: bool | None


def _checked_transfer(made: Transfer) -> None:
    from lading.formats.dockerfile.transfers import check

    check(made)


class Workdir(Instruction):
    """``WORKDIR path``."""

    __slots__ = ("path",)
    keyword = "WORKDIR"
    _words = ("path",)
    path: str


class User(Instruction):
    """``USER user[:group]``."""

    __slots__ = ("user",)
    keyword = "USER"
    _words = ("user",)
    user: str


class Expose(Instruction):
    """``EXPOSE port[-port][/protocol] …``. A word may expand to several; ``ports.exposed`` reads them."""

    __slots__ = ("ports",)
    keyword = "EXPOSE"
    ports: list[str]

    @property
    def expands(self) -> bool:
        """Always, and a variable may hold several ports."""
        return True

    def _expand_more(self, expander: Expander) -> None:
        self.ports = [port for text in self.ports for port in expander.words(text)]


class Volume(Instruction):
    """``VOLUME path …`` or ``VOLUME ["path", …]``."""

    __slots__ = ("paths",)
    keyword = "VOLUME"
    _lists = ("paths",)
    paths: list[str]

    def _expand_more(self, expander: Expander) -> None:
        if not all(self.paths):
            raise DockerfileError(
                "VOLUME: a path is empty: the variables in it are", hint="give them a value before", token="$"
            )


class Cmd(Command):
    """``CMD``: the default command, or the arguments of ENTRYPOINT."""

    __slots__ = ()
    keyword = "CMD"


class Entrypoint(Command):
    """``ENTRYPOINT``."""

    __slots__ = ()
    keyword = "ENTRYPOINT"


class Shell(Instruction):
    """``SHELL ["word", …]``: what runs shell forms from here on."""

    __slots__ = ("words",)
    keyword = "SHELL"
    words: list[str]


class Stopsignal(Instruction):
    """``STOPSIGNAL name or number``."""

    __slots__ = ("signal",)
    keyword = "STOPSIGNAL"
    _words = ("signal",)
    signal: str

    def _expand_more(self, expander: Expander) -> None:
        from lading.errors import InvalidInput
        from lading.formats import signals

        try:
            signals.number(self.signal)
        except InvalidInput as error:
            raise DockerfileError(error.message, hint=error.hint, token=self.signal) from None


class Healthcheck(Command):
    """``HEALTHCHECK CMD …`` or ``HEALTHCHECK NONE`` (``disabled``). Durations in nanoseconds; 0 is the engine's default."""

    __slots__ = ("disabled", "interval", "retries", "start_interval", "start_period", "timeout")
    keyword = "HEALTHCHECK"
    disabled: bool
    interval: int
    timeout: int
    start_period: int
    start_interval: int
    retries: int

    @property
    def test(self) -> list[str]:
        """The image configuration's ``Test``: ``NONE``, ``CMD`` with words, or ``CMD-SHELL`` with a text."""
        if self.disabled:
            return ["NONE"]
        return ["CMD", *self.exec] if self.exec is not None else ["CMD-SHELL", self.shell]


class Onbuild(Instruction):
    """``ONBUILD instruction``. ``trigger`` is the instruction, ``expression`` its text as an image's configuration keeps it."""

    __slots__ = ("expression", "trigger")
    keyword = "ONBUILD"
    expression: str
    trigger: Instruction
