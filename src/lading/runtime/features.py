"""``lading-runtime features``: what this runtime can do (runtime-spec, features.md)."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.flags import Parsed
    from lading.runtime.cli import Log

_MOUNT_OPTIONS = (
    "acl async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noacl noatime nodev nodiratime "
    "noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime "
    "relatime remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro "
    "rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave "
    "strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap"
).split()


def features() -> dict[str, object]:
    """The Features structure. What depends on this machine (AppArmor, SELinux, seccomp) is looked up."""
    from lading.kernel import capabilities
    from lading.runtime import security, validate

    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": sorted(_MOUNT_OPTIONS),
        "linux": {
            "namespaces": sorted(validate.NAMESPACES),
            "capabilities": list(capabilities.NAMES),
            "cgroup": {
                "v1": True,
                "v2": True,
                "systemd": True,
                "systemdUser": True,
                "rdma": True,
            },
            "seccomp": {
                "enabled": _has_library("libseccomp.so.2"),
                "actions": ["SCMP_ACT_" + name for name in validate.ACTIONS],
                "operators": ["SCMP_CMP_" + name for name in validate.OPERATORS],
                "archs": ["SCMP_ARCH_" + name for name in validate.ARCHITECTURES],
                "knownFlags": ["SECCOMP_FILTER_FLAG_" + name for name in validate.FILTER_FLAGS],
                "supportedFlags": ["SECCOMP_FILTER_FLAG_" + name for name in validate.FILTER_FLAGS],
            },
            "apparmor": {"enabled": os.path.isdir("/sys/module/apparmor")},
            "selinux": {"enabled": os.path.isdir("/sys/fs/selinux")},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
            "memoryPolicy": {"modes": list(security.MEMORY_MODES), "flags": list(security.MEMORY_FLAGS)},
            "netDevices": {"enabled": True},
        },
        "annotations": {"io.github.lading.version": _version()},
        "potentiallyUnsafeConfigAnnotations": ["org.systemd.property."],
    }


def _version() -> str:
    from lading import __version__

    return __version__


def _has_library(name: str) -> bool:
    import ctypes

    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def show(parsed: Parsed, log: Log) -> int:
    """``features``"""
    from lading.formats.jsontext import dumps

    sys.stdout.write(dumps(features(), indent=2) + "\n")
    return 0
