"""ADD of what is not in the context: URLs and git repositories."""

from __future__ import annotations

from lading.build.blaming import mistake
from lading.build.downloads import CONTENT
from lading.build.graph import Selection
from lading.formats.dockerfile import DockerfileError
from lading.formats.dockerfile.remote import GitSource, file_name, is_git, is_http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.graph import CopyOp
    from lading.build.instructions import StageState
    from lading.formats.dockerfile import Add


def remote_selections(state: StageState, made: Add, op: CopyOp, inputs: list[int]) -> list[str]:
    """Put what ``made`` takes from elsewhere into ``op`` and ``inputs``; the sources that are left are the context's.

    Raises :class:`DockerfileError` for what cannot be fetched.
    """
    fetching = state.frontend.request.fetching
    local = []
    for source in made.sources:
        if not (is_git(source) or is_http(source)):
            local.append(source)
            continue
        if fetching is None:
            raise DockerfileError(f"{source}: nothing is fetched here", token=source)
        with mistake(source):
            if is_git(source):
                git = GitSource.parse(source)
                keep = made.keep_git_dir if made.keep_git_dir is not None else bool(git.keep_git_dir)
                checkout = fetching.repositories.get(git, keep=keep, checksum=made.checksum)
                leaf = state.frontend.leaf(checkout, checkout.key)
                op.selections.append(Selection(input=len(inputs), paths=["/"], wildcards=False))
            else:
                found = fetching.downloads.get(source, checksum=made.checksum)
                leaf = state.frontend.leaf(found, found.key)
                op.selections.append(
                    Selection(
                        input=len(inputs),
                        paths=[CONTENT],
                        wildcards=False,
                        unpack=made.unpack is True,
                        name=file_name(source),
                    )
                )
            inputs.append(leaf)
    return local
