"""What people type for an image by name: ``NAME:VERSION,label=value,…``. What was printed is read again as the same.

Source: spec/discovery.md, "Discovery URL" and its examples.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.appc.errors import shown
from lading.formats.appc.labels import check_labels, labels_of
from lading.formats.appc.names import check_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Wanted:
    """An image that somebody asks for by name: ``labels`` are those that were given, and no others."""

    __slots__ = ("labels", "name")

    def __init__(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Raises :class:`InvalidInput` for a name or a label that cannot be."""
        self.name = check_identifier(name, "image name")
        self.labels = dict(labels or {})
        check_labels(labels_of(self.labels), "labels")

    def with_defaults(self, defaults: Mapping[str, str]) -> Wanted:
        """The same with labels added that were not given, as a client adds its own ``os`` and ``arch``."""
        return Wanted(self.name, {**defaults, **self.labels})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wanted) and (self.name, self.labels) == (other.name, other.labels)

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.labels.items()))))

    def __repr__(self) -> str:
        return f"Wanted({self.name!r}, {self.labels!r})"

    def __str__(self) -> str:
        """As it is typed. A value that the form has no way to say is shown as it is."""
        version = self.labels.get("version")
        text = self.name if version is None else f"{self.name}:{version}"
        return text + "".join(f",{n}={self.labels[n]}" for n in sorted(self.labels) if n != "version")


def wanted(text: str) -> Wanted:
    """``example.com/app:1.0,os=linux,channel=beta``. A colon and a comma cannot be in a value.

    Raises :class:`InvalidInput`.
    """
    name, *parts = text.split(",")
    if ":" in "".join(parts):
        raise _bad(text, "a colon may stand right after the name only")
    name, colon, version = name.partition(":")
    if ":" in version:
        raise _bad(text, "there is more than one colon")
    if "=" in name:
        raise _bad(text, "the name of the image comes first")
    labels = {"version": version} if colon else {}
    for part in parts:
        label, equals, value = part.partition("=")
        if not equals:
            raise _bad(text, f"the label {shown(label)} has no value")
        if label == "name":
            raise _bad(text, "a label cannot be called 'name'")
        if label in labels:
            raise _bad(text, f"the label {shown(label)} is given twice")
        labels[label] = value
    try:
        return Wanted(name, labels)
    except InvalidInput as error:
        raise _bad(text, error.message, hint=error.hint) from None


def _bad(text: str, why: str, *, hint: str = "") -> InvalidInput:
    return InvalidInput(f"image {shown(text)}: {why}", hint=hint)
