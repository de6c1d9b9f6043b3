"""Docker's words to a Pod: a pure function from the options of ``run`` to ``formats.pod``.

A container is a pod of one; what Kubernetes has no field for travels in ``extras``. Nothing is looked up here: files that
flags name were read before, and ``environ``, ``cwd`` and the like are arguments.

Kubernetes expands ``$(NAME)`` in commands and values and Docker does not, so every dollar that would begin such an
expression is doubled on the way in (``literal``) and halved again where Docker's users look (``plain``).
"""

from __future__ import annotations

from lading.cli.translate_limits import limits
from lading.cli.translate_network import network
from lading.cli.translate_rights import rights, security
from lading.errors import InvalidInput, Unsupported
from lading.formats.pod import (
    Container,
    ContainerExtras,
    EnvVar,
    ObjectMeta,
    Pod,
    PodExtras,
    PodSpec,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from lading.formats.pod import BindMount

PULL_POLICIES = {"always": "Always", "missing": "IfNotPresent", "never": "Never"}


class Surroundings:
    """What the translation may know of the world: environment, directory, files read for flags that name them."""

    __slots__ = ("cwd", "environ", "free_port", "read_file", "volumes_of")

    def __init__(
        self,
        environ: Mapping[str, str],
        cwd: str,
        read_file: Callable[[str, str], bytes],
        volumes_of: Callable[[str], Sequence[BindMount]],
        free_port: Callable[[str, str, int, int], int],
    ) -> None:
        self.environ = environ
        self.cwd = cwd
        self.read_file = read_file
        self.volumes_of = volumes_of
        self.free_port = free_port


def literal(text: str) -> str:
    """``text`` so that Kubernetes' ``$(NAME)`` expansion gives it back unchanged."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text


def plain(text: str) -> str:
    """The inverse of :func:`literal`."""
    return text.replace("$$", "$") if "$$" in text else text


def pod_from_run(options: Mapping[str, Any], args: Sequence[str], around: Surroundings) -> Pod:
    """The Pod that ``run`` or ``create`` with these flags (:mod:`lading.cli.runflags`) and arguments asks for.

    Raises :class:`InvalidInput` and :class:`Unsupported`, naming the flag.
    """
    name = options["name"]
    if name:
        check_name(name)
    extras = ContainerExtras()
    container = Container(name="main", image=args[0], extras=extras)
    spec = PodSpec(containers=[container], extras=PodExtras(container=True, remove=options["rm"]))
    pod = Pod(metadata=ObjectMeta(name=name), spec=spec)
    container.image_pull_policy = PULL_POLICIES[options["pull"]]
    extras.platform = options["platform"]
    _command(options, args, container)
    _identity(options, container, around)
    if options["annotation"]:
        pod.metadata.annotations = pairs(options["annotation"], "--annotation")
    _terminal(options, container)
    _life(options, spec, container)
    _files(options, container, around)
    network(options, spec, container, around)
    if options["pod"]:
        _into_pod(options, spec)
    limits(options, container)
    rights(options, spec, container)
    return pod


#: What a pod decides for everything that lives in it.
_OF_THE_POD = (
    "network",
    "network-alias",
    "ip",
    "ip6",
    "mac-address",
    "publish",
    "publish-all",
    "hostname",
    "dns",
    "dns-search",
    "dns-option",
    "add-host",
    "ipc",
    "uts",
    "userns",
)


def _into_pod(options: Mapping[str, Any], spec: PodSpec) -> None:
    """``--pod NAME``; the node says which namespaces that means."""
    name = options["pod"]
    if name.startswith("new:"):
        raise Unsupported(
            f"--pod {name}: a pod without a container of its own is not supported",
            hint="make it from a manifest with lading pod run, and join it by its name",
        )
    for flag in _OF_THE_POD:
        if options[flag]:
            raise InvalidInput(f"--{flag} does not go with --pod", hint="it is the pod that decides it")
    spec.extras.pod = name


def check_name(name: str) -> str:
    """``name`` itself when a container may be called so: letters, digits, ``_``, ``.`` and ``-``. Raises InvalidInput."""
    body = name.replace("_", "a").replace(".", "a").replace("-", "a")
    if not name[:1].isalnum() or not body.isalnum() or not name.isascii() or not 2 <= len(name) <= 128:
        raise InvalidInput(
            f"container name {name[:80]!r}: a name is 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit"
        )
    return name


def _command(options: Mapping[str, Any], args: Sequence[str], container: Container) -> None:
    container.args = [literal(a) for a in args[1:]]
    entrypoint = options["entrypoint"]
    if entrypoint is not None:
        container.extras.entrypoint_given = True
        if entrypoint:
            container.command = [literal(entrypoint)]
    workdir = options["workdir"]
    if workdir and not workdir.startswith("/"):
        raise InvalidInput(f"--workdir {workdir!r} is not an absolute path")
    container.working_dir = workdir


def _identity(options: Mapping[str, Any], container: Container, around: Surroundings) -> None:
    extras = container.extras
    extras.user = options["user"]
    if extras.user.startswith(":") or extras.user.count(":") > 1:
        raise InvalidInput(f"--user {extras.user!r} is not USER[:GROUP]")
    extras.group_add = options["group-add"]
    hostname = options["hostname"]
    if hostname:
        body = hostname.replace("-", "a").replace(".", "a").replace("_", "a")
        if len(hostname) > 63 or not body.isalnum() or not hostname.isascii() or hostname[0] in "-.":
            raise InvalidInput(f"--hostname {hostname[:80]!r} is not up to 63 letters, digits, '.' and '-'")
        extras.hostname = hostname
    if options["env"] or options["env-file"]:
        from lading.formats import env

        values = env.variables(options["env-file"], options["env"], around.environ, around.read_file)
        container.env = [EnvVar(name=n, value=literal(v)) for n, v in values.items()]
    labels: dict[str, str] = {}
    for path in options["label-file"]:
        try:
            text = around.read_file("--label-file", path).decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"--label-file {path}: not UTF-8 text") from None
        lines = [line.strip() for line in text.splitlines()]
        labels.update(pairs([line for line in lines if line and line[0] != "#"], f"--label-file {path}"))
    labels.update(pairs(options["label"], "--label"))
    extras.labels = labels


def pairs(texts: Sequence[str], flag: str) -> dict[str, str]:
    """``NAME=VALUE`` rows of ``flag``; a name alone has an empty value. Raises :class:`InvalidInput`."""
    made: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name:
            raise InvalidInput(f"{flag} {text!r} has no name", hint="write NAME=VALUE")
        made[name] = value
    return made


def _terminal(options: Mapping[str, Any], container: Container) -> None:
    container.tty = options["tty"]
    container.stdin = options["interactive"] or "stdin" in options["attach"]
    container.extras.open_stdin = container.stdin
    container.stdin_once = container.stdin


def _life(options: Mapping[str, Any], spec: PodSpec, container: Container) -> None:
    extras = container.extras
    spec.restart_policy, extras.restart = restart_policy(options["restart"])
    if extras.restart and spec.extras.remove:
        raise InvalidInput(f"--rm and --restart {options['restart']} contradict each other")
    extras.init = options["init"]
    if options["stop-signal"]:
        from lading.formats import signals

        extras.stop_signal = signals.name(signals.number(options["stop-signal"]))
    if options["stop-timeout"] is not None:
        timeout = options["stop-timeout"]
        if timeout < -1:
            raise InvalidInput(f"--stop-timeout {timeout} is negative")
        extras.stop_timeout = timeout
        spec.termination_grace_period_seconds = timeout if timeout >= 0 else 2**31
    else:
        spec.termination_grace_period_seconds = 10
    _health(options, extras)


def restart_policy(text: str) -> tuple[str, str]:
    """``(pod's restartPolicy, extras.restart)`` of Docker's ``--restart``. Raises :class:`InvalidInput`."""
    word, colon, count = text.partition(":")
    if word == "on-failure":
        if colon and not (count.isascii() and count.isdigit() and len(count) < 10):
            raise InvalidInput(f"--restart {text[:60]!r}: {count[:40]!r} is not a number of restarts")
        return "OnFailure", text
    if not colon:
        if word in ("no", ""):
            return "Never", ""
        if word in ("always", "unless-stopped"):
            return "Always", word
    raise InvalidInput(f"--restart {text[:60]!r} is not no, on-failure[:N], always or unless-stopped")


def _health(options: Mapping[str, Any], extras: ContainerExtras) -> None:
    given = [
        f
        for f in ("cmd", "interval", "timeout", "start-period", "start-interval", "retries")
        if options[f"health-{f}"] not in ("", None)
    ]
    if not given and not options["no-healthcheck"]:
        return
    from lading.formats import duration
    from lading.formats.pod import Healthcheck

    if options["no-healthcheck"]:
        if given:
            raise InvalidInput(f"--no-healthcheck and --health-{given[0]} contradict each other")
        extras.healthcheck = Healthcheck(test=["NONE"])
        return
    check = Healthcheck()
    if options["health-cmd"]:
        check.test = ["CMD-SHELL", options["health-cmd"]]
    for field in ("interval", "timeout", "start-period", "start-interval"):
        text = options[f"health-{field}"]
        if text:
            try:
                value = duration.seconds(text)
            except InvalidInput as error:
                raise InvalidInput(f"--health-{field}: {error.message}", hint=error.hint) from None
            if 0 < value < 0.001:
                raise InvalidInput(f"--health-{field} {text}: shorter than a millisecond")
            if value or field == "start-period":
                setattr(check, field.replace("-", "_"), value)
    retries = options["health-retries"]
    if retries is not None:
        if retries < 0:
            raise InvalidInput(f"--health-retries {retries} is negative")
        check.retries = retries or check.retries
    extras.healthcheck = check


def _files(options: Mapping[str, Any], container: Container, around: Surroundings) -> None:
    extras = container.extras
    if options["read-only"]:
        security(container).read_only_root_filesystem = True
    if options["shm-size"]:
        from lading.formats import sizes

        extras.shm_size = sizes.parse(options["shm-size"], what="--shm-size")
        if not extras.shm_size:
            raise InvalidInput("--shm-size must be more than 0")
    if not (options["volume"] or options["mount"] or options["tmpfs"] or options["volumes-from"]):
        return
    from lading.formats import mountspec
    from lading.formats.pod import TmpfsMount

    binds: dict[str, BindMount] = {}
    for text in options["volumes-from"]:
        source, colon, mode = text.partition(":")
        if colon and mode not in ("ro", "rw"):
            raise InvalidInput(f"--volumes-from {text!r}: {mode!r} is not ro or rw")
        for mount in around.volumes_of(source):
            binds[mount.target] = mount.replace(read_only=mount.read_only or mode == "ro")
    own: set[str] = set()
    memory: list[TmpfsMount] = []
    for text in options["volume"]:
        made = mountspec.volume(text, cwd=around.cwd)
        if not made.source and options["volume-driver"]:
            made.driver = options["volume-driver"]
        _once(own, made.target)
        binds[made.target] = made
    for text in options["mount"]:
        spelt = mountspec.mount(text, cwd=around.cwd)
        if isinstance(spelt, TmpfsMount):
            _once(own, spelt.path)
            binds.pop(spelt.path, None)
            memory.append(spelt)
        else:
            _once(own, spelt.target)
            binds[spelt.target] = spelt
    for text in options["tmpfs"]:
        spelt = mountspec.tmpfs(text)
        _once(own, spelt.path)
        binds.pop(spelt.path, None)
        memory.append(spelt)
    extras.mounts = list(binds.values())
    extras.tmpfs = memory


def _once(seen: set[str], target: str) -> None:
    if target in seen:
        raise InvalidInput(f"two mounts have the target {target}")
    seen.add(target)
