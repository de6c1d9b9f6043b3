"""What steps are carried out with: the stores, the sources of files, and places to work in.

Everything that a step makes on its way lies in a directory of the image store's staging area, locked while its maker lives: a
build that is killed leaves nothing that the next ``prune`` or ``check --repair`` does not take away.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from lading.build import taking
from lading.build.cache import Result, StepCache
from lading.build.graph import CopyOp, FilesOp, Selection
from lading.build.trees import Tree
from lading.errors import LadingError
from lading.formats import jsontext
from lading.images import snapshots
from lading.images.files import make_directories
from lading.kernel import overlay, userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from lading.build.graph import Op
    from lading.formats.pod import Container
    from lading.formats.rootfs import Rootfs
    from lading.images import Images
    from lading.images.leases import Lease
    from lading.images.snapshots import Made, Snapshot
    from lading.kernel import Kernel
    from lading.roots import Roots

    class Source(Protocol):
        """Files from outside the build. ``own``: their owners are kept where nothing else is said."""

        what: str
        own: bool

        def tree(self, kernel: Kernel) -> Tree:
            """The files, by a descriptor that the caller closes. Fetches what was not needed before."""

        def check(self, tree: Tree, selection: Selection, digest: str, op: CopyOp | None) -> None:
            """Raise :class:`InvalidInput` (reason ``changed``) when the files are no more what the build's key says."""

        def release(self) -> None:
            """A tree was closed: what was made for it goes."""


class Settings:
    """What a build's user said of all its commands.

    ``moment``: SOURCE_DATE_EPOCH, seconds. ``secrets``: content by id; ``agents``: sockets of SSH agents by id.
    ``limits``: a container whose limits all commands have.
    """

    __slots__ = (
        "agents",
        "cgroup_parent",
        "limits",
        "moment",
        "secrets",
    )

    def __init__(self) -> None:
        self.moment: int | None = None
        self.secrets: dict[str, bytes] = {}
        self.agents: dict[str, str] = {}
        self.limits: Container | None = None
        self.cgroup_parent = ""


class Root:
    """A root that a step writes to. ``fd``: its descriptor."""

    __slots__ = ("fd", "rootfs")

    def __init__(self, rootfs: Rootfs, fd: int) -> None:
        self.rootfs = rootfs
        self.fd = fd

    def close(self) -> None:
        """Take the mount away: a writable layer that is mounted may not be moved."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def stack_of(rootfs: Rootfs) -> overlay.Stack:
    """What overlayfs is asked for."""
    return overlay.Stack(rootfs.lower, rootfs.upper, rootfs.work, userxattr=rootfs.userxattr)


class Turn:
    """A process's turn at a step. A result is recorded a while later, so those who wait hear of it by the lock they wait at."""

    def __init__(self, workshop: Workshop, fd: int, before: bytes) -> None:
        self._workshop = workshop
        self._fd = fd
        self._before = before

    def heard(self) -> Result | None:
        """What the process before said that the step gave, if its layer is still here; it is leased."""
        try:
            result = Result.of_rows(jsontext.loads(self._before))
            key = snapshots.key_of(result.layers[-1].diff_id)
            self._workshop.lease.add(f"layer:{key}")
            return result if self._workshop.images.layers.by_key(key) is not None else None
        except (LadingError, IndexError, TypeError, ValueError):
            return None

    def tell(self, result: Result) -> None:
        """Say what the step gave to those who wait."""
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, jsontext.dumps(result.rows()).encode(), 0)
        except OSError:
            pass  # then they do it themselves


class Workshop:
    """One build's. ``sources``: what :class:`FilesOp` names by number."""

    def __init__(
        self,
        roots: Roots,
        images: Images,
        kernel: Kernel,
        lease: Lease,
        sources: Sequence[Source],
        settings: Settings,
    ) -> None:
        self.roots = roots
        self.images = images
        self.kernel = kernel
        self.lease = lease
        self.sources = sources
        self.settings = settings
        self.cache = StepCache(images, lease)
        #: What a step's process wants to be told of its result.
        self.notes: list[str] = []

    @property
    def data(self) -> str:
        """Where a build keeps what is no image: caches that commands mount, locks, digests of contexts."""
        return self.roots.data + "/build"

    def now(self) -> str:
        """The moment a layer is made, as images write times."""
        from lading.images.make import now, rfc3339

        return now() if self.settings.moment is None else rfc3339(self.settings.moment)

    @contextmanager
    def alone_with(self, key: str) -> Iterator[Turn]:
        """The only process of any build at the step with this key."""
        import fcntl

        make_directories(self.data + "/locks")
        path = f"{self.data}/locks/{key}"
        before = b""
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                if os.stat(path).st_ino == os.fstat(fd).st_ino:
                    break
            except FileNotFoundError:
                pass
            # Whoever had it took its name away, and left in it what came of the step.
            before = os.pread(fd, os.fstat(fd).st_size, 0) or before
            os.close(fd)
        try:
            yield Turn(self, fd, before)
        finally:
            os.unlink(path)
            os.close(fd)

    # -- file systems --------------------------------------------------------------------------------------------------

    def snapshot(self, result: Result) -> Snapshot:
        """The layers of a result, stacked."""
        return snapshots.of_layers(self.images, result.diff_ids, lease=self.lease)

    def rootfs(self, snapshot: Snapshot, directory: str) -> Rootfs:
        """A writable layer on ``snapshot`` below ``directory``; without lower layers its upper directory is everything."""
        image = snapshots.image_of(self.images, snapshot, os_="linux", architecture="")
        return self.images.rootfs(image, directory)

    @contextmanager
    def root(self, snapshot: Snapshot) -> Iterator[Root]:
        """A writable root on ``snapshot``. What was written is adopted before the end of the block, or gone."""
        with self.images.layers.stage() as staging:
            rootfs = self.rootfs(snapshot, staging.path + "/root")
            if rootfs.lower:
                fd = overlay.mount_apart(self.kernel, stack_of(rootfs))
            else:
                fd = os.open(rootfs.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            root = Root(rootfs, fd)
            try:
                yield root
            finally:
                root.close()

    def adopt(self, root: Root) -> Made:
        """Make what was written to ``root`` a layer, and close it."""
        root.close()
        return self.adopt_files(root.rootfs)

    def adopt_files(self, rootfs: Rootfs) -> Made:
        """The same for a root that is mounted nowhere."""
        return snapshots.adopt(self.images, rootfs, lease=self.lease)

    @contextmanager
    def tree(self, op: Op, result: Result) -> Iterator[Tree]:
        """The files of a step's input: of a source, or of what another step gave."""
        if isinstance(op, FilesOp):
            source = self.sources[op.source]
            try:
                made = source.tree(self.kernel)
                try:
                    yield made
                finally:
                    os.close(made.fd)
            finally:
                source.release()
            return
        with self.seen(self.snapshot(result)) as fd:
            yield Tree(self.kernel, fd, what="the stage or image it is taken from", own=True)

    @contextmanager
    def seen(self, snapshot: Snapshot) -> Iterator[int]:
        """The files of a snapshot, read-only, by a descriptor."""
        with self.images.layers.stage() as staging:
            empty = staging.path + "/empty"
            os.mkdir(empty, 0o755)
            if not snapshot.directories:
                fd = os.open(empty, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            elif self.images.storage().kind == "copy":
                from lading.images import copied

                copied.copy_root(
                    snapshots.image_of(self.images, snapshot, os_="linux", architecture=""),
                    staging.path + "/copy",
                )
                fd = os.open(staging.path + "/copy", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            else:
                # Without a writable layer overlayfs wants two others.
                userxattr = userns.inside() or os.geteuid() != 0
                fd = overlay.mount_apart(
                    self.kernel,
                    overlay.Stack([*snapshot.directories, empty], userxattr=userxattr, read_only=True),
                )
            try:
                yield fd
            finally:
                os.close(fd)

    def mounted(self, result: Result, path: str) -> str:
        """The digest of what a mount shows at ``path`` of what another step gave, the directory's own mode and owner included."""
        with self.seen(self.snapshot(result)) as fd:
            tree = Tree(self.kernel, fd, what="the stage or image it is taken from", own=True)
            (found,) = taking.taken(tree, Selection(paths=[path], wildcards=False), None)
            there = tree.status(found.real)
            own = "" if there is None else f"{there.st_mode:o} {there.st_uid} {there.st_gid}"
            return f"{own} {tree.digest(found.real, found.base, found.choices)}"

    def content(self, result: Result, op: CopyOp, place: int) -> str:
        """The digest of what a copy takes from what another step gave."""
        told = []
        with self.seen(self.snapshot(result)) as fd:
            tree = Tree(self.kernel, fd, what="the stage or image it is taken from", own=True)
            for selection in op.selections:
                if selection.input == place:
                    told.append(taking.digest_of(tree, selection, op))
        return " ".join(told)
