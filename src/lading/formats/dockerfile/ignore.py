"""``.dockerignore``: which paths of a build context are left out.

Source: the Docker documentation of ``.dockerignore``, and the matching rules of moby/patternmatcher. Patterns apply in order,
the last that matches a path or one of its parents decides; ``!`` makes an exception.
"""

from __future__ import annotations

from lading.formats.dockerfile.globs import EXACT, ITEMS, PREFIX, SUFFIX, Glob
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


class _Run:
    """Patterns that follow each other and are all exceptions or all none: whichever of them matches, the result is one."""

    __slots__ = ("beginnings", "ends", "exact", "exception", "globs", "others")

    def __init__(self, globs: list[Glob]) -> None:
        self.globs = globs
        self.exception = globs[0].exception
        told = [glob.plain for glob in globs]
        self.exact = {text for kind, text in told if kind == EXACT}
        self.beginnings = tuple(text for kind, text in told if kind == PREFIX)
        self.ends = tuple(text for kind, text in told if kind == SUFFIX)
        self.exact.update(text[1:] for text in self.ends if text.startswith("/"))  # **/name is name as well
        self.others = [glob for glob in globs if glob.kind == ITEMS]

    def matches(self, path: str) -> bool:
        """Whether any of the patterns matches ``path`` itself."""
        if path in self.exact or path.endswith(self.ends) or path.startswith(self.beginnings):
            return True
        return any(glob.matches(path) for glob in self.others)


class Ignore:
    """Patterns, ready to be held against paths.

    Paths are relative to the context, with slashes, without ``./`` in front. Raises :class:`DockerfileError` for a
    pattern that is none; ``name`` is what that calls the file.
    """

    __slots__ = ("_runs", "_trail")

    def __init__(self, patterns: Sequence[str], name: str = "") -> None:
        if len(patterns) > MOST:
            raise DockerfileError(f"{name or 'patterns'}: more than {MOST} patterns")
        runs: list[list[Glob]] = []
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
                glob = Glob(pattern, exception)
            except DockerfileError as error:
                raise _bad(text, name, error.why, error.hint) from None
            if runs and runs[-1][0].exception == exception:
                runs[-1].append(glob)
            else:
                runs.append([glob])
        self._runs = [_Run(globs) for globs in runs]
        # The directories of the last path that was asked for, with what each run of patterns said of them.
        self._trail: list[tuple[str, tuple[bool, ...]]] = []

    @classmethod
    def parse(cls, data: bytes, name: str = DEFAULT_NAME) -> Ignore:
        """The patterns of a file. Raises :class:`DockerfileError`."""
        return cls(patterns(data, name), name)

    def __bool__(self) -> bool:
        """Whether there are patterns at all."""
        return bool(self._runs)

    @property
    def exceptions(self) -> bool:
        """Whether any pattern begins with ``!``."""
        return any(run.exception for run in self._runs)

    def shown(self) -> list[str]:
        """The patterns as they are held against paths, ``!`` included."""
        return [("!" if glob.exception else "") + glob.pattern for run in self._runs for glob in run.globs]

    def ignored(self, path: str) -> bool:
        """Whether ``path`` is left out: the last pattern that matches it or a directory above it decides.

        Asking for a directory's entries one after the other is cheap: what the patterns say of the directories above is kept.
        """
        return self._decided(path)[0]

    def may_skip(self, directory: str) -> bool:
        """Whether ``directory`` is left out with all that is in it: no exception can bring anything below it back."""
        ignored, by = self._decided(directory)
        # What decides about the directory matches all below it too, and overrules exceptions that stand before it.
        return ignored and not any(
            glob.may_match_below(directory)
            for run in self._runs[by + 1 :]
            if run.exception
            for glob in run.globs
        )

    def reason(self, path: str) -> str:
        """A pattern that decides about ``path``, for a message; empty when none does."""
        by = self._decided(path)[1]
        if by < 0:
            return ""
        while path:
            for glob in self._runs[by].globs:
                if glob.matches(path):
                    return ("!" if glob.exception else "") + glob.pattern
            path = path.rpartition("/")[0]
        return ""

    def _decided(self, path: str) -> tuple[bool, int]:
        """Whether ``path`` is left out, and the index of the run of patterns that says so (-1 for none)."""
        matched, by = False, -1
        if not self._runs:
            return matched, by
        parent = path.rpartition("/")[0]
        above = self._above(parent) if parent else None
        for index, run in enumerate(self._runs):
            if run.exception == matched and ((above is not None and above[index]) or run.matches(path)):
                matched, by = not matched, index
        return matched, by

    def _above(self, directory: str) -> tuple[bool, ...]:
        """What each run of patterns says of ``directory`` or one above it."""
        trail = self._trail
        if trail and trail[-1][0] == directory:
            return trail[-1][1]
        while trail and not directory.startswith(trail[-1][0] + "/"):
            trail.pop()
        start = len(trail[-1][0]) + 1 if trail else 0
        above = trail[-1][1] if trail else (False,) * len(self._runs)
        while True:
            stop = directory.find("/", start)
            here = directory if stop < 0 else directory[:stop]
            above = tuple([told or run.matches(here) for told, run in zip(above, self._runs, strict=True)])
            trail.append((here, above))
            if stop < 0:
                return above
            start = stop + 1


def _bad(text: str, name: str, why: str, hint: str) -> DockerfileError:
    made = DockerfileError(f"pattern {quoted(text)}: {why}", hint=hint, token=text, reason="pattern")
    if name:
        made.message = f"{name}: {made.why}"
    return made
