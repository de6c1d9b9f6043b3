"""A pod manifest out of a command line and the images that it names. Pure: what is read from outside is handed in.

What is said of an app goes over what its image says, as Rocket has it: its documentation, "rkt run".
"""

from __future__ import annotations

from lading.errors import InvalidInput
from lading.formats import quantity
from lading.formats.appc import isolators as names
from lading.formats.appc import strings
from lading.formats.appc.app import App, EnvironmentVariable, is_variable
from lading.formats.appc.isolators import Isolator
from lading.formats.appc.labels import Annotation
from lading.formats.appc.names import is_name, suggest_name
from lading.formats.appc.pod import ExposedPort, Mount, PodManifest, RuntimeApp, RuntimeImage
from lading.formats.capnames import NAMES
from lading.rocket.rkt.line import pairs, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lading.rocket.rkt.appimages import AppImage
    from lading.rocket.rkt.line import AppLine, Line

_LONGEST_NAME = 63
_LEAST_MEMORY = 4096
_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


class Environment:
    """Variables from outside: of the caller (empty unless they are to be inherited), and of a file and flags for every app."""

    __slots__ = ("caller", "given")

    def __init__(self, caller: Mapping[str, str], given: Mapping[str, str]) -> None:
        self.caller = caller
        self.given = given


def manifest(line: Line, images: Sequence[AppImage], environment: Environment) -> PodManifest:
    """The template of a pod, whose apps are those of ``line`` with ``images`` in the same order. Raises :class:`InvalidInput`."""
    made = PodManifest.new()
    for app, image in zip(line.apps, images, strict=True):
        one = runtime_app(app, image, environment, line.mounts)
        if any(one.name == other.name for other in made.apps):
            raise InvalidInput(
                f"two apps are called {one.name}", hint=f"give one another name: {app.image} --name NAME"
            )
        made.apps.append(one)
    made.volumes = [strings.volume(text) for text in line.list("volume")]
    made.ports = exposed(line.list("port"))
    return made


def exposed(texts: Iterable[str]) -> list[ExposedPort]:
    """The values of ``--port``."""
    return [
        ExposedPort(name=name, host_port=number, host_ip=address)
        for name, address, number in map(strings.published, texts)
    ]


def runtime_app(
    line: AppLine, image: AppImage, environment: Environment, mounts: Sequence[str] = ()
) -> RuntimeApp:
    """One app of a pod; ``mounts`` are those of every app. Raises :class:`InvalidInput`."""
    where = f"image {line.image}"
    name = line.one("name") or suggest_name(image.manifest.name.rpartition("/")[2])[:_LONGEST_NAME].rstrip(
        "-"
    )
    if not is_name(name):
        raise InvalidInput(
            f"{where}: {name[:80]!r} cannot be the name of an app",
            hint="lower-case letters and digits with single hyphens between them: --name NAME",
        )
    app = _app(line, image, environment, where)
    read_only = line.one("readonly-rootfs")
    return RuntimeApp(
        name=name,
        image=RuntimeImage(id=image.id, name=image.manifest.name, labels=list(image.manifest.labels)),
        app=app,
        read_only_root_fs=read_only is not None and truth("readonly-rootfs", read_only),
        mounts=_mounts(line.all("mount"), mounts),
        annotations=[
            Annotation(name=key, value=value)
            for key, value in dict(pairs("annotation", line.all("annotation"))).items()
        ],
    )


def _app(line: AppLine, image: AppImage, environment: Environment, where: str) -> App:
    command = line.one("exec")
    found = image.manifest.app
    if found is None:
        if not command:
            raise InvalidInput(
                f"{where} says nothing about how to execute it", hint="give a command with --exec"
            )
        found = App(exec=[command], user="0", group="0")
    made = found.replace(
        exec=[*([command] if command else found.exec), *(line.args or [])],
        user=line.one("user") or found.user,
        group=line.one("group") or found.group,
        working_directory=line.one("working-dir") or found.working_directory,
        environment=_environment(found, line, environment),
        isolators=isolators(line, found.isolators),
        user_annotations={
            **found.user_annotations,
            **dict(pairs("user-annotation", line.all("user-annotation"))),
        },
        user_labels={**found.user_labels, **dict(pairs("user-label", line.all("user-label")))},
    )
    groups = line.one("supplementary-gids")
    if groups is not None:
        made.supplementary_gids = [number("supplementary-gids", word) for word in words([groups])]
    return made


def _environment(app: App, line: AppLine, environment: Environment) -> list[EnvironmentVariable]:
    made = {name: value for name, value in environment.caller.items() if is_variable(name)}
    made.update((variable.name, variable.value) for variable in app.environment)
    made.update(environment.given)
    made.update(pairs("environment", line.all("environment")))
    return [EnvironmentVariable(name=name, value=value) for name, value in made.items()]


def _mounts(own: Sequence[str], everyones: Sequence[str]) -> list[Mount]:
    """An app's own mounts go over those of every app at the same place."""
    made: dict[str, Mount] = {}
    for text in (*everyones, *own):
        one = mount(text)
        made[one.path.rstrip("/")] = one
    return list(made.values())


def mount(text: str) -> Mount:
    """``volume=NAME,target=PATH``. Raises :class:`InvalidInput`."""
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if key not in ("volume", "target") or not equals or key in fields:
            raise InvalidInput(
                f"--mount {text[:80]!r}: {part[:40]!r} is not understood",
                hint="write volume=NAME,target=/path",
            )
        fields[key] = value
    if not fields.get("volume") or not fields.get("target", "").startswith("/"):
        raise InvalidInput(
            f"--mount {text[:80]!r} needs a volume and an absolute target", hint="volume=NAME,target=/path"
        )
    return Mount(volume=fields["volume"], path=fields["target"])


# -- isolators -------------------------------------------------------------------------------------------------------


def isolators(line: AppLine, found: Sequence[Isolator]) -> list[Isolator]:
    """An image's isolators with those of the command line in the place of theirs. Raises :class:`InvalidInput`."""
    made = list(found)
    cpu, memory = line.one("cpu"), line.one("memory")
    if cpu is not None:
        quantity.millis(cpu)
        _replace(made, names.CPU, {"request": cpu, "limit": cpu})
    if memory is not None:
        amount = memory[:-1] + "k" if memory.endswith("K") else memory
        if quantity.units(amount) < _LEAST_MEMORY:
            raise InvalidInput(
                f"--memory {memory}: fewer than {_LEAST_MEMORY} bytes", hint="16M are megabytes, 16m are not"
            )
        _replace(made, names.MEMORY, {"request": memory, "limit": memory})
    for flag, name in (("cpu-shares", names.CPU_SHARES), ("oom-score-adj", names.OOM_SCORE_ADJ)):
        text = line.one(flag)
        if text is not None:
            _replace(made, name, number(flag, text))
    _capabilities(line, made)
    seccomp = line.one("seccomp")
    if seccomp is not None:
        _seccomp(seccomp, made)
    names.gather(made, names.APP, f"image {line.image}: isolators")
    return made


def _replace(made: list[Isolator], name: str, value: object, *others: str) -> None:
    made[:] = [isolator for isolator in made if isolator.name not in (name, *others)]
    made.append(Isolator(name=name, value=value))


def _capabilities(line: AppLine, made: list[Isolator]) -> None:
    retain, remove = line.one("caps-retain"), line.one("caps-remove")
    if retain is not None and remove is not None:
        raise InvalidInput(f"--caps-retain and --caps-remove exclude each other: image {line.image}")
    both = (names.CAPABILITIES_RETAIN, names.CAPABILITIES_REMOVE)
    for text, name in ((retain, both[0]), (remove, both[1])):
        if text is not None:
            for word in words([text]):
                if word.removeprefix("CAP_") not in NAMES:
                    raise InvalidInput(f"image {line.image}: there is no capability {word[:40]!r}")
            _replace(
                made, name, {"set": ["CAP_" + word.removeprefix("CAP_") for word in words([text])]}, *both
            )


def _seccomp(text: str, made: list[Isolator]) -> None:
    """``mode=retain|remove[,errno=NAME],CALL,…``"""
    fields: dict[str, str] = {}
    calls: list[str] = []
    for word in words([text]):
        key, equals, said = word.partition("=")
        if not equals:
            calls.append(word)
        elif key in ("mode", "errno") and key not in fields:
            fields[key] = said
        else:
            raise InvalidInput(f"--seccomp {text[:80]!r}: {word[:40]!r} is not understood")
    by_mode = {"retain": names.SECCOMP_RETAIN, "remove": names.SECCOMP_REMOVE}
    if fields.get("mode") not in by_mode:
        raise InvalidInput(
            f"--seccomp {text[:80]!r}: the mode is missing", hint="mode=retain,CALL,… or mode=remove,CALL,…"
        )
    value: dict[str, object] = {"set": calls}
    if "errno" in fields:
        value["errno"] = fields["errno"]
    _replace(made, by_mode[fields["mode"]], value, *by_mode.values())


# -- values ----------------------------------------------------------------------------------------------------------


def number(flag: str, text: str) -> int:
    """A whole number. Raises :class:`InvalidInput`."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 10:
        raise InvalidInput(f"--{flag} {text[:40]!r} is not a whole number")
    return int(text)


def truth(flag: str, text: str) -> bool:
    """A truth value, as flags take it. Raises :class:`InvalidInput`."""
    if text not in _TRUE and text not in _FALSE:
        raise InvalidInput(f"--{flag} {text[:40]!r} is not true or false")
    return text in _TRUE


def file_variables(text: str, *, where: str) -> dict[str, str]:
    """What ``--set-env-file`` reads: ``NAME=VALUE`` a line; ``#`` and ``;`` begin comments. Raises :class:`InvalidInput`."""
    made: dict[str, str] = {}
    for index, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith(("#", ";")):
            continue
        name, equals, value = line.partition("=")
        if not equals or not is_variable(name):
            raise InvalidInput(f"{where}:{index}: {line[:40]!r} is not NAME=VALUE")
        made[name] = value
    return made
