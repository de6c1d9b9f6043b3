"""Whose signatures count for which image names: key files that a person can read, copy and remove.

::

    CONFIG/trustedkeys/root.d/FINGERPRINT              for every image
    CONFIG/trustedkeys/prefix.d/PREFIX/FINGERPRINT     for PREFIX and what is below it; "/" in PREFIX is written ","

Source: Rocket's documentation, "signing and verification", and its ``trust`` command. As there, all prefixes of a name count
together, not the longest alone; the system's directory comes first and the local one after it; and an empty file takes away
the key of its name from whatever came before it, for the names that its place stands for. Rocket's directories can be copied
as they are: prefixes as nested directories and fingerprints in small letters are read too.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, NotFound
from lading.formats.appc.names import check_identifier, is_identifier, parents
from lading.formats.openpgp import LARGEST, PUBLIC_KEY, armor, dearmor, is_fingerprint
from lading.formats.openpgp_packets import Key, keys
from lading.images.files import disk_error, make_directories, sync_directory, write_atomically
from lading.images.guarded import check_owner, read_guarded
from lading.roots import system_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lading.roots import Roots

_SHORTEST = 16
"""Digits at the end of a fingerprint that may stand for it: a long key ID."""


class Entry:
    """One key file. ``prefix``: empty for every image. ``key``: None for a file that takes a key of this name away."""

    __slots__ = ("fingerprint", "key", "local", "path", "prefix")

    def __init__(self, prefix: str, fingerprint: str, path: str, key: Key | None, *, local: bool) -> None:
        self.prefix = prefix
        self.fingerprint = fingerprint
        self.path = path
        self.key = key
        self.local = local


class TrustStore:
    """The keys below ``local``, where they are managed, and below the ``system`` directories, which come before it in order."""

    def __init__(self, local: str, system: Sequence[str] = ()) -> None:
        self.local = local
        self._layers = [*system, local]

    @classmethod
    def of(cls, roots: Roots) -> TrustStore:
        """The store of a root. An ordinary user's keys add to the machine's, and can take them away."""
        machine = "/etc/lading"
        system = [system_config(), *([machine] if roots.uid and roots.config != machine else [])]
        return cls(roots.config, system)

    def trusted(self, name: str) -> list[Key]:
        """The keys that may sign the image ``name``.

        Raises :class:`InvalidInput` for a name that is none and for a key file that is none, :class:`Denied` for one that
        others may change. A broken file is never passed over: it may be what takes a key away.
        """
        check_identifier(name, "image name")
        found: dict[str, Key] = {}
        for prefixes in (("",), tuple(reversed(parents(name)))):
            for layer in self._layers:
                for prefix in prefixes:
                    for entry in self._of(layer, prefix):
                        if entry.key is None:
                            found.pop(entry.fingerprint, None)
                        else:
                            found[entry.fingerprint] = entry.key
        return list(found.values())

    def entries(self) -> list[Entry]:
        """Every key file: for all images first, then by prefix. Raises as :meth:`trusted` does."""
        found: list[Entry] = []
        for layer in self._layers:
            for prefix in ("", *_prefixes(f"{layer}/trustedkeys/prefix.d")):
                found += self._of(layer, prefix)
        return sorted(found, key=lambda entry: (entry.prefix, entry.fingerprint))

    def add(self, key: Key, prefix: str) -> str:
        """Trust ``key`` for images below ``prefix`` (empty: for every image), durably; where the file is.

        A key that is there already is replaced: it may have been prolonged, or revoked. Raises :class:`InvalidInput`, and
        what a full or protected disk does.
        """
        if prefix:
            check_identifier(prefix, "prefix")
        directory = _places(self.local, prefix)[0]
        _make(self.local, directory)
        _check_directories(self.local, directory)
        path = f"{directory}/{key.fingerprint.lower()}"
        users = [user for user in key.users[:3] if user]
        write_atomically(path, armor(key.packets, PUBLIC_KEY, users))
        return path

    def remove(self, fingerprint: str, prefix: str | None = None) -> list[tuple[str, bool]]:
        """Trust a key no more: for ``prefix`` (empty: the trust for every image), or wherever it is trusted (None).

        ``fingerprint`` may have spaces, and may be its last sixteen digits or more. Returns the files that were changed, and
        for each whether it is an empty one now, which takes the system's key away. Raises :class:`NotFound`,
        :class:`InvalidInput` (reason ``ambiguous``, or no fingerprint).
        """
        digits = _digits(fingerprint)
        here = [
            entry
            for entry in self._names()
            if entry.fingerprint.endswith(digits) and prefix in (None, entry.prefix)
        ]
        if len({entry.fingerprint for entry in here}) > 1:
            raise InvalidInput(f"several keys end in {digits}", hint="give all 40 digits", reason="ambiguous")
        changed = []
        for place in dict.fromkeys(entry.prefix for entry in here):
            changed += self._remove([entry for entry in here if entry.prefix == place])
        if not changed:
            where = "" if prefix is None else f" for {prefix or 'every image'}"
            raise NotFound(
                f"key {fingerprint} is not trusted{where}", hint="`lading trust list` shows the keys"
            )
        return changed

    def _remove(self, entries: list[Entry]) -> list[tuple[str, bool]]:
        """Take one key away from one prefix."""
        changed = []
        mask = ""
        if any(not entry.local and _filled(entry.path) for entry in entries):
            directory = _places(self.local, entries[0].prefix)[0]
            mask = f"{directory}/{entries[0].fingerprint.lower()}"
            if not os.path.exists(mask) or _filled(mask):
                _make(self.local, directory)
                write_atomically(mask, b"")
                changed.append((mask, True))
        for entry in entries:
            if entry.local and entry.path != mask and _filled(entry.path):
                try:
                    os.unlink(entry.path)
                except OSError as error:
                    raise disk_error(error, f"cannot remove {entry.path}") from None
                sync_directory(os.path.dirname(entry.path))
                changed.append((entry.path, False))
        return changed

    def _names(self) -> Iterator[Entry]:
        """Every key file by its name alone, so that one that cannot be used can be removed."""
        for layer in self._layers:
            for prefix in ("", *_prefixes(f"{layer}/trustedkeys/prefix.d")):
                for directory in _places(layer, prefix):
                    for name in _files(directory):
                        if is_fingerprint(name.upper()):
                            path = f"{directory}/{name}"
                            yield Entry(prefix, name.upper(), path, None, local=layer == self.local)

    def _of(self, layer: str, prefix: str) -> Iterator[Entry]:
        for directory in _places(layer, prefix):
            names = _files(directory)
            if names:
                _check_directories(layer, directory)
            for name in names:
                path, fingerprint = f"{directory}/{name}", name.upper()
                if not is_fingerprint(fingerprint):
                    raise InvalidInput(
                        f"{path} is no key file: its name is not a fingerprint of 40 hex digits",
                        hint="move it elsewhere, and add keys with `lading trust`",
                        reason="key",
                    )
                data = _read(path)
                key = _key(data, fingerprint, path) if data else None
                yield Entry(prefix, fingerprint, path, key, local=layer == self.local)


def read_keys(data: bytes, *, what: str) -> list[Key]:
    """The public keys in an armored file. Raises :class:`InvalidInput`, :class:`Unsupported`."""
    return keys(b"".join(dearmor(data, PUBLIC_KEY, what=what)), what=what)


def _key(data: bytes, fingerprint: str, path: str) -> Key:
    for key in read_keys(data, what=path):
        # A file may hold more keys; the one that it is named for was looked at when it was trusted.
        if key.fingerprint == fingerprint:
            return key
    raise InvalidInput(f"{path}: the key in it has another fingerprint than its name", reason="key")


def _digits(text: str) -> str:
    digits = "".join(text.split()).upper().removeprefix("0X")
    if not _SHORTEST <= len(digits) <= 40 or not is_fingerprint(digits.rjust(40, "0")):
        raise InvalidInput(
            f"{text[:100]!r} is not a fingerprint", hint=f"40 hex digits, or at least the last {_SHORTEST}"
        )
    return digits


# -- files ---------------------------------------------------------------------------------------------------------


def _places(layer: str, prefix: str) -> list[str]:
    """The directories for a prefix; what is new is written to the first."""
    base = f"{layer}/trustedkeys"
    if not prefix:
        return [f"{base}/root.d"]
    flat = f"{base}/prefix.d/{prefix.replace('/', ',')}"
    return [flat, f"{base}/prefix.d/{prefix}"] if "/" in prefix else [flat]


def _prefixes(directory: str) -> list[str]:
    """The prefixes that have a directory here, in either form."""
    found = set()
    for base, names, _ in os.walk(directory):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in names:
            place = os.path.relpath(f"{base}/{name}", directory)
            prefix = place.replace(",", "/")
            if not is_identifier(prefix) or ("," in place and "/" in place):
                raise InvalidInput(f"{base}/{name}: {place!r} is no prefix of image names", reason="key")
            found.add(prefix)
    return sorted(found)


def _files(directory: str) -> list[str]:
    """Names of what is no directory; hidden files are editors' and our own unfinished ones."""
    try:
        with os.scandir(directory) as entries:
            return sorted(e.name for e in entries if not e.name.startswith(".") and not e.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise disk_error(error, f"cannot read {directory}") from None


def _filled(path: str) -> bool:
    """Whether a key file has a key in it, or claims to: a link that leads nowhere does."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return True


def _make(base: str, directory: str) -> None:
    """Make a directory below ``base`` that others cannot write to, whatever the umask."""
    missing = []
    place = directory
    while len(place) > len(base) and not os.path.isdir(place):
        missing.append(place)
        place = os.path.dirname(place)
    try:
        make_directories(base)
        for place in reversed(missing):
            os.makedirs(place, mode=0o755, exist_ok=True)
            os.chmod(place, 0o755)
            sync_directory(os.path.dirname(place))
    except OSError as error:
        raise disk_error(error, f"cannot make {directory}") from None


def _check_directories(layer: str, directory: str) -> None:
    """Whoever may write to a directory may add keys. Raises :class:`Denied`."""
    place = directory
    while len(place) > len(layer):
        check_owner(os.stat(place), place)
        place = os.path.dirname(place)


def _read(path: str) -> bytes:
    """The content of a key file. Raises :class:`Denied` when others may change it, :class:`InvalidInput` when it is none."""
    return read_guarded(path, LARGEST, kind="key file", reason="key")
