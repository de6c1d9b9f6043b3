"""Names, arguments and flags of the verbs about images, keys and settings."""

from __future__ import annotations

from lading.flags import Command, Flag
from lading.rocket.table import trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = "lading.rocket.rkt"
_INDENT = Flag("pretty-print", "", "bool", help="Indent it", default=True)
_OVERWRITE = Flag("overwrite", "", "bool", help="Take the place of what is there")
_ROOT_ONLY = Flag("rootfs-only", "", "bool", help="Only the root, at the directory's own place")


def commands() -> list[Command]:
    """The verbs."""
    return [
        Command(
            "fetch",
            "Bring images here: by name, from a URL, a file or a registry",
            "IMAGE...",
            flags=_fetch,
            action=f"{_HERE}.fetchverb:fetch",
            description="IMAGE is NAME[:VERSION][,LABEL=VALUE...], which is looked up on the name's own page, a URL, a file "
            "(with a slash in front), or docker://REFERENCE. Its signature must be by a key of `lading rkt trust`.",
        ),
        Command(
            "trust",
            "Trust keys to sign images",
            "[KEY...]",
            flags=trust,
            action="lading.rocket.trust:trust",
            description="The same as `lading trust`, with the same keys.",
        ),
        Command("image", "Images in the store", commands=_image),
        Command(
            "metadata-service",
            "Wait: every pod has a metadata service of its own here",
            flags=[Flag("listen-port", "", "int", "PORT", "Taken, and not listened on", default="18112")],
            action=f"{_HERE}.settings:metadata_service",
            description="For unit files that start Rocket's service. A pod's service comes and goes with the pod, inside its own "
            "network; this command says so, reports that it is ready, and ends with SIGTERM.",
        ),
        Command("version", "Show versions", action=f"{_HERE}.settings:version"),
        Command(
            "config",
            "Print the configuration as JSON",
            flags=[_INDENT],
            action=f"{_HERE}.settings:config",
            description="Where things are kept, who we are at which host, and whose keys are trusted. Passwords are shown.",
        ),
    ]


def _image() -> Sequence[Command]:
    return [
        Command("list", "List images", flags=_list, action=f"{_HERE}.imageverbs:list_"),
        Command(
            "cat-manifest",
            "Print the manifest of an image",
            "IMAGE",
            flags=[_INDENT],
            action=f"{_HERE}.imageverbs:cat_manifest",
        ),
        Command(
            "export",
            "Write the archive of an image to a file, as it came",
            "IMAGE FILE",
            flags=[_OVERWRITE],
            action=f"{_HERE}.imageverbs:export",
        ),
        Command(
            "extract",
            "Unpack the archive of an image, without what it depends on",
            "IMAGE DIRECTORY",
            flags=[_ROOT_ONLY, _OVERWRITE],
            action=f"{_HERE}.imageverbs:extract",
        ),
        Command(
            "render",
            "Write out the root of an image with everything it depends on",
            "IMAGE DIRECTORY",
            flags=[_ROOT_ONLY, _OVERWRITE],
            action=f"{_HERE}.imageverbs:render",
        ),
        Command(
            "verify",
            "Compare images on disk with what they were when they came",
            "IMAGE...",
            action=f"{_HERE}.imageverbs:verify",
        ),
        Command("rm", "Remove images", "IMAGE...", action=f"{_HERE}.imageverbs:rm"),
        Command(
            "gc",
            "Remove images that were not used for a while",
            flags=[Flag("grace-period", "", "str", "DURATION", "For how long", default="24h")],
            action=f"{_HERE}.imageverbs:gc",
            description="Images that a pod was made of stay, and so does what they depend on. Images of registries are not "
            "touched: `lading image prune` is for those.",
        ),
    ]


def _fetch() -> list[Flag]:
    from lading.rocket.rkt.table import fetching

    return [
        Flag("full", "", "bool", help="Print the whole ID"),
        Flag("signature", "", "str", "FILE|URL", "The signature, when it is not beside the image"),
        *fetching(),
    ]


def _list() -> list[Flag]:
    fields = "id,name,size,importtime,lastused"
    return [
        Flag("fields", "", "str", "FIELDS", f"Which columns: {fields}", default=fields),
        Flag("sort", "", "str", "FIELDS", "By name, importtime, lastused, size", default="importtime"),
        Flag(
            "order",
            "",
            "str",
            "ORDER",
            "Smallest first, or largest",
            default="asc",
            choices=("asc", "desc"),
            fold=True,
        ),
        Flag("no-legend", "", "bool", help="No headings"),
        Flag("full", "", "bool", help="Whole IDs, exact sizes and times"),
        Flag(
            "format", "", "str", "FORMAT", "As JSON on one line, or indented", choices=("json", "json-pretty")
        ),
    ]
