"""PEM: labelled base64 between two lines of dashes. RFC 7468; text before and after the blocks is allowed, headers are not."""

from __future__ import annotations

import base64
import binascii

from lading.errors import InvalidInput

_BEGIN, _END, _TAIL = b"-----BEGIN ", b"-----END ", b"-----"
_WIDTH = 64


def encode(label: str, data: bytes) -> bytes:
    """One block."""
    text = base64.b64encode(data)
    lines = [text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH)]
    name = label.encode()
    return b"\n".join([_BEGIN + name + _TAIL, *lines, _END + name + _TAIL, b""])


def decode(data: bytes, *, what: str) -> list[tuple[str, bytes]]:
    """The blocks of ``data``: label and content. Raises :class:`InvalidInput` (reason ``pem``) for none and for a broken one."""
    found: list[tuple[str, bytes]] = []
    label = b""
    body: list[bytes] | None = None
    for raw in data.splitlines():
        line = raw.strip()
        if body is None:
            if line.startswith(_BEGIN) and line.endswith(_TAIL):
                label, body = line[len(_BEGIN) : -len(_TAIL)], []
        elif line.startswith(_END):
            if line != _END + label + _TAIL:
                raise InvalidInput(f"{what}: a PEM block ends with another label", reason="pem")
            found.append((_text(label, what), _bytes(b"".join(body), what)))
            body = None
        else:
            body.append(line)
    if body is not None:
        raise InvalidInput(f"{what}: a PEM block has no end", reason="pem")
    if not found:
        raise InvalidInput(f"{what}: there is no PEM block in it", reason="pem")
    return found


def _text(label: bytes, what: str) -> str:
    try:
        return label.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidInput(f"{what}: a PEM label is not ASCII", reason="pem") from None


def _bytes(text: bytes, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"{what}: a PEM block is not base64", reason="pem") from None
