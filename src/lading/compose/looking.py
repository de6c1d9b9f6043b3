"""``ps``, ``images``, ``port``, ``top``, ``events`` and ``stats`` of ``lading compose``: they change nothing."""

from __future__ import annotations

import sys
import time

from lading.cli.listing import ports_text, status_text
from lading.cli.output import filters, listing, show, table
from lading.compose import labels, state
from lading.compose.application import Application
from lading.compose.choosing import chosen, one
from lading.errors import InvalidInput, NotFound
from lading.formats import duration, jsontext
from lading.formats import platform as platforms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed

_STATES = ("paused", "restarting", "removing", "running", "dead", "created", "exited")


def ps(context: Context, parsed: Parsed) -> int:
    """List the project's containers: those that run, or all."""
    app = Application(context, parsed)
    project, found = chosen(app, parsed.args, oneoffs=False)
    wanted = {text.lower() for text in parsed["status"]}
    for texts in filters(parsed["filter"], ("status", "source")).items():
        if texts[0] == "source":
            raise InvalidInput("--filter source=…: the only source is the Compose file")
        wanted |= {text.lower() for text in texts[1]}
    for word in wanted:
        if word not in _STATES:
            raise InvalidInput(f"--status {word[:40]!r} is not one of {', '.join(_STATES)}")
    if parsed["all"]:
        found += state.members(context.node, project, parsed.args, oneoffs=True)
    shown = [m for m in found if (m.state in wanted if wanted else parsed["all"] or m.running)]
    if not parsed["orphans"] and app.services:
        shown = [m for m in shown if m.service in app.services]
    if parsed["services"]:
        show("".join(f"{name}\n" for name in dict.fromkeys(m.service for m in shown)))
        return 0
    if parsed["quiet"]:
        show("".join(f"{m.id}\n" for m in shown))
        return 0
    now = time.time()
    rows = [_row(m, now, full=parsed["no-trunc"]) for m in shown]
    columns = (
        ("NAME", "Name"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("SERVICE", "Service"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
    )
    listing(rows, columns, template=parsed["format"])
    return 0


def _row(member: state.Member, now: float, *, full: bool) -> dict[str, object]:
    """The fields of ``ps --format``, called as docker compose calls them."""
    from lading.cli.inspect import command_of

    record, container = member.record, member.record.container
    command = " ".join(_quoted(word) for word in command_of(record.pod.spec.containers[0]))
    if not full and len(command) > 20:
        command = command[:19] + "…"
    return {
        "Command": f'"{command}"',
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(record.created)),
        "ExitCode": container.exit_code if container.state == "exited" else 0,
        "Health": container.health,
        "ID": member.id if full else member.id[:12],
        "Image": container.image,
        "Labels": ",".join(f"{k}={v}" for k, v in member.labels.items()),
        "LocalVolumes": str(len(container.volumes)),
        "Mounts": ",".join(
            m.volume or m.source for m in record.pod.spec.containers[0].extras.mounts if m.volume or m.source
        ),
        "Name": member.name,
        "Names": member.name,
        "Networks": ",".join(n.name for n in record.networks),
        "Ports": ports_text(record) if member.running else "",
        "Project": member.project,
        "Publishers": [
            {
                "URL": p.host_ip or "0.0.0.0",
                "TargetPort": p.port,
                "PublishedPort": p.host_port,
                "Protocol": p.protocol,
            }
            for p in record.ports
        ]
        if member.running
        else [],
        "RunningFor": duration.ago(now - record.created) + " ago",
        "Service": member.service,
        "Size": "0B",
        "State": container.state,
        "Status": status_text(container, now),
    }


def _since(moment: str) -> str:
    """How long ago that was; ``N/A`` of a time that is not known."""
    try:
        return duration.ago(time.time() - duration.moment(moment, 0.0)) + " ago"
    except InvalidInput:
        return "N/A"


_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!%+,-./:=@^_")


def _quoted(word: str) -> str:
    """A word as a shell would take it."""
    return word if word and _BARE.issuperset(word) else "'" + word.replace("'", "'\\''") + "'"


def images(context: Context, parsed: Parsed) -> int:
    """List the images that the containers were made of."""
    from lading.formats import sizes

    app = Application(context, parsed)
    _, found = chosen(app, parsed.args)
    rows = []
    for member in found:
        container = member.record.container
        repository, _, tag = container.image.rpartition(":")
        if not repository or "/" in tag:
            repository, tag = container.image, "latest"
        try:
            image = context.images.get(container.image_id)
            size, created = image.size, image.config.created or ""
        except NotFound:
            size, created = 0, ""
        rows.append(
            {
                "ID": container.image_id,
                "ContainerName": member.name,
                "Repository": repository,
                "Tag": tag,
                "Platform": platforms.text(image.platform) if size else "",
                "Size": size,
                "Created": created,
            }
        )
    if parsed["quiet"]:
        show("".join(f"{i}\n" for i in dict.fromkeys(str(row["ID"]).partition(":")[2] for row in rows)))
    elif parsed["format"] == "json":
        show(jsontext.dumps(rows) + "\n")
    elif parsed["format"] in ("", "table"):
        table(
            ("CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"),
            [
                (
                    str(r["ContainerName"]),
                    str(r["Repository"]),
                    str(r["Tag"]),
                    str(r["Platform"]),
                    str(r["ID"]).partition(":")[2][:12],
                    sizes.decimal3(float(str(r["Size"]))),
                    _since(str(r["Created"])),
                )
                for r in rows
            ],
        )
    else:
        raise InvalidInput(f"--format {parsed['format'][:40]!r} is not table or json")
    return 0


def port(context: Context, parsed: Parsed) -> int:
    """Print the host's address and port of a published port."""
    app = Application(context, parsed)
    service, text = parsed.args
    number, slash, protocol = text.partition("/")
    protocol = protocol if slash else parsed["protocol"]
    if not (number.isascii() and number.isdigit()) or len(number) > 5:
        raise InvalidInput(f"{text[:40]!r} is not a port")
    member = one(app, service, parsed["index"])
    for published in member.record.ports:
        if published.port == int(number) and published.protocol == protocol:
            address = published.host_ip or "0.0.0.0"
            print(
                f"[{address}]:{published.host_port}" if ":" in address else f"{address}:{published.host_port}"
            )
            return 0
    raise NotFound(f"no port {number}/{protocol} of {member.name} is published", reason="no-port")


def top(context: Context, parsed: Parsed) -> int:
    """Show the processes of every container that runs."""
    app = Application(context, parsed)
    columns = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
    rows = []
    for member in chosen(app, parsed.args)[1]:
        if member.running:
            for row in context.node.top(member.id):
                rows.append((member.service, str(member.number), *(row[name] for name in columns)))
    if rows:
        table(("SERVICE", "#", *columns), rows)
    return 0


def events(context: Context, parsed: Parsed) -> int:
    """Show what happens to the project's containers."""
    app = Application(context, parsed)
    project = app.project_name() if not app.has_file() else app.load(parsed.args, environments=False).name
    known: dict[str, dict[str, str]] = {}
    now = time.time()
    since = duration.moment(parsed["since"], now) if parsed["since"] else 0.0
    until = duration.moment(parsed["until"], now) if parsed["until"] else 0.0
    for event in context.node.events(since=since, until=until, follow=not until or until > now):
        if event.kind != "container":
            continue
        if event.id not in known or event.action in ("create", "rename"):
            for member in state.members(context.node, project, oneoffs=None):
                known[member.id] = member.labels
        marks = known.get(event.id) or _by_name(project, event.name)
        if marks is None or (parsed.args and marks.get(labels.SERVICE) not in parsed.args):
            continue
        service = marks.get(labels.SERVICE, "")
        attributes = {"name": event.name, **event.attributes}
        if parsed["json"]:
            text = jsontext.dumps(
                {
                    "time": duration.rfc3339(event.time),
                    "type": "container",
                    "action": event.action,
                    "id": event.id,
                    "service": service,
                    "attributes": attributes,
                }
            )
        else:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
            rest = ", ".join(f"{k}={v}" for k, v in attributes.items())
            text = f"{stamp}.{int(event.time % 1 * 1e6):06d} container {event.action} {event.id} ({rest})"
        show(text + "\n")
        sys.stdout.flush()
    return 0


def _by_name(project: str, name: str) -> dict[str, str] | None:
    """The labels of a container that is gone, as far as its name tells."""
    service, _, number = name.removeprefix(f"{project}-").rpartition("-")
    if not name.startswith(f"{project}-") or not service or not number.isdigit():
        return None
    return {labels.PROJECT: project, labels.SERVICE: service, labels.NUMBER: number}


def stats(context: Context, parsed: Parsed) -> int:
    """Show what the project's containers use, as ``lading stats`` does."""
    from lading.cli import stats as single
    from lading.cli.commands import ROOT
    from lading.flags import parse

    app = Application(context, parsed)
    found = [m for m in chosen(app, parsed.args)[1] if m.running or parsed["all"]]
    if not found:
        return 0
    words = ["stats"]
    words += [f"--{flag}" for flag in ("all", "no-stream", "no-trunc") if parsed[flag]]
    words += ["--format", parsed["format"]] if parsed["format"] else []
    return single.stats(context, parse(ROOT, [*words, *(m.name for m in found)]))
