"""``lading ps`` and ``lading port``."""

from __future__ import annotations

import time

from lading.cli.output import filters, labels_match, listing, name_fits
from lading.errors import InvalidInput, NotFound
from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    fits = _choice(context, wanted)
    # As Docker's: 0 and -1 are no limit, and only what the filters leave is counted.
    last = 1 if parsed["latest"] else max(parsed["last"], 0)
    everything = parsed["all"] or last > 0 or "status" in wanted or "exited" in wanted
    records = context.node.list(all=everything)
    shown = [
        (record, container)
        for record in records
        for container in record.containers
        if (everything or container.state in ("running", "paused", "restarting")) and fits(record, container)
    ]
    now = time.time()
    sized = parsed["size"] or "{size" in parsed["format"]
    names = {record.id: record.name for record in records}
    rows = []
    for record, container in shown[:last] if last else shown:
        size = context.node.written(record, container) if sized else None
        rows.append(ps_row(record, container, now, full=parsed["no-trunc"], size=size))
        pod = record.pod.spec.extras.pod
        if pod:
            rows[-1]["pod"] = names.get(pod) or _name(context, pod)
    columns: tuple[tuple[str, str], ...] = PS_COLUMNS
    if parsed["size"]:
        columns += (("SIZE", "size"),)
    if parsed["pod"]:
        columns += (("POD", "pod"),)
    listing(rows, columns, template=parsed["format"], quiet="id" if parsed["quiet"] else "")
    return 0


def _name(context: Context, pod: str) -> str:
    try:
        return context.node.inspect(pod).name
    except NotFound:
        return pod  # it is being removed


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
        "pod": "" if record.single else record.name,
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
    if state == "exited" and not container.started and not container.error:
        return "Created"  # of a pod that ended before this one's turn came
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


def _choice(
    context: Context, wanted: Mapping[str, Sequence[str]]
) -> Callable[[PodRecord, ContainerRecord], bool]:
    """Whether ``ps --filter`` shows a container. Raises :class:`InvalidInput`, and NotFound for ``before`` and ``since``."""
    from lading.formats import ports

    _check_values(wanted)
    before = [context.node.inspect(reference) for reference in wanted.get("before", ())]
    since = [context.node.inspect(reference) for reference in wanted.get("since", ())]
    images = _images(context, wanted.get("ancestor", ()))
    published = {port for text in wanted.get("publish", ()) for port in ports.exposed(text)}
    exposed = {port for text in wanted.get("expose", ()) for port in ports.exposed(text)}

    def fits(record: PodRecord, container: ContainerRecord) -> bool:
        name = container_name(record, container)
        return (
            all(record.id != mark.id and record.created < mark.created for mark in before)
            and all(record.id != mark.id and record.created > mark.created for mark in since)
            and _fits_words(container, wanted)
            and ("name" not in wanted or name_fits(wanted["name"], name, f"/{name}"))
            and ("label" not in wanted or labels_match(wanted["label"], _labels(record, container)))
            and ("network" not in wanted or not set(networks_of(record)).isdisjoint(wanted["network"]))
            and ("volume" not in wanted or not _mounted(record, container).isdisjoint(wanted["volume"]))
            and ("ancestor" not in wanted or not images.isdisjoint((container.image, container.image_id)))
            and ("publish" not in wanted or not published.isdisjoint(_ports(record)))
            and ("expose" not in wanted or not exposed.isdisjoint(_ports(record) | _declared(record)))
        )

    return fits


_STATES = ("created", "running", "paused", "restarting", "exited", "removing", "dead")


def _check_values(wanted: Mapping[str, Sequence[str]]) -> None:
    for state in wanted.get("status", ()):
        if state not in _STATES:
            raise InvalidInput(
                f"--filter status={state}: not a state", hint=f"the states are {', '.join(_STATES)}"
            )
    for code in wanted.get("exited", ()):
        if not (code.isascii() and code.isdigit()):
            raise InvalidInput(f"--filter exited={code}: not an exit code")


def _fits_words(container: ContainerRecord, wanted: Mapping[str, Sequence[str]]) -> bool:
    return (
        ("id" not in wanted or container.id.startswith(tuple(wanted["id"])))
        and ("status" not in wanted or container.state in wanted["status"])
        and ("health" not in wanted or (container.health or "none") in wanted["health"])
        and (
            "exited" not in wanted
            or (container.state == "exited" and str(container.exit_code) in wanted["exited"])
        )
    )


def _labels(record: PodRecord, container: ContainerRecord) -> Mapping[str, str]:
    from lading.cli.inspect import definition_of, labels_of

    return labels_of(record, definition_of(record, container))


def _images(context: Context, references: Sequence[str]) -> set[str]:
    """What a container of one of these images has as its image or the image's id."""
    found = set(references)
    for reference in references:
        try:
            image = context.images.get(reference)
        except (NotFound, InvalidInput):
            continue
        found |= {image.id, image.digest}
    return found


def _mounted(record: PodRecord, container: ContainerRecord) -> set[str]:
    """The volumes a container mounts, by name, by what they are on this machine, and by where they are in the container."""
    from lading.cli.inspect import definition_of

    used = {*container.volumes, *container.volumes.values()}
    for mount in definition_of(record, container).extras.mounts:
        used.update((mount.volume, mount.source, mount.target))
    return used


def _ports(record: PodRecord) -> set[tuple[int, str]]:
    return {(port.port, port.protocol) for port in record.ports}


def _declared(record: PodRecord) -> set[tuple[int, str]]:
    return {(p.container_port, p.protocol.lower()) for c in record.pod.spec.containers for p in c.ports}


def port(context: Context, parsed: Parsed) -> int:
    """Print published ports: all, or where one of them is."""
    record = context.node.inspect(parsed.args[0])
    published = record.ports
    asked: Sequence[tuple[int, str]] = ()
    if len(parsed.args) > 1:
        from lading.formats import ports

        asked = ports.exposed(parsed.args[1])
        published = [p for p in published if (p.port, p.protocol) in asked]
        if not published:
            raise NotFound(f"{parsed.args[0]}: port {parsed.args[1]} is not published")
    for one in published:
        address = f"[{one.host_ip}]" if ":" in one.host_ip else one.host_ip or "0.0.0.0"
        where = f"{address}:{one.host_port}"
        print(where if len(asked) == 1 else f"{one.port}/{one.protocol} -> {where}")
    return 0
