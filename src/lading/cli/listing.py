"""``lading ps`` and ``lading port``."""

from __future__ import annotations

import time

from lading.cli.output import filters, labels_match, listing
from lading.errors import InvalidInput, NotFound
from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.node import ContainerRecord, PodRecord

PS_COLUMNS = (
    ("CONTAINER ID", "id"),
    ("IMAGE", "image"),
    ("COMMAND", "command"),
    ("CREATED", "running_for"),
    ("STATUS", "status"),
    ("PORTS", "ports"),
    ("NAMES", "names"),
)
PS_FILTERS = (
    "id",
    "name",
    "label",
    "status",
    "exited",
    "ancestor",
    "before",
    "since",
    "volume",
    "network",
    "health",
    "publish",
    "expose",
)


def ps(context: Context, parsed: Parsed) -> int:
    """List containers: running ones, or all."""
    wanted = filters(parsed["filter"], PS_FILTERS)
    last = 1 if parsed["latest"] else -1 if parsed["last"] is None else parsed["last"]
    everything = parsed["all"] or last >= 0 or "status" in wanted or "exited" in wanted
    records = context.node.list(all=everything)
    if last >= 0:
        records = [r for r in records if r.single][:last]
    rows = []
    now = time.time()
    records = _matching(context, records, wanted)
    for record in records:
        for container in record.containers:
            if not (everything or container.state in ("running", "paused", "restarting")):
                continue
            if _container_matches(container, wanted):
                size = context.node.written(record, container) if parsed["size"] else None
                rows.append(ps_row(record, container, now, full=parsed["no-trunc"], size=size))
    columns = PS_COLUMNS + ((("SIZE", "size"),) if parsed["size"] else ())
    if parsed["pod"]:
        columns += (("POD", "pod"),)
        names = {r.id: r.name for r in context.node.list(all=True) if not r.single}
        for row in rows:
            row["pod"] = names.get(str(row["pod"]), row["pod"])
    listing(rows, columns, template=parsed["format"], quiet="id" if parsed["quiet"] else "")
    return 0


def container_name(record: PodRecord, container: ContainerRecord) -> str:
    """How a person addresses the container: its pod's name, or ``POD/CONTAINER``."""
    return record.name if record.single else f"{record.name}/{container.name}"


def ps_row(
    record: PodRecord, container: ContainerRecord, now: float, *, full: bool = False, size: int | None = None
) -> dict[str, object]:
    """The fields of ``ps --format``."""
    from lading.cli.inspect import command_of, definition_of, labels_of
    from lading.formats import sizes

    definition = definition_of(record, container)
    command = " ".join(f"'{word}'" if " " in word else word for word in command_of(definition))
    if not full and len(command) > 20:
        command = command[:19] + "…"
    labels = labels_of(record, definition)
    mounts = [m.volume or m.source for m in definition.extras.mounts if m.volume or m.source]
    mounts += [name for name in container.volumes.values() if name not in mounts]
    row: dict[str, object] = {
        "id": container.id if full else container.id[:12],
        "image": container.image or definition.image,
        "command": f'"{command}"',
        "created": duration.rfc3339(record.created),
        "running_for": duration.ago(now - record.created) + " ago",
        "status": status_text(container, now),
        "state": container.state,
        "ports": ports_text(record) if container.state in ("running", "paused") else "",
        "names": container_name(record, container),
        "name": container_name(record, container),
        "pod": (record.pod.spec.extras.pod or "") if record.single else record.name,
        "labels": ",".join(f"{k}={v}" for k, v in labels.items()),
        "mounts": ",".join(mounts),
        "networks": ",".join(networks_of(record)),
        "health": container.health,
        "exit_code": container.exit_code,
        "pid": container.pid,
    }
    if size is not None:
        row["size"] = sizes.decimal3(size)
    return row


def networks_of(record: PodRecord) -> list[str]:
    """The names of the networks the pod is in, or its network mode."""
    spec = record.pod.spec
    if spec.host_network:
        return ["host"]
    if spec.extras.network_mode:
        return [spec.extras.network_mode]
    names = [n.name for n in record.networks] or [n.name for n in spec.extras.networks]
    return ["bridge" if name == "lading" else name for name in names] or ["bridge"]


def status_text(container: ContainerRecord, now: float) -> str:
    """``Up 5 minutes (healthy)``, ``Exited (0) 3 hours ago``, ``Created`` …"""
    state = container.state
    if state in ("running", "paused"):
        text = f"Up {duration.ago(now - container.started)}"
        if state == "paused":
            return text + " (Paused)"
        if container.health:
            text += " (health: starting)" if container.health == "starting" else f" ({container.health})"
        return text
    if state == "restarting":
        return f"Restarting ({container.exit_code}) {duration.ago(now - (container.finished or now))} ago"
    if state == "exited":
        return f"Exited ({container.exit_code}) {duration.ago(now - (container.finished or now))} ago"
    return {"created": "Created", "removing": "Removal In Progress"}.get(state, state.capitalize())


def ports_text(record: PodRecord) -> str:
    """``0.0.0.0:8080->80/tcp, 443/tcp``, neighbouring ports joined to ranges."""
    published = sorted(record.ports, key=lambda p: (p.protocol, p.host_ip, p.port))
    parts: list[str] = []
    index = 0
    while index < len(published):
        first = last = published[index]
        index += 1
        while index < len(published):
            following = published[index]
            if (following.protocol, following.host_ip) != (last.protocol, last.host_ip):
                break
            if (following.port, following.host_port) != (last.port + 1, last.host_port + 1):
                break
            last = following
            index += 1
        address = f"[{first.host_ip}]" if ":" in first.host_ip else first.host_ip or "0.0.0.0"
        inside = f"{first.port}-{last.port}" if last is not first else f"{first.port}"
        outside = f"{first.host_port}-{last.host_port}" if last is not first else f"{first.host_port}"
        parts.append(f"{address}:{outside}->{inside}/{first.protocol}")
    shown = {(p.port, p.protocol) for p in published}
    for definition in record.pod.spec.containers:
        for port in definition.ports:
            if (port.container_port, port.protocol.lower()) not in shown:
                parts.append(f"{port.container_port}/{port.protocol.lower()}")
    return ", ".join(parts)


def _matching(
    context: Context, records: Sequence[PodRecord], wanted: dict[str, list[str]]
) -> list[PodRecord]:
    found = list(records)
    for key, newer in (("before", False), ("since", True)):
        for reference in wanted.get(key, ()):
            mark = context.node.inspect(reference)
            found = [r for r in found if r.id != mark.id and (r.created > mark.created) == newer]
    if "id" in wanted:
        found = [r for r in found if any(c.id.startswith(w) for c in r.containers for w in wanted["id"])]
    if "name" in wanted:
        found = [
            r
            for r in found
            if any(
                w.lstrip("^/").rstrip("$") in container_name(r, c)
                for c in r.containers
                for w in wanted["name"]
            )
        ]
    if "label" in wanted:
        from lading.cli.inspect import definition_of, labels_of

        found = [
            r
            for r in found
            if any(labels_match(wanted["label"], labels_of(r, definition_of(r, c))) for c in r.containers)
        ]
    if "network" in wanted:
        found = [r for r in found if set(networks_of(r)) & set(wanted["network"])]
    if "volume" in wanted:
        found = [r for r in found if _uses_volume(r, wanted["volume"])]
    if "ancestor" in wanted:
        found = [r for r in found if _made_of(context, r, wanted["ancestor"])]
    for key in ("publish", "expose"):
        if key in wanted:
            found = [r for r in found if _has_port(r, wanted[key], published=key == "publish")]
    return found


def _uses_volume(record: PodRecord, names: Sequence[str]) -> bool:
    used: set[str] = set()
    for container in record.containers:
        used.update(container.volumes.values())
        used.update(container.volumes)
    for definition in record.pod.spec.containers:
        for mount in definition.extras.mounts:
            used.update((mount.volume, mount.source, mount.target))
    return bool(used & set(names))


def _made_of(context: Context, record: PodRecord, references: Sequence[str]) -> bool:
    for reference in references:
        try:
            image = context.images.get(reference)
            ids = {image.id, image.digest}
        except (NotFound, InvalidInput):
            ids = set()
        for container in record.containers:
            if container.image == reference or container.image_id in ids:
                return True
    return False


def _has_port(record: PodRecord, texts: Sequence[str], *, published: bool) -> bool:
    from lading.formats import ports

    have = {(p.port, p.protocol) for p in record.ports}
    if not published:
        have |= {(p.container_port, p.protocol.lower()) for c in record.pod.spec.containers for p in c.ports}
    return any(wanted in have for text in texts for wanted in ports.exposed(text))


def _container_matches(container: ContainerRecord, wanted: dict[str, list[str]]) -> bool:
    states = ("created", "running", "paused", "restarting", "exited", "removing", "dead")
    for state in wanted.get("status", ()):
        if state not in states:
            raise InvalidInput(
                f"--filter status={state}: not a state", hint=f"the states are {', '.join(states)}"
            )
    if "status" in wanted and container.state not in wanted["status"]:
        return False
    if "health" in wanted and (container.health or "none") not in wanted["health"]:
        return False
    if "exited" in wanted:
        if not all(code.isdigit() for code in wanted["exited"]):
            raise InvalidInput(f"--filter exited={wanted['exited'][0]}: not an exit code")
        return container.state == "exited" and str(container.exit_code) in wanted["exited"]
    return True


def port(context: Context, parsed: Parsed) -> int:
    """Print published ports: all, or where one of them is."""
    record = context.node.inspect(parsed.args[0])
    published = record.ports
    if len(parsed.args) > 1:
        from lading.formats import ports

        ((number, protocol),) = ports.exposed(parsed.args[1])
        published = [p for p in published if p.port == number and p.protocol == protocol]
        if not published:
            raise NotFound(f"{parsed.args[0]}: port {number}/{protocol} is not published")
    for one in published:
        address = f"[{one.host_ip}]" if ":" in one.host_ip else one.host_ip or "0.0.0.0"
        where = f"{address}:{one.host_port}"
        print(where if len(parsed.args) > 1 else f"{one.port}/{one.protocol} -> {where}")
    return 0
