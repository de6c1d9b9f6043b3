"""Names, arguments and flags of the verbs; what they do is in the modules that their actions name."""

from __future__ import annotations

from lading.flags import Command, Flag

_OUTPUT = Flag("output", "o", "str", "FILE", "Write to a file instead of standard output")
_ROOT_ONLY = Flag("rootfs-only", "", "bool", help="Only the root, at the directory's own place")


def aci() -> list[Command]:
    """The verbs of ``lading aci``."""
    return [
        Command(
            "validate",
            "Check image archives and manifests, and say what they are",
            "FILE...",
            action="lading.rocket.archives:validate",
            description="Everything that the specification states is checked, and everything that keeping the archive would.",
        ),
        Command(
            "build",
            "Make an archive of a root and a manifest, or of any image",
            "[DIRECTORY]",
            flags=_build,
            action="lading.rocket.archives:build",
            description="DIRECTORY holds manifest and rootfs/, or is the root itself when --manifest names the manifest. The "
            "same input gives the same bytes; no file is younger than $SOURCE_DATE_EPOCH.",
        ),
        Command(
            "cat-manifest",
            "Print the manifest of an image or archive",
            "IMAGE|FILE",
            flags=[Flag("pretty-print", "", "bool", help="Indent it")],
            action="lading.rocket.archives:cat_manifest",
        ),
        Command(
            "extract",
            "Unpack one archive, without what it depends on",
            "IMAGE|FILE DIRECTORY",
            flags=[_ROOT_ONLY],
            action="lading.rocket.archives:extract",
        ),
        Command(
            "render",
            "Write out the root of an image with everything it depends on",
            "IMAGE DIRECTORY",
            flags=[_ROOT_ONLY],
            action="lading.rocket.archives:render",
        ),
        Command(
            "fetch",
            "Bring signed images here by name, from a URL, a file or a registry",
            "IMAGE...",
            flags=_fetch,
            action="lading.rocket.fetching:fetch",
            description="IMAGE is NAME[:VERSION][,LABEL=VALUE...], which is looked up on the name's own page, a URL, a file "
            "(with a slash in front), or docker://REFERENCE. Its signature must be by a key of `lading trust`.",
        ),
        Command(
            "import",
            "Keep archives as images, and print their IDs",
            "FILE...",
            action="lading.rocket.archives:import_",
            description="What an archive depends on must be here, or stand before it on the command line.",
        ),
        Command(
            "export",
            "Write the archive of an image as it came",
            "IMAGE",
            flags=[_OUTPUT],
            action="lading.rocket.archives:export",
        ),
    ]


def _fetch() -> list[Flag]:
    return [
        Flag(
            "pull",
            "",
            "str",
            "WHEN",
            "Whether to ask for what is here",
            default="missing",
            choices=("never", "missing", "always"),
        ),
        Flag("signature", "", "str", "FILE|URL", "The signature, when it is not beside the image"),
        Flag(
            "insecure",
            "",
            "list",
            "WHAT",
            "Do without image (signatures) or tls (certificates), take plain http, or all of it",
            aliases=("insecure-options",),
        ),
        Flag("quiet", "q", "bool", help="Print only IDs"),
    ]


def _build() -> list[Flag]:
    return [
        _OUTPUT,
        Flag("manifest", "m", "str", "FILE", "The manifest, when DIRECTORY is the root itself"),
        Flag("image", "", "str", "IMAGE", "Make it of this image instead of a directory"),
        Flag(
            "name", "", "str", "NAME[:VERSION]", "What an image made with --image is called, and its labels"
        ),
        Flag("layers", "", "str", "DIR", "With --image: write the lower layers here, as dependencies"),
        Flag(
            "compression",
            "",
            "str",
            "KIND",
            "How it is packed",
            default="gzip",
            choices=("gzip", "bzip2", "xz", "none"),
        ),
    ]


def trust() -> list[Flag]:
    """The flags of ``lading trust``."""
    return [
        Flag("prefix", "", "str", "NAME", "For images of this name, and those below it", unset=True),
        Flag("root", "", "bool", help="For every image"),
        Flag("skip-fingerprint-review", "", "bool", help="Do not ask"),
        Flag("insecure-allow-http", "", "bool", help="Also take keys and pages from plain HTTP"),
        Flag(
            "format",
            "",
            "str",
            "FORMAT",
            "With list: json, table, or Python format fields such as '{prefix}'",
        ),
    ]
