"""Signatures in the store, beside the images they sign: one pin a digest.

::

    pins/signature/sha256-HEX    ``about``: {"entries": [{"form", "payload" | "bundle", "signature", "annotations"}]}
    pins/verified/HEX            ``about``: {"digest"}: an image that met a policy; HEX is of all that was looked at

They hold no content: an image that is removed takes its signatures along (:func:`sweep`).
"""

from __future__ import annotations

import base64
import os

from lading.errors import Corrupt
from lading.formats.signing.attached import Signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.images import Images

KIND, VERIFIED = "signature", "verified"

TAG, REFERRER, BUNDLE = "tag", "referrer", "bundle"
FORMS = (TAG, REFERRER, BUNDLE)
"""How a registry keeps a signature: under cosign's tag, as a referrer with the same payload, or as a sigstore bundle."""


class Entry:
    """One signature: ``signature`` in the forms ``tag`` and ``referrer``, ``bundle`` (JSON as it is sent) in the third."""

    __slots__ = ("bundle", "form", "signature")

    def __init__(self, form: str, *, signature: Signature | None = None, bundle: bytes = b"") -> None:
        self.form = form
        self.signature = signature
        self.bundle = bundle

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return (self.signature, self.bundle) == (other.signature, other.bundle)

    def __hash__(self) -> int:
        return hash((self.signature, self.bundle))


def entries(images: Images, digest: str) -> list[Entry]:
    """What signs ``digest`` here. Raises :class:`Corrupt`."""
    pin = images.pins.get(KIND, _name(digest))
    if pin is None:
        return []
    try:
        return [_decode(value) for value in pin.about["entries"]]  # type: ignore[attr-defined]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Corrupt(
            f"the signatures of {digest} in the store are broken", hint="run `lading check --repair`"
        ) from None


def add(images: Images, digest: str, more: Sequence[Entry]) -> int:
    """Keep signatures of ``digest`` beside those that are kept; how many are new."""
    from lading.images.files import Lock

    os.makedirs(images.root, exist_ok=True)
    # Of two that sign at once, neither may write over what the other has added.
    with Lock(images.root + "/signatures.lock", exclusive=True):
        before = entries(images, digest)
        new = [entry for entry in dict.fromkeys(more) if entry not in before]
        if new:
            about: dict[str, object] = {"entries": [_encode(entry) for entry in (*before, *new)]}
            images.pins.put(KIND, _name(digest), holds=[], about=about)
    return len(new)


def remember(images: Images, mark: str, digest: str) -> None:
    """``digest`` met the policy of which ``mark`` is made."""
    images.pins.put(VERIFIED, mark, holds=[], about={"digest": digest})


def remembered(images: Images, mark: str) -> bool:
    """Whether :func:`remember` was told of ``mark``."""
    return os.path.exists(images.pins.path(VERIFIED, mark))


def sweep(images: Images) -> None:
    """Forget what is kept about content that is gone. Under the store's exclusive lock."""
    for kind in (KIND, VERIFIED):
        for pin in list(images.pins.list(kind)):
            digest = pin.name.replace("-", ":", 1) if kind == KIND else str(pin.about.get("digest"))
            if not images.content.has(digest):
                images.pins.remove(kind, pin.name, locked=True)


def _name(digest: str) -> str:
    return digest.replace(":", "-", 1)


def _encode(entry: Entry) -> dict[str, object]:
    if entry.signature is None:
        return {"form": entry.form, "bundle": base64.b64encode(entry.bundle).decode()}
    signature = entry.signature
    return {
        "form": entry.form,
        "payload": base64.b64encode(signature.payload).decode(),
        "signature": signature.signature,
        "annotations": signature.annotations,
    }


def _decode(value: dict[str, object]) -> Entry:
    form = str(value["form"])
    if form not in FORMS:
        raise ValueError(form)
    if form == BUNDLE:
        return Entry(form, bundle=base64.b64decode(str(value["bundle"]), validate=True))
    annotations = value.get("annotations") or {}
    if not isinstance(annotations, dict):
        raise TypeError
    payload = base64.b64decode(str(value["payload"]), validate=True)
    return Entry(form, signature=Signature(payload, str(value["signature"]), annotations))
