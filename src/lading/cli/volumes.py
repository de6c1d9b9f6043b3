"""``lading volume …``."""

from __future__ import annotations

from lading.cli.output import confirm, each, filters, inspected, labels_match, listing, name_fits, truth
from lading.formats import sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.volumes import Volume


def create(context: Context, parsed: Parsed) -> int:
    """Create a volume and print its name."""
    from lading.cli.translate import pairs

    volume = context.volumes.create(
        parsed.args[0] if parsed.args else "",
        parsed["driver"],
        pairs(parsed["opt"], "--opt"),
        pairs(parsed["label"], "--label"),
        exist_ok=True,
        anonymous=not parsed.args,
    )
    print(volume.name)
    return 0


def ls(context: Context, parsed: Parsed) -> int:
    """List volumes."""
    wanted = filters(parsed["filter"], ("name", "label", "driver", "dangling"))
    dangling = truth(wanted, "dangling")
    used = context.node.volumes_in_use() if dangling is not None else {}
    rows = []
    for volume in context.volumes.list():
        if "name" in wanted and not name_fits(wanted["name"], volume.name):
            continue
        if "driver" in wanted and volume.driver not in wanted["driver"]:
            continue
        if "label" in wanted and not labels_match(wanted["label"], volume.labels):
            continue
        if dangling is not None and (volume.name not in used) != dangling:
            continue
        rows.append(
            {
                "driver": volume.driver,
                "name": volume.name,
                "created": volume.created,
                "mountpoint": mountpoint(context, volume),
                "labels": ",".join(f"{k}={v}" for k, v in volume.labels.items()),
            }
        )
    listing(
        rows,
        (("DRIVER", "driver"), ("VOLUME NAME", "name")),
        template=parsed["format"],
        quiet="name" if parsed["quiet"] else "",
    )
    return 0


def mountpoint(context: Context, volume: Volume) -> str:
    """Where the volume's files are on the host; empty for one in memory."""
    from lading.errors import LadingError

    try:
        return context.volumes.source(volume.name).path
    except LadingError:
        return ""


def volume_json(context: Context, volume: Volume) -> dict[str, object]:
    """A volume in the shape of ``docker volume inspect``."""
    return {
        "CreatedAt": volume.created,
        "Driver": volume.driver,
        "Labels": volume.labels,
        "Mountpoint": mountpoint(context, volume),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
        "Anonymous": volume.anonymous,
    }


def inspect(context: Context, parsed: Parsed) -> int:
    """Show volumes in full."""
    return inspected(
        parsed.args, lambda name: volume_json(context, context.volumes.get(name)), parsed["format"]
    )


def users(context: Context) -> Callable[[str], list[str]]:
    """Who mounts a volume."""
    used = context.node.volumes_in_use()
    return lambda name: used.get(name, [])


def rm(context: Context, parsed: Parsed) -> int:
    """Remove volumes."""
    in_use = users(context)
    return each(
        parsed.args, lambda name: context.volumes.remove(name, in_use=in_use), may_miss=parsed["force"]
    )


def prune(context: Context, parsed: Parsed) -> int:
    """Remove unused volumes."""
    from lading.cli.pruning import Choice

    choice = Choice(parsed["filter"], ("label", "label!"))
    which = "every volume" if parsed["all"] else "every anonymous volume"
    if not confirm(f"This removes {which} that no container uses. Go on?", parsed["force"]):
        return 1
    removed, freed = context.volumes.prune(
        users(context), all=parsed["all"], chosen=lambda volume: choice.takes(0.0, volume.labels)
    )
    if removed:
        print("Deleted Volumes:")
        for name in removed:
            print(name)
    print(f"Total reclaimed space: {sizes.decimal(freed)}")
    return 0
