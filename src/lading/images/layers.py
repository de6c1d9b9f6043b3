"""Unpacked layers: one directory a layer, made once, shared by every image and container that has it.

::

    layers/KEY/fs           the layer in overlayfs's terms
    layers/KEY/layer.json   what it is; the directory appears by one rename, so it is whole or absent
    layers/KEY/travels.json which blob it became, where it was made here (travelling.py)
    layers/KEY/unsettled    there while a power cut could still take files of it: no durable record may name such a layer. It
                            says when the machine was started; at another start the layer is as good as not there
    staging/NAME/           a layer on its way, locked by the process that makes it

KEY comes from the layer's diff-id (the digest of its uncompressed tar), not from what is below it: layers unpack in
parallel and in any order. What an archive says about the layers below it (a parent directory it does not contain, a hard
link to a file it does not contain) is kept in ``layer.json`` and mended when layers are stacked (stacking.py).
"""

from __future__ import annotations

import os

from lading.errors import Corrupt, LadingError
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.images.compression import decompress
from lading.images.files import (
    Lock,
    disk_error,
    read,
    remove_tree,
    sync_directory,
    sync_file_system,
    try_lock,
    write_atomically,
)
from lading.images.leases import Lease
from lading.images.limits import Limits
from lading.images.rooted import RootedReader
from lading.images.source import ROOTFS, layer_key
from lading.images.tarread import TarReader
from lading.images.unpack import Extractor
from lading.images.unpacked import Tar, Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lading.images.content import ContentStore, Ingest
    from lading.images.source import Source

_PIECES_AHEAD = 8
UNSETTLED = "unsettled"


class Layer:
    """An unpacked layer. ``size``: bytes of its files; ``dialect`` as in :class:`Source`, the rest as in :class:`Unpacked`.

    ``tar``: the archive that it can be packed to again (rendering.py), None where its archive is somebody else's.
    """

    __slots__ = ("dialect", "diff_id", "entries", "implicit", "key", "links", "notes", "path", "size", "tar")

    def __init__(self, path: str, key: str, record: dict[str, object]) -> None:
        self.path = path
        self.key = key
        self.diff_id = str(record["diffID"])
        self.dialect = str(record.get("dialect", ""))
        self.size = int(record["size"])  # type: ignore[call-overload]
        self.entries = int(record["entries"])  # type: ignore[call-overload]
        self.implicit = [str(n).encode("latin-1") for n in record["implicit"]]  # type: ignore[attr-defined]
        self.links = [
            (str(n).encode("latin-1"), str(t).encode("latin-1"))
            for n, t in record["links"]  # type: ignore[attr-defined]
        ]
        self.notes = [str(n) for n in record["notes"]]  # type: ignore[attr-defined]
        self.tar = Tar.decode(record["tar"]) if "tar" in record else None


class LayerStore:
    """Unpacked layers below ``root`` (the image store's directory)."""

    def __init__(self, root: str, limits: Limits | None = None) -> None:
        self.root = root
        self.limits = limits
        self._layers = root + "/layers"
        self._staging = root + "/staging"

    def directory(self, key: str) -> str:
        """The layer's root directory, whether it is there or not."""
        return f"{self._layers}/{key}/fs"

    def get(self, source: Source) -> Layer | None:
        """The unpacked layer, None when it is not here. Raises :class:`Corrupt` when its record is broken."""
        layer = self.by_key(source.key)
        if layer is not None and layer.diff_id != source.diff_id:
            raise Corrupt(
                f"layer {layer.key} is {layer.diff_id}, not {source.diff_id}",
                hint="run `lading check --repair`",
            )
        return layer

    def by_key(self, key: str) -> Layer | None:
        """The unpacked layer in ``layers/KEY``, None when it is not here."""
        data = read(f"{self._layers}/{key}/layer.json")
        marked = read(f"{self._layers}/{key}/{UNSETTLED}")
        if marked is not None and marked != _boot():
            self._forget(key)
            data = None
        if data is None:
            return None
        try:
            return Layer(f"{self._layers}/{key}/fs", key, jsontext.loads(data))
        except (LadingError, AssertionError, KeyError, TypeError, ValueError):
            raise Corrupt(
                f"the record of layer {key} is broken", hint="run `lading check --repair`"
            ) from None

    def _forget(self, key: str) -> None:
        """Remove what a power cut may have left half of. Nothing names it."""
        with self.stage(locked=True) as staging:
            try:
                os.rename(f"{self._layers}/{key}", staging.path + "/gone")
            except FileNotFoundError:
                pass

    def list(self) -> list[str]:
        """Keys of all unpacked layers."""
        try:
            return sorted(os.listdir(self._layers))
        except FileNotFoundError:
            return []

    def settle(self, keys: Iterable[str]) -> None:
        """Return when nothing can take these layers away any more; before a durable record names them."""
        loose = [key for key in keys if os.path.lexists(f"{self._layers}/{key}/{UNSETTLED}")]
        if not loose:
            return
        fd = os.open(self._layers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_file_system(fd)
        finally:
            os.close(fd)
        for key in loose:
            try:
                os.unlink(f"{self._layers}/{key}/{UNSETTLED}")
            except FileNotFoundError:
                pass  # somebody else has waited, too

    def settled(self, key: str) -> bool:
        """Whether nobody has to wait for the layer."""
        return not os.path.lexists(f"{self._layers}/{key}/{UNSETTLED}")

    def stage(self, *, locked: bool = False) -> Staging:
        """A fresh directory to make a layer in. ``locked``: the caller holds the store's lock already."""
        return Staging(self, locked)

    def unpack(self, pieces: Iterable[bytes], source: Source, *, lease: Lease) -> Layer:
        """Unpack an archive (compressed or not) whose uncompressed digest must be that of ``source``.

        ``pieces``: the archive's bytes in any sizes, for example straight off a socket. Does nothing to ``pieces`` when the
        layer is here already. Raises :class:`Corrupt` (``diff-id-mismatch``…), and whatever :class:`Extractor` raises; then
        nothing is left behind.
        """
        lease.add("layer:" + source.key)
        found = self.get(source)
        if found is not None:
            return found
        unpacker = LayerUnpacker(self, source.diff_id, source.dialect, lease=lease)
        try:
            for piece in pieces:
                unpacker.write(piece)
            return unpacker.finish()
        finally:
            unpacker.abort()
            # A generator stopped half-way keeps its file open for as long as somebody holds the traceback.
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def receive(self, content: ContentStore, source: Source, *, lease: Lease) -> LayerSink | None:
        """Begin or resume fetching a layer blob and unpacking it at once; None when both are here already.

        Feed the sink from its ``offset`` on. This is the puller's pipeline: bytes → digest ‖ decompress → diff-id ‖ extract.
        """
        digest = source.blob.digest
        lease.add(digest, "layer:" + source.key)
        unpacked = self.get(source) is not None
        if content.has(digest):
            if not unpacked:
                self.unpack(content.chunks(digest), source, lease=lease)
            return None
        return LayerSink(
            content.ingest(digest, source.blob.size, lease=lease),
            None if unpacked else LayerUnpacker(self, source.diff_id, source.dialect, lease=lease),
        )


def _boot() -> bytes:
    """What this start of the machine is called (random(4), ``boot_id``)."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read()
    except OSError:
        return b"unknown"


class Staging:
    """A directory on its way to become a layer; a context manager that removes it unless it was published."""

    def __init__(self, store: LayerStore, locked: bool) -> None:
        self._store = store
        self.path = f"{store._staging}/{os.getpid()}-{os.urandom(6).hex()}"
        try:
            os.makedirs(store._staging, mode=0o700, exist_ok=True)
            os.makedirs(store._layers, mode=0o700, exist_ok=True)
            if locked:
                self._make()
            else:
                # Under the store's lock: a repair between creation and locking would take it for a leftover.
                with Lock(store.root + "/lock", exclusive=False):
                    self._make()
            os.mkdir(self.fs, 0o755)
        except OSError as error:
            raise disk_error(error, f"cannot write below {store.root}") from None

    def _make(self) -> None:
        os.mkdir(self.path, 0o700)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try_lock(self._fd)

    @property
    def fs(self) -> str:
        """The directory that becomes the layer's root."""
        return self.path + "/fs"

    def publish(
        self,
        key: str,
        diff_id: str,
        contents: Unpacked,
        *,
        dialect: str = "",
        durable: bool = True,
        tar: Tar | None = None,
    ) -> Layer:
        """Give the layer its place. When another process was faster, theirs is taken: the content is the same.

        Without ``durable`` its files reach the disk when they do, and :meth:`LayerStore.settle` waits for it.
        ``tar``: packing it gives the archive of its diff-id again.
        """
        record: dict[str, object] = {
            "diffID": diff_id,
            "size": contents.size,
            "entries": contents.entries,
            "implicit": [n.decode("latin-1") for n in contents.implicit],
            "links": [[n.decode("latin-1"), t.decode("latin-1")] for n, t in contents.links],
            "notes": contents.notes,
        }
        if dialect:
            record["dialect"] = dialect
        if tar is not None:
            record["tar"] = tar.encode()
        write_atomically(self.path + "/layer.json", jsontext.dumps(record).encode())
        if durable:
            # The rename below survives a power cut, so the files must: one sync for thousands of them.
            sync_file_system(self._fd)
        else:
            with open(f"{self.path}/{UNSETTLED}", "wb") as file:
                file.write(_boot())
        final = f"{self._store._layers}/{key}"
        try:
            os.rename(self.path, final)
        except OSError as error:
            if not os.path.isdir(final):
                raise disk_error(error, f"cannot store layer {diff_id}") from None
            self.discard()
        if durable:
            sync_directory(self._store._layers)  # an image's record that is durable needs a layer that is
        self._close()
        return Layer(final + "/fs", key, record)

    def discard(self) -> None:
        """Remove it."""
        if self._fd >= 0:
            remove_tree(self.path)
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class LayerUnpacker:
    """Takes an archive's bytes as they come and unpacks them behind the caller's back, in two threads.

    One decompresses and computes the diff-id (both release the interpreter's lock), the other extracts. ``write`` waits when
    they fall behind, so that memory stays bounded. ``abort`` after ``finish`` does nothing.

    Of a ``diff_id`` without digits (``sha512:``) it is :meth:`arrived` that tells which it is.
    """

    def __init__(self, store: LayerStore, diff_id: str, dialect: str = "", *, lease: Lease) -> None:
        import threading

        self._lease = lease
        self._dialect = dialect
        self._diff_id = diff_id
        self._what = "the archive" if diff_id.endswith(":") else f"layer {diff_id}"
        self.manifest = b""  # of an archive that has one
        self._limits = store.limits or Limits.from_environment()
        self._staging: Staging | None = store.stage()
        self._input = Pipe(_PIECES_AHEAD)
        self._plain = Pipe(_PIECES_AHEAD)
        self._received = 0
        self._error: BaseException | None = None
        self._contents: Unpacked | None = None
        self._found = ""
        self._threads = [
            threading.Thread(target=self._run, args=(self._decompress,), daemon=True),
            threading.Thread(target=self._run, args=(self._extract, self._staging.fs), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def write(self, data: bytes) -> None:
        """Take the next bytes of the (compressed) archive. Raises what went wrong behind, as soon as it is known."""
        if self._error is not None:
            raise self._error
        self._received += len(data)
        try:
            self._input.put(data)
        except LadingError as error:  # it failed while this waited
            raise self._error or error from None

    def arrived(self) -> str:
        """Wait for the rest; the diff-id of what came."""
        self._input.end()
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error
        return self._found

    def publish(self) -> Layer:
        """Give what :meth:`arrived` its place among the layers."""
        assert self._contents is not None and self._staging is not None
        key = layer_key(self._found, self._dialect)
        self._lease.add("layer:" + key)
        layer = self._staging.publish(key, self._found, self._contents, dialect=self._dialect)
        self._staging = None
        return layer

    def finish(self) -> Layer:
        """Wait for the rest, check the diff-id, and publish the layer."""
        if self.arrived() != self._diff_id:
            raise Corrupt(
                f"layer {self._diff_id}: what arrived unpacks to {self._found}", reason="diff-id-mismatch"
            )
        return self.publish()

    def abort(self) -> None:
        """Stop, and remove what was made."""
        if self._staging is None:
            return
        self._fail(LadingError("unpacking was given up", reason="aborted"))
        for thread in self._threads:
            thread.join()
        self._staging.discard()
        self._staging = None

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._input.close()
        self._plain.close()

    def _run(self, work: object, *arguments: object) -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException as error:
            self._fail(error)

    def _decompress(self) -> None:
        algorithm = self._diff_id.partition(":")[0]
        made = digests.hasher(algorithm)
        limits = self._limits
        total = 0
        for piece in decompress(self._input, what=self._what):
            self._plain.put(piece)
            made.update(piece)
            total += len(piece)
            if total > limits.ratio_after and total > limits.ratio * self._received:
                raise _bomb(self._what, limits.ratio)
        self._plain.end()
        self._found = f"{algorithm}:{made.hexdigest()}"

    def _extract(self, directory: str) -> None:
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        rooted = RootedReader(self._plain) if self._dialect == ROOTFS else None
        extractor = Extractor(root, limits=self._limits, differences=rooted is None)
        try:
            reader = rooted or TarReader(self._plain)
            self._contents = extractor.extract(reader)
            reader.stream.drain()
            if rooted is not None:
                self.manifest = rooted.manifest or b""
        finally:
            extractor.close()
            os.close(root)


class LayerSink:
    """A layer blob on its way: stored, verified, and unpacked while it arrives. A context manager.

    ``offset``  where the source has to continue; grows with every write. Leaving without :meth:`commit` keeps the received
    bytes for another attempt and removes what was unpacked of them.
    """

    def __init__(self, ingest: Ingest, unpacker: LayerUnpacker | None) -> None:
        self._ingest = ingest
        self._unpacker = unpacker
        self.digest = ingest.digest
        self.size = ingest.size
        if unpacker is not None:
            for piece in ingest.received():
                unpacker.write(piece)

    @property
    def offset(self) -> int:
        """Bytes of the blob that are here."""
        return self._ingest.offset

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises :class:`Corrupt`, :class:`Exhausted`, :class:`InvalidInput` (hostile archive)."""
        self._ingest.write(data)
        if self._unpacker is not None:
            self._unpacker.write(data)

    def commit(self) -> None:
        """The blob is complete: verify its digest, store it, and publish the unpacked layer."""
        try:
            self._ingest.verify()
            if self._unpacker is not None:
                self._unpacker.finish()
            self._ingest.commit()
        finally:
            self.close()

    def abort(self) -> None:
        """Throw everything away, the received bytes too."""
        self._ingest.abort()
        self.close()

    def close(self) -> None:
        """Let go; received bytes stay for resuming."""
        if self._unpacker is not None:
            self._unpacker.abort()
        self._ingest.close()

    def __enter__(self) -> LayerSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pipe:
    """Pieces of bytes from one thread to another, a bounded number on the way."""

    def __init__(self, ahead: int) -> None:
        import queue
        import threading

        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(ahead)
        self._closed = False

    def put(self, data: bytes) -> None:
        """Hand over a piece; waits while too many are on their way. Raises :class:`LadingError` after :meth:`close`."""
        if not self._closed:
            self._room.acquire()
        if self._closed:
            raise LadingError("unpacking was given up", reason="aborted")
        self._queue.put(data)

    def end(self) -> None:
        """Nothing comes any more."""
        self._queue.put(None)

    def close(self) -> None:
        """Wake both ends: the writer fails, the reader sees the end."""
        self._closed = True
        self._room.release()
        self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            data = self._queue.get()
            if data is None or self._closed:
                return
            self._room.release()
            yield data


def _bomb(what: str, ratio: int) -> LadingError:
    from lading.errors import Exhausted

    return Exhausted(f"{what}: unpacks to more than {ratio} times its size", reason="too-large")
