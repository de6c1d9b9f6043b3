"""Names that are no OCI references: of images in other formats, which have names of their own grammar and labels.

::

    names/~KIND/HASH/DIGEST    KIND: the format; HASH: of the name; DIGEST: of what the name leads to

One name may stand for many images, told apart by their labels; the format decides which of them is meant. No registry is
called ``~…``, so the two kinds never meet.
"""

from __future__ import annotations

import os

from lading.errors import Corrupt, LadingError
from lading.formats import digest as digests
from lading.formats import jsontext
from lading.formats.oci_image import Descriptor
from lading.images.files import is_temporary, make_directories, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lading.images import Images
    from lading.images.image import Image


class Alias:
    """``name`` and ``labels`` of the image ``target``; ``text`` as people type both, control characters shown escaped.

    ``came``  nanoseconds since 1970.
    """

    __slots__ = ("came", "kind", "labels", "name", "target", "text")

    def __init__(
        self, kind: str, name: str, text: str, labels: Mapping[str, str], target: Descriptor, came: int
    ) -> None:
        self.kind = kind
        self.name = name
        self.text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        self.labels = dict(labels)
        self.target = target
        self.came = came


class Aliases:
    """The aliases below ``root`` (the image store's directory)."""

    def __init__(self, root: str) -> None:
        self._names = root + "/names"

    def _directory(self, kind: str, name: str) -> str:
        return f"{self._names}/~{kind}/{digests.of(name.encode()).partition(':')[2][:32]}"

    def _path(self, alias: Alias) -> str:
        return f"{self._directory(alias.kind, alias.name)}/{alias.target.digest.replace(':', '-', 1)}"

    def kinds(self) -> list[str]:
        """The formats that have aliases here."""
        return [name[1:] for name in _listed(self._names) if name[0] == "~"]

    def set(self, alias: Alias) -> None:
        """Write ``alias``, in place of an older one for the same image."""
        path = self._path(alias)
        record = {
            "name": alias.name,
            "text": alias.text,
            "labels": alias.labels,
            "came": alias.came,
            "target": alias.target.encode(),
        }
        # As with other names: whoever removes the last of a directory takes it away, perhaps in between.
        for attempt in range(10):
            make_directories(os.path.dirname(path))
            try:
                write_atomically(path, jsontext.dumps(record).encode())
                return
            except LadingError:
                if attempt == 9 or os.path.isdir(os.path.dirname(path)):
                    raise

    def remove(self, alias: Alias) -> None:
        """Forget ``alias``."""
        self.unlink(self._path(alias))

    def unlink(self, path: str) -> None:
        """Remove the file of an alias, and directories that have none left."""
        try:
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
            os.rmdir(os.path.dirname(os.path.dirname(path)))
        except OSError:
            pass

    def named(self, kind: str, name: str) -> list[Alias]:
        """Every image of that name; reads one directory. Raises :class:`Corrupt` for a broken record."""
        directory = self._directory(kind, name)
        paths = [f"{directory}/{file}" for file in _listed(directory)]
        found = [alias for path in paths if (alias := self.read(path)) is not None]
        return [alias for alias in found if alias.name == name]

    def list(self) -> Iterator[Alias]:
        """Every alias. Raises :class:`Corrupt` for a broken record."""
        for path in self.files():
            alias = self.read(path)
            if alias is not None:
                yield alias

    def files(self) -> Iterator[str]:
        """The file of every alias."""
        for kind in self.kinds():
            for name in _listed(f"{self._names}/~{kind}"):
                for file in _listed(f"{self._names}/~{kind}/{name}"):
                    yield f"{self._names}/~{kind}/{name}/{file}"

    def read(self, path: str) -> Alias | None:
        """The alias in the file ``path``, None when it is gone. Raises :class:`Corrupt`."""
        data = read(path)
        if data is None:
            return None
        try:
            value = jsontext.loads(data)
            labels = {str(key): str(item) for key, item in value["labels"].items()}
            target = Descriptor.decode(value["target"], strict=False)
            return Alias(
                path.split("/")[-3][1:], value["name"], value["text"], labels, target, int(value["came"])
            )
        except (LadingError, KeyError, TypeError, ValueError, AttributeError):
            raise Corrupt(
                f"the record of a name in {path} is broken", hint="run `lading check --repair`"
            ) from None


def _listed(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if not is_temporary(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def find(images: Images, text: str) -> Image | None:
    """The image that ``text`` names in the words of a format that has images here; None when none understands it."""
    from lading.images.others import other_format

    for kind in images.aliases.kinds():
        form = other_format(kind)
        found = form.find(images, text) if form is not None else None
        if found is not None:
            return found
    return None
