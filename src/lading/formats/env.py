"""Environment variables as ``--env`` and ``--env-file`` give them.

Source: Docker's documentation of ``--env-file``: one ``NAME=VALUE`` a line, taken as it stands (quotes are part of the value),
``#`` at the start of a line is a comment, a bare ``NAME`` takes its value from the caller's environment and is dropped when it
has none there.
"""

from __future__ import annotations

from lading.errors import InvalidInput, LadingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LARGEST_FILE = 4 << 20


def pair(text: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """``NAME=VALUE``, or ``NAME`` taken from ``environ`` (None when it is not there). Raises :class:`InvalidInput`."""
    name, equals, value = text.partition("=")
    if not name:
        raise InvalidInput(f"environment variable {text[:60]!r} has no name", hint="write NAME=VALUE")
    if "\0" in text:
        raise InvalidInput(f"environment variable {name[:60]!r} contains a NUL byte")
    if equals:
        return name, value
    found = environ.get(name)
    return None if found is None else (name, found)


def file_pairs(data: bytes, environ: Mapping[str, str], *, where: str) -> list[tuple[str, str]]:
    """The variables of an env file's bytes; ``where`` names it in errors. Raises :class:`InvalidInput`."""
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{where}: not UTF-8 text") from None
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        name = line.partition("=")[0]
        if not name or name.split() != [name]:
            raise InvalidInput(f"{where}:{number}: variable name {name[:60]!r} is empty or contains spaces")
        try:
            made = pair(line, environ)
        except InvalidInput as error:
            raise InvalidInput(f"{where}:{number}: {error.message}") from None
        if made is not None:
            pairs.append(made)
    return pairs


def variables(
    files: Sequence[str],
    texts: Sequence[str],
    environ: Mapping[str, str],
    read: Callable[[str, str], bytes],
) -> dict[str, str]:
    """What ``--env-file`` and ``--env`` say together: a file's variables first, of one name the last.

    ``read`` is :func:`read_file`, or what stands for it. Raises :class:`LadingError`.
    """
    values: dict[str, str] = {}
    for path in files:
        values.update(file_pairs(read("--env-file", path), environ, where=path))
    for text in texts:
        made = pair(text, environ)
        if made is not None:
            values[made[0]] = made[1]
    return values


def read_file(what: str, path: str) -> bytes:
    """The bytes of a small text file the user named with flag ``what``. Raises :class:`LadingError`."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise LadingError(f"{what} {path}: {error.strerror}", reason="not-found") from None
    if len(data) > _LARGEST_FILE:
        raise InvalidInput(f"{what} {path}: larger than {_LARGEST_FILE >> 20} MiB")
    return data
