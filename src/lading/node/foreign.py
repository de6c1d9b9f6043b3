"""A foreign OCI runtime behind the seam of :mod:`lading.node.engine`, driven by runc's command line.

What a container needs lies below ``LADING_RUN/bundles/ID`` and is written before the runtime is called: ``config.json``,
``engine.json`` (where the control group is), ``state`` (the runtime's ``--root``), the pid file. The runtime is started
in a mount namespace of its own, in which the container's layers are stacked over ``rootfs``: the container's namespace is
a copy of that one, so the host never has a mount that a ``kill -9`` could leave behind.

``create`` and ``exec --detach`` leave their process an orphan. This process is a subreaper while they run, so it becomes
the parent, and learns the exit status like that of any child.
"""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput, LadingError, NotFound, Unsupported
from lading.formats import jsontext
from lading.formats.oci_runtime import Linux, Spec
from lading.kernel import tree
from lading.node import foreignrun
from lading.node.shop import alive, process_start, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Process, Resources
    from lading.formats.rootfs import Rootfs
    from lading.kernel import Kernel
    from lading.kernel.cgroups import Manager
    from lading.kernel.cgroups.stats import Stats
    from lading.runtime import RunRequest, Stdio
    from lading.runtime.execute import Exec

_SIGKILL = 9
#: crun up to 1.8 takes a configuration of 1.0 only, and what is written here needs nothing newer.
_OCI_VERSION = "1.0.2"


def find(name: str) -> str:
    """The program called ``name`` (on the path, or beside our own), or at the path ``name``.

    Raises :class:`InvalidInput` (reason ``unknown-runtime``) naming it.
    """
    if "/" in name:
        places = [os.path.abspath(name)]
    else:
        import sys

        path = [*os.environ.get("PATH", "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"]
        places = [
            f"{directory}/{name}" for directory in [*path, os.path.dirname(sys.executable)] if directory
        ]
    for place in places:
        if os.path.isfile(place) and os.access(place, os.X_OK):
            return os.path.abspath(place)
    raise InvalidInput(
        f"runtime {name!r} is unknown: no such program",
        hint="install it, or give the path of an OCI runtime such as runc or crun",
        reason="unknown-runtime",
    )


class Foreign:
    """Containers run by the runtime at ``path``; their directories are below ``root``."""

    def __init__(self, path: str, root: str, kernel: Kernel) -> None:
        self.path = path
        self.root = os.path.abspath(root)
        self.kernel = kernel

    @property
    def name(self) -> str:
        """What messages call the runtime."""
        return self.path.rpartition("/")[2]

    def run(self, request: RunRequest) -> ForeignContainer:
        """See :class:`lading.node.handle.Engine`. Of the request: id, spec, layers and streams; the bundle is our own."""
        spec = request.spec
        made = ForeignContainer(self, request.id)
        tree.remove(made.directory)  # of a start that a kill interrupted
        _spell_descriptors(spec, self.name)
        spec.oci_version = _OCI_VERSION
        cgroup = spec.linux.cgroups_path if spec.linux is not None else ""
        os.makedirs(f"{made.directory}/rootfs", 0o711)
        os.chmod(made.directory, 0o711)
        _write(f"{made.directory}/config.json", jsontext.dumps(spec.encode()))
        _write(f"{made.directory}/engine.json", jsontext.dumps({"runtime": self.path, "cgroup": cgroup}))
        made.cgroup = cgroup
        made._spec = spec
        try:
            made.make(request.rootfs, request.stdio)
        except BaseException:
            made.delete(force=True)
            _reap(made.pid)
            raise
        return made

    def get(self, id: str) -> ForeignContainer:
        """The container called ``id``, alive or not. Raises :class:`NotFound`."""
        made = ForeignContainer(self, id)
        try:
            with open(f"{made.directory}/engine.json") as stream:
                known = jsontext.loads(stream.read())
        except FileNotFoundError:
            if not os.path.isdir(made.directory):
                raise NotFound(f"container {id} is not known to runtime {self.name}") from None
            return made  # killed before anything was taken
        made.cgroup = str(known["cgroup"])
        made.pid, made.start_time = made.recorded_process()
        return made


def orphan(root: str, id: str, kernel: Kernel) -> ForeignContainer:
    """A container that only its directory below ``root`` still knows, with the runtime that is written there."""
    try:
        with open(f"{root}/{id}/engine.json") as stream:
            path = str(jsontext.loads(stream.read())["runtime"])
    except (OSError, KeyError):
        path = "/"
    return Foreign(path, root, kernel).get(id)


class ForeignContainer:
    """One container of a foreign runtime; see :class:`lading.node.handle.Handle`."""

    def __init__(self, engine: Foreign, id: str) -> None:
        self.engine = engine
        self.id = id
        self.directory = f"{engine.root}/{id}"
        self.cgroup = ""
        self.pid = 0
        self.start_time = 0
        self.pidfd = -1
        self.console = -1
        self._spec: Spec | None = None

    def make(self, rootfs: Rootfs | None, stdio: Stdio | None) -> None:
        """``create`` and ``start``."""
        process = self.spec.process
        terminal = process is not None and process.terminal
        words = ["create", "--bundle", self.directory, "--pid-file", f"{self.directory}/pid"]
        console = foreignrun.ConsoleSocket(self.directory) if terminal else None
        try:
            if console is not None:
                words += ["--console-socket", console.path]
            with foreignrun.Adoption(self.engine.kernel) as adoption:
                self._call([*words, self.id], stdio=stdio, rootfs=rootfs, command=True)
                self.pid = adoption.expected = _read_pid(f"{self.directory}/pid", self.engine.name)
            self.start_time = process_start(self.pid)
            _write(f"{self.directory}/process", f"{self.pid} {self.start_time}")
            self.pidfd = self.engine.kernel.pidfd_open(self.pid)
            if console is not None:
                self.console = console.receive()
            self._call(["start", self.id], command=True)
        except BaseException:
            for fd in (self.pidfd, self.console):
                if fd >= 0:
                    os.close(fd)
            self.pidfd = self.console = -1
            raise
        finally:
            if console is not None:
                console.close()

    def _call(
        self,
        words: list[str],
        *,
        stdio: Stdio | None = None,
        rootfs: Rootfs | None = None,
        text: str = "",
        command: bool = False,
    ) -> None:
        call = foreignrun.Call(self.engine.path, f"{self.directory}/state", self.directory, words)
        call.stdio, call.rootfs, call.text, call.runs_command = stdio, rootfs, text, command
        call.run(self.engine.kernel)

    def recorded_process(self) -> tuple[int, int]:
        """Pid and start time of the first process as written down; zeros when it was never known."""
        try:
            with open(f"{self.directory}/process") as stream:
                pid, start = stream.read(64).split()
        except (OSError, ValueError):
            return 0, 0
        return int(pid), int(start)

    @property
    def spec(self) -> Spec:
        """``config.json`` as it was at creation."""
        if self._spec is None:
            with open(f"{self.directory}/config.json") as stream:
                text = stream.read()
            self._spec = Spec.decode(jsontext.loads(text), where=f"{self.id}: config", strict=False)
        return self._spec

    @property
    def group(self) -> Manager:
        """The control group, which the runtime makes where ``linux.cgroupsPath`` says."""
        from lading.kernel.cgroups import manager

        return manager(self.cgroup)

    def exec(self, process: Process, *, stdio: Stdio | None = None) -> Exec:
        """A further process; a child of this one."""
        from lading.runtime.execute import Exec

        if not alive(self.pid, self.start_time):
            raise Conflict(f"container {self.id} is not running", reason="state")
        unique = f"{os.getpid()}-{os.urandom(4).hex()}"
        described, pid_file = f"{self.directory}/exec-{unique}", f"{self.directory}/pid-{unique}"
        _write(described, jsontext.dumps(process.encode()))
        words = ["exec", "--detach", "--process", described, "--pid-file", pid_file]
        console = foreignrun.ConsoleSocket(self.directory) if process.terminal else None
        master = -1
        try:
            if console is not None:
                words += ["--console-socket", console.path]
            with foreignrun.Adoption(self.engine.kernel) as adoption:
                self._call([*words, self.id], stdio=stdio, command=True)
                pid = adoption.expected = _read_pid(pid_file, self.engine.name)
            if console is not None:
                master = console.receive()
            return Exec(pid, self.engine.kernel.pidfd_open(pid), master)
        finally:
            if console is not None:
                console.close()
            for path in (described, pid_file):
                if os.path.lexists(path):
                    os.unlink(path)

    def pids(self) -> list[int]:
        """Every process, from the control group."""
        return self.group.pids() or ([self.pid] if alive(self.pid, self.start_time) else [])

    def stats(self) -> Stats:
        """What it uses, from the control group."""
        return self.group.stats()

    def pause(self) -> None:
        """Freeze."""
        if not alive(self.pid, self.start_time):
            raise Conflict(f"container {self.id} is not running", reason="state")
        self._call(["pause", self.id])

    def resume(self) -> None:
        """Thaw."""
        if not self.group.frozen():
            raise Conflict(f"container {self.id} is not paused", reason="state")
        self._call(["resume", self.id])

    def update(self, wanted: Resources) -> None:
        """Change limits: as JSON on standard input, which every runtime reads the same way."""
        self._call(["update", "--resources", "-", self.id], text=jsontext.dumps(wanted.encode()))

    def delete(self, force: bool = False) -> None:
        """Have the runtime forget it, and see to it that nothing is left if it does not."""
        if not force and alive(self.pid, self.start_time):
            raise Conflict(f"container {self.id} is running", reason="state")
        try:
            self._call(["delete", "--force", self.id])
        except LadingError:
            pass  # it never came to be, or its runtime is gone from the machine: the kernel's side follows
        if self.cgroup:
            from lading.node.releasing import drop_group

            group = self.group
            if group.exists():
                group.kill()
                drop_group(self.cgroup)
        else:
            send_signal(self.engine.kernel, self.pid, self.start_time, _SIGKILL)
        tree.remove(self.directory)


def _spell_descriptors(spec: Spec, runtime: str) -> None:
    """Name this process in paths of descriptors: ``/proc/self`` would be the runtime's own.

    Raises :class:`Unsupported` for a mount of one, which is a part of a volume: runtimes mount in the container's mount
    namespace, where the kernel refuses what a descriptor of another shows, and a path could be swapped for a link meanwhile.
    """
    own = f"/proc/{os.getpid()}/fd/"
    for mount in spec.mounts:
        if mount.source.startswith("/proc/self/fd/"):
            raise Unsupported(
                f"mount at {mount.destination}: a part of a volume is not supported with runtime {runtime}",
                hint="mount the whole volume, or leave out --runtime",
            )
    for namespace in (spec.linux or Linux()).namespaces:
        if namespace.path.startswith("/proc/self/fd/"):
            namespace.path = own + namespace.path[14:]


def _reap(pid: int) -> None:
    """Take the status of a child that was killed before anybody knew of it."""
    if pid:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass


def _read_pid(path: str, name: str) -> int:
    try:
        with open(path) as stream:
            return int(stream.read(32))
    except (OSError, ValueError):
        raise LadingError(f"runtime {name} wrote no pid file", reason="runtime") from None


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = text.encode()
        while left:
            left = left[os.write(fd, left) :]
    finally:
        os.close(fd)
