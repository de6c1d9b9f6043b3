"""The table of commands: names, arguments, where each one's flags are declared and its action lives.

Nothing but this table is loaded to find a command; its flags and its module are imported when it is chosen.
"""

from __future__ import annotations

from lading.flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


def _late(module: str, name: str) -> Callable[[], Sequence[Any]]:
    """Flags or subcommands that another module declares; it is imported when they are asked for."""

    def load() -> Sequence[Any]:
        import sys

        full = f"lading.{module}"
        __import__(full)
        rows: Sequence[Any] = getattr(sys.modules[full], name)()
        return rows

    return load


def _command(
    name: str,
    summary: str,
    arguments: str = "",
    *,
    action: str,
    table: str = "",
    description: str = "",
    interspersed: bool = True,
    aliases: tuple[str, ...] = (),
) -> Command:
    module, _, rows = table.partition(":")
    return Command(
        name,
        summary,
        arguments,
        flags=_late(f"cli.{module}", rows) if table else (),
        action=f"lading.cli.{action}",
        description=description,
        interspersed=interspersed,
        aliases=aliases,
    )


def _containers() -> dict[str, Command]:
    rows = (
        _command(
            "run",
            "Run a command in a new container",
            "IMAGE [COMMAND] [ARG...]",
            action="run:run",
            table="runflags:run",
            interspersed=False,
        ),
        _command(
            "create",
            "Create a container without starting it",
            "IMAGE [COMMAND] [ARG...]",
            action="run:create",
            table="runflags:create",
            interspersed=False,
        ),
        _command(
            "start",
            "Start stopped containers",
            "CONTAINER...",
            action="lifecycle:start",
            table="tables:start",
        ),
        _command("ps", "List containers", action="listing:ps", table="tables:ps", aliases=("list", "ls")),
        _command("logs", "Show what a container wrote", "CONTAINER", action="logs:logs", table="tables:logs"),
        _command(
            "exec",
            "Run a command in a running container",
            "CONTAINER COMMAND [ARG...]",
            action="exec:exec_",
            table="tables:exec_",
            interspersed=False,
        ),
        _command(
            "attach",
            "Attach to a running container",
            "CONTAINER",
            action="exec:attach",
            table="tables:attach",
        ),
        _command(
            "stop", "Stop running containers", "CONTAINER...", action="lifecycle:stop", table="tables:stop"
        ),
        _command(
            "restart", "Restart containers", "CONTAINER...", action="lifecycle:restart", table="tables:stop"
        ),
        _command(
            "kill",
            "Send a signal to containers",
            "CONTAINER...",
            action="lifecycle:kill",
            table="tables:kill",
        ),
        _command(
            "rm",
            "Remove containers",
            "CONTAINER...",
            action="lifecycle:rm",
            table="tables:rm",
            aliases=("remove",),
        ),
        _command(
            "wait",
            "Wait until containers stop, print their status",
            "CONTAINER...",
            action="lifecycle:wait",
            table="tables:wait",
        ),
        _command(
            "top",
            "Show the processes of a container",
            "CONTAINER [COLUMN...|PS-OPTION...]",
            action="stats:top",
            interspersed=False,
        ),
        _command(
            "stats", "Show what containers use", "[CONTAINER...]", action="stats:stats", table="tables:stats"
        ),
        _command("port", "Show published ports", "CONTAINER [PORT]", action="listing:port"),
        _command(
            "cp",
            "Copy files into or out of a container",
            "SOURCE DESTINATION",
            action="files:cp",
            table="tables:cp",
            description="One of the two is CONTAINER:PATH, the other a path here, or - for a tar stream.",
        ),
        _command(
            "diff",
            "Show files changed since the image",
            "CONTAINER",
            action="files:diff",
            table="tables:diff",
        ),
        _command(
            "commit",
            "Make an image of a container's changes",
            "CONTAINER [IMAGE]",
            action="files:commit",
            table="tables:commit",
        ),
        _command(
            "export",
            "Write a container's files as a tar archive",
            "CONTAINER",
            action="files:export",
            table="tables:output",
        ),
        _command("pause", "Freeze containers", "CONTAINER...", action="lifecycle:pause"),
        _command("unpause", "Thaw frozen containers", "CONTAINER...", action="lifecycle:unpause"),
        _command("rename", "Give a container another name", "CONTAINER NAME", action="lifecycle:rename"),
        _command(
            "update",
            "Change the limits of containers",
            "CONTAINER...",
            action="lifecycle:update",
            table="tables:update",
        ),
    )
    return {c.name: c for c in rows}


def _images() -> dict[str, Command]:
    rows = (
        _command("images", "List images", "[NAME]", action="images:images", table="tables:images"),
        _command(
            "pull", "Fetch an image from a registry", "IMAGE", action="registries:pull", table="tables:pull"
        ),
        _command(
            "push",
            "Send an image to a registry",
            "IMAGE [DESTINATION]",
            action="registries:push",
            table="tables:push",
        ),
        _command("tag", "Give an image another name", "IMAGE NAME", action="images:tag"),
        _command("rmi", "Remove images", "IMAGE...", action="images:rmi", table="tables:rmi"),
        _command("prune", "Remove unused images", action="images:prune", table="tables:image_prune"),
        _command(
            "history", "Show how an image was made", "IMAGE", action="images:history", table="tables:history"
        ),
        _command(
            "save", "Write images into an archive", "IMAGE...", action="images:save", table="tables:save"
        ),
        _command("load", "Read images out of an archive", action="images:load", table="tables:load"),
        _command(
            "import",
            "Make an image of a tar archive of files",
            "FILE [NAME]",
            action="images:import_",
            table="tables:import_",
        ),
        _command(
            "bootstrap",
            "Make a base image from Debian packages",
            "NAME",
            action="images:bootstrap",
            table="tables:bootstrap",
            description=(
                "NAME is busybox (a tiny image) or debian[:SUITE] (a base system). No registry is needed: "
                "the image is made of Debian packages on this machine."
            ),
        ),
        _command(
            "login",
            "Remember a registry's credentials",
            "[REGISTRY]",
            action="registries:login",
            table="tables:login",
        ),
        _command("logout", "Forget a registry's credentials", "[REGISTRY]", action="registries:logout"),
    )
    return {c.name: c for c in rows}


def _network() -> list[Command]:
    return [
        _command(
            "create", "Create a network", "NAME", action="networks:create", table="tables:network_create"
        ),
        _command("ls", "List networks", action="networks:ls", table="tables:simple_list", aliases=("list",)),
        _command(
            "inspect",
            "Show networks in full",
            "NETWORK...",
            action="networks:inspect",
            table="tables:network_inspect",
        ),
        _command(
            "rm",
            "Remove networks",
            "NETWORK...",
            action="networks:rm",
            table="tables:network_rm",
            aliases=("remove",),
        ),
        _command(
            "connect",
            "Connect a container to a network",
            "NETWORK CONTAINER",
            action="networks:connect",
            table="tables:network_connect",
        ),
        _command(
            "disconnect",
            "Disconnect a container from a network",
            "NETWORK CONTAINER",
            action="networks:disconnect",
            table="tables:network_disconnect",
        ),
        _command("prune", "Remove unused networks", action="networks:prune", table="tables:prune"),
    ]


def _volume() -> list[Command]:
    return [
        _command(
            "create", "Create a volume", "[NAME]", action="volumes:create", table="tables:volume_create"
        ),
        _command("ls", "List volumes", action="volumes:ls", table="tables:simple_list", aliases=("list",)),
        _command(
            "inspect",
            "Show volumes in full",
            "VOLUME...",
            action="volumes:inspect",
            table="tables:format_only",
        ),
        _command(
            "rm",
            "Remove volumes",
            "VOLUME...",
            action="volumes:rm",
            table="tables:volume_rm",
            aliases=("remove",),
        ),
        _command("prune", "Remove unused volumes", action="volumes:prune", table="tables:volume_prune"),
        Command("update", refuse="swarm volumes are not supported"),
    ]


def _pod() -> list[Command]:
    file_help = "FILE is a Kubernetes v1 Pod manifest in YAML or JSON; - reads standard input."
    return [
        _command(
            "run",
            "Create and start pods",
            "FILE",
            action="pods:run",
            table="tables:pod_run",
            description=file_help,
        ),
        _command(
            "create",
            "Create pods without starting them",
            "FILE",
            action="pods:create",
            table="tables:pod_create",
            description=file_help,
        ),
        _command("start", "Start stopped pods", "POD...", action="pods:start"),
        _command("ps", "List pods", action="pods:ps", table="tables:pod_ps", aliases=("ls", "list")),
        _command("stop", "Stop pods", "POD...", action="pods:stop", table="tables:stop"),
        _command(
            "kill",
            "Send a signal to every container of pods",
            "POD...",
            action="pods:kill",
            table="tables:kill",
        ),
        _command("rm", "Remove pods", "POD...", action="pods:rm", table="tables:pod_rm", aliases=("remove",)),
        _command(
            "logs", "Show what a pod's containers wrote", "POD", action="pods:logs", table="tables:pod_logs"
        ),
        _command(
            "exec",
            "Run a command in a container of a pod",
            "POD COMMAND [ARG...]",
            action="pods:exec_",
            table="tables:pod_exec",
            interspersed=False,
        ),
        _command("inspect", "Show pods in full", "POD...", action="pods:inspect", table="tables:format_only"),
        _command("wait", "Wait until pods end", "POD...", action="pods:wait"),
    ]


def _tree() -> list[Command]:
    containers, images = _containers(), _images()
    events = _command("events", "Show what happens", action="system:events", table="tables:events")
    build = _command(
        "build",
        "Build an image from a Dockerfile",
        "[CONTEXT]",
        action="build:build",
        table="buildflags:build",
    )
    inspect = _command(
        "inspect", "Show objects in full", "NAME...", action="inspect:inspect", table="tables:inspect"
    )
    info = _command(
        "info", "Show this machine as Lading sees it", action="system:info", table="tables:format_only"
    )
    container_prune = _command(
        "prune", "Remove stopped containers", action="system:container_prune", table="tables:prune"
    )
    image_group = [c for n, c in images.items() if n not in ("images", "rmi", "login", "logout")]
    image_group += [
        _command(
            "ls",
            "List images",
            "[NAME]",
            action="images:images",
            table="tables:images",
            aliases=("list",),
        ),
        _command(
            "rm",
            "Remove images",
            "IMAGE...",
            action="images:rmi",
            table="tables:rmi",
            aliases=("remove",),
        ),
        _command(
            "inspect",
            "Show images in full",
            "IMAGE...",
            action="images:inspect",
            table="tables:image_inspect",
        ),
        _command(
            "sbom",
            "List the packages inside an image (SPDX)",
            "IMAGE",
            action="builder:sbom",
            table="buildoutflags:sbom",
        ),
        build,
        _command(
            "sign", "Sign an image with a key", "IMAGE", action="signing:sign", table="signingflags:sign"
        ),
        _command(
            "verify",
            "Check who signed an image",
            "IMAGE",
            action="signing:verify",
            table="signingflags:verify",
        ),
        Command("keys", "Keys for signing images", commands=_late("cli.signingflags", "keys")),
        Command("trust", "Whose signatures images need", commands=_late("cli.signingflags", "trust")),
    ]
    container_group = [
        *containers.values(),
        _command(
            "inspect",
            "Show containers in full",
            "CONTAINER...",
            action="inspect:containers",
            table="tables:inspect_one",
        ),
        container_prune,
    ]
    return [
        *containers.values(),
        inspect,
        events,
        *images.values(),
        build,
        Command("container", "Manage containers", commands=container_group),
        Command("image", "Manage images", commands=image_group),
        Command("pod", "Manage pods (Kubernetes Pod manifests)", commands=_pod),
        Command("aci", "Image archives of App Container", commands=_late("rocket.table", "aci")),
        Command(
            "rkt",
            "Pods of apps, by Rocket's commands",
            commands=_late("rocket.rkt.table", "commands"),
            flags=_late("rocket.rkt.table", "group"),
            before="lading.rocket.rkt.places:choose",
            persistent=True,
            failed=254,
        ),
        Command(
            "trust",
            "Keys whose signatures on App Container images count",
            "[KEY...]",
            flags=_late("rocket.table", "trust"),
            action="lading.rocket.trust:trust",
            description="KEY is a file, a URL, or - for standard input; without one, the page of --prefix is asked.\n"
            "`lading trust list` shows the keys, `lading trust remove FINGERPRINT...` takes them away.",
        ),
        Command(
            "builder",
            "Build, and look after the cache of builds",
            commands=lambda: [build, *_late("cli.buildoutflags", "commands")()],
            aliases=("buildx",),
        ),
        Command(
            "compose",
            "Applications of several services, by Compose files",
            commands=_late("compose.table", "commands"),
            flags=_late("compose.table", "group"),
            persistent=True,
            failed=1,
        ),
        Command("registry", "A registry of one's own", commands=_late("cli.registryflags", "commands")),
        Command("network", "Manage networks", commands=_network),
        Command("volume", "Manage volumes", commands=_volume),
        Command(
            "system",
            "Disk use, pruning, this machine",
            commands=[
                _command("df", "Show what takes disk space", action="system:df", table="tables:df"),
                _command(
                    "prune", "Remove what nothing uses", action="system:prune", table="tables:system_prune"
                ),
                events,
                info,
            ],
        ),
        info,
        _command("version", "Show the version", action="system:version", table="tables:format_only"),
        _command(
            "check",
            "Find what an interrupted command left behind",
            action="system:check",
            table="tables:check",
        ),
        _command("completion", "Print a completion script", "SHELL", action="completion:completion"),
        *_refused(),
    ]


def _refused() -> list[Command]:
    reasons = {
        "search": "searching registries is not supported",
        "manifest": "editing manifest lists is not supported: lading pull and push keep them whole",
        "checkpoint": "checkpoints are not supported",
        "context": "there is no server, so there are no contexts: use --root",
        "plugin": "plugins are not supported: networks take CNI plugins",
        "swarm": "swarm mode is not supported",
        "service": "swarm services are not supported",
        "stack": "swarm stacks are not supported",
        "secret": "swarm secrets are not supported",
        "config": "swarm configs are not supported",
        "node": "swarm nodes are not supported",
    }
    return [Command(name, refuse=why) for name, why in reasons.items()]


def _root_flags() -> list[Flag]:
    return [
        Flag("root", "", "str", "DIR", "Where images, pods and volumes are kept ($LADING_ROOT)"),
        Flag("run-root", "", "str", "DIR", "Where the state of running pods is kept ($LADING_RUN)"),
        Flag("debug", "D", "bool", help="Show where in the program an error comes from"),
        Flag(
            "log-level",
            "",
            "str",
            "LEVEL",
            "debug is --debug; at every other level an error is one line",
            choices=("debug", "info", "warn", "error", "fatal"),
        ),
        Flag("version", "v", "bool", help="Print the version and exit"),
        Flag("host", "H", "list", "ADDRESS", refuse="there is no server to talk to"),
        Flag("context", "c", "str", "NAME", refuse="there is no server to talk to"),
        Flag("config", "", "str", "DIR", refuse="set DOCKER_CONFIG or LADING_CONFIG instead"),
        Flag("tls", "", "bool", refuse="there is no server to talk to"),
        Flag("tlsverify", "", "bool", refuse="there is no server to talk to"),
    ]


ROOT = Command(
    "lading", "Run containers and pods from open images", commands=_tree, flags=_root_flags, bare=True
)
