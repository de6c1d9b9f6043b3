"""The node's interface: everything a face can ask of pods on this machine.

``reference`` is a name, an id, an unambiguous prefix of one, or ``POD/CONTAINER``. Every method raises
:class:`~lading.errors.NotFound` for a reference that means nothing and :class:`~lading.errors.Conflict` for a pod in the
wrong state.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from lading.formats.pod import Pod
    from lading.images import Image
    from lading.kernel import Kernel
    from lading.node.model import Changes, Event, ExecRequest, Finding, LogLine, PodRecord, Stdio
    from lading.node.session import Session
    from lading.roots import Roots


class Node:
    """Pods on one machine. Cheap to make: nothing is opened before it is needed."""

    def __init__(self, roots: Roots, kernel: Kernel | None = None) -> None:
        self.roots = roots
        self.kernel = kernel

    # -- making and starting ---------------------------------------------------------------------------------------

    def create(self, pod: Pod, *, progress: object = None) -> PodRecord:
        """Admit, resolve images (pulling by ``imagePullPolicy``), volumes and names, and record the pod; start nothing.

        ``progress`` goes to ``Images.pull``. An empty ``metadata.name`` gets a made-up one.
        Raises :class:`Conflict` (reason ``name-taken``) when the name is taken.
        """
        raise NotImplementedError

    def run(
        self,
        pod: Pod,
        stdio: Stdio | None = None,
        *,
        progress: object = None,
        on_created: Callable[[PodRecord], None] | None = None,
    ) -> int:
        """Create and run in the foreground, without a terminal: this process is the keeper. The exit code.

        Signals (INT, TERM, HUP, QUIT, USR1, USR2, WINCH aside) are forwarded to the container. Restart policies apply.
        ``on_created`` is called with the record before anything starts (``--cidfile``).
        """
        raise NotImplementedError

    def run_detached(
        self, pod: Pod, *, progress: object = None, on_created: Callable[[PodRecord], None] | None = None
    ) -> PodRecord:
        """Create and start under a keeper of its own; returns when the containers run, or raises what failed."""
        raise NotImplementedError

    def run_session(
        self,
        pod: Pod,
        *,
        progress: object = None,
        rows: int = 0,
        columns: int = 0,
        on_created: Callable[[PodRecord], None] | None = None,
    ) -> tuple[PodRecord, Session]:
        """As :meth:`run_detached`, with a :class:`Session` on the container from its first byte: ``run -t``, ``run -i``."""
        raise NotImplementedError

    def start(self, reference: str) -> PodRecord:
        """Start a created or ended pod under a keeper."""
        raise NotImplementedError

    def start_session(self, reference: str, *, rows: int = 0, columns: int = 0) -> tuple[PodRecord, Session]:
        """As :meth:`start`, attached from the first byte: ``start -a``."""
        raise NotImplementedError

    # -- ending ----------------------------------------------------------------------------------------------------

    def stop(self, reference: str, *, timeout: float | None = None) -> PodRecord:
        """Ask every container to end (preStop, stop signal), kill after ``timeout`` seconds (default: the pod's own)."""
        raise NotImplementedError

    def kill(self, reference: str, signal: int = 9) -> None:
        """Send a signal to the container, or to every main container of a pod."""
        raise NotImplementedError

    def restart(self, reference: str, *, timeout: float | None = None) -> PodRecord:
        """Stop, if it runs, and start."""
        raise NotImplementedError

    def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> PodRecord:
        """Remove an ended pod and what belongs to it; ``force`` kills it first; ``volumes`` takes anonymous volumes along.

        The record as it last was. Raises :class:`Conflict` (reason ``running``).
        """
        raise NotImplementedError

    def wait(self, reference: str, *, condition: str = "not-running") -> int:
        """Block until the container (the pod's last main container) has ended: its exit code.

        ``condition``: ``not-running``, ``next-exit`` or ``removed``, as Docker's wait.
        """
        raise NotImplementedError

    # -- while it runs ---------------------------------------------------------------------------------------------

    def pause(self, reference: str) -> None:
        """Freeze every process."""
        raise NotImplementedError

    def unpause(self, reference: str) -> None:
        """Thaw."""
        raise NotImplementedError

    def rename(self, reference: str, name: str) -> None:
        """Give the pod another name. Raises :class:`Conflict` (reason ``name-taken``)."""
        raise NotImplementedError

    def update(self, reference: str, changes: Changes) -> None:
        """Change limits of a running or created container."""
        raise NotImplementedError

    def exec(self, reference: str, request: ExecRequest, stdio: Stdio | None = None) -> Session:
        """Start a process in a running container. With ``stdio`` (and no tty) it inherits those descriptors directly."""
        raise NotImplementedError

    def attach(self, reference: str, *, stdin: bool = True) -> Session:
        """The streams of a running container, from now on."""
        raise NotImplementedError

    # -- looking ---------------------------------------------------------------------------------------------------

    def logs(
        self,
        reference: str,
        *,
        follow: bool = False,
        since: float = 0.0,
        until: float = 0.0,
        tail: int = -1,
        previous: bool = False,
    ) -> Iterator[LogLine]:
        """The container's output; of a pod with several containers, all of theirs in order of time.

        ``since``/``until`` seconds since the epoch (0: no bound), ``tail`` lines from the end (-1: all).
        """
        raise NotImplementedError

    def list(self, *, all: bool = False) -> list[PodRecord]:
        """The pods, newest first; only those with a running container unless ``all``."""
        raise NotImplementedError

    def inspect(self, reference: str) -> PodRecord:
        """The record, brought up to date with what really runs."""
        raise NotImplementedError

    def top(self, reference: str) -> list[dict[str, str]]:
        """One row a process: keys UID PID PPID C STIME TTY TIME CMD (PIDs as the host sees them)."""
        raise NotImplementedError

    def stats(self, reference: str) -> list[tuple[str, object]]:
        """(container name, ``runtime`` Stats) for each running container."""
        raise NotImplementedError

    def events(self, *, since: float = 0.0, until: float = 0.0, follow: bool = True) -> Iterator[Event]:
        """What happened, oldest first; with ``follow`` it waits for more (until ``until``, when given)."""
        raise NotImplementedError

    # -- files and images ------------------------------------------------------------------------------------------

    def cp_out(self, reference: str, path: str, out: BinaryIO) -> None:
        """Write ``path`` of the container as a tar stream, its base name at the top. Works on ended containers too."""
        raise NotImplementedError

    def cp_in(self, reference: str, path: str, stream: BinaryIO, *, archive: bool = False) -> None:
        """Unpack a tar stream below directory ``path`` of the container; no entry can leave the container's root.

        ``archive`` keeps owners; otherwise everything belongs to the container's root.
        """
        raise NotImplementedError

    def path_stat(self, reference: str, path: str) -> dict[str, object] | None:
        """``name size mode mtime linkTarget`` of a path in the container, or None when there is none."""
        raise NotImplementedError

    def changes(self, reference: str) -> Iterator[object]:
        """What the container changed against its image (``images.Change``)."""
        raise NotImplementedError

    def commit(
        self,
        reference: str,
        name: str = "",
        *,
        author: str = "",
        message: str = "",
        changes: list[str] | None = None,
        pause: bool = True,
    ) -> Image:
        """An image of the container's file system."""
        raise NotImplementedError

    def export(self, reference: str, out: BinaryIO) -> None:
        """The container's file system as one tar."""
        raise NotImplementedError

    # -- keeping house ---------------------------------------------------------------------------------------------

    def images_in_use(self) -> set[str]:
        """Ids of the images that some container was made of."""
        raise NotImplementedError

    def volumes_in_use(self) -> dict[str, list[str]]:
        """Volume name → names of the containers that mount it."""
        raise NotImplementedError

    def usage(self) -> list[tuple[PodRecord, int]]:
        """Every pod with the bytes of its writable layers."""
        raise NotImplementedError

    def prune(self) -> list[PodRecord]:
        """Remove every pod that is not running; those removed."""
        raise NotImplementedError

    def check(self, repair: bool = False) -> list[Finding]:
        """Compare the records with the machine, across all rooms; with ``repair`` put right what differs."""
        raise NotImplementedError
