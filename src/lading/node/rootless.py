"""An ordinary user's way in: become root of a user namespace of one's own before touching anything.

``enter`` moves *this* process, so that the container's parent is still the command the user typed. With a range in
subuid(5) and ``newuidmap`` all of an image's owners exist; without either, one id does, files of other owners belong to it
and ``setgroups`` is forbidden. Everything below works as root of that namespace.

All of a user's commands share one namespace, because only its members may signal, trace or enter each other's containers. A small
*holder* process keeps it between commands; it ends by itself soon after the last other member has gone. Who comes joins the
holder's namespaces; who is first makes them, under a lock, so that two first commands agree.

Sources: user_namespaces(7), newuidmap(1), subuid(5), setns(2).
"""

from __future__ import annotations

import os
import time

from lading.errors import Denied, KernelError, LadingError
from lading.kernel import title, userns
from lading.kernel.mounts import MS_REC, MS_SLAVE
from lading.kernel.namespaces import CLONE_NEWNS, CLONE_NEWUSER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel
    from lading.kernel.idmap import Map
    from lading.roots import Roots

#: Tells processes that we start whose roots they work on; inside the namespace every id looks like root's.
UID_VARIABLE = "LADING_ROOTLESS_UID"
_EPERM, _ENOSPC, _EUSERS = 1, 28, 87
#: Seconds between the holder's looks for other members.
_LOOK = 5.0


def enter(roots: Roots, kernel: Kernel) -> None:
    """Move this process into the user's namespaces, as their root. Does nothing for the machine's root.

    Must be called before any other thread exists. Raises :class:`Denied` when the machine forbids user namespaces.
    """
    if os.geteuid() == 0:
        return
    _private_directories(roots, os.geteuid())
    os.environ[UID_VARIABLE] = str(roots.uid)
    lock = _lock(f"{roots.run}/userns.lock")
    try:
        path = f"{roots.run}/userns"
        if not _join(kernel, path):
            _make(kernel)
            _hold(path, lock)
    finally:
        os.close(lock)
    userns.entered()


def _private_directories(roots: Roots, uid: int) -> None:
    _private_directory(roots.run, uid)
    home = f"/tmp/lading-home-{uid}"
    if roots.data.startswith(home + "/"):  # who has no HOME: anybody could have made it
        _private_directory(home, uid)


def _private_directory(path: str, uid: int) -> None:
    """Make a root, and refuse one that somebody else prepared (it may lie below /tmp)."""
    os.makedirs(path, 0o700, exist_ok=True)
    found = os.lstat(path)
    if found.st_uid != uid or found.st_mode & 0o170022 != 0o040000:
        raise Denied(
            f"{path} does not belong to this user alone",
            hint="remove it, or set HOME and XDG_RUNTIME_DIR to directories of your own",
        )


def _lock(path: str) -> int:
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _start_time(pid: int) -> str:
    """Field 22 of proc(5)'s stat: tells a process from a later one of the same number; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""


def _join(kernel: Kernel, path: str) -> bool:
    """Enter the namespaces of the holder that ``path`` names; False when there is none."""
    try:
        with open(path) as file:
            pid, _, started = file.read().partition(" ")
    except FileNotFoundError:
        return False
    if not pid.isdigit() or _start_time(int(pid)) != started:
        return False
    opened = []
    try:
        for kind in ("user", "mnt"):
            opened.append(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
        kernel.setns(opened[0], CLONE_NEWUSER)
    except OSError:
        return False  # it ended just now
    except KernelError as error:
        raise Denied(f"joining this user's namespace of process {pid} failed: {error.message}") from None
    else:
        working = os.getcwd()
        kernel.setns(opened[1], CLONE_NEWNS)
        _return_to(working)
        return True
    finally:
        for fd in opened:
            os.close(fd)


def _return_to(working: str) -> None:
    # Joining a mount namespace moves the working directory to its root.
    try:
        os.chdir(working)
    except OSError:
        pass


def _make(kernel: Kernel) -> None:
    """Make the namespaces around this process. A child that stays outside writes the maps."""
    uid, gid = os.geteuid(), os.getegid()
    uids, gids = _maps(uid, gid)
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    answer_read, answer_write = os.pipe2(os.O_CLOEXEC)
    target = os.getpid()
    child = os.fork()
    if child == 0:
        words = b"interrupted"
        try:
            os.close(ready_write)
            if os.read(ready_read, 1):
                from lading.kernel import idmap

                idmap.write(kernel, target, uids, gids)
                words = b""
        except LadingError as error:
            words = str(error).encode()
        except BaseException as error:
            words = repr(error).encode()
        finally:
            os.write(answer_write, words or b"\0")
            os._exit(0)
    os.close(ready_read)
    os.close(answer_write)
    try:
        try:
            kernel.unshare(CLONE_NEWUSER)
        except KernelError as error:
            raise _refused(error) from None
        os.write(ready_write, b"g")
        said = os.read(answer_read, 4000)
    finally:
        os.close(ready_write)
        os.close(answer_read)
        os.waitpid(child, 0)
    if said != b"\0":
        raise Denied(f"this user's ids could not be mapped: {said.decode(errors='replace')}", reason="idmap")
    if len(uids) > 1:
        kernel.setresgid(0)
        kernel.setresuid(0)
        kernel.setgroups([])
    kernel.unshare(CLONE_NEWNS)
    # What the host mounts later still arrives here; nothing of ours goes back.
    kernel.mount("", "/", "", MS_REC | MS_SLAVE)


def _refused(error: KernelError) -> Denied:
    if error.errno == _EPERM:
        hint = "allow it: sysctl kernel.unprivileged_userns_clone=1, or user.max_user_namespaces, or AppArmor's restriction"
    elif error.errno in (_ENOSPC, _EUSERS):
        hint = "raise sysctl user.max_user_namespaces"
    else:
        hint = "run as root instead"
    return Denied(f"this machine refuses user namespaces to ordinary users ({error.message})", hint=hint)


def _maps(uid: int, gid: int) -> tuple[Map, Map]:
    """What to map: oneself to root and the ranges of subuid(5) and subgid(5) after it, or oneself alone."""
    from lading.kernel.idmap import granted

    uids, gids = granted(uid)
    if not uids or not gids or not _found("newuidmap") or not _found("newgidmap"):
        return [(0, uid, 1)], [(0, gid, 1)]
    return [(0, uid, 1), *_stacked(uids)], [(0, gid, 1), *_stacked(gids)]


def _stacked(ranges: list[tuple[int, int]]) -> Map:
    inside, rows = 1, []
    for first, count in ranges:
        rows.append((inside, first, count))
        inside += count
    return rows


def _found(program: str) -> bool:
    return any(
        os.access(f"{d}/{program}", os.X_OK) for d in os.environ.get("PATH", "/usr/bin:/bin").split(":") if d
    )


def _hold(path: str, lock: int) -> None:
    """Start the holder and record it. Called under the lock, inside the new namespaces."""
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        try:
            if os.fork() == 0:
                os.close(lock)
                _be_holder(path, ready_write)
        finally:
            os._exit(0)
    os.close(ready_write)
    os.waitpid(middle, 0)
    os.read(ready_read, 1)
    os.close(ready_read)


def _be_holder(path: str, ready: int) -> None:
    try:
        os.setsid()
        os.chdir("/")
        title.entitle("lading-holder")
        fresh = f"{path}.{os.getpid()}"
        with open(fresh, "w") as file:
            file.write(f"{os.getpid()} {_start_time(os.getpid())}")
        os.rename(fresh, path)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.write(ready, b"r")
        os.closerange(3, 1024)
        while True:
            time.sleep(_LOOK)
            if not _others():
                os.unlink(path)
                time.sleep(0.05)  # whoever read the record just before has joined by now
                if not _others():
                    return
                with open(path, "w") as file:
                    file.write(f"{os.getpid()} {_start_time(os.getpid())}")
    finally:
        os._exit(0)


def _others() -> bool:
    """Whether any other process is in this user namespace or one below it that still shows itself here."""
    own = os.readlink("/proc/self/ns/user")
    me = str(os.getpid())
    for pid in os.listdir("/proc"):
        if pid.isdigit() and pid != me:
            try:
                if os.readlink(f"/proc/{pid}/ns/user") == own and not _is_zombie(pid):
                    return True
            except OSError:
                continue
    return False


def _is_zombie(pid: str) -> bool:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")


def info() -> dict[str, object]:
    """What :func:`enter` found or made: whether this is a user namespace, and how many ids it has."""
    return {"rootless": userns.inside(), "ids": sum(row[2] for row in userns.own_map())}
