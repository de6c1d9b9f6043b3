"""Where Rocket's ``paths.d`` files say that images and pods are kept.

Source: Rocket's documentation, "configuration", kind ``paths`` version ``v1``.
"""

from __future__ import annotations

from lading.formats import jsontext
from lading.formats.appc.credentials import kind_of
from lading.formats.appc.errors import bad, join
from lading.formats.schema import Record

KINDS = ("paths",)
"""Of the files in ``paths.d``."""


class PathsFile(Record):
    """One file. There are no stage 1 images here: where they are is read, and means nothing."""

    _wire = {"stage1_images": "stage1-images"}

    rkt_kind: str
    rkt_version: str
    data: str = ""
    stage1_images: str = ""


def data_directory(text: str | bytes, *, what: str) -> str:
    """The directory of images and pods that the file ``what`` names; empty for none. Raises :class:`InvalidInput`."""
    value = jsontext.loads(text, what=what)
    kind_of(value, KINDS, what)
    file = PathsFile.decode(value, where=what)
    for name, path in (("data", file.data), ("stage1-images", file.stage1_images)):
        if path and not path.startswith("/"):
            raise bad(join(what, name), "must be an absolute path")
    return file.data
