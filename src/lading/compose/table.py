"""Names, arguments and flags of ``lading compose``; what the verbs do is in the modules that their actions name."""

from __future__ import annotations

from lading.flags import Command, Flag

_SERVICES = "[SERVICE...]"
_QUIET = Flag("quiet", "q", "bool", help="Only print names or ids")


def group() -> list[Flag]:
    """The flags of ``lading compose`` itself."""
    return [
        Flag("file", "f", "list", "FILE", "A Compose file; further ones go over it (- for standard input)"),
        Flag("project-name", "p", "str", "NAME", "What the project is called"),
        Flag("profile", "", "list", "NAME", "Also take the services of this profile (* for all)"),
        Flag("env-file", "", "list", "FILE", "Variables, in place of .env"),
        Flag("project-directory", "", "str", "DIR", "Where paths count from (default: the first file's)"),
        Flag("workdir", "", "str", "DIR", "The same", hidden=True),
        Flag("parallel", "", "int", "N", "How many things are done at once; -1: no limit", unset=True),
        Flag(
            "ansi",
            "",
            "str",
            "WHEN",
            "Whether names have colours",
            default="auto",
            choices=("never", "always", "auto"),
        ),
        Flag(
            "progress",
            "",
            "str",
            "KIND",
            "auto, plain or quiet",
            default="auto",
            choices=("auto", "tty", "plain", "quiet"),
        ),
        Flag("all-resources", "", "bool", help="Also make what no service uses"),
        Flag(
            "compatibility",
            "",
            "bool",
            refuse="names have dashes: there is nothing older to be compatible with",
        ),
        Flag("dry-run", "", "bool", refuse="it is not supported: see lading compose config"),
        Flag("verbose", "", "bool", hidden=True),
        Flag("no-ansi", "", "bool", hidden=True),
        Flag("insecure-registry", "", "list", refuse="say it in registries.conf"),
    ]


def commands() -> list[Command]:
    """Every verb."""
    from lading.compose import table_looking

    return [*_making(), *_ending(), *_inside(), *table_looking.commands()]


def verb(name: str, summary: str, arguments: str, flags: list[Flag], action: str, **more: bool) -> Command:
    """A row of the table; ``action`` is ``MODULE:FUNCTION`` of this package."""
    return Command(name, summary, arguments, flags=flags, action=f"lading.compose.{action}", **more)  # type: ignore[arg-type]


def _obsolete(*names: str) -> list[Flag]:
    """Flags that scripts still give, and that say nothing any more to docker compose either."""
    return [Flag(name, "", "bool", hidden=True) for name in names]


def _pulling() -> Flag:
    return Flag(
        "pull", "", "str", "WHEN", "Pull images first: always, missing, never or policy", default="policy",
        choices=("always", "missing", "never", "policy"),
    )  # fmt: skip


def _changing() -> list[Flag]:
    return [
        Flag("build", "", "bool", help="Build images first"),
        Flag("no-build", "", "bool", help="Do not build, even where an image is missing"),
        Flag("force-recreate", "", "bool", help="Make containers anew, whether they changed or not"),
        Flag("no-recreate", "", "bool", help="Leave containers as they are, whether they changed or not"),
        _pulling(),
        Flag("quiet-pull", "", "bool", help="Say nothing while pulling"),
        Flag("remove-orphans", "", "bool", help="Remove containers of services that the file does not have"),
        Flag("scale", "", "list", "SERVICE=N", "How many containers a service gets"),
    ]


def timeout(short: str = "t") -> Flag:
    """How long a container may take to end."""
    return Flag("timeout", short, "int", "SECONDS", "How long a container may take to end", unset=True)


def _making() -> list[Command]:
    return [
        verb(
            "up",
            "Make and start what the file says",
            _SERVICES,
            [
                Flag("detach", "d", "bool", help="Leave it running in the background"),
                *_changing(),
                Flag("no-deps", "", "bool", help="Leave out what the services depend on"),
                Flag("no-start", "", "bool", help="Only make the containers"),
                Flag("always-recreate-deps", "", "bool", help="Make dependencies anew, too"),
                Flag("renew-anon-volumes", "V", "bool", help="Begin with empty anonymous volumes"),
                timeout(),
                Flag("wait", "", "bool", help="Return when everything runs or is healthy; implies --detach"),
                Flag("wait-timeout", "", "int", "SECONDS", "The longest to wait for that", unset=True),
                Flag("abort-on-container-exit", "", "bool", help="Stop everything when one container ends"),
                Flag("abort-on-container-failure", "", "bool", help="Stop everything when one container fails"),
                Flag("exit-code-from", "", "str", "SERVICE", "End with this service's status"),
                Flag("attach", "", "list", "SERVICE", "Show the output of this service only"),
                Flag("attach-dependencies", "", "bool", help="Show the output of dependencies, too"),
                Flag("no-attach", "", "list", "SERVICE", "Do not show the output of this service"),
                Flag("no-color", "", "bool", help="No colours"),
                Flag("no-log-prefix", "", "bool", help="No names in front of lines"),
                Flag("timestamps", "", "bool", help="Show when each line was written"),
                Flag("watch", "w", "bool", help="Follow changes of the sources: see watch"),
                Flag("menu", "", "bool", help="", hidden=True),
                Flag("quiet-build", "", "bool", help="Say nothing while building"),
                Flag("yes", "y", "bool", help="Answer questions with yes", hidden=True),
            ],
            "upping:up",
        ),
        verb("create", "Make containers without starting them", _SERVICES,
             [*_changing(), Flag("quiet-build", "", "bool", help="Say nothing while building"),
              Flag("yes", "y", "bool", hidden=True)], "upping:create"),
        verb("start", "Start containers that were stopped", _SERVICES, [
            Flag("wait", "", "bool", help="Return when everything runs or is healthy"),
            Flag("wait-timeout", "", "int", "SECONDS", "The longest to wait for that", unset=True)], "verbs:start"),
        verb("restart", "Restart containers", _SERVICES,
             [timeout(), Flag("no-deps", "", "bool", help="Leave out what depends on them")], "verbs:restart"),
        verb("scale", "Say how many containers services get", "SERVICE=N...",
             [Flag("no-deps", "", "bool", help="Leave out what the services depend on")], "upping:scale"),
        verb("build", "Build images", _SERVICES, [
            Flag("build-arg", "", "list", "NAME[=VALUE]", "Set an ARG"),
            Flag("no-cache", "", "bool", help="Carry every step out"),
            Flag("pull", "", "bool", help="Ask registries for newer base images"),
            Flag("push", "", "bool", help="Push what was built"),
            Flag("quiet", "q", "bool", help="Say nothing while building"),
            Flag("with-dependencies", "", "bool", help="Also build what the services depend on"),
            Flag("ssh", "", "str", "ID[=PATH]", "An SSH agent or key for steps that mount one"),
            Flag("memory", "m", "str", refuse="limits of a build are not supported"),
            Flag("builder", "", "str", refuse="there is one builder"),
            *_obsolete("compress", "force-rm", "no-rm", "parallel"),
            Flag("progress", "", "str", hidden=True),
            Flag("check", "", "bool", help="Check the Dockerfiles without building"),
            Flag("print", "", "bool", refuse="there are no bake files"),
            Flag("sbom", "", "str", "WHEN", "List what is inside", no_value="true"),
            Flag("provenance", "", "str", "WHEN", "Say how it was made", no_value="true"),
        ], "building:build"),
        verb("pull", "Pull images", _SERVICES, [
            Flag("quiet", "q", "bool", help="Say nothing while pulling"),
            Flag("ignore-buildable", "", "bool", help="Leave out images that can be built"),
            Flag("ignore-pull-failures", "", "bool", help="Go on where one cannot be pulled"),
            Flag("include-deps", "", "bool", help="Also pull what the services depend on"),
            Flag("policy", "", "str", "WHEN", "missing or always", choices=("missing", "always")),
            *_obsolete("parallel", "no-parallel"),
        ], "shipping:pull"),
        verb("push", "Push images", _SERVICES, [
            Flag("quiet", "q", "bool", help="Say nothing while pushing"),
            Flag("ignore-push-failures", "", "bool", help="Go on where one cannot be pushed"),
            Flag("include-deps", "", "bool", help="Also push what the services depend on"),
        ], "shipping:push"),
        verb("watch", "Follow changes of the sources: synchronise, rebuild, restart", _SERVICES, [
            Flag("no-up", "", "bool", help="Do not build and start first"),
            Flag("prune", "", "bool", hidden=True),
            Flag("quiet", "", "bool", help="Say nothing while building"),
        ], "watching:watch"),
    ]  # fmt: skip


def _ending() -> list[Command]:
    return [
        verb("down", "Stop and remove everything but volumes", _SERVICES, [
            timeout(),
            Flag("volumes", "v", "bool", help="Remove the file's volumes, and anonymous ones"),
            Flag("rmi", "", "str", "WHICH", "Remove images: all, or local (those without a name of their own)",
                 choices=("all", "local")),
            Flag("remove-orphans", "", "bool", help="Remove containers of services that the file does not have"),
        ], "downing:down"),
        verb("stop", "Stop containers", _SERVICES, [timeout()], "verbs:stop"),
        verb("kill", "Send a signal to containers", _SERVICES, [
            Flag("signal", "s", "str", "SIGNAL", "Which one", default="KILL"),
            Flag("remove-orphans", "", "bool", help="Remove containers of services that the file does not have"),
        ], "verbs:kill"),
        verb("rm", "Remove stopped containers", _SERVICES, [
            Flag("force", "f", "bool", help="Do not ask"),
            Flag("stop", "s", "bool", help="Stop them first"),
            Flag("volumes", "v", "bool", help="Remove anonymous volumes, too"),
            Flag("all", "a", "bool", hidden=True),
        ], "verbs:rm"),
        verb("pause", "Freeze containers", _SERVICES, [], "verbs:pause"),
        verb("unpause", "Thaw frozen containers", _SERVICES, [], "verbs:unpause"),
        verb("wait", "Wait until the first container ends", "SERVICE...", [
            Flag("down-project", "", "bool", help="Take everything down then"),
        ], "verbs:wait"),
    ]  # fmt: skip


def _inside() -> list[Command]:
    return [
        verb("exec", "Run a command in a running container", "SERVICE COMMAND [ARG...]", [
            Flag("detach", "d", "bool", help="Leave it running"),
            Flag("env", "e", "list", "NAME=VALUE", "Set an environment variable"),
            Flag("index", "", "int", "N", "Which of the service's containers", unset=True),
            Flag("interactive", "i", "bool", help="Keep standard input open", default=True),
            Flag("no-tty", "T", "bool", help="No terminal (default: one where there is one)", aliases=("no-TTY",)),
            Flag("tty", "t", "bool", help="", hidden=True),
            Flag("privileged", "", "bool", help="Give it every right"),
            Flag("user", "u", "str", "USER[:GROUP]", "Who runs it"),
            Flag("workdir", "w", "str", "DIR", "Where it starts"),
        ], "entering:exec_", interspersed=False),
        verb("run", "Run a command in a new container of a service", "SERVICE [COMMAND] [ARG...]", [
            Flag("detach", "d", "bool", help="Leave it running, and print its id"),
            Flag("rm", "", "bool", help="Remove the container when it ends"),
            Flag("name", "", "str", "NAME", "What it is called"),
            Flag("env", "e", "list", "NAME=VALUE", "Set an environment variable"),
            Flag("env-from-file", "", "list", "FILE", "Read environment variables from a file"),
            Flag("entrypoint", "", "str", "COMMAND", "Run this instead of the entry point", unset=True),
            Flag("user", "u", "str", "USER[:GROUP]", "Who runs it"),
            Flag("workdir", "w", "str", "DIR", "Where it starts"),
            Flag("volume", "v", "list", "SOURCE:TARGET", "Mount something more"),
            Flag("publish", "p", "list", "PORT", "Publish a port"),
            Flag("service-ports", "P", "bool", help="Publish the service's own ports"),
            Flag("use-aliases", "", "bool", help="Have the service's names on its networks"),
            Flag("label", "l", "list", "NAME=VALUE", "Attach a label"),
            Flag("cap-add", "", "list", "CAPABILITY", "Add a capability"),
            Flag("cap-drop", "", "list", "CAPABILITY", "Take a capability away"),
            Flag("interactive", "i", "bool", help="Keep standard input open", default=True),
            Flag("no-tty", "T", "bool", help="No terminal (default: one where there is one)", aliases=("no-TTY",)),
            Flag("tty", "t", "bool", help="", hidden=True),
            Flag("build", "", "bool", help="Build the image first"),
            _pulling(),
            Flag("quiet", "q", "bool", help="Say nothing but what the command says"),
            Flag("quiet-pull", "", "bool", help="Say nothing while pulling"),
            Flag("quiet-build", "", "bool", help="Say nothing while building"),
            Flag("no-deps", "", "bool", help="Do not start what the service depends on"),
            Flag("remove-orphans", "", "bool", help="Remove containers of services that the file does not have"),
        ], "oneoff:run", interspersed=False),
        verb("attach", "Attach to a running container", "SERVICE", [
            Flag("index", "", "int", "N", "Which of the service's containers", unset=True),
            Flag("detach-keys", "", "str", "KEYS", "Keys that leave the container running"),
            Flag("no-stdin", "", "bool", help="Do not attach standard input"),
            Flag("sig-proxy", "", "bool", help="Forward signals", default=True),
        ], "entering:attach"),
        verb("cp", "Copy files into or out of a container", "SOURCE DESTINATION", [
            Flag("archive", "a", "bool", help="Keep owners"),
            Flag("follow-link", "L", "bool", help="Follow a link in the source"),
            Flag("index", "", "int", "N", "Which of the service's containers", unset=True),
            Flag("all", "", "bool", help="Copy into every container of the service"),
        ], "entering:cp"),
        verb("commit", "Make an image of what a container changed", "SERVICE [IMAGE]", [
            Flag("author", "a", "str", "NAME", "Who made it"),
            Flag("change", "c", "list", "INSTRUCTION", "Apply a Dockerfile instruction"),
            Flag("message", "m", "str", "TEXT", "Why"),
            Flag("pause", "p", "bool", help="Freeze the container meanwhile", default=True),
            Flag("index", "", "int", "N", "Which of the service's containers", unset=True),
        ], "entering:commit"),
        verb("export", "Write a container's files as a tar archive", "SERVICE", [
            Flag("output", "o", "str", "FILE", "Write to a file"),
            Flag("index", "", "int", "N", "Which of the service's containers", unset=True),
        ], "entering:export"),
    ]  # fmt: skip
