"""Labels and annotations: lists of names and values, and what the well-known ones mean.

Source: spec/aci.md, "labels" and "annotations"; spec/discovery.md, "Validation". Pod and app annotations are AC Names in the
text of pods.md and AC Identifiers everywhere else; they override an image's, so they must be able to name the same things.
"""

from __future__ import annotations

from lading.formats.appc.errors import bad, join, shown
from lading.formats.appc.names import check_identifier
from lading.formats.appc.record import ACRecord
from lading.formats.appc.values import is_timestamp, is_web_url
from lading.formats.oci_image import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SYSTEMD_NOTIFY = "appc.io/executor/supports-systemd-notify"

ARCHITECTURES = {
    "linux": (
        "amd64",
        "i386",
        "aarch64",
        "aarch64_be",
        "armv6l",
        "armv7l",
        "armv7b",
        "ppc64",
        "ppc64le",
        "s390x",
    ),
    "freebsd": ("amd64", "i386", "arm"),
    "darwin": ("x86_64", "i386"),
}
"""Every system with its architectures; an ``arch`` without an ``os`` means nothing and is not looked at."""

# (os, arch) here → architecture and variant in Go's words. Big-endian ARM has none.
_PLATFORMS = {
    ("linux", "amd64"): ("amd64", ""),
    ("linux", "i386"): ("386", ""),
    ("linux", "aarch64"): ("arm64", ""),
    ("linux", "armv6l"): ("arm", "v6"),
    ("linux", "armv7l"): ("arm", "v7"),
    ("linux", "ppc64"): ("ppc64", ""),
    ("linux", "ppc64le"): ("ppc64le", ""),
    ("linux", "s390x"): ("s390x", ""),
    ("freebsd", "amd64"): ("amd64", ""),
    ("freebsd", "i386"): ("386", ""),
    ("freebsd", "arm"): ("arm", "v6"),
    ("darwin", "x86_64"): ("amd64", ""),
    ("darwin", "i386"): ("386", ""),
}


class Label(ACRecord):
    """A name and value that say which of the images of one name this is."""

    _keep_empty = ("value",)
    name: str
    value: str = ""


class Annotation(ACRecord):
    """A name and value about an image, an app or a pod."""

    _keep_empty = ("value",)
    name: str
    value: str = ""


def mapping(items: Iterable[Label | Annotation]) -> dict[str, str]:
    """Names and values."""
    return {item.name: item.value for item in items}


def labels_of(values: Mapping[str, str]) -> list[Label]:
    """Labels in the order of their names. Raises :class:`InvalidInput` as :func:`check_labels` does."""
    made = [Label(name=name, value=values[name]) for name in sorted(values)]
    check_labels(made, "labels")
    return made


def check_labels(labels: Sequence[Label], where: str) -> None:
    """Names are unique AC Identifiers and never ``name``; ``os`` and ``arch`` are known. Raises :class:`InvalidInput`."""
    seen: dict[str, int] = {}
    for index, label in enumerate(labels):
        field = f"{where}[{index}].name"
        check_identifier(label.name, field)
        if label.name == "name":
            raise bad(field, "a label cannot be called 'name'; that is the image's own field")
        if label.name in seen:
            raise bad(field, f"the label {label.name!r} is given twice")
        seen[label.name] = index
    values = mapping(labels)
    if "os" not in values:
        return
    known = ARCHITECTURES.get(values["os"])
    if known is None:
        raise bad(
            f"{where}[{seen['os']}].value",
            f"unknown os {shown(values['os'])}",
            hint=f"one of {', '.join(ARCHITECTURES)}",
        )
    if "arch" in values and values["arch"] not in known:
        raise bad(
            f"{where}[{seen['arch']}].value",
            f"{values['os']} has no architecture {shown(values['arch'])}",
            hint=f"one of {', '.join(known)}",
        )


def check_annotations(annotations: Sequence[Annotation], where: str) -> None:
    """Names are unique AC Identifiers; the well-known ones hold what they should. Raises :class:`InvalidInput`."""
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        field = f"{where}[{index}]"
        check_identifier(annotation.name, join(field, "name"))
        if annotation.name in seen:
            raise bad(join(field, "name"), f"the annotation {annotation.name!r} is given twice")
        seen.add(annotation.name)
        value = annotation.value
        if annotation.name == "created" and not is_timestamp(value):
            raise bad(
                join(field, "value"),
                f"{shown(value)} is not an RFC 3339 timestamp",
                hint="2014-10-27T19:32:27Z",
            )
        if annotation.name in ("homepage", "documentation") and not is_web_url(value):
            raise bad(join(field, "value"), f"{shown(value)} is not an http or https URL")
        if annotation.name == SYSTEMD_NOTIFY and value not in ("true", "false"):
            raise bad(join(field, "value"), f"{shown(value)} is not 'true' or 'false'")


def merged(image: Iterable[Annotation], app: Iterable[Annotation]) -> list[Annotation]:
    """An app's annotations as the metadata service tells them: the image's, those of the pod's app over them."""
    values = mapping(image)
    values.update(mapping(app))
    return [Annotation(name=name, value=value) for name, value in values.items()]


def match(wanted: Mapping[str, str], offered: Mapping[str, str]) -> str:
    """The first label that was asked for and is not offered with that value; empty when all are. Others may be offered."""
    return next((name for name in wanted if offered.get(name) != wanted[name]), "")


def platform_of(labels: Mapping[str, str]) -> Platform | None:
    """The OCI platform that ``os`` and ``arch`` mean; None where they are not given or OCI has no word for them.

    An image with only an ``os`` has no architecture.
    """
    system = labels.get("os", "")
    if system not in ARCHITECTURES:
        return None
    if "arch" not in labels:
        return Platform(os=system)
    found = _PLATFORMS.get((system, labels["arch"]))
    return None if found is None else Platform(os=system, architecture=found[0], variant=found[1])


def platform_labels(platform: Platform) -> dict[str, str]:
    """``os`` and ``arch`` for an OCI platform; without those that App Container has no word for."""
    if platform.os not in ARCHITECTURES:
        return {}
    variant = platform.variant
    if platform.architecture == "arm":
        # As in formats.platform: ARM without a variant is version 7. The oldest that is known here is 6.
        variant = "v7" if variant in ("", "v8") else "v6" if variant == "v5" else variant
        if platform.os == "freebsd":
            variant = "v6"
    elif platform.architecture in ("arm64", "amd64"):
        variant = ""
    for (system, arch), words in _PLATFORMS.items():
        if system == platform.os and words == (platform.architecture, variant):
            return {"os": system, "arch": arch}
    return {"os": platform.os}
