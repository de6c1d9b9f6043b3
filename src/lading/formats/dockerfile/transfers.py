"""What COPY and ADD may not say, once their words are known: destinations, modes, checksums, kinds of sources."""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, quoted
from lading.formats.dockerfile.model import Add, Copy, Transfer
from lading.formats.dockerfile.remote import GitSource, is_commit, is_git, is_http, is_url

__all__ = ["check", "is_git", "is_http", "is_url"]


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
    if isinstance(made, Add):
        _check_repositories(made)
        if made.checksum and "$" not in made.checksum:
            _check_checksum(made)


def _is_directory(destination: str) -> bool:
    """Whether a destination may be one: it ends in a slash or a dot component, or variables decide."""
    return "$" in destination or destination.rpartition("/")[2] in ("", ".", "..")


def _check_repositories(made: Add) -> None:
    for source in made.sources:
        if "$" in source or not is_git(source):
            continue
        found = GitSource.parse(source)
        for flag, told, queried in (
            ("keep-git-dir", made.keep_git_dir, found.keep_git_dir),
            ("checksum", made.checksum or None, found.checksum or None),
        ):
            if told is not None and queried is not None and told != queried:
                raise DockerfileError(
                    f"ADD --{flag} and the query of {quoted(source)} contradict each other",
                    hint="say it once",
                    token=source,
                )


def _check_checksum(made: Add) -> None:
    if len(made.sources) != 1 or made.documents:
        raise DockerfileError(
            "ADD --checksum is for one source", hint="write an ADD for each source", token="--checksum"
        )
    source = made.sources[0]
    if "$" in source:
        return
    if is_git(source):
        if not is_commit(made.checksum):
            raise DockerfileError(
                f"ADD --checksum of a repository is a commit, not {quoted(made.checksum)}",
                hint="write 40 hexadecimal digits",
                token=made.checksum,
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
