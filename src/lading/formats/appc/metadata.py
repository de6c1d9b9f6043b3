"""What the metadata service answers: requests in, answers out, no sockets.

Source: spec/ace.md, "App Container Metadata Service" and "Identity Endpoint"; RFC 2104. Clients compare content types as text,
and the specification's validator compares absent lists with ``null``. The signature is HMAC-SHA512 over the 16 bytes of
the pod's UUID and the content, as in the reference implementation, so one key per administrative domain lets every pod verify
what another one signed.
"""

from __future__ import annotations

import binascii
from _operator import (
    _compare_digest as compare_digest,
)  # hmac's own, without the import of OpenSSL that comes with it

from lading.errors import InvalidInput
from lading.formats import jsontext
from lading.formats.appc.labels import merged
from lading.formats.appc.values import uuid_bytes, uuid_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lading.formats.appc.image import ImageManifest
    from lading.formats.appc.labels import Annotation
    from lading.formats.appc.pod import PodManifest

BASE = "/acMetadata/v1"
JSON, TEXT = "application/json", "text/plain; charset=us-ascii"
LARGEST_BODY = 1 << 20
"""Bytes of a form; the specification states no limit."""
LEAST_TOKEN = 32
"""Characters of a token: well above the 128 bits that the specification asks for, in any alphabet of sixteen or more."""


class Answer:
    """An HTTP answer. ``allow`` goes into a header of that name where the method was wrong."""

    __slots__ = ("allow", "body", "content_type", "status")

    def __init__(self, status: int, body: bytes, content_type: str = TEXT, allow: str = "") -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.allow = allow


class Service:
    """One pod's metadata. ``manifest`` is reified; ``images`` has each app's image manifest by the app's name.

    ``originals`` are the bytes of those manifests as they are in the archives: what an app reads is what was signed.
    """

    def __init__(
        self,
        *,
        token: str,
        uuid: str,
        key: bytes,
        manifest: PodManifest,
        images: Mapping[str, ImageManifest],
        originals: Mapping[str, bytes],
    ) -> None:
        if len(token) < LEAST_TOKEN or not token.isascii() or not token.isalnum():
            raise InvalidInput(f"a metadata token has {LEAST_TOKEN} letters and digits or more")
        self._token = token.encode()
        self._key = key
        self._uuid = uuid_bytes(uuid)
        self._get = {
            "/pod/annotations": Answer(200, _list(manifest.annotations), JSON),
            "/pod/manifest": Answer(200, manifest.text().encode(), JSON),
            "/pod/uuid": Answer(200, uuid_text(self._uuid).encode()),
        }
        for app in manifest.apps:
            base = f"/apps/{app.name}"
            both = merged(images[app.name].annotations, app.annotations)
            self._get[base + "/annotations"] = Answer(200, _list(both), JSON)
            self._get[base + "/image/manifest"] = Answer(200, originals[app.name], JSON)
            self._get[base + "/image/id"] = Answer(200, app.image.id.encode())
        self._post = {"/pod/hmac/sign": self._sign, "/pod/hmac/verify": self._verify}

    def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
        """The answer to a request for ``target`` (path and query). ``body`` is a form, for POST."""
        path = target.partition("?")[0]
        token, slash, rest = path.removeprefix("/").partition("/")
        if not compare_digest(token.encode("utf-8", "replace"), self._token):
            return Answer(401, b"this is not your pod\n")
        rest = slash + rest
        if not rest.startswith(BASE + "/"):
            return Answer(404, b"not found\n")
        entry = rest[len(BASE) :]
        found = self._get.get(entry)
        if found is not None:
            return found if method in ("GET", "HEAD") else Answer(405, b"GET only\n", allow="GET, HEAD")
        act = self._post.get(entry)
        if act is None:
            return Answer(404, b"not found\n")
        if method != "POST":
            return Answer(405, b"POST only\n", allow="POST")
        if len(body) > LARGEST_BODY:
            return Answer(413, b"the form is too large\n")
        try:
            return act(form(body))
        except InvalidInput as error:
            return Answer(400, error.message.encode("ascii", "backslashreplace") + b"\n")

    def _sign(self, fields: Mapping[str, bytes]) -> Answer:
        signed = signature(self._key, self._uuid, _field(fields, "content"))
        return Answer(200, binascii.b2a_base64(signed, newline=False))

    def _verify(self, fields: Mapping[str, bytes]) -> Answer:
        content = _field(fields, "content")
        signer = uuid_bytes(_field(fields, "uuid").decode("ascii", "replace"))
        try:
            given = binascii.a2b_base64(_field(fields, "signature"), strict_mode=True)
        except (binascii.Error, ValueError):
            given = b""
        if not compare_digest(given, signature(self._key, signer, content)):
            return Answer(403, b"the signature is not that pod's\n")
        return Answer(200, b"")


def signature(key: bytes, uuid: bytes, content: bytes) -> bytes:
    """HMAC-SHA512 over a pod's UUID and the content."""
    import hmac

    return hmac.digest(key, uuid + content, "sha512")


def _list(annotations: Sequence[Annotation]) -> bytes:
    return jsontext.dumps([a.encode() for a in annotations] or None).encode()


def _field(fields: Mapping[str, bytes], name: str) -> bytes:
    if name not in fields:
        raise InvalidInput(f"the form has no {name}")
    return fields[name]


def form(body: bytes) -> dict[str, bytes]:
    """An ``application/x-www-form-urlencoded`` body; of a field given twice the first counts. Raises :class:`InvalidInput`."""
    fields: dict[str, bytes] = {}
    for part in body.split(b"&"):
        name, _, value = part.partition(b"=")
        if part:
            fields.setdefault(_decoded(name).decode("utf-8", "replace"), _decoded(value))
    return fields


def _decoded(text: bytes) -> bytes:
    first, *rest = text.replace(b"+", b" ").split(b"%")
    made = [first]
    for part in rest:
        try:
            made.append(binascii.unhexlify(part[:2]) + part[2:])
        except (binascii.Error, ValueError):
            raise InvalidInput("the form is not URL-encoded") from None
        if len(part) < 2:
            raise InvalidInput("the form is not URL-encoded")
    return b"".join(made)
