"""Pushing: blobs first, in parallel, then manifests from the leaves up, the tag last, so that nobody sees half an image.

A blob the registry has is skipped, one that another repository of it has is mounted, the rest is uploaded in one request;
after a broken connection the upload is asked how far it got and continued in chunks.

Source: distribution-spec, "Push".
"""

from __future__ import annotations

import os

from lading.errors import Corrupt, InvalidInput, LadingError, NotFound, RemoteError, TimedOut, Unsupported
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import INDEXES, Descriptor, Manifest
from lading.formats.reference import Reference
from lading.images.auth_token import repository_scope
from lading.images.oci import MAX_MANIFEST, decode_index, format_of
from lading.images.pull import PullOptions, remotes
from lading.images.remote import ATTEMPTS, Remote, backoff
from lading.images.remote_http import BrokenConnection, Cancel
from lading.images.transfer import DONE, EXISTS, MOUNTED, RETRYING, UPLOADING, WAITING, Progress, run_parallel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lading.images import Image, Images
    from lading.images.remote_http import Response

PushOptions = PullOptions  # the same questions: where, as whom, how patiently, one platform or all

CHUNK = 16 << 20
_PIECE = 1 << 18
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
        if target.digest == image.digest:
            target = alone
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
            _Push(images, remote, where, _sources(image, where), options, progress, cancel).run(tree)
        except KeyboardInterrupt:
            cancel.pull()
            raise
        finally:
            remote.close()
    return target.digest


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


def _sources(image: Image, where: Reference) -> list[str]:
    """Repositories of the same registry that are likely to have the image's blobs already: its other names."""
    names = [Reference.parse(name) for name in image.names]
    return list(
        dict.fromkeys(
            n.repository for n in names if n.registry == where.registry and n.repository != where.repository
        )
    )


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
        sources: list[str],
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
        for descriptor in tree.blobs.values():
            self._progress.layer(descriptor.digest, WAITING, 0, descriptor.size)
            jobs.append(lambda d=descriptor: self._blob(d))  # type: ignore[misc]
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
            answer.drain()
        self._check(claimed or self._remote.head_manifest(target), descriptor.digest, what)

    def _check(self, claimed: str, digest: str, what: str) -> None:
        if claimed and claimed != digest and claimed.partition(":")[0] == digest.partition(":")[0]:
            raise Corrupt(
                f"{what}: {self._remote.endpoint.host} stored {claimed[:150]!r} where {digest} was sent",
                reason="digest-mismatch",
            )

    # --- blobs ------------------------------------------------------------------------------------------------------

    def _blob(self, descriptor: Descriptor) -> None:
        digest, size = descriptor.digest, self._content.size(descriptor.digest)
        if self._remote.has_blob(digest):
            self._progress.layer(digest, EXISTS, size, size)
            return
        location = self._mount(digest, size)
        if location is None:
            return
        failures = 0
        while True:
            try:
                self._upload(location, digest, size, resumed=failures > 0)
                break
            except (BrokenConnection, TimedOut, RemoteError) as error:
                failures += 1
                self._cancel.check()
                if failures >= ATTEMPTS or error.reason not in (
                    "connection",
                    "stalled",
                    "connect",
                    "status",
                    "range",
                ):
                    self._give_up(location)
                    raise
                self._progress.layer(digest, RETRYING, 0, size)
                self._progress.say(f"{error.message}; trying again")
                self._cancel.sleep(backoff(failures))
                location = self._begin(digest) if error.reason == "status" else location
            except BaseException:
                self._give_up(location)
                raise
        self._progress.layer(digest, DONE, size, size)

    def _mount(self, digest: str, size: int) -> str | None:
        """Let the registry take the blob from another repository: None when it did, else where to upload it."""
        for source in self._sources[:3]:
            path = f"{self._base}/blobs/uploads/?mount={digest}&from={source}"
            try:
                scopes = [repository_scope(self._remote.endpoint.prefix + source, "pull")]
                answer = self._remote.request(
                    "POST", path, good=(201, 202), what=f"blob {digest}", scopes=scopes
                )
            except (LadingError, OSError):
                self._cancel.check()  # no right to read the other repository, or no mounting here: upload
                continue
            with answer:
                answer.drain()
                if answer.status == 201:
                    self._progress.layer(digest, MOUNTED, size, size)
                    return None
                return self._location(answer, digest)
        return self._begin(digest)

    def _begin(self, digest: str) -> str:
        with self._remote.request(
            "POST", f"{self._base}/blobs/uploads/", good=(202,), what=f"blob {digest}"
        ) as answer:
            answer.drain()
            return self._location(answer, digest)

    def _location(self, answer: Response, digest: str) -> str:
        return self._remote.location(answer.url, answer.header("Location"), f"upload of {digest}")

    def _upload(self, location: str, digest: str, size: int, *, resumed: bool) -> None:
        offset = 0
        if resumed:
            location, offset = self._status(location, digest)
        if offset:
            while offset < size:
                end = min(offset + CHUNK, size)
                location, offset = self._patch(location, digest, offset, end, size)
        body = self._pieces(digest, offset, size, size)
        what = f"upload of {digest}"
        target = location + ("&" if "?" in location else "?") + f"digest={digest}"
        headers = {"Content-Type": "application/octet-stream"}
        with self._remote.request(
            "PUT", target, headers, body, length=size - offset, good=(201, 204), what=what, repeat=False
        ) as answer:
            claimed = answer.header("Docker-Content-Digest").strip()
            answer.drain()
        self._check(claimed, digest, what)

    def _patch(self, location: str, digest: str, offset: int, end: int, size: int) -> tuple[str, int]:
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{offset}-{end - 1}"}
        with self._remote.request(
            "PATCH",
            location,
            headers,
            self._pieces(digest, offset, end, size),
            length=end - offset,
            good=(202, 204),
            what=f"upload of {digest}",
            repeat=False,
        ) as answer:
            answer.drain()
            return self._location(answer, digest), self._reached(answer, offset, size)

    def _status(self, location: str, digest: str) -> tuple[str, int]:
        """How much of an upload the registry has, and where to go on; a fresh upload when it has forgotten it."""
        try:
            with self._remote.request("GET", location, good=(204, 202), what=f"upload of {digest}") as answer:
                answer.drain()
                following = self._location(answer, digest) if answer.header("Location") else location
                return following, self._reached(answer, 0, self._content.size(digest))
        except (NotFound, RemoteError):
            self._cancel.check()
            return self._begin(digest), 0

    @staticmethod
    def _reached(answer: Response, least: int, size: int) -> int:
        """The first byte the registry does not have, from ``Range: 0-N``. Raises :class:`RemoteError` for nonsense."""
        header = answer.header("Range").strip().removeprefix("bytes=")
        first, _, last = header.partition("-")
        if not header or header == "0-0":  # registries say 0-0 for nothing and for one byte alike
            return least
        if first != "0" or not last.isascii() or not last.isdigit() or not least <= int(last) + 1 <= size:
            raise RemoteError(f"{answer.url}: the registry says it has {header[:40]!r}", reason="range")
        return int(last) + 1

    def _pieces(self, digest: str, offset: int, end: int, size: int) -> Iterator[bytes]:
        fd = self._content.open(digest)
        try:
            while offset < end:
                self._cancel.check()
                piece = os.pread(fd, min(_PIECE, end - offset), offset)
                if not piece:
                    raise Corrupt(f"content {digest} is shorter than it was")
                self._progress.layer(digest, UPLOADING, offset, size)
                offset += len(piece)
                yield piece
        finally:
            os.close(fd)

    def _give_up(self, location: str) -> None:
        """Tell the registry that an upload will not be finished; best effort, and only when there is still a connection."""
        if self._cancel.set:
            return
        try:
            with self._remote.request("DELETE", location, good=(204, 202, 404), repeat=False) as answer:
                answer.drain()
        except LadingError:
            pass


__all__ = ["PushOptions", "push"]
