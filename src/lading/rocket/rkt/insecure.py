"""``--insecure-options``: which checks are left out, each said aloud."""

from __future__ import annotations

import sys

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

FETCH, RUN = ("image", "tls", "http", "pubkey"), ("capabilities", "paths", "seccomp")
_MEANS = {"all-fetch": FETCH, "all-run": RUN, "all": (*FETCH, *RUN), "none": ()}
ASIDE = {
    "image": "signatures are not looked at",
    "tls": "any certificate will do, so any host can be in the place of the one that is asked",
    "http": "plain HTTP will do, and whoever is on the way can change what comes over it",
    "pubkey": "what --trust-keys-from-https and trust take as a key may come over plain HTTP, or from a host in another's place",
    "capabilities": "apps keep every capability",
    "paths": "no path of /proc and /sys is hidden or read-only",
    "seccomp": "no system call is refused",
}
_ONDISK = "nothing is compared before each run, with or without it: `lading rkt image verify` does that"
TRUSTING = "keys that an image's page names over HTTPS are trusted without asking, for that image's name"


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
    def pubkey(self) -> bool:
        """Keys may come over plain HTTP, and from hosts without a good certificate."""
        return "pubkey" in self.words

    @property
    def trusting(self) -> bool:
        """Keys that a page names are trusted without asking."""
        return "trust-keys-from-https" in self.words

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
    """What the values of ``--insecure-options`` put aside, said on standard error. Raises :class:`InvalidInput`."""
    found: set[str] = set()
    for word in [word.strip() for text in texts for word in text.split(",")]:
        if word == "ondisk":
            print(f"note: --insecure-options ondisk: {_ONDISK}", file=sys.stderr, flush=True)
            continue
        if word and word not in ASIDE and word not in _MEANS:
            known = ", ".join((*ASIDE, "ondisk", *_MEANS))
            raise InvalidInput(f"--insecure-options: {word[:60]!r} is not known", hint=f"known are {known}")
        found.update(_MEANS.get(word, (word,) if word else ()))
    for word in sorted(found):
        print(f"warning: --insecure-options {word}: {ASIDE[word]}", file=sys.stderr, flush=True)
    return Insecure(frozenset(found))


def of_line(before: Mapping[str, Any], behind: Sequence[str]) -> Insecure:
    """What the flags ``before`` a verb (by name), and the values of ``--insecure-options`` ``behind`` it put aside."""
    found = insecure([*(before.get("insecure-options") or ()), *behind])
    if not before.get("trust-keys-from-https"):
        return found
    print(f"warning: --trust-keys-from-https: {TRUSTING}", file=sys.stderr, flush=True)
    return Insecure(found.words | {"trust-keys-from-https"})
