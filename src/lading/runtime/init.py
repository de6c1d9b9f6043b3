"""The life of a container's first process from birth to execve: :class:`Init` is the list of what it does,
in order.

The order is most of the security here; ``Init.steps`` is the one place that states it, and a test holds it.
Everything is done through the :class:`~lading.kernel.Kernel` it is given and by descriptors, never by names
that the image could have prepared.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, KernelError
from lading.kernel.files import O_PATH
from lading.kernel.mounts import MOUNT_ATTR_RDONLY, MS_SLAVE
from lading.kernel.namespaces import CLONE_NEWCGROUP
from lading.kernel.paths import make_directory_inside
from lading.kernel.process import PR_SET_DUMPABLE
from lading.runtime import cgroupfs, channel, command, devices, join, masks, mounts, rootfs, security
from lading.runtime.options import PROPAGATION, is_bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from lading.formats.oci_runtime import Linux, Process
    from lading.kernel import Kernel
    from lading.runtime.job import Job


class Init:
    """Sets one container up from the inside."""

    def __init__(self, kernel: Kernel, job: Job) -> None:
        self.kernel = kernel
        self.job = job
        self.linux: Linux = job.spec.linux or _no_linux()
        self.process: Process | None = job.spec.process
        self.root_fd = -1
        self.place_fd = -1
        self.proc_fd = -1
        self.slave = -1
        self.readonly_later: list[int] = []
        self.windows: dict[str, int] = {}
        self.path = ""
        self.setgroups = True
        self.entered = False  # the working directory

    def steps(self) -> list[Callable[[], None]]:
        """Everything up to the command, in order."""
        steps: list[Callable[[], None]] = [
            self.wait_for_permission,
            self.enter_cgroup,
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
                self.forbid_imports,
                self.change_root,
            ]
        else:
            steps += [self.open_proc, self.hooks_before_pivot, self.forbid_imports, self.change_root_shared]
        steps += [self.name_host, self.set_sysctls, self.take_terminal]
        if self.process is not None:
            steps += [self.limit, self.label]
        steps.append(self.close_descriptors)
        if self.process is not None:
            steps += [
                self.filter_early,
                self.enter_directory,
                self.become_user,
                self.settle_in_directory,
                self.filter_late,
                self.find_command,
            ]
        return [*steps, self.wait_for_creator, self.wait_for_start, self.start_container_hooks]

    def run(self) -> None:
        """Take all steps, then execute the command. Returns never; raises what went wrong."""
        for step in self.steps():
            step()
        self.execute()

    # -- before anything of the container exists

    def wait_for_permission(self) -> None:
        """The creator has placed us in our cgroup and written our id maps; or it died."""
        permission = self.job.channel.receive()
        if permission not in (channel.GO, channel.GO_WITHOUT_GROUPS):
            os._exit(1)
        self.setgroups = permission == channel.GO

    def enter_cgroup(self) -> None:
        """Before anything that costs memory or makes a process; the host's own tree is still in sight."""
        if self.job.joins_cgroup_itself:
            self.job.cgroup.join()
        command.use_all_processors(self.kernel)

    def become_root_of_user_namespace(self) -> None:
        """With the maps written, be uid 0 of the user namespace rather than an unmapped nobody.

        The directory that the root goes over is opened before: it may be one that our creator alone can reach.
        """
        if self.job.plan.owns("user"):
            if "mount" in self.job.plan.new:
                self.place_fd = self.place()
            self.kernel.setresgid(0)
            self.kernel.setresuid(0)

    def forbid_inspection(self) -> None:
        """Nobody in a namespace we are about to enter may look into our memory or descriptors."""
        self.kernel.prctl(PR_SET_DUMPABLE, 0)

    def join_namespaces(self) -> None:
        """Those the helper has not joined for us, and our own cgroup namespace, now that we are in our
        cgroup."""
        plan = self.job.plan
        if not plan.needs_helper:
            if plan.joins_mount:
                command.forbid_imports()
            join.enter(self.kernel, plan.joins)
        if "cgroup" in plan.new:
            self.kernel.unshare(CLONE_NEWCGROUP)

    def new_session(self) -> None:
        """A session of our own, and a session keyring that is not the creator's."""
        self.kernel.setsid()
        if not self.job.no_new_keyring:
            command.join_keyring(self.kernel, self.job.state.id)

    def standard_streams(self) -> None:
        """Descriptors 0, 1 and 2."""
        if self.process is None or not self.process.terminal:
            stdio = self.job.stdio
            if not self.job.plan.joins_mount:  # else our creator has seen to it: here /dev is the container's
                stdio = command.with_null(self.kernel, stdio)
            command.place_streams(self.kernel, stdio)

    def loopback(self) -> None:
        """A new network namespace has its loopback interface down. Who furnishes it meanwhile sets that up, too: two at once
        would only wait for one another in the kernel."""
        if "network" in self.job.plan.new and not self.job.meanwhile:
            self.kernel.interface_up("lo")

    # -- the root

    def detach_propagation(self) -> None:
        """Mounts made here must not reach the host; what the host mounts may reach us if the configuration
        asks."""
        self.proc_fd = masks.open_proc(self.kernel)
        fd = self.kernel.open("/", O_PATH | os.O_DIRECTORY)
        name = self.linux.rootfs_propagation
        flag = PROPAGATION.get(name.removeprefix("r"), MS_SLAVE) if name else MS_SLAVE
        if flag not in (MS_SLAVE, PROPAGATION["private"]):
            flag = MS_SLAVE
        self.kernel.mount_setattr(fd, propagation=flag, recursive=True)
        self.kernel.close(fd)

    def place(self) -> int:
        """A descriptor of the directory that the root goes over."""
        return rootfs.place(self.kernel, self.job.rootfs, self._root_path(), self.job.anchor)

    def _root_path(self) -> str:
        root = self.job.spec.root
        return os.path.join(self.job.bundle, root.path) if root else ""

    def attach_root(self) -> None:
        """Assemble the root."""
        place = self.place_fd if self.place_fd >= 0 else self.place()
        self.root_fd = rootfs.attach(
            self.kernel, self.job.rootfs, self._root_path(), place, mount=self.job.root_mount
        )

    def mount_all(self) -> None:
        """``mounts`` in their order."""
        for index, mount in enumerate(self.job.spec.mounts):
            if mount.type == "cgroup":
                cgroupfs.add(self.kernel, self.root_fd, mount, self.job.cgroup, "cgroup" in self.job.plan.new)
                continue
            source = self.job.sources.get(index, -1)
            later = mount.type == "tmpfs" and "ro" in mount.options
            if later:  # further mounts, devices and the console may have to be made in it
                mount = mount.replace(options=[option for option in mount.options if option != "ro"])
            place = os.path.normpath("/" + mount.destination.lstrip("/"))
            made = mounts.add(
                self.kernel,
                self.root_fd,
                mount,
                label=self.linux.mount_label,
                source=source,
                wanted=later or place in masks.WINDOWS,
                make_way=self.job.make_way,
            )
            if place in self.windows:  # covered by this one
                self.kernel.close(self.windows.pop(place))
            if later:
                self.readonly_later.append(made)
            elif place in masks.WINDOWS:
                self.windows[place] = made
            elif made >= 0:
                self.kernel.close(made)

    def make_devices(self) -> None:
        """``/dev``."""
        bound = any(m.destination.rstrip("/") == "/dev" and is_bind(m) for m in self.job.spec.mounts)
        if not bound:
            devices.populate(self.kernel, self.root_fd, self.linux.devices, bind=self.job.plan.owns("user"))

    def hooks_before_pivot(self) -> None:
        """prestart and createRuntime run in the creator, createContainer here; all before the root
        changes."""
        hooks = self.job.spec.hooks
        if hooks is None:
            return
        self.wait_for_creator()
        if hooks.prestart or hooks.create_runtime:
            self.job.channel.send(channel.HOOKS)
            if self.job.channel.receive() != channel.GO:
                os._exit(1)
        if hooks.create_container:
            from lading.runtime.hooks import run_all

            run_all(
                self.kernel,
                "createContainer",
                hooks.create_container,
                self.job.state,
                directory=f"/proc/self/fd/{self.root_fd}" if self.root_fd >= 0 else self.job.bundle,
            )

    def open_console(self) -> None:
        """A pty of the container's own devpts; its master goes to whoever asked."""
        if self.process is None or not self.process.terminal:
            return
        from lading.runtime import console

        master, self.slave = console.open_pty(
            self.kernel, self.root_fd, self.process.console_size, plain_lines=self.job.plain_lines
        )
        self.kernel.fchown(self.slave, self.process.user.uid, -1)
        console.bind_console(self.kernel, self.root_fd, self.slave)
        console.send_master(self.job.console_fd, master)
        self.kernel.close(master)

    def protect_paths(self) -> None:
        """Masks and read-only paths, while the host's null device is still in sight; then the root itself."""
        for fd in self.readonly_later:
            self.kernel.mount_setattr(fd, set_=MOUNT_ATTR_RDONLY)
            self.kernel.close(fd)
        guard = masks.Guard(self.kernel, self.root_fd, self.windows)
        for path in self.linux.readonly_paths:
            guard.make_readonly(path)
        for path in self.linux.masked_paths:
            guard.mask(path)
        for fd in self.windows.values():
            self.kernel.close(fd)

    def make_cwd(self) -> None:
        """The working directory is made when the image has none; then a read-only root is made so."""
        if self.process is not None and self.process.cwd not in ("", "/") and self.job.make_cwd:
            try:
                self.kernel.close(make_directory_inside(self.kernel, self.root_fd, self.process.cwd))
            except KernelError as error:
                if error.errno == 40:  # a link into /proc, or in a circle
                    raise KernelError(f"process.cwd: {error.call}", 40) from None
                if error.errno not in (1, 13, 20, 30):  # told better when we change into it
                    raise
        if self.job.spec.root and self.job.spec.root.readonly:
            self.kernel.mount_setattr(self.root_fd, set_=MOUNT_ATTR_RDONLY)

    def forbid_imports(self) -> None:
        """From here on a module file would be the image's."""
        command.forbid_imports()

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
        """``linux.sysctl``; some are those of an interface."""
        if self.linux.sysctl:
            self.wait_for_creator()
        masks.set_sysctls(self.kernel, self.proc_fd, self.linux.sysctl)

    def take_terminal(self) -> None:
        """The pty becomes the controlling terminal."""
        if self.slave >= 0:
            from lading.runtime.console import take_terminal

            take_terminal(self.kernel, self.slave)

    # -- the process

    def limit(self) -> None:
        """Personality, scheduling, memory policy, rlimits: while we still may."""
        assert self.process is not None
        command.limit_process(self.kernel, self.process, self.linux)

    def label(self) -> None:
        """AppArmor and SELinux."""
        assert self.process is not None
        security.set_label(self.kernel, self.proc_fd, self.process)

    def filter_early(self) -> None:
        """Without no_new_privs the filter needs CAP_SYS_ADMIN: now or never."""
        assert self.process is not None
        if not self.process.no_new_privileges:
            command.load_filter(self.kernel, self.job)

    def enter_directory(self) -> None:
        """The working directory, as root if need be."""
        assert self.process is not None
        self.entered = command.enter_directory(self.kernel, self.process.cwd or "/")

    def become_user(self) -> None:
        """User, groups, capabilities, umask."""
        assert self.process is not None
        command.become_user(self.kernel, self.process, self.setgroups)

    def settle_in_directory(self) -> None:
        """The working directory must lie inside the root."""
        assert self.process is not None
        command.settle_in_directory(self.kernel, self.process.cwd or "/", self.entered)

    def filter_late(self) -> None:
        """With no_new_privs the filter comes as late as possible."""
        assert self.process is not None
        if self.process.no_new_privileges:
            security.no_new_privileges(self.kernel)
            command.load_filter(self.kernel, self.job)

    def find_command(self) -> None:
        """The file to execute, so that a missing one is an error of ``create`` already."""
        assert self.process is not None
        self.path = command.find_command(self.process)

    def close_descriptors(self) -> None:
        """Whatever the creator had open stays here: all but the standard streams and those asked for."""
        command.close_descriptors(self.kernel, self.job)

    def wait_for_creator(self) -> None:
        """What the creator does meanwhile (the network) is there from the command's first instruction on, and from the
        first hook's."""
        if self.job.meanwhile:
            self.job.meanwhile = False
            self.job.channel.send(channel.MEANWHILE)
            if self.job.channel.receive() != channel.GO:
                os._exit(1)

    def wait_for_start(self) -> None:
        """``create``: say that all is ready and sleep until somebody starts us."""
        start = self.job.start
        if start is None:
            return
        command.end_on_signals()
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

            inherited = command.environment(self.process) if self.process is not None else {}
            run_all(self.kernel, "startContainer", hooks.start_container, self.job.state, inherited=inherited)

    def execute(self) -> None:
        """The last call."""
        if self.process is None:
            raise InvalidInput("the configuration has no process to start")
        command.execute(self.kernel, self.path, self.process)


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


def _no_linux() -> Linux:
    from lading.formats.oci_runtime import Linux

    return Linux()
