"""What the runtime remembers of its containers: one directory each below its root, and in it ``config.json``,
written once, and ``state.json``.

The root lies on a file system that a reboot empties (``/run``), because what it describes ends with the
machine; so ``state.json`` is replaced atomically (write, rename) and neither is ever fsynced. A container's directory is
made before anything else of it and removed last: a ``kill -9`` in between leaves a directory from which
``delete --force`` finds the rest.

Processes are named by pid *and* start time, so that a pid the kernel has given to somebody else is never
signalled.
"""

from __future__ import annotations

import os

from lading.errors import Conflict, Corrupt, Denied, InvalidInput, LadingError, NotFound
from lading.formats.jsontext import dumps, loads
from lading.formats.schema import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

START, RESULT = "start.fifo", "result.fifo"
"""The pipes in a created container's directory, by :mod:`lading.runtime.starting`: the first goes away with its start."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")


class StateRecord(Record):
    """One container.

    ``pid``, ``start_time``      its first process; 0 until there is one.
    ``creator``, ``creator_start``  the process that is making it: with no first process and the creator
    gone, the making
                                 was interrupted.
    ``created``                  seconds since the epoch.
    ``rootfs``                   absolute path of the root, for listings.
    ``owner``                    uid of the creator.
    ``cgroup``                   :meth:`lading.runtime.resources.CgroupHandle.saved`.
    """

    id: str
    bundle: str
    pid: int = 0
    start_time: int = 0
    creator: int = 0
    creator_start: int = 0
    created: float = 0.0
    rootfs: str = ""
    owner: int = 0
    cgroup: dict[str, object] = {}


def check_id(id: str) -> str:
    """``id`` itself. Raises :class:`InvalidInput` unless it is a safe file name of ASCII letters, digits and
    ``_+-.``."""
    if not id or id in (".", "..") or len(id) > 255 or not _LETTERS.issuperset(id):
        shown = id if len(id) <= 60 else id[:57] + "…"
        raise InvalidInput(
            f"container id {shown!r} is not allowed",
            hint="use up to 255 letters, digits and _ + - .",
            reason="id",
        )
    return id


def start_time(pid: int) -> int:
    """When ``pid`` was started, in clock ticks since boot (proc(5), stat field 22); 0 when it is gone or a
    zombie."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fields = os.read(fd, 4096).rpartition(b")")[2].split()
    except OSError:
        return 0
    finally:
        os.close(fd)
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


class Lock:
    """An exclusive flock(2) of one container's directory, for ``with``; a dead holder's lock is gone with
    it."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> Lock:
        import fcntl

        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _unknown(self._path.rpartition("/")[2]) from None
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        # Who held it may have removed the directory, and somebody else made a container of that id since.
        try:
            there = os.stat(self._path).st_ino == os.fstat(self._fd).st_ino
        except FileNotFoundError:
            there = False
        if not there:
            os.close(self._fd)
            raise _unknown(self._path.rpartition("/")[2])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


def _unknown(id: str) -> NotFound:
    return NotFound(f"container {id} does not exist")


class Store:
    """The records below ``root``."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def path(self, id: str) -> str:
        """The directory of the container ``id``. Raises :class:`InvalidInput` for a name that is no id."""
        return f"{self.root}/{check_id(id)}"

    def create(self, id: str) -> str:
        """Claim ``id``: make its directory. Raises :class:`Conflict` when it is taken."""
        path = self.path(id)
        for _ in range(2):
            try:
                os.mkdir(path, 0o711)
                return path
            except FileExistsError:
                hint = "choose another id, or delete that container"
                if not self.complete(id):
                    hint = "its making was interrupted: 'delete --force' clears it"
                raise Conflict(f"container {id} exists already", hint=hint, reason="exists") from None
            except FileNotFoundError:
                try:
                    os.makedirs(self.root, 0o700, exist_ok=True)
                except OSError as error:
                    raise _no_root(self.root, error) from None
            except OSError as error:
                raise _no_root(path, error) from None
        raise Conflict(f"{self.root} is being removed by somebody else")

    def lock(self, id: str) -> Lock:
        """A lock against other processes that change this container; raises :class:`NotFound` on entry."""
        return Lock(self.path(id))

    def write(self, record: StateRecord) -> None:
        """Replace the record, whole or not at all."""
        path = self.path(record.id)
        new = f"{path}/state.json.{os.getpid()}"
        try:
            _write(new, dumps(record.encode()))
            os.rename(new, path + "/state.json")
        except FileNotFoundError:
            raise _unknown(record.id) from None
        except OSError as error:
            raise _no_root(path, error) from None

    def write_config(self, id: str, text: str) -> None:
        """Keep ``config.json`` as it is at creation; later edits of the bundle's change nothing. Before the first record."""
        path = self.path(id)
        try:
            _write(path + "/config.json", text)
        except OSError as error:
            raise _no_root(path, error) from None

    def read_config(self, id: str) -> dict[str, object]:
        """What :meth:`write_config` wrote. Raises :class:`NotFound` and :class:`Corrupt`."""
        path = self.path(id) + "/config.json"
        try:
            found = loads(_read(path, id), what=path)
        except InvalidInput as error:
            raise Corrupt(f"{path}: {error.message}", hint="'delete --force' removes the container") from None
        if not isinstance(found, dict):
            raise Corrupt(f"{path}: it is no object", hint="'delete --force' removes the container")
        return found

    def read(self, id: str) -> StateRecord:
        """The record. Raises :class:`NotFound` (also for a directory without one) and :class:`Corrupt`."""
        path = self.path(id) + "/state.json"
        try:
            return StateRecord.decode(loads(_read(path, id), what=path), strict=False)
        except InvalidInput as error:
            raise Corrupt(f"{path}: {error.message}", hint="'delete --force' removes the container") from None

    def complete(self, id: str) -> bool:
        """Whether ``id`` has a record; a directory without one is what an interrupted making left."""
        return os.path.exists(self.path(id) + "/state.json")

    def exists(self, id: str) -> bool:
        """Whether ``id`` is taken."""
        return os.path.isdir(self.path(id))

    def ids(self) -> list[str]:
        """All ids taken, sorted, those of interrupted makings too."""
        try:
            with os.scandir(self.root) as entries:
                return sorted(
                    e.name for e in entries if e.is_dir(follow_symlinks=False) and _LETTERS.issuperset(e.name)
                )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _no_root(self.root, error) from None

    def remove(self, id: str) -> None:
        """Forget ``id`` and all files in its directory; fine when it is gone."""
        path = self.path(id)
        try:
            with os.scandir(path) as entries:
                names = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]
            # The record goes last: until then the container can be found and this can be done again.
            for name, directory in sorted(names, key=lambda pair: pair[0].startswith("state.json")):
                if directory:
                    os.rmdir(f"{path}/{name}")
                else:
                    os.unlink(f"{path}/{name}")
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _no_root(path, error) from None


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        data = memoryview(text.encode("utf-8", "surrogateescape"))
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


def _read(path: str, id: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _unknown(id) from None
    except OSError as error:
        raise _no_root(path, error) from None
    try:
        parts = []
        while part := os.read(fd, 1 << 20):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts)


def _no_root(path: str, error: OSError) -> LadingError:
    if isinstance(error, PermissionError):
        return Denied(f"{path}: {error.strerror}", hint="name another state directory with --root")
    return LadingError(f"{path}: {error.strerror}", reason="state")


def alive(record: StateRecord) -> bool:
    """Whether the first process is that very process still, and not a zombie."""
    return bool(record.pid) and start_time(record.pid) == record.start_time != 0


def being_made(record: StateRecord) -> bool:
    """Whether there is no first process yet and the creator still works on it."""
    return not record.pid and bool(record.creator) and start_time(record.creator) == record.creator_start != 0


def status(record: StateRecord, *, waiting: bool, frozen: bool) -> str:
    """runtime-spec's status. ``waiting``: the first process has not been started; ``frozen``: its group
    is."""
    if not record.pid:
        return "creating" if being_made(record) else "stopped"
    if not alive(record):
        return "stopped"
    if frozen:
        return "paused"
    return "created" if waiting else "running"
