"""``--chmod`` of COPY and ADD: an octal mode, or chmod(1)'s symbolic one (``u=rwX,go=rX``, ``+x``, ``g=u``).

Source: the Dockerfile reference, "COPY --chmod", and chmod(1).
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError

_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": 0o7777}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_SHIFT = {"u": 6, "g": 3, "o": 0}


class Permissions:
    """What ``--chmod`` asks for: :meth:`applied` gives the new mode of a file from its old one. ``octal``: the mode, or -1."""

    __slots__ = ("_clauses", "octal", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.octal = -1
        self._clauses: list[tuple[int, str, str]] = []

    @classmethod
    def parse(cls, text: str) -> Permissions:
        """Raises :class:`DockerfileError` for what is neither octal (0 to 07777) nor symbolic."""
        made = cls(text)
        if text.isascii() and text.isdigit():
            if text.strip("01234567") or len(text) > 12 or int(text, 8) > 0o7777:
                raise _bad(text, "an octal mode is between 0 and 07777")
            made.octal = int(text, 8)
            return made
        if len(text) > 200:
            raise _bad(text, "it is longer than 200 characters")
        for clause in text.split(","):
            made._clauses += _clause(clause, text)
        return made

    def applied(self, mode: int, *, directory: bool) -> int:
        """The permission bits (07777) that replace those of ``mode``."""
        if self.octal >= 0:
            return self.octal
        mode &= 0o7777
        start = mode
        for who, sign, permissions in self._clauses:
            bits = 0
            for char in permissions:
                if char in _SHIFT:
                    one = mode >> _SHIFT[char] & 7
                    bits |= one << 6 | one << 3 | one
                elif char == "X":
                    bits |= 0o111 if directory or start & 0o111 else 0
                else:
                    bits |= _BITS[char]
            bits &= who
            if sign == "+":
                mode |= bits
            elif sign == "-":
                mode &= ~bits
            else:
                # chmod(1) keeps a directory's set-ID bits unless they are named.
                cleared = who & ~0o6000 if directory and "s" not in permissions else who
                mode = mode & ~cleared | bits
        return mode


def _clause(clause: str, text: str) -> list[tuple[int, str, str]]:
    end = 0
    while end < len(clause) and clause[end] in _WHO:
        end += 1
    who = 0
    for char in clause[:end]:
        who |= _WHO[char]
    if not clause[end:]:
        raise _bad(text, f"{clause!r} has no +, - or =")
    made: list[tuple[int, str, str]] = []
    for char in clause[end:]:
        if char in "+-=":
            made.append((who or 0o7777, char, ""))
        elif made and (char in _BITS or char in "Xugo"):
            made[-1] = (made[-1][0], made[-1][1], made[-1][2] + char)
        else:
            raise _bad(text, f"{char!r} in {clause[:40]!r} is not a permission")
    return made


def _bad(text: str, why: str) -> DockerfileError:
    return DockerfileError(
        f"--chmod={text[:60]} is not a mode: {why}",
        hint="write an octal mode like 0755, or a symbolic one like u=rwX,go=rX",
        token=f"--chmod={text}",
    )
