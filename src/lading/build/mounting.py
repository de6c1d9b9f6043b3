"""``RUN --mount``: what a command sees besides its own files, for as long as it runs.

File systems are mounted in this process's own mount namespace, where the pod's runtime finds them and nobody else; they go when
the process ends. Caches are directories that stay, below ``ROOT/build/caches``.

Source: docs.docker.com/reference/dockerfile, "RUN --mount".
"""

from __future__ import annotations

import os
import stat

from lading.build.copying import Attributes, Place
from lading.build.graph import FilesOp, Selection
from lading.build.trees import Tree
from lading.build.workshop import stack_of
from lading.errors import InvalidInput, KernelError, NotFound
from lading.formats import digest as digests
from lading.formats.pod import BindMount, EnvVar, TmpfsMount
from lading.images import union
from lading.images.files import make_directories, remove_tree, try_lock
from lading.kernel import overlay
from lading.kernel.mounts import MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC, OPEN_TREE_CLONE
from lading.kernel.namespaces import CLONE_NEWNS
from lading.kernel.paths import open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.build.cache import Result
    from lading.build.graph import Mount, Op, RunOp
    from lading.build.workshop import Workshop
    from lading.formats.pod import Pod
    from lading.formats.rootfs import Rootfs
    from lading.images.layers import Staging

_SECRETS = "/run/secrets"
_AGENT = "/run/buildkit/ssh_agent"
SCRIPT = "/dev/pipes/script"
"""Where a RUN's own program is: in a file system that no layer has."""
_DETACH = 2  # MNT_DETACH
_PATH = os.O_PATH | os.O_CLOEXEC


class Mounting:
    """The mounts of one RUN. A context manager; :meth:`into` adds them to the pod, :meth:`clean` removes their mount points."""

    def __init__(self, workshop: Workshop, op: RunOp, inputs: Sequence[Result], given: Sequence[Op]) -> None:
        self._workshop = workshop
        self._op = op
        self._inputs = inputs
        self._given = given
        self._staging: Staging | None = None
        self._own = ""  # a tmpfs that this process alone sees
        self._attached: list[str] = []  # where something is mounted, in our own namespace
        self._locks: list[int] = []
        self._caches: dict[str, str] = {}  # directories of caches by name, locked
        self._binds: list[BindMount] = []
        self._memory: list[TmpfsMount] = []
        self._env: list[EnvVar] = []

    def __enter__(self) -> Mounting:
        if not self._op.mounts and not self._op.script:
            return self
        kernel = self._workshop.kernel
        kernel.unshare(CLONE_NEWNS)
        kernel.mount("", "/", "", MS_REC | MS_PRIVATE)
        self._staging = self._workshop.images.layers.stage()
        self._own = self._staging.path + "/own"
        os.mkdir(self._own, 0o711)
        kernel.mount("tmpfs", self._own, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711")
        self._attached.append(self._own)
        try:
            self._take_caches()
            for number, mount in enumerate(self._op.mounts):
                getattr(self, f"_{mount.kind}")(number, mount)
            if self._op.script:
                self._script(self._op.script)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._staging is not None:
            while self._attached:
                self._workshop.kernel.umount(self._attached.pop(), _DETACH)
            self._staging.discard()
            self._staging = None
        for fd in self._locks:
            os.close(fd)
        self._locks.clear()

    def into(self, pod: Pod) -> None:
        """Let the pod's container have the mounts."""
        container = pod.spec.containers[0]
        container.extras.mounts += self._binds
        container.extras.tmpfs += self._memory
        container.env += self._env

    # -- kinds -----------------------------------------------------------------------------------------------------------

    def _bind(self, number: int, mount: Mount) -> None:
        """Files of another stage, an image or the context; writing is allowed where asked for, and thrown away."""
        source = self._shown(number, mount)
        self._binds.append(BindMount(target=mount.target, source=source, read_only=mount.read_only))

    def _shown(self, number: int, mount: Mount) -> str:
        """A place in our own namespace where ``mount.source`` of an input can be bound from."""
        assert self._staging is not None
        workshop, op = self._workshop, self._given[mount.input]
        root = f"{self._staging.path}/{number}"
        os.mkdir(root, 0o755)
        if isinstance(op, FilesOp):
            return self._inside(number, root, self._copied(mount, op, root))
        rootfs = workshop.rootfs(workshop.snapshot(self._inputs[mount.input]), root)
        if not rootfs.lower:
            return self._inside(number, rootfs.upper, mount.source)
        os.mkdir(root + "/files", 0o755)
        self._attach(overlay.mount(workshop.kernel, stack_of(rootfs)), root + "/files")
        return self._inside(number, root + "/files", mount.source)

    def _copied(self, mount: Mount, op: FilesOp, root: str) -> str:
        """The context as its ignore file leaves it: a copy, so that a command can neither see more nor change it.

        Returns where ``mount.source`` is in it when links are followed, which are not copied.
        """
        workshop = self._workshop
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with workshop.tree(op, self._inputs[mount.input]) as tree:
                [(_, path)] = tree.select(mount.source or "/", wildcards=False)
                there = tree.status(path)
                directory = there is not None and stat.S_ISDIR(there.st_mode)
                place = Place(workshop.kernel, fd, Attributes((0, 0)))
                try:
                    place.copy(tree, path, "/" + (path if directory else path.rpartition("/")[0]), into=True)
                finally:
                    place.close()
                selection = Selection(input=mount.input, paths=[mount.source or "/"], wildcards=False)
                workshop.sources[op.source].check(tree, selection, op.digest, None)
                return path
        finally:
            os.close(fd)

    def _inside(self, number: int, root: str, path: str) -> str:
        """``path`` below ``root``, links followed inside it, at a place of our own whose name nobody can bend."""
        kernel = self._workshop.kernel
        fd = os.open(root, _PATH | os.O_DIRECTORY)
        try:
            try:
                found = open_inside(kernel, fd, path or "/")
            except KernelError as error:
                if error.errno not in (2, 20):
                    raise
                raise NotFound(
                    f"--mount source={path} is not in what it is taken from", reason="no-source"
                ) from None
        finally:
            os.close(fd)
        place = f"{self._own}/{number}"
        if stat.S_ISDIR(os.fstat(found).st_mode):
            os.mkdir(place, 0o755)
        else:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        self._attach(kernel.open_tree(f"/proc/self/fd/{found}", OPEN_TREE_CLONE), place)
        os.close(found)
        return place

    def _attach(self, mount: int, place: str) -> None:
        """Attach a detached mount and let go of it."""
        fd = os.open(place, _PATH)
        try:
            self._workshop.kernel.move_mount(mount, fd)
            self._attached.append(place)
        finally:
            os.close(fd)
            os.close(mount)

    def _take_caches(self) -> None:
        """Lock each cache once, in the order of their names: of two commands neither waits for what the other one has."""
        wanted: dict[str, set[str]] = {}
        for mount in self._op.mounts:
            if mount.kind == "cache":
                wanted.setdefault(self._cache_name(mount), set()).add(mount.sharing)
        for name in sorted(wanted):
            self._caches[name] = self._take_cache(name, wanted[name])

    def _take_cache(self, name: str, sharing: set[str]) -> str:
        """The cache's directory, locked as the strictest of its mounts wants it."""
        import fcntl

        for place in range(1000):
            path = f"{self._workshop.data}/caches/{name}" + (f"-{place}" if place else "")
            make_directories(path)
            lock = os.open(path + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._locks.append(lock)
            if "locked" in sharing or "private" not in sharing:
                fcntl.flock(lock, fcntl.LOCK_EX if "locked" in sharing else fcntl.LOCK_SH)
                return path
            if try_lock(lock):
                return path
            os.close(self._locks.pop())
        raise InvalidInput("--mount sharing=private: a thousand commands use this cache at once")

    def _cache_name(self, mount: Mount) -> str:
        told = f"{mount.id}\0{mount.input >= 0 and self._origin(mount)}"
        return digests.of(told.encode()).partition(":")[2][:32]

    def _cache(self, number: int, mount: Mount) -> None:
        """A directory that stays; ``sharing`` says who may be in it at once."""
        path = self._caches[self._cache_name(mount)]
        with open(path + "/id", "w") as file:
            file.write(f"{mount.id}\n")
        os.utime(path)
        files = path + "/files"
        if not os.path.isdir(files):
            self._begin_cache(number, mount, files)
        source = self._inside(number, files, mount.source if mount.input < 0 else "")
        self._binds.append(BindMount(target=mount.target, source=source, read_only=mount.read_only))

    def _origin(self, mount: Mount) -> str:
        op = self._given[mount.input]
        return op.digest if isinstance(op, FilesOp) else " ".join(self._inputs[mount.input].diff_ids)

    def _begin_cache(self, number: int, mount: Mount, files: str) -> None:
        """A new cache: empty, or with what ``from`` says. It appears by one rename."""
        part = f"{files}.{os.getpid()}"
        os.mkdir(part, 0o755)
        try:
            uid, gid, mode = mount.uid, mount.gid, 0o755 if mount.mode is None else mount.mode
            if mount.input >= 0:
                origin = self._shown(1000 + number, mount)
                self._fill(part, origin, mount.source)
                if (uid, gid, mode) == (0, 0, 0o755):  # nothing else was asked for
                    there = os.stat(origin)
                    uid, gid, mode = there.st_uid, there.st_gid, stat.S_IMODE(there.st_mode)
            os.chown(part, uid, gid)
            os.chmod(part, mode)
            try:
                os.rename(part, files)
            except OSError:
                if not os.path.isdir(files):  # else another command was faster
                    raise
        finally:
            remove_tree(part)

    def _fill(self, directory: str, origin: str, source: str) -> None:
        """Copy what is in ``origin``, which ``source`` is the name of."""
        if not os.path.isdir(origin):
            raise InvalidInput(
                f"--mount source={source} is no directory, and a cache is one", reason="no-directory"
            )
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        seen = os.open(origin, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        tree = Tree(self._workshop.kernel, seen, what="the cache's origin", own=True)
        place = Place(self._workshop.kernel, fd, Attributes(None))
        try:
            place.copy(tree, "", "/", into=True)
        finally:
            place.close()
            os.close(seen)
            os.close(fd)

    def _tmpfs(self, number: int, mount: Mount) -> None:
        options = [
            "exec",
            *([f"size={mount.size}"] if mount.size else []),
        ]  # compilers try their results out there
        self._memory.append(TmpfsMount(path=mount.target, options=options))

    def _secret(self, number: int, mount: Mount) -> None:
        data = self._workshop.settings.secrets.get(mount.id)
        if data is None:
            if mount.required:
                raise NotFound(
                    f"the secret {mount.id!r} was not given",
                    hint=f"--secret id={mount.id},src=FILE",
                    reason="no-secret",
                )
            return
        if mount.env:
            try:
                text = data.decode()
            except UnicodeDecodeError:
                raise InvalidInput(f"the secret {mount.id!r} is no text, and cannot be a variable") from None
            if "\0" in text:
                raise InvalidInput(f"the secret {mount.id!r} has a NUL in it, and cannot be a variable")
            self._env.append(EnvVar(name=mount.env, value=text.replace("$", "$$") if "$" in text else text))
        if mount.env and not mount.target:
            return
        path = f"{self._own}/secret-{number}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.chown(path, mount.uid, mount.gid)
        os.chmod(path, 0o400 if mount.mode is None else mount.mode)
        target = mount.target or f"{_SECRETS}/{mount.id}"
        self._binds.append(BindMount(target=target, source=path, read_only=True))

    def _ssh(self, number: int, mount: Mount) -> None:
        name = mount.id or "default"
        agent = self._workshop.settings.agents.get(name)
        if agent is None:
            if mount.required:
                raise NotFound(f"no SSH agent {name!r} was given", hint=f"--ssh {name}", reason="no-agent")
            return
        target = mount.target or f"{_AGENT}.{number}"
        self._binds.append(BindMount(target=target, source=agent))
        self._env.append(EnvVar(name="SSH_AUTH_SOCK", value=target))

    def _script(self, text: str) -> None:
        path = f"{self._own}/script"
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.chmod(path, 0o755)
        self._binds.append(BindMount(target=SCRIPT, source=path, read_only=True))

    # -- what was mounted over --------------------------------------------------------------------------------------------

    def clean(self, rootfs: Rootfs) -> None:
        """Remove mount points that only the runtime made, so that they are in no layer."""
        targets = [bind.target for bind in self._binds] + [memory.path for memory in self._memory]
        upper, lower = os.fsencode(rootfs.upper), union.roots(rootfs.lower)
        for target in targets:
            path = os.fsencode(target).strip(b"/")
            while path:
                if not _remove_stub(upper, lower, path):
                    break
                path = path.rpartition(b"/")[0]


def _remove_stub(upper: bytes, lower: list[bytes], name: bytes) -> bool:
    """Remove an empty file or directory that no layer below has; whether it was one."""
    path = upper + b"/" + name
    current = upper
    for part in name.split(b"/")[:-1]:
        current += b"/" + part
        if os.path.islink(current):
            return False
    try:
        there = os.lstat(path)
    except OSError:
        return True  # nothing of this step's; what is above it may be
    if union.find(lower, name) is not None:
        return False
    try:
        if stat.S_ISDIR(there.st_mode):
            os.rmdir(path)
        elif stat.S_ISREG(there.st_mode) and not there.st_size:
            os.unlink(path)
        else:
            return False
    except OSError:
        return False
    return True
