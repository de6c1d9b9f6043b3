"""What the caller of ``create`` or ``run`` asks for, in one record."""

from __future__ import annotations

import os

from lading.runtime.job import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.formats.oci_runtime import Spec
    from lading.formats.rootfs import Rootfs


class RunRequest:
    """One container to make.

    ``rootfs``          layers to stack; ``None`` uses ``bundle/root.path`` as runtime-spec has it.
    ``stdio``           descriptors of this process that become 0, 1 and 2; its own by default.
    ``console_socket``  where the terminal's master is sent; without it that is :attr:`Container.console`.
    ``preserve_fds``    how many descriptors from 3 on the command keeps.
    ``plain_lines``     a terminal that adds no carriage return: whoever shows its output does (``-onlcr``).
    ``sockets``         descriptors of this process that the command gets from 3 on, as sd_listen_fds(3) has it.
    ``make_cwd``        the working directory is made where there is none, as every runtime does.
    ``make_way``        a file of the root's is removed where a directory is to be mounted; the root is the container's own.
    ``pid_file``        written before the call returns.
    ``said``            filled when making it failed: what it had written to its terminal, a hook's complaint for one.
    ``profile``         a name for ``spec.linux.seccomp`` where many containers have the very same one: what is worked out
                        for it once serves them all.
    ``hold``            stop before the command; :meth:`lading.runtime.Runtime.create` sets it.
    ``meanwhile``       called with the first process's pid once its namespaces exist, while it sets itself up. It does not
                        execute its command before the call has returned, and never does when that raises. A new network
                        namespace is the call's to furnish, its loopback included.
    """

    __slots__ = (
        "bundle",
        "console_socket",
        "hold",
        "id",
        "make_cwd",
        "make_way",
        "meanwhile",
        "no_new_keyring",
        "no_pivot",
        "pid_file",
        "plain_lines",
        "preserve_fds",
        "profile",
        "rootfs",
        "said",
        "sockets",
        "spec",
        "stdio",
    )

    def __init__(
        self,
        id: str,
        spec: Spec,
        bundle: str,
        *,
        rootfs: Rootfs | None = None,
        stdio: Stdio | None = None,
        console_socket: str = "",
        preserve_fds: int = 0,
        sockets: Sequence[int] = (),
        pid_file: str = "",
        no_pivot: bool = False,
        no_new_keyring: bool = False,
        plain_lines: bool = False,
        make_cwd: bool = True,
        make_way: bool = False,
        profile: str = "",
        meanwhile: Callable[[int], None] | None = None,
    ) -> None:
        self.id = id
        self.spec = spec
        self.bundle = os.path.abspath(bundle)
        self.rootfs = rootfs
        self.stdio = stdio or Stdio()
        self.console_socket = console_socket
        self.preserve_fds = preserve_fds
        self.sockets = list(sockets)
        self.pid_file = pid_file
        self.no_pivot = no_pivot
        self.no_new_keyring = no_new_keyring
        self.plain_lines = plain_lines
        self.make_cwd = make_cwd
        self.make_way = make_way
        self.profile = profile
        self.meanwhile = meanwhile
        self.said = b""
        self.hold = False
