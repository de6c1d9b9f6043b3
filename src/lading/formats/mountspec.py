"""``-v``, ``--mount`` and ``--tmpfs`` as Docker's users write them, read into the Pod's own records.

Source: Docker's documentation of bind mounts, volumes and tmpfs mounts. Nothing is looked up here: relative sources stay
relative to ``cwd``, and whether a source exists is the node's business.
"""

from __future__ import annotations

from lading.errors import InvalidInput, Unsupported
from lading.formats.pod import BindMount, TmpfsMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable")
_FLAGS = ("noexec", "exec", "nosuid", "suid", "nodev", "dev", "noatime", "relatime")
_NO_EFFECT = (
    "cached",
    "delegated",
    "consistent",
    "default",
)  # how Docker Desktop synchronises: here always consistent
_LABELS = ("z", "Z")
_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME = _NAME_START | frozenset("_.-")


def volume(text: str, *, cwd: str) -> BindMount:
    """``[SOURCE:]TARGET[:OPTION,…]``: a bind when SOURCE is a path, a named volume when it is a name, anonymous without.

    Raises :class:`InvalidInput` and :class:`Unsupported` (options z and Z, O, U, idmap).
    """
    parts = text.split(":")
    if len(parts) > 3 or not parts[-1] or (len(parts) > 1 and not parts[0]):
        _bad(text, "expected [SOURCE:]TARGET[:OPTIONS]")
    source, target, options = "", parts[0], ""
    if (
        len(parts) == 2
        and not parts[1].startswith("/")
        and parts[0].startswith("/")
        and _all_options(parts[1])
    ):
        options = parts[1]  # an anonymous volume with options: /data:ro
    elif len(parts) >= 2:
        source, target = parts[0], parts[1]
        options = parts[2] if len(parts) == 3 else ""
    made = BindMount(target=_target(target, text))
    if source:
        _source(made, source, cwd, text)
        made.create_source = bool(made.source)
    seen: set[str] = set()
    for option in options.split(",") if options else ():
        _option(made, option, seen, text)
    return made


def _all_options(text: str) -> bool:
    known = ("ro", "rw", "nocopy", "copy", *PROPAGATIONS, *_FLAGS, *_NO_EFFECT, *_LABELS)
    return all(word in known for word in text.split(","))


def _source(made: BindMount, source: str, cwd: str, whole: str) -> None:
    if source.startswith(("/", "./", "../")) or source in (".", ".."):
        made.source = clean(source if source.startswith("/") else f"{cwd}/{source}")
    else:
        made.volume = volume_name(source, whole)


def volume_name(name: str, whole: str = "") -> str:
    """``name`` itself when a volume may be called so. Raises :class:`InvalidInput`."""
    if len(name) > 255 or len(name) < 2 or name[0] not in _NAME_START or not _NAME.issuperset(name):
        what = f"{whole!r}: " if whole and whole != name else ""
        raise InvalidInput(
            f"volume {what}{name[:80]!r} is not a volume name: two or more letters, digits, '_', '.' and '-'",
            hint="a path starts with / or ./",
        )
    return name


def _option(made: BindMount, option: str, seen: set[str], whole: str) -> None:
    kind = option
    if option in ("ro", "rw"):
        kind = "ro and rw"
        made.read_only = option == "ro"
    elif option in ("nocopy", "copy"):
        kind = "copy and nocopy"
        if made.source:
            _bad(whole, f"{option!r} is for volumes, {made.source} is a bind")
        made.copy_up = option == "copy"
    elif option in PROPAGATIONS:
        kind = "propagation"
        if not made.source:
            _bad(whole, f"propagation {option!r} is for binds of a host path")
        made.propagation = option
    elif option in _FLAGS:
        kind = option.removeprefix("no")
        made.options.append(option)
    elif option in _LABELS:
        kind = "z and Z"
        refuse_labels(option, whole)
    elif option in _NO_EFFECT:
        kind = "consistency"
    elif option in ("O", "U", "idmap"):
        raise Unsupported(f"volume {whole!r}: option {option!r} is not supported")
    else:
        _bad(
            whole,
            f"option {option!r} is unknown",
            "the options are ro, rw, nocopy, noexec, nosuid, nodev and propagations",
        )
    if kind in seen:
        _bad(whole, f"{kind} is given twice" if kind == option else f"more than one of {kind}")
    seen.add(kind)


def refuse_labels(option: str, whole: str) -> None:
    """Raise :class:`Unsupported` for ``z`` and ``Z`` where there are labels that they would change."""
    import os

    if os.path.exists("/sys/fs/selinux/enforce"):
        raise Unsupported(f"volume {whole!r}: option {option!r} (SELinux relabelling) is not supported")


def _target(path: str, whole: str) -> str:
    if not path.startswith("/"):
        _bad(whole, f"the target {path[:80]!r} is not an absolute path")
    cleaned = clean(path)
    if cleaned == "/":
        _bad(whole, "the target may not be /")
    return cleaned


def clean(path: str) -> str:
    """``path`` without empty, ``.`` and ``..`` components, by text alone (Go's ``path.Clean`` of an absolute path)."""
    out: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if out:
                out.pop()
        elif part not in ("", "."):
            out.append(part)
    return "/" + "/".join(out)


def _bad(text: str, why: str, hint: str = "") -> NoReturn:
    raise InvalidInput(f"volume {text[:120]!r}: {why}", hint=hint)


# -- --mount -------------------------------------------------------------------------------------------------------


def csv(text: str) -> list[str]:
    """One line of comma-separated values with double quotes (RFC 4180). Raises :class:`InvalidInput`."""
    fields: list[str] = []
    field: list[str] = []  # appended to a text, its characters would be copied each time
    quoted, index = False, 0
    while index < len(text):
        char = text[index]
        if quoted:
            if char == '"':
                if text[index + 1 : index + 2] == '"':
                    field.append('"')
                    index += 1
                else:
                    quoted = False
            else:
                field.append(char)
        elif char == '"':
            quoted = True
        elif char == ",":
            fields.append("".join(field))
            field.clear()
        else:
            field.append(char)
        index += 1
    if quoted:
        raise InvalidInput(f"{text[:120]!r}: a double quote is not closed")
    return [*fields, "".join(field)]


_REFUSED_KEYS = {
    "volume-label": "labels of anonymous volumes are not supported",
    "image-subpath": "image mounts are not supported",
    "idmap": "mapped mounts are not supported",
    "relabel": "SELinux relabelling is not supported",
    "chown": "changing the owner of a source is not supported",
}


def mount(text: str, *, cwd: str) -> BindMount | TmpfsMount:
    """``type=bind|volume|tmpfs,source=…,target=…,…``. Raises :class:`InvalidInput` and :class:`Unsupported`."""
    pairs: dict[str, str] = {}
    driver_options: dict[str, str] = {}
    for field in csv(text):
        key, equals, value = field.partition("=")
        key = _MOUNT_ALIASES.get(key.strip().lower(), key.strip().lower())
        if key in _REFUSED_KEYS:
            raise Unsupported(f"mount {text[:120]!r}: {key}: {_REFUSED_KEYS[key]}")
        if key == "volume-opt":
            name, has, option = value.partition("=")
            if not has or not name:
                _bad_mount(text, "volume-opt wants NAME=VALUE")
            driver_options[name] = option
            continue
        if key not in _MOUNT_KEYS:
            _bad_mount(text, f"field {key!r} is unknown")
        if not equals and key not in _MOUNT_TRUTHS:
            _bad_mount(text, f"field {key!r} wants a value")
        if key in pairs:
            _bad_mount(text, f"field {key!r} is given twice")
        pairs[key] = value if equals else "true"
    kind = pairs.pop("type", "volume")
    if kind in ("image", "npipe", "cluster", "glob", "ramfs", "devpts"):
        raise Unsupported(f"mount {text[:120]!r}: type {kind!r} is not supported")
    if kind not in ("bind", "volume", "tmpfs"):
        _bad_mount(text, f"type {kind!r} is not bind, volume or tmpfs")
    for key in pairs:
        family = key.partition("-")[0]
        if family in ("bind", "volume", "tmpfs") and family != kind:
            _bad_mount(text, f"{key} does not go with type={kind}")
    if driver_options and kind != "volume":
        _bad_mount(text, f"volume-opt does not go with type={kind}")
    if not pairs.get("target"):
        _bad_mount(text, "target is missing")
    if not pairs["target"].startswith("/") or clean(pairs["target"]) == "/":
        _bad_mount(text, f"target {pairs['target'][:80]!r} is not an absolute path below /")
    if kind == "tmpfs":
        return _mount_tmpfs(pairs, text)
    made = BindMount(target=clean(pairs["target"]), driver_options=driver_options)
    made.read_only = _truth(pairs, "readonly", text)
    if kind == "volume":
        if pairs.get("source"):
            made.volume = volume_name(pairs["source"], text)
        made.copy_up = not _truth(pairs, "volume-nocopy", text)
        made.driver = pairs.get("volume-driver", "")
        made.sub_path = pairs.get("volume-subpath", "")
        if made.sub_path:
            if made.sub_path.startswith("/") or ".." in made.sub_path.split("/"):
                _bad_mount(text, f"volume-subpath {made.sub_path!r} is not a path inside the volume")
            if not made.volume:
                _bad_mount(text, "volume-subpath needs a source: a new volume is empty")
            made.copy_up = False  # the image's content belongs at the volume's root
        return made
    source = pairs.get("source", "")
    if not source:
        _bad_mount(text, "source is missing")
    made.source = clean(source if source.startswith("/") else f"{cwd}/{source}")
    made.propagation = pairs.get("bind-propagation", "")
    if made.propagation and made.propagation not in PROPAGATIONS:
        _bad_mount(text, f"bind-propagation {made.propagation!r} is not one of {', '.join(PROPAGATIONS)}")
    recursive = pairs.get("bind-recursive", "enabled")
    if recursive in ("writable", "readonly"):
        raise Unsupported(f"mount {text[:120]!r}: bind-recursive={recursive} is not supported")
    if recursive not in ("enabled", "disabled", "true", "false"):
        _bad_mount(text, f"bind-recursive {recursive!r} is not enabled or disabled")
    made.recursive = recursive in ("enabled", "true") and not _truth(pairs, "bind-nonrecursive", text)
    made.create_source = _truth(pairs, "bind-create-src", text)
    return made


_MOUNT_ALIASES = {"src": "source", "destination": "target", "dst": "target", "ro": "readonly"}
_MOUNT_KEYS = frozenset(
    "type source target readonly consistency bind-propagation bind-nonrecursive bind-recursive bind-create-src "
    "volume-nocopy volume-driver volume-subpath tmpfs-size tmpfs-mode".split()
)
_MOUNT_TRUTHS = frozenset(("readonly", "bind-nonrecursive", "volume-nocopy", "bind-create-src"))


def _truth(pairs: dict[str, str], key: str, whole: str) -> bool:
    value = pairs.get(key, "false").lower()
    if value not in ("true", "1", "false", "0"):
        _bad_mount(whole, f"{key} {value!r} is not true or false")
    return value in ("true", "1")


def _mount_tmpfs(pairs: dict[str, str], whole: str) -> TmpfsMount:
    if pairs.get("source"):
        _bad_mount(whole, "source does not go with type=tmpfs")
    options: list[str] = []
    if _truth(pairs, "readonly", whole):
        options.append("ro")
    if "tmpfs-size" in pairs:
        from lading.formats import sizes

        options.append(f"size={sizes.parse(pairs['tmpfs-size'], what='tmpfs-size')}")
    if "tmpfs-mode" in pairs:
        mode = pairs["tmpfs-mode"]
        if not _is_mode(mode):
            _bad_mount(whole, f"tmpfs-mode {mode!r} is not an octal mode")
        options.append(f"mode={mode}")
    return TmpfsMount(path=clean(pairs["target"]), options=options)


def _bad_mount(text: str, why: str) -> NoReturn:
    raise InvalidInput(
        f"mount {text[:120]!r}: {why}", hint="for example type=bind,source=/srv,target=/data,readonly"
    )


# -- --tmpfs -------------------------------------------------------------------------------------------------------

_TMPFS_FLAGS = frozenset("ro rw noexec exec nosuid suid nodev dev noatime relatime sync dirsync".split())
_TMPFS_VALUES = frozenset("size mode uid gid nr_inodes nr_blocks huge mpol".split())
_TMPFS_UNITS = {"size": "kKmMgG%", "nr_inodes": "kKmMgG", "nr_blocks": "kKmMgG"}
_TMPFS_HUGE = ("never", "always", "within_size", "advise")


def _tmpfs_value(key: str, value: str) -> bool:
    """Whether tmpfs(5) takes ``value``. The policies of ``mpol`` depend on the machine: the kernel judges them."""
    if key in _TMPFS_UNITS:
        digits = value[:-1] if value[-1:] in _TMPFS_UNITS[key] else value
        return digits.isascii() and digits.isdigit() and len(digits) < 20
    if key in ("uid", "gid"):
        return value.isascii() and value.isdigit() and int(value[:11]) < 2**32 - 1
    if key == "mode":
        return _is_mode(value)
    return bool(value) if key == "mpol" else value in _TMPFS_HUGE


def _is_mode(value: str) -> bool:
    return 0 < len(value) <= 5 and set("01234567").issuperset(value) and int(value, 8) <= 0o7777


def tmpfs(text: str) -> TmpfsMount:
    """``PATH[:OPTION,…]`` with the options of tmpfs(5). Raises :class:`InvalidInput`."""
    path, _, rest = text.partition(":")
    if not path.startswith("/") or clean(path) == "/":
        raise InvalidInput(f"tmpfs {text[:120]!r}: {path[:80]!r} is not an absolute path below /")
    options = rest.split(",") if rest else []
    for option in options:
        key, equals, value = option.partition("=")
        if equals and key in _TMPFS_VALUES:
            if not _tmpfs_value(key, value):
                raise InvalidInput(
                    f"tmpfs {text[:120]!r}: {key} {value[:40]!r} is not one that tmpfs takes",
                    hint="for example size=64m or size=50%, mode=1777, uid=1000",
                )
        elif equals or key not in _TMPFS_FLAGS:
            raise InvalidInput(
                f"tmpfs {text[:120]!r}: option {option[:40]!r} is unknown",
                hint="for example /tmp:size=64m,mode=1777",
            )
    return TmpfsMount(path=clean(path), options=options)
