"""Where a build's files and its Dockerfile come from: a directory, a stream, a repository, a download.

What a face has is a word and maybe a file; what it gets is an :class:`Origin`. What arrived from elsewhere is hostile until it
was unpacked by :mod:`lading.images.plain`, and lies in the store's staging area for as long as the build lasts.
"""

from __future__ import annotations

import os
import stat

from lading.build.contexts import LocalContext, checked
from lading.errors import InvalidInput, KernelError, NotFound
from lading.formats.dockerfile.ignore import LARGEST, Ignore
from lading.kernel.paths import open_plain_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel

NAMES = ("Dockerfile", "Containerfile", "dockerfile")
IGNORED = (".containerignore", ".dockerignore")
LARGEST_FILE = 16 << 20
"""Bytes of a Dockerfile."""
_COMPARED = 1_000  # names of a directory that a missing one is held against


class Origin:
    """``context``: the files, None for a build without any; ``data``: the Dockerfile, called ``name`` in errors.

    ``ignore``: what the context's ignore file leaves out.
    """

    __slots__ = ("context", "data", "ignore", "name")

    def __init__(self, context: LocalContext | None, data: bytes, name: str, ignore: Ignore | None) -> None:
        self.context = context
        self.data = data
        self.name = name
        self.ignore = ignore


def of_directory(
    kernel: Kernel,
    path: str,
    *,
    file: str,
    data: str,
    text: bytes | None = None,
    what: str = "the build context",
) -> Origin:
    """The user's own directory. ``file``: the Dockerfile, from where the user stands or in the directory; empty to look for it.

    ``text``: the Dockerfile itself, when it came another way. ``data``: where builds keep what they remember.
    Raises :class:`NotFound` (``no-dockerfile``, ``no-context``), :class:`InvalidInput`.
    """
    checked(path, what)
    name = "Dockerfile"
    if text is None:
        name = _file(path, file, what)
        text = _read(name)
    ignore = ignore_of(path, name)
    context = LocalContext.at(kernel, path, what=what, ignore=ignore, data=data)
    return Origin(context, text, name, ignore)


def _file(path: str, file: str, what: str) -> str:
    """The Dockerfile's path."""
    if file:
        if os.path.lexists(file) or os.path.isabs(file) or not os.path.lexists(f"{path}/{file}"):
            return file
        return f"{path}/{file}"
    for name in NAMES:
        try:
            os.lstat(f"{path}/{name}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(f"{what}: {path!r}: {error.strerror}", reason="no-context") from None
        return name if path == "." else f"{path.rstrip('/')}/{name}"
    near = _near(path, NAMES[0])
    hint = f"name the file with --file, perhaps --file {near}" if near else "name the file with --file"
    raise NotFound(f"there is no Dockerfile in {path!r}", hint=hint, reason="no-dockerfile")


def _near(directory: str, name: str) -> str:
    """The path of what is called nearly ``name`` in ``directory``; empty without one."""
    from lading.flags import nearest

    try:
        found = nearest(name, sorted(os.listdir(directory))[:_COMPARED])
    except OSError:
        return ""
    return os.path.normpath(f"{directory}/{found}") if found else ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        near = _near(os.path.dirname(path) or ".", os.path.basename(path))
        hint = f"did you mean {near}?" if near else "--file is looked for here, then in the context"
        raise NotFound(f"the Dockerfile {path!r} does not exist", hint=hint, reason="no-dockerfile") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a path has no NUL in it"
        raise InvalidInput(f"the Dockerfile {path!r}: {why}", reason="no-dockerfile") from None


def ignore_of(directory: str, dockerfile: str) -> Ignore | None:
    """The patterns beside the Dockerfile, or else the directory's."""
    beside = [f"{dockerfile}.dockerignore", f"{dockerfile}.containerignore"] if dockerfile else []
    for path in (*beside, *(f"{directory}/{name}" for name in IGNORED)):
        try:
            # Not waiting for whoever writes into a FIFO.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise InvalidInput(f"the ignore file {path!r} is no file", reason="ignore-file")
                return Ignore.parse(file.read(LARGEST + 1), path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(f"the ignore file {path!r}: {error.strerror}", reason="ignore-file") from None
    return None


def of_files(kernel: Kernel, context: LocalContext, *, file: str, text: bytes | None = None) -> Origin:
    """Files that arrived: the Dockerfile and the ignore file are among them, and links lead nowhere else.

    Raises :class:`NotFound` (``no-dockerfile``), and then the context is closed.
    """
    try:
        fd = os.open(context.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name, text = _dockerfile_of(kernel, fd, file, text, context.what)
            context.ignore = ignore = _listed(kernel, fd, name)
        finally:
            os.close(fd)
    except BaseException:
        context.close()
        raise
    return Origin(context, text, name, ignore)


def _dockerfile_of(kernel: Kernel, root: int, file: str, text: bytes | None, what: str) -> tuple[str, bytes]:
    if text is not None:
        return file or "Dockerfile", text
    for name in (file,) if file else NAMES:
        found = _inner(kernel, root, name, LARGEST_FILE)
        if found is not None:
            return name, found
    raise NotFound(
        f"there is no {file or 'Dockerfile'} in {what}",
        hint="name the file with --file, by its path in the context",
        reason="no-dockerfile",
    )


def _listed(kernel: Kernel, root: int, dockerfile: str) -> Ignore | None:
    for path in (f"{dockerfile}.dockerignore", f"{dockerfile}.containerignore", *IGNORED):
        data = _inner(kernel, root, path, LARGEST)
        if data is not None:
            return Ignore.parse(data, path)
    return None


def _inner(kernel: Kernel, root: int, path: str, limit: int) -> bytes | None:
    """A regular file below ``root``, as much as one byte more than ``limit``; None when there is none."""
    try:
        fd = open_plain_inside(kernel, root, path)
    except (KernelError, OSError):
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(limit + 1)
