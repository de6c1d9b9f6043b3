"""What people type for volumes, mount points and ports: ``NAME,key=value,…``.

Source: the forms are those that the reference implementation and Rocket's
command line take. Every form is printed again by its counterpart, and reading what was printed gives the same.
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats.appc.app import LARGEST_PORT, MountPoint, Port
from lading.formats.appc.errors import shown
from lading.formats.appc.pod import Volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_HINT_VOLUME = "for example data,kind=host,source=/srv/data,readOnly=true"
_HINT_MOUNT_POINT = "for example data,path=/var/lib/data,readOnly=true"
_HINT_PORT = "for example http,protocol=tcp,port=8080"


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
