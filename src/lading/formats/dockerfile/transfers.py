"""What COPY and ADD may not say, once their words are known: destinations, modes, checksums, kinds of sources."""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, quoted
from lading.formats.dockerfile.model import Add, Copy, Transfer


def check(made: Transfer) -> None:
    """Raises :class:`DockerfileError` for what is wrong whatever the files are. Words with variables are left for later."""
    keyword = made.keyword
    if made.chmod and "$" not in made.chmod:
        from lading.formats.dockerfile.permissions import Permissions

        Permissions.parse(made.chmod)
    several = len(made.sources) + len(made.documents) > 1
    if several and not _is_directory(made.destination):
        raise DockerfileError(
            f"{keyword} of several sources to {quoted(made.destination)}, which is a file",
            hint=f"end a directory with a slash: {made.destination}/",
            token=made.destination,
        )
    if isinstance(made, Copy):
        for source in made.sources:
            if is_url(source):
                raise DockerfileError(
                    f"COPY takes no URL: {quoted(source)}",
                    hint="ADD fetches URLs and repositories",
                    token=source,
                )
    if isinstance(made, Add) and made.checksum and "$" not in made.checksum:
        _check_checksum(made)


def _is_directory(destination: str) -> bool:
    """Whether a destination may be one: it ends in a slash or a dot component, or variables decide."""
    return "$" in destination or destination.rpartition("/")[2] in ("", ".", "..")


def is_url(source: str) -> bool:
    """Whether a source of ADD is fetched from elsewhere: a file by HTTP, or a Git repository."""
    return is_http(source) or is_git(source)


def is_http(source: str) -> bool:
    """``http://`` or ``https://``, and not a Git repository."""
    return source.startswith(("http://", "https://")) and not is_git(source)


def is_git(source: str) -> bool:
    """A Git repository: ``https://….git``, ``git://``, ``ssh://``, ``git@host:path``; each with ``#ref:directory`` or a query."""
    if source.startswith(("git://", "ssh://")):
        return True
    if source.startswith(("http://", "https://")):
        path = source.partition("#")[0].partition("?")[0].partition("://")[2]
        return "/" in path and path.endswith(".git")
    # user@host:path, as scp writes it; a path with an @ in it holds a slash before, or no colon behind
    user, at, rest = source.partition("@")
    host, colon, path = rest.partition(":")
    return bool(at and colon and user and host and path) and "/" not in user and "/" not in host


def _check_checksum(made: Add) -> None:
    if len(made.sources) != 1 or made.documents:
        raise DockerfileError(
            "ADD --checksum is for one source", hint="write an ADD for each source", token="--checksum"
        )
    source = made.sources[0]
    if "$" in source:
        return
    if is_git(source):
        digits = made.checksum
        if len(digits) < 7 or len(digits) > 64 or digits.lower().strip("0123456789abcdef"):
            raise DockerfileError(
                f"ADD --checksum of a repository is a commit, not {quoted(digits)}",
                hint="write 40 hexadecimal digits",
                token=digits,
            )
        return
    if not is_http(source):
        raise DockerfileError(
            f"ADD --checksum is for what is fetched, not for {quoted(source)}",
            hint="leave it out: the build context is known by its content",
            token="--checksum",
        )
    from lading.formats.digest import LENGTHS

    algorithm, _, digits = made.checksum.partition(":")
    if LENGTHS.get(algorithm) != len(digits) or digits.strip("0123456789abcdef"):
        raise DockerfileError(
            f"ADD --checksum={made.checksum[:80]} is not a digest",
            hint="write sha256: and 64 hexadecimal digits",
            token=made.checksum,
        )
