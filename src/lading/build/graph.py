"""The graph of a build: steps as pure data, each with the steps whose results it takes.

A *vertex* is an operation (:class:`Op`), its inputs, and what a person is told of it. Graphs know no Dockerfile: frontends make
them, the solver orders them, the executor carries them out. What comes from outside (base images, files of a context, downloads)
was looked at before, so the leaves name content, and so does everything that is computed of them: no clock is in any key.
"""

from __future__ import annotations

from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.schema import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Op(Record):
    """What a step does. Everything in it that :meth:`identity` encodes is part of the step's cache key."""

    def identity(self) -> dict[str, object]:
        """What tells this operation from others of its kind."""
        return self.encode()


class ImageOp(Op):
    """A base image: the chain of its layers' diff-ids, bottom first. Without any it is ``scratch``."""

    diff_ids: list[str] = []


class FilesOp(Op):
    """Files from outside a build: of a context, a download, a repository.

    ``source`` names where the executor finds them (an index into the build's sources) and is no part of the key; ``digest`` is
    their content's, as far as the step that takes them selects it.
    """

    source: int = 0
    digest: str

    def identity(self) -> dict[str, object]:
        """See :class:`Op`."""
        return {"digest": self.digest}


class Mount(Record):
    """``RUN --mount``. ``input``: the place among the vertex's inputs of what a bind mount (or a cache's ``from``) shows, or -1.

    ``kind``: bind, cache, tmpfs, secret, ssh. ``mode`` is an octal number; ``size`` bytes; ``env``: the variable that gets a
    secret. A secret's content is never part of a key.
    """

    _keep_empty = ("input",)
    kind: str
    target: str = ""
    input: int = -1
    source: str = ""
    read_only: bool = False
    id: str = ""
    sharing: str = ""
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    size: int | None = None
    required: bool = False
    env: str = ""


class RunOp(Op):
    """A command in a container on the first input's files; ``args`` are what is executed, whole."""

    args: list[str]
    env: list[str] = []
    directory: str = "/"
    user: str = ""
    mounts: list[Mount] = []
    network: str = "default"
    security: str = "sandbox"
    hosts: list[str] = []
    hostname: str = ""
    shm_size: int | None = None
    ulimits: list[str] = []
    """Part of the key; a command gets them with the other limits of its build."""
    script: str = ""
    """A program (its first line says by what it is run) that is written for the command, in place of ``args``."""
    extra_env: list[str] = []
    """Variables that are set and no part of the key: proxies, whose value must not decide what is built (BuildKit's rule)."""

    def shown(self, place: int) -> str:
        """What a bind mount shows of the input at ``place``; empty for all of it, or where no such mount is of it."""
        source = next((m.source for m in self.mounts if m.kind == "bind" and m.input == place), "")
        return source.strip("/")

    def identity(self) -> dict[str, object]:
        """See :class:`Op`."""
        made = self.encode()
        made.pop("extraEnv", None)
        made.pop("hosts", None)
        return made


class Inline(Record):
    """A file whose content stands in the step itself (a heredoc). ``content`` is latin-1 text for its bytes."""

    name: str
    content: str


class Selection(Record):
    """What a copy takes of one input: ``paths`` may have wildcards where ``wildcards`` says so.

    ``input``: the place among the vertex's inputs, or -1 for ``inline`` files. ``unpack``: archives become what is in them.
    ``name``: what a single file is called where it is put into a directory; empty for its own name.
    """

    _keep_empty = ("input",)
    input: int = -1
    paths: list[str] = []
    wildcards: bool = True
    inline: list[Inline] = []
    unpack: bool = False
    name: str = ""


class CopyOp(Op):
    """Files of the further inputs into the first one's file system, at ``destination`` (absolute; a ``/`` at its end counts).

    ``owner`` is ``USER[:GROUP]`` in the words of the first input's files (empty: root's); ``mode`` is octal text or symbolic.
    ``link``: a layer of its own that looks at nothing below it. ``parents``: directories of the sources come along.
    ``exclude``: patterns as of an ignore file.
    """

    selections: list[Selection]
    destination: str
    owner: str = ""
    mode: str = ""
    link: bool = False
    parents: bool = False
    exclude: list[str] = []


class DirectoryOp(Op):
    """A directory that is there afterwards, with its parents: ``WORKDIR``. ``owner`` as in :class:`CopyOp`."""

    path: str
    owner: str = ""


class Vertex:
    """A step.

    ``inputs``    indices of the vertices whose results it takes, the file system it works on first.
    ``name``      what a person is told, in the words of the file.
    ``stage``     the stage's name or number, empty for none.
    ``line``      of the Dockerfile; 0 for none.
    ``fresh``     never taken from the cache (``--no-cache``).
    ``platform``  what a command runs on.
    ``where``     the platform as a person is told it, where a build is for several: ``linux/amd64->arm64`` is carried out on
                  the first for the second. Empty for one alone.
    """

    __slots__ = ("fresh", "inputs", "key", "line", "name", "op", "platform", "stage", "where")

    def __init__(
        self,
        op: Op,
        inputs: Sequence[int] = (),
        *,
        name: str = "",
        stage: str = "",
        line: int = 0,
        fresh: bool = False,
        platform: str = "",
        where: str = "",
    ) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.name = name
        self.stage = stage
        self.line = line
        self.fresh = fresh
        self.platform = platform
        self.where = where
        self.key = ""


class Graph:
    """Vertices in an order in which inputs come first. What is the same step twice is one vertex."""

    def __init__(self) -> None:
        self.vertices: list[Vertex] = []
        self._known: dict[str, int] = {}

    def add(self, vertex: Vertex) -> int:
        """The vertex's index; that of an equal one if there is one. Its :attr:`Vertex.key` is computed here.

        The key speaks of the operation, the platform, and the keys of the inputs, and so of everything the result depends on.
        """
        vertex.key = key_of(vertex.op, vertex.platform, [self.vertices[i].key for i in vertex.inputs])
        known = vertex.key + (" fresh" if vertex.fresh else "")
        found = self._known.get(known)
        if found is None:
            found = self._known[known] = len(self.vertices)
            self.vertices.append(vertex)
        return found

    def __getitem__(self, index: int) -> Vertex:
        return self.vertices[index]

    def __len__(self) -> int:
        return len(self.vertices)

    def needed(self, targets: Sequence[int]) -> set[int]:
        """Every vertex that one of ``targets`` depends on, themselves among them."""
        found: set[int] = set()
        waiting = list(targets)
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting.extend(self.vertices[index].inputs)
        return found


_VERSION = 2  # of the meaning of operations: raise it when the same operation gives another result


def key_of(op: Op, platform: str, inputs: Sequence[str]) -> str:
    """64 hexadecimal digits for an operation on ``inputs``, which are keys or content of the steps before."""
    told = [_VERSION, type(op).__name__, op.identity(), platform, list(inputs)]
    return digests.of(jsontext.dumps(told, sort=True).encode()).partition(":")[2]
