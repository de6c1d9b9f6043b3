"""Isolators: named limits of an app or a pod, read into typed values.

Source: spec/ace.md, "Isolators"; the numbers and ranges of ``cpu-shares`` and ``oom-score-adj`` are those of the reference
implementation, whose list is longer than the text's. An isolator that is unknown, or stands where it has no meaning, is not an
error: an executor may pass over it but has to say so, and :attr:`Isolation.ignored` is what it has to say.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import quantity
from lading.formats.appc.callsets import ALL as ALL_CALLS
from lading.formats.appc.callsets import EMPTY as NO_CALLS
from lading.formats.appc.errors import bad, join, shown
from lading.formats.appc.names import check_identifier
from lading.formats.appc.record import ACRecord
from lading.formats.appc.values import check_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

APP, POD = "app", "pod"

CPU = "resource/cpu"
MEMORY = "resource/memory"
BLOCK_BANDWIDTH = "resource/block-bandwidth"
BLOCK_IOPS = "resource/block-iops"
NETWORK_BANDWIDTH = "resource/network-bandwidth"
SECCOMP_REMOVE = "os/linux/seccomp-remove-set"
SECCOMP_RETAIN = "os/linux/seccomp-retain-set"
CAPABILITIES_REMOVE = "os/linux/capabilities-remove-set"
CAPABILITIES_RETAIN = "os/linux/capabilities-retain-set"
NO_NEW_PRIVILEGES = "os/linux/no-new-privileges"
SELINUX = "os/linux/selinux-context"
APPARMOR = "os/linux/apparmor-profile"
OOM_SCORE_ADJ = "os/linux/oom-score-adj"
CPU_SHARES = "os/linux/cpu-shares"
SYSCTL = "os/unix/sysctl"

DEFAULT_CAPABILITIES = tuple(
    "CAP_" + name
    for name in (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FSETID FOWNER KILL MKNOD NET_RAW NET_BIND_SERVICE SETUID SETGID SETPCAP"
        " SETFCAP SYS_CHROOT"
    ).split()
)
"""What an app has in its bounding set without a capability isolator."""


class Isolator(ACRecord):
    """One isolator as it is written. ``value`` is any JSON value; an absent one counts as ``null``."""

    _null = ("value",)
    _keep_empty = ("value",)
    name: str
    value: object = None


# -- typed values --------------------------------------------------------------------------------------------------


class Resource:
    """``request`` and ``limit`` in the resource's base unit (millicores, bytes, bytes, operations); None: not given."""

    __slots__ = ("limit", "request")

    def __init__(self, request: int | None, limit: int | None) -> None:
        self.request = request
        self.limit = limit

    def __repr__(self) -> str:
        return f"Resource(request={self.request}, limit={self.limit})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resource) and (self.request, self.limit) == (other.request, other.limit)

    __hash__ = None  # type: ignore[assignment]


class NameSet:
    """Capabilities or system calls. ``retain``: these are all that stay; otherwise they are taken away.

    ``wildcards`` are the values that begin with ``@``; ``errno`` is what a blocked call returns, empty: it kills.
    """

    __slots__ = ("errno", "names", "retain", "wildcards")

    def __init__(self, retain: bool, values: Sequence[str], errno: str = "") -> None:
        self.retain = retain
        self.names = [value for value in values if not value.startswith("@")]
        self.wildcards = [value for value in values if value.startswith("@")]
        self.errno = errno

    @property
    def unfiltered(self) -> bool:
        """Whether all calls are retained, whatever else is: the specification's way out of every filter."""
        return self.retain and ALL_CALLS in self.wildcards

    @property
    def default(self) -> bool:
        """Whether nothing is removed, whatever else is: the specification's way into the executor's own filter."""
        return not self.retain and NO_CALLS in self.wildcards


class SELinuxContext:
    """The four parts of an SELinux security context."""

    __slots__ = ("level", "role", "type", "user")

    def __init__(self, user: str, role: str, type: str, level: str) -> None:
        self.user = user
        self.role = role
        self.type = type
        self.level = level

    def __str__(self) -> str:
        return f"{self.user}:{self.role}:{self.type}:{self.level}"


class Isolation:
    """All isolators of one app, or of a pod. What is None or empty was not asked for.

    ``ignored``  names of isolators with the reason why nothing comes of them.
    """

    __slots__ = (
        "apparmor",
        "block_bandwidth",
        "block_iops",
        "capabilities",
        "cpu",
        "cpu_shares",
        "ignored",
        "memory",
        "network_bandwidth",
        "no_new_privileges",
        "oom_score_adj",
        "seccomp",
        "selinux",
        "sysctls",
    )

    def __init__(self) -> None:
        self.cpu: Resource | None = None
        self.memory: Resource | None = None
        self.block_bandwidth: Resource | None = None
        self.block_iops: Resource | None = None
        self.network_bandwidth: Resource | None = None
        self.seccomp: NameSet | None = None
        self.capabilities: NameSet | None = None
        self.no_new_privileges: bool | None = None
        self.selinux: SELinuxContext | None = None
        self.apparmor = ""
        self.oom_score_adj: int | None = None
        self.cpu_shares: int | None = None
        self.sysctls: dict[str, str] = {}
        self.ignored: list[tuple[str, str]] = []


def bounding_set(wanted: NameSet | None) -> list[str]:
    """The capabilities of an app: what is retained, or the default ones without what is removed."""
    if wanted is None:
        return list(DEFAULT_CAPABILITIES)
    if wanted.retain:
        return list(dict.fromkeys(wanted.names))
    return [name for name in DEFAULT_CAPABILITIES if name not in wanted.names]


# -- reading -------------------------------------------------------------------------------------------------------


def gather(isolators: Sequence[Isolator], scope: str, where: str = "isolators") -> Isolation:
    """Read the isolators of an app (``scope`` "app") or a pod ("pod").

    Of a resource given twice the later counts. Raises :class:`InvalidInput` for a known isolator with a wrong value, one
    that may be given once and is given twice, and for two that exclude each other.
    """
    made = Isolation()
    seen: set[str] = set()
    for index, isolator in enumerate(isolators):
        field = f"{where}[{index}]"
        check_identifier(isolator.name, join(field, "name"))
        known = _KNOWN.get(isolator.name)
        if known is None:
            made.ignored.append((isolator.name, "unknown isolator"))
            continue
        if isolator.name in seen and known.once:
            raise bad(join(field, "name"), f"{isolator.name} is given twice")
        for other in _EXCLUDES.get(isolator.name, ()):
            if other in seen:
                raise bad(join(field, "name"), f"{isolator.name} cannot be used together with {other}")
        seen.add(isolator.name)
        value = known.read(isolator.value, join(field, "value"))
        if scope not in known.scopes:
            made.ignored.append((isolator.name, f"it applies to {known.scopes[0]}s only"))
            continue
        setattr(made, known.slot, value)
    return made


def _members(value: object, where: str, allowed: Sequence[str]) -> dict[str, object]:
    if type(value) is not dict:
        raise bad(where, "expected an object", hint=f"with {', '.join(allowed)}")
    for key in value:
        if key not in allowed:
            raise bad(where, f"unknown member {shown(key)}", hint=f"known are {', '.join(allowed)}")
    return value


def _amount(value: object, where: str, thousandths: bool) -> int | None:
    if value is None:
        return None
    if type(value) is str:
        # The text has K where the library has k.
        text: str | int | float = value[:-1] + "k" if value.endswith("K") else value
    elif type(value) is int or type(value) is float:
        text = value
    else:
        raise bad(where, "expected a quantity", hint="for example 500m, 2G or 64Mi")
    try:
        amount = quantity.millis(text) if thousandths else quantity.units(text)
    except InvalidInput as error:
        raise bad(where, error.message, hint=error.hint, reason="quantity") from None
    if amount < 0:
        raise bad(where, f"{shown(str(value))} is negative", reason="quantity")
    return amount


def _ranged(thousandths: bool) -> Callable[[object, str], Resource]:
    def read(value: object, where: str) -> Resource:
        members = _members(value, where, ("request", "limit", "default"))
        if members.get("default") not in (None, False):
            raise bad(join(where, "default"), "this resource has no default; leave it out")
        request = _amount(members.get("request"), join(where, "request"), thousandths)
        limit = _amount(members.get("limit"), join(where, "limit"), thousandths)
        if request is None and limit is None:
            raise bad(where, "neither request nor limit is given")
        # Left out, the request is the limit.
        return Resource(limit if request is None else request, limit)

    return read


def _rate(value: object, where: str) -> Resource:
    members = _members(value, where, ("default", "limit", "request"))
    if members.get("default") is not True:
        raise bad(join(where, "default"), "must be true: the limit is every device's")
    if members.get("request") is not None:
        raise bad(join(where, "request"), "this resource has a limit only")
    limit = _amount(members.get("limit"), join(where, "limit"), False)
    if limit is None:
        raise bad(join(where, "limit"), "required field is missing", reason="missing-field")
    return Resource(None, limit)


def _names(value: object, where: str) -> list[str]:
    if type(value) is not list or not all(type(name) is str for name in value):
        raise bad(where, "expected a list of names")
    if not value:
        raise bad(where, "the set must not be empty")
    for index, name in enumerate(value):
        if not name or not name.isascii() or not name.isprintable() or " " in name:
            raise bad(f"{where}[{index}]", f"{shown(name)} is not a name")
    return list(value)


def _capability_set(retain: bool) -> Callable[[object, str], NameSet]:
    def read(value: object, where: str) -> NameSet:
        return NameSet(retain, _names(_members(value, where, ("set",)).get("set"), join(where, "set")))

    return read


def _call_set(retain: bool) -> Callable[[object, str], NameSet]:
    def read(value: object, where: str) -> NameSet:
        members = _members(value, where, ("set", "errno"))
        names = _names(members.get("set"), join(where, "set"))
        for index, name in enumerate(names):
            if name.startswith("@") and not all(name[1:].partition("/")[::2]):
                raise bad(
                    f"{where}.set[{index}]",
                    f"{shown(name)} is not a wildcard of the form @SCOPE/NAME",
                )
        errno = members.get("errno")
        if errno is None:
            errno = ""
        if type(errno) is not str or (errno and not _is_errno(errno)):
            raise bad(
                join(where, "errno"), f"{shown(str(errno))} is not an errno code", hint="for example EPERM"
            )
        return NameSet(retain, names, errno)

    return read


def _is_errno(text: str) -> bool:
    return len(text) > 1 and text[0] == "E" and text.isascii() and text.isalnum() and text == text.upper()


def _selinux(value: object, where: str) -> SELinuxContext:
    members = _members(value, where, ("user", "role", "type", "level"))
    parts: list[str] = []
    for name in ("user", "role", "type", "level"):
        part = members.get(name)
        if type(part) is not str or not part or "\0" in part:
            raise bad(join(where, name), "expected a string that is not empty")
        if ":" in part and name != "level":
            raise bad(join(where, name), f"{shown(part)} has a colon in it")
        parts.append(part)
    return SELinuxContext(*parts)


def _apparmor(value: object, where: str) -> str:
    profile = _members(value, where, ("profile",)).get("profile")
    if type(profile) is not str or not profile or not profile.isprintable():
        raise bad(join(where, "profile"), "expected the name of a profile")
    return profile


def _flag(value: object, where: str) -> bool:
    if type(value) is not bool:
        raise bad(where, "expected true or false")
    return value


def _number(least: int, most: int) -> Callable[[object, str], int]:
    def read(value: object, where: str) -> int:
        if type(value) is not int:
            raise bad(where, f"expected an integer from {least} to {most}")
        return check_range(value, least, most, where)

    return read


def _sysctls(value: object, where: str) -> dict[str, str]:
    if type(value) is not dict:
        raise bad(where, "expected an object of names and values")
    for name, setting in value.items():
        parts = name.replace("/", ".").split(".")
        if not all(parts) or not name.isascii() or not name.isprintable() or " " in name:
            raise bad(where, f"{shown(name)} is not the name of a sysctl")
        if type(setting) is not str or "\0" in setting:
            raise bad(join(where, name), "expected a string", hint="quote the number")
    return dict(value)


class _Known:
    """One isolator of the specification: what reads it, where it goes, what it applies to (the usual scope first)."""

    __slots__ = ("once", "read", "scopes", "slot")

    def __init__(
        self,
        slot: str,
        read: Callable[[object, str], object],
        scopes: tuple[str, ...] = (APP,),
        *,
        once: bool = True,
    ) -> None:
        self.slot = slot
        self.read = read
        self.scopes = scopes
        self.once = once


_BOTH = (APP, POD)
_KNOWN = {
    CPU: _Known("cpu", _ranged(True), _BOTH, once=False),
    MEMORY: _Known("memory", _ranged(False), _BOTH, once=False),
    BLOCK_BANDWIDTH: _Known("block_bandwidth", _rate, _BOTH, once=False),
    BLOCK_IOPS: _Known("block_iops", _rate, _BOTH, once=False),
    NETWORK_BANDWIDTH: _Known("network_bandwidth", _rate, _BOTH, once=False),
    SECCOMP_REMOVE: _Known("seccomp", _call_set(False)),
    SECCOMP_RETAIN: _Known("seccomp", _call_set(True)),
    CAPABILITIES_REMOVE: _Known("capabilities", _capability_set(False), once=False),
    CAPABILITIES_RETAIN: _Known("capabilities", _capability_set(True), once=False),
    NO_NEW_PRIVILEGES: _Known("no_new_privileges", _flag, once=False),
    SELINUX: _Known("selinux", _selinux, _BOTH),
    APPARMOR: _Known("apparmor", _apparmor, _BOTH),
    OOM_SCORE_ADJ: _Known("oom_score_adj", _number(-1000, 1000)),
    CPU_SHARES: _Known("cpu_shares", _number(2, 262144)),
    SYSCTL: _Known("sysctls", _sysctls, (POD,)),
}
_EXCLUDES = {
    SECCOMP_REMOVE: (SECCOMP_RETAIN,),
    SECCOMP_RETAIN: (SECCOMP_REMOVE,),
    CAPABILITIES_REMOVE: (CAPABILITIES_RETAIN,),
    CAPABILITIES_RETAIN: (CAPABILITIES_REMOVE,),
}
KNOWN = tuple(_KNOWN)
"""The names of all isolators that are read here."""
