"""``.dockerignore``: which paths of a build context are left out.

Source: the Docker documentation of ``.dockerignore``, and the matching rules of moby/patternmatcher. Patterns apply in order,
the last that matches a path or one of its parents decides; ``!`` makes an exception.
"""

from __future__ import annotations

from lading.formats.dockerfile.globs import Glob
from lading.formats.dockerfile.mistakes import DockerfileError, Location, quoted
from lading.formats.dockerfile.mounts import clean
from lading.formats.dockerfile.words import SPACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_NAME = ".dockerignore"
LARGEST = 1 << 20
"""Bytes of a file of patterns."""
MOST = 10_000
"""Patterns. Every path of a context may be held against each."""


def names(dockerfile: str) -> tuple[str, ...]:
    """Where patterns may stand, the first that exists counts: ``DOCKERFILE.dockerignore`` beside it, then the context's.

    ``dockerfile`` is the path from the context's top. The last name is always :data:`DEFAULT_NAME`.
    """
    return (f"{dockerfile}.dockerignore", DEFAULT_NAME)


def patterns(data: bytes, name: str = DEFAULT_NAME) -> list[str]:
    """The patterns of a file: no comments and empty lines, blanks around them gone, cleaned, relative to the context.

    Raises :class:`DockerfileError` for a file that is too large.
    """
    if len(data) > LARGEST:
        raise DockerfileError(f"larger than {LARGEST >> 20} MiB").at(Location(name, 1, 1))
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    found: list[str] = []
    for line in text.split("\n"):
        if line.startswith("#"):
            continue
        pattern = line.strip(SPACE)
        if not pattern:
            continue
        inverted = pattern.startswith("!")
        if inverted:
            pattern = pattern[1:].strip(SPACE)
        if pattern:
            pattern = clean(pattern)
            if len(pattern) > 1 and pattern.startswith("/"):
                pattern = pattern[1:]
        found.append("!" + pattern if inverted else pattern)
    return found


class Ignore:
    """Patterns, ready to be held against paths.

    Paths are relative to the context, with slashes, without ``./`` in front. Raises :class:`DockerfileError` for a
    pattern that is none; ``name`` is what that calls the file.
    """

    __slots__ = ("_globs", "_trail")

    def __init__(self, patterns: Sequence[str], name: str = "") -> None:
        if len(patterns) > MOST:
            raise DockerfileError(f"{name or 'patterns'}: more than {MOST} patterns")
        self._globs: list[Glob] = []
        for text in patterns:
            pattern = text.strip(SPACE)
            if not pattern:
                continue
            pattern = clean(pattern)
            exception = pattern.startswith("!")
            if exception:
                pattern = pattern[1:]
                if not pattern:
                    raise _bad(text, name, "nothing follows the !", "write !path, or leave the line out")
            try:
                self._globs.append(Glob(pattern, exception))
            except DockerfileError as error:
                raise _bad(text, name, error.why, error.hint) from None
        # The directories of the last path that was asked for, with what each pattern said of them.
        self._trail: list[tuple[str, tuple[bool, ...]]] = []

    @classmethod
    def parse(cls, data: bytes, name: str = DEFAULT_NAME) -> Ignore:
        """The patterns of a file. Raises :class:`DockerfileError`."""
        return cls(patterns(data, name), name)

    def __bool__(self) -> bool:
        """Whether there are patterns at all."""
        return bool(self._globs)

    @property
    def exceptions(self) -> bool:
        """Whether any pattern begins with ``!``."""
        return any(glob.exception for glob in self._globs)

    def shown(self) -> list[str]:
        """The patterns as they are held against paths, ``!`` included."""
        return [("!" if glob.exception else "") + glob.pattern for glob in self._globs]

    def ignored(self, path: str) -> bool:
        """Whether ``path`` is left out: the last pattern that matches it or a directory above it decides.

        Asking for a directory's entries one after the other is cheap: what the patterns say of the directories above is kept.
        """
        if not self._globs:
            return False
        parent, slash, _ = path.rpartition("/")
        above = self._matches(parent) if slash and parent else None
        return self._decided(path, above)[0]

    def may_skip(self, directory: str) -> bool:
        """Whether ``directory`` is left out with all that is in it: no exception can bring anything below it back."""
        if not self._globs:
            return False
        parent, slash, _ = directory.rpartition("/")
        ignored, by = self._decided(directory, self._matches(parent) if slash and parent else None)
        # What decides about the directory matches all below it too, and overrules exceptions that stand before it.
        return ignored and not any(
            glob.exception and glob.may_match_below(directory) for glob in self._globs[by + 1 :]
        )

    def _matches(self, directory: str) -> tuple[bool, ...]:
        """What each pattern says of ``directory`` or one above it."""
        trail = self._trail
        while trail and not (directory == trail[-1][0] or directory.startswith(trail[-1][0] + "/")):
            trail.pop()
        done = trail[-1][0] if trail else ""
        if done == directory and trail:
            return trail[-1][1]
        start = len(done) + 1 if trail else 0
        above = trail[-1][1] if trail else None
        while True:
            stop = directory.find("/", start)
            here = directory if stop < 0 else directory[:stop]
            above = tuple(
                (above is not None and above[i]) or glob.matches(here) for i, glob in enumerate(self._globs)
            )
            trail.append((here, above))
            if stop < 0:
                return above
            start = stop + 1

    def _decided(self, path: str, above: tuple[bool, ...] | None) -> tuple[bool, int]:
        """Whether the path is left out, and the index of the pattern that says so (-1 for none)."""
        matched, by = False, -1
        for index, glob in enumerate(self._globs):
            if glob.exception == matched and ((above is not None and above[index]) or glob.matches(path)):
                matched, by = not glob.exception, index
        return matched, by

    def reason(self, path: str) -> str:
        """The pattern that decides about ``path``, for a message; empty when none does."""
        parent, slash, _ = path.rpartition("/")
        by = self._decided(path, self._matches(parent) if slash and parent else None)[1]
        return self.shown()[by] if by >= 0 else ""


def _bad(text: str, name: str, why: str, hint: str) -> DockerfileError:
    made = DockerfileError(f"pattern {quoted(text)}: {why}", hint=hint, token=text, reason="pattern")
    if name:
        made.message = f"{name}: {made.why}"
    return made
