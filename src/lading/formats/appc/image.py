"""The image manifest: what is in an App Container Image and how it is executed.

Source: spec/aci.md, "Image Manifest Schema".
"""

from __future__ import annotations

from lading.formats.appc.app import App
from lading.formats.appc.errors import join
from lading.formats.appc.labels import Annotation, Label, check_annotations, check_labels, mapping
from lading.formats.appc.names import check_identifier
from lading.formats.appc.record import ACRecord, Manifest
from lading.formats.appc.values import VERSION, check_absolute, check_header, check_image_id, check_range

KIND = "ImageManifest"
_LARGEST_SIZE = 2**63 - 1


class Dependency(ACRecord):
    """An image below this one. ``size`` 0: not known."""

    _wire = {"image_id": "imageID"}
    image_name: str
    image_id: str = ""
    labels: list[Label] = []
    size: int = 0

    def check(self, where: str = "") -> None:
        check_identifier(self.image_name, join(where, "imageName"))
        if self.image_id:
            check_image_id(self.image_id, join(where, "imageID"))
        check_labels(self.labels, join(where, "labels"))
        check_range(self.size, 0, _LARGEST_SIZE, join(where, "size"))


class ImageManifest(Manifest):
    """The file ``manifest`` of an archive."""

    _wire = {"ac_kind": "acKind", "ac_version": "acVersion"}
    _keep_empty = ("ac_kind", "ac_version")
    ac_kind: str
    ac_version: str
    name: str
    labels: list[Label] = []
    app: App | None = None
    annotations: list[Annotation] = []
    dependencies: list[Dependency] = []
    path_whitelist: list[str] = []

    @classmethod
    def new(cls, name: str) -> ImageManifest:
        """A manifest with nothing but a name."""
        return cls(ac_kind=KIND, ac_version=VERSION, name=name)

    def check(self, where: str = "") -> None:
        """Everything the specification states. Raises :class:`InvalidInput`, :class:`Unsupported` (another major version)."""
        check_header(self.ac_kind, self.ac_version, KIND, where)
        check_identifier(self.name, join(where, "name"))
        check_labels(self.labels, join(where, "labels"))
        if self.app is not None:
            self.app.check(join(where, "app"))
        check_annotations(self.annotations, join(where, "annotations"))
        for index, dependency in enumerate(self.dependencies):
            dependency.check(join(where, f"dependencies[{index}]"))
        for index, path in enumerate(self.path_whitelist):
            check_absolute(path, join(where, f"pathWhitelist[{index}]"))

    def settle(self) -> None:
        """See :meth:`Manifest.settle`."""
        if self.app is not None:
            self.app.settle()

    def label(self, name: str) -> str:
        """The value of a label; empty when there is none."""
        return mapping(self.labels).get(name, "")

    def whitelist(self) -> frozenset[str] | None:
        """The paths that stay, normal and relative to the root (``etc/passwd``); None when everything does.

        An empty list is no list. Only what is listed stays, directories without what is in them; the parents of what is
        listed exist because it does.
        """
        if not self.path_whitelist:
            return None
        return frozenset(path for path in map(_normal, self.path_whitelist) if path)


def _normal(path: str) -> str:
    done: list[str] = []
    for part in path.split("/"):
        if part == "..":
            done[-1:] = []
        elif part not in ("", "."):
            done.append(part)
    return "/".join(done)
