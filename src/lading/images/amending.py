"""Adding to a manifest under a tag that others add to as well: signatures under cosign's tag, a list of referrers.

It is read, added to and written back. So that nobody's part is lost in between, it is written on the condition that the tag still
is what was read (``If-Match``, RFC 9110, 13.1.1), and begun again where it is not. Most registries know no such condition, and
other programs do not use it: so the tag is read once more when it is written, at once and after a while, and what somebody has
overwritten is added again.
"""

from __future__ import annotations

import time

from lading.errors import NotFound, RemoteError
from lading.formats import digest as digests
from lading.images.remote import backoff
from lading.images.upload import check_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.images.remote import FetchedManifest, Remote

_ATTEMPTS = 40
"""How often a tag is written whose others write it as well: each round one of them at least is through."""
_SETTLE = 0.5
"""The least seconds after which a tag is looked at again: by then others have written what they began before ours was there."""


def amend(
    remote: Remote,
    tag: str,
    media_type: str,
    add: Callable[[FetchedManifest | None], bytes | None],
    *,
    what: str,
    sure: bool = True,
) -> None:
    """See that the manifest of ``media_type`` under ``tag`` has what ``add`` adds to it.

    ``add`` is told what is there, which may be nothing, and gives the new manifest, or None where nothing is missing; what the
    manifest names is in the repository when it returns. ``sure``: what is there now is not about to be overwritten by who began
    before it was. Raises what ``add`` and a push do.
    """
    settled, conditional, refused, window = sure, True, None, 0.0
    for attempt in range(_ATTEMPTS):
        began = time.monotonic()
        found = _read(remote, tag)
        made = add(found)
        if made is None:
            if settled:
                return
            remote.cancel.sleep(max(_SETTLE, 3 * window))
            settled = True
            continue
        there = "" if found is None else found.digest
        if refused == there:
            conditional = False  # it means something else by our condition
        written = _write(remote, tag, media_type, made, there if conditional else None, what)
        window = max(window, time.monotonic() - began)
        settled, refused = False, None if written else there
        if not written or attempt:  # somebody else is at it: not all at once again
            remote.cancel.sleep(backoff(1 + min(attempt, 3)))
    raise RemoteError(f"{what}: others write them all the time", hint="try again", reason="busy")


def _read(remote: Remote, tag: str) -> FetchedManifest | None:
    try:
        return remote.manifest(tag)
    except NotFound:
        return None


def _write(remote: Remote, tag: str, media_type: str, data: bytes, there: str | None, what: str) -> bool:
    """Write a tag, on the condition that it still is ``there`` (empty: nothing; None: no condition); False where it is not."""
    headers = {"Content-Type": media_type}
    if there is not None:
        headers.update({"If-Match": f'"{there}"'} if there else {"If-None-Match": "*"})
    path, good = f"/v2/{remote.repository}/manifests/{tag}", (200, 201, 202, 412)
    with remote.request("PUT", path, headers, data, good=good, what=what) as answer:
        claimed = answer.header("Docker-Content-Digest").strip()
        answer.drain()
    if answer.status == 412:
        return False
    check_digest(remote, claimed, digests.of(data), what)
    return True
