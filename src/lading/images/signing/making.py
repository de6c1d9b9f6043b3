"""Signing: of images in the store, and of images at a registry that need not be here."""

from __future__ import annotations

import base64
import hashlib

from lading.errors import InvalidInput, NotFound, Unsupported
from lading.formats.oci_image import INDEXES, Descriptor
from lading.formats.reference import Reference
from lading.formats.signing import bundle
from lading.formats.signing.attached import Signature
from lading.formats.signing.payload import Payload
from lading.images.oci import MAX_MANIFEST, decode_index
from lading.images.pull import remotes
from lading.images.remote_http import Cancel
from lading.images.signing import kept
from lading.images.signing.kept import BUNDLE, Entry
from lading.images.travelling import compressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lading.formats.signing.keys import PrivateKey
    from lading.images import Images
    from lading.images.pull import PullOptions

_NESTED = 4


class Signing:
    """How to sign: with which ``key``, as which ``identity`` ("" is the image's name), in which form, saying what else."""

    def __init__(
        self, key: PrivateKey, *, identity: str = "", annotations: dict[str, str], form: str = kept.TAG
    ) -> None:
        self.key = key
        self.identity = identity
        self.annotations = annotations
        self.form = form

    def entry(self, reference: Reference, digest: str) -> Entry:
        """A signature of ``digest``."""
        said: dict[str, object] = dict(self.annotations)
        if self.form == BUNDLE:
            statement = bundle.statement(digest, said)
            signature = self.key.sign(bundle.message_of(statement))
            hint = base64.b64encode(hashlib.sha256(self.key.public.der).digest()).decode()
            return Entry(BUNDLE, bundle=bundle.encode(statement, signature, hint))
        payload = Payload(self.identity or claimed(reference), digest, said).encode()
        text = base64.b64encode(self.key.sign(payload)).decode()
        return Entry(self.form, signature=Signature(payload, text))

    def made(self, entry: Entry, reference: Reference, digest: str) -> bool:
        """Whether an entry already says with this key what a new one would."""
        wanted = Payload(self.identity or claimed(reference), digest, dict(self.annotations)).encode()
        found = entry.signature
        if entry.form != self.form or found is None or found.payload != wanted:
            return False
        return self.key.public.verifies(found.raw(), found.payload)


def claimed(reference: Reference) -> str:
    """The name a signature gives an image: with its tag; by its digest where there is none."""
    if reference.tag:
        return f"{reference.name}:{reference.tag}"
    return f"{reference.name}@{reference.digest}"


def check_identity(text: str) -> str:
    """A name to sign as, in full. Raises :class:`InvalidInput`."""
    parsed = Reference.parse(text, default_tag="")
    if parsed.canonical != text:
        raise InvalidInput(f"{text!r} is not a whole name", hint=f"write {parsed.canonical}")
    return text


def here(images: Images, text: str) -> tuple[Reference, Descriptor] | None:
    """The name and what it stands for in the store; None when it is not here. Raises :class:`InvalidInput` for an id."""
    reference = Reference.parse(text)
    named = images.names.get(reference)
    return None if named is None else (reference, named.target)


def travelling(images: Images, target: Descriptor) -> Descriptor:
    """What ``target`` will be pushed as, which its names stand for from now on: that is what a signature has to speak of."""
    with images.lease() as lease:
        return compressed(images, target, lease=lease)


def local_subjects(images: Images, target: Descriptor, *, recursive: bool) -> list[Descriptor]:
    """The digest to sign, and with ``recursive`` those of the manifests in an index too, as far as they are here."""

    def read(descriptor: Descriptor) -> bytes | None:
        content = images.content
        return content.read(descriptor.digest, limit=MAX_MANIFEST) if content.has(descriptor.digest) else None

    return list(_subjects(target, read, recursive, 0))


def remote_subjects(reference: Reference, options: PullOptions, *, recursive: bool) -> list[Descriptor]:
    """The same for an image at its registry. Raises :class:`NotFound` and what a registry's failure does."""
    remote = remotes(reference, options, Cancel(), actions="pull")[-1]
    try:
        found = remote.manifest(reference.target)

        def read(descriptor: Descriptor) -> bytes | None:
            return (
                found.data if descriptor.digest == found.digest else remote.manifest(descriptor.digest).data
            )

        target = Descriptor(media_type=found.media_type, digest=found.digest, size=len(found.data))
        return list(_subjects(target, read, recursive, 0))
    finally:
        remote.close()


def _subjects(
    target: Descriptor, read: Callable[[Descriptor], bytes | None], recursive: bool, depth: int
) -> Iterable[Descriptor]:
    yield target
    if not recursive or target.media_type not in INDEXES:
        return
    if depth >= _NESTED:
        raise Unsupported(f"index {target.digest} is nested more than {_NESTED} deep")
    data = read(target)
    if data is None:
        raise NotFound(f"index {target.digest} is not here", hint="pull it with --all-platforms")
    for entry in decode_index(data, target.digest).manifests:
        yield from _subjects(entry, read, recursive, depth + 1)
