"""Labels and annotations: unique names, well-known values, platforms, matching."""

from __future__ import annotations

import pytest

from lading.errors import InvalidInput
from lading.formats.appc import labels
from lading.formats.appc.labels import Annotation, Label
from lading.formats.oci_image import Platform


def _labels(*pairs: tuple[str, str]) -> list[Label]:
    return [Label(name=name, value=value) for name, value in pairs]


def _notes(*pairs: tuple[str, str]) -> list[Annotation]:
    return [Annotation(name=name, value=value) for name, value in pairs]


@pytest.mark.parametrize(
    "pairs",
    [(), (("version", "1.0.0"),), (("version", ""),), (("os", "linux"), ("arch", "amd64")), (("arch", "amd64"), ("os", "linux")),
     (("os", "linux"), ("arch", "aarch64_be")), (("os", "linux"), ("arch", "s390x")), (("os", "freebsd"), ("arch", "arm")),
     (("os", "darwin"), ("arch", "x86_64")), (("os", "linux"),), (("arch", "pdp11"),), (("example.com/channel",
     "any text, even this"),)],
)  # fmt: skip
def test_labels_are_accepted(pairs: tuple[tuple[str, str], ...]) -> None:
    labels.check_labels(_labels(*pairs), "labels")


@pytest.mark.parametrize(
    ("pairs", "field"),
    [((("name", "x"),), r"labels\[0\]\.name"), ((("a", "1"), ("a", "2")), r"labels\[1\]\.name"), ((("A", "1"),),
    r"labels\[0\]\.name"),
     ((("", "1"),), r"labels\[0\]\.name"), ((("os", "OS/360"), ("arch", "S/360")), r"labels\[0\]\.value"),
     ((("arch", "arm64"), ("os", "linux")), r"labels\[0\]\.value"), ((("os", "linux"), ("arch", "arm")), r"labels\[1\]\.value"),
     ((("os", "linux"), ("arch", "S390x")), r"labels\[1\]\.value"), ((("os", "freebsd"), ("arch", "armv7b")),
     r"labels\[1\]\.value"),
     ((("os", ""),), r"labels\[0\]\.value")],
)  # fmt: skip
def test_labels_are_refused_with_the_field(pairs: tuple[tuple[str, str], ...], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        labels.check_labels(_labels(*pairs), "labels")


@pytest.mark.parametrize(
    "pairs",
    [(), (("authors", "Carly <carly@example.com>"),), (("created", "2014-10-27T19:32:27.67021798Z"),),
     (("homepage", "https://example.com"), ("documentation", "http://example.com/docs")),
     ((labels.SYSTEMD_NOTIFY, "true"),), (("lorem", ""),), (("example.com/a_b~c", "x"),)],
)  # fmt: skip
def test_annotations_are_accepted(pairs: tuple[tuple[str, str], ...]) -> None:
    labels.check_annotations(_notes(*pairs), "annotations")


@pytest.mark.parametrize(
    ("pairs", "field"),
    [((("a", "1"), ("b", "2"), ("a", "3")), r"annotations\[2\]\.name"), ((("Foo", "1"),), r"annotations\[0\]\.name"),
     ((("created", "yesterday"),), r"annotations\[0\]\.value"), ((("homepage", "example.com"),), r"annotations\[0\]\.value"),
     ((("documentation", "ftp://example.com"),), r"annotations\[0\]\.value"), (((labels.SYSTEMD_NOTIFY, "yes"),),
     r"annotations\[0\]\.value")],
)  # fmt: skip
def test_annotations_are_refused_with_the_field(pairs: tuple[tuple[str, str], ...], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        labels.check_annotations(_notes(*pairs), "annotations")


def test_an_apps_annotation_goes_over_its_images() -> None:
    made = labels.merged(_notes(("a", "image"), ("b", "image")), _notes(("b", "app"), ("c", "app")))
    assert labels.mapping(made) == {"a": "image", "b": "app", "c": "app"}


@pytest.mark.parametrize(
    ("wanted", "offered", "missing"),
    [({}, {"version": "1"}, ""), ({"version": "1"}, {"version": "1", "os": "linux"}, ""), ({"version": "1"}, {"version": "2"},
    "version"),
     ({"os": "linux"}, {}, "os"), ({"x": ""}, {}, "x")],
)  # fmt: skip
def test_labels_match_when_each_that_was_asked_for_is_there(
    wanted: dict[str, str], offered: dict[str, str], missing: str
) -> None:
    assert labels.match(wanted, offered) == missing


@pytest.mark.parametrize(
    ("arch", "architecture", "variant"),
    [("amd64", "amd64", ""), ("i386", "386", ""), ("aarch64", "arm64", ""), ("armv6l", "arm", "v6"), ("armv7l", "arm", "v7"),
     ("ppc64", "ppc64", ""), ("ppc64le", "ppc64le", ""), ("s390x", "s390x", "")],
)  # fmt: skip
def test_a_platform_has_a_name_in_both_formats(arch: str, architecture: str, variant: str) -> None:
    platform = Platform(os="linux", architecture=architecture, variant=variant)
    assert labels.platform_of({"os": "linux", "arch": arch}) == platform
    assert labels.platform_labels(platform) == {"os": "linux", "arch": arch}


def test_a_platform_without_a_counterpart_is_said_to_have_none() -> None:
    assert labels.platform_of({"os": "linux", "arch": "armv7b"}) is None
    assert labels.platform_of({"arch": "amd64"}) is None
    assert labels.platform_of({"os": "linux"}) == Platform(os="linux")
    assert labels.platform_labels(Platform(os="linux", architecture="riscv64")) == {"os": "linux"}
    assert labels.platform_labels(Platform(os="windows", architecture="amd64")) == {}
    assert labels.platform_labels(Platform(os="linux", architecture="arm")) == {
        "os": "linux",
        "arch": "armv7l",
    }
