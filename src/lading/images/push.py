"""Pushing: blobs first, in parallel, then manifests from the leaves up, the tag last, so that nobody sees half an image.

A blob the registry has is skipped, one that another repository of it has is mounted, the rest is uploaded (upload.py).

Source: distribution-spec, "Push".
"""

from __future__ import annotations

from lading.errors import InvalidInput, NotFound, Unsupported
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import INDEXES, OCI_INDEX, Descriptor, Index, Manifest
from lading.formats.reference import Reference
from lading.images.amending import amend
from lading.images.oci import MAX_MANIFEST, decode_index, format_of
from lading.images.pull import PullOptions, remotes
from lading.images.remote import Remote
from lading.images.remote_http import Cancel
from lading.images.transfer import WAITING, Progress, run_parallel
from lading.images.travelling import compressed
from lading.images.upload import Upload, check_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lading.images import Image, Images
    from lading.images.remote import FetchedManifest

PushOptions = PullOptions  # the same questions: where, as whom, how patiently, one platform or all

_NESTED = 4


def push(
    images: Images,
    reference: str | Image,
    destination: str = "",
    *,
    options: PullOptions | None = None,
    progress: Progress | None = None,
) -> str:
    """Upload the local image ``reference`` as ``destination`` ("" is its own name); returns the digest it has there.

    An index goes whole when all of its platforms are here, else the one image that is (``progress`` is told). Raises
    :class:`InvalidInput`, :class:`NotFound`, :class:`Denied`, :class:`RemoteError`, :class:`TimedOut`.
    """
    options = options or PullOptions()
    progress = progress or Progress()
    where = Reference.parse(destination or (reference if isinstance(reference, str) else ""))
    if where.digest:
        raise InvalidInput(f"cannot push to {where}: the digest follows from the content", hint="name a tag")
    cancel = Cancel()
    with images.lease() as lease:
        image = images.get(reference) if isinstance(reference, str) else reference
        target = _target(images, reference, image)
        lease.add(target.digest, image.digest)
        alone = format_of(image.descriptor.media_type).portable(images, image, lease).descriptor
        same = target.digest in (image.digest, alone.digest)
        alone = compressed(images, alone, lease=lease, say=progress.say)
        target = alone if same else compressed(images, target, lease=lease, say=progress.say)
        tree = _Tree(images, target)
        if tree.missing and target.digest != alone.digest:
            if options.all_platforms:
                raise NotFound(
                    f"content {tree.missing[0]} of {where.familiar} is not here",
                    hint="pull it with all platforms, then push again",
                )
            progress.say(
                f"only one platform of {where.familiar} is here: pushing that image instead of the index"
            )
            target = alone
            tree = _Tree(images, target)
        if tree.missing:
            raise NotFound(f"content {tree.missing[0]} of {where.familiar} is not here", hint="pull it again")
        lease.add(*(m.digest for m in tree.manifests), *tree.blobs)
        remote = remotes(where, options, cancel, actions="pull,push")[-1]
        try:
            sources = _sources(images, image, where, tree.blobs)
            _Push(images, remote, where, sources, options, progress, cancel).run(tree)
        except KeyboardInterrupt:
            cancel.pull()
            raise
        finally:
            remote.close()
    return target.digest


def push_manifest(
    images: Images,
    target: Descriptor,
    where: Reference,
    *,
    options: PullOptions | None = None,
    progress: Progress | None = None,
    there: Collection[str] = (),
) -> None:
    """Upload a stored manifest, which need not be an image, and all below it as ``where``. The caller's lease holds it all.

    ``there``: blobs that the repository has and this store need not. Raises as :func:`push` does.
    """
    options = options or PullOptions()
    tree = _Tree(images, target)
    for digest in tree.missing:
        if digest not in there:
            raise NotFound(f"content {digest} of {where.familiar} is not here")
    cancel = Cancel()
    remote = remotes(where, options, cancel, actions="pull,push")[-1]
    nowhere: dict[str, list[str]] = {digest: [] for digest in tree.blobs}
    try:
        _Push(images, remote, where, nowhere, options, progress or Progress(), cancel).run(tree)
    except KeyboardInterrupt:
        cancel.pull()
        raise
    finally:
        remote.close()


def _target(images: Images, reference: str | Image, image: Image) -> Descriptor:
    """What a name stands for, which may be an index; of an id, the image's manifest."""
    if isinstance(reference, str):
        try:
            named = images.names.get(Reference.parse(reference))
        except InvalidInput:
            named = None
        if named is not None and named.image == image.digest:
            return named.target
    return image.descriptor


def _sources(images: Images, image: Image, where: Reference, blobs: Collection[str]) -> dict[str, list[str]]:
    """For each blob, repositories of the same registry that are likely to have it: those of names whose images do.

    The image's own other names come first.
    """
    found: dict[str, list[str]] = {digest: [] for digest in blobs}
    known = [
        (r.repository, n)
        for r, n in images.names.list()
        if r.registry == where.registry and r.repository != where.repository
    ]
    seen = set()
    for repository, named in sorted(known, key=lambda k: k[1].image != image.digest):
        if (repository, named.target.digest) in seen:
            continue
        seen.add((repository, named.target.digest))
        try:
            form = format_of(named.target.media_type)
        except Unsupported:
            continue
        for descriptor in form.references(images.content, named.target):
            sources = found.get(descriptor.digest)
            if sources is not None and repository not in sources:
                sources.append(repository)
    return found


class _Tree:
    """Everything below a descriptor: ``manifests`` leaves first (the top is last), ``blobs`` by digest, ``missing`` digests."""

    def __init__(self, images: Images, target: Descriptor) -> None:
        self._content = images.content
        self.manifests: list[Descriptor] = []
        self.blobs: dict[str, Descriptor] = {}
        self.missing: list[str] = []
        self._seen: set[tuple[str, str]] = set()
        self._walk(target, 0)

    def _walk(self, target: Descriptor, depth: int) -> None:
        key = target.digest, target.media_type
        if key in self._seen:
            return
        self._seen.add(key)
        if not self._content.has(target.digest):
            self.missing.append(target.digest)
            return
        data = self._content.read(target.digest, limit=MAX_MANIFEST)
        if target.media_type in INDEXES:
            if depth >= _NESTED:
                raise Unsupported(f"index {target.digest} is nested more than {_NESTED} deep")
            for entry in decode_index(data, target.digest).manifests:
                self._walk(entry, depth + 1)
        else:
            what = f"manifest {target.digest}"
            manifest = Manifest.decode(jsontext.loads(data, what=what), where=what, strict=False)
            for descriptor in (manifest.config, *manifest.layers):
                here = self._content.has(digests.check(descriptor.digest))
                if here:
                    self.blobs.setdefault(descriptor.digest, descriptor)
                elif not descriptor.urls:  # a foreign layer stays where its URL says
                    self.missing.append(descriptor.digest)
        if all(m.digest != target.digest for m in self.manifests):
            self.manifests.append(target)


class _Push:
    def __init__(
        self,
        images: Images,
        remote: Remote,
        where: Reference,
        sources: dict[str, list[str]],
        options: PullOptions,
        progress: Progress,
        cancel: Cancel,
    ) -> None:
        self._content = images.content
        self._remote = remote
        self._where = where
        self._sources = sources
        self._options = options
        self._progress = progress
        self._cancel = cancel
        self._base = f"/v2/{remote.repository}"

    def run(self, tree: _Tree) -> None:
        jobs: list[Callable[[], None]] = []
        for digest, descriptor in tree.blobs.items():
            self._progress.layer(digest, WAITING, 0, descriptor.size)
            upload = Upload(self._remote, self._content, digest, self._progress)
            jobs.append(lambda u=upload, d=digest: u.run(self._sources[d]))  # type: ignore[misc]
        run_parallel(jobs, self._options.parallel, self._cancel)
        for descriptor in tree.manifests[:-1]:
            self._manifest(descriptor, descriptor.digest)
        top = tree.manifests[-1]
        self._manifest(top, self._where.tag or top.digest)

    # --- manifests --------------------------------------------------------------------------------------------------

    def _manifest(self, descriptor: Descriptor, target: str) -> None:
        data = self._content.read(descriptor.digest, limit=MAX_MANIFEST)
        what = f"manifest {self._where.name}:{target}"
        headers = {"Content-Type": descriptor.media_type}
        path = f"{self._base}/manifests/{target}"
        with self._remote.request("PUT", path, headers, data, good=(200, 201, 202), what=what) as answer:
            claimed = answer.header("Docker-Content-Digest").strip()
            listed = bool(answer.header("OCI-Subject"))
            answer.drain()
        check_digest(self._remote, claimed or self._remote.head_manifest(target), descriptor.digest, what)
        if not listed:
            self._refer(descriptor, data)

    def _refer(self, descriptor: Descriptor, data: bytes) -> None:
        """Enter a manifest that is about another one (``subject``) where registries without a referrers API keep such a list.

        Source: distribution-spec, "Pushing Manifests with Subject" and "Referrers Tag Schema".
        """
        what = f"manifest {descriptor.digest}"
        value = jsontext.loads(data, what=what)
        kind = Index if descriptor.media_type in INDEXES else Manifest
        made = kind.decode(value, where=what, strict=False)
        if made.subject is None:
            return
        config = made.config.media_type if isinstance(made, Manifest) else ""
        entry = Descriptor(
            media_type=descriptor.media_type,
            digest=descriptor.digest,
            size=len(data),
            artifact_type=made.artifact_type or config,
            annotations=made.annotations,
        )

        def add(found: FetchedManifest | None) -> bytes | None:
            index = (
                decode_index(found.data, found.digest) if found is not None else Index(media_type=OCI_INDEX)
            )
            if any(there.digest == entry.digest for there in index.manifests):
                return None
            index.manifests.append(entry)
            return jsontext.dumps(index.encode(), sort=True).encode()

        subject = made.subject.digest
        amend(self._remote, referrers_tag(subject), OCI_INDEX, add, what=f"referrers of {subject}")


def referrers_tag(digest: str) -> str:
    """The tag under which a registry without a referrers API lists what is about ``digest``. Raises :class:`InvalidInput`."""
    algorithm, text = digests.split(digest, what="subject")
    return f"{algorithm[:32]}-{text[:64]}"


__all__ = ["PushOptions", "push"]
