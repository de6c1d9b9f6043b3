"""Layers that are kept once: unpacked. What was made here is packed to the same archive again whenever somebody wants its bytes.

A manifest of an image made here names such a layer by its diff-id, as an uncompressed archive. So a layer costs no time to
compress and no second place on the disk before it travels (:mod:`lading.images.travelling`). Everything that asks whether a
blob is here, how large it is and what is in it, asks here: the blob may be a file of the content store, or a layer.

The collector keeps a layer as long as something names its archive.
"""

from __future__ import annotations

from lading.errors import Corrupt
from lading.formats import digest as digests
from lading.images.pack import packed_changes
from lading.images.source import layer_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lading.images import Images
    from lading.images.layers import Layer

_PIECE = 1 << 20
_AHEAD = 8


def layer_of(images: Images, digest: str) -> Layer | None:
    """The unpacked layer whose archive has this digest, where packing it gives that archive; None where there is none.

    Raises :class:`Corrupt` for one whose record is broken.
    """
    layer = images.layers.by_key(layer_key(digest))
    return layer if layer is not None and layer.tar is not None and layer.diff_id == digest else None


def has(images: Images, digest: str) -> bool:
    """Whether the blob is here, as a file or as a layer."""
    return images.content.has(digest) or layer_of(images, digest) is not None


def size(images: Images, digest: str) -> int:
    """Its size in bytes. Raises :class:`NotFound`."""
    if not images.content.has(digest):
        layer = layer_of(images, digest)
        if layer is not None and layer.tar is not None:
            return layer.tar.size
    return images.content.size(digest)


def verified(images: Images, digest: str) -> Iterator[bytes]:
    """The blob in pieces, never more than :func:`size`.

    Raises :class:`NotFound`, and :class:`Corrupt` after the last piece of what is something else.
    """
    layer = None if images.content.has(digest) else layer_of(images, digest)
    if layer is None:
        yield from images.content.verified(digest)
        return
    assert layer.tar is not None
    made = digests.hasher(digest.partition(":")[0])
    left = layer.tar.size
    for piece in _pieces(lambda out: render(layer, out)):
        made.update(piece)
        left -= len(piece)
        if left < 0:  # before somebody gets more than he was told of
            raise changed(digest)
        yield piece
    if left or made.hexdigest() != digest.partition(":")[2]:
        raise changed(digest)


def render(layer: Layer, out: Callable[[bytes], object]) -> None:
    """Pack a layer that has a :class:`~lading.images.unpacked.Tar`: its archive, not verified."""
    assert layer.tar is not None
    packed_changes(layer.path, out, holes=layer.tar.holes, told=b"" not in layer.implicit)


def intact(layer: Layer) -> bool:
    """Whether a layer's files are still those that its diff-id speaks of: all of them are read."""
    made = digests.hasher(layer.diff_id.partition(":")[0])
    try:
        render(layer, made.update)
    except Exception:  # whatever is wrong with them, they are not what they were
        return False
    return layer.diff_id.partition(":")[2] == made.hexdigest()


def changed(digest: str) -> Corrupt:
    """The error for a layer that is no more what its diff-id says."""
    return Corrupt(
        f"layer {digests.short(digest)}: its files are not those it was made of",
        hint="`lading check` tells which images have it: make them again",
        reason="diff-id-mismatch",
    )


def _pieces(produce: Callable[[Callable[[bytes], object]], None]) -> Iterator[bytes]:
    """What ``produce`` hands to the function that it gets, in pieces of some size: a producer made a generator by a thread."""
    import threading
    from queue import SimpleQueue

    waiting: SimpleQueue[bytes | BaseException | None] = SimpleQueue()
    room = threading.Semaphore(_AHEAD)
    given_up = False
    pending = bytearray()

    def put(piece: bytes) -> None:
        room.acquire()
        if given_up:
            raise _GivenUp
        waiting.put(piece)

    def take(data: bytes) -> None:
        pending.extend(data)
        if len(pending) >= _PIECE:
            put(bytes(pending))
            pending.clear()

    def run() -> None:
        try:
            produce(take)
            put(bytes(pending))
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            piece = waiting.get()
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            room.release()
            if piece:
                yield piece
    finally:
        given_up = True
        room.release()
        thread.join()


class _GivenUp(Exception):
    """Nobody reads any more."""
