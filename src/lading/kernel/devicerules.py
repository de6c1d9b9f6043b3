"""Which devices a control group may use: the rules, and what a list of them comes to.

cgroup v1 takes the result line by line (``devices.allow``, ``devices.deny``), v2 as a program
(:mod:`lading.kernel.bpf`).

Source: Documentation/admin-guide/cgroup-v1/devices.rst.
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ORDER = "rwm"


class DeviceRule:
    """Allow or deny one device, or all that match: ``type`` is ``a`` (all), ``b`` or ``c``; a number of
    ``None`` is any;
    ``access`` is some of ``r`` (read), ``w`` (write), ``m`` (mknod)."""

    __slots__ = ("access", "allow", "major", "minor", "type")

    def __init__(
        self,
        allow: bool,
        type: str = "a",
        major: int | None = None,
        minor: int | None = None,
        access: str = "rwm",
    ) -> None:
        if type not in ("a", "b", "c"):
            raise InvalidInput(f"device type {type!r} is not one of a, b, c")
        if access != _ORDER:
            if not access or set(access) - set(_ORDER):
                raise InvalidInput(f"device access {access!r} is not made of r, w and m")
            access = "".join(a for a in _ORDER if a in access)
        for number in (major, minor):
            if number is not None and not 0 <= number <= 0xFFFFFFFF:
                raise InvalidInput(f"device number {number} is out of range")
        self.allow = allow
        self.type = type
        self.major = major
        self.minor = minor
        self.access = access

    def line(self) -> str:
        """The rule as ``devices.allow`` takes it: ``c 1:3 rwm``."""
        major = "*" if self.major is None else self.major
        minor = "*" if self.minor is None else self.minor
        return f"{self.type} {major}:{minor} {self.access}"

    @classmethod
    def of_line(cls, line: str) -> DeviceRule:
        """The rule of a line of ``devices.list``."""
        kind, numbers, access = line.split(" ")
        major, _, minor = numbers.partition(":")
        return cls(
            True, kind, None if major == "*" else int(major), None if minor == "*" else int(minor), access
        )

    def __repr__(self) -> str:
        return f"{'allow' if self.allow else 'deny'} {self.line()}"


def effective(rules: Sequence[DeviceRule]) -> tuple[bool, list[DeviceRule]]:
    """What ``rules`` mean when applied in order to a group that may use nothing.

    Returns whether everything is allowed, and the exceptions from that: rules with distinct device keys. A
    rule for type
    ``a`` without numbers starts anew. Raises :class:`Unsupported` for a rule that neither kernel interface
          can
    express (taking one device out of a wildcard).
    """
    everything = False
    table: dict[tuple[str, int | None, int | None], str] = {}
    for rule in rules:
        if rule.type == "a":
            if rule.major is not None or rule.minor is not None:
                for kind in ("b", "c"):
                    _apply(
                        everything, table, DeviceRule(rule.allow, kind, rule.major, rule.minor, rule.access)
                    )
                continue
            if rule.access == _ORDER:
                everything = rule.allow
                table = {}
            else:
                for kind in ("b", "c"):
                    _apply(everything, table, DeviceRule(rule.allow, kind, None, None, rule.access))
            continue
        _apply(everything, table, rule)
    return everything, [DeviceRule(not everything, *key, access=access) for key, access in table.items()]


def _apply(everything: bool, table: dict[tuple[str, int | None, int | None], str], rule: DeviceRule) -> None:
    key = (rule.type, rule.major, rule.minor)
    if rule.allow != everything:  # another exception
        held = table.get(key)
        table[key] = "".join(a for a in _ORDER if a in held or a in rule.access) if held else rule.access
        return
    for other in list(table):
        if other[0] != rule.type:
            continue
        covers = all(mine is None or mine == theirs for mine, theirs in zip(key[1:], other[1:], strict=True))
        covered = all(
            theirs is None or mine == theirs for mine, theirs in zip(key[1:], other[1:], strict=True)
        )
        if covers:
            left = "".join(a for a in table[other] if a not in rule.access)
            if left:
                table[other] = left
            else:
                del table[other]
        elif covered and set(table[other]) & set(rule.access):
            raise Unsupported(
                f"device rule '{rule!r}': it takes one device out of a wider rule, which the kernel cannot express",
                hint="list the devices one by one instead",
                reason="device-rule",
            )
