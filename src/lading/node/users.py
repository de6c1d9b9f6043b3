"""Who a container's process is: names from the image's own ``/etc/passwd`` and ``/etc/group``, never the host's.

Source: passwd(5), group(5); docs.docker.com ``USER``; kubernetes.io "Configure a Security Context". Pure: files come as
bytes, and only when a rule needs them.
"""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: Gives the bytes of a file of the image, empty when it has none.
    Reader = Callable[[str], bytes]

_LARGEST = 2**32 - 2


class Identity:
    """Numbers for the process, and the home directory its user has in the image (empty: no entry)."""

    __slots__ = ("gid", "groups", "home", "name", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str, name: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home
        self.name = name


def resolve(
    user: str,
    read: Reader,
    *,
    run_as_user: int | None = None,
    run_as_group: int | None = None,
    extra_groups: list[str] | None = None,
    supplemental: list[int] | None = None,
    merge: bool = True,
    numeric_names: bool = False,
) -> Identity:
    """The identity that ``user`` (``NAME[:GROUP]``, ``UID[:GID]``) means, after a Pod's overrides.

    ``extra_groups`` are names or numbers (``--group-add``); ``supplemental`` numbers (supplementalGroups, fsGroup).
    ``merge`` adds the groups that the image lists the user in. ``numeric_names``: a number in ``user`` is first looked for
    among the names. Raises :class:`InvalidInput` for unknown names.
    """
    name, colon, group = user.partition(":")
    if run_as_user is not None:
        name, group = str(run_as_user), (group if colon else "")
    entry = _user(name or "0", read, numeric_names and run_as_user is None)
    uid, gid, home, login = entry
    explicit = False
    if run_as_group is not None:
        gid = run_as_group
    elif group:
        gid, explicit = _group(group, read, numeric_names), True
    groups: list[int] = []
    if login and merge and not explicit:
        groups = [number for _, number, members in _groups(read("/etc/group")) if login in members]
    for text in extra_groups or ():
        groups.append(_group(text, read))
    groups.extend(supplemental or ())
    # The primary group is one of the supplementary ones too, as login(1) makes it: else a set-group-ID program swaps it for
    # another, and files that are closed to this group open (CVE-2022-36109, CVE-2023-25173).
    return Identity(uid, gid, list(dict.fromkeys([gid, *groups])), home, login)


def _user(name: str, read: Reader, numeric_names: bool = False) -> tuple[int, int, str, str]:
    if numeric_names:
        for login, uid, gid, home in _users(read("/etc/passwd")):
            if login == name:
                return uid, gid, home, login
    number = _number(name)
    for login, uid, gid, home in _users(read("/etc/passwd")):
        # A number is never a name: runAsUser 1000 must not become root because the image calls its root "1000".
        if login == name if number is None else uid == number:
            return uid, gid, home, login
    if number is None:
        raise InvalidInput(f"user {name!r} has no entry in the image's /etc/passwd", hint="give a number")
    return number, 0, "/root" if number == 0 else "", ""


def _group(name: str, read: Reader, numeric_names: bool = False) -> int:
    number = _number(name)
    if number is not None and not numeric_names:
        return number
    for group, gid, _members in _groups(read("/etc/group")):
        if group == name:
            return gid
    if number is not None:
        return number
    raise InvalidInput(f"group {name!r} has no entry in the image's /etc/group", hint="give a number")


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 10 or int(text) > _LARGEST:
        raise InvalidInput(f"user or group number {text[:40]} is out of range")
    return int(text)


def _is_id(text: str) -> bool:
    """Whether a field of the image's files is a number the kernel has: one beyond would wrap around, to root's among others."""
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LARGEST


def is_number(user: str) -> bool:
    """Whether ``NAME[:GROUP]`` names its user by number."""
    return _is_id(user.partition(":")[0])


def _users(data: bytes) -> Iterator[tuple[str, int, int, str]]:
    for line in data.decode("utf-8", "replace").split("\n"):
        fields = line.split(":")
        if len(fields) >= 6 and _is_id(fields[2]) and _is_id(fields[3]):
            yield fields[0], int(fields[2]), int(fields[3]), fields[5]


def _groups(data: bytes) -> Iterator[tuple[str, int, list[str]]]:
    for line in data.decode("utf-8", "replace").split("\n"):
        fields = line.split(":")
        if len(fields) >= 3 and _is_id(fields[2]):
            yield fields[0], int(fields[2]), fields[3].strip().split(",") if len(fields) > 3 else []
