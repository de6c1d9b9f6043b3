"""``lading-runtime spec``: a ``config.json`` to start from."""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lading.flags import Parsed
    from lading.runtime.cli import Log

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_MASKED = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list "
    "/proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap"
).split()
_READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def template(*, rootless: bool = False, uid: int = 0, gid: int = 0) -> dict[str, Any]:
    """A shell in ``rootfs``, in namespaces of its own, with few capabilities; wire names of runtime-spec.

    With ``rootless`` root of the container is ``uid``:``gid`` of the host, the network is the host's, and
    nothing is asked for that an ordinary user may not have.
    """
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        },
        {
            "destination": "/dev/mqueue",
            "type": "mqueue",
            "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"],
        },
        {
            "destination": "/sys",
            "type": "sysfs",
            "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        },
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
        },
    ]
    from lading.kernel.cgroups import detect

    # On v1 a cgroup namespace shows the container little that is right: every tree has a root of its own.
    own_view = ["cgroup"] if detect().mode == "v2" else []
    namespaces = ["pid", "network", "ipc", "uts", "mount", *own_view]
    linux: dict[str, Any] = {"resources": {"devices": [{"allow": False, "access": "rwm"}]}}
    if rootless:
        namespaces = ["pid", "ipc", "uts", "mount", *own_view, "user"]
        linux = {
            "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
        }
        # gid 5 is not mapped, sysfs belongs to the host's network namespace, and so does the cgroup tree.
        mounts[2]["options"] = [o for o in mounts[2]["options"] if o != "gid=5"]
        mounts[5:] = [
            {
                "destination": "/sys",
                "type": "none",
                "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "rro"],  # the control groups below it too
            }
        ]
    linux["namespaces"] = [{"type": name} for name in namespaces]
    linux["maskedPaths"] = list(_MASKED)
    linux["readonlyPaths"] = list(_READONLY)
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "lading",
        "mounts": mounts,
        "linux": linux,
    }


def write_spec(parsed: Parsed, log: Log) -> int:
    """``spec``: write ``config.json`` into the bundle. Raises :class:`Conflict` when there is one."""
    from lading.formats.jsontext import dumps

    path = os.path.join(parsed["bundle"] or ".", "config.json")
    text = dumps(template(rootless=parsed["rootless"], uid=os.geteuid(), gid=os.getegid()), indent=2)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Conflict(f"{path} exists already", hint="remove it first") from None
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return 0
