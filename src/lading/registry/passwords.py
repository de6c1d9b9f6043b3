"""Users and their passwords: a file of ``NAME:HASH`` lines, as ``htpasswd -B`` and Docker's registry have it.

Only bcrypt is taken: what else such files may hold (crypt, MD5, SHA-1) is too easy to guess. A password that was right is
remembered for a while as a keyed hash, for clients send theirs with each request and bcrypt takes a tenth of a second.
"""

from __future__ import annotations

import hmac
import os
import threading
import time

import bcrypt

from lading.errors import InvalidInput, LadingError, NotFound
from lading.images.files import read, write_atomically

_KINDS = (b"$2a$", b"$2b$", b"$2y$")
_LONGEST = 72  # bytes of a password that bcrypt looks at
_REMEMBER = 600.0
_MOST = 10000
COST = 10


class Passwords:
    """The users of one file. Safe for many threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._users: dict[str, bytes] = {}
        self._secret = os.urandom(32)
        self._right: dict[bytes, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._stand_in = b""
        self.reload()

    def reload(self) -> None:
        """Read the file again. Raises :class:`InvalidInput`, :class:`NotFound`; what was read before stays then."""
        users = parse(_content(self.path), self.path)
        cost = max((int(h[4:6]) for h in users.values()), default=COST)
        stand_in = bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(min(cost, 14)))
        with self._lock:
            self._users, self._stand_in = users, stand_in
            self._right.clear()

    def known(self, user: str, password: str) -> bool:
        """Whether this password was right a while ago: quick, and never a final no."""
        key = self._key(user, password)
        with self._lock:
            found = self._right.get(key)
            return found is not None and found[0] == user and found[1] > time.monotonic()

    def check(self, user: str, password: str) -> bool:
        """Whether the password is the user's. As slow for a user that does not exist."""
        with self._lock:
            there = user in self._users
            wanted = self._users.get(user, self._stand_in)
        try:
            right = bcrypt.checkpw(password.encode("utf-8", "surrogateescape")[:_LONGEST], wanted)
        except ValueError:
            right = False
        if not (right and there):
            return False
        with self._lock:
            if self._users.get(user) == wanted:
                if len(self._right) >= _MOST:
                    self._right.clear()
                self._right[self._key(user, password)] = user, time.monotonic() + _REMEMBER
        return True

    def mark(self, user: str) -> str:
        """A text that changes when the user's password does, empty for one that does not exist."""
        with self._lock:
            found = self._users.get(user)
        return "" if found is None else hmac.digest(b"mark", found, "sha256").hex()[:16]

    def _key(self, user: str, password: str) -> bytes:
        text = f"{len(user)}:{user}{password}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, text, "sha256")


def _content(path: str) -> bytes:
    try:
        found = read(path)
    except OSError as error:
        raise LadingError(f"cannot read {path}: {error.strerror}") from None
    if found is None:
        raise NotFound(
            f"there is no file of passwords {path}", hint=f"`lading registry passwd {path} NAME` makes it"
        )
    return found


def parse(data: bytes, where: str) -> dict[str, bytes]:
    """Users and hashes of such a file. Raises :class:`InvalidInput` that names the line."""
    users: dict[str, bytes] = {}
    for number, line in enumerate(data.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(b"#"):
            continue
        name, colon, found = line.partition(b":")
        if not colon or not name:
            raise InvalidInput(f"{where}, line {number}: not NAME:HASH")
        if not found.startswith(_KINDS) or len(found) != 60:
            raise InvalidInput(
                f"{where}, line {number}: the password of {name.decode(errors='replace')!r} is not hashed with bcrypt",
                hint="`htpasswd -B` or `lading registry passwd`",
            )
        try:
            user = check_name(name.decode())
            bcrypt.checkpw(b"", found[:4] + b"04" + found[6:])
        except ValueError:
            raise InvalidInput(f"{where}, line {number}: the hash or the name is broken") from None
        if user in users:
            raise InvalidInput(f"{where}, line {number}: {user!r} stands here for the second time")
        users[user] = found
    return users


def check_name(user: str) -> str:
    """``user`` itself when it can be a user's name. Raises :class:`InvalidInput`."""
    if (
        not user
        or len(user) > 255
        or not user.isprintable()
        or user[0] == "@"
        or any(c in ":#=, \t" for c in user)
        or user in RESERVED
    ):
        raise InvalidInput(
            f"{user[:80]!r} cannot name a user: it must not be empty, begin with '@', hold ':', '#', '=', ',' "
            f"or blanks, or be one of {', '.join(RESERVED)}"
        )
    return user


RESERVED = ("anonymous", "authenticated")


def change(path: str, user: str, password: str | None) -> bool:
    """Set a user's password in the file, or remove the user (None); whether the user was there before."""
    check_name(user)
    try:
        data = read(path) or b""
    except OSError as error:
        raise LadingError(f"cannot read {path}: {error.strerror}") from None
    before = parse(data, path)
    lines = [line for line in data.splitlines() if line.strip().partition(b":")[0] != user.encode()]
    if password is not None:
        if not password:
            raise InvalidInput("the password is empty")
        if len(password.encode()) > _LONGEST:
            raise InvalidInput(f"the password is longer than the {_LONGEST} bytes that bcrypt looks at")
        lines.append(user.encode() + b":" + bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST, b"2a")))
    mode = 0o600
    try:
        mode = os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        pass
    write_atomically(path, b"".join(line + b"\n" for line in lines), mode=mode)
    return user in before
