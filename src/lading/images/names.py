"""Names of images: a tiny file for each, so that looking one up is one read and changing one is one rename.

::

    names/REGISTRY/REPOSITORY/:TAG            what a tag names
    names/REGISTRY/REPOSITORY/@sha256-HEX     what was pulled by digest

Repositories nest (``a`` and ``a/b`` both exist), and no repository component may begin with ``:`` or ``@``. A file holds
JSON: ``target``, the descriptor that the name stands for (an index or a manifest), and ``image``, the digest of the manifest
that was chosen from it for this machine; ``pulled`` when a registry said so, and not somebody here.
"""

from __future__ import annotations

import os

from lading.errors import Corrupt, LadingError
from lading.formats import jsontext
from lading.formats.oci_image import Descriptor
from lading.formats.reference import Reference
from lading.images.files import make_directories, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Named:
    """What a name stands for: ``target`` as received, ``image`` the manifest's digest; ``pulled``: by a registry's word."""

    __slots__ = ("image", "pulled", "target")

    def __init__(self, target: Descriptor, image: str, *, pulled: bool = False) -> None:
        self.target = target
        self.image = image
        self.pulled = pulled


class Names:
    """The index of names below ``root`` (the image store's directory)."""

    def __init__(self, root: str) -> None:
        self._directory = root + "/names"

    def _path(self, reference: Reference) -> str:
        last = f":{reference.tag}" if not reference.digest else "@" + reference.digest.replace(":", "-", 1)
        return f"{self._directory}/{reference.registry}/{reference.repository}/{last}"

    def get(self, reference: Reference) -> Named | None:
        """What ``reference`` stands for here, None when it is not known. Raises :class:`Corrupt` for a broken record."""
        data = read(self._path(reference))
        return None if data is None else _decode(data, reference)

    def set(self, reference: Reference, named: Named) -> None:
        """Make ``reference`` stand for ``named``; other processes see the old or the new."""
        path = self._path(reference)
        record: dict[str, object] = {"target": named.target.encode(), "image": named.image}
        if named.pulled:
            record["pulled"] = True
        data = jsontext.dumps(record).encode()
        for attempt in range(10):
            make_directories(os.path.dirname(path))
            try:
                write_atomically(path, data)
                return
            except LadingError:
                # A process that removed the last name of the repository took its directory away in between.
                if attempt == 9 or os.path.isdir(os.path.dirname(path)):
                    raise

    def remove(self, reference: Reference) -> bool:
        """Forget ``reference``; whether it was known."""
        path = self._path(reference)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        directory = os.path.dirname(path)
        while directory != self._directory:
            try:
                os.rmdir(directory)
            except OSError:
                break
            directory = os.path.dirname(directory)
        return True

    def list(self) -> Iterator[tuple[Reference, Named]]:
        """Every name, sorted. A broken record raises :class:`Corrupt`."""
        for path, reference in self.files():
            data = read(path)
            if data is not None and reference is not None:
                yield reference, _decode(data, reference)

    def files(self) -> Iterator[tuple[str, Reference | None]]:
        """Every file of the index and the name it is for; None for a file that is no record (a leftover)."""
        for base, directories, files in os.walk(self._directory):
            directories[:] = sorted(d for d in directories if d[0] != "~")  # those are aliases (aliases.py)
            name = base[len(self._directory) + 1 :]
            registry, _, repository = name.partition("/")
            for file in sorted(files):
                path = f"{base}/{file}"
                if not repository or file[0] not in ":@":
                    yield path, None
                elif file[0] == ":":
                    yield path, Reference(registry, repository, file[1:])
                else:
                    yield path, Reference(registry, repository, "", file[1:].replace("-", ":", 1))


def _decode(data: bytes, reference: Reference) -> Named:
    try:
        value = jsontext.loads(data)
        target = Descriptor.decode(value["target"], strict=False)
        return Named(target, str(value["image"]), pulled=value.get("pulled") is True)
    except (LadingError, KeyError, TypeError, AttributeError):
        raise Corrupt(
            f"the record of the name {reference.familiar} is broken", hint="run `lading check --repair`"
        ) from None
