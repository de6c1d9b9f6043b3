"""Where a policy stops an image: before its layers are fetched, before it is unpacked, before a container is made of it."""

from __future__ import annotations

import os

from lading.errors import Denied, LadingError, Unsupported
from lading.formats.reference import Reference
from lading.formats.signing import policy as policies
from lading.images.signing import kept
from lading.images.signing.policies import Enforced, is_open, keys_of, load, mark, material

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lading.formats.signing.policy import Requirement, Rule
    from lading.images import Images
    from lading.images.image import Image
    from lading.images.names import Named
    from lading.images.remote import Remote

    Find = Callable[[str, list[LadingError]], Iterable[kept.Entry]]
    """Signatures of a digest; what could not be read is added to the list."""

INSECURE = "LADING_INSECURE_POLICY"
"""``1``: no policy is obeyed by this process and its children. What ``--insecure-policy`` sets, and the face says aloud."""

_HINT = "`lading image trust show` lists what is asked for"


def enforced(path: str) -> Enforced | None:
    """The policy at ``path``; None where there is none ("") or it is not obeyed, which the face says. Raises as :func:`load`."""
    return load(path) if path and os.environ.get(INSECURE) != "1" else None


class PullGate:
    """What stands before one pull. Made before anything is asked for: a name that is rejected is not even looked up."""

    def __init__(self, images: Images, reference: Reference, policy: Enforced) -> None:
        self._images = images
        self._reference = reference
        self._policy = policy
        self._rule = policy.policy.for_name(reference)
        _check_possible(self._rule, self._reference.familiar, policy.path)

    def check(self, remotes: Sequence[Remote], manifests: Sequence[str]) -> None:
        """The image has these digests (its index's, its manifest's), of which one must be signed. Raises :class:`Denied`.

        What counted is kept in the store, so that a container can be made of the image without a registry.
        """
        if is_open(self._rule):
            return
        from lading.images.signing.fetching import fetch

        found = judged(
            self._rule,
            self._reference,
            manifests,
            lambda digest, failures: fetch(remotes, digest, failures),
            self._policy.path,
        )
        for digest, entries in found.items():
            kept.add(self._images, digest, entries)
        name = mark(self._rule, self._reference, manifests, self._policy.path)
        kept.remember(self._images, name, manifests[-1])


def pulling(images: Images, reference: Reference, path: str) -> PullGate | None:
    """The gate for a pull under the policy at ``path``; None where that is not obeyed."""
    policy = enforced(path)
    return PullGate(images, reference, policy) if policy is not None else None


def using(images: Images, text: str, image: Image, path: str) -> None:
    """A container is to be made of ``image``, or another image on it, that ``text`` names. Raises :class:`Denied`.

    Names that a registry gave a meaning are judged, with the signatures that are kept here. What was made, loaded or named
    on this machine is its owner's own doing.
    """
    policy = enforced(path)
    if policy is None:
        return
    failure: LadingError | None = None
    for reference, named in _pulled(images, text, image):
        try:
            _admit(images, reference, [named.target.digest, image.digest], policy)
            return
        except LadingError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _admit(images: Images, reference: Reference, manifests: list[str], policy: Enforced) -> None:
    rule = policy.policy.for_name(reference)
    if is_open(rule):
        return
    _check_possible(rule, reference.familiar, policy.path)
    manifests = list(dict.fromkeys(manifests))
    name = mark(rule, reference, manifests, policy.path)
    if kept.remembered(images, name):
        return
    try:
        judged(rule, reference, manifests, lambda digest, _: kept.entries(images, digest), policy.path)
    except Denied as error:
        if error.reason == "unsigned":
            raise Denied(
                error.message,
                hint=f"`lading pull {reference.familiar}` looks for signatures at its registry",
                reason=error.reason,
            ) from None
        raise
    kept.remember(images, name, manifests[-1])


def _pulled(images: Images, text: str, image: Image) -> list[tuple[Reference, Named]]:
    """The name that ``text`` is, if a registry gave it its meaning; for an id, all such names of the image."""
    try:
        reference = Reference.parse(text)
        named = images.names.get(reference)
    except LadingError:
        named = None
    if named is not None:
        return [(reference, named)] if named.pulled else []
    return [(r, n) for r, n in images.names.list() if n.pulled and n.image == image.digest]


def loading(transport: str, path: str, policy_path: str) -> None:
    """An archive (or the directory of a layout) is to be loaded; ``path`` is empty for a stream. Raises :class:`Denied`.

    As for containers/image, an archive brings no signatures along: a policy can accept it or not.
    """
    policy = enforced(policy_path)
    if policy is None:
        return
    rule = policy.policy.for_path(transport, os.path.realpath(path) if path else "")
    what = f"{transport}:{path or '-'}"
    _check_possible(rule, what, policy.path)
    if not is_open(rule):
        raise Denied(
            f"{what}: {policy.path} ({rule.scope}) asks for signatures, and an archive carries none",
            hint=_HINT,
            reason="unsigned",
        )


def verify(reference: Reference, manifests: Sequence[str], find: Find, path: str) -> Rule:
    """The rule of the policy at ``path`` that an image meets. Raises what a pull of it would be refused with."""
    rule = load(path).policy.for_name(reference)
    _check_possible(rule, reference.familiar, path)
    judged(rule, reference, manifests, find, path)
    return rule


def _check_possible(rule: Rule, what: str, path: str) -> None:
    """Raise for a rule that no image can meet."""
    for requirement in rule.requirements:
        if requirement.kind == policies.REJECT:
            raise Denied(f"{what}: {path} ({rule.scope}) rejects it", hint=_HINT, reason="rejected")
        if requirement.unsupported:
            raise Unsupported(
                f"{what}: {path} ({rule.scope}) asks for what Lading cannot check: {requirement.unsupported}",
                hint="nothing is accepted in its place",
                reason="policy-unsupported",
            )


def judged(
    rule: Rule, reference: Reference, manifests: Sequence[str], find: Find, path: str
) -> dict[str, list[kept.Entry]]:
    """What counted, by the digest it signs. Raises :class:`Denied`: the requirement that was not met, and why."""
    found: dict[str, list[kept.Entry]] = {}
    for requirement in rule.requirements:
        if requirement.kind == policies.SIGSTORE:
            digest, entry = _met(requirement, rule, reference, manifests, find, path)
            found.setdefault(digest, []).append(entry)
    return found


def _met(
    requirement: Requirement,
    rule: Rule,
    reference: Reference,
    manifests: Sequence[str],
    find: Find,
    path: str,
) -> tuple[str, kept.Entry]:
    from lading.formats.signing.judging import judge, most_telling

    keys = keys_of(material(requirement, path))
    identity = requirement.identity
    failures: list[LadingError] = []
    nameless = 0
    for digest in dict.fromkeys(manifests):
        for entry in find(digest, failures):
            if entry.signature is None or identity is None:
                nameless += 1
                continue
            try:
                judge(entry.signature, keys, [digest], lambda claimed: identity.matches(reference, claimed))
                return digest, entry
            except LadingError as error:
                failures.append(error)
    where = f"{reference.familiar}: {path} ({rule.scope})"
    if failures:
        worst = most_telling(failures)
        several = f" (the closest of {len(failures)})" if len(failures) > 1 else ""
        raise Denied(f"{where} does not accept it{several}: {worst.message}", hint=_HINT, reason=worst.reason)
    if nameless:
        raise Denied(
            f"{where} does not accept it: its signatures are sigstore bundles, which say no name",
            hint=_HINT,
            reason="wrong-name",
        )
    raise Denied(f"{where} asks for a signature, and it has none", hint=_HINT, reason="unsigned")
