"""Image references: ``[registry/]repository[:tag][@digest]``.

The grammar is the distribution specification's (``<name>`` and ``<reference>``) with the familiar short forms that
Docker taught everybody: no registry means ``docker.io``, and a one-word repository there lives in ``library/``. The
first component is a registry when it holds a ``.`` or ``:``, is ``localhost``, or has an upper-case letter; otherwise
it is the start of the repository.

Written without ``re``: every ``lading run`` parses a reference, and importing ``re`` costs 6 ms.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.digest import LENGTHS

DEFAULT_REGISTRY = "docker.io"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

MAX_REPOSITORY = 255
MAX_TAG = 128
_MAX_TEXT = 1024

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = ALNUM | {"_"}
_TAG = _WORD | frozenset(".-")
HEX = frozenset("0123456789abcdef")


class Reference:
    """A parsed reference; immutable by convention, equal by value.

    ``registry``    host with optional port, as given (``docker.io``, ``localhost:5000``, ``[::1]:5000``).
    ``repository``  path below the registry, always whole (``library/debian``).
    ``tag``         empty when there is a digest and no tag.
    ``digest``      ``algorithm:hex`` or empty. With both, the digest says what is meant and the tag is a label.
    """

    __slots__ = ("digest", "registry", "repository", "tag")

    def __init__(self, registry: str, repository: str, tag: str = "", digest: str = "") -> None:
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest

    @classmethod
    def parse(cls, text: str, *, default_tag: str = DEFAULT_TAG) -> Reference:
        """Parse what a person typed. ``default_tag`` is taken when neither tag nor digest is given ("" for none).

        Raises :class:`InvalidInput` naming the part that breaks the grammar.
        """
        return _parse(text, default_tag)

    @property
    def name(self) -> str:
        """Registry and repository: ``docker.io/library/debian``."""
        return f"{self.registry}/{self.repository}"

    @property
    def canonical(self) -> str:
        """The whole text, nothing left out: ``docker.io/library/debian:bookworm``."""
        return self.name + self._suffix()

    @property
    def familiar(self) -> str:
        """The shortest text that parses back to this reference: ``debian:bookworm``."""
        return self.familiar_name + self._suffix()

    @property
    def familiar_name(self) -> str:
        """The shortest name without tag and digest: ``debian``, ``grafana/loki``, ``quay.io/a/b``."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        prefix = DEFAULT_NAMESPACE + "/"
        if self.repository.startswith(prefix):
            short = self.repository[len(prefix) :]
            if "/" not in short and not _is_identifier(short):
                return short
            return self.name if _is_registry(DEFAULT_NAMESPACE) else self.repository
        head = self.repository.partition("/")[0]
        return self.name if "/" not in self.repository or _is_registry(head) else self.repository

    @property
    def target(self) -> str:
        """What to ask a registry for: the digest if there is one, else the tag."""
        return self.digest or self.tag

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def with_tag(self, tag: str) -> Reference:
        """The same repository under another ``tag``, without a digest. Raises :class:`InvalidInput`."""
        check_tag(tag)
        return Reference(self.registry, self.repository, tag)

    def with_digest(self, digest: str) -> Reference:
        """The same name and tag pinned to ``digest``. Raises :class:`InvalidInput`."""
        check_digest(digest)
        return Reference(self.registry, self.repository, self.tag, digest)

    def _key(self) -> tuple[str, str, str, str]:
        return self.registry, self.repository, self.tag, self.digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __str__(self) -> str:
        return self.canonical

    def __repr__(self) -> str:
        return f"Reference({self.canonical!r})"


def check_tag(tag: str) -> None:
    """Raise :class:`InvalidInput` unless ``tag`` is one: a word character, then up to 127 of ``[A-Za-z0-9_.-]``."""
    if not tag or len(tag) > MAX_TAG or tag[0] not in _WORD or not _TAG.issuperset(tag):
        raise InvalidInput(
            f"tag {shown(tag)}: must be 1 to {MAX_TAG} of letters, digits, '_', '.' and '-', "
            "and must not start with '.' or '-'"
        )


def check_digest(digest: str) -> None:
    """Raise :class:`InvalidInput` unless ``digest`` is ``sha256:`` or ``sha512:`` and lower-case hex.

    Source: image-spec descriptor.md, "Digests"; the algorithms registered there.
    """
    algorithm, colon, encoded = digest.partition(":")
    length = LENGTHS.get(algorithm)
    if not colon or length is None:
        raise InvalidInput(f"digest {shown(digest)}: must start with sha256: or sha512:")
    if len(encoded) != length or not HEX.issuperset(encoded):
        raise InvalidInput(
            f"digest {shown(digest)}: {algorithm} needs {length} lower-case hexadecimal digits"
        )


def check_repository(repository: str) -> None:
    """Raise :class:`InvalidInput` unless ``repository`` is a distribution-spec name: lower-case path components."""
    if len(repository) > MAX_REPOSITORY:
        raise InvalidInput(f"repository {shown(repository)}: longer than {MAX_REPOSITORY} characters")
    for component in repository.split("/"):
        _check_component(component, repository)


def _parse(text: str, default_tag: str) -> Reference:
    if not text:
        raise InvalidInput("image reference is empty", hint="name an image, for example debian:bookworm")
    if len(text) > _MAX_TEXT:
        raise InvalidInput(f"image reference {shown(text)}: longer than {_MAX_TEXT} characters")
    if "://" in text:
        raise InvalidInput(
            f"image reference {shown(text)}: is a URL", hint="leave the scheme out: registry/repository:tag"
        )
    rest, at, digest = text.partition("@")
    if at:
        check_digest(digest)
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    tag = ""
    # With no slash at all a colon can only start a tag: `localhost:5000` is the image localhost with the tag 5000.
    if colon >= 0:
        rest, tag = rest[:colon], rest[colon + 1 :]
        check_tag(tag)
    elif not at:
        tag = default_tag
    head, cut, tail = rest.partition("/")
    if cut and _is_registry(head):
        registry, repository = _registry(head, text), tail
    else:
        registry, repository = DEFAULT_REGISTRY, rest
        if _is_identifier(rest):
            raise InvalidInput(
                f"image reference {shown(text)}: 64 hexadecimal digits are an image id, not a name",
                hint="pull by digest: NAME@sha256:…",
            )
    if registry == DEFAULT_REGISTRY and repository and "/" not in repository:
        repository = f"{DEFAULT_NAMESPACE}/{repository}"
    if not repository:
        raise InvalidInput(f"image reference {shown(text)}: no repository name")
    check_repository(repository)
    return Reference(registry, repository, tag, digest)


def _is_registry(head: str) -> bool:
    return "." in head or ":" in head or head == "localhost" or head != head.lower()


def _is_identifier(name: str) -> bool:
    return len(name) == 64 and HEX.issuperset(name)


def _registry(head: str, text: str) -> str:
    if head in ("index.docker.io", "registry-1.docker.io"):
        return DEFAULT_REGISTRY
    from lading.formats.registry import check_registry

    check_registry(head, whole=text)
    return head


def _check_component(component: str, repository: str) -> None:
    """Lower-case letters and digits, joined by one '.', one or two '_', or any number of '-'."""
    if not component:
        raise InvalidInput(f"repository {shown(repository)}: empty path component")
    separator = ""
    for char in component + "\0":
        if char in "._-":
            separator += char
            continue
        if char not in _LOWER and char != "\0":
            why = "must be lower case" if char.lower() in _LOWER else f"must not hold {char!r}"
            raise InvalidInput(f"repository {shown(repository)}: {why}")
        if separator:
            _check_separator(separator, repository)
            if char == "\0":
                raise InvalidInput(
                    f"repository {shown(repository)}: a component must not end with {separator!r}"
                )
        separator = ""
    if component[0] not in _LOWER:
        raise InvalidInput(
            f"repository {shown(repository)}: a component must not start with {component[0]!r}"
        )


def _check_separator(separator: str, repository: str) -> None:
    if separator not in (".", "_", "__") and separator.strip("-"):
        raise InvalidInput(
            f"repository {shown(repository)}: {separator!r} between letters",
            hint="use one '.', '_', '__' or '-'",
        )


def shown(text: str) -> str:
    """``text`` quoted, with control characters escaped, and cut so that an error stays one line."""
    return repr(text if len(text) <= 120 else text[:117] + "…")
