"""The flags of ``run`` and ``create``: every one that Docker's ``run`` has is here, supported or refused by name."""

from __future__ import annotations

from lading.flags import Flag

_GPU = "device requests are not supported: pass the device files with --device"
_BLKIO = "limits of single block devices are not supported"
_RT = "real-time scheduling limits are not supported"
_WINDOWS = "for Windows containers only"

#: Without it is how everything is fetched here; ``=false`` would ask for signatures.
NO_CONTENT_TRUST = Flag(
    "disable-content-trust",
    "",
    "bool",
    default=True,
    refuse="Docker's content trust is not supported: sign images (`lading image sign`) and ask for it (`lading image trust`)",
)


def _shared() -> list[Flag]:
    """What ``run`` and ``create`` have in common, by subject."""
    return [
        # who and where
        Flag("name", "", "str", "NAME", "Give the container a name"),
        Flag("hostname", "h", "str", "NAME", "Host name inside the container"),
        Flag("user", "u", "str", "USER[:GROUP]", "User and group, by name or number"),
        Flag("group-add", "", "list", "GROUP", "Join one more group"),
        Flag("workdir", "w", "str", "DIR", "Working directory inside the container"),
        Flag("entrypoint", "", "str", "COMMAND", "Run this instead of the image's entry point", unset=True),
        Flag("env", "e", "list", "NAME=VALUE", "Set an environment variable"),
        Flag("env-file", "", "list", "FILE", "Read environment variables from a file"),
        Flag("label", "l", "list", "NAME=VALUE", "Attach a label"),
        Flag("label-file", "", "list", "FILE", "Read labels from a file, one a line"),
        Flag("annotation", "", "list", "NAME=VALUE", "Attach an annotation, passed to the OCI runtime"),
        Flag("cidfile", "", "str", "FILE", "Write the container's id to a file, which must not exist"),
        Flag(
            "pull",
            "",
            "str",
            "WHEN",
            "Pull the image first",
            default="missing",
            choices=("always", "missing", "never"),
        ),
        Flag("platform", "", "str", "OS/ARCH", "Which platform of the image to use"),
        Flag("quiet", "q", "bool", help="Say nothing while pulling"),
        Flag("pod", "", "str", "POD", "Live in this pod: in its network, IPC and UTS namespaces"),
        # terminal
        Flag("interactive", "i", "bool", help="Keep standard input open"),
        Flag("tty", "t", "bool", help="Give the command a terminal"),
        Flag(
            "attach",
            "a",
            "list",
            "STREAM",
            "Attach only this stream",
            choices=("stdin", "stdout", "stderr"),
            fold=True,
        ),
        # life
        Flag("rm", "", "bool", help="Remove the container when it ends"),
        Flag("restart", "", "str", "POLICY", "no, on-failure[:N], always or unless-stopped", default="no"),
        Flag("init", "", "bool", help="Run an init that reaps processes and forwards signals"),
        Flag("stop-signal", "", "str", "SIGNAL", "Signal that asks the container to stop"),
        Flag("stop-timeout", "", "int", "SECONDS", "Seconds to wait before killing it", unset=True),
        Flag("health-cmd", "", "str", "COMMAND", "Shell command that tells whether it is healthy"),
        Flag("health-interval", "", "str", "DURATION", "Time between checks (default 30s)"),
        Flag("health-timeout", "", "str", "DURATION", "Longest time of one check (default 30s)"),
        Flag("health-start-period", "", "str", "DURATION", "Time to start in which failures do not count"),
        Flag("health-start-interval", "", "str", "DURATION", "Time between checks while it starts"),
        Flag(
            "health-retries",
            "",
            "int",
            "N",
            "Failures in a row that make it unhealthy (default 3)",
            unset=True,
        ),
        Flag("no-healthcheck", "", "bool", help="Ignore the image's health check"),
        # files
        Flag("volume", "v", "list", "[SOURCE:]TARGET[:OPTIONS]", "Mount a directory of the host or a volume"),
        Flag("mount", "", "list", "type=TYPE,…", "Mount with every option spelt out"),
        Flag("tmpfs", "", "list", "PATH[:OPTIONS]", "Mount an empty directory in memory"),
        Flag("volumes-from", "", "list", "CONTAINER[:ro]", "Mount what another container mounts"),
        Flag("volume-driver", "", "str", "DRIVER", "Driver of volumes made on the way"),
        Flag("read-only", "", "bool", help="Make the root file system read-only"),
        Flag("shm-size", "", "str", "SIZE", "Size of /dev/shm (default 64m)"),
        # network
        Flag(
            "network",
            "",
            "list",
            "NETWORK",
            "bridge, none, host, container:NAME, or networks by name",
            aliases=("net",),
        ),
        Flag("network-alias", "", "list", "NAME", "One more name on the network", aliases=("net-alias",)),
        Flag("ip", "", "str", "ADDRESS", "IPv4 address on the network"),
        Flag("ip6", "", "str", "ADDRESS", "IPv6 address on the network"),
        Flag("mac-address", "", "str", "ADDRESS", "MAC address on the network"),
        Flag("publish", "p", "list", "[IP:][PORT:]PORT[/PROTO]", "Publish a port on the host"),
        Flag("publish-all", "P", "bool", help="Publish every exposed port on a free port of the host"),
        Flag("expose", "", "list", "PORT[/PROTO]", "Declare a port that --publish-all publishes"),
        Flag("dns", "", "list", "ADDRESS", "Name server to ask"),
        Flag("dns-search", "", "list", "DOMAIN", "Domain to search names in"),
        Flag("dns-option", "", "list", "OPTION", "Option of the resolver", aliases=("dns-opt",)),
        Flag("add-host", "", "list", "NAME:ADDRESS", "Add a line to /etc/hosts (host-gateway: this machine)"),
        # limits
        Flag("cpus", "", "str", "NUMBER", "How many CPUs it may use"),
        Flag("cpuset-cpus", "", "str", "LIST", "Which CPUs it may use (0-3,6)"),
        Flag("cpuset-mems", "", "str", "LIST", "Which memory nodes it may use"),
        Flag("cpu-shares", "c", "int", "N", "Weight against other containers (2 to 262144)", unset=True),
        Flag("cpu-period", "", "int", "MICROSECONDS", "Length of a scheduling period", unset=True),
        Flag("cpu-quota", "", "int", "MICROSECONDS", "CPU time in each period", unset=True),
        Flag("memory", "m", "str", "SIZE", "Most memory it may use"),
        Flag("memory-swap", "", "str", "SIZE", "Most memory plus swap; -1: no limit on swap"),
        Flag("memory-reservation", "", "str", "SIZE", "Memory to leave it under pressure"),
        Flag("memory-swappiness", "", "int", "0-100", "How readily its memory is swapped out", unset=True),
        Flag("pids-limit", "", "int", "N", "Most processes and threads; -1: no limit", unset=True),
        Flag("blkio-weight", "", "int", "10-1000", "Weight of its block I/O", unset=True),
        Flag("oom-score-adj", "", "int", "-1000-1000", "How readily the kernel kills it", unset=True),
        Flag(
            "oom-kill-disable",
            "",
            "bool",
            help="Wait instead of being killed when memory runs out (cgroup v1)",
        ),
        Flag("ulimit", "", "list", "NAME=SOFT[:HARD]", "Set a resource limit"),
        # rights
        Flag("privileged", "", "bool", help="Give it every right and every device of this machine"),
        Flag("cap-add", "", "list", "CAPABILITY", "Add a capability"),
        Flag("cap-drop", "", "list", "CAPABILITY", "Take a capability away"),
        Flag(
            "security-opt",
            "",
            "list",
            "OPTION",
            "no-new-privileges, seccomp=, apparmor=, label=, systempaths=, unmask=",
        ),
        Flag("device", "", "list", "HOST[:PATH[:rwm]]", "Pass a device of the host"),
        Flag("device-cgroup-rule", "", "list", "RULE", "Allow devices by number: 'c 1:3 rwm'"),
        Flag("sysctl", "", "list", "NAME=VALUE", "Set a kernel parameter of its namespaces"),
        Flag("ipc", "", "str", "MODE", "private, shareable, host or container:NAME"),
        Flag("pid", "", "str", "MODE", "host or container:NAME"),
        Flag("uts", "", "str", "MODE", "host"),
        Flag("userns", "", "str", "MODE", "auto: users of its own, who are nobody on the host; or host"),
        Flag(
            "cgroupns",
            "",
            "str",
            "MODE",
            "Its own view of cgroups or the host's",
            choices=("private", "host"),
        ),
        Flag("cgroup-parent", "", "str", "PATH", "Put it below this cgroup"),
        Flag(
            "runtime",
            "",
            "str",
            "NAME|PATH",
            "Run it by another OCI runtime: runc, crun, a path (default: lading itself)",
        ),
        NO_CONTENT_TRUST,
        Flag("insecure-policy", "", "bool", help="Obey no policy for images, this once"),
        *_refused(),
    ]


def _refused() -> list[Flag]:
    rows = [
        ("gpus", "str", _GPU),
        (
            "link",
            "list",
            "links are not supported: use a network of your own, where containers find each other by name",
        ),
        ("link-local-ip", "list", "link-local addresses are not supported"),
        (
            "log-driver",
            "str",
            "log drivers are not supported: logs are files of timestamped lines, see lading logs",
        ),
        ("log-opt", "list", "log drivers are not supported"),
        ("domainname", "str", "NIS domain names are not supported"),
        ("storage-opt", "list", "storage options are not supported"),
        ("kernel-memory", "str", "the kernel no longer limits kernel memory"),
        ("isolation", "str", _WINDOWS),
        ("cpu-count", "int", _WINDOWS),
        ("cpu-percent", "int", _WINDOWS),
        ("io-maxbandwidth", "str", _WINDOWS),
        ("io-maxiops", "str", _WINDOWS),
        ("cpu-rt-period", "int", _RT),
        ("cpu-rt-runtime", "int", _RT),
        ("blkio-weight-device", "list", _BLKIO),
        ("device-read-bps", "list", _BLKIO),
        ("device-read-iops", "list", _BLKIO),
        ("device-write-bps", "list", _BLKIO),
        ("device-write-iops", "list", _BLKIO),
        ("use-api-socket", "bool", "there is no API socket"),
    ]
    return [
        Flag(name, "", kind, refuse=why if "supported" in why else f"not supported: {why}")
        for name, kind, why in rows
    ]


def create() -> list[Flag]:
    """The flags of ``create``."""
    return _shared()


def run() -> list[Flag]:
    """The flags of ``run``."""
    return [
        Flag("detach", "d", "bool", help="Run in the background and print the container's id"),
        Flag(
            "detach-keys", "", "str", "KEYS", "Keys that leave the container running (default ctrl-p,ctrl-q)"
        ),
        Flag("sig-proxy", "", "bool", help="Forward signals to the container", default=True),
        *_shared(),
    ]
