"""Git repositories as sources: a ref is resolved with every build, and its commit fetched once.

::

    ROOT/build/git/HASH/files       of one remote: a bare repository that keeps what was fetched
    ROOT/build/git/HASH/lock, id    who is at it, and which remote it is

It is laid out as caches that commands mount are, so `lading builder prune` removes it as it does them.

A step's key says the commit, so a step that is cached needs neither a fetch nor a checkout. A checkout is a repository of its
own in the store's staging area, with its submodules; its ``.git`` goes unless it is asked for.
"""

from __future__ import annotations

import os
import stat

from lading.build.git import Git, GitFailed
from lading.build.progress import Progress
from lading.build.trees import Tree
from lading.errors import InvalidInput, KernelError, NotFound, RemoteError
from lading.formats import digest as digests
from lading.images.files import Lock, make_directories, remove_tree, write_atomically
from lading.kernel.paths import open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.build.graph import CopyOp, Selection
    from lading.formats.dockerfile.remote import GitSource
    from lading.images.layers import Staging
    from lading.kernel import Kernel

_HEX = "0123456789abcdef"
_WIDE = 64
"""Digits of a commit of a repository that names its objects by SHA-256."""


class Checkout:
    """A commit's files, as a source. ``commit`` in full; ``keep``: the ``.git`` directory is among them."""

    own = False

    def __init__(
        self, repositories: Repositories, source: GitSource, commit: str, ref: str, *, keep: bool
    ) -> None:
        self.source = source
        self.commit = commit
        self.ref = ref
        self.keep = keep
        self.what = f"the repository {_shown(source.remote)}"
        self._repositories = repositories
        self._staging: Staging | None = None

    @property
    def key(self) -> str:
        """What a step's key says of it."""
        source = self.source
        told = [self.commit, source.directory, str(self.keep), str(source.submodules is not False)]
        if self.keep:
            told += [source.remote, self.ref]
        if source.commit_times:
            told.append("times")
        return digests.of("\0".join(["git", *told]).encode("utf-8", "surrogateescape")).partition(":")[2]

    def directory(self, kernel: Kernel) -> str:
        """The files' directory, until :meth:`release`. Raises :class:`GitFailed`, :class:`NotFound` for no such directory."""
        if self._staging is None:
            self._staging = self._repositories.stage()
            self._repositories.check_out(self, self._staging.path + "/tree")
        root = os.open(self._staging.path + "/tree", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = open_inside(kernel, root, self.source.directory or ".")
            try:
                if not stat.S_ISDIR(os.fstat(found).st_mode):
                    raise InvalidInput(f"{self.source.directory!r} in {self.what} is no directory")
                return os.readlink(f"/proc/self/fd/{found}")
            finally:
                os.close(found)
        except KernelError:
            raise NotFound(
                f"there is no {self.source.directory!r} in {self.what}", reason="no-source"
            ) from None
        finally:
            os.close(root)

    def tree(self, kernel: Kernel) -> Tree:
        """See :class:`lading.build.workshop.Source`."""
        # In a step's process: what is told is told of the step.
        self._repositories.quiet()
        fd = os.open(self.directory(kernel), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return Tree(kernel, fd, what=self.what, own=False)

    def check(self, tree: Tree, selection: Selection, digest: str, op: CopyOp | None) -> None:
        """See :class:`lading.build.workshop.Source`: nobody changes a checkout."""

    def release(self) -> None:
        """See :class:`lading.build.workshop.Source`."""
        if self._staging is not None:
            self._staging.discard()
            self._staging = None


class Repositories:
    """The repositories of one build. ``data``: the builder's directory; ``stage``: makes a place for a checkout."""

    def __init__(self, data: str, git: Git, stage: Callable[[], Staging], progress: Progress) -> None:
        self._directory = f"{data}/git"
        self._git = git
        self._stage = stage
        self._progress = progress

    def quiet(self) -> None:
        """Tell no more of what is fetched."""
        self._progress = Progress()

    def stage(self) -> Staging:
        """A directory that goes when the build does."""
        return self._stage()

    def get(self, source: GitSource, *, keep: bool = False, checksum: str = "") -> Checkout:
        """The commit that ``source`` means now.

        Raises :class:`GitFailed`, :class:`NotFound`, :class:`RemoteError` (``checksum``).
        """
        what = f"the repository {_shown(source.remote)}"
        wanted = (checksum or source.checksum).lower()
        name = f"look at {_shown(source.remote)}"
        self._progress.phase(name, "started")
        if source.by_commit and len(wanted) in (40, 64):
            commit, ref = wanted, source.ref or wanted
        else:
            commit, ref = self._resolved(source, what)
        if wanted and not commit.startswith(wanted):
            raise RemoteError(
                f"{what}: {source.ref or 'HEAD'} is commit {commit}, and was to be {wanted}",
                hint="the ref has moved, or the checksum is another one's",
                reason="checksum",
            )
        self._progress.phase(name, "done")
        return Checkout(self, source, commit, ref, keep=keep)

    def _resolved(self, source: GitSource, what: str) -> tuple[str, str]:
        """The commit, and the ref in full where the remote has one."""
        ref = source.ref
        if len(ref) in (40, 64) and not ref.strip(_HEX):
            return ref, ref
        asked = [ref, f"{ref}^{{}}"] if ref else ["HEAD"]
        make_directories(self._directory)
        told = self._git(
            ["ls-remote", "--", source.remote, *asked],
            directory=self._directory,
            what=what,
            remote=source.remote,
        )
        found: dict[str, str] = {}
        for line in told.decode("utf-8", "replace").splitlines():
            commit, _, name = line.partition("\t")
            if len(commit) in (40, 64) and not commit.strip(_HEX):
                found.setdefault(name, commit)
        if not ref:
            if "HEAD" not in found:
                raise NotFound(
                    f"{what} has no HEAD: it is empty", hint="name a branch: #main", reason="no-ref"
                )
            return found["HEAD"], "HEAD"
        # As git checkout does, a branch before a tag; of a tag with a message, the commit it is of.
        for name in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}"):
            if name in found:
                return found.get(f"{name}^{{}}", found[name]), name
        if len(ref) >= 7 and not ref.lower().strip(_HEX):
            return self._abbreviated(source, ref.lower(), what)
        raise NotFound(f"{what} has no branch or tag {ref!r}", reason="no-ref")

    def _abbreviated(self, source: GitSource, digits: str, what: str) -> tuple[str, str]:
        with self._repository(source.remote, what) as place:
            self._everything(place, source.remote, what)
            try:
                told = self._git(
                    ["rev-parse", "--verify", "--quiet", f"{digits}^{{commit}}"], directory=place, what=what
                )
            except GitFailed:
                raise NotFound(
                    f"{what} has no branch, tag or commit {digits!r}",
                    hint="write the commit in full when it is on no branch",
                    reason="no-ref",
                ) from None
        commit = told.decode("latin-1").strip()
        return commit, commit

    def _repository(self, remote: str, what: str, commit: str = "") -> _Repository:
        """``commit``: one of it, if any is known, whose length tells by which hash its objects are named."""
        told = remote if len(commit) != _WIDE else f"{remote}\0sha256"
        hashed = digests.of(told.encode("utf-8", "surrogateescape")).partition(":")[2][:40]
        place = f"{self._directory}/{hashed}"
        make_directories(place)
        return _Repository(self._git, place, what, _shown(remote), _format(commit))

    def _everything(self, place: str, remote: str, what: str) -> None:
        words = ["fetch", "--force", "--tags", "--no-recurse-submodules", "--prune"]
        if os.path.exists(f"{place}/shallow"):
            words.append("--unshallow")
        self._git(
            [*words, "--", remote, "+refs/heads/*:refs/lading/heads/*", "+refs/tags/*:refs/tags/*"],
            directory=place,
            what=what,
            remote=remote,
        )

    def _fetch(self, place: str, checkout: Checkout, what: str) -> None:
        """Have the commit here."""
        if self._has(place, checkout.commit, what):
            return
        remote = checkout.source.remote
        wanted = (
            checkout.ref if checkout.ref == "HEAD" or checkout.ref.startswith("refs/") else checkout.commit
        )
        name = f"fetch {_shown(remote)}"
        self._progress.phase(name, "started")
        try:
            self._git(
                [
                    "fetch",
                    "--force",
                    "--depth=1",
                    "--no-tags",
                    "--no-recurse-submodules",
                    "--",
                    remote,
                    wanted,
                ],
                directory=place,
                what=what,
                remote=remote,
            )
        except GitFailed:
            # A server that sends files only, or no commits by name: then all of it.
            self._everything(place, remote, what)
        if not self._has(place, checkout.commit, what):
            self._everything(place, remote, what)
            if not self._has(place, checkout.commit, what):
                raise NotFound(f"{what} has no commit {checkout.commit}", reason="no-ref")
        self._progress.phase(name, "done")

    def _has(self, place: str, commit: str, what: str) -> bool:
        try:
            self._git(["cat-file", "-e", f"{commit}^{{commit}}"], directory=place, what=what)
        except GitFailed:
            return False
        return True

    def check_out(self, checkout: Checkout, target: str) -> None:
        """Write the commit's files below ``target``, which is made."""
        source, commit = checkout.source, checkout.commit
        what = f"the repository {_shown(source.remote)}"
        git = self._git
        with self._repository(source.remote, what, commit) as place:
            self._fetch(place, checkout, what)
            os.mkdir(target, 0o755)
            git(["init", "--quiet", "--template=", *_format(commit)], directory=target, what=what)
            git(
                ["fetch", "--quiet", "--depth=1", "--no-tags", "--", place, commit],
                directory=target,
                what=what,
                local=True,
            )
        git(["remote", "add", "origin", source.remote], directory=target, what=what)
        branch = checkout.ref.removeprefix("refs/heads/") if checkout.ref.startswith("refs/heads/") else ""
        if checkout.keep and branch:
            git(["checkout", "--quiet", "-B", branch, commit], directory=target, what=what)
        else:
            git(["checkout", "--quiet", "--detach", commit], directory=target, what=what)
        if source.submodules is not False and os.path.lexists(f"{target}/.gitmodules"):
            told = f"submodules of {what.removeprefix('the ')}"
            words = ["submodule", "--quiet", "update", "--init", "--recursive"]
            try:
                git([*words, "--depth=1"], directory=target, what=told, remote=source.remote)
            except GitFailed:
                # A server that sends files only.
                git(words, directory=target, what=told, remote=source.remote)
        moment = 0
        if source.commit_times:
            moment = int(git(["show", "-s", "--format=%ct", commit], directory=target, what=what))
        if not checkout.keep:
            _without_git(target)
        if source.commit_times:
            _at(target, moment)


def _format(commit: str) -> list[str]:
    """What git-init(1) is told for a repository with this commit."""
    return ["--object-format=sha256"] if len(commit) == _WIDE else []


class _Repository:
    """The bare repository at ``place``, made where it is missing, and ours alone meanwhile. A context manager."""

    def __init__(self, git: Git, place: str, what: str, shown: str, how: Sequence[str]) -> None:
        self._git = git
        self._how = how
        self._above = place
        self._place = place + "/files"
        self._made = self._place + "/made"
        self._what = what
        self._shown = shown
        self._lock = Lock(place + "/lock", exclusive=True)

    def __enter__(self) -> str:
        self._lock.__enter__()
        try:
            if os.path.isfile(self._made):
                # Whole again when we leave: what a kill leaves in the middle is begun anew.
                os.unlink(self._made)
            else:
                remove_tree(self._place)
                os.makedirs(self._place)
                self._git(
                    ["init", "--quiet", "--bare", "--template=", *self._how],
                    directory=self._place,
                    what=self._what,
                )
            for name in ("shallow.lock", "index.lock", "config.lock", "packed-refs.lock"):
                # Nobody else is here: what a git that was killed left.
                if os.path.lexists(f"{self._place}/{name}"):
                    os.unlink(f"{self._place}/{name}")
            write_atomically(self._above + "/id", f"{self._shown}\n".encode("utf-8", "surrogateescape"))
            os.utime(self._above)
        except BaseException:
            self._lock.__exit__()
            raise
        return self._place

    def __exit__(self, *_: object) -> None:
        try:
            with open(self._made, "wb"):
                pass
        except OSError:
            pass  # it is fetched again
        finally:
            self._lock.__exit__()


def _without_git(root: str) -> None:
    """Remove what git keeps for itself: ``.git`` of the checkout and of its submodules."""
    pending = [root]
    while pending:
        path = pending.pop()
        for entry in os.scandir(path):
            if entry.name == ".git":
                remove_tree(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)


def _at(root: str, moment: int) -> None:
    pending = [root]
    while pending:
        path = pending.pop()
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            os.utime(entry.path, (moment, moment), follow_symlinks=False)
    os.utime(root, (moment, moment))


def _shown(remote: str) -> str:
    """The remote without a password."""
    scheme, colon, rest = remote.partition("://")
    if not colon or "@" not in rest.partition("/")[0]:
        return remote
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
