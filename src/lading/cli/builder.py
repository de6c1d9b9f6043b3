"""``lading builder du|ls|inspect|prune``: the cache of builds."""

from __future__ import annotations

import time

from lading.cli.output import confirm, filters, inspected, listing, truth
from lading.errors import InvalidInput, NotFound
from lading.formats import duration, sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lading.build.records import Ledger, Record
    from lading.cli.context import Context
    from lading.flags import Parsed

_KNOWN = ("until", "unused-for", "id", "type", "inuse", "shared", "description")


def _ledger(context: Context) -> Ledger:
    from lading.build.records import Ledger

    return Ledger(context.roots, context.images)


def _choice(texts: Sequence[str]) -> Callable[[Record], bool]:
    """What ``--filter`` chooses; every one has to hold. Raises :class:`InvalidInput`."""
    from lading.build.records import KINDS

    wanted = filters(texts, _KNOWN)
    now = time.time()
    before = [duration.moment(text, now) for key in ("until", "unused-for") for text in wanted.get(key, [])]
    in_use, shared = truth(wanted, "inuse"), truth(wanted, "shared")
    kinds = wanted.get("type", [])
    for kind in kinds:
        if kind not in KINDS:
            raise InvalidInput(f"--filter type={kind} is not one of {', '.join(KINDS)}")

    def takes(record: Record) -> bool:
        return (
            all(record.used < moment for moment in before)
            and (in_use is None or record.in_use == in_use)
            and (shared is None or record.shared == shared)
            and (not kinds or record.kind in kinds)
            and all(_named(record, text) for text in wanted.get("id", []))
            and all(text in record.description for text in wanted.get("description", []))
        )

    return takes


def _named(record: Record, text: str) -> bool:
    return len(text) >= 4 and any(key.startswith(text) for key in record.keys)


def _row(record: Record) -> dict[str, object]:
    row = record.encode()
    row["created_by"] = " ".join(record.description.split())
    row["size_text"] = sizes.decimal3(record.size)
    row["used_text"] = duration.ago(max(time.time() - record.used, 0.0))
    row["reclaimable_text"] = "in use" if record.in_use else "true"
    row["last_used"] = duration.rfc3339(record.used)
    return row


def _records(context: Context, parsed: Parsed) -> tuple[Ledger, list[Record]]:
    chosen = _choice(parsed["filter"])
    ledger = _ledger(context)
    return ledger, [record for record in reversed(ledger.records) if chosen(record)]


_COLUMNS = (
    ("ID", "id"),
    ("RECLAIMABLE", "reclaimable_text"),
    ("SIZE", "size_text"),
    ("LAST USED", "used_text"),
    ("DESCRIPTION", "created_by"),
)


def du(context: Context, parsed: Parsed) -> int:
    """Show what each record takes, and all of them together."""
    ledger, records = _records(context, parsed)
    if parsed["verbose"]:
        for record in records:
            for key, value in _row(record).items():
                if not key.endswith("_text") and key != "created_by":
                    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
                    print(f"{key + ':':<14}{' '.join(str(shown).split())}")
            print()
    else:
        listing([_row(record) for record in records], _COLUMNS, template=parsed["format"])
    if not parsed["format"]:
        busy = [record for record in records if record.in_use]
        total = ledger.total(records)
        print(f"Shared:       {sizes.decimal3(sum(r.size for r in records if r.shared))}")
        print(f"Reclaimable:  {sizes.decimal3(max(total - ledger.total(busy), 0))}")
        print(f"Total:        {sizes.decimal3(total)}")
    return 0


def ls(context: Context, parsed: Parsed) -> int:
    """List records, the last used first."""
    _, records = _records(context, parsed)
    rows = [_row(record) for record in records]
    listing(rows, _COLUMNS, template=parsed["format"], quiet="id" if parsed["quiet"] else "")
    return 0


def inspect(context: Context, parsed: Parsed) -> int:
    """Show records in full."""
    ledger = _ledger(context)

    def look(name: str) -> dict[str, object]:
        found = [record for record in ledger.records if _named(record, name)]
        if not found:
            raise NotFound(f"the cache has no record {name!r}", hint="`lading builder ls` shows them")
        if len(found) > 1:
            raise InvalidInput(
                f"{name!r} is ambiguous: {len(found)} records begin with it", reason="ambiguous"
            )
        row = found[0].encode()
        row["last_used"] = duration.rfc3339(found[0].used)
        return row

    return inspected(parsed.args, look, parsed["format"])


def prune(context: Context, parsed: Parsed) -> int:
    """Remove records that nothing uses."""
    from lading.build import housekeeping

    chosen = _choice(parsed["filter"])
    keep = sizes.parse(parsed["keep-storage"], what="--keep-storage") if parsed["keep-storage"] else None
    what = "everything that builds cached" if parsed["all"] else "what builds cached and no image has"
    if not confirm(f"This removes {what}, and what commands keep in cache mounts. Go on?", parsed["force"]):
        return 1
    made = housekeeping.prune(context.roots, context.images, chosen=chosen, keep=keep, all=parsed["all"])
    listing([_row(record) for record in made.records], (_COLUMNS[0], *_COLUMNS[2:]))
    print(f"Total reclaimed space: {sizes.decimal(made.freed)}")
    return 0


def sbom(context: Context, parsed: Parsed) -> int:
    """List what package managers say is inside a local image."""
    from lading.build import packages, spdx
    from lading.build.evidence import image_purl
    from lading.cli.outfile import writing
    from lading.cli.output import show, table
    from lading.formats import jsontext

    image = context.images.get(parsed.args[0], parsed["platform"])
    with context.images.lease() as lease:
        lease.add(image.digest)
        found = packages.scan(image.layers)
    if parsed["format"] == "table":
        if parsed["output"]:
            raise InvalidInput("--output goes with --format spdx-json")
        table(
            ("TYPE", "NAME", "VERSION", "ARCHITECTURE"),
            [[p.kind, "/".join(filter(None, (p.namespace if p.kind == "npm" else "", p.name))), p.version, p.architecture]
             for p in found.packages],
        )  # fmt: skip
        return 0
    name = next(iter(image.names), parsed.args[0])
    document = spdx.document(
        found, name=name, digest=image.digest, purl=image_purl(name, image.platform), created=image.created
    )
    text = jsontext.dumps(document, indent=2) + "\n"
    if parsed["output"] and parsed["output"] != "-":
        with writing(parsed["output"]) as out:
            out.write(text.encode())
    else:
        show(text)
    return 0
