"""``RUN --mount=…`` and ``RUN --device=…``: every option, with its default and its errors.

Source: the Dockerfile reference, "RUN --mount", and BuildKit's ``instructions/commands_runmount.go``.
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, did_you_mean, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.formats.dockerfile.expansion import Expander

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")

_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
_KEYS = {
    "type": TYPES,
    "from": ("bind", "cache"),
    "source": ("bind", "cache", "secret"),
    "target": TYPES,
    "readonly": ("bind", "cache", "tmpfs"),
    "readwrite": ("bind", "cache", "tmpfs"),
    "id": ("cache", "secret", "ssh"),
    "sharing": ("cache",),
    "mode": ("cache", "secret", "ssh"),
    "uid": ("cache", "secret", "ssh"),
    "gid": ("cache", "secret", "ssh"),
    "size": ("tmpfs",),
    "required": ("secret", "ssh"),
    "env": ("secret",),
}
"""Option → the types that have it."""
_IGNORED = {
    "from": ("tmpfs", "ssh"),
    "source": ("tmpfs",),
    "id": ("bind", "tmpfs"),
    "env": ("bind", "cache", "tmpfs", "ssh"),
    "readonly": ("secret", "ssh"),
    "readwrite": ("secret", "ssh"),
}
"""Option → the types with which BuildKit takes it and does nothing."""
_BARE = ("readonly", "readwrite", "required")
_MODES = {"cache": 0o755, "secret": 0o400, "ssh": 0o600}


class RunMount:
    """One ``--mount`` of a RUN.

    ``type``       bind, cache, tmpfs, secret or ssh.
    ``target``     where it stands; relative to the working directory, which it is when empty. A secret without ``env`` has
                   ``/run/secrets/ID``; empty for a secret that is an environment variable alone, and for the default of ssh.
    ``from_``      a stage, an image or a named context; empty for the build context (bind), for nothing (cache).
    ``source``     the path in it, empty for its root.
    ``read_only``  bind: true unless told; cache and tmpfs: false unless told.
    ``id``         cache: the target unless told; secret: the last component of the target unless told; ssh: ``default``.
    ``sharing``    cache: shared, private or locked.
    ``mode``, ``uid``, ``gid``  cache (0755), secret (0400) and ssh (0600), owned by 0:0 unless told.
    ``size``       tmpfs: bytes, 0 for no limit. ``required``: secret and ssh. ``env``: a secret's variable, or None.
    ``text``       as written; ``unexpanded`` while variables in it are not resolved, so that checks of values wait.
    """

    __slots__ = (
        "env",
        "from_",
        "gid",
        "id",
        "mode",
        "read_only",
        "required",
        "sharing",
        "size",
        "source",
        "target",
        "text",
        "type",
        "uid",
        "unexpanded",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.unexpanded = False
        self.type = "bind"
        self.target = self.source = self.from_ = self.id = ""
        self.sharing = "shared"
        self.read_only = True
        self.mode = self.uid = self.gid = self.size = 0
        self.required = False
        self.env: str | None = None

    @classmethod
    def parse(cls, text: str, expander: Expander | None = None) -> RunMount:
        """The mount that ``text`` describes, with variables expanded by ``expander``.

        Without one, a text with variables gives a mount that is :attr:`unexpanded`: ``type``, ``from_``, ``source``,
        ``target`` and ``id`` as written. Raises :class:`DockerfileError`.
        """
        made = cls(text)
        pairs = _pairs(text)
        if expander is None:
            made.unexpanded = "$" in text or "'" in text or '"' in text or "\\" in text or "`" in text
            source = pairs.get("from") or ""
            if "$" in source[:-1]:
                raise DockerfileError(
                    f"from={source[:60]}: variables are not expanded in from",
                    hint="give the image a stage of its own (FROM image:$VERSION AS name) and write from=name",
                    token=f"from={source}",
                )
            if made.unexpanded:
                for key in ("type", "from", "source", "target", "id"):
                    setattr(made, "from_" if key == "from" else key, pairs.get(key) or getattr(made, key, ""))
                return made
        else:
            pairs = {key: expander.word(value) if value is not None else None for key, value in pairs.items()}
        _fill(made, pairs)
        return made

    def expanded(self, expander: Expander) -> RunMount:
        """The same mount with its variables resolved. Raises :class:`DockerfileError`."""
        return RunMount.parse(self.text, expander) if self.unexpanded else self


def _pairs(text: str) -> dict[str, str | None]:
    """Option → value; None for a name alone. Later ones replace earlier ones."""
    made: dict[str, str | None] = {}
    for field in _fields(text):
        key, equals, value = field.partition("=")
        name = _ALIASES.get(key.lower(), key.lower())
        if name not in _KEYS:
            known = [*_KEYS, *_ALIASES]
            raise DockerfileError(
                f"--mount has no option {quoted(key)}",
                hint=did_you_mean(key, known) or f"the options are {', '.join(_KEYS)}",
                token=field,
                reason="unknown-option",
            )
        if not equals and name not in _BARE:
            raise DockerfileError(f"--mount: {name} wants a value", hint=f"write {name}=VALUE", token=field)
        if name in ("readonly", "readwrite"):
            made.pop("readwrite" if name == "readonly" else "readonly", None)
        made[name] = value if equals else None
    return made


def _fields(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    from lading.errors import InvalidInput
    from lading.formats.mountspec import csv

    try:
        return csv(text)
    except InvalidInput as error:
        raise DockerfileError(error.message, token=text) from None


def _fill(made: RunMount, pairs: dict[str, str | None]) -> None:
    kind = (pairs.get("type", "bind") or "").lower()
    if kind not in TYPES:
        raise DockerfileError(
            f"--mount: type {quoted(kind)} is unknown",
            hint=did_you_mean(kind, TYPES) or f"the types are {', '.join(TYPES)}",
            token=f"type={pairs.get('type')}",
        )
    made.type = kind
    for key in pairs:
        if kind not in _KEYS[key] and kind not in _IGNORED.get(key, ()):
            raise DockerfileError(
                f"--mount=type={kind} has no option {key}",
                hint=f"{key} belongs to {' and '.join(_KEYS[key])}",
                token=key,
            )
    made.from_ = pairs.get("from") or ""
    made.source = pairs.get("source") or ""
    made.target = pairs.get("target") or ""
    made.id = pairs.get("id") or ""
    made.read_only = kind not in ("cache", "tmpfs")
    if "readonly" in pairs:
        made.read_only = _truth("readonly", pairs["readonly"])
    elif "readwrite" in pairs:
        made.read_only = not _truth("readwrite", pairs["readwrite"])
    if "required" in pairs:
        made.required = _truth("required", pairs["required"])
    made.env = pairs.get("env")
    made.mode = _MODES.get(kind, 0)
    for key, base in (("mode", 8), ("uid", 10), ("gid", 10)):
        value = pairs.get(key)
        if value is not None:
            setattr(made, key, _number(key, value, base))
    _fill_by_type(made, pairs)


def _fill_by_type(made: RunMount, pairs: dict[str, str | None]) -> None:
    if made.target.startswith("/") and clean(made.target) == "/" and made.type != "ssh":
        raise DockerfileError(
            f"--mount=type={made.type}: the target may not be /",
            hint="name a directory below it",
            token=made.target,
        )
    sharing = (pairs.get("sharing") or "shared").lower()
    if sharing not in SHARING:
        raise DockerfileError(
            f"--mount: sharing {quoted(sharing)} is unknown",
            hint=did_you_mean(sharing, SHARING) or f"write one of {', '.join(SHARING)}",
            token=f"sharing={pairs.get('sharing')}",
        )
    made.sharing = sharing
    if made.type == "cache":
        made.id = made.id or clean(made.target)
    elif made.type == "ssh":
        made.id = made.id or "default"
    elif made.type == "secret":
        _fill_secret(made)
    elif made.type == "tmpfs" and "size" in pairs:
        from lading.errors import InvalidInput
        from lading.formats import sizes

        try:
            made.size = sizes.parse(pairs["size"] or "")
        except InvalidInput as error:
            raise DockerfileError(
                f"--mount: {error.message}", hint=error.hint, token=f"size={pairs['size']}"
            ) from None


def _fill_secret(made: RunMount) -> None:
    if made.source and made.id:
        raise DockerfileError(
            "--mount=type=secret: id and source are two names of one option",
            hint="leave source out",
            token=f"source={made.source}",
        )
    named = made.id or made.source or _last(made.target)
    if not named:
        raise DockerfileError(
            "--mount=type=secret names no secret",
            hint="write --mount=type=secret,id=NAME",
            token="type=secret",
        )
    made.id, made.source = named, ""
    if made.env is None and not made.target:
        made.target = "/run/secrets/" + _last(named)


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def clean(path: str) -> str:
    """Go's ``path.Clean``: no empty, ``.`` and ``..`` components that can go without looking; ``.`` for nothing."""
    rooted = path.startswith("/")
    out: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if out and out[-1] != "..":
                out.pop()
            elif not rooted:
                out.append(part)
        elif part not in ("", "."):
            out.append(part)
    made = "/".join(out)
    return "/" + made if rooted else made or "."


_TRUE = frozenset("1 t T TRUE true True".split())
_FALSE = frozenset("0 f F FALSE false False".split())


def _truth(key: str, value: str | None) -> bool:
    if value is None or value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise DockerfileError(
        f"{key} is true or false, not {quoted(value)}",
        hint=f"write {key} or {key}=false",
        token=f"{key}={value}",
    )


def _number(key: str, value: str, base: int) -> int:
    digits = "01234567" if base == 8 else "0123456789"
    if not value or len(value) > 11 or value.strip(digits) or int(value, base) >= 2**32:
        what = "an octal mode" if base == 8 else "a number"
        raise DockerfileError(
            f"--mount: {key} {quoted(value)} is not {what}",
            hint=f"for example {key}=0755" if base == 8 else f"for example {key}=1000",
            token=f"{key}={value}",
        )
    return int(value, base)


class Device:
    """One ``--device``: a CDI device's name (``vendor.com/class=name``) and whether the step fails without it."""

    __slots__ = ("name", "required")

    def __init__(self, name: str, required: bool) -> None:
        self.name = name
        self.required = required

    @classmethod
    def parse(cls, text: str) -> Device:
        """``[name=]DEVICE[,required[=true|false]]``. Raises :class:`DockerfileError`."""
        made = cls("", False)
        for field in _fields(text):
            key, equals, value = field.partition("=")
            name = key.lower()
            if name == "required":
                made.required = _truth("required", value if equals else None)
            elif name == "name" and equals and not made.name:
                made.name = value
            elif not made.name:
                made.name = field
            else:
                raise DockerfileError(
                    f"--device has no option {quoted(key)}",
                    hint="write --device=vendor.com/class=name,required",
                    token=field,
                )
        return made
