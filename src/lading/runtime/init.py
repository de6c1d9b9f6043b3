"""The life of a container's first process from birth to execve: :class:`Init` is the list of what it does, in order.

The order is most of the security here; ``Init.steps`` is the one place that states it, and a test holds it.
Everything is done through the :class:`~lading.kernel.Kernel` it is given and by descriptors, never by names that the
image could have prepared.
"""

from __future__ import annotations

import os

from lading.errors import CommandNotExecutable, CommandNotFound, InvalidInput, KernelError, LadingError
from lading.kernel.files import O_PATH
from lading.kernel.mounts import MOUNT_ATTR_RDONLY, MS_SLAVE
from lading.kernel.namespaces import CLONE_NEWCGROUP
from lading.kernel.process import PR_SET_DUMPABLE
from lading.runtime import channel, console, devices, join, masks, mounts, rootfs, security
from lading.runtime.options import PROPAGATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from lading.formats.oci_runtime import Linux, Process
    from lading.kernel import Kernel
    from lading.runtime.job import Job, Stdio

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SIG_DFL = 0
_SIG_SETMASK = 2


class Init:
    """Sets one container up from the inside."""

    def __init__(self, kernel: Kernel, job: Job) -> None:
        self.kernel = kernel
        self.job = job
        self.linux: Linux = job.spec.linux or _no_linux()
        self.process: Process | None = job.spec.process
        self.root_fd = -1
        self.proc_fd = -1
        self.slave = -1
        self.path = ""
        self.setgroups = True

    def steps(self) -> list[Callable[[], None]]:
        """Everything up to the command, in order."""
        steps: list[Callable[[], None]] = [
            self.wait_for_permission,
            self.become_root_of_user_namespace,
            self.forbid_inspection,
            self.join_namespaces,
            self.new_session,
            self.standard_streams,
            self.loopback,
        ]
        if "mount" in self.job.plan.new:
            steps += [
                self.detach_propagation,
                self.attach_root,
                self.mount_all,
                self.make_devices,
                self.hooks_before_pivot,
                self.open_console,
                self.protect_paths,
                self.make_cwd,
                self.change_root,
            ]
        else:
            steps += [self.open_proc, self.hooks_before_pivot, self.change_root_shared]
        steps += [self.name_host, self.set_sysctls, self.take_terminal]
        if self.process is not None:
            steps += [
                self.limit,
                self.label,
                self.filter_early,
                self.become_user,
                self.change_directory,
                self.filter_late,
                self.find_command,
            ]
        return [*steps, self.close_descriptors, self.wait_for_start, self.start_container_hooks]

    def run(self) -> None:
        """Take all steps, then execute the command. Returns never; raises what went wrong."""
        for step in self.steps():
            step()
        self.execute()

    # -- before anything of the container exists

    def wait_for_permission(self) -> None:
        """The creator has placed us in our cgroup and written our id maps; or it died."""
        if self.job.channel.receive() != channel.GO:
            os._exit(1)

    def become_root_of_user_namespace(self) -> None:
        """With the maps written, be uid 0 of the new user namespace rather than an unmapped nobody."""
        if "user" in self.job.plan.new:
            self.kernel.setresgid(0)
            self.kernel.setresuid(0)

    def forbid_inspection(self) -> None:
        """Nobody in a namespace we are about to enter may look into our memory or descriptors."""
        self.kernel.prctl(PR_SET_DUMPABLE, 0)

    def join_namespaces(self) -> None:
        """Those the helper has not joined for us, and our own cgroup namespace, now that we are in our cgroup."""
        plan = self.job.plan
        if not plan.needs_helper:
            join.enter(self.kernel, plan.joins)
        if "cgroup" in plan.new:
            self.kernel.unshare(CLONE_NEWCGROUP)

    def new_session(self) -> None:
        """A session of our own, and a session keyring that is not the creator's."""
        self.kernel.setsid()
        if not self.job.no_new_keyring:
            try:
                self.kernel.join_session_keyring(f"_ses.{self.job.state.id}")
            except KernelError as error:
                # ENOSYS: no keyrings in this kernel. EPERM: an outer seccomp filter. There is none to leak then.
                if error.errno not in (1, 38):
                    raise

    def standard_streams(self) -> None:
        """Descriptors 0, 1 and 2."""
        if self.process is None or not self.process.terminal:
            place_streams(self.kernel, self.job.stdio)

    def loopback(self) -> None:
        """A new network namespace has its loopback interface down."""
        if "network" in self.job.plan.new:
            self.kernel.interface_up("lo")

    # -- the root

    def detach_propagation(self) -> None:
        """Mounts made here must not reach the host; what the host mounts may reach us if the configuration asks."""
        self.proc_fd = masks.open_proc(self.kernel)
        fd = self.kernel.open("/", O_PATH | os.O_DIRECTORY)
        name = self.linux.rootfs_propagation
        flag = PROPAGATION.get(name.removeprefix("r"), MS_SLAVE) if name else MS_SLAVE
        if flag not in (MS_SLAVE, PROPAGATION["private"]):
            flag = MS_SLAVE
        self.kernel.mount_setattr(fd, propagation=flag, recursive=True)
        self.kernel.close(fd)

    def attach_root(self) -> None:
        """Assemble the root."""
        root = self.job.spec.root
        path = os.path.join(self.job.bundle, root.path) if root else ""
        self.root_fd = rootfs.attach(self.kernel, self.job.rootfs, path, self.job.anchor)

    def mount_all(self) -> None:
        """``mounts`` in their order."""
        for index, mount in enumerate(self.job.spec.mounts):
            userns = self.job.idmaps.get(index, -1)
            fd = mounts.add(self.kernel, self.root_fd, mount, label=self.linux.mount_label, userns_fd=userns)
            self.kernel.close(fd)

    def make_devices(self) -> None:
        """``/dev``."""
        bound = any(m.destination.rstrip("/") == "/dev" and _is_bind(m.options) for m in self.job.spec.mounts)
        if not bound:
            devices.populate(self.kernel, self.root_fd, self.linux.devices, bind="user" in self.job.plan.new)

    def hooks_before_pivot(self) -> None:
        """prestart and createRuntime run in the creator, createContainer here; all before the root changes."""
        hooks = self.job.spec.hooks
        if hooks is None:
            return
        if hooks.prestart or hooks.create_runtime:
            self.job.channel.send(channel.HOOKS)
            if self.job.channel.receive() != channel.GO:
                os._exit(1)
        if hooks.create_container:
            from lading.runtime.hooks import run_all

            run_all(self.kernel, "createContainer", hooks.create_container, self.job.state)

    def open_console(self) -> None:
        """A pty of the container's own devpts; its master goes to whoever asked."""
        if self.process is None or not self.process.terminal:
            return
        master, self.slave = console.open_pty(self.kernel, self.root_fd, self.process.console_size)
        self.kernel.fchown(self.slave, self.process.user.uid, -1)
        console.bind_console(self.kernel, self.root_fd, self.slave)
        console.send_master(self.job.console_fd, master)
        self.kernel.close(master)

    def protect_paths(self) -> None:
        """Masks and read-only paths, while the host's null device is still in sight; then the root itself."""
        for path in self.linux.readonly_paths:
            masks.make_readonly(self.kernel, self.root_fd, path)
        if self.linux.masked_paths:
            cover = masks.Masks(self.kernel)
            for path in self.linux.masked_paths:
                cover.mask(self.root_fd, path)

    def make_cwd(self) -> None:
        """The working directory is made when the image has none; then a read-only root is made so."""
        if self.process is not None and self.process.cwd not in ("", "/"):
            try:
                self.kernel.close(masks.make_directory_inside(self.kernel, self.root_fd, self.process.cwd))
            except KernelError as error:
                if error.errno not in (1, 13, 20, 30):  # told better when we change into it
                    raise
        if self.job.spec.root and self.job.spec.root.readonly:
            self.kernel.mount_setattr(self.root_fd, set_=MOUNT_ATTR_RDONLY)

    def change_root(self) -> None:
        """pivot_root, and the old root is gone."""
        if self.job.no_pivot:
            rootfs.move(self.kernel, self.root_fd)
        else:
            rootfs.pivot(self.kernel, self.root_fd)
        name = self.linux.rootfs_propagation
        if name:
            flag = PROPAGATION.get(name.removeprefix("r"))
            if flag is None:
                raise InvalidInput(f"linux.rootfsPropagation: {name!r} is not known")
            self.kernel.mount_setattr(self.root_fd, propagation=flag, recursive=name.startswith("r"))
        self.kernel.close(self.root_fd)

    # -- without a mount namespace of our own

    def open_proc(self) -> None:
        """The procfs that values are written through."""
        self.proc_fd = masks.open_proc(self.kernel)

    def change_root_shared(self) -> None:
        """A shared mount namespace: nothing is mounted, the root is only entered."""
        root = self.job.spec.root
        if root is not None and "mount" not in {name for name, _, _ in self.job.plan.joins}:
            self.kernel.chroot(os.path.join(self.job.bundle, root.path))
        self.kernel.chdir("/")

    # -- the rest of the environment

    def name_host(self) -> None:
        """hostname and domainname."""
        if self.job.spec.hostname:
            self.kernel.sethostname(self.job.spec.hostname)
        if self.job.spec.domainname:
            self.kernel.setdomainname(self.job.spec.domainname)

    def set_sysctls(self) -> None:
        """``linux.sysctl``."""
        masks.set_sysctls(self.kernel, self.proc_fd, self.linux.sysctl)

    def take_terminal(self) -> None:
        """The pty becomes the controlling terminal."""
        if self.slave >= 0:
            console.take_terminal(self.kernel, self.slave)

    # -- the process

    def limit(self) -> None:
        """Personality, scheduling, memory policy, rlimits: while we still may."""
        assert self.process is not None
        persona = self.linux.personality
        if persona is not None:
            self.kernel.personality(
                security.look_up(security.PERSONALITIES, persona.domain, "linux.personality.domain")
            )
        policy = self.linux.memory_policy
        if policy is not None:
            security.set_memory_policy(self.kernel, policy.mode, policy.nodes, policy.flags)
        limit_process(self.kernel, self.process)

    def label(self) -> None:
        """AppArmor and SELinux."""
        assert self.process is not None
        security.set_label(self.kernel, self.proc_fd, self.process)

    def filter_early(self) -> None:
        """Without no_new_privs the filter needs CAP_SYS_ADMIN: now or never."""
        assert self.process is not None
        if not self.process.no_new_privileges:
            load_filter(self.kernel, self.job)

    def become_user(self) -> None:
        """User, groups, capabilities, umask."""
        assert self.process is not None
        become_user(self.kernel, self.process, self.setgroups)

    def change_directory(self) -> None:
        """The working directory, which must lie inside the root."""
        assert self.process is not None
        change_directory(self.kernel, self.process.cwd or "/")

    def filter_late(self) -> None:
        """With no_new_privs the filter comes as late as possible."""
        assert self.process is not None
        if self.process.no_new_privileges:
            security.no_new_privileges(self.kernel)
            load_filter(self.kernel, self.job)

    def find_command(self) -> None:
        """The file to execute, so that a missing one is an error of ``create`` already."""
        assert self.process is not None
        self.path = find_command(self.process)

    def close_descriptors(self) -> None:
        """Whatever the creator had open stays here: all but the standard streams and those asked for."""
        self.kernel.close_range(3 + self.job.preserve_fds)

    def wait_for_start(self) -> None:
        """``create``: say that all is ready and sleep until somebody starts us."""
        start = self.job.start
        if start is None:
            return
        self.job.channel.send(channel.READY)
        self.job.channel.close()
        self.job.channel = start
        if start.receive() != channel.GO:
            os._exit(1)

    def start_container_hooks(self) -> None:
        """startContainer runs in the container, as the container's user."""
        hooks = self.job.spec.hooks
        if hooks is not None and hooks.start_container:
            from lading.runtime.hooks import run_all

            run_all(self.kernel, "startContainer", hooks.start_container, self.job.state)

    def execute(self) -> None:
        """The last call."""
        if self.process is None:
            raise InvalidInput("the configuration has no process to start")
        execute(self.kernel, self.path, self.process)


def become(kernel: Kernel, job: Job) -> NoReturn:
    """Run in the new process: set up, execute, or tell the creator why not. Never returns, never raises."""
    init = Init(kernel, job)
    try:
        init.run()
    except BaseException as error:
        try:
            job.channel.send(channel.encode_error(error))
        except BaseException:
            pass
    os._exit(1)


# -- shared with exec into a running container


def place_streams(kernel: Kernel, stdio: Stdio) -> None:
    """Make the given descriptors 0, 1 and 2, whatever numbers they have now."""
    wanted = [stdio.stdin, stdio.stdout, stdio.stderr]
    null = -1
    for index, fd in enumerate(wanted):
        if fd < 0:
            if null < 0:
                null = kernel.open("/dev/null", os.O_RDWR)
            wanted[index] = null
    # Move those that another copy would overwrite out of the way first.
    for index, fd in enumerate(wanted):
        if fd < 3 and fd != index:
            wanted[index] = kernel.dup_above(fd, 10)
    for index, fd in enumerate(wanted):
        kernel.dup2(fd, index)


def limit_process(kernel: Kernel, process: Process) -> None:
    """Scheduling and rlimits."""
    security.schedule(kernel, process)
    security.set_limits(kernel, process.rlimits)


def become_user(kernel: Kernel, process: Process, setgroups: bool) -> None:
    """Identity, capabilities, umask; and the standard streams become the user's, so that /dev/stdout can be opened."""
    user = process.user
    if user.uid:
        for fd in (0, 1, 2):
            try:
                kernel.fchown(fd, user.uid, -1)
            except KernelError as error:
                if error.errno not in (1, 22, 30, 9):  # not ours, not mapped, read-only, closed
                    raise
    security.become(kernel, process, setgroups=setgroups)
    if user.umask is not None:
        kernel.umask(user.umask)


def change_directory(kernel: Kernel, path: str) -> None:
    """chdir(2) and the check that a leaked descriptor did not lead us out of the root (CVE-2024-21626)."""
    if not path.startswith("/"):
        raise InvalidInput(f"process.cwd: {path!r} is not absolute")
    try:
        kernel.chdir(path)
    except KernelError as error:
        raise InvalidInput(f"process.cwd: {path}: {os.strerror(error.errno)}") from None
    if not kernel.getcwd().startswith("/"):
        raise InvalidInput(
            f"process.cwd: {path} lies outside the container's root",
            hint="the image is hostile (CVE-2024-21626)",
            reason="escape",
        )


def load_filter(kernel: Kernel, job: Job) -> None:
    """Load the compiled seccomp filter; a listener is handed to the creator before anything else happens."""
    if not job.filter:
        return
    listener = kernel.seccomp_load(job.filter, job.filter_flags)
    from lading.kernel.seccomp import FLAG_NEW_LISTENER

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
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b"/"
        for line in os.read(fd, 1 << 20).split(b"\n"):
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
        if found.st_mode & 0o170000 != 0o040000 and os.access(path, os.X_OK):
            return path
        problem = 21 if found.st_mode & 0o170000 == 0o040000 else 13
    if problem:
        raise CommandNotExecutable(f"exec {name!r}: {os.strerror(problem)}")
    if "/" in name:
        raise CommandNotFound(f"exec {name!r}: no such file or directory")
    raise CommandNotFound(f"exec {name!r}: executable file not found in $PATH")


def execute(kernel: Kernel, path: str, process: Process) -> None:
    """Give signals back their defaults and execute. Raises a :class:`LadingError` when that fails."""
    env = environment(process)
    default_signals()
    try:
        kernel.execve(path, process.args, env)
    except OSError as error:
        raise channel.exec_error(path, error.errno or 0) from None
    raise LadingError("execve returned")


def default_signals() -> None:
    """Undo what the interpreter and our caller ignore or block: execve keeps both."""
    import _signal

    for number in range(1, 65):
        try:
            if _signal.getsignal(number) == 1:  # SIG_IGN
                _signal.signal(number, _SIG_DFL)
        except (ValueError, OSError):
            continue
    _signal.pthread_sigmask(_SIG_SETMASK, ())


def _is_bind(options: list[str]) -> bool:
    return "bind" in options or "rbind" in options


def _no_linux() -> Linux:
    from lading.formats.oci_runtime import Linux

    return Linux()
