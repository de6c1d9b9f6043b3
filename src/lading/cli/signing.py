"""Signing images and verifying them: ``lading image sign``, ``lading image verify``."""

from __future__ import annotations

import contextlib

from lading.cli.output import listing
from lading.cli.registries import options
from lading.cli.signingkeys import password
from lading.errors import Conflict, InvalidInput, LadingError, NotFound, RemoteError, TimedOut
from lading.formats.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.oci_image import Descriptor
    from lading.formats.signing.judging import Accepted
    from lading.formats.signing.keys import PublicKey
    from lading.images.pull import PullOptions
    from lading.images.signing.kept import Entry


def sign(context: Context, parsed: Parsed) -> int:
    """Sign an image in the store, or one at its registry that is not here; print what was signed."""
    from lading.images.signing import kept, making, sending
    from lading.images.signing.keyfiles import read_private

    if not parsed["key"]:
        raise InvalidInput(
            "--key is needed: signing without a key (keyless) is not supported",
            hint="`lading image keys generate` makes one",
        )
    annotations = _pairs(parsed["annotation"])
    identity = making.check_identity(parsed["identity"]) if parsed["identity"] else ""
    if identity and parsed["form"] == kept.BUNDLE:
        raise InvalidInput("a bundle says no name: --identity and --form bundle exclude each other")
    reference, target = _find(context, parsed)
    reach = options(context, parsed)
    if target is None:
        if parsed["push"]:
            raise InvalidInput(
                f"{reference.familiar} is signed at its registry: --push is for images that are here"
            )
        with _asking(reference):
            subjects = making.remote_subjects(reference, reach, recursive=parsed["recursive"])
    else:
        target = making.travelling(context.images, target)
        subjects = making.local_subjects(context.images, target, recursive=parsed["recursive"])
    key = read_private(parsed["key"], lambda: password(parsed["key"]))
    signing = making.Signing(key, identity=identity, annotations=annotations, form=parsed["form"])
    for subject in subjects:
        known = [] if target is None else kept.entries(context.images, subject.digest)
        made = next((e for e in known if signing.made(e, reference, subject.digest)), None)
        entry = made or signing.entry(reference, subject.digest)
        if target is None or parsed["push"]:
            sending.attach(context.images, reference, subject, [entry], reach)
        if target is not None:
            kept.add(context.images, subject.digest, [entry])
        if parsed["quiet"]:
            print(subject.digest)
        else:
            at = (
                "at its registry"
                if target is None
                else "in the store and at its registry"
                if parsed["push"]
                else ""
            )
            print(f"{reference.familiar}: signed {subject.digest} {at or 'in the store'}")
    return 0


def _find(context: Context, parsed: Parsed) -> tuple[Reference, Descriptor | None]:
    """The name, and what it stands for in the store; None when the image at the registry is meant."""
    from lading.images.signing import making

    if parsed["local"] and parsed["remote"]:
        raise InvalidInput("--local and --remote exclude each other")
    reference = Reference.parse(parsed.args[0])
    found = None if parsed["remote"] else making.here(context.images, parsed.args[0])
    if found is not None:
        return reference, found[1]
    if not parsed["remote"]:
        _check_no_id(context, parsed.args[0])
    if parsed["local"]:
        raise NotFound(f"image {reference.familiar} is not here")
    return reference, None


def _check_no_id(context: Context, text: str) -> None:
    """Raise for the id of an image that is here: a signature is for a name, and a registry knows no ids."""
    try:
        names = context.images.get(text).names
    except LadingError:
        return
    raise InvalidInput(
        f"{text} is an id, and signatures are for names",
        hint=f"write {names[0]}" if names else "give the image a name with `lading tag`",
    )


@contextlib.contextmanager
def _asking(reference: Reference) -> Iterator[None]:
    """Most often a typing error, which a registry's address alone would not show."""
    try:
        yield
    except (RemoteError, TimedOut) as error:
        kind = TimedOut if isinstance(error, TimedOut) else RemoteError
        raise kind(
            f"asking the registry of {reference.familiar} failed: {error.message}",
            hint=error.hint,
            reason=error.reason,
        ) from None


def verify(context: Context, parsed: Parsed) -> int:
    """Check the signatures of an image; print those that count. Fails when there is none."""
    from lading.formats.signing.identity import EXACT_REFERENCE, EXACT_REPOSITORY, MATCH_REPOSITORY, Identity
    from lading.images.signing import checking
    from lading.images.signing.keyfiles import read_public

    if parsed["policy"]:
        return _verify_policy(context, parsed)
    if not parsed["key"]:
        raise InvalidInput(
            "--key (or --policy) is needed: signatures without a key (keyless) are not supported"
        )
    keys = [read_public(path) for path in parsed["key"]]
    annotations = _pairs(parsed["annotation"])
    rule = Identity(MATCH_REPOSITORY)
    if parsed["identity"]:
        asked = Reference.parse(parsed["identity"], default_tag="")
        rule = Identity(EXACT_REFERENCE if asked.target else EXACT_REPOSITORY, asked.canonical)
    reference, target = _find(context, parsed)
    failures: list[LadingError] = []
    with _Reach(context, reference, target, options(context, parsed)) as reach:
        digest = reach.digest
        found = checking.check(
            reach.entries(digest, failures),
            failures,
            keys,
            digest,
            lambda claimed: rule.matches(reference, claimed),
            annotations,
            what=reference.familiar,
        )
    if not parsed["quiet"]:
        _report(found, keys, parsed["key"], parsed["format"])
    return 0


def _verify_policy(context: Context, parsed: Parsed) -> int:
    from lading.images.signing import gate

    if parsed["key"] or parsed["annotation"] or parsed["identity"]:
        raise InvalidInput(
            "--policy says itself which keys and names count: it excludes --key, -a and --identity"
        )
    path = context.roots.policy
    if not path:
        raise NotFound("there is no policy for images", hint="`lading image trust set` makes one")
    reference, target = _find(context, parsed)
    with _Reach(context, reference, target, options(context, parsed)) as reach:
        rule = gate.verify(reference, reach.manifests(), reach.entries, path)
    if not parsed["quiet"]:
        print(f"{reference.familiar}: {path} ({rule.scope}) accepts {reach.digest}")
    return 0


class _Reach:
    """An image to verify, in the store or at a registry: its digest and its signatures. A context manager."""

    def __init__(
        self, context: Context, reference: Reference, target: Descriptor | None, reach: PullOptions
    ) -> None:
        from lading.images.pull import remotes
        from lading.images.remote_http import Cancel

        self._images = context.images
        self._reference = reference
        self._remotes = [] if target is not None else remotes(reference, reach, Cancel())
        self.digest = target.digest if target is not None else ""

    def __enter__(self) -> _Reach:
        if self._remotes:
            try:
                with _asking(self._reference):
                    self.digest = self._ask()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        for remote in self._remotes:
            remote.close()

    def _ask(self) -> str:
        for remote in self._remotes[:-1]:
            try:
                return remote.manifest(self._reference.target).digest
            except LadingError:
                continue  # a mirror that does not have it; the registry's own answer counts
        return self._remotes[-1].manifest(self._reference.target).digest

    def manifests(self) -> list[str]:
        """The digests of which one must be signed."""
        named = self._images.names.get(self._reference) if not self._remotes else None
        return list(dict.fromkeys([self.digest, *([named.image] if named is not None else [])]))

    def entries(self, digest: str, failures: list[LadingError]) -> Iterable[Entry]:
        """The signatures of a digest."""
        from lading.images.signing import kept
        from lading.images.signing.fetching import fetch

        if self._remotes:
            return fetch(self._remotes, digest, failures)
        return kept.entries(self._images, digest)


def _report(
    found: Sequence[Accepted], keys: Sequence[PublicKey], paths: Sequence[str], template: str
) -> None:
    names = dict(zip((key.fingerprint for key in keys), paths, strict=True))
    rows = [
        {
            "digest": accepted.digest,
            "name": accepted.reference or "-",
            "key": names[accepted.key.fingerprint],
            "fingerprint": accepted.key.fingerprint,
            "annotations": dict(accepted.annotations)
            if template == "json"
            else ",".join(f"{name}={value}" for name, value in accepted.annotations.items()),
        }
        for accepted in found
    ]
    columns = (("DIGEST", "digest"), ("SIGNED AS", "name"), ("KEY", "key"), ("ANNOTATIONS", "annotations"))
    listing(rows, columns, template=template)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidInput(f"annotation {text!r} is not NAME=VALUE")
        if name in found and found[name] != value:
            raise Conflict(f"annotation {name!r} is given twice")
        found[name] = value
    return found


def push_kept(
    context: Context, text: str, destination: str, digest: str, reach: PullOptions, say: Callable[[str], None]
) -> None:
    """Send the signatures that are kept of a pushed image after it."""
    from lading.formats.oci_image import Descriptor
    from lading.formats.signing import payload
    from lading.images.oci import MAX_MANIFEST
    from lading.images.remote import check_type
    from lading.images.signing import kept, sending

    where = Reference.parse(destination)
    entries = kept.entries(context.images, digest)
    if not entries:
        raise NotFound(
            f"{text}: the image was pushed, but no signature of {digest} is kept here",
            hint="`lading image sign --key FILE` makes one",
            reason="unsigned",
        )
    data = context.images.content.read(digest, limit=MAX_MANIFEST)
    subject = Descriptor(media_type=check_type("", data, digest), digest=digest, size=len(data))
    sending.attach(context.images, where, subject, entries, reach)
    for entry in entries:
        if entry.signature is not None:
            claimed = payload.decode(entry.signature.payload, what="a kept signature").reference
            if Reference.parse(claimed, default_tag="").name != where.name:
                say(f"a signature says {claimed}, which is another name than {where.name}")
