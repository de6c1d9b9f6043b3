"""Where Lading keeps things: one durable root, one run root that a reboot empties.

=============  ======================================  =====================================
               root                                    ordinary user
=============  ======================================  =====================================
data           ``/var/lib/lading``                     ``$XDG_DATA_HOME/lading`` (``~/.local/share``)
run            ``/run/lading``                         ``$XDG_RUNTIME_DIR/lading`` or ``/tmp/lading-UID``
config         ``/etc/lading``                         ``$XDG_CONFIG_HOME/lading`` (``~/.config``)
=============  ======================================  =====================================

``LADING_ROOT``, ``LADING_RUN`` and ``LADING_CONFIG`` override each, as do ``--root`` and ``--run-root`` on
the command line. Two Ladings with different roots share nothing: neither cgroup names nor network
tables nor addresses collide, because every kernel name is derived from :attr:`Roots.tag`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def keep_private(path: str) -> None:
    """Make ``path`` a directory that its owner alone can enter, and one again that is there already. Raises OSError.

    Below are files with the modes that containers gave them: set-user-ID programs of root, volumes that everybody may write,
    secrets that everybody may read. Who can reach such a file by its path on the host may do what the mode says
    (CVE-2021-41091).
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        os.makedirs(path, 0o700, exist_ok=True)
        return
    if found.st_mode & 0o077 and found.st_uid == os.geteuid():
        os.chmod(path, 0o700)


SYSTEM_CONFIG = "/usr/lib/lading"
"""Where a distribution puts its settings and keys; ``LADING_SYSTEM_CONFIG`` in its place."""


def system_config(environ: Mapping[str, str] = os.environ) -> str:
    """The directory of a distribution's settings."""
    return environ.get("LADING_SYSTEM_CONFIG") or SYSTEM_CONFIG


def config_layers(config: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The directories of settings that go over one another, the last one the strongest.

    A distribution's, ``config`` (:attr:`Roots.config`), and with ``LADING_USER_CONFIG`` one of whoever runs the command.
    """
    own = environ.get("LADING_USER_CONFIG")
    return [system_config(environ), config, *([own] if own else [])]


class Roots:
    """The three directories, and the paths each package owns below them. Creates nothing by itself."""

    __slots__ = ("config", "data", "run", "uid")

    def __init__(self, data: str, run: str, config: str, uid: int) -> None:
        self.data = data
        self.run = run
        self.config = config
        self.uid = uid

    @classmethod
    def default(
        cls, environ: dict[str, str] | os._Environ[str] = os.environ, uid: int | None = None
    ) -> Roots:
        """The roots for ``uid`` (this process's effective one by default) under ``environ``."""
        if uid is None:
            # An ordinary user's commands run as root of a user namespace (node.rootless), which says who they really are.
            uid = int(environ.get("LADING_ROOTLESS_UID") or os.geteuid())
        if uid == 0:
            data, run, config = "/var/lib/lading", "/run/lading", "/etc/lading"
        else:
            home = environ.get("HOME") or f"/tmp/lading-home-{uid}"
            data = (environ.get("XDG_DATA_HOME") or f"{home}/.local/share") + "/lading"
            runtime = environ.get("XDG_RUNTIME_DIR")
            run = f"{runtime}/lading" if runtime and os.path.isdir(runtime) else f"/tmp/lading-{uid}"
            config = (environ.get("XDG_CONFIG_HOME") or f"{home}/.config") + "/lading"
        return cls(
            environ.get("LADING_ROOT") or data,
            environ.get("LADING_RUN") or run,
            environ.get("LADING_CONFIG") or config,
            uid,
        )

    @property
    def tag(self) -> str:
        """A short name for kernel objects of this root: ``lading`` for the default, ``lading-xxxxxx`` else.

        A CRC is enough: the tag only has to differ between the few roots of one machine.
        """
        if self.data in ("/var/lib/lading",):
            return "lading"
        tag = _tags.get(self.data)
        if tag is None:
            tag = f"lading-{_crc32(os.path.abspath(self.data).encode()) & 0xFFFFFF:06x}"
            _tags[self.data] = tag
        return tag

    @property
    def policy(self) -> str:
        """The file that says which images may be used, empty when there is none: the user's, the machine's, a distribution's.

        The first that is there counts alone (docs/signing.md).
        """
        places = [self.config, *(["/etc/lading"] if self.uid else []), system_config()]
        for place in places:
            path = f"{place}/policy.json"
            try:
                os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                pass  # one that cannot be looked at may forbid everything: whoever reads it says so
            return path
        return ""

    @property
    def images(self) -> str:
        """Content store, snapshots, image names (package ``images``)."""
        return self.data + "/images"

    @property
    def volumes(self) -> str:
        """Named volumes (package ``volumes``)."""
        return self.data + "/volumes"

    @property
    def pods(self) -> str:
        """One directory a pod: writable layers, generated files, logs (package ``node``)."""
        return self.data + "/pods"

    @property
    def database(self) -> str:
        """The node's records: pods, containers, networks, leases, the journal (SQLite, WAL)."""
        return self.data + "/node.db"

    @property
    def network(self) -> str:
        """Network definitions and leases (package ``network``)."""
        return self.data + "/network"

    @property
    def runtime(self) -> str:
        """State of running containers, the runtime's ``--root`` (package ``runtime``)."""
        return self.run + "/runtime"

    @property
    def bundles(self) -> str:
        """Bundle and state of each container that a foreign runtime runs (package ``node``)."""
        return self.run + "/bundles"

    @property
    def keepers(self) -> str:
        """Keepers' sockets (package ``node``)."""
        return self.run + "/keepers"


_tags: dict[str, str] = {}


def _crc32(data: bytes) -> int:
    """zlib's CRC-32, bit by bit: for a path that is 20 µs, and loading zlib takes ten times as long."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 & -(crc & 1))
    return crc ^ 0xFFFFFFFF
