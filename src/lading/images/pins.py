"""Pins: records of other packages that hold content, so that the collector leaves it where it is.

::

    pins/KIND/NAME    JSON: ``holds``, what stays as long as this file is there, and ``about``, what its owner keeps in it
                      ``ledger``: where one holds more than fits a file, an SQLite database with a table ``holds (digest)``

A pin is the owner's record and the reason to keep in one file: neither is ever there without the other, whatever is killed
and when. Its modification time is the moment of its last use. Putting and removing take the store's lock shared as every
change of names does, so a pin is either seen by the collector, or made after it has finished; until then what it holds needs a
:class:`~lading.images.leases.Lease`.
"""

from __future__ import annotations

import os

from lading.errors import Corrupt, InvalidInput, LadingError, NotFound
from lading.formats import jsontext
from lading.images.files import Lock, disk_error, is_temporary, make_directories, read, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LAYER = "layer:"
"""What a held unpacked layer's key begins with; everything else held is a blob's digest."""

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class Pin:
    """``holds``: digests of blobs and ``layer:KEY``; ``about``: the owner's JSON object; ``used``: when last, in seconds.

    ``ledger``: a database below the store's directory that says what else is held, or empty.
    """

    __slots__ = ("about", "holds", "kind", "ledger", "name", "used")

    def __init__(
        self, kind: str, name: str, holds: list[str], about: dict[str, object], used: float, ledger: str = ""
    ) -> None:
        self.kind = kind
        self.name = name
        self.holds = holds
        self.about = about
        self.used = used
        self.ledger = ledger


class Pins:
    """The pins below ``root`` (the image store's directory). Any number of processes may use them at once.

    A kind and a name are one to 200 letters, digits, ``-``, ``_`` and ``.``, the first no dot; :class:`InvalidInput` else.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._directory = root + "/pins"

    def path(self, kind: str, name: str) -> str:
        """The file of a pin, whether it is there or not."""
        for word in (kind, name):
            if not word or len(word) > 200 or word[0] == "." or not _ALLOWED.issuperset(word):
                raise InvalidInput(f"{word[:80]!r} cannot name a pin")
        return f"{self._directory}/{kind}/{name}"

    def get(self, kind: str, name: str) -> Pin | None:
        """The pin, None where there is none. Raises :class:`Corrupt` when its file is broken."""
        return self._read(kind, name, self.path(kind, name))

    def _read(self, kind: str, name: str, path: str) -> Pin | None:
        try:
            used = os.stat(path).st_mtime
        except FileNotFoundError:
            return None
        data = read(path)
        if data is None:
            return None
        try:
            record = jsontext.loads(data)
            holds, about, ledger = record["holds"], record["about"], record.get("ledger", "")
            if not isinstance(holds, list) or not isinstance(about, dict) or not isinstance(ledger, str):
                raise TypeError
            return Pin(kind, name, [str(held) for held in holds], about, used, ledger)
        except (LadingError, KeyError, TypeError, ValueError):
            raise Corrupt(f"the record {path} is broken", hint="run `lading check --repair`") from None

    def put(
        self, kind: str, name: str, *, holds: Collection[str], about: dict[str, object], ledger: str = ""
    ) -> None:
        """Write a pin durably, in place of one that was there. What it holds must be here, and leased by the caller.

        ``ledger``: the name below the store's directory of a database that its owner keeps, with what else is held.
        """
        path = self.path(kind, name)
        record: dict[str, object] = {"holds": sorted(set(holds)), "about": about}
        if ledger:
            record["ledger"] = ledger
        data = jsontext.dumps(record).encode()
        try:
            make_directories(os.path.dirname(path))
            with Lock(self.root + "/lock", exclusive=False):
                write_atomically(path, data)
        except OSError as error:
            raise disk_error(error, f"cannot write {path}") from None

    def use(self, kind: str, name: str) -> None:
        """From now on the pin counts as used at this moment. Raises :class:`NotFound` when it was removed meanwhile."""
        path = self.path(kind, name)
        try:
            os.utime(path)
        except FileNotFoundError:
            raise NotFound(f"the record {path} was removed meanwhile") from None
        except OSError:
            pass  # a store that this process may not write: it is there all the same

    def remove(self, kind: str, name: str, *, locked: bool = False) -> bool:
        """Remove a pin; whether there was one. What it held goes with the next collection.

        ``locked``: the caller holds the store's lock.
        """
        path = self.path(kind, name)
        if not os.path.lexists(path):
            return False
        try:
            if locked:
                os.unlink(path)
            else:
                with Lock(self.root + "/lock", exclusive=False):
                    os.unlink(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_error(error, f"cannot remove {path}") from None
        return True

    def kinds(self) -> list[str]:
        """The kinds that have pins."""
        return _names(self._directory)

    def list(self, kind: str) -> Iterator[Pin]:
        """Every pin of a kind, in the order of their names. Raises :class:`Corrupt`."""
        for name in _names(f"{self._directory}/{kind}"):
            pin = self._read(kind, name, f"{self._directory}/{kind}/{name}")
            if pin is not None:
                yield pin

    def held(self) -> Iterator[str]:
        """Everything that any pin holds. Raises :class:`Corrupt`: what a broken one held is not known, so nothing may go."""
        for kind in self.kinds():
            for pin in self.list(kind):
                yield from pin.holds
                if pin.ledger:
                    yield from _listed(f"{self.root}/{pin.ledger}")


def _listed(path: str) -> list[str]:
    """What a ledger holds: nothing when it is gone. Raises :class:`Corrupt` when it cannot be read."""
    import sqlite3

    if not os.path.exists(path):
        return []
    try:
        database = sqlite3.connect(path, timeout=30.0)
        try:
            return [str(row[0]) for row in database.execute("SELECT digest FROM holds")]
        finally:
            database.close()
    except sqlite3.Error as error:
        raise Corrupt(
            f"{path} cannot be read ({error}), so nobody knows what it holds and nothing is removed",
            hint="`lading registry check`",
        ) from None


def _names(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if not is_temporary(name) and name[0] != ".")
    except FileNotFoundError:
        return []
