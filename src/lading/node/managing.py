"""What can be asked of pods that exist: :class:`Managing` is the part of :class:`~lading.node.Node` that a run does not need.

This module only says who does the work.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from lading.formats.pod import NetworkRequest, Pod
    from lading.formats.rootfs import Rootfs
    from lading.images import Image
    from lading.kernel.cgroups.stats import Stats
    from lading.node.model import (
        Changes,
        ContainerRecord,
        Event,
        ExecRequest,
        Finding,
        LogLine,
        PodRecord,
        Stdio,
    )
    from lading.node.session import Session
    from lading.node.shop import Shop

    Pods = list[PodRecord]
    Rows = list[dict[str, str]]
    Findings = list[Finding]
    Usage = list[tuple[PodRecord, int]]
    AllStats = list[tuple[str, Stats]]
    Names = list[str]


class Managing:
    """Requests by ``reference``, see :mod:`lading.node.node`."""

    shop: Shop

    # -- starting again ---------------------------------------------------------------------------------------------

    def start(self, reference: str) -> PodRecord:
        """Start a created or ended pod under a keeper. One that runs already is left alone."""
        from lading.node import detached

        return detached.start(self.shop, reference)

    def start_session(self, reference: str, *, rows: int = 0, columns: int = 0) -> tuple[PodRecord, Session]:
        """As :meth:`start`, attached from the first byte: ``start -a``."""
        from lading.node import detached

        return detached.start_session(self.shop, reference, (rows, columns))

    def run_again(self, reference: str, stdio: Stdio | None = None) -> int:
        """Run a created or ended pod in the foreground, as :meth:`~lading.node.Node.run` does a new one. The exit code.

        Raises :class:`Conflict` (reason ``running``).
        """
        from lading.node import lifecycle

        return lifecycle.run_again(self.shop, reference, stdio)

    # -- ending ----------------------------------------------------------------------------------------------------

    def stop(self, reference: str, *, timeout: float | None = None, signal: int = 0) -> PodRecord:
        """Ask every container to end (preStop, stop signal), kill after ``timeout`` seconds (default: the pod's own).

        ``signal`` takes the place of the containers' own stop signals.
        """
        from lading.node import ending

        return ending.stop(self.shop, reference, timeout, signal=signal)

    def kill(self, reference: str, signal: int = 9) -> None:
        """Send a signal to the container, or to every main container of a pod."""
        from lading.node import ending

        ending.kill(self.shop, reference, signal)

    def restart(self, reference: str, *, timeout: float | None = None, signal: int = 0) -> PodRecord:
        """Stop (by ``signal``, if given), if it runs, and start."""
        from lading.node import detached, ending

        ending.stop(self.shop, reference, timeout, restart=True, signal=signal)
        return detached.start(self.shop, reference)

    def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> PodRecord:
        """Remove an ended pod and what belongs to it; ``force`` kills it first; ``volumes`` takes anonymous volumes along.

        The record as it last was. Raises :class:`Conflict` (reason ``running``).
        """
        from lading.node import ending

        return ending.remove(self.shop, reference, force=force, volumes=volumes)

    def wait(self, reference: str, *, condition: str = "not-running") -> int:
        """Block until the container (the pod's main containers) has ended: its exit code.

        ``condition``: ``not-running``, ``next-exit`` or ``removed``, as Docker's wait.
        """
        from lading.node import ending

        return ending.wait(self.shop, reference, condition)

    # -- while it runs ---------------------------------------------------------------------------------------------

    def pause(self, reference: str) -> None:
        """Freeze every process."""
        from lading.node import control

        control.pause(self.shop, reference)

    def unpause(self, reference: str) -> None:
        """Thaw."""
        from lading.node import control

        control.unpause(self.shop, reference)

    def rename(self, reference: str, name: str) -> None:
        """Give the pod another name. Raises :class:`Conflict` (reason ``name-taken``)."""
        from lading.node import control

        control.rename(self.shop, reference, name)

    def update(self, reference: str, changes: Changes) -> None:
        """Change limits of a running or created container."""
        from lading.node import control

        control.update(self.shop, reference, changes)

    def amend(self, reference: str, change: Callable[[Pod], None]) -> PodRecord:
        """Change a recorded pod: ``change`` gets its Pod, which is admitted again and written. What runs stays as it is.

        Raises what admission raises, and then nothing has changed.
        """
        from lading.node import control

        return control.amend(self.shop, reference, change)

    def make_roots(self, reference: str) -> None:
        """Make the roots of a pod's containers before it is first started, as ``LADING_STORAGE`` says now; they stay so."""
        from lading.node import prepare

        prepare.make_roots(self.shop, self.shop.records.resolve(reference)[0])

    def connect(self, reference: str, want: NetworkRequest) -> None:
        """Connect a pod, running or not, to one more network. Raises :class:`Conflict` (reason ``connected``)."""
        from lading.node import connecting

        connecting.connect(self.shop, reference, want)

    def disconnect(self, reference: str, network: str, *, force: bool = False) -> None:
        """Take a pod off a network. Raises :class:`NotFound` (reason ``not-connected``)."""
        from lading.node import connecting

        connecting.disconnect(self.shop, reference, network, force=force)

    def exec(self, reference: str, request: ExecRequest, stdio: Stdio | None = None) -> Session:
        """Start a process in a running container. With ``stdio`` (and no tty) it inherits those descriptors directly."""
        from lading.node import executing

        return executing.exec_in(self.shop, reference, request, stdio)

    def attach(self, reference: str, *, stdin: bool = True) -> Session:
        """The streams of a running container, from now on."""
        from lading.node import detached

        return detached.attach(self.shop, reference, stdin=stdin)

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
        from lading.node import looking

        return looking.logs(
            self.shop, reference, follow=follow, since=since, until=until, tail=tail, previous=previous
        )

    def list(self, *, all: bool = False) -> Pods:
        """The pods, newest first; only those with a running container unless ``all``."""
        from lading.node import looking

        return looking.pods(self.shop, all=all)

    def half_removed(self) -> Pods:
        """Pods whose removal was begun and not finished: :meth:`list` has them no longer, :meth:`remove` goes on."""
        from lading.node.records import REMOVING

        return self.shop.records.list(stages=(REMOVING,))

    def inspect(self, reference: str) -> PodRecord:
        """The record, brought up to date with what really runs."""
        from lading.node import looking

        return looking.inspect(self.shop, reference)

    def find(self, reference: str) -> tuple[PodRecord, ContainerRecord | None]:
        """The record as :meth:`inspect` gives it, and the container of a pod of several that ``reference`` means.

        None where it names a pod, or a container that is alone in its own.
        """
        from lading.node import looking

        return looking.find(self.shop, reference)

    def top(self, reference: str) -> Rows:
        """One row a process: keys UID PID PPID C STIME TTY TIME CMD (PIDs as the host sees them)."""
        from lading.node import looking

        return looking.top(self.shop, reference)

    def stats(self, reference: str) -> AllStats:
        """(container name, ``runtime`` Stats) for each running container."""
        from lading.node import looking

        return looking.stats(self.shop, reference)

    def events(self, *, since: float = 0.0, until: float = 0.0, follow: bool = True) -> Iterator[Event]:
        """What happened, oldest first; with ``follow`` it waits for more (until ``until``, when given)."""
        from lading.node import looking

        return looking.events(self.shop, since=since, until=until, follow=follow)

    # -- files and images ------------------------------------------------------------------------------------------

    def cp_out(self, reference: str, path: str, out: BinaryIO, *, follow: bool = False) -> None:
        """Write ``path`` of the container as a tar stream, its base name at the top. Works on ended containers too.

        ``follow``: a link there stands for what it leads to inside the container.
        """
        from lading.node import copying

        copying.out(self.shop, reference, path, out, follow=follow)

    def cp_in(self, reference: str, path: str, stream: BinaryIO, *, archive: bool = False) -> None:
        """Unpack a tar stream below directory ``path`` of the container; no entry can leave the container's root.

        ``archive`` keeps owners; otherwise everything belongs to the container's root.
        """
        from lading.node import copying

        copying.into(self.shop, reference, path, stream, archive=archive)

    def path_stat(self, reference: str, path: str, *, follow: bool = False) -> dict[str, object] | None:
        """``name size mode mtime linkTarget`` of a path in the container, or None when there is none."""
        from lading.node import copying

        return copying.stat(self.shop, reference, path, follow=follow)

    def changes(self, reference: str) -> Iterator[object]:
        """What the container changed against its image (``images.Change``)."""
        from lading.node import copying

        return copying.changes(self.shop, reference)

    def commit(
        self,
        reference: str,
        name: str = "",
        *,
        author: str = "",
        message: str = "",
        changes: Names | None = None,
        pause: bool = True,
    ) -> Image:
        """An image of the container's file system."""
        from lading.node import copying

        return copying.commit(
            self.shop, reference, name, author=author, message=message, changes=changes or [], pause=pause
        )

    def export(self, reference: str, out: BinaryIO) -> None:
        """The container's file system as one tar."""
        from lading.node import copying

        copying.export(self.shop, reference, out)

    def root(self, reference: str) -> AbstractContextManager[Rootfs]:
        """The container's root as its layers, for whoever packs it in another way than :meth:`export`."""
        from lading.node import copying

        return copying.root(self.shop, reference)

    def ended_root(self, reference: str) -> Rootfs:
        """The same for a container that has ended, by its own paths, for its maker to take the files over."""
        from lading.node import copying

        return copying.ended_root(self.shop, reference)

    # -- keeping house ---------------------------------------------------------------------------------------------

    def images_in_use(self) -> set[str]:
        """Digests of the images that some container was made of."""
        from lading.node import lookup

        return lookup.image_ids(self.shop.records.database)

    def volumes_in_use(self) -> dict[str, Names]:
        """Volume name → names of the containers that mount it."""
        from lading.node import lookup

        return lookup.names_using_volume(self.shop.records.database)

    def usage(self) -> Usage:
        """Every pod with the bytes that its containers have in their writable layers."""
        return [(r, sum(self.written(r, c) for c in r.containers)) for r in self.shop.records.list()]

    def written(self, record: PodRecord, container: ContainerRecord) -> int:
        """The bytes of the files in a container's writable layer: its log is not among them."""
        from lading.kernel import tree

        return tree.size(self.shop.container_directory(record, container) + "/upper")

    def prune(self, chosen: Callable[[PodRecord], bool] = lambda _: True) -> Pods:
        """Remove every ``chosen`` pod that is not running; those removed."""
        from lading.node import ending

        return ending.prune(self.shop, chosen)

    def check(self, repair: bool = False) -> Findings:
        """Compare the records with the machine, across all rooms; with ``repair`` put right what differs."""
        from lading.node import check

        return check.check(self.shop, repair=repair)
