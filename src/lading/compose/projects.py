"""``ls``, ``volumes`` and ``version`` of ``lading compose``."""

from __future__ import annotations

from lading.cli.output import filters, listing, name_fits, show, table
from lading.compose import labels, state
from lading.compose.application import Application
from lading.errors import InvalidInput
from lading.formats import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


def ls(context: Context, parsed: Parsed) -> int:
    """List the projects of this machine."""
    wanted = filters(parsed["filter"], ("name",))
    projects: dict[str, list[state.Member]] = {}
    for record in context.node.list(all=True):
        if record.single and labels.PROJECT in state.labels_of(record):
            member = state.Member(record)
            if not member.oneoff:
                projects.setdefault(member.project, []).append(member)
    rows = []
    for name in sorted(projects):
        found = [m for m in projects[name] if parsed["all"] or m.running]
        if not found or ("name" in wanted and not name_fits(wanted["name"], name)):
            continue
        counts: dict[str, int] = {}
        for member in found:
            counts[member.state] = counts.get(member.state, 0) + 1
        rows.append(
            {
                "Name": name,
                "Status": ", ".join(f"{word}({counts[word]})" for word in sorted(counts)),
                "ConfigFiles": found[0].labels.get(labels.FILES, ""),
            }
        )
    if parsed["quiet"]:
        show("".join(f"{row['Name']}\n" for row in rows))
    elif parsed["format"] == "json":
        show(jsontext.dumps(rows) + "\n")
    elif parsed["format"] in ("", "table"):
        table(("NAME", "STATUS", "CONFIG FILES"), [list(row.values()) for row in rows])
    else:
        raise InvalidInput(f"--format {parsed['format'][:40]!r} is not table or json")
    return 0


def volumes(context: Context, parsed: Parsed) -> int:
    """List the project's volumes, or those that the services named mount."""
    app = Application(context, parsed)
    project = app.project_name()
    mounted = {
        volume
        for member in state.members(context.node, project, parsed.args, oneoffs=None)
        for volume in member.record.container.volumes.values()
    }
    rows = [
        {"Name": volume.name, "Driver": volume.driver}
        for volume in context.volumes.list()
        if volume.labels.get(labels.PROJECT) == project and (not parsed.args or volume.name in mounted)
    ]
    listing(
        rows,
        (("DRIVER", "Driver"), ("VOLUME NAME", "Name")),
        template=parsed["format"],
        quiet="Name" if parsed["quiet"] else "",
    )
    return 0


def version(context: Context, parsed: Parsed) -> int:
    """Print the version."""
    from lading import __version__

    if parsed["short"]:
        print(__version__)
    elif parsed["format"] == "json":
        print(jsontext.dumps({"version": __version__}))
    elif parsed["format"] in ("", "pretty"):
        print(f"Lading Compose version {__version__}")
    else:
        raise InvalidInput(f"--format {parsed['format'][:40]!r} is not pretty or json")
    return 0
