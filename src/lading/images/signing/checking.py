"""Verifying with keys that somebody names: which signatures of an image count, or why none does."""

from __future__ import annotations

from lading.errors import Denied, LadingError
from lading.formats import digest as digests
from lading.formats.signing import bundle as bundles
from lading.formats.signing.judging import Accepted, judge, judge_bundle, most_telling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lading.formats.signing.keys import PublicKey
    from lading.images.signing.kept import Entry


def check(
    entries: Iterable[Entry],
    failures: list[LadingError],
    keys: Sequence[PublicKey],
    digest: str,
    named: Callable[[str], bool],
    annotations: Mapping[str, str],
    *,
    what: str,
) -> list[Accepted]:
    """The signatures of ``digest`` that count. Raises :class:`Denied` when there is none, and why.

    ``failures``: what could not be read, filled while ``entries`` is walked.
    """
    found: list[Accepted] = []
    for entry in entries:
        try:
            if entry.signature is not None:
                found.append(judge(entry.signature, keys, [digest], named, annotations))
                continue
            bundle = bundles.decode(entry.bundle, what="a bundle")
            if bundle is not None:
                found.append(judge_bundle(bundle, keys, [digest], annotations))
        except LadingError as error:
            failures.append(error)
    if found:
        return found
    short = digests.short(digest)
    if not failures:
        raise Denied(f"{what}: {short} has no signature", reason="unsigned")
    worst = most_telling(failures)
    several = f" (the closest of {len(failures)})" if len(failures) > 1 else ""
    raise Denied(f"{what}: no signature of {short} counts{several}: {worst.message}", reason=worst.reason)
