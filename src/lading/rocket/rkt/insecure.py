"""``--insecure-options``: which checks are left out, each said aloud."""

from __future__ import annotations

import sys

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FETCH, RUN = ("image", "tls", "http"), ("capabilities", "paths", "seccomp")
_MEANS = {"all-fetch": FETCH, "all-run": RUN, "all": (*FETCH, *RUN), "none": ()}
ASIDE = {
    "image": "signatures are not looked at",
    "tls": "any certificate will do, so any host can be in the place of the one that is asked",
    "http": "plain HTTP will do, and whoever is on the way can change what comes over it",
    "capabilities": "apps keep every capability",
    "paths": "no path of /proc and /sys is hidden or read-only",
    "seccomp": "no system call is refused",
}
_REFUSED = {
    "pubkey": "keys are never taken without somebody's word: see `lading rkt trust`",
    "ondisk": "images are checked when they arrive, and kept by their digests",
}


class Insecure:
    """What is put aside."""

    __slots__ = ("words",)

    def __init__(self, words: frozenset[str]) -> None:
        self.words = words

    @property
    def image(self) -> bool:
        """Signatures are not looked at."""
        return "image" in self.words

    @property
    def tls(self) -> bool:
        """Certificates are not looked at."""
        return "tls" in self.words

    @property
    def http(self) -> bool:
        """Plain HTTP is accepted."""
        return "http" in self.words

    @property
    def capabilities(self) -> bool:
        """Apps keep every capability."""
        return "capabilities" in self.words

    @property
    def paths(self) -> bool:
        """Nothing of ``/proc`` and ``/sys`` is hidden."""
        return "paths" in self.words

    @property
    def seccomp(self) -> bool:
        """No system call is refused."""
        return "seccomp" in self.words


def insecure(texts: Sequence[str]) -> Insecure:
    """What the values of ``--insecure-options`` put aside, said on standard error.

    Raises :class:`InvalidInput`, :class:`Unsupported`.
    """
    found: set[str] = set()
    for word in [word.strip() for text in texts for word in text.split(",")]:
        if word in _REFUSED:
            raise Unsupported(f"--insecure-options {word}: {_REFUSED[word]}")
        if word and word not in ASIDE and word not in _MEANS:
            known = ", ".join((*ASIDE, *_MEANS))
            raise InvalidInput(f"--insecure-options: {word[:60]!r} is not known", hint=f"known are {known}")
        found.update(_MEANS.get(word, (word,) if word else ()))
    for word in sorted(found):
        print(f"warning: --insecure-options {word}: {ASIDE[word]}", file=sys.stderr, flush=True)
    return Insecure(frozenset(found))
