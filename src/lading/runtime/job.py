"""What the creator decides before it forks, and the new process carries out."""

from __future__ import annotations

from lading.runtime.options import is_bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Mount, Spec, State
    from lading.runtime.channel import Channel
    from lading.runtime.join import Plan
    from lading.runtime.request import RunRequest
    from lading.runtime.resources import CgroupHandle


class Stdio:
    """The three standard streams of a container's process as descriptors of the calling process.

    With ``process.terminal`` they are not used: the process gets a pty, whose master is in ``Container.console``
    (or goes to the console socket). -1 is ``/dev/null``.
    """

    __slots__ = ("stderr", "stdin", "stdout")

    def __init__(self, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr


def _with_absolute_sources(spec: Spec, bundle: str) -> Spec:
    """A relative source of a bind mount is the bundle's (config.md, "Mounts"), wherever the caller happens to stand."""
    if not any(_is_relative_bind(mount) for mount in spec.mounts):
        return spec
    return spec.replace(
        mounts=[
            mount.replace(source=f"{bundle}/{mount.source}") if _is_relative_bind(mount) else mount
            for mount in spec.mounts
        ]
    )


def _is_relative_bind(mount: Mount) -> bool:
    return not mount.source.startswith("/") and bool(mount.source) and is_bind(mount)


class Job:
    """One container to set up. Every descriptor in here is close-on-exec."""

    __slots__ = (
        "anchor",
        "bundle",
        "cgroup",
        "channel",
        "console_fd",
        "filter",
        "filter_flags",
        "make_cwd",
        "make_way",
        "meanwhile",
        "no_new_keyring",
        "no_pivot",
        "plain_lines",
        "plan",
        "preserve_fds",
        "root_mount",
        "rootfs",
        "sockets",
        "sources",
        "spec",
        "start",
        "state",
        "stdio",
    )

    def __init__(
        self, request: RunRequest, state: State, plan: Plan, cgroup: CgroupHandle, anchor: str
    ) -> None:
        self.spec = _with_absolute_sources(request.spec, request.bundle)
        self.bundle = request.bundle
        self.rootfs = request.rootfs
        self.stdio = request.stdio
        self.preserve_fds = request.preserve_fds
        self.sockets = request.sockets
        if self.sockets:
            from lading.runtime import handover

            assert handover  # loaded while it can be
        self.plain_lines = request.plain_lines
        self.make_cwd = request.make_cwd
        self.make_way = request.make_way
        self.no_pivot = request.no_pivot
        self.no_new_keyring = request.no_new_keyring
        self.meanwhile = (
            request.meanwhile is not None
        )  # the creator has something to finish before our command
        self.state = state
        self.plan = plan
        self.cgroup = cgroup
        self.anchor = anchor  # a directory to attach layers over, in the container's own mount namespace
        self.channel: Channel
        self.start: Channel | None = None  # ``create``: what ``start`` speaks through
        self.console_fd = -1
        self.filter = b""  # compiled seccomp program
        self.filter_flags = 0
        #: Index in ``spec.mounts`` → a detached mount made with the creator's power.
        self.sources: dict[int, int] = {}
        self.root_mount = -1  # the root likewise

    @property
    def joins_cgroup_itself(self) -> bool:
        """Whether the new process can move itself, which is quicker: it must still have the host's power and mounts."""
        return not (self.cgroup.unit or "user" in self.plan.new or self.plan.needs_helper)

    def close(self) -> None:
        """Close what was opened for the new process."""
        import os

        for fd in (*self.sources.values(), self.root_mount, self.console_fd):
            if fd >= 0:
                os.close(fd)
        self.plan.close()
        if self.start is not None:
            self.start.close()
