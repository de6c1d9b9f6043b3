"""The image store: content by digest, unpacked layers, names, archives, and ways in and out.

:class:`Images` is the whole interface. Looking an image up (:meth:`Images.get`) and preparing a container's root
(:meth:`Images.rootfs`) are on the path of ``lading run`` and read two small files; everything else is imported when called.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, NotFound
from lading.formats.digest import is_digest
from lading.formats.reference import Reference
from lading.formats.rootfs import Rootfs
from lading.images.image import MARK, STEP, Image, ResolvedStore
from lading.images.names import Names
from lading.kernel import userns
from lading.roots import keep_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import BinaryIO

    from lading.formats.oci_image import Descriptor, RunConfig
    from lading.images.aliases import Alias, Aliases
    from lading.images.changes import Change
    from lading.images.content import ContentStore
    from lading.images.history import HistoryLine
    from lading.images.layers import LayerStore
    from lading.images.leases import Lease
    from lading.images.maintenance import Finding, Usage
    from lading.images.pins import Pins
    from lading.images.pull import PullOptions
    from lading.images.remove import InUse, RemoveReport
    from lading.images.storage import Choice
    from lading.images.transfer import Progress
    from lading.kernel import Kernel

__all__ = ["Image", "Images"]

_HEX = frozenset("0123456789abcdef")


class Images:
    """The image store below ``root`` (:attr:`lading.roots.Roots.images`). Any number of processes may use it at once."""

    def __init__(self, root: str, kernel: Kernel | None = None) -> None:
        self.root = root
        self.kernel = kernel
        self.names = Names(root)
        self.resolved = ResolvedStore(root, self._names_of)
        self._content: ContentStore | None = None
        self._layers: LayerStore | None = None
        self._storage: Choice | None = None

    # --- parts ------------------------------------------------------------------------------------------------------

    @property
    def content(self) -> ContentStore:
        """Blobs by digest."""
        if self._content is None:
            from lading.images.content import ContentStore

            self._content = ContentStore(self.root)
        return self._content

    @property
    def layers(self) -> LayerStore:
        """Unpacked layers."""
        if self._layers is None:
            from lading.images.layers import LayerStore

            self._layers = LayerStore(self.root)
        return self._layers

    @property
    def aliases(self) -> Aliases:
        """Names of images in other formats than OCI's."""
        from lading.images.aliases import Aliases

        return Aliases(self.root)

    @property
    def pins(self) -> Pins:
        """Records of other packages that hold content."""
        from lading.images.pins import Pins

        return Pins(self.root)

    def lease(self) -> Lease:
        """A lease: what is added to it is not collected while this process lives and has not closed it."""
        from lading.images.leases import Lease

        try:
            keep_private(self.root)
        except OSError as error:
            from lading.images.files import disk_error

            raise disk_error(error, f"cannot make the image store {self.root}") from None
        return Lease(self.root)

    # --- looking up -------------------------------------------------------------------------------------------------

    def get(self, reference: str, platform: str = "") -> Image:
        """The local image that ``reference`` names: a name, ``name@digest``, a digest, an id or a unique prefix of one.

        What is none of these here may be a name or an id in the words of another format.

        ``platform`` ("linux/arm64") picks from what was pulled for several; default: the one chosen when it arrived.
        Raises :class:`NotFound`, :class:`InvalidInput` (not a reference; an ambiguous prefix).
        """
        image = self._find(reference)
        if image is None:
            raise NotFound(
                f"image {reference!r} is not here", hint=f"`lading pull {reference}` or `lading load`"
            )
        if platform:
            from lading.images.register import for_platform

            return for_platform(self, reference, image, platform)
        return image

    def _find(self, reference: str) -> Image | None:
        if is_digest(reference):
            return self.resolved.get(reference) or self._by_id(reference.partition(":")[2])
        if len(reference) == 64 and _HEX.issuperset(reference):
            return self._by_id(reference)
        try:
            parsed = Reference.parse(reference)
        except InvalidInput:
            found = self._by_id(reference) if reference and _HEX.issuperset(reference) else None
            found = found or self._by_alias(reference)
            if found is None:
                raise
            return found
        named = self.names.get(parsed)
        if named is not None:
            return self.resolved.get(named.image)
        if parsed.digest:
            return self._by_digest(parsed)
        found = self._by_id(reference) if len(reference) >= 4 and _HEX.issuperset(reference) else None
        return found or self._by_alias(reference)

    def _by_alias(self, text: str) -> Image | None:
        from lading.images.aliases import find

        return find(self, text)

    def _by_digest(self, wanted: Reference) -> Image | None:
        """``name@digest`` where any name of that repository stands for the digest (an index or a manifest)."""
        for reference, named in self.names.list():
            if reference.name == wanted.name and wanted.digest in (named.target.digest, named.image):
                return self.resolved.get(named.image)
        return None

    def _by_id(self, prefix: str) -> Image | None:
        found: dict[str, list[Image]] = {}
        for digest in self.resolved.list():
            image = self.resolved.get(digest)
            if image is None or image.kind == STEP:
                continue
            if image.id.partition(":")[2].startswith(prefix) or digest.partition(":")[2].startswith(prefix):
                found.setdefault(image.id, []).append(image)
        if len(found) > 1:
            raise InvalidInput(
                f"image id {prefix!r} is ambiguous: {len(found)} images begin with it", reason="ambiguous"
            )
        same = next(iter(found.values()), [])
        return same[0] if len(same) == 1 else self._newest(same)

    def _newest(self, same: builtins.list[Image]) -> Image | None:
        """Which of several images of one id is meant: the one that came last, where their names say when they came."""
        came = {alias.target.digest: alias.came for alias in self.aliases.list()} if same else {}
        return max(same, key=lambda image: came.get(image.digest, 0), default=None)

    def _names_of(self, digest: str) -> dict[str, str]:
        names = {r.familiar: named.target.digest for r, named in self.names.list() if named.image == digest}
        names.update((a.text, digest) for a in self.aliases.list() if a.target.digest == digest)
        return names

    def list(self) -> list[Image]:
        """Every local image, newest first; one with several names once, with all of them."""
        names: dict[str, dict[str, str]] = {}
        for reference, named in self.names.list():
            names.setdefault(named.image, {})[reference.familiar] = named.target.digest
        for alias in self.aliases.list():
            names.setdefault(alias.target.digest, {})[alias.text] = alias.target.digest
        images = []
        for digest in self.resolved.list():
            image = self.resolved.get(digest)
            if image is not None and image.kind != STEP:
                image._names = names.get(digest, {})
                images.append(image)
        images.sort(key=lambda i: i.created, reverse=True)
        return images

    # --- running ----------------------------------------------------------------------------------------------------

    def rootfs(self, image: Image, directory: str, *, volatile: bool = False) -> Rootfs:
        """Prepare a writable layer for a container of ``image`` below ``directory`` (made if absent): ``upper`` and ``work``.

        Where overlayfs cannot be used it is a private copy of the image instead (:mod:`lading.images.storage`). The caller
        records ``directory`` before, and removes it after. Mounting is the runtime's, inside the container.
        """
        upper, work = directory + "/upper", directory + "/work"
        userxattr = userns.inside() or os.geteuid() != 0
        # A container stays what it began as, whatever is chosen for new ones.
        if os.path.isdir(directory + "/copy") or (
            not os.path.isdir(upper) and self.storage(userxattr=userxattr).kind == "copy"
        ):
            from lading.images import copied

            return copied.rootfs(image, directory, volatile=volatile)
        try:
            os.makedirs(directory, mode=0o711, exist_ok=True)
            mode, uid, gid = image.owner
            made = False
            try:
                os.mkdir(upper, 0o755)
                made = True
            except FileExistsError:
                pass
            try:
                os.mkdir(work, 0o700)
            except FileExistsError:
                pass
            if made:
                # The upper directory's attributes are those of the container's root directory.
                if mode != 0o755:
                    os.chmod(upper, mode)
                if (uid, gid) != (0, 0) and os.geteuid() == 0:
                    os.chown(upper, uid, gid)
        except OSError as error:
            from lading.images.files import disk_error

            raise disk_error(error, f"cannot make the container's root below {directory}") from None
        return Rootfs(
            lower=image.layers,
            upper=upper,
            work=work,
            userxattr=userxattr,
            volatile=volatile,
        )

    def confirm(self, digest: str) -> None:
        """After what uses an image was recorded: it is here, and stays. Raises :class:`NotFound` if it was removed meanwhile.

        From now on it counts as used at this moment (:func:`lading.images.moments.used`).
        """
        if os.path.exists(f"{self.root}/{MARK}"):
            from lading.images.files import Lock

            Lock(self.root + "/lock", exclusive=False).wait()
        try:
            os.utime(self.resolved.path(digest))
        except FileNotFoundError:
            raise NotFound(f"image {digest} was removed meanwhile", hint="pull or load it again") from None
        except OSError:
            pass  # a store that this process may not write: the image is here all the same

    def storage(self, *, userxattr: bool | None = None) -> Choice:
        """How the roots of new containers are made: ``overlay`` or ``copy``, and why.

        Raises :class:`InvalidInput` for an unknown ``LADING_STORAGE``, :class:`Unsupported` where it asks for too much.
        """
        from lading.images.storage import choose

        if self._storage is None:
            if userxattr is None:
                userxattr = userns.inside() or os.geteuid() != 0
            self._storage = choose(self.root, self.kernel, userxattr=userxattr)
        return self._storage

    # --- changing ---------------------------------------------------------------------------------------------------

    def register(
        self,
        target: Descriptor,
        names: Collection[str],
        *,
        lease: Lease,
        platform: str = "",
        alias: Alias | None = None,
        pulled: bool = False,
    ) -> Image:
        """Make stored content an image: unpack what is not unpacked yet, record it, and give it ``names``.

        ``target`` is an index or a manifest in the content store. What pull, load, import and commit end with.
        ``alias`` is its name in the words of another format. ``pulled``: a registry says that the names mean it.
        """
        from lading.images.register import register

        return register(self, target, names, lease=lease, platform=platform, alias=alias, pulled=pulled)

    def tag(self, image: str | Image, name: str) -> None:
        """Let ``name`` stand for ``image`` (a reference or an :class:`Image`), moving it if it stood for another."""
        from lading.images.register import tag

        tag(self, image, name)

    def remove(self, reference: str, *, force: bool = False, in_use: InUse = ()) -> RemoveReport:
        """Untag, and remove what nothing refers to any more.

        ``in_use``: ids or digests of images that containers use; where containers can be made meanwhile, a function that
        says so when it is asked. Raises :class:`NotFound`, :class:`Conflict`.
        """
        from lading.images.remove import remove

        return remove(self, reference, force=force, in_use=in_use)

    def bootstrap(
        self, name: str, *, include: Collection[str] = (), progress: Callable[[str], None] | None = None
    ) -> Image:
        """Make a base image from Debian packages: ``busybox`` or ``debian:SUITE`` with the packages ``include``.

        Raises :class:`InvalidInput`, :class:`NotFound` (a tool or package is missing).
        """
        from lading.images.bootstrap import bootstrap

        return bootstrap(self, name, include=list(include), progress=progress or (lambda _: None))

    def history(self, image: Image) -> builtins.list[HistoryLine]:
        """How ``image`` was made, newest first, each step with the size of the layer it made."""
        from lading.images.history import history

        return history(self, image)

    def prune(self, *, in_use: InUse = (), all: bool = False) -> RemoveReport:
        """Remove images without a name (with ``all``: every image) that ``in_use`` does not speak of, and all leftovers."""
        from lading.images.maintenance import prune

        return prune(self, in_use=in_use, all=all)

    def usage(self, *, in_use: Collection[str] = ()) -> Usage:
        """Bytes on disk."""
        from lading.images.maintenance import usage

        return usage(self, in_use=in_use)

    def check(self, repair: bool = False, *, verify: bool = True) -> builtins.list[Finding]:
        """Look for what a crash, a full disk or a broken disk left. ``verify`` reads all content through.

        With ``repair`` leftovers are removed, broken content too, and layers unpacked again from their content.
        """
        from lading.images.maintenance import check

        return check(self, repair, verify=verify)

    # --- ways in and out --------------------------------------------------------------------------------------------

    def load(self, source: BinaryIO | str, *, platform: str = "") -> builtins.list[Image]:
        """Read images out of a docker-archive, an oci-archive (compressed or not) or the directory of an OCI layout.

        ``source``: a stream or a path. ``platform`` picks from an archive for several. Digests stay what they are.
        Raises :class:`InvalidInput` (``not-an-archive``…), :class:`Corrupt`, :class:`Exhausted`, :class:`NotFound`.
        """
        from lading.images.archive_load import load

        return load(self, source, platform=platform)

    def save(
        self,
        references: Sequence[str],
        out: BinaryIO | str,
        *,
        format: str = "docker-archive",
        platform: str = "",
    ) -> None:
        """Write images into one archive: ``docker-archive``, ``oci-archive``, or ``oci-dir`` (then ``out`` is a path)."""
        from lading.images.archive_save import save

        save(self, references, out, format=format, platform=platform)

    def import_(
        self,
        source: BinaryIO,
        *,
        changes: Sequence[str] = (),
        names: Collection[str] = (),
        message: str = "",
        platform: str = "",
    ) -> Image:
        """Make an image of a tar of files (compressed or not). ``changes``: Dockerfile instructions."""
        from lading.images.make import import_tar

        return import_tar(self, source, changes=changes, names=names, message=message, platform=platform)

    def commit(
        self,
        parent: Image,
        upper: str,
        *,
        config: RunConfig | None = None,
        changes: Sequence[str] = (),
        author: str = "",
        message: str = "",
        created_by: str = "",
        names: Collection[str] = (),
        lower: Sequence[str] = (),
        base: Sequence[str] = (),
    ) -> Image:
        """Make an image of ``parent`` and a container's writable directory ``upper``.

        ``config`` replaces the parent's, then ``changes`` (Dockerfile instructions) apply.
        ``lower``: the layers below ``upper``, so that mount points of the runtime's stay out.
        ``base``: the layers that ``upper`` is a copy of, when it is one (:class:`Rootfs`).
        """
        from lading.images.make import commit

        return commit(
            self,
            parent,
            config=config,
            changes=changes,
            author=author,
            message=message,
            created_by=created_by,
            names=names,
            rootfs=Rootfs(upper=upper, lower=list(lower), base=list(base)),
        )

    def changes(self, rootfs: Rootfs) -> Iterator[Change]:
        """What a container changed against its image: ``A``, ``C`` or ``D`` and a path."""
        from lading.images.changes import changes

        return changes(rootfs)

    def export(self, rootfs: Rootfs, out: BinaryIO) -> None:
        """Everything a container sees as one flat tar. Reads its layers; nothing is mounted."""
        from lading.images.files import disk_error
        from lading.images.pack import pack_union

        directories = ([rootfs.upper] if rootfs.upper else []) + rootfs.lower
        try:
            pack_union(directories, out.write)
            out.flush()
        except OSError as error:
            raise disk_error(error, "cannot export") from None

    def pull(
        self,
        reference: str,
        *,
        platform: str = "",
        options: PullOptions | None = None,
        progress: Progress | None = None,
    ) -> Image:
        """Fetch an image from its registry. See :mod:`lading.images.pull`."""
        from lading.images.pull import pull

        return pull(self, reference, platform=platform, options=options, progress=progress)

    def push(
        self,
        reference: str | Image,
        destination: str = "",
        *,
        options: PullOptions | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Send an image to a registry; the digest it has there. See :mod:`lading.images.push`."""
        from lading.images.push import push

        return push(self, reference, destination, options=options, progress=progress)
