"""``ports``: ``[[HOST:]PUBLISHED:]TARGET[/PROTOCOL]`` in its long form. Source: Compose specification, "ports"."""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import ports as published
from lading.formats.compose.document import Override, Reset


def ports(value: object, where: str) -> object:
    """Every row in long form, a range of targets spread out. Raises :class:`InvalidInput`."""
    if not isinstance(value, list):
        return value
    made: list[object] = []
    for index, item in enumerate(value):
        if isinstance(item, (Reset, Override)):
            raise InvalidInput(f"{where}[{index}]: a tag stands before the whole list")
        if isinstance(item, int) and not isinstance(item, bool):
            item = str(item)
        if isinstance(item, str):
            try:
                made += _short(item, f"{where}[{index}]")
            except InvalidInput:
                if "$" not in item:
                    raise
                made.append(item)  # a variable that nobody has filled in
        elif isinstance(item, dict):
            made.append({"mode": "ingress", "protocol": "tcp", **item})
        else:
            made.append(item)
    return made


def _short(text: str, where: str) -> list[object]:
    try:
        rows = published.publish(text)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}", hint=error.hint) from None
    made: list[object] = []
    for row in rows:
        long: dict[str, object] = {"mode": "ingress", "target": row.port, "protocol": row.protocol}
        if row.host_port:
            long["published"] = f"{row.host_port}-{row.host_end}" if row.host_end else str(row.host_port)
        if row.host_ip:
            long["host_ip"] = row.host_ip
        made.append(long)
    return made
