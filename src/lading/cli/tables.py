"""The flags of every command but ``run`` and ``create``."""

from __future__ import annotations

from lading.flags import Flag

FORMAT = Flag("format", "f", "str", "FORMAT", "json, or Python format fields such as '{name}'")
LIST_FORMAT = Flag("format", "", "str", "FORMAT", "json, table, or Python format fields such as '{name}'")
NO_QUESTION = Flag("force", "f", "bool", help="Do not ask")
FILTER = Flag("filter", "f", "list", "KEY=VALUE", "Show only what matches")
PRUNE_FILTER = Flag("filter", "", "list", "KEY=VALUE", "Remove only what matches: until, label, label!")
QUIET = Flag("quiet", "q", "bool", help="Print only ids")
NO_TRUNC = Flag("no-trunc", "", "bool", help="Do not shorten anything")
ONE_PLATFORM = Flag(
    "platform",
    "",
    "str",
    refuse="not supported: an image for several is one image here; pull or save one of them",
)
PLATFORM = Flag("platform", "", "str", "OS/ARCH", "Which platform of an image for several")
NO_POLICY = Flag("insecure-policy", "", "bool", help="Obey no policy for images, this once")
INSECURE = Flag("insecure", "", "bool", help="Accept plain HTTP and certificates that cannot be verified")
CHANGE = Flag(
    "change", "c", "list", "INSTRUCTION", "Apply CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR …"
)
MESSAGE = Flag("message", "m", "str", "TEXT", "What it is")
DETACH_KEYS = Flag("detach-keys", "", "str", "KEYS", "Keys that leave it running (default ctrl-p,ctrl-q)")


def format_only() -> list[Flag]:
    return [FORMAT]


def image_inspect() -> list[Flag]:
    return [FORMAT, ONE_PLATFORM]


def network_inspect() -> list[Flag]:
    return [FORMAT, Flag("verbose", "v", "bool", refuse="not supported: for swarm networks only")]


def network_rm() -> list[Flag]:
    return [
        Flag(
            "force",
            "f",
            "bool",
            help="Also where containers are made for it; one that does not exist is no failure",
        )
    ]


def volume_rm() -> list[Flag]:
    return [Flag("force", "f", "bool", help="One that does not exist is no failure")]


def simple_list() -> list[Flag]:
    return [QUIET, LIST_FORMAT, FILTER, NO_TRUNC]


def start() -> list[Flag]:
    return [
        Flag("attach", "a", "bool", help="Attach to its output, and exit with its status"),
        Flag("interactive", "i", "bool", help="Attach to its input"),
        Flag("sig-proxy", "", "bool", help="Forward signals to the container", default=True),
        DETACH_KEYS,
        Flag("checkpoint", "", "str", "NAME", refuse="checkpoints are not supported"),
        Flag("checkpoint-dir", "", "str", "DIR", refuse="checkpoints are not supported"),
    ]


def ps() -> list[Flag]:
    return [
        Flag("all", "a", "bool", help="Show stopped containers too"),
        QUIET,
        FILTER,
        LIST_FORMAT,
        Flag("last", "n", "int", "N", "Show the N newest, whatever their state"),
        Flag("latest", "l", "bool", help="Show the newest, whatever its state"),
        NO_TRUNC,
        Flag("size", "s", "bool", help="Show how much each wrote"),
        Flag("pod", "p", "bool", help="Show which pod each lives in"),
    ]


def logs() -> list[Flag]:
    return [
        Flag("follow", "f", "bool", help="Go on as it writes"),
        Flag("since", "", "str", "TIME", "Only from this time on (2026-01-02T15:04:05Z, 10m)"),
        Flag("until", "", "str", "TIME", "Only up to this time"),
        Flag("tail", "n", "str", "N", "Only the last N lines", default="all"),
        Flag("timestamps", "t", "bool", help="Begin each line with its time"),
        Flag("details", "", "bool", refuse="log drivers with details are not supported"),
    ]


def pod_logs() -> list[Flag]:
    return [
        *logs(),
        Flag("container", "c", "str", "NAME", "Only this container of the pod"),
        Flag("all-containers", "", "bool", help="All containers: what is so without --container"),
        Flag("prefix", "", "bool", help="Begin each line with the container's name"),
        Flag("previous", "p", "bool", help="The run before the last restart"),
    ]


def _exec() -> list[Flag]:
    return [
        Flag("interactive", "i", "bool", help="Keep standard input open"),
        Flag("tty", "t", "bool", help="Give the command a terminal"),
        Flag("user", "u", "str", "USER[:GROUP]", "User and group, by name or number"),
        Flag("workdir", "w", "str", "DIR", "Working directory"),
        Flag("env", "e", "list", "NAME=VALUE", "Set an environment variable"),
        Flag("env-file", "", "list", "FILE", "Read environment variables from a file"),
        Flag("privileged", "", "bool", help="With every capability"),
        DETACH_KEYS,
    ]


def exec_() -> list[Flag]:
    return [Flag("detach", "d", "bool", help="Run in the background"), *_exec()]


def pod_exec() -> list[Flag]:
    return [
        Flag("container", "c", "str", "NAME", "Which container (default: the first)"),
        Flag("detach", "d", "bool", help="Run in the background"),
        *_exec(),
    ]


def attach() -> list[Flag]:
    return [
        Flag("no-stdin", "", "bool", help="Do not attach to its input"),
        Flag("sig-proxy", "", "bool", help="Forward signals to the container", default=True),
        DETACH_KEYS,
    ]


def stop() -> list[Flag]:
    return [
        Flag(
            "time",
            "t",
            "int",
            "SECONDS",
            "How long to wait before killing it",
            unset=True,
            aliases=("timeout",),
        ),
        Flag("signal", "s", "str", "SIGNAL", "Ask with this signal"),
    ]


def kill() -> list[Flag]:
    return [Flag("signal", "s", "str", "SIGNAL", "Which signal", default="KILL")]


def pod_rm() -> list[Flag]:
    return [
        Flag("force", "f", "bool", help="Kill it first; one that does not exist is no failure"),
        Flag("volumes", "v", "bool", help="Remove its anonymous volumes too"),
    ]


def rm() -> list[Flag]:
    return [
        *pod_rm(),
        Flag("link", "l", "bool", refuse="links are not supported"),
    ]


def wait() -> list[Flag]:
    return [
        Flag(
            "condition",
            "",
            "str",
            "WHEN",
            "What to wait for",
            default="not-running",
            choices=("not-running", "next-exit", "removed"),
        )
    ]


def stats() -> list[Flag]:
    return [
        Flag("all", "a", "bool", help="Show stopped containers too"),
        LIST_FORMAT,
        Flag("no-stream", "", "bool", help="Print once and exit"),
        NO_TRUNC,
    ]


def cp() -> list[Flag]:
    return [
        Flag("archive", "a", "bool", help="Keep owners and modes"),
        Flag("follow-link", "L", "bool", help="Follow a symbolic link at the source"),
        Flag("quiet", "q", "bool", help="Say nothing"),
    ]


def diff() -> list[Flag]:
    return [LIST_FORMAT]


def commit() -> list[Flag]:
    return [
        Flag("author", "a", "str", "NAME", "Who made it"),
        CHANGE,
        MESSAGE,
        Flag("pause", "p", "bool", help="Freeze the container meanwhile", default=True),
    ]


def output() -> list[Flag]:
    return [Flag("output", "o", "str", "FILE", "Write to a file instead of standard output")]


#: What ``run`` and ``update`` say alike.
_UPDATED = (
    "cpus cpu-shares cpu-period cpu-quota cpuset-cpus cpuset-mems memory memory-swap memory-reservation pids-limit blkio-weight "
    "cpu-rt-period cpu-rt-runtime kernel-memory"
).split()


def update() -> list[Flag]:
    from lading.cli.runflags import create

    return [
        *(flag for flag in create() if flag.name in _UPDATED),
        Flag("restart", "", "str", "POLICY", "no, on-failure[:N], always or unless-stopped"),
    ]


def inspect() -> list[Flag]:
    return [
        FORMAT,
        Flag("size", "s", "bool", help="Tell how much a container wrote"),
        Flag(
            "type",
            "",
            "str",
            "KIND",
            "Look only among these",
            choices=("container", "image", "pod", "network", "volume"),
        ),
    ]


def inspect_one() -> list[Flag]:
    return [FORMAT, Flag("size", "s", "bool", help="Tell how much it wrote")]


# -- images --------------------------------------------------------------------------------------------------------


def images() -> list[Flag]:
    return [
        Flag("all", "a", "bool", help="The same list: no intermediate images are kept"),
        QUIET,
        FILTER,
        LIST_FORMAT,
        NO_TRUNC,
        Flag("digests", "", "bool", help="Show digests"),
        Flag("tree", "", "bool", refuse="trees are not supported"),
    ]


def _registry() -> list[Flag]:
    return [
        Flag("quiet", "q", "bool", help="Print only the result"),
        INSECURE,
        Flag("tls-verify", "", "bool", help="Verify the registry", default=True, hidden=True),
        Flag(
            "cert-dir", "", "str", refuse="not supported: put certificates below certs.d of the configuration"
        ),
        Flag("creds", "", "str", "USER[:PASSWORD]", "Credentials for this once"),
    ]


def pull() -> list[Flag]:
    from lading.cli.runflags import NO_CONTENT_TRUST

    return [
        *_registry(),
        PLATFORM,
        Flag("all-platforms", "", "bool", help="Fetch every platform of the image"),
        Flag("all-tags", "a", "bool", refuse="fetching every tag is not supported: name each"),
        NO_CONTENT_TRUST,
        NO_POLICY,
    ]


def push() -> list[Flag]:
    from lading.cli.runflags import NO_CONTENT_TRUST

    return [
        *_registry(),
        Flag("all-tags", "a", "bool", refuse="sending every tag is not supported: name each"),
        Flag("signatures", "", "bool", help="Send the signatures that are kept with the image after it"),
        NO_CONTENT_TRUST,
        ONE_PLATFORM,
    ]


def rmi() -> list[Flag]:
    return [
        Flag("force", "f", "bool", help="Remove every name; one that does not exist is no failure"),
        Flag("no-prune", "", "bool", refuse="keeping untagged parents is not supported: none are kept"),
        ONE_PLATFORM,
    ]


def history() -> list[Flag]:
    return [
        LIST_FORMAT,
        Flag("human", "H", "bool", help="Sizes and times for people", default=True),
        NO_TRUNC,
        Flag("quiet", "q", "bool", help="Print only ids"),
        ONE_PLATFORM,
    ]


def save() -> list[Flag]:
    return [
        Flag("output", "o", "str", "FILE", "Write to a file (or directory) instead of standard output"),
        Flag(
            "format",
            "",
            "str",
            "FORMAT",
            "Which kind of archive",
            default="docker-archive",
            choices=("docker-archive", "oci-archive", "oci-dir"),
        ),
        PLATFORM,
    ]


def load() -> list[Flag]:
    return [
        Flag("input", "i", "str", "FILE", "Read a file or directory instead of standard input"),
        Flag("quiet", "q", "bool", help="Print only names"),
        PLATFORM,
        NO_POLICY,
    ]


def import_() -> list[Flag]:
    return [
        CHANGE,
        MESSAGE,
        PLATFORM,
    ]


def bootstrap() -> list[Flag]:
    return [
        Flag("include", "", "list", "PKG,…", "Install these Debian packages too"),
        Flag("quiet", "q", "bool", help="Print only the id"),
    ]


def login() -> list[Flag]:
    return [
        Flag("username", "u", "str", "NAME", "User name"),
        Flag("password", "p", "str", "PASSWORD", "Password (others can see it: prefer --password-stdin)"),
        Flag("password-stdin", "", "bool", help="Read the password from standard input"),
        INSECURE,
    ]


def image_prune() -> list[Flag]:
    return [
        Flag("all", "a", "bool", help="Remove every image that no container uses"),
        NO_QUESTION,
        PRUNE_FILTER,
    ]


# -- networks and volumes ------------------------------------------------------------------------------------------


def network_create() -> list[Flag]:
    return [
        Flag("driver", "d", "str", "DRIVER", "How it is made", default="bridge"),
        Flag("subnet", "", "list", "CIDR", "Addresses, for example 10.5.0.0/16"),
        Flag("gateway", "", "list", "ADDRESS", "The host's address in a subnet"),
        Flag("ip-range", "", "list", "CIDR", "Give containers addresses out of this part"),
        Flag("ipv4", "", "bool", default=True, refuse="networks without IPv4 are not supported"),
        Flag("ipv6", "", "bool", help="Give it IPv6 addresses too"),
        Flag("internal", "", "bool", help="No way to the outside"),
        Flag("label", "", "list", "NAME=VALUE", "Attach a label"),
        Flag("opt", "o", "list", "NAME=VALUE", "Option of the driver"),
        Flag("aux-address", "", "list", "NAME=ADDRESS", "Give nobody this address"),
        Flag("attachable", "", "bool", refuse="not supported: for swarm networks only"),
        Flag("ingress", "", "bool", refuse="not supported: for swarm networks only"),
        Flag("scope", "", "str", refuse="not supported: for swarm networks only"),
        Flag("config-only", "", "bool", refuse="not supported: for swarm networks only"),
        Flag("config-from", "", "str", refuse="not supported: for swarm networks only"),
        Flag("ipam-driver", "", "str", refuse="not supported: addresses are given by Lading itself"),
        Flag("ipam-opt", "", "list", refuse="not supported: addresses are given by Lading itself"),
    ]


def network_connect() -> list[Flag]:
    return [
        Flag("alias", "", "list", "NAME", "One more name on the network"),
        Flag("ip", "", "str", "ADDRESS", "IPv4 address"),
        Flag("ip6", "", "str", "ADDRESS", "IPv6 address"),
        Flag("mac-address", "", "str", "ADDRESS", "MAC address"),
        Flag("gw-priority", "", "str", "NUMBER", "The network of the highest gives the default route"),
        Flag("link", "", "list", refuse="links are not supported: containers find each other by name"),
        Flag("link-local-ip", "", "list", refuse="link-local addresses are not supported"),
        Flag("driver-opt", "", "list", refuse="options of one connection are not supported"),
    ]


def network_disconnect() -> list[Flag]:
    return [
        Flag("force", "f", "bool", help="Also where the container's keeper is gone: repair carries it out")
    ]


def prune() -> list[Flag]:
    return [NO_QUESTION, PRUNE_FILTER]


def volume_create() -> list[Flag]:
    return [
        Flag("driver", "d", "str", "DRIVER", "local or tmpfs", default="local"),
        Flag("label", "", "list", "NAME=VALUE", "Attach a label"),
        Flag("opt", "o", "list", "NAME=VALUE", "Option of the driver"),
        *(
            Flag(name, "", "list", refuse="not supported: for swarm volumes only")
            for name in (
                "availability group limit-bytes required-bytes scope secret sharing topology-preferred topology-required type"
            ).split()
        ),
    ]


def volume_prune() -> list[Flag]:
    return [
        Flag("all", "a", "bool", help="Named volumes too, not only anonymous ones"),
        NO_QUESTION,
        Flag("filter", "", "list", "KEY=VALUE", "Remove only what matches: label, label!"),
    ]


# -- pods and system -----------------------------------------------------------------------------------------------


def pod_run() -> list[Flag]:
    return [
        Flag("rm", "", "bool", help="Stay in the foreground, and remove the pod when it ends"),
        Flag("attach", "a", "bool", help="Stay in the foreground, and show what its containers write"),
        Flag("name", "", "str", "NAME", "Call the pod so instead of metadata.name"),
        Flag("network", "", "list", "NETWORK", "Join this network"),
        Flag("replace", "", "bool", help="Remove pods of the same names first, running or not"),
        Flag("runtime", "", "str", "NAME|PATH", "Run it by another OCI runtime (default: lading itself)"),
        Flag("quiet", "q", "bool", help="Say nothing while pulling"),
    ]


def pod_create() -> list[Flag]:
    return [flag for flag in pod_run() if flag.name not in ("rm", "attach")]


def pod_ps() -> list[Flag]:
    return [
        Flag("all", "a", "bool", help="Show stopped pods too", default=True),
        QUIET,
        FILTER,
        LIST_FORMAT,
        NO_TRUNC,
    ]


def df() -> list[Flag]:
    return [Flag("verbose", "v", "bool", help="Show every object"), LIST_FORMAT]


def system_prune() -> list[Flag]:
    return [
        Flag("all", "a", "bool", help="Remove every image that no container uses"),
        Flag("volumes", "", "bool", help="Remove unused anonymous volumes too"),
        NO_QUESTION,
        PRUNE_FILTER,
    ]


def events() -> list[Flag]:
    return [
        FILTER,
        LIST_FORMAT,
        Flag("since", "", "str", "TIME", "From this time on"),
        Flag("until", "", "str", "TIME", "Up to this time, then exit"),
    ]


def check() -> list[Flag]:
    return [
        Flag("repair", "", "bool", help="Put right what is found"),
        Flag("quiet", "q", "bool", help="Print nothing, only exit 1 when something is wrong"),
        FORMAT,
    ]
