"""Commands about this machine: events, df, prune, info, version, check."""

from __future__ import annotations

import os
import platform
import sys
import time

from lading.cli.output import confirm, filters, listing, objects, table
from lading.errors import InvalidInput
from lading.formats import duration, jsontext, sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lading.cli.context import Context
    from lading.cli.pruning import Choice
    from lading.flags import Parsed
    from lading.images import Image
    from lading.node import Event
    from lading.node.model import Finding


def events(context: Context, parsed: Parsed) -> int:
    """Print what happens, as it happens."""
    now = time.time()
    since = duration.moment(parsed["since"], now) if parsed["since"] else 0.0
    until = duration.moment(parsed["until"], now) if parsed["until"] else 0.0
    wanted = filters(parsed["filter"], ("container", "event", "type", "label", "image"))
    for event in context.node.events(since=since or now, until=until, follow=not until or until > now):
        if not _wanted(event, wanted):
            continue
        row: dict[str, object] = {
            "time": duration.rfc3339(event.time),
            "type": event.kind,
            "action": event.action,
            "id": event.id,
            "name": event.name,
            "attributes": event.attributes,
        }
        if parsed["format"].startswith("table"):
            raise InvalidInput(f"--format {parsed['format']!r}: events come one by one and make no table")
        if parsed["format"] == "json":
            print(jsontext.dumps(row), flush=True)
        elif parsed["format"]:
            from lading.cli.output import fill

            print(fill(parsed["format"], row), flush=True)
        else:
            extra = ", ".join(f"{k}={v}" for k, v in {**event.attributes, "name": event.name}.items())
            print(f"{row['time']} {event.kind} {event.action} {event.id} ({extra})", flush=True)
    return 0


def _wanted(event: Event, wanted: dict[str, list[str]]) -> bool:
    attributes = event.attributes
    for key, values in wanted.items():
        if key == "container" and not any(v == event.name or event.id.startswith(v) for v in values):
            return False
        if key == "event" and event.action not in values:
            return False
        if key == "type" and event.kind not in values:
            return False
        if key == "image" and attributes.get("image") not in values:
            return False
        if key == "label":
            from lading.cli.output import labels_match

            if not labels_match(values, attributes):
                return False
    return True


def version(context: Context, parsed: Parsed) -> int:
    """Print versions."""
    from lading import __version__

    row: dict[str, object] = {
        "version": __version__,
        "python": platform.python_version(),
        "kernel": os.uname().release,
        "architecture": os.uname().machine,
    }
    if parsed["format"]:
        objects([row], parsed["format"])
        return 0
    for key, value in row.items():
        print(f"{key.capitalize() + ':':<14}{value}")
    return 0


def info(context: Context, parsed: Parsed) -> int:
    """Show this machine as Lading sees it."""
    from lading import __version__
    from lading.cli.stats import total_memory

    roots = context.roots
    records = context.node.list(all=True)
    states = [c.state for r in records for c in r.containers]
    row: dict[str, object] = {
        "version": __version__,
        "rootless": roots.uid != 0,
        "containers": len(states),
        "containers_running": states.count("running"),
        "containers_paused": states.count("paused"),
        "containers_stopped": sum(s in ("exited", "created") for s in states),
        "pods": sum(not r.single for r in records),
        "images": len(context.images.list()),
        "volumes": len(context.volumes.list()),
        "cgroups": _cgroup_version(),
        "kernel": os.uname().release,
        "operating_system": _os_name(),
        "architecture": os.uname().machine,
        "cpus": os.cpu_count() or 1,
        "memory": total_memory(),
        "hostname": os.uname().nodename,
        "storage": _storage(context),
        "root": roots.data,
        "run_root": roots.run,
        "config": roots.config,
        "python": platform.python_version(),
    }
    if parsed["format"]:
        objects([row], parsed["format"])
        return 0
    for key, value in row.items():
        if key == "memory":
            value = sizes.binary(value)  # type: ignore[arg-type]
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        print(f"{key.replace('_', ' ').capitalize() + ':':<22}{value}")
    return 0


def _storage(context: Context) -> str:
    """``overlay``, or ``copy`` with the reason in brackets."""
    chosen = context.images.storage()
    return f"{chosen.kind} ({chosen.reason})" if chosen.reason else chosen.kind


def _cgroup_version() -> str:
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return "v2"
    return "hybrid" if os.path.exists("/sys/fs/cgroup/unified/cgroup.controllers") else "v1"


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def df(context: Context, parsed: Parsed) -> int:
    """Show what takes disk space, and how much of it nothing uses."""
    used_images = context.node.images_in_use()
    found = context.images.list()
    image_total = _distinct(found)
    image_used = _distinct([i for i in found if i.id in used_images or i.digest in used_images])
    pods = context.node.usage()
    pod_total = sum(size for _, size in pods)
    pod_idle = sum(size for record, size in pods if record.state not in ("running", "paused", "restarting"))
    in_use = context.node.volumes_in_use()
    volumes = [(v, context.volumes.usage(v.name)) for v in context.volumes.list()]
    volume_total = sum(size for _, size in volumes)
    volume_idle = sum(size for v, size in volumes if v.name not in in_use)
    active = sum(r.state in ("running", "paused", "restarting") for r, _ in pods)
    rows: list[dict[str, object]] = [
        _df_row("Images", len(found), sum(i.id in used_images or i.digest in used_images for i in found),
                image_total, image_total - image_used),
        _df_row("Containers", len(pods), active, pod_total, pod_idle),
        _df_row("Local Volumes", len(volumes), sum(v.name in in_use for v, _ in volumes), volume_total, volume_idle),
        _df_builds(context),
    ]  # fmt: skip
    listing(
        rows,
        (
            ("TYPE", "type"),
            ("TOTAL", "total"),
            ("ACTIVE", "active"),
            ("SIZE", "size"),
            ("RECLAIMABLE", "reclaimable"),
        ),
        template=parsed["format"],
    )
    if parsed["verbose"] and not parsed["format"]:
        print("\nImages:")
        table(
            ("NAME", "IMAGE ID", "SIZE"),
            [[", ".join(i.names) or "<none>", i.short_id, sizes.decimal3(i.size)] for i in found],
        )
        print("\nContainers:")
        table(
            ("ID", "NAME", "STATE", "SIZE"),
            [[r.id[:12], r.name, r.state, sizes.decimal3(n)] for r, n in pods],
        )
        print("\nVolumes:")
        table(
            ("NAME", "USED BY", "SIZE"),
            [[v.name, ", ".join(in_use.get(v.name, [])), sizes.decimal3(n)] for v, n in volumes],
        )
    return 0


def _df_builds(context: Context) -> dict[str, object]:
    from lading.build.records import Ledger

    ledger = Ledger(context.roots, context.images)
    busy = [record for record in ledger.records if record.in_use]
    total = ledger.total(ledger.records)
    return _df_row("Build Cache", len(ledger.records), len(busy), total, total - ledger.total(busy))


def _distinct(images: Sequence[Image]) -> int:
    """Bytes of all layers of the images, each layer once: a layer's own size is known by what it adds."""
    seen: dict[tuple[str, ...], int] = {}
    for image in images:
        seen[tuple(image.layers)] = image.size
    # An image whose layers all lie below another's is part of it.
    total = 0
    for layers, size in seen.items():
        if not any(other != layers and other[-len(layers) :] == layers for other in seen):
            total += size
    return total


def _df_row(kind: str, total: int, active: int, size: int, free: int) -> dict[str, object]:
    share = f" ({100 * free // size}%)" if size else ""
    return {
        "type": kind,
        "total": total,
        "active": active,
        "size": sizes.decimal3(size),
        "reclaimable": f"{sizes.decimal3(max(free, 0))}{share}",
        "bytes": size,
        "reclaimable_bytes": max(free, 0),
    }


def container_prune(context: Context, parsed: Parsed) -> int:
    """Remove stopped containers."""
    from lading.cli.pruning import Choice

    choice = Choice(parsed["filter"])
    if not confirm("This removes every container and pod that is not running. Go on?", parsed["force"]):
        return 1
    print(f"Total reclaimed space: {sizes.decimal(_prune_containers(context, choice))}")
    return 0


def _prune_containers(context: Context, choice: Choice) -> int:
    """Remove what does not run, and say what that was; the bytes that became free."""
    before = {record.id: size for record, size in context.node.usage()}
    removed = context.node.prune(choice.takes_pod)
    _deleted("Containers", [record.id for record in removed])
    return sum(before.get(record.id, 0) for record in removed)


def prune(context: Context, parsed: Parsed) -> int:
    """Remove everything that nothing uses."""
    from lading.cli.images import prune_unnamed
    from lading.cli.networks import prune_unused
    from lading.cli.pruning import Choice

    choice = Choice(parsed["filter"])
    if choice.before and parsed["volumes"]:
        raise InvalidInput(
            "--filter until and --volumes contradict each other: volumes go by their use, not by age"
        )
    what = ["every container and pod that is not running", "every network without containers"]
    if parsed["volumes"]:
        what.append("every anonymous volume that no container uses")
    what.append("every image that no container uses" if parsed["all"] else "every image without a name")
    what.append("what builds cached" + ("" if parsed["all"] else " and no image has"))
    if not confirm("This removes\n  - " + "\n  - ".join(what) + "\nGo on?", parsed["force"]):
        return 1
    freed = _prune_containers(context, choice)
    _deleted("Networks", prune_unused(context, choice))
    if parsed["volumes"]:
        from lading.cli.volumes import users

        names, bytes_ = context.volumes.prune(users(context), chosen=lambda v: choice.takes(0.0, v.labels))
        _deleted("Volumes", names)
        freed += bytes_
    report = prune_unnamed(context, choice, all=parsed["all"])
    _deleted("Images", [*report.untagged, *report.removed])
    freed += report.freed
    if not (choice.labels or choice.without):  # what builds cached has no labels
        from lading.build import housekeeping

        pruned = housekeeping.prune(
            context.roots, context.images, chosen=lambda r: choice.takes(r.used, {}), all=parsed["all"]
        )
        _deleted("build cache objects", [record.id for record in pruned.records])
        freed += pruned.freed
    print(f"Total reclaimed space: {sizes.decimal(freed)}")
    return 0


def _deleted(kind: str, names: list[str]) -> None:
    if names:
        print(f"Deleted {kind}:")
        print("\n".join(names) + "\n")


def _of_builds(context: Context, *, repair: bool) -> list[Finding]:
    """What is wrong with the cache of builds."""
    from lading.build import housekeeping
    from lading.node.model import Finding

    found = housekeeping.check(context.roots, context.images, repair=repair)
    return [Finding(what=what, where=where, fix="remove it", fixed=fixed) for where, what, fixed in found]


def check(context: Context, parsed: Parsed) -> int:
    """Compare what is recorded with what is; 1 when something is wrong and was not put right."""
    findings = context.node.check(repair=parsed["repair"]) + _of_builds(context, repair=parsed["repair"])
    wrong = [f for f in findings if not f.fixed]
    if parsed["format"]:
        objects([f.encode() for f in findings], parsed["format"])
    elif not parsed["quiet"]:
        for finding in findings:
            done = "repaired" if finding.fixed else ("not repaired" if parsed["repair"] else "to repair")
            print(f"{finding.where}: {finding.what}: {done}: {finding.fix}")
        if not findings:
            print("Everything is as recorded.")
        elif wrong and not parsed["repair"]:
            print("Run lading check --repair to put this right.", file=sys.stderr)
    return 1 if wrong else 0
