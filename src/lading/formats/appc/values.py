"""The small texts of the specification: image IDs, versions, timestamps, URLs, UUIDs, absolute paths, modes.

Source: spec/types.md; SemVer 2.0.0; RFC 3339 section 5.6; RFC 4122.
"""

from __future__ import annotations

from lading.errors import Unsupported
from lading.formats.appc.errors import bad, join, shown

VERSION = "0.8.11"
"""The version of the specification that is read and written here."""

_HEX = frozenset("0123456789abcdef")
_SHA512 = 128
_LEAST_PREFIX = 4
_IDENTIFIER = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


# -- image IDs -----------------------------------------------------------------------------------------------------


def is_image_id(text: str) -> bool:
    """Whether ``text`` is a whole image ID: ``sha512-`` and 128 lower-case hex digits."""
    return text.startswith("sha512-") and len(text) == 7 + _SHA512 and _HEX.issuperset(text[7:])


def check_image_id(text: str, where: str) -> str:
    """``text`` when it is an image ID. Raises :class:`InvalidInput`."""
    if is_image_id(text):
        return text
    algorithm, dash, _ = text.partition("-")
    if dash and algorithm != "sha512":
        raise bad(
            where, f"the hash algorithm {shown(algorithm)} is not sha512, the only one that is permitted"
        )
    raise bad(where, f"{shown(text)} is not an image ID", hint=f"sha512- and {_SHA512} lower-case hex digits")


def digest_of(image_id: str) -> str:
    """``sha512-HEX`` as the store's digest ``sha512:HEX``."""
    return image_id.replace("-", ":", 1)


def image_id_of(digest: str) -> str:
    """The store's digest ``sha512:HEX`` as an image ID."""
    return digest.replace(":", "-", 1)


def id_prefix(text: str) -> str | None:
    """The hex digits of ``sha512-HEX``, whole or shortened to at least four digits, for a look-up; None for another text."""
    if not text.startswith("sha512-"):
        return None
    digits = text[7:]
    return digits if _LEAST_PREFIX <= len(digits) <= _SHA512 and _HEX.issuperset(digits) else None


# -- versions and kinds --------------------------------------------------------------------------------------------


def semver(text: str) -> tuple[int, int, int, str] | None:
    """Major, minor, patch and pre-release of a semantic version; None for another text."""
    rest, plus, build = text.partition("+")
    core, dash, release = rest.partition("-")
    numbers = core.split(".")
    if len(numbers) != 3 or not all(_plain_number(n) for n in numbers):
        return None
    if plus and not all(part and _IDENTIFIER.issuperset(part) for part in build.split(".")):
        return None
    if dash and not all(_release_part(part) for part in release.split(".")):
        return None
    return int(numbers[0]), int(numbers[1]), int(numbers[2]), release


def _plain_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18 and (text == "0" or text[0] != "0")


def _release_part(text: str) -> bool:
    # A number must not begin with a zero; with a letter or a hyphen in it, it is no number.
    return bool(text) and _IDENTIFIER.issuperset(text) and (not text.isdigit() or _plain_number(text))


def check_header(kind: str, version: str, expected: str, where: str) -> None:
    """``acKind`` and ``acVersion`` of a manifest. Raises :class:`InvalidInput`, :class:`Unsupported` (major version)."""
    if kind != expected:
        raise bad(join(where, "acKind"), f"{shown(kind)} is not {expected!r}")
    field = join(where, "acVersion")
    parsed = semver(version)
    if parsed is None:
        raise bad(field, f"{shown(version)} is not a semantic version", hint=f"for example {VERSION}")
    if parsed == (0, 0, 0, ""):
        raise bad(field, "the version is zero", hint=f"for example {VERSION}")
    if parsed[0] != 0:
        raise Unsupported(f"{field}: version {version} of the specification; this is {VERSION}")


# -- timestamps, URLs, UUIDs ---------------------------------------------------------------------------------------


def is_timestamp(text: str) -> bool:
    """Whether ``text`` is RFC 3339's ``date-time``: ``2014-10-27T19:32:27.67Z``, with a ``T`` and a zone."""
    if not text.isascii() or len(text) < 20 or text[10] != "T":
        return False
    date, clock = text[:10], text[11:]
    if clock.endswith("Z"):
        clock, zone = clock[:-1], "00:00"
    else:
        if clock[-6:-5] not in ("+", "-"):
            return False
        clock, zone = clock[:-6], clock[-5:]
    seconds, dot, fraction = clock.partition(".")
    if dot and not fraction.isdigit():
        return False
    day, time, offset = _digits(date, "-"), _digits(seconds, ":"), _digits(zone, ":")
    if day is None or time is None or offset is None or len(day) != 3 or len(time) != 3 or len(offset) != 2:
        return False
    year, month, number = day
    if len(date.split("-")[0]) != 4 or not 1 <= month <= 12:
        return False
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    # A leap second is written as the sixtieth.
    return (
        1 <= number <= _DAYS[month - 1] + leap
        and time[0] < 24
        and time[1] < 60
        and time[2] <= 60
        and offset[0] < 24
        and offset[1] < 60
    )


def _digits(text: str, separator: str) -> list[int] | None:
    parts = text.split(separator)
    if not all(part.isdigit() and len(part) in (2, 4) for part in parts):
        return None
    if any(len(part) == 4 for part in parts[1:]):
        return None
    return [int(part) for part in parts]


def is_web_url(text: str) -> bool:
    """Whether ``text`` is an absolute URL of the scheme http or https with a host."""
    scheme, colon, rest = text.partition("://")
    host = rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2]
    printable = not any(c <= " " or c == "\x7f" for c in text)
    return (
        bool(colon)
        and scheme.lower() in ("http", "https")
        and bool(host)
        and not host.startswith(":")
        and printable
    )


def uuid_bytes(text: str, where: str = "uuid") -> bytes:
    """The 16 bytes of a UUID in canonical form or without hyphens, in either case. Raises :class:`InvalidInput`.

    The nil UUID is nobody's and refused.
    """
    digits = text.lower()
    if len(digits) == 36:
        groups = digits.split("-")
        digits = "".join(groups) if [len(g) for g in groups] == [8, 4, 4, 4, 12] else ""
    if len(digits) != 32 or not _HEX.issuperset(digits) or digits == "0" * 32:
        raise bad(
            where, f"{shown(text)} is not a UUID", hint="for example 6733c088-a507-4694-aabf-edbe4fc5266f"
        )
    return bytes.fromhex(digits)


def uuid_text(data: bytes) -> str:
    """16 bytes in canonical form: lower case, with hyphens."""
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# -- paths, modes, numbers -----------------------------------------------------------------------------------------


def check_absolute(path: str, where: str) -> str:
    """``path`` when it begins at the root. Raises :class:`InvalidInput`."""
    if not path.startswith("/"):
        raise bad(where, f"{shown(path)} is not an absolute path")
    return path


def check_mode(text: str, where: str) -> int:
    """A mode in octal digits (``0755``) as a number. Raises :class:`InvalidInput`."""
    if not text or len(text) > 5 or not frozenset("01234567").issuperset(text) or int(text, 8) > 0o7777:
        raise bad(where, f"{shown(text)} is not a mode in octal digits", hint="for example 0755")
    return int(text, 8)


def check_range(value: int, least: int, most: int, where: str) -> int:
    """``value`` when it lies in the range. Raises :class:`InvalidInput`."""
    if not least <= value <= most:
        raise bad(where, f"{value} is not between {least} and {most}")
    return value
