"""What goes into ``lading build``: from its flags and its word for the context to a request."""

from __future__ import annotations

import os
import sys

from lading.errors import InvalidInput
from lading.formats.dockerfile.remote import is_http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.agents import Agents
    from lading.build.arrivals import Arrivals
    from lading.build.fetching import Fetching
    from lading.build.progress import Progress
    from lading.build.request import Request
    from lading.build.workshop import Settings
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.dockerfile.ignore import Ignore
    from lading.formats.pod import Container as Limited


def request(context: Context, parsed: Parsed, progress: Progress) -> Request:
    """The request; its :meth:`Request.close` is the caller's. Raises :class:`DockerfileError`, :class:`InvalidInput`, …"""
    from lading.build.arrivals import Arrivals
    from lading.build.fetching import Fetching
    from lading.kernel import Kernel

    settings, agents = _settings(context, parsed)
    data = context.roots.data + "/build"
    fetching = Fetching(context.images, data, context.roots.config, settings, progress)
    arrivals = Arrivals(Kernel(), context.images, fetching, data)
    fetching.also(agents)
    try:
        return _made(parsed, settings, fetching, arrivals)
    except BaseException:
        fetching.close()
        raise


def _made(parsed: Parsed, settings: Settings, fetching: Fetching, arrivals: Arrivals) -> Request:
    from lading.build.origins import LARGEST_FILE
    from lading.build.request import Request
    from lading.cli.buildoutput import platform_names
    from lading.formats import platform as platforms
    from lading.formats.dockerfile import parse

    where = parsed.args[0] if parsed.args else "."
    keep = pairs(parsed["build-arg"], "--build-arg", environ=True).get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "")
    arrivals.keep_git_dir = keep.lower() in ("1", "t", "true")
    stream = sys.stdin.buffer
    file, text = parsed["file"], None
    if file == "-":
        if where == "-":
            raise InvalidInput(
                "the Dockerfile and the context cannot both come from standard input",
                hint="put the Dockerfile into the archive",
            )
        file, text = "", stream.read(LARGEST_FILE + 1)
    elif is_http(file):
        with os.fdopen(fetching.downloads.get(file, limit=LARGEST_FILE).open(), "rb") as fetched:
            file, text = "", fetched.read()
    origin = arrivals.origin(where, file=file, text=text, stream=stream)
    try:
        here = platforms.host()
        platform = platforms.parse(next(iter(platform_names(parsed)), ""))
        made = Request(
            parse(origin.data, origin.name), platform=platform, build_platform=here, settings=settings
        )
    except BaseException:
        if origin.context is not None:
            origin.context.close()
        raise
    if origin.context is not None:
        made.contexts[""] = origin.context
    try:
        made.fetching = fetching
        made.ignore = origin.ignore
        for row in parsed["build-context"]:
            arrivals.named(made, row)
        _fill(made, parsed)
    except BaseException:
        made.close()
        raise
    return made


def _settings(context: Context, parsed: Parsed) -> tuple[Settings, Agents]:
    """What all commands of the build have. The agents are the caller's to close."""
    from lading.build.agents import Agents
    from lading.build.workshop import Settings
    from lading.cli.buildsecrets import secret
    from lading.images.make import source_date

    settings = Settings()
    if os.environ.get("SOURCE_DATE_EPOCH"):
        settings.moment = source_date(0)
    for row in parsed["secret"]:
        name, data = secret(row, os.environ)
        if name in settings.secrets:
            raise InvalidInput(f"--secret id={name} stands twice")
        settings.secrets[name] = data
    settings.cgroup_parent = parsed["cgroup-parent"]
    settings.limits = _limits(parsed)
    agents = Agents(context.roots.run)
    try:
        for row in parsed["ssh"]:
            name, socket = agents.get(row, os.environ)
            if name in settings.agents:
                raise InvalidInput(f"--ssh {name} stands twice")
            settings.agents[name] = socket
    except BaseException:
        agents.close()
        raise
    return settings, agents


_LIMITS = (
    "memory",
    "memory-swap",
    "cpuset-cpus",
    "cpuset-mems",
    "cpu-period",
    "cpu-quota",
    "cpu-shares",
    "ulimit",
)


def _limits(parsed: Parsed) -> Limited | None:
    """The limits of commands, as a container has them."""
    if not any(parsed[name] for name in _LIMITS):
        return None
    from lading.cli.translate_limits import limits
    from lading.formats.pod import Container

    made = Container(name="main")
    others: dict[str, object] = dict.fromkeys(
        ("memory-swappiness", "pids-limit", "blkio-weight", "oom-score-adj"), None
    )
    others |= {"cpus": "", "memory-reservation": "", "oom-kill-disable": False}
    limits({**others, **{name: parsed[name] for name in _LIMITS}}, made)
    return made


def _hosts(rows: list[str]) -> list[str]:
    """``NAME=ADDRESS`` for each ``--add-host``. Raises :class:`InvalidInput`."""
    if not rows:
        return []
    from lading.cli.translate_network import host

    return ["=".join(host(text)) for text in rows]


_RIGHTS = ("network.host", "security.insecure")


def _fill(made: Request, parsed: Parsed) -> None:
    """What flags say that need no look at anything."""
    from lading.cli.buildcontrols import steer

    made.args = pairs(parsed["build-arg"], "--build-arg", environ=True)
    steer(made, parsed)
    made.labels = pairs(parsed["label"], "--label", environ=False)
    made.target = parsed["target"]
    made.no_cache = parsed["no-cache"]
    made.no_cache_stages = frozenset(
        name.lower() for text in parsed["no-cache-filter"] for name in text.split(",") if name
    )
    made.pull = parsed["pull"] in ("always", "true", "newer", "ifnewer") or parsed["pull-always"]
    made.pull_never = parsed["pull"] == "never" or parsed["pull-never"]
    made.hosts = _hosts(parsed["add-host"])
    made.network = "default" if parsed["network"] == "bridge" else parsed["network"]
    rights = [right for text in parsed["allow"] for right in text.split(",") if right]
    for right in rights:
        if right not in _RIGHTS:
            raise InvalidInput(f"--allow {right!r} is not one of {', '.join(_RIGHTS)}")
    made.allow = frozenset(rights)
    if parsed["shm-size"]:
        from lading.formats import sizes

        made.shm_size = sizes.parse(parsed["shm-size"], what="--shm-size")
    made.ulimits = list(parsed["ulimit"])
    made.jobs = parsed["jobs"]
    if made.jobs < 0:
        raise InvalidInput(f"--jobs {made.jobs} is less than nothing")
    if parsed["ignorefile"]:
        made.leave_out(_ignore(parsed["ignorefile"]))


def _ignore(path: str) -> Ignore:
    from lading.formats.dockerfile.ignore import LARGEST, Ignore

    try:
        with open(path, "rb") as file:
            return Ignore.parse(file.read(LARGEST + 1), path)
    except OSError as error:
        raise InvalidInput(f"--ignorefile {path}: {error.strerror}") from None


def pairs(texts: list[str], flag: str, *, environ: bool) -> dict[str, str]:
    """``NAME=VALUE`` rows; a name alone takes the caller's variable where ``environ`` says so."""
    made = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise InvalidInput(f"{flag} {text!r} has no name", hint="write NAME=VALUE")
        if not equals and environ:
            found = os.environ.get(name)
            if found is None:
                continue
            value = found
        made[name] = value
    return made
