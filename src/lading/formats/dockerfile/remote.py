"""Where ADD and build contexts may come from: Git repositories and files by HTTP, told from paths by their text alone.

Source: the Dockerfile reference, "ADD <git ref>", Docker's "Build context: Git repositories" and "URL queries", and BuildKit's
``dfgitutil``. What git is given never begins with a dash.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, quoted
from lading.formats.dockerfile.mounts import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMES = ("http", "https", "ssh", "git")
_USER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_HOST = (_USER - {"_"}) | {"."}
_HEX = "0123456789abcdefABCDEF"
_TRUTHS = {
    **dict.fromkeys(("", "1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def is_url(source: str) -> bool:
    """Whether a source of ADD is fetched from elsewhere: a file by HTTP, or a Git repository."""
    return source.startswith(("http://", "https://")) or is_git(source)


def is_http(source: str) -> bool:
    """A file by HTTP: ``http://`` or ``https://``, and no repository."""
    return source.startswith(("http://", "https://")) and not is_git(source)


def is_git(source: str) -> bool:
    """A repository: ``git://…``, ``ssh://…``, ``https://….git``, ``user@host:path``; each with ``?query`` and ``#ref:dir``."""
    scheme, colon, rest = source.partition("://")
    if colon and scheme.isalnum() and scheme.isascii():
        if scheme.lower() in ("git", "ssh"):
            return True
        path = rest.partition("#")[0].partition("?")[0].partition("/")[2]
        return scheme.lower() in ("http", "https") and path.endswith(".git")
    return _scp(source) is not None


def file_name(source: str) -> str:
    """What a file fetched from ``source`` is called: the last component of the path, ``__unnamed__`` when there is none."""
    path = source.partition("#")[0].partition("?")[0].partition("://")[2].partition("/")[2]
    name = _decoded(clean("/" + path)).rpartition("/")[2]
    return name if name not in ("", ".", "..") and "\0" not in name else "__unnamed__"


def _scp(source: str) -> tuple[str, str] | None:
    """``user@host`` and the rest of ``user@host:path``; None for any other text."""
    address, colon, rest = source.partition(":")
    user, at, host = address.partition("@")
    if not (colon and at and user and host) or not (_USER.issuperset(user) and _HOST.issuperset(host)):
        return None
    return address, rest


class GitSource:
    """A repository, and what of it is meant.

    ``remote``         what ``git fetch`` is given, without query and fragment.
    ``ref``            a branch, a tag, a commit, or a whole ``refs/…``; empty for the remote's HEAD.
    ``directory``      the part of it that is taken, relative; empty for all.
    ``checksum``       the commit that it has to be, or its first digits; empty for any.
    ``keep_git_dir``, ``submodules``  as the query says, None where it does not.
    ``commit_times``   files have the time of the commit, not that of the checkout.
    ``by_commit``      the checksum is fetched itself, and the ref not looked at.
    """

    __slots__ = (
        "by_commit",
        "checksum",
        "commit_times",
        "directory",
        "keep_git_dir",
        "ref",
        "remote",
        "submodules",
    )

    def __init__(self, remote: str) -> None:
        self.remote = remote
        self.ref = self.directory = self.checksum = ""
        self.keep_git_dir: bool | None = None
        self.submodules: bool | None = None
        self.commit_times = False
        self.by_commit = False

    @classmethod
    def parse(cls, source: str) -> GitSource:
        """The repository that ``source`` names. Raises :class:`DockerfileError` when it names none, or contradicts itself."""
        if not is_git(source):
            raise _bad(source, "it names no repository")
        if any(char <= " " or char == "\x7f" for char in source):
            raise _bad(source, "it holds a blank")
        scheme, colon, rest = source.partition("://")
        body, _, fragment = source.partition("#")
        remote, _, query = body.partition("?")
        if colon and scheme.lower() in _SCHEMES:
            made = cls(remote)
            host = rest.partition("/")[0].rpartition("@")[2]
            if not host.strip("[") or host.startswith("-") or rest.startswith("-"):
                raise _bad(source, "it names no host")
            fragment = _decoded(fragment)
        else:
            address = source.partition(":")[0]
            if address.startswith("-") or "@-" in address:
                raise _bad(source, "a user or host begins with a dash")
            made = cls(remote)
        made.ref, _, directory = fragment.partition(":")
        if directory:
            made.directory = clean("/" + directory).lstrip("/")
        made._query(query, source)
        if made.ref.startswith("-"):
            raise _bad(source, "the ref begins with a dash")
        made.directory = clean("/" + made.directory).lstrip("/")
        return made

    @property
    def name(self) -> str:
        """The repository's name: the last component of its path without ``.git``."""
        return self.remote.rpartition("/")[2].rpartition(":")[2].removesuffix(".git")

    def _query(self, query: str, source: str) -> None:
        seen: dict[str, str] = {}
        for name, value in _pairs(query):
            if name in seen:
                raise _bad(source, f"{name} is given twice")
            if name not in _QUERY:
                raise _bad(
                    source, f"the query {quoted(name)} is unknown", f"the queries are {', '.join(_QUERY)}"
                )
            if not value and name not in ("submodules", "keep-git-dir", "fetch-by-commit"):
                raise _bad(source, f"{name} has no value")
            seen[name] = value
        refs = [self.ref] if self.ref else []
        for name, prefix in (("ref", ""), ("tag", "refs/tags/"), ("branch", "refs/heads/")):
            if name in seen:
                refs.append(prefix + seen[name].removeprefix(prefix))
        if len(set(refs)) > 1:
            raise _bad(source, f"it names {refs[0]} and {refs[1]}", "name one ref, tag or branch")
        self.ref = refs[0] if refs else ""
        directories = {d for d in (self.directory, seen.get("subdir", "")) if d}
        if len({clean("/" + d) for d in directories}) > 1:
            raise _bad(source, "it names two directories")
        self.directory = seen.get("subdir", self.directory)
        if "checksum" in seen and seen.get("commit", seen["checksum"]) != seen["checksum"]:
            raise _bad(source, "commit and checksum are two")
        self.checksum = seen.get("checksum", seen.get("commit", ""))
        if self.checksum and not is_commit(self.checksum):
            raise _bad(source, f"{quoted(self.checksum)} is no commit", "write 40 hexadecimal digits")
        self.keep_git_dir = _truth(seen, "keep-git-dir", source)
        self.submodules = _truth(seen, "submodules", source)
        self.by_commit = bool(_truth(seen, "fetch-by-commit", source))
        if seen.get("mtime", "checkout") not in ("checkout", "commit"):
            raise _bad(source, "mtime is checkout or commit")
        self.commit_times = seen.get("mtime") == "commit"


_QUERY = (
    "ref",
    "tag",
    "branch",
    "subdir",
    "checksum",
    "commit",
    "keep-git-dir",
    "submodules",
    "mtime",
    "fetch-by-commit",
)


def is_commit(text: str) -> bool:
    """Whether ``text`` may be a commit's name or its beginning: 7 to 64 hexadecimal digits."""
    return 7 <= len(text) <= 64 and not text.strip(_HEX)


def _truth(seen: dict[str, str], name: str, source: str) -> bool | None:
    if name not in seen:
        return None
    if seen[name] not in _TRUTHS:
        raise _bad(source, f"{name} is true or false, not {quoted(seen[name])}")
    return _TRUTHS[seen[name]]


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            yield _decoded(name.replace("+", " ")), _decoded(value.replace("+", " "))


def _decoded(text: str) -> str:
    """``text`` without percent signs (RFC 3986, 2.1); what is none after one stays."""
    if "%" not in text:
        return text
    first, *rest = text.encode("utf-8", "surrogateescape").split(b"%")
    out = [first]
    for part in rest:
        digits = part[:2].decode("latin-1")
        if len(digits) == 2 and not digits.strip(_HEX):
            out.append(bytes((int(digits, 16),)) + part[2:])
        else:
            out.append(b"%" + part)
    return b"".join(out).decode("utf-8", "surrogateescape")


def _bad(source: str, why: str, hint: str = "") -> DockerfileError:
    return DockerfileError(
        f"{quoted(source)}: {why}",
        hint=hint or "for example https://example.com/project.git#main:directory",
        token=source,
    )
