"""From a process that still has everything to the container's command: what ``create`` and ``exec`` have in
common."""

from __future__ import annotations

import os
import sys

from lading.errors import (
    CommandNotExecutable,
    CommandNotFound,
    InvalidInput,
    KernelError,
    LadingError,
    Unsupported,
)
from lading.kernel.seccomp_flags import FLAG_NEW_LISTENER
from lading.runtime import channel, devices, security
from lading.runtime.job import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Linux, Process
    from lading.kernel import Kernel
    from lading.runtime.execute import ExecJob
    from lading.runtime.job import Job

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SIG_DFL = 0
_SIG_SETMASK = 2
_aside: list[object] = []


def preload(process: Process | None, hooks: bool) -> None:
    """Load, before the root changes, every module that is used after it: see :func:`forbid_imports`."""
    import _signal  # type: ignore[import-not-found]
    import fcntl
    import select
    import stat

    assert _signal and fcntl and select and stat
    if hooks:
        from lading.runtime import hooks as _  # noqa: F401
    if process is not None and process.terminal:
        import _socket
        import struct

        from lading.runtime import console

        assert _socket and struct and console


def forbid_imports() -> None:
    """Let nothing be imported any more but what is part of the interpreter itself.

    Once the root is the container's, an import statement would look for its file *there* and run it with all
    the power this process still has. A module that is missing now is an error; :func:`preload` is the place
    to mend it.
    """
    finders = [f for f in sys.meta_path if getattr(f, "__name__", "") == "BuiltinImporter"]
    # Every search goes through meta_path. What is put aside is kept, not cleared: taking it to pieces would copy a
    # hundred pages that this process still shares with its creator, for memory that execve frees anyway.
    _aside.extend((sys.meta_path, sys.path, sys.path_importer_cache))
    sys.meta_path, sys.path, sys.path_importer_cache = finders, [], {}


def join_keyring(kernel: Kernel, id: str) -> None:
    """A session keyring of the container's own, not the creator's."""
    try:
        kernel.join_session_keyring(f"_ses.{id}")
    except KernelError as error:
        # ENOSYS: no keyrings in this kernel. EPERM: an outer seccomp filter. There is none to leak then.
        if error.errno not in (1, 38):
            raise


def with_null(kernel: Kernel, stdio: Stdio) -> Stdio:
    """``stdio`` with a null device in place of what is missing, and of the null devices of the host.

    Whoever holds a descriptor may change the mode and the owner of what it leads to, and the host's node is everybody's: this
    one is reached by a read-only mount. To be called while the host's own ``/dev`` is in sight: in the container's the name
    may lead anywhere, and through a descriptor that is still open even to the host.
    """
    wanted = [stdio.stdin, stdio.stdout, stdio.stderr]
    null = -1
    for index, fd in enumerate(wanted):
        if fd < 0 or _is_null(kernel, fd):
            if null < 0:
                null = _open_null(kernel)
            wanted[index] = null
    return Stdio(*wanted)


def _is_null(kernel: Kernel, fd: int) -> bool:
    try:
        found = kernel.fstat(fd)
    except KernelError:
        return False  # closed: whoever uses it will say so
    return found.st_mode & 0o170000 == 0o020000 and found.st_rdev == devices.NULL


def _open_null(kernel: Kernel) -> int:
    try:
        mount = devices.host_device(kernel, "/dev/null", 0o020000, devices.NULL)
    except KernelError as error:
        if error.errno not in (1, 38):
            raise
        return kernel.open("/dev/null", os.O_RDWR)  # who may not mount does not own the node either
    try:
        return kernel.open(f"/proc/self/fd/{mount}", os.O_RDWR)
    finally:
        kernel.close(mount)


def place_streams(kernel: Kernel, stdio: Stdio) -> None:
    """Make the given descriptors 0, 1 and 2, whatever numbers they have now."""
    wanted = [stdio.stdin, stdio.stdout, stdio.stderr]
    # Move those that another copy would overwrite out of the way first.
    for index, fd in enumerate(wanted):
        if fd < 3 and fd != index:
            wanted[index] = kernel.dup_above(fd, 10)
    for index, fd in enumerate(wanted):
        kernel.dup2(fd, index)


def use_all_processors(kernel: Kernel) -> None:
    """Forget to which processors our caller was bound: a container may use those of its control group (cpuset(7))."""
    try:
        kernel.use_all_processors()
    except KernelError as error:
        if error.errno not in (1, 38):  # an outer filter forbids it: then it stays as it is
            raise


def limit_process(kernel: Kernel, process: Process, linux: Linux) -> None:
    """Personality, scheduling, memory policy, rlimits."""
    persona = linux.personality
    if persona is not None:
        if persona.flags:
            raise Unsupported("linux.personality.flags: none are defined")
        kernel.personality(
            security.look_up(security.PERSONALITIES, persona.domain, "linux.personality.domain")
        )
    policy = linux.memory_policy
    if policy is not None:
        security.set_memory_policy(kernel, policy.mode, policy.nodes, policy.flags)
    security.schedule(kernel, process)
    security.set_limits(kernel, process.rlimits)


def become_user(kernel: Kernel, process: Process, setgroups: bool) -> None:
    """Identity, capabilities, umask; and the standard streams become the user's, so that /dev/stdout can be
    opened."""
    user = process.user
    if user.uid:
        for fd in (0, 1, 2):
            _give_stream(kernel, fd, user.uid)
    security.become(kernel, process, setgroups=setgroups)
    if user.umask is not None:
        kernel.umask(user.umask)


def _give_stream(kernel: Kernel, fd: int, uid: int) -> None:
    """Give one standard stream to ``uid``, if it is a pipe. A file or a terminal is the caller's own: ``exec > FILE`` would give
    the file, and ``exec`` on a terminal the terminal, to whoever has that number on the host."""
    try:
        if kernel.fstat(fd).st_mode & 0o170000 == 0o010000:
            kernel.fchown(fd, uid, -1)
    except KernelError as error:
        if error.errno not in (1, 22, 30, 9):  # not ours, not mapped, read-only, closed
            raise


def enter_directory(kernel: Kernel, path: str) -> bool:
    """chdir(2) while we are still root: a user may be given a working directory that it could not enter itself.

    False when root may not enter it either (a FUSE mount of the user's, NFS): the user is to try.
    """
    if not path.startswith("/"):
        raise InvalidInput(f"process.cwd: {path!r} is not absolute")
    try:
        kernel.chdir(path)
    except KernelError as error:
        if error.errno == 13:
            return False
        raise _cannot_enter(path, error) from None
    return True


def _cannot_enter(path: str, error: KernelError) -> CommandNotExecutable:
    """As Docker: the command is there, and cannot be executed there."""
    return CommandNotExecutable(f"working directory {path}: {os.strerror(error.errno)}")


def settle_in_directory(kernel: Kernel, path: str, entered: bool) -> None:
    """What :func:`enter_directory` left to the user; and the check that a leaked descriptor led nobody out of the root.

    The check is CVE-2024-21626's.
    """
    if not entered:
        try:
            kernel.chdir(path)
        except KernelError as error:
            raise _cannot_enter(path, error) from None
    if not _inside_root(kernel):
        raise InvalidInput(
            f"process.cwd: {path} lies outside the container's root",
            hint="the image is hostile (CVE-2024-21626)",
            reason="escape",
        )


def _inside_root(kernel: Kernel) -> bool:
    """Whether the working directory lies below the root."""
    try:
        return kernel.getcwd().startswith("/")
    except KernelError as error:
        if error.errno not in (1, 38):  # a filter that is loaded already forbids the question
            raise
    # Climb instead: outside of the root, ".." ends at the host's root and never meets ours.
    root = os.stat("/")
    here, before = ".", None
    while True:
        found = os.stat(here)
        if (found.st_dev, found.st_ino) == (root.st_dev, root.st_ino):
            return True
        if (found.st_dev, found.st_ino) == before:
            return False
        before = (found.st_dev, found.st_ino)
        here += "/.."


def close_descriptors(kernel: Kernel, job: Job | ExecJob) -> None:
    """Whatever the creator had open stays here: all but the standard streams, those asked for and our channels.

    Really closed, before a name is looked up in the container: close-on-exec comes after execve(2) has looked up its file,
    and ``/proc/self/fd/8/../bin/sh`` would be one of the host's (CVE-2024-21626). A created container may wait for days and must
    not hold its creator's pipes, locks and directories. All this comes before the filter, because profiles written before
    Linux 5.9 answer EPERM to close_range; what is opened behind it is close-on-exec from the start.
    """
    if job.sockets:
        from lading.runtime.handover import place

        job.preserve_fds = place(job)  # type: ignore[arg-type]  # whoever joins a container is handed none
    first = 3 + job.preserve_fds
    channels = [one for one in (job.channel, job.start) if one is not None]
    for fd in sorted(fd for one in channels for fd in (one.read_fd, one.write_fd)):
        if fd > first:
            kernel.close_range(first, fd - 1, 0)
        first = max(first, fd + 1)
    kernel.close_range(first, flags=0)
    kernel.close_range(3 + job.preserve_fds)


def end_on_signals() -> None:
    """Let the usual signals end a created container that was not started yet.

    It is the first process of its pid namespace, and the kernel delivers to that one only what it handles.
    """
    import _signal

    for number in (1, 2, 3, 10, 12, 14, 15):  # HUP INT QUIT USR1 USR2 ALRM TERM
        _signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    os._exit(128 + number)


def load_filter(kernel: Kernel, job: Job | ExecJob) -> None:
    """Load the compiled seccomp filter; a listener is handed to the creator before anything else happens."""
    if not job.filter:
        return
    listener = kernel.seccomp_load(job.filter, job.filter_flags)
    if job.filter_flags & FLAG_NEW_LISTENER:
        job.channel.send(channel.LISTENER + str(listener).encode())
        if job.channel.receive() != channel.GO:
            os._exit(1)
        kernel.close(listener)


def environment(process: Process) -> dict[bytes, bytes]:
    """``process.env`` for execve; HOME from the container's passwd(5) when it is not given."""
    env: dict[bytes, bytes] = {}
    for pair in process.env:
        key, _, value = pair.partition("=")
        if not key or "\0" in pair:
            raise InvalidInput(f"process.env: {pair!r} is not NAME=VALUE")
        env[os.fsencode(key)] = os.fsencode(value)
    if not env.get(b"HOME"):
        env[b"HOME"] = home_of(process.user.uid)
    return env


def home_of(uid: int, path: str = "/etc/passwd") -> bytes:
    """The home directory of ``uid`` in a passwd(5) file; ``/`` without one."""
    import stat

    wanted = str(uid).encode()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b"/"
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return b"/"
        # A larger buffer than needed would be mapped and unmapped; some file systems tell no size.
        for line in os.read(fd, min(1 << 20, max(found.st_size, 1 << 16))).split(b"\n"):
            fields = line.split(b":")
            if len(fields) >= 6 and fields[2] == wanted:
                return fields[5] or b"/"
    except OSError:
        pass
    finally:
        os.close(fd)
    return b"/"


def find_command(process: Process) -> str:
    """The path that ``process.args[0]`` means inside the container.

    Raises :class:`CommandNotFound` and :class:`CommandNotExecutable`.
    """
    if not process.args or not process.args[0]:
        raise InvalidInput("process.args is empty")
    name = process.args[0]
    if "/" in name:
        candidates = [name]
    else:
        search = _DEFAULT_PATH
        for pair in process.env:
            if pair.startswith("PATH="):
                search = pair[5:]
        candidates = [f"{directory or '.'}/{name}" for directory in search.split(":")]
    problem = 0
    for path in candidates:
        try:
            found = os.stat(path)
        except OSError as error:
            if error.errno not in (2, 20):
                problem = error.errno or 0
            continue
        if found.st_mode & 0o170000 != 0o040000 and _executable(path):
            return path
        problem = 21 if found.st_mode & 0o170000 == 0o040000 else 13
    if problem:
        raise CommandNotExecutable(f"exec {name}: {os.strerror(problem).lower()}")
    if "/" in name:
        raise CommandNotFound(f"exec {name}: no such file or directory")
    raise CommandNotFound(f"exec {name}: executable file not found in $PATH")


def _executable(path: str) -> bool:
    """access(2) asks for the real user without capabilities; one who was given CAP_DAC_OVERRIDE needs the other question."""
    return os.access(path, os.X_OK) or os.access(path, os.X_OK, effective_ids=True)


def execute(kernel: Kernel, path: str, process: Process) -> None:
    """Give signals back their defaults and execute. Raises a :class:`LadingError` when that fails."""
    env = environment(process)
    default_signals(kernel)
    try:
        kernel.execve(path, process.args, env)
    except OSError as error:
        raise channel.exec_error(path, error.errno or 0) from None
    raise LadingError("execve returned")


def default_signals(kernel: Kernel) -> None:
    """Undo what the interpreter and our caller ignore or block: execve keeps both."""
    import _signal

    for number in range(1, 65):
        try:
            if _signal.getsignal(number) == 1:  # SIG_IGN
                _signal.signal(number, _SIG_DFL)
        except (ValueError, OSError):
            continue
    for number in (32, 33):  # glibc's own: signal(2) refuses them
        kernel.default_action(number)
    _signal.pthread_sigmask(_SIG_SETMASK, ())
