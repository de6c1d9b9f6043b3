"""Namespaces that outlive the containers of a pod that share them: held open by the keeper, made without a process.

The keeper's one thread steps into new IPC and UTS namespaces and back; the descriptors keep them alive. A PID namespace
cannot be held that way: its first process is a pause process, a child of the keeper that only reaps orphans.
"""

from __future__ import annotations

import os

from lading.errors import KernelError, LadingError
from lading.kernel.process import PR_SET_PDEATHSIG
from lading.kernel.title import entitle
from lading.node import etcfiles, memory
from lading.node.shop import alive, process_start, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.kernel import Kernel
    from lading.node.runner import PodRunner
    from lading.node.shop import Shop
    from lading.node.spec import Surroundings

_NEWUTS, _NEWIPC, _NEWPID, _NEWNS = 0x04000000, 0x08000000, 0x20000000, 0x00020000
_NOBODY = 65534


class Holder:
    """What the containers of one pod share beside the network."""

    def __init__(self, runner: PodRunner) -> None:
        self.runner = runner
        self.spaces: dict[str, int] = {}
        self.pause_pid = 0
        self.shm = ""

    def open(self) -> None:
        """Make the namespaces and memory volumes that the pod asks for."""
        runner = self.runner
        record, shop = runner.record, runner.shop
        spec = record.pod.spec
        flags = {}
        if not spec.host_ipc and not spec.extras.ipc_mode:
            flags["ipc"] = _NEWIPC
        if not spec.host_network and not spec.extras.uts_mode:
            flags["uts"] = _NEWUTS
        if flags:
            self._make(shop.kernel, flags, etcfiles.hostname(record.pod, record.id))
        if "ipc" in flags:
            self.shm = memory.mount(shop, record.id, memory.SHM, memory.shared_options(record))
        fs_group = spec.security_context.fs_group if spec.security_context is not None else None
        for volume in spec.volumes:
            if volume.empty_dir is not None and volume.empty_dir.medium == "Memory":
                how = memory.options(volume.empty_dir, fs_group, record.users)
                memory.mount(shop, record.id, volume.name, how)
        if spec.share_process_namespace:
            self._pause(shop.kernel)

    def _make(self, kernel: Kernel, flags: dict[str, int], hostname: str) -> None:
        if self.runner.record.pod.spec.host_users is False:
            from lading.node import podusers

            self.spaces.update(podusers.spaces(self.runner, flags, hostname))
            return
        if self.runner.shop.roots.uid:
            from lading.node.spaces import by_child

            self.spaces.update(by_child(kernel, self.runner.record.name, flags, hostname=hostname))
            return
        home = {kind: os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in flags}
        try:
            wanted = 0
            for flag in flags.values():
                wanted |= flag
            kernel.unshare(wanted)
            try:
                if "uts" in flags:
                    kernel.sethostname(hostname)
                for kind in flags:
                    self.spaces[kind] = os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            finally:
                for kind, flag in flags.items():
                    kernel.setns(home[kind], flag)
        finally:
            for fd in home.values():
                os.close(fd)

    def _pause(self, kernel: Kernel) -> None:
        directory = self.runner.shop.pod_directory(self.runner.record.id)
        empty = f"{directory}/empty"
        os.makedirs(empty, 0o755, exist_ok=True)
        ready, go = os.pipe2(os.O_CLOEXEC)

        def pause() -> None:
            os.close(go)
            entitle(f"lading-pause {self.runner.record.name}")
            _become_pause(kernel, empty, ready)

        try:
            pid = self.pause_pid = self._bear(kernel, pause)
            # Until it is written down, the pause process dies with us; afterwards repair finds it.
            _note(f"{directory}/pause", f"{pid} {process_start(pid)}")
            # Before it goes on: once it has dropped its rights an ordinary user may not look at it any more (ptrace(2)).
            self.spaces["pid"] = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            os.write(go, b"1")
        finally:
            os.close(ready)
            os.close(go)  # without a word on it, it ends

    def _bear(self, kernel: Kernel, pause: Callable[[], None]) -> int:
        """The pid of a child that runs ``pause`` as the first process of new namespaces."""
        if self.runner.record.pod.spec.host_users is False:
            from lading.node import podusers

            return podusers.bear(self.runner, _NEWPID | _NEWNS, pause)
        pid = kernel.clone(_NEWPID | _NEWNS)
        if pid == 0:
            try:
                pause()
            finally:
                os._exit(1)
        return pid

    def join(self, around: Surroundings) -> None:
        """Let a container join what is held."""
        for kind, fd in self.spaces.items():
            around.joined[kind] = f"/proc/self/fd/{fd}"
        if self.runner.record.pod.spec.host_network:
            around.shared.add("uts")
        around.shm_source = self.shm

    def close(self) -> None:
        """Let go of everything."""
        for fd in self.spaces.values():
            os.close(fd)
        self.spaces.clear()
        if self.pause_pid:
            try:
                if os.waitpid(self.pause_pid, os.WNOHANG)[0] == 0:
                    os.kill(self.pause_pid, 9)
                    os.waitpid(self.pause_pid, 0)
            except ChildProcessError:
                # Born of a keeper that was killed: it may have ended long ago, and its number be somebody else's.
                kill_recorded_pause(self.runner.shop, self.runner.record.id)
            self.pause_pid = 0
        memory.unmount_all(self.runner.shop, self.runner.record.id)


def recorded_pause(shop: Shop, pod_id: str) -> int:
    """The pid of a pod's pause process while it lives; 0 otherwise."""
    pid, start = _recorded(shop, pod_id)
    return pid if alive(pid, start) else 0


def kill_recorded_pause(shop: Shop, pod_id: str) -> None:
    """End it, if it lives."""
    send_signal(shop.kernel, *_recorded(shop, pod_id), 9)


def _recorded(shop: Shop, pod_id: str) -> tuple[int, int]:
    try:
        with open(f"{shop.pod_directory(pod_id)}/pause") as stream:
            pid, start = stream.read(64).split()
        return int(pid), int(start)
    except (OSError, ValueError):
        return 0, 0


def _note(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _drop_rights(kernel: Kernel) -> None:
    """Be nobody; in a user namespace that has no other id than ours, be without rights."""
    try:
        kernel.setgroups([])
        kernel.setresgid(_NOBODY)
        kernel.setresuid(_NOBODY)
    except KernelError:
        kernel.capset(0, 0, 0)


def _become_pause(kernel: Kernel, empty: str, ready: int) -> None:
    """Be pid 1 of a pod: no files, no rights, no descriptors; reap what is orphaned until killed."""
    import _signal  # type: ignore[import-not-found]

    for number in range(1, 65):
        if number not in (9, 17, 19, 32, 33):
            try:
                _signal.signal(number, _signal.SIG_IGN)
            except (OSError, ValueError):
                continue
    _signal.signal(17, _signal.SIG_DFL)
    kernel.prctl(PR_SET_PDEATHSIG, 9)
    if not os.read(ready, 1):
        os._exit(1)
    kernel.prctl(PR_SET_PDEATHSIG, 0)  # recorded: the pod lives on without its keeper
    os.chroot(empty)
    os.chdir("/")
    os.closerange(0, max(4096, os.sysconf("SC_OPEN_MAX")))  # a keeper of many pods has more
    try:
        _drop_rights(kernel)
        kernel.prctl(4, 0)
    except LadingError:
        os._exit(1)
    while True:
        _signal.sigwait([17])
        try:
            while os.waitpid(-1, 1)[0]:
                pass
        except ChildProcessError:
            pass
