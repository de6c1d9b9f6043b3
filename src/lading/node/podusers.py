"""A pod with users of its own (``hostUsers: false``): its user namespace, and what of its containers lies in it.

The keeper makes the namespace before anything else of the pod and holds it by a descriptor; nothing is mounted, no process
stays. The pod's other namespaces are made by a process in it, so that they are its root's to change. It is found again by
what it owns: the network namespace that a keeper hands on, or a container's process.

On the disk everything keeps the ids that the container sees: layers, the writable directory and volumes are shown to it by
idmapped mounts. So nothing is copied or given away, and commit, diff, export and other pods see what they always see.
"""

from __future__ import annotations

import os

from lading.errors import InvalidInput, Unsupported
from lading.kernel import idmap
from lading.kernel.namespaces import CLONE_NEWUSER
from lading.node import idranges, memory
from lading.node.idranges import SIZE
from lading.node.shop import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lading.formats.oci_runtime import Mount, Spec, User
    from lading.formats.pod import Container, Pod
    from lading.kernel import Kernel
    from lading.node.runner import PodRunner
    from lading.node.shop import Shop
    from lading.node.spec import Surroundings
    from lading.runtime import Stdio

_FIFO = 0o010000
#: Files of the host that have no owner's part in what they do; no file system of devices can be shown with other ids.
_EVERYBODY_S = ("/dev/null",)


def check(shop: Shop, pod: Pod) -> None:
    """Raise :class:`Unsupported`, or :class:`Refused`, for a pod that cannot have users of its own here."""
    from lading.node import admission_report, admission_users

    if shop.roots.uid:
        raise Unsupported(
            "spec.hostUsers: false: an ordinary user has no ranges of users to give to pods",
            hint="leave it out: such pods are in a user namespace already, their user's own",
        )
    admission_report.demand(admission_users.check, pod)


def namespace(runner: PodRunner) -> int:
    """A descriptor of the pod's user namespace: made now, or found again. The runner keeps it."""
    if runner.users < 0:
        runner.users = _found(runner)
    if runner.users < 0:
        first = idranges.take(runner.shop.records.database, runner.record.id)
        rows = [(0, first, SIZE)]
        runner.users = idmap.user_namespace(runner.shop.kernel, rows, rows)
    return runner.users


def close(runner: PodRunner) -> None:
    """Let go of the user namespace."""
    if runner.users >= 0:
        os.close(runner.users)
        runner.users = -1


def _found(runner: PodRunner) -> int:
    """The namespace of a pod that some keeper began: what the pod shares belongs to it, and no other would do."""
    attachment = runner.attachment
    if attachment is not None and attachment.namespace >= 0:
        return runner.shop.kernel.namespace_owner(attachment.namespace)
    for made in runner.record.containers:
        if alive(made.pid, made.pid_start):
            try:
                found = os.open(f"/proc/{made.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # it has ended
            if alive(made.pid, made.pid_start):
                return found
            os.close(found)  # whose it was nobody knows: its number may have become a process of the host's
    return -1


def spaces(runner: PodRunner, kinds: Collection[str], hostname: str = "") -> dict[str, int]:
    """Descriptors of new namespaces that belong to the pod's users, as :func:`lading.node.spaces.by_child` makes them."""
    from lading.node.spaces import by_child

    return by_child(runner.shop.kernel, runner.record.name, kinds, hostname=hostname, users=namespace(runner))


def bear(runner: PodRunner, flags: int, child: Callable[[], None]) -> int:
    """The pid of a new child of this process that runs ``child`` in the pod's user namespace and in new ones of ``flags``."""
    from lading.kernel.namespaces import CLONE_PARENT
    from lading.runtime.helper import through_helper

    kernel, users = runner.shop.kernel, namespace(runner)

    def work(tell: int) -> None:
        kernel.setns(users, CLONE_NEWUSER)
        pid = kernel.clone(flags | CLONE_PARENT)
        if pid == 0:
            try:
                os.close(tell)
                child()
            finally:
                os._exit(1)
        os.write(tell, str(pid).encode())

    return through_helper(kernel, work)


# -- one container ---------------------------------------------------------------------------------------------------


def enter(runner: PodRunner, container: Container, spec: Spec, around: Surroundings) -> None:
    """Let a container's spec join the user namespace, and show it its files with the ids that it has there.

    Raises :class:`InvalidInput` for an id beyond the pod's, :class:`Unsupported` naming a volume that cannot be shown so.
    """
    from lading.formats.oci_runtime import Linux, Namespace

    pod = runner.record.pod
    linux = spec.linux = spec.linux or Linux()
    if pod.spec.extras.pod:
        from lading.node import joining

        path = f"/proc/{joining.other_process(runner.shop, pod.spec.extras.pod, 'users')}/ns/user"
    else:
        path = f"/proc/self/fd/{namespace(runner)}"
    linux.namespaces.append(Namespace(type="user", path=path))
    if spec.process is not None:
        _within(container, spec.process.user)
    names = _names(container)
    users = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for mount in spec.mounts:
            if mount.source in _EVERYBODY_S or (around.init and mount.source == around.init):
                continue  # everybody may use it, and nobody is to change it
            if _is_bind(mount) and not memory.is_volume(runner.shop, mount.source):
                _show(runner.shop.kernel, mount, names.get(_clean(mount.destination), ""), users)
    finally:
        os.close(users)
    _bind_devices(container, spec)


def _is_bind(mount: Mount) -> bool:
    return mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options


def _show(kernel: Kernel, mount: Mount, name: str, users: int) -> None:
    recursive = "rbind" in mount.options
    if name:  # else the runtime says which mount it is
        _try(kernel, mount, name, users, recursive)
    mount.options = [*mount.options, "ridmap" if recursive else "idmap"]


def _try(kernel: Kernel, mount: Mount, name: str, users: int, recursive: bool) -> None:
    """Whether it can be done, for an error that says which volume it cannot be done for."""
    from lading.kernel.mounts import AT_RECURSIVE, OPEN_TREE_CLONE

    tree = kernel.open_tree(mount.source, OPEN_TREE_CLONE | (AT_RECURSIVE if recursive else 0))
    try:
        place = "" if mount.source.startswith("/proc/self/fd/") else f" ({mount.source})"
        idmap.show(kernel, tree, users, f"volume {name}{place}", recursive=recursive)
    finally:
        os.close(tree)


def _names(container: Container) -> dict[str, str]:
    """What the volumes are called, by where they are mounted."""
    made = {_clean(wanted.mount_path): wanted.name for wanted in container.volume_mounts}
    for bind in container.extras.mounts:
        made[_clean(bind.target)] = bind.volume or bind.source
    return made


def _clean(path: str) -> str:
    return os.path.normpath("/" + path.lstrip("/"))


def _within(container: Container, user: User) -> None:
    for word, number in (
        ("user", user.uid),
        ("group", user.gid),
        *(("group", g) for g in user.additional_gids),
    ):
        if number >= SIZE:
            raise InvalidInput(
                f"container {container.name}: {word} {number} is beyond the {SIZE} users of its pod",
                hint="choose one below, or let the pod have the host's users",
            )


def _bind_devices(container: Container, spec: Spec) -> None:
    """Nodes cannot be made in a user namespace: the host's own are shown, with the host's owner and mode."""
    from lading.formats.oci_runtime import Mount

    assert spec.linux is not None
    wanted = [device.path for device in container.extras.devices]
    for device, source in zip(spec.linux.devices, wanted, strict=False):
        spec.mounts.append(
            Mount(
                destination=device.path,
                type="bind",
                source=source,
                options=["bind", "ro", "nosuid", "noexec", "rprivate"],
            )
        )
    spec.linux.devices = []


# -- what is the keeper's, and has to be the pod's -------------------------------------------------------------------


def give_pipes(stdio: Stdio, owner: int) -> None:
    """Let the pod's root, ``owner`` on the host, have those streams that are pipes, as root of the host has a pod's otherwise.

    It could not open its own ``/dev/stdout`` else, nor give it to a user.
    """
    for fd in (stdio.stdin, stdio.stdout, stdio.stderr):
        if fd >= 0 and os.fstat(fd).st_mode & 0o170000 == _FIFO:
            os.fchown(fd, owner, owner)
