"""A mount of type ``cgroup``: the container's own control groups below ``/sys/fs/cgroup``.

With a cgroup namespace of its own the container gets a fresh view, rooted where it is; without one its own group is
bound. On v1 and hybrid that is one directory a hierarchy in a small tmpfs. Writable v1 hierarchies are how CVE-2022-0492
was used (``release_agent``); ``ro`` in the options makes every one of them read-only, not the tmpfs alone.
"""

from __future__ import annotations

import os

from lading.errors import KernelError, Unsupported
from lading.kernel.mounts import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
)
from lading.kernel.paths import make_directory_inside
from lading.runtime import procmounts
from lading.runtime.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.oci_runtime import Mount
    from lading.kernel import Kernel
    from lading.kernel.cgroups import Layout
    from lading.runtime.resources import CgroupHandle

_ALWAYS = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


def add(kernel: Kernel, root_fd: int, mount: Mount, group: CgroupHandle, own_namespace: bool) -> None:
    """Make the mount. Raises :class:`Unsupported` without a group to show, :class:`KernelError` naming the destination."""
    from lading.kernel.cgroups import detect

    options = Options(mount.options)
    layout = detect()
    target = make_directory_inside(kernel, root_fd, mount.destination)
    try:
        procmounts.check_target(kernel, root_fd, mount, target)
        if layout.mode == "v2":
            made = _unified(kernel, layout, group, own_namespace, options.set)
        else:
            made = _hybrid(kernel, layout, group, own_namespace, options)
        kernel.move_mount(made, target)
        for flag, recursive in options.propagation:
            kernel.mount_setattr(made, propagation=flag, recursive=recursive)
        if layout.mode != "v2":
            _fill(kernel, made, layout, group, own_namespace, options.set & ~MOUNT_ATTR_RDONLY)
            # Only now: the directories above had to be made in it.
            if options.set & MOUNT_ATTR_RDONLY:
                kernel.mount_setattr(made, set_=MOUNT_ATTR_RDONLY, recursive=True)
        kernel.close(made)
    except KernelError as error:
        raise KernelError(
            f"mount on {mount.destination}: {error.call}", error.errno, hint=error.hint
        ) from None
    finally:
        kernel.close(target)


def _unified(
    kernel: Kernel, layout: Layout, group: CgroupHandle, own_namespace: bool, attributes: int
) -> int:
    if own_namespace:
        try:
            return kernel.new_filesystem("cgroup2", "cgroup", [], attributes)
        except KernelError as error:
            if error.errno not in (1, 16):  # EPERM, EBUSY: not ours to mount, so show what is there
                raise
    assert layout.unified is not None
    return _bound(kernel, layout.unified.directory(_path(group)), attributes)


def _bound(kernel: Kernel, directory: str, attributes: int) -> int:
    made = kernel.open_tree(directory, OPEN_TREE_CLONE)
    kernel.mount_setattr(made, set_=attributes)
    return made


def _path(group: CgroupHandle) -> str:
    if not group.path:
        raise Unsupported(
            "a mount of type cgroup needs a control group or a cgroup namespace", reason="no-cgroup"
        )
    return group.path


def _hybrid(
    kernel: Kernel, layout: Layout, group: CgroupHandle, own_namespace: bool, options: Options
) -> int:
    return kernel.new_filesystem("tmpfs", "tmpfs", [("mode", "755")], options.set & ~MOUNT_ATTR_RDONLY)


def _fill(
    kernel: Kernel, tmpfs: int, layout: Layout, group: CgroupHandle, own_namespace: bool, attributes: int
) -> None:
    seen: set[str] = set()
    for hierarchy in layout.v1.values():
        if hierarchy.mount in seen:
            continue
        seen.add(hierarchy.mount)
        name = os.path.basename(hierarchy.mount)
        if own_namespace:
            words: list[tuple[str, str | None]] = []
            for controller in hierarchy.controllers:
                key, equals, value = controller.partition("=")
                words.append((key, value) if equals else (key, None))
            kernel.mkdirat(tmpfs, name, 0o755)
            if not kernel.mount_on(tmpfs, "cgroup", "cgroup", words, attributes | _ALWAYS, name):
                _attach(
                    kernel,
                    tmpfs,
                    name,
                    kernel.new_filesystem("cgroup", "cgroup", words, attributes | _ALWAYS),
                )
        else:
            directory = hierarchy.directory(_path(group))
            if not os.path.isdir(directory):
                continue  # a hierarchy that this container has no group in
            kernel.mkdirat(tmpfs, name, 0o755)
            _attach(kernel, tmpfs, name, _bound(kernel, directory, attributes | _ALWAYS))
        for controller in hierarchy.controllers:
            if "=" not in controller and controller != name:
                kernel.symlinkat(name, tmpfs, controller)
    if layout.unified is not None and own_namespace:
        name = os.path.basename(layout.unified.mount)
        kernel.mkdirat(tmpfs, name, 0o755)
        if not kernel.mount_on(tmpfs, "cgroup2", "cgroup", [], attributes | _ALWAYS, name):
            made = kernel.new_filesystem("cgroup2", "cgroup", [], attributes | _ALWAYS)
            _attach(kernel, tmpfs, name, made)


def _attach(kernel: Kernel, tmpfs: int, name: str, made: int) -> None:
    target = make_directory_inside(kernel, tmpfs, name)
    kernel.move_mount(made, target)
    kernel.close(target)
    kernel.close(made)
