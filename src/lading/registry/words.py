"""The words of the API, checked: repository names, tags, digests, references, page sizes.

Everything here comes from a client and becomes a row or a file name, so nothing passes that the grammar does not allow.
Source: distribution-spec, "Pulling manifests"; image-spec, descriptor.md, "Digests".
"""

from __future__ import annotations

from lading.errors import InvalidInput, LadingError
from lading.formats import digest as digests
from lading.formats.reference import check_repository, check_tag
from lading.registry.errors import DIGEST_INVALID, MANIFEST_INVALID, NAME_INVALID, Refusal

_MOST_DIGITS = 18  # of a number that fits 64 bits


def repository(name: str) -> str:
    """``name`` itself when it can name a repository. Raises :class:`Refusal` (``NAME_INVALID``)."""
    try:
        check_repository(name)
    except InvalidInput as error:
        raise Refusal(NAME_INVALID, error.message, detail=name[:300]) from None
    return name


def digest(text: str) -> str:
    """``text`` itself when it is a digest of an algorithm we verify. Raises :class:`Refusal` (``DIGEST_INVALID``)."""
    try:
        return digests.check(text)
    except LadingError as error:
        raise Refusal(DIGEST_INVALID, error.message, detail=text[:200]) from None


def tag(text: str) -> str:
    """``text`` itself when it is a tag. Raises :class:`Refusal` (``MANIFEST_INVALID``)."""
    try:
        check_tag(text)
    except InvalidInput as error:
        raise Refusal(MANIFEST_INVALID, error.message, detail=text[:200]) from None
    return text


def reference(text: str) -> tuple[str, str]:
    """``(tag, digest)`` of what stands behind ``/manifests/``; one of them is empty. Raises :class:`Refusal`."""
    if ":" in text:  # no tag holds one
        return "", digest(text)
    return tag(text), ""


def number(text: str | None, what: str) -> int | None:
    """A count that a client asks for; None where it does not. Raises :class:`Refusal`."""
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise Refusal("UNSUPPORTED", f"{what}={text[:40]!r} is not a whole number", status=400)
    return int(text)
