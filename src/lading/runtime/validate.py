"""Is this ``config.json`` one that runtime-spec allows, and one that can be honoured here? Asked before
anything is made.

Checks that need the machine (is a namespace path of its kind, does a mount source exist) are made where they
are used; everything that can be said from the document alone is said here, with the field's name. Unknown
properties are ignored because the specification demands it ("Extensibility"); unknown *values* of known
properties are errors, as it demands too ("Valid values").
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, Unsupported
from lading.formats.jsontext import loads
from lading.formats.oci_runtime import Linux, Process, Spec
from lading.runtime import procmounts
from lading.runtime.options import is_bind
from lading.runtime.security import parse_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Hooks, IDMapping, Seccomp

NAMESPACES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
_RLIMITS = "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK".split()
_PROPAGATIONS = ("shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable")
ACTIONS = ("KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY")
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
ARCHITECTURES = (
    "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X "
    "PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB"
).split()
FILTER_FLAGS = ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV")
_POLICIES = ("OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE")
_POLICY_FLAGS = (
    "RESET_ON_FORK",
    "RECLAIM",
    "DL_OVERRUN",
    "KEEP_POLICY",
    "KEEP_PARAMS",
    "UTIL_CLAMP_MIN",
    "UTIL_CLAMP_MAX",
)
_IO_CLASSES = ("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")
_MAX_ID = 0xFFFFFFFE


def parse(text: str | bytes, *, what: str = "config.json") -> Spec:
    """Decode ``config.json``; properties that runtime-spec does not know are ignored. Raises
    :class:`InvalidInput`."""
    try:
        return Spec.decode(loads(text, what=what), strict=False)
    except InvalidInput as error:
        if error.message.startswith(what):
            raise
        raise InvalidInput(f"{what}: {error.message}", hint=error.hint, reason=error.reason) from None


def check(spec: Spec, *, root_given: bool = False) -> list[str]:
    """Raise :class:`InvalidInput` or :class:`Unsupported` for the first thing wrong; return warnings to log.

    ``root_given``: the root file system comes from elsewhere, so ``root`` may be missing.
    """
    warnings: list[str] = []
    _version(spec.oci_version)
    for name in ("solaris", "windows", "vm", "zos"):
        if getattr(spec, name) is not None:
            raise Unsupported(f"{name}: this runtime makes Linux containers")
    if spec.root is None:
        if not root_given:
            raise InvalidInput("root: required field is missing", reason="missing-field")
    elif not spec.root.path:
        raise InvalidInput("root.path: it is empty")
    for key in spec.annotations:
        if not key:
            raise InvalidInput("annotations: a key is empty")
    for index, mount in enumerate(spec.mounts):
        at = f"mounts[{index}]"
        _text(mount.destination, at + ".destination")
        if "remount" not in mount.options and os.path.normpath("/" + mount.destination.lstrip("/")) == "/":
            # It would lie on the root that everybody has entered already, and nobody would ever see it.
            raise InvalidInput(
                f"{at}.destination: {mount.destination} is the root itself", hint="use root.path"
            )
        if "remount" not in mount.options:
            proc = mount.type == "proc" or is_bind(mount)
            if refused := procmounts.by_name(mount.destination, proc=proc):
                raise InvalidInput(f"{at}.destination: {refused}", reason="proc-mount")
        if bool(mount.uid_mappings) != bool(mount.gid_mappings):
            raise InvalidInput(f"{at}: uidMappings and gidMappings come together")
        _mappings(mount.uid_mappings, at + ".uidMappings")
        _mappings(mount.gid_mappings, at + ".gidMappings")
    if spec.hooks is not None:
        _hooks(spec.hooks)
    if spec.process is not None:
        check_process(spec.process, warnings=warnings)
    linux = spec.linux or Linux()
    _linux(spec, linux)
    if linux.seccomp is not None and linux.seccomp.listener_path and not notifies(linux.seccomp):
        warnings.append(
            "linux.seccomp.listenerPath: no rule has the action SCMP_ACT_NOTIFY, nobody will connect"
        )
    return warnings


def notifies(filter: Seccomp) -> bool:
    """Whether some call is to be decided by an agent."""
    return any(call.action == "SCMP_ACT_NOTIFY" for call in filter.syscalls)


def _version(text: str) -> None:
    if not text:
        raise InvalidInput("ociVersion: required field is missing", reason="missing-field")
    core = text.partition("+")[0].partition("-")[0].split(".")
    if len(core) != 3 or not all(p.isascii() and p.isdigit() and (p == "0" or p[0] != "0") for p in core):
        raise InvalidInput(f"ociVersion: {text!r} is not a SemVer 2.0.0 version")
    if core[0] != "1":
        raise Unsupported(f"ociVersion: {text!r}: this runtime implements runtime-spec 1.x")


def _text(value: str, at: str, *, absolute: bool = False) -> None:
    if not value:
        raise InvalidInput(f"{at}: it is empty")
    if "\0" in value:
        raise InvalidInput(f"{at}: it contains a zero byte")
    if absolute and value[0] != "/":
        raise InvalidInput(f"{at}: {value!r} is not an absolute path")


def _one_of(value: str, known: tuple[str, ...] | list[str], at: str, prefix: str = "") -> None:
    if not value.startswith(prefix) or value[len(prefix) :] not in known:
        raise InvalidInput(
            f"{at}: {value!r} is not known", hint=f"one of {', '.join(prefix + k for k in known)}"
        )


def check_process(process: Process, *, at: str = "process", warnings: list[str] | None = None) -> None:
    """The same for one process (``exec --process``). ``warnings`` collects capabilities that Linux does not
    know."""
    if process.command_line:
        raise Unsupported(f"{at}.commandLine: it is for Windows", hint="use args")
    if process.user.username:
        raise Unsupported(f"{at}.user.username: it is for Windows", hint="use uid and gid")
    _text(process.cwd, at + ".cwd", absolute=True)
    if not process.args:
        raise InvalidInput(f"{at}.args: it is empty")
    _text(process.args[0], f"{at}.args[0]")
    for field, words in (("args", process.args), ("env", process.env)):
        for index, word in enumerate(words):
            if "\0" in word:
                raise InvalidInput(f"{at}.{field}[{index}]: it contains a zero byte")
            if field == "env" and word.find("=") < 1:
                raise InvalidInput(f"{at}.env[{index}]: {word!r} is not NAME=VALUE")
    user = process.user
    for field, number in (
        ("uid", user.uid),
        ("gid", user.gid),
        *(("additionalGids", g) for g in user.additional_gids),
    ):
        if not 0 <= number <= _MAX_ID:
            raise InvalidInput(f"{at}.user.{field}: {number} is not an id")
    if user.umask is not None and not 0 <= user.umask <= 0o777:
        raise InvalidInput(f"{at}.user.umask: {user.umask} is not between 0 and 511 (0777)")
    size = process.console_size
    if size is not None and not (0 <= size.height < 65536 and 0 <= size.width < 65536):
        raise InvalidInput(f"{at}.consoleSize: {size.width}x{size.height} is no size of a terminal")
    seen = set()
    for index, limit in enumerate(process.rlimits):
        _one_of(limit.type, _RLIMITS, f"{at}.rlimits[{index}].type", "RLIMIT_")
        if limit.type in seen:
            raise InvalidInput(f"{at}.rlimits: {limit.type} stands twice")
        seen.add(limit.type)
        if not 0 <= limit.soft < 1 << 64 or not 0 <= limit.hard < 1 << 64:
            raise InvalidInput(f"{at}.rlimits[{index}]: a limit is between 0 and 2^64-1")
        if limit.soft > limit.hard:
            raise InvalidInput(f"{at}.rlimits[{index}]: soft {limit.soft} is above hard {limit.hard}")
    if process.oom_score_adj is not None and not -1000 <= process.oom_score_adj <= 1000:
        raise InvalidInput(f"{at}.oomScoreAdj: {process.oom_score_adj} is not between -1000 and 1000")
    if process.scheduler is not None:
        _one_of(process.scheduler.policy, _POLICIES, at + ".scheduler.policy", "SCHED_")
        for flag in process.scheduler.flags:
            _one_of(flag, _POLICY_FLAGS, at + ".scheduler.flags", "SCHED_FLAG_")
        if not -20 <= process.scheduler.nice <= 19:
            raise InvalidInput(f"{at}.scheduler.nice: {process.scheduler.nice} is not between -20 and 19")
    affinity = process.exec_cpu_affinity
    if affinity is not None:
        for field, text in (("initial", affinity.initial), ("final", affinity.final)):
            if text:
                parse_cpus(text, f"{at}.execCPUAffinity.{field}")
    if process.io_priority is not None:
        _one_of(process.io_priority.class_, _IO_CLASSES, at + ".ioPriority.class")
        if not 0 <= process.io_priority.priority <= 7:
            raise InvalidInput(
                f"{at}.ioPriority.priority: {process.io_priority.priority} is not between 0 and 7"
            )
    if process.capabilities is not None and warnings is not None:
        _capabilities(process, at, warnings)


def _capabilities(process: Process, at: str, warnings: list[str]) -> None:
    """Unknown capabilities are logged, not refused (config.md, "Linux Process", capabilities)."""
    from lading.kernel.capabilities import NAMES

    assert process.capabilities is not None
    for kind in ("bounding", "effective", "inheritable", "permitted", "ambient"):
        for name in getattr(process.capabilities, kind):
            if name not in NAMES:
                warnings.append(
                    f"{at}.capabilities.{kind}: {name!r} is not a capability of Linux and is left out"
                )
    sets = process.capabilities
    for name in sets.ambient:
        # capabilities(7): a capability is ambient only while it is both permitted and inheritable.
        if name in NAMES and not (name in sets.inheritable and name in sets.permitted):
            warnings.append(f"can't raise ambient capability {name}: it is not inheritable and permitted too")


def _hooks(hooks: Hooks) -> None:
    for field, wire in (
        ("prestart", "prestart"),
        ("create_runtime", "createRuntime"),
        ("create_container", "createContainer"),
        ("start_container", "startContainer"),
        ("poststart", "poststart"),
        ("poststop", "poststop"),
    ):
        for index, hook in enumerate(getattr(hooks, field)):
            at = f"hooks.{wire}[{index}]"
            _text(hook.path, at + ".path", absolute=True)
            if hook.timeout is not None and hook.timeout <= 0:
                raise InvalidInput(f"{at}.timeout: {hook.timeout} is not above zero")


def _mappings(mappings: list[IDMapping], at: str) -> None:
    if len(mappings) > 340:
        raise InvalidInput(f"{at}: the kernel takes 340 lines at most")
    inside: list[tuple[int, int]] = []
    for index, mapping in enumerate(mappings):
        for name, first in (("containerID", mapping.container_id), ("hostID", mapping.host_id)):
            if first < 0 or mapping.size < 1 or first + mapping.size - 1 > _MAX_ID:
                raise InvalidInput(
                    f"{at}[{index}]: {name} {first} with size {mapping.size} is no range of ids"
                )
        for start, end in inside:
            if mapping.container_id < end and start < mapping.container_id + mapping.size:
                raise InvalidInput(f"{at}[{index}]: it overlaps another one")
        inside.append((mapping.container_id, mapping.container_id + mapping.size))


def _linux(spec: Spec, linux: Linux) -> None:
    kinds: dict[str, str] = {}
    for index, namespace in enumerate(linux.namespaces):
        at = f"linux.namespaces[{index}]"
        _one_of(namespace.type, NAMESPACES, at + ".type")
        if namespace.type in kinds:
            raise InvalidInput(f"linux.namespaces: {namespace.type} stands twice")
        if namespace.path:
            _text(namespace.path, at + ".path", absolute=True)
        kinds[namespace.type] = namespace.path
    for field, value in (("hostname", spec.hostname), ("domainname", spec.domainname)):
        if value and "uts" not in kinds:
            raise InvalidInput(f"{field}: it needs a uts namespace, or the host would be renamed")
        if len(value.encode()) > 64:
            raise InvalidInput(f"{field}: {len(value.encode())} bytes are more than Linux's 64")
    for key in ("kernel.domainname", "kernel/domainname"):
        if spec.domainname and linux.sysctl.get(key, spec.domainname) != spec.domainname:
            raise InvalidInput(f"domainname: {spec.domainname!r} contradicts linux.sysctl {key}")
    _mappings(linux.uid_mappings, "linux.uidMappings")
    _mappings(linux.gid_mappings, "linux.gidMappings")
    if (linux.uid_mappings or linux.gid_mappings) and "user" not in kinds:
        raise InvalidInput("linux.uidMappings, linux.gidMappings: they need a user namespace")
    if kinds.get("user", "joined") == "" and not (linux.uid_mappings and linux.gid_mappings):
        raise InvalidInput(
            "linux.namespaces: a new user namespace needs linux.uidMappings and linux.gidMappings"
        )
    if linux.time_offsets and kinds.get("time", "joined") != "":
        raise InvalidInput("linux.timeOffsets: it needs a new time namespace")
    _devices(linux)
    if linux.net_devices and "network" not in kinds:
        raise InvalidInput("linux.netDevices: it needs a network namespace")
    names = set()
    for device, options in linux.net_devices.items():
        name = options.name or device
        for word in (device, name):
            if not word or len(word.encode()) > 15 or word in (".", "..") or set(word) & set("/: \t\n\0"):
                raise InvalidInput(f"linux.netDevices: {word!r} is not the name of a network device")
        if name in names:
            raise InvalidInput(f"linux.netDevices: two devices would be called {name!r}")
        names.add(name)
    if linux.rootfs_propagation:
        _one_of(linux.rootfs_propagation, _PROPAGATIONS, "linux.rootfsPropagation")
    for field, paths in (("maskedPaths", linux.masked_paths), ("readonlyPaths", linux.readonly_paths)):
        for index, path in enumerate(paths):
            _text(path, f"linux.{field}[{index}]", absolute=True)
    if linux.personality is not None:
        _one_of(linux.personality.domain, ("LINUX", "LINUX32"), "linux.personality.domain")
        if linux.personality.flags:
            raise Unsupported(
                f"linux.personality.flags: {linux.personality.flags[0]!r}: no flag is defined yet"
            )
    if linux.seccomp is not None:
        _seccomp(linux.seccomp)


def _devices(linux: Linux) -> None:
    seen = set()
    for index, device in enumerate(linux.devices):
        at = f"linux.devices[{index}]"
        _one_of(device.type, ("c", "b", "u", "p"), at + ".type")
        _text(device.path, at + ".path", absolute=True)
        if device.path.rstrip("/").rpartition("/")[2] in ("", ".", ".."):
            raise InvalidInput(f"{at}.path: {device.path!r} does not end in a name")
        if device.path in seen:
            raise InvalidInput(f"{at}.path: {device.path} stands twice")
        seen.add(device.path)
        if device.file_mode is not None and not 0 <= device.file_mode <= 0o177777:
            raise InvalidInput(f"{at}.fileMode: {device.file_mode} is not a mode")
        if device.type != "p" and not (0 <= device.major < 1 << 32 and 0 <= device.minor < 1 << 32):
            raise InvalidInput(f"{at}: {device.major}:{device.minor} is no device number")


def _seccomp(filter: Seccomp) -> None:
    at = "linux.seccomp"
    _one_of(filter.default_action, ACTIONS, at + ".defaultAction", "SCMP_ACT_")
    if filter.default_action == "SCMP_ACT_NOTIFY":
        # The runtime itself could then not go on: every call it makes would wait for the agent it has yet to
        # reach.
        raise InvalidInput(f"{at}.defaultAction: SCMP_ACT_NOTIFY cannot be the default")
    _errno(filter.default_action, filter.default_errno_ret, at + ".defaultErrnoRet")
    for name in filter.architectures:
        _one_of(name, ARCHITECTURES, at + ".architectures", "SCMP_ARCH_")
    for name in filter.flags:
        _one_of(name, FILTER_FLAGS, at + ".flags", "SECCOMP_FILTER_FLAG_")
    for index, call in enumerate(filter.syscalls):
        here = f"{at}.syscalls[{index}]"
        if not call.names:
            raise InvalidInput(f"{here}.names: it is empty")
        _one_of(call.action, ACTIONS, here + ".action", "SCMP_ACT_")
        _errno(call.action, call.errno_ret, here + ".errnoRet")
        if call.action == "SCMP_ACT_NOTIFY" and "write" in call.names:
            raise InvalidInput(
                f"{here}: SCMP_ACT_NOTIFY cannot be used for the write syscall, which hands the listener over"
            )
        for argument in call.args:
            _one_of(argument.op, OPERATORS, here + ".args.op", "SCMP_CMP_")
            if not 0 <= argument.index <= 5:
                raise InvalidInput(f"{here}.args.index: {argument.index} is not between 0 and 5")
    if notifies(filter) and not filter.listener_path:
        raise InvalidInput(f"{at}.listenerPath: SCMP_ACT_NOTIFY needs it")
    if filter.listener_path:
        _text(filter.listener_path, at + ".listenerPath", absolute=True)
    if filter.listener_metadata and not filter.listener_path:
        raise InvalidInput(f"{at}.listenerMetadata: it needs listenerPath")


def _errno(action: str, value: int | None, at: str) -> None:
    if value is None:
        return
    if action not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        raise InvalidInput(f"{at}: {action} returns no errno")
    if not 0 <= value <= 4095:
        raise InvalidInput(f"{at}: {value} is not an errno")
