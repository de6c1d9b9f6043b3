"""The flags of ``lading build``."""

from __future__ import annotations

from lading.cli.buildoutflags import outputs
from lading.flags import Flag


def build() -> list[Flag]:
    """``lading build``."""
    return [
        Flag(
            "file",
            "f",
            "str",
            "FILE",
            "The Dockerfile (default: Dockerfile or Containerfile in the context); - for standard input",
        ),
        Flag("tag", "t", "list", "NAME", "Name the image (may be repeated)"),
        Flag("build-arg", "", "list", "NAME[=VALUE]", "Set an ARG; without a value, the caller's variable"),
        Flag(
            "build-context",
            "",
            "list",
            "NAME=VALUE",
            "Files or an image by a name: a directory, docker-image://, oci-layout://, a repository or a URL",
        ),
        Flag("label", "", "list", "NAME=VALUE", "Set a label of the image"),
        Flag("target", "", "str", "STAGE", "Build this stage instead of the last"),
        Flag(
            "platform",
            "",
            "list",
            "OS/ARCH",
            "What to build for (default: this machine); several make an index",
        ),
        Flag("no-cache", "", "bool", "", "Carry every step out, whatever is known of it"),
        Flag("no-cache-filter", "", "list", "STAGE", "Carry every step of a stage out"),
        Flag("pull", "", "bool", "", "Ask registries for newer base images"),
        Flag("quiet", "q", "bool", "", "Say nothing but the image's id"),
        Flag(
            "progress",
            "",
            "str",
            "KIND",
            "How to show what happens: auto, tty, plain, quiet, rawjson",
            default="auto",
            choices=("auto", "tty", "plain", "quiet", "rawjson"),
        ),
        *outputs(),
    ]
