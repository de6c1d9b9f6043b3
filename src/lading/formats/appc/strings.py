"""What people type: ``NAME,key=value,…`` for volumes, mount points and ports, and ``NAME:VERSION,label=value`` for images.

Source: spec/discovery.md for names and labels; the forms with keys are those that the reference implementation and Rocket's
command line take. Every form is printed again by its counterpart, and reading what was printed gives the same.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.appc.app import LARGEST_PORT, MountPoint, Port
from lading.formats.appc.errors import shown
from lading.formats.appc.labels import check_labels, labels_of
from lading.formats.appc.names import check_identifier
from lading.formats.appc.pod import Volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_HINT_VOLUME = "for example data,kind=host,source=/srv/data,readOnly=true"
_HINT_MOUNT_POINT = "for example data,path=/var/lib/data,readOnly=true"
_HINT_PORT = "for example http,protocol=tcp,port=8080"


class Wanted:
    """An image that somebody asks for by name: ``labels`` are those that were given, and no others."""

    __slots__ = ("labels", "name")

    def __init__(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Raises :class:`InvalidInput` for a name or a label that cannot be."""
        self.name = check_identifier(name, "image name")
        self.labels = dict(labels or {})
        check_labels(labels_of(self.labels), "labels")

    def with_defaults(self, defaults: Mapping[str, str]) -> Wanted:
        """The same with labels added that were not given, as a client adds its own ``os`` and ``arch``."""
        return Wanted(self.name, {**defaults, **self.labels})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wanted) and (self.name, self.labels) == (other.name, other.labels)

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.labels.items()))))

    def __repr__(self) -> str:
        return f"Wanted({self.name!r}, {self.labels!r})"

    def __str__(self) -> str:
        """As it is typed. A value that the form has no way to say is shown as it is."""
        version = self.labels.get("version")
        text = self.name if version is None else f"{self.name}:{version}"
        return text + "".join(f",{n}={self.labels[n]}" for n in sorted(self.labels) if n != "version")


def wanted(text: str) -> Wanted:
    """``example.com/app:1.0,os=linux,channel=beta``. A colon and a comma cannot be in a value.

    Raises :class:`InvalidInput`.
    """
    name, *parts = text.split(",")
    if ":" in "".join(parts):
        raise _bad("image", text, "a colon may stand right after the name only")
    name, colon, version = name.partition(":")
    if ":" in version:
        raise _bad("image", text, "there is more than one colon")
    if "=" in name:
        raise _bad("image", text, "the name of the image comes first")
    labels = {"version": version} if colon else {}
    for part in parts:
        label, equals, value = part.partition("=")
        if not equals:
            raise _bad("image", text, f"the label {shown(label)} has no value")
        if label == "name":
            raise _bad("image", text, "a label cannot be called 'name'")
        if label in labels:
            raise _bad("image", text, f"the label {shown(label)} is given twice")
        labels[label] = value
    try:
        return Wanted(name, labels)
    except InvalidInput as error:
        raise _bad("image", text, error.message, hint=error.hint) from None


# -- volumes, mount points, ports ----------------------------------------------------------------------------------


def volume(text: str) -> Volume:
    """``NAME,kind=host,source=/x,readOnly=true,recursive=false`` or ``NAME,kind=empty,mode=0700,uid=1,gid=1``.

    Raises :class:`InvalidInput`.
    """
    fields = _fields(
        "volume", text, ("kind", "source", "readOnly", "recursive", "mode", "uid", "gid"), _HINT_VOLUME
    )
    if "kind" not in fields:
        raise _bad("volume", text, "kind is missing", hint=_HINT_VOLUME)
    made = Volume(
        name=fields["name"],
        kind=fields["kind"],
        source=fields.get("source", ""),
        read_only=_optional_flag("volume", text, fields, "readOnly"),
        recursive=_optional_flag("volume", text, fields, "recursive"),
        mode=fields.get("mode"),
        uid=_optional_number("volume", text, fields, "uid"),
        gid=_optional_number("volume", text, fields, "gid"),
    )
    _check("volume", text, made, _HINT_VOLUME)
    return made


def volume_text(made: Volume) -> str:
    """A volume as :func:`volume` reads it. Raises :class:`InvalidInput` for a source with a comma in it."""
    return _text(
        made.name,
        {
            "kind": made.kind,
            "source": made.source or None,
            "readOnly": made.read_only,
            "recursive": made.recursive,
            "mode": made.mode,
            "uid": made.uid,
            "gid": made.gid,
        },
    )


def mount_point(text: str) -> MountPoint:
    """``NAME,path=/db,readOnly=true``. Raises :class:`InvalidInput`."""
    fields = _fields("mount point", text, ("path", "readOnly"), _HINT_MOUNT_POINT)
    if not fields.get("path"):
        raise _bad("mount point", text, "path is missing", hint=_HINT_MOUNT_POINT)
    read_only = _optional_flag("mount point", text, fields, "readOnly") or False
    made = MountPoint(name=fields["name"], path=fields["path"], read_only=read_only)
    _check("mount point", text, made, _HINT_MOUNT_POINT)
    return made


def mount_point_text(made: MountPoint) -> str:
    """A mount point as :func:`mount_point` reads it. Raises :class:`InvalidInput` for a path with a comma in it."""
    return _text(made.name, {"path": made.path, "readOnly": made.read_only or None})


def port(text: str) -> Port:
    """``NAME,protocol=tcp,port=8080,count=2,socketActivated=true``. Raises :class:`InvalidInput`."""
    fields = _fields("port", text, ("protocol", "port", "count", "socketActivated"), _HINT_PORT)
    for field in ("protocol", "port"):
        if not fields.get(field):
            raise _bad("port", text, f"{field} is missing", hint=_HINT_PORT)
    count = _optional_number("port", text, fields, "count")
    made = Port(
        name=fields["name"],
        protocol=fields["protocol"],
        port=_number("port", text, "port", fields["port"]),
        count=1 if count is None else count,
        socket_activated=_optional_flag("port", text, fields, "socketActivated") or False,
    )
    _check("port", text, made, _HINT_PORT)
    return made


def port_text(made: Port) -> str:
    """A port as :func:`port` reads it. Raises :class:`InvalidInput` for a protocol with a comma in it."""
    return _text(
        made.name,
        {
            "protocol": made.protocol,
            "port": made.port,
            "count": made.count if made.count != 1 else None,
            "socketActivated": made.socket_activated or None,
        },
    )


def published(text: str) -> tuple[str, str, int]:
    """``NAME:[IP:]HOSTPORT`` of ``--port``: the port's name, the host's address (empty: all) and port.

    Raises :class:`InvalidInput`.
    """
    name, *rest = text.split(":")
    if not 1 <= len(rest) <= 2 or not name:
        raise _bad("port", text, "expected NAME:[IP:]HOSTPORT", hint="for example http:8080")
    number = _number("port", text, "host port", rest[-1])
    if not 1 <= number <= LARGEST_PORT:
        raise _bad("port", text, f"{number} is not a port from 1 to {LARGEST_PORT}")
    return name, rest[0] if len(rest) == 2 else "", number


# -- parts ---------------------------------------------------------------------------------------------------------


def _fields(what: str, text: str, known: tuple[str, ...], hint: str) -> dict[str, str]:
    name, *parts = text.split(",")
    if "=" in name:
        raise _bad(what, text, "the name comes first", hint=hint)
    fields = {"name": name}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            raise _bad(what, text, f"{shown(key)} has no value", hint=hint)
        if key not in known:
            raise _bad(what, text, f"unknown key {shown(key)}", hint=f"known are {', '.join(known)}")
        if key in fields:
            raise _bad(what, text, f"{key} is given twice")
        fields[key] = value
    return fields


def _optional_flag(what: str, text: str, fields: dict[str, str], key: str) -> bool | None:
    value = fields.get(key)
    if value is None:
        return None
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise _bad(what, text, f"{key} is {shown(value)}", hint="write true or false")


def _optional_number(what: str, text: str, fields: dict[str, str], key: str) -> int | None:
    value = fields.get(key)
    return None if value is None else _number(what, text, key, value)


def _number(what: str, text: str, key: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 10:
        raise _bad(what, text, f"{key} is {shown(value)}, not a number")
    return int(value)


def _check(what: str, text: str, made: Volume | MountPoint | Port, hint: str) -> None:
    try:
        made.check()
    except InvalidInput as error:
        raise _bad(what, text, error.message, hint=error.hint or hint) from None


def _text(name: str, fields: Mapping[str, str | int | bool | None]) -> str:
    parts = [name]
    for key, value in fields.items():
        if value is None:
            continue
        shown_value = ("true" if value else "false") if isinstance(value, bool) else str(value)
        if "," in shown_value:
            raise InvalidInput(
                f"{key} {shown(shown_value)} has a comma in it, which this form has no way to say"
            )
        parts.append(f"{key}={shown_value}")
    return ",".join(parts)


def _bad(what: str, text: str, why: str, *, hint: str = "") -> InvalidInput:
    return InvalidInput(f"{what} {shown(text)}: {why}", hint=hint)
