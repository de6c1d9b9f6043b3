"""What admission finds: problems with field paths, notes about fields without effect, and the words they are made of."""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.formats.pod import Pod

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Problem:
    """One thing wrong: the field's path, what is wrong, and whether it is invalid or only unsupported here."""

    __slots__ = ("message", "path", "reason")

    def __init__(self, path: str, message: str, reason: str) -> None:
        self.path = path
        self.message = message
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class Refused(InvalidInput):
    """A Pod that cannot be admitted. ``problems`` has every reason, in the order of the manifest."""

    def __init__(self, problems: list[Problem]) -> None:
        only = problems[0]
        if len(problems) == 1:
            super().__init__(str(only), reason=only.reason)
        else:
            super().__init__(
                f"{len(problems)} problems, the first: {only}",
                reason="unsupported" if all(p.reason == "unsupported" for p in problems) else "invalid",
            )
        self.problems = problems


class Report:
    """Collects problems and notes while a Pod is looked at."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def bad(self, path: str, message: str) -> None:
        """The field breaks a rule of the Kubernetes API."""
        self.problems.append(Problem(path, message, "invalid"))

    def unsupported(self, path: str, why: str = "") -> None:
        """The field is valid and Lading does not do it."""
        self.problems.append(
            Problem(path, f"not supported: {why}" if why else "not supported", "unsupported")
        )

    def no_effect(self, path: str, why: str) -> None:
        """The field is accepted, has no effect, and its user is told."""
        self.notes.append(f"{path} has no effect: {why}")

    def one_of(self, path: str, value: str, allowed: tuple[str, ...]) -> bool:
        """Whether ``value`` is allowed; a problem otherwise."""
        if value in allowed:
            return True
        self.bad(path, f"{value!r} is not one of {', '.join(a for a in allowed if a)}")
        return False

    def within(self, path: str, value: int | None, least: int, most: int = 2**31 - 1) -> None:
        """A problem when ``value`` is given and outside the bounds."""
        if value is not None and not least <= value <= most:
            self.bad(
                path,
                f"{value} is less than {least}"
                if value < least
                else f"{value} is not from {least} to {most}",
            )

    def label(self, path: str, name: str) -> bool:
        """A DNS-1123 label: up to 63 lower-case letters, digits and ``-``, ends alphanumeric."""
        if is_label(name):
            return True
        self.bad(
            path,
            f"{name[:80]!r} is not up to 63 lower-case letters, digits and '-', beginning and ending without '-'",
        )
        return False

    def settle(self) -> None:
        """Raise :class:`Refused` when there are problems."""
        if self.problems:
            raise Refused(self.problems)


def demand(check: Callable[[Pod, Report], None], pod: Pod) -> None:
    """Raise :class:`Refused` with all that ``check`` reports of ``pod``."""
    report = Report()
    check(pod, report)
    report.settle()


def is_label(name: str) -> bool:
    """Whether ``name`` is a DNS-1123 label (RFC 1123)."""
    return (
        0 < len(name) <= 63
        and _LOWER.issuperset(name.replace("-", "a"))
        and name[0] != "-"
        and name[-1] != "-"
    )


def is_subdomain(name: str) -> bool:
    """Whether ``name`` is a DNS-1123 subdomain: labels (of any length) joined by dots, 253 characters at most."""
    return 0 < len(name) <= 253 and all(
        part and _LOWER.issuperset(part.replace("-", "a")) and part[0] != "-" and part[-1] != "-"
        for part in name.split(".")
    )


def is_qualified(name: str) -> bool:
    """Whether ``name`` may be a key of a label or annotation: ``[prefix/]name``."""
    prefix, slash, rest = name.rpartition("/")
    return (not slash or is_subdomain(prefix)) and is_label_value(rest) and bool(rest)


def is_label_value(value: str) -> bool:
    """Whether ``value`` may be a label's value: empty, or 63 letters, digits, ``-``, ``_``, ``.``, ends alphanumeric."""
    if not value:
        return True
    body = value.replace("-", "a").replace("_", "a").replace(".", "a")
    return len(value) <= 63 and _ALNUM.issuperset(body) and value[0] in _ALNUM and value[-1] in _ALNUM


def is_port_name(name: str) -> bool:
    """Whether ``name`` is an IANA service name: up to 15 lower-case letters, digits and single dashes, one letter."""
    return 0 < len(name) <= 15 and is_label(name) and "--" not in name and any(c.isalpha() for c in name)


def is_address(text: str) -> bool:
    """Whether ``text`` is an IPv4 or IPv6 address."""
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True
