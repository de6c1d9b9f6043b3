"""User-namespace maps (user_namespaces(7)): written directly where the kernel lets us, else by the setuid helpers.

A map is a list of ``(inside, outside, length)``.
"""

from __future__ import annotations

import os

from lading.errors import Denied, InvalidInput, KernelError, Unsupported
from lading.kernel.mounts import MOUNT_ATTR_IDMAP
from lading.kernel.namespaces import CLONE_NEWUSER
from lading.kernel.process import PR_SET_PDEATHSIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.kernel import Kernel

Map = list[tuple[int, int, int]]
_SIGKILL, _SIGSTOP = 9, 19
_LINES = 340  # the kernel's limit


def check(ids: Map, what: str) -> None:
    """Refuse maps that the kernel would: empty, too long, overlapping, out of range. ``what`` names the field."""
    if not ids or len(ids) > _LINES:
        raise InvalidInput(f"{what}: from 1 to {_LINES} ranges are possible, not {len(ids)}")
    for side in (0, 1):
        end = -1
        for row in sorted(ids, key=lambda r: r[side]):
            if row[2] <= 0 or row[side] < 0 or row[side] + row[2] > 0xFFFFFFFF:
                raise InvalidInput(f"{what}: the range {row[0]} {row[1]} {row[2]} is empty or too large")
            if row[side] <= end:
                raise InvalidInput(f"{what}: ranges overlap at {row[side]}")
            end = row[side] + row[2] - 1


def subordinate(path: str, name: str, id: int) -> list[tuple[int, int]]:
    """(first, count) of each range that ``path`` (subuid(5), subgid(5)) gives a user, by name or by number.

    Of ranges that overlap, which the kernel takes no map of, the later ones get what the earlier ones leave.
    """
    found: list[tuple[int, int]] = []
    try:
        with open(path) as file:
            for line in file:
                fields = line.strip().split(":")
                if len(fields) != 3 or fields[0] not in (name, str(id)) or not fields[0]:
                    continue
                if fields[1].isdigit() and fields[2].isdigit():
                    found += _beside(found, int(fields[1]), int(fields[2]))
    except OSError:
        pass
    return found[: _LINES - 1]  # one's own id has a line, too


def granted(uid: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The :func:`subordinate` ranges of uids and of gids of the user ``uid``."""
    import pwd

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    return subordinate("/etc/subuid", name, uid), subordinate("/etc/subgid", name, uid)


def _beside(taken: list[tuple[int, int]], first: int, count: int) -> list[tuple[int, int]]:
    """The parts of a range that are in none of ``taken``."""
    left, end = [], first + count
    for start, length in sorted(taken):
        if start + length <= first or start >= end:
            continue
        if start > first:
            left.append((first, start - first))
        first = start + length
    if first < end:
        left.append((first, end - first))
    return left


def write(kernel: Kernel, pid: int, uids: Map, gids: Map) -> bool:
    """Write the maps of ``pid``'s fresh user namespace. True when setgroups(2) stays allowed inside.

    Raises :class:`Denied` when neither this process nor ``newuidmap`` may map those ids.
    """
    if os.geteuid() != 0 and _is_own(uids, os.geteuid()) and _is_own(gids, os.getegid()):
        # The uid alone would be granted directly, and then the gid refused.
        return _without_power(kernel, pid, uids, gids)
    try:
        _put(kernel, f"/proc/{pid}/uid_map", uids)
    except KernelError as error:
        if error.errno not in (1, 13):
            raise KernelError(f"uid map {_text(uids).decode()!r}", error.errno) from None
        return _without_power(kernel, pid, uids, gids)
    _put(kernel, f"/proc/{pid}/gid_map", gids)
    return True


def _without_power(kernel: Kernel, pid: int, uids: Map, gids: Map) -> bool:
    if _is_own(uids, os.geteuid()) and _is_own(gids, os.getegid()):
        # One's own id needs no privilege, but groups may not be dropped then (CVE-2014-8989).
        _write(kernel, f"/proc/{pid}/setgroups", b"deny")
        _put(kernel, f"/proc/{pid}/uid_map", uids)
        _put(kernel, f"/proc/{pid}/gid_map", gids)
        return False
    _by_helper("newuidmap", pid, uids)
    _by_helper("newgidmap", pid, gids)
    return True


def _is_own(ids: Map, own: int) -> bool:
    return len(ids) == 1 and ids[0][1] == own and ids[0][2] == 1


def _text(ids: Map) -> bytes:
    return "".join(f"{inside} {outside} {length}\n" for inside, outside, length in ids).encode()


def _put(kernel: Kernel, path: str, ids: Map) -> None:
    _write(kernel, path, _text(ids))


def _write(kernel: Kernel, path: str, data: bytes) -> None:
    fd = kernel.open(path, os.O_WRONLY)
    try:
        kernel.write(fd, data)
    finally:
        kernel.close(fd)


def _by_helper(program: str, pid: int, ids: Map) -> None:
    """newuidmap(1) and newgidmap(1): setuid programs that grant what subuid(5) and subgid(5) list."""
    arguments = [program, str(pid), *(str(n) for row in ids for n in row)]
    error_read, error_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(error_write, 2)
            os.execvp(program, arguments)
        except OSError as error:
            os.write(error_write, f"{program}: {error.strerror}".encode())
        finally:
            os._exit(127)
    os.close(error_write)
    said = os.read(error_read, 2000).decode(errors="replace").strip()
    os.close(error_read)
    if os.waitpid(child, 0)[1]:
        raise Denied(
            f"{program} refused: {said or 'no reason given'}",
            hint="install uidmap and give the user ranges in /etc/subuid and /etc/subgid",
            reason="idmap",
        )


def user_namespace(kernel: Kernel, uids: Map, gids: Map) -> int:
    """A descriptor of a new user namespace with these maps and no process in it, for idmapped mounts."""
    maker = os.getpid()
    child = kernel.fork()
    if child == 0:
        try:
            kernel.unshare(CLONE_NEWUSER)
            # Not before: new credentials undo it (prctl(2)). Without it a killed maker would leave us stopped for ever.
            kernel.prctl(PR_SET_PDEATHSIG, _SIGKILL)
            if os.getppid() == maker:
                os.kill(os.getpid(), _SIGSTOP)
        except BaseException:
            pass
        finally:
            os._exit(1)
    try:
        if not os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]):
            raise Denied("a user namespace for an idmapped mount could not be made", reason="idmap")
        write(kernel, child, uids, gids)
        return kernel.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    finally:
        try:
            os.kill(child, _SIGKILL)
            os.waitpid(child, 0)
        except OSError:
            pass


def show(kernel: Kernel, mount: int, userns: int, what: str, *, recursive: bool = False) -> None:
    """Let a detached mount show its files' ids as the user namespace maps them: on the disk they stay what they are.

    ``what`` is named by the :class:`Unsupported` (reason ``idmap``) for a file system, or with ``recursive`` one mounted below,
    that the kernel cannot do this for: mount_setattr(2), "ID-mapped mounts".
    """
    try:
        kernel.mount_setattr(mount, set_=MOUNT_ATTR_IDMAP, userns_fd=userns, recursive=recursive)
    except KernelError as error:
        # EINVAL: no such file system. EPERM: it is mapped already, or it belongs to a user namespace that is not ours.
        if error.errno not in (1, 22):
            raise
        below = " or one mounted below it" if recursive else ""
        raise Unsupported(
            f"{what}: its file system{below} cannot be shown with other ids (idmapped mounts)",
            hint="keep it on ext4, xfs, btrfs or (since Linux 6.3) tmpfs, or do without a user namespace",
            reason="idmap",
        ) from None


def act_as(kernel: Kernel, uid: int, gid: int) -> None:
    """Make and open files as ``uid`` and ``gid`` from here on, with all the power this thread has (setfsuid(2)).

    For what an idmapped mount shows: the kernel makes nothing there for who has no id in its mapping (EOVERFLOW), and 0 has none.
    """
    sets = kernel.capget()
    kernel.setfsids(uid, gid)
    # A file-system id other than 0 has lost CAP_DAC_OVERRIDE and its like (capabilities(7)).
    kernel.capset(*sets)


def may_set_groups(kernel: Kernel, pid: int) -> bool:
    """Whether setgroups(2) is possible in the user namespace of ``pid`` (user_namespaces(7))."""
    fd = kernel.open(f"/proc/{pid}/setgroups", os.O_RDONLY)
    try:
        return kernel.read(fd, 16).strip() != b"deny"
    finally:
        kernel.close(fd)
