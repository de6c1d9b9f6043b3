"""The volume store: one directory a volume below :attr:`Roots.volumes`.

``NAME/volume.json`` is the record, ``NAME/_data`` the content. A volume is made in ``.new-…`` and renamed into place, so a
name either exists whole or not at all and two commands racing on one name have one winner. Removing renames to ``.gone-…``
first: a removal that is killed leaves something :meth:`Volumes.check` finishes.

Drivers: ``local`` (a directory here, or with ``type=none,o=bind,device=PATH`` a directory elsewhere, or with
``type=tmpfs`` memory) and ``tmpfs`` (the same as the last). Every other driver and option is refused by name.
"""

from __future__ import annotations

import os
import time

from lading.errors import Conflict, Exhausted, InvalidInput, KernelError, NotFound, Unsupported
from lading.formats.jsontext import dumps, loads
from lading.formats.schema import Record
from lading.roots import keep_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lading.volumes.filling import Filling

_NAME_HEAD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME_TAIL = _NAME_HEAD | frozenset("_.-")
_ENOSPC, _EDQUOT, _EEXIST, _ENOTEMPTY, _ENOENT = 28, 122, 17, 39, 2
_LOCAL_OPTIONS = ("type", "o", "device")


class Volume(Record):
    """One volume, as its record says.

    ``created`` is RFC 3339 UTC. ``anonymous`` volumes go with their container (``--rm``, ``rm -v``). ``populated`` is set
    once the image's content was copied up, so that a volume emptied on purpose stays empty.
    """

    name: str
    driver: str = "local"
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    created: str = ""
    anonymous: bool = False
    populated: bool = False


class Source(Record):
    """What to mount for a volume: ``bind`` a directory, or a ``tmpfs`` with mount options."""

    kind: str
    path: str = ""
    options: list[str] = []


class Finding(Record):
    """Something :meth:`Volumes.check` found: what is wrong, where, and what was (or would be) done about it."""

    what: str
    where: str
    fix: str
    fixed: bool = False


# Volumes has a method called ``list``, which hides the type inside the class.
_Names = list[str]
_Findings = list[Finding]


class Volumes:
    """All volumes below one directory. Safe to use from many processes at once."""

    def __init__(self, root: str) -> None:
        self.root = root

    def create(
        self,
        name: str = "",
        driver: str = "local",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        *,
        anonymous: bool = False,
        exist_ok: bool = True,
    ) -> Volume:
        """Make a volume; an empty ``name`` gives it 64 random hex digits, as Docker does.

        An existing volume with the same driver and options is returned as it is when ``exist_ok``; with different ones
        it is a :class:`Conflict`. Raises InvalidInput (name, option values), Unsupported (driver, option), Exhausted.
        """
        name = name or os.urandom(32).hex()
        check_name(name)
        volume = Volume(
            name=name,
            driver=driver,
            options=dict(options or {}),
            labels=dict(labels or {}),
            created=_now(),
            anonymous=anonymous,
        )
        _check_driver(volume)
        staging = self._aside("new", name)
        try:
            keep_private(self.root)
            os.makedirs(f"{staging}/_data", 0o755)
            _write_record(staging, volume)
            try:
                os.rename(staging, f"{self.root}/{name}")
            except OSError as error:
                if error.errno not in (_EEXIST, _ENOTEMPTY):
                    raise
                _remove_tree(staging)
                return self._existing(volume, exist_ok)
            _sync_directory(self.root)
        except OSError as error:
            _remove_tree(staging)
            raise _os_error(f"volume {name}", error) from None
        except BaseException:  # a label that is no text, Ctrl-C
            _remove_tree(staging)
            raise
        return volume

    def _aside(self, why: str, name: str) -> str:
        """A path that no volume has, for one that comes or goes; a long name is cut, for a file's name has 255 bytes."""
        return f"{self.root}/.{why}-{name[:200]}-{os.urandom(4).hex()}-{os.getpid()}"

    def _existing(self, wanted: Volume, exist_ok: bool) -> Volume:
        found = self.get(wanted.name)
        if not exist_ok:
            raise Conflict(
                f"volume {wanted.name} exists already", hint="choose another name or remove it first"
            )
        if found.driver != wanted.driver or (wanted.options and found.options != wanted.options):
            raise Conflict(
                f"volume {wanted.name} exists with driver {found.driver} and other options",
                hint="choose another name or remove it first",
            )
        return found

    def get(self, name: str) -> Volume:
        """The volume ``name``. Raises NotFound."""
        check_name(name)
        try:
            with open(f"{self.root}/{name}/volume.json", "rb") as file:
                text = file.read()
        except FileNotFoundError:
            raise NotFound(f"volume {name} does not exist", hint="see `lading volume ls`") from None
        return Volume.decode(loads(text, what=f"volume {name}"), where=f"volume {name}", strict=False)

    def list(self) -> list[Volume]:
        """Every volume, by name."""
        made = []
        for name in self._names():
            try:
                made.append(self.get(name))
            except NotFound:
                continue  # removed since the directory was read
        return made

    def _names(self) -> Iterator[str]:
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return
        for name in names:
            if _is_name(
                name
            ):  # not ours otherwise: ``lost+found`` where the directory is a file system of its own
                yield name

    def source(self, name: str) -> Source:
        """What to mount for the volume ``name``. Raises NotFound, and InvalidInput when a bound device is gone."""
        volume = self.get(name)
        if _is_tmpfs(volume):
            return Source(kind="tmpfs", options=[o for o in volume.options.get("o", "").split(",") if o])
        device = volume.options.get("device")
        if device:
            if not os.path.isdir(device):
                raise InvalidInput(
                    f"volume {name}: its device {device} is not a directory",
                    hint="make it, or remove the volume",
                )
            return Source(kind="bind", path=device)
        return Source(kind="bind", path=f"{self.root}/{name}/_data")

    def filling(self, name: str) -> Filling:
        """The right to fill a volume from an image, for ``with``."""
        from lading.volumes.filling import Filling

        return Filling(f"{self.root}/{name}")

    def remove(
        self, name: str, *, in_use: Callable[[str], _Names] | None = None, force: bool = False
    ) -> None:
        """Remove a volume and its content. Raises Conflict, naming who uses it; NotFound unless ``force``."""
        try:
            self.get(name)
        except NotFound:
            if force:
                return
            raise
        users = in_use(name) if in_use else []
        if users:
            raise Conflict(
                f"volume {name} is in use by {', '.join(users)}", hint="remove these containers first"
            )
        _refuse_mounted(f"{self.root}/{name}", f"volume {name}")
        gone = self._aside("gone", name)
        try:
            os.rename(f"{self.root}/{name}", gone)
        except FileNotFoundError:
            if force:
                return
            raise NotFound(f"volume {name} does not exist") from None
        _remove_tree(gone)

    def prune(
        self,
        in_use: Callable[[str], _Names],
        *,
        all: bool = False,
        chosen: Callable[[Volume], bool] = lambda _: True,
    ) -> tuple[_Names, int]:
        """Remove unused ``chosen`` volumes (anonymous ones, or ``all``): their names, and the bytes that became free."""
        removed: _Names = []
        freed = 0
        for volume in self.list():
            if not (all or volume.anonymous) or not chosen(volume) or in_use(volume.name):
                continue
            size = self.usage(volume.name)
            try:
                self.remove(volume.name, in_use=in_use)
            except (NotFound, Conflict):
                continue  # somebody was faster
            removed.append(volume.name)
            freed += size
        return removed, freed

    def usage(self, name: str) -> int:
        """Bytes on disk below the volume's own directory; 0 for bound devices and memory."""
        seen: set[tuple[int, int]] = set()
        total = 0
        for directory, _, files in os.walk(f"{self.root}/{name}/_data"):
            for file in files:
                try:
                    info = os.lstat(f"{directory}/{file}")
                except FileNotFoundError:
                    continue
                if (info.st_dev, info.st_ino) not in seen:
                    seen.add((info.st_dev, info.st_ino))
                    total += info.st_blocks * 512
        return total

    def mark_populated(self, name: str) -> None:
        """Remember that the image's content was copied up into ``name``."""
        volume = self.get(name)
        if not volume.populated:
            _write_record(f"{self.root}/{name}", volume.replace(populated=True))

    def check(self, repair: bool) -> _Findings:
        """Finish what an interrupted command left: half-made and half-removed volumes, records that are missing."""
        findings = []
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        for name in names:
            path = f"{self.root}/{name}"
            if name.startswith((".gone-", ".new-")):
                pid = name.rpartition("-")[2]
                if pid.isdigit() and os.path.exists(f"/proc/{pid}"):
                    continue  # being made or removed right now
                if not os.path.lexists(path):
                    continue  # its maker finished before it went
                interrupted = name.startswith(".gone-")
                what = f"a volume {'whose removal was interrupted' if interrupted else 'that was never finished'}"
            elif _is_name(name) and not os.path.exists(f"{path}/volume.json"):
                if repair:
                    _write_record(path, Volume(name=name, created=_now()))
                findings.append(
                    Finding(
                        what="a volume without its record", where=path, fix="write a new record", fixed=repair
                    )
                )
                continue
            else:
                continue
            if repair:
                _remove_tree(path)
            findings.append(Finding(what=what, where=path, fix="remove it", fixed=repair))
        return findings


def check_name(name: str) -> None:
    """Docker's volume names: ``[a-zA-Z0-9][a-zA-Z0-9_.-]*``, at most 255 bytes."""
    if not _is_name(name):
        raise InvalidInput(
            f"volume name {name!r} is not valid",
            hint="use letters, digits, '_', '.' and '-', starting with a letter or digit",
        )


def _is_name(name: str) -> bool:
    return bool(name) and name[0] in _NAME_HEAD and _NAME_TAIL.issuperset(name) and len(name) <= 255


def _is_tmpfs(volume: Volume) -> bool:
    return volume.driver == "tmpfs" or volume.options.get("type") == "tmpfs"


def _check_driver(volume: Volume) -> None:
    if volume.driver not in ("local", "tmpfs"):
        raise Unsupported(f"volume driver {volume.driver!r} is not supported", hint="use local or tmpfs")
    for option in volume.options:
        if option not in _LOCAL_OPTIONS:
            raise Unsupported(
                f"volume option {option!r} is not supported",
                hint=f"driver {volume.driver} knows {', '.join(_LOCAL_OPTIONS)}: -o o=size=64m",
            )
    kind = volume.options.get("type", "tmpfs" if volume.driver == "tmpfs" else "")
    words = [w for w in volume.options.get("o", "").split(",") if w]
    if kind == "tmpfs":
        return
    if kind not in ("", "none"):
        raise Unsupported(
            f"volume type {kind!r} is not supported", hint="bind a directory that is mounted already"
        )
    device = volume.options.get("device", "")
    if device or words or kind:
        if [w for w in words if w not in ("bind", "rbind")] or not words:
            raise Unsupported(
                f"volume options o={volume.options.get('o', '')!r} are not supported", hint="use o=bind"
            )
        if not device.startswith("/"):
            raise InvalidInput(f"volume {volume.name}: device {device!r} must be an absolute path")


def _now() -> str:
    moment = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**9)) + f".{moment % 10**9:09d}Z"


def _write_record(directory: str, volume: Volume) -> None:
    path = f"{directory}/volume.json"
    fresh = f"{path}.{os.getpid()}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        text = dumps(volume.encode(), indent=2).encode() + b"\n"
        while text:  # a disk that becomes full takes a part
            text = text[os.write(fd, text) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(fresh, path)


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_mounted(path: str, what: str) -> None:
    """What somebody mounted among our files is not ours to remove. Raises :class:`Conflict`."""
    from lading.kernel.clearing import mounted_below

    for point in mounted_below(path):
        raise Conflict(f"{what}: something is mounted at {point}", hint="unmount it first", reason="mounted")


def _remove_tree(path: str) -> None:
    from lading.kernel import tree

    _refuse_mounted(path, path)
    try:
        tree.remove(path)
    except OSError as error:
        raise Conflict(
            f"{path} could not be removed whole: {error.strerror}",
            hint="see what is mounted or immutable below it",
        ) from None


def _os_error(what: str, error: OSError) -> Exception:
    if error.errno in (_ENOSPC, _EDQUOT):
        return Exhausted(f"{what}: no space left on the disk", hint="free some and try again")
    return KernelError(f"{what}: {error.filename or ''}", error.errno or 0)
