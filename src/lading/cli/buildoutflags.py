"""The flags of ``lading build`` that say what becomes of it."""

from __future__ import annotations

from lading.flags import Command, Flag


def outputs() -> list[Flag]:
    """Outputs, metadata, evidence and shared caches."""
    return [
        Flag(
            "output",
            "o",
            "list",
            "DEST",
            "What becomes of it: type=image, docker, oci, registry, local, tar or cacheonly with dest=, name=, "
            "compression=…; a directory, or - for a tar stream (may be repeated)",
        ),
        Flag("load", "", "bool", "", "Keep the image here as well: --output type=docker"),
        Flag("push", "", "bool", "", "Send the image to its registry: --output type=registry"),
        Flag(
            "annotation",
            "",
            "list",
            "[PLACE:]KEY=VALUE",
            "Annotate the manifest, or index, manifest-descriptor, index-descriptor",
        ),
        Flag(
            "reproducible",
            "",
            "bool",
            "",
            "No file of a new layer is younger than SOURCE_DATE_EPOCH (or 1970)",
        ),
        Flag(
            "cache-to",
            "",
            "list",
            "PLACE",
            "Share the cache: type=registry,ref=…, type=local,dest=… (mode=max for all steps), type=inline",
        ),
        Flag(
            "cache-from", "", "list", "PLACE", "Use a shared cache: type=registry,ref=…, or type=local,src=…"
        ),
        Flag("sbom", "", "str", "true", "Attach a list of the packages inside (SPDX)", no_value="true"),
        Flag(
            "provenance",
            "",
            "str",
            "mode=min|max",
            "Attach how the image was built (SLSA); max tells arguments, steps and the file",
            no_value="true",
        ),
        Flag("attest", "", "list", "type=KIND", "The same as --sbom and --provenance"),
        Flag("metadata-file", "", "str", "FILE", "Write what was made to a file, as JSON"),
        Flag("iidfile", "", "str", "FILE", "Write the image's id to a file"),
    ]


def commands() -> list[Command]:
    """``lading builder …`` but for ``build`` itself."""
    look = [
        Flag(
            "filter",
            "",
            "list",
            "KEY=VALUE",
            "Only what matches: until, id, type, inuse, shared, description",
        ),
    ]
    return [
        Command(
            "du",
            "Show what the cache of builds takes",
            flags=[*look, Flag("verbose", "", "bool", "", "Show every record in full"), _FORMAT],
            action="lading.cli.builder:du",
        ),
        Command(
            "ls",
            "List the records of the cache, the last used first",
            flags=[*look, Flag("quiet", "q", "bool", help="Print only ids"), _FORMAT],
            action="lading.cli.builder:ls",
            aliases=("list",),
        ),
        Command(
            "inspect",
            "Show records of the cache in full",
            "ID...",
            flags=[Flag("format", "f", "str", "FORMAT", "json, or Python format fields such as '{id}'")],
            action="lading.cli.builder:inspect",
        ),
        Command(
            "prune",
            "Remove what builds cached and nothing uses",
            flags=[
                Flag("all", "a", "bool", help="Also what images have, so that the next build begins anew"),
                *look,
                Flag("force", "f", "bool", help="Do not ask"),
                Flag(
                    "keep-storage",
                    "",
                    "str",
                    "BYTES",
                    "Stop when the cache takes no more than this",
                    aliases=("reserved-space", "max-used-space"),
                ),
            ],
            action="lading.cli.builder:prune",
        ),
    ]


_FORMAT = Flag("format", "", "str", "FORMAT", "json, table, or Python format fields such as '{id}'")


def sbom() -> list[Flag]:
    """``lading image sbom``."""
    return [
        Flag("output", "o", "str", "FILE", "Write to a file instead of standard output"),
        Flag("platform", "", "str", "OS/ARCH", "Which platform of an image for several"),
        Flag(
            "format",
            "",
            "str",
            "FORMAT",
            "spdx-json, or table for people",
            default="spdx-json",
            choices=("spdx-json", "table"),
        ),
    ]
