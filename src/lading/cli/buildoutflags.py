"""The flags of ``lading build`` that say what becomes of it."""

from __future__ import annotations

from lading.flags import Flag


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
        Flag("metadata-file", "", "str", "FILE", "Write what was made to a file, as JSON"),
        Flag("iidfile", "", "str", "FILE", "Write the image's id to a file"),
    ]
