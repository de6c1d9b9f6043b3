"""The policy file: found, read while it can be trusted itself, changed as a whole."""

from __future__ import annotations

import hashlib
import os

from lading.errors import InvalidInput
from lading.formats import jsontext
from lading.formats.signing import policy as policies
from lading.images.files import Lock, make_directories, write_atomically
from lading.images.guarded import read_guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.formats.reference import Reference
    from lading.formats.signing.keys import PublicKey
    from lading.formats.signing.policy import Policy, Requirement, Rule

_LARGEST = 4 << 20
_LARGEST_KEY = 64 << 10


class Enforced:
    """A policy in force: ``path`` of its file, and what that says."""

    __slots__ = ("path", "policy")

    def __init__(self, path: str, policy: Policy) -> None:
        self.path = path
        self.policy = policy


def load(path: str) -> Enforced:
    """Read a policy file. Raises :class:`InvalidInput` (``policy``), :class:`Denied` (``unsafe-permissions``)."""
    return Enforced(
        path, policies.decode(read_guarded(path, _LARGEST, kind="policy", reason="policy"), where=path)
    )


def change(path: str, edit: Callable[[Policy], None], base: str = "") -> None:
    """Change the policy at ``path``; where there is none, the one at ``base``, and else one that accepts everything.

    The file is locked meanwhile, read again before it is written, and replaced whole.
    """
    make_directories(os.path.dirname(path))
    with Lock(os.path.dirname(path) + "/.policy.lock", exclusive=True):
        begin = path if os.path.lexists(path) else base
        if begin:
            made = load(begin).policy
        else:
            made = policies.Policy(policies.requirements([{"type": policies.ACCEPT}], where="default"))
        edit(made)
        data = jsontext.dumps(made.encode(), indent=2).encode() + b"\n"
        policies.decode(data, where=path)
        write_atomically(path, data)


def material(requirement: Requirement, where: str) -> list[tuple[str, bytes]]:
    """The public keys of a requirement, as they are in its files (and in it): what they are called, and the bytes.

    Raises :class:`InvalidInput`, :class:`Denied` for a file that cannot be read or that others may write.
    """
    found = [(f"{where}: key {number + 1}", data) for number, data in enumerate(requirement.data)]
    for path in requirement.paths:
        if not os.path.isabs(path):
            raise InvalidInput(f"{where}: the path of the key {path!r} must be absolute", reason="policy")
        found.append((path, read_guarded(path, _LARGEST_KEY, kind="key file", reason="key")))
    return found


def keys_of(found: Sequence[tuple[str, bytes]]) -> list[PublicKey]:
    """The keys of :func:`material`; one that is broken makes all of them unusable, before it is needed."""
    from lading.formats.signing.keys import public_key

    return [public_key(data, what=what) for what, data in found]


def is_open(rule: Rule) -> bool:
    """Whether a rule asks for nothing."""
    return all(requirement.kind == policies.ACCEPT for requirement in rule.requirements)


def mark(rule: Rule, reference: Reference, manifests: Sequence[str], where: str) -> str:
    """A name for everything that a verdict depends on; another name when any of it changes."""
    parts = [reference.canonical, *manifests]
    for requirement in rule.requirements:
        parts.append(jsontext.dumps(requirement.encode(), sort=True))
        parts += [hashlib.sha256(data).hexdigest() for _, data in material(requirement, where)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
