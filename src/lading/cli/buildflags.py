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
        *_caches(),
        Flag("insecure-policy", "", "bool", "", "Obey no policy for images, this once"),
        Flag("quiet", "q", "bool", "", "Say nothing but the image's id"),
        Flag(
            "progress",
            "",
            "str",
            "KIND",
            "How to show what happens; auto: as a terminal can, else in plain lines",
            default="auto",
            choices=("auto", "tty", "plain", "quiet", "rawjson"),
        ),
        Flag("check", "", "bool", "", "Say what is better left in the Dockerfile, and build nothing"),
        Flag(
            "call",
            "",
            "str",
            "METHOD",
            "What to do; check is --check",
            default="build",
            choices=("build", "check"),
        ),
        *_commands(),
        *outputs(),
        *_refused(),
    ]


def _caches() -> list[Flag]:
    """What is looked up, and what is fetched."""
    return [
        Flag("no-cache", "", "bool", "", "Carry every step out, whatever is known of it"),
        Flag("no-cache-filter", "", "list", "STAGE", "Carry every step of a stage out"),
        Flag(
            "pull",
            "",
            "str",
            "POLICY",
            "Base images: always ask their registries, fetch those that are missing, or never",
            default="missing",
            no_value="always",
            choices=("always", "missing", "never", "newer", "ifnewer", "true", "false"),
        ),
        Flag("pull-always", "", "bool", hidden=True),
        Flag("pull-never", "", "bool", hidden=True),
        Flag(
            "ignorefile",
            "",
            "str",
            "FILE",
            "Leave out of the context what this file says, instead of its own",
        ),
        Flag("jobs", "", "int", "N", "Steps at once (default: one a processor)"),
    ]


def _commands() -> list[Flag]:
    """What commands of the build have, and their limits."""
    return [
        Flag(
            "secret",
            "",
            "list",
            "id=ID[,src=FILE|env=NAME]",
            "A file or variable for RUN --mount=type=secret",
        ),
        Flag("ssh", "", "list", "default|ID[=SOCKET|KEY,...]", "An agent, or keys, for RUN --mount=type=ssh"),
        Flag("add-host", "", "list", "NAME:ADDRESS", "Add a line to /etc/hosts of commands"),
        Flag(
            "network",
            "",
            "str",
            "MODE",
            "The network of commands that say none",
            default="default",
            choices=("default", "none", "host", "bridge"),
        ),
        Flag("allow", "", "list", "RIGHT", "What commands may ask for: network.host, security.insecure"),
        Flag("shm-size", "", "str", "SIZE", "Size of /dev/shm"),
        Flag("ulimit", "", "list", "NAME=SOFT[:HARD]", "Limits of processes"),
        Flag("memory", "m", "str", "SIZE", "Limit of memory"),
        Flag("memory-swap", "", "str", "SIZE", "Limit of memory and swap together; -1: no limit"),
        Flag("cpu-period", "", "int", "MICROSECONDS", "Period of --cpu-quota", unset=True),
        Flag("cpu-quota", "", "int", "MICROSECONDS", "Time of processors in a period", unset=True),
        Flag("cpu-shares", "c", "int", "N", "Weight among others", unset=True),
        Flag("cpuset-cpus", "", "str", "LIST", "Processors, like 0-2,4"),
        Flag("cpuset-mems", "", "str", "LIST", "Memory nodes"),
        Flag("cgroup-parent", "", "str", "PATH", "The cgroup that commands are put below"),
        Flag(
            "isolation",
            "",
            "str",
            "KIND",
            hidden=True,
            default="default",
            choices=("default", "oci"),
            fold=True,
        ),
    ]


def _refused() -> list[Flag]:
    """What Docker's, Buildah's and BuildKit's commands have besides, refused by name."""
    once = "not supported: "
    rows = [
        ("rm", "bool", True, "containers of steps are always removed"),
        ("force-rm", "bool", False, "containers of steps are always removed; leave it out"),
        ("layers", "bool", True, "every step is kept as a layer; leave it out"),
        ("compress", "bool", False, "the context is not sent anywhere; leave it out"),
        ("squash", "bool", False, "an image keeps its layers; copy from one stage into an empty one instead"),
        (
            "squash-all",
            "bool",
            False,
            "an image keeps its layers; copy from one stage into an empty one instead",
        ),
        ("disable-content-trust", "bool", True, "name images by their digest (NAME@sha256:…)"),
        ("stream", "bool", False, "the context is not sent anywhere; leave it out"),
        ("builder", "str", None, "there is one builder, this one; leave it out"),
        (
            "security-opt",
            "list",
            None,
            "RUN --security=insecure with --allow security.insecure is what there is",
        ),
        ("policy", "list", None, "source policies are not read"),
        ("device", "list", None, "commands of a build get no devices"),
        ("volume", "list", None, "RUN --mount=type=bind or type=cache shows directories to a command"),
        ("env", "list", None, "ENV in the Dockerfile sets variables"),
        ("unsetenv", "list", None, "leave the ENV out of the Dockerfile"),
        ("unsetlabel", "list", None, "leave the LABEL out of the Dockerfile"),
        (
            "from",
            "str",
            None,
            "--build-context NAME=docker-image://OTHER puts another image in place of a base",
        ),
        ("arch", "str", None, "--platform OS/ARCH says what to build for"),
        ("os", "str", None, "--platform OS/ARCH says what to build for"),
        ("variant", "str", None, "--platform OS/ARCH/VARIANT says what to build for"),
        ("all-platforms", "bool", False, "--platform names each one"),
        ("timestamp", "str", None, "the variable SOURCE_DATE_EPOCH and --reproducible set times"),
        ("source-date-epoch", "str", None, "the variable SOURCE_DATE_EPOCH sets times"),
        ("rewrite-timestamp", "bool", False, "--reproducible does it"),
        ("omit-history", "bool", False, "an image keeps its history"),
        ("identity-label", "bool", False, "no such label is set; leave it out"),
        ("save-stages", "bool", False, "stages are kept in the cache anyway"),
        ("skip-unused-stages", "bool", True, "stages that nobody needs are never built"),
        ("userns", "str", None, "commands run in the builder's own user namespace"),
        ("userns-uid-map", "str", None, "commands run in the builder's own user namespace"),
        ("userns-gid-map", "str", None, "commands run in the builder's own user namespace"),
        ("cap-add", "list", None, "RUN --security=insecure with --allow security.insecure is what there is"),
        ("cap-drop", "list", None, "drop capabilities in the command"),
        ("dns", "list", None, "commands have the name servers of their network"),
        ("dns-search", "list", None, "commands have the search domains of their network"),
        ("dns-option", "list", None, "commands have the resolver options of their network"),
        ("no-hosts", "bool", False, "commands have their own /etc/hosts"),
        ("no-hostname", "bool", False, "commands have their own /etc/hostname"),
        ("group-add", "list", None, "USER says whose groups a command has"),
        ("hooks-dir", "list", None, "hooks are not read"),
        ("runtime", "str", None, "commands run by Lading's own runtime"),
        ("runtime-flag", "list", None, "commands run by Lading's own runtime"),
        ("ipc", "str", None, "commands have an IPC namespace of their own"),
        ("pid", "str", None, "commands have a PID namespace of their own"),
        ("uts", "str", None, "commands have a host name of their own"),
        ("cgroupns", "str", None, "commands have a cgroup namespace of their own"),
        ("authfile", "str", None, "`lading login` keeps passwords"),
        ("creds", "str", None, "`lading login` keeps passwords"),
        ("cert-dir", "str", None, "certificates are in certs.d of the configuration directory"),
        ("tls-verify", "bool", True, "registries without TLS are named in the configuration"),
        ("retry", "int", None, "what may be tried again is"),
        ("retry-delay", "str", None, "what may be tried again is"),
        ("decryption-key", "list", None, "encrypted images are not read"),
        ("sign-by", "str", None, "`lading image sign` signs images"),
        ("logfile", "str", None, "redirect standard error"),
        ("cache-ttl", "str", None, "`lading builder prune --filter until=…` removes what is old"),
        ("http-proxy", "bool", False, "give proxies with --build-arg"),
        ("signature-policy", "str", None, "policies are in the configuration directory"),
    ]
    return [Flag(name, "", kind, default=default, refuse=once + why) for name, kind, default, why in rows]
