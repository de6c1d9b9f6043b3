"""``--change`` of ``import`` and ``commit``: Dockerfile instructions that change how an image runs.

Source: Docker's ``docker commit`` reference: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK NONE, LABEL, ONBUILD, SHELL, STOPSIGNAL,
USER, VOLUME, WORKDIR.
"""

from __future__ import annotations

import posixpath

from lading.errors import InvalidInput
from lading.formats import jsontext
from lading.formats.oci_image import Healthcheck, RunConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def apply(config: RunConfig | None, changes: Sequence[str]) -> RunConfig:
    """A copy of ``config`` with the instructions applied in order. Raises :class:`InvalidInput` naming the instruction."""
    made = (config or RunConfig()).replace()
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        rest = rest.strip()
        name = word.upper()
        if not rest:
            raise InvalidInput(f"change {change!r} has no argument", hint='for example CMD ["sh"]')
        if name in ("CMD", "ENTRYPOINT", "SHELL"):
            words = _words(rest, change, shell=name != "SHELL")
            if name == "CMD":
                made.cmd = words
            elif name == "SHELL":
                made.shell = words
            else:
                made.entrypoint = words
                made.cmd = []
        elif name == "ENV":
            made.env = _set_env(made.env, _pairs(rest, change))
        elif name == "LABEL":
            made.labels = {**made.labels, **dict(_pairs(rest, change))}
        elif name == "EXPOSE":
            made.exposed_ports = {**made.exposed_ports, **{_port(p, change): {} for p in rest.split()}}
        elif name == "VOLUME":
            paths = _words(rest, change, shell=False) if rest.startswith("[") else rest.split()
            made.volumes = {**made.volumes, **{_absolute(p, change): {} for p in paths}}
        elif name == "USER":
            made.user = _one(rest, change)
        elif name == "WORKDIR":
            base = made.working_dir or "/"
            made.working_dir = posixpath.normpath(posixpath.join("/", base, rest))
        elif name == "STOPSIGNAL":
            made.stop_signal = _one(rest, change)
        elif name == "ONBUILD":
            made.on_build = [*made.on_build, rest]
        elif name == "HEALTHCHECK":
            made.healthcheck = _healthcheck(rest, change)
        else:
            raise InvalidInput(
                f"change {change!r}: {word} is not supported here",
                hint="use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR",
                reason="unknown-instruction",
            )
    return made


def _words(text: str, change: str, *, shell: bool) -> list[str]:
    """The exec form (a JSON list), or the shell form wrapped in ``/bin/sh -c``."""
    if text.startswith("["):
        try:
            value = jsontext.loads(text)
        except InvalidInput:
            value = None
        if type(value) is list and all(type(v) is str for v in value):
            return value
        if not shell:
            raise InvalidInput(f"change {change!r} is not a JSON list of strings")
    elif not shell:
        raise InvalidInput(f"change {change!r} is not a JSON list of strings")
    return ["/bin/sh", "-c", text]


def _pairs(text: str, change: str) -> list[tuple[str, str]]:
    """``KEY=VALUE KEY="VALUE WITH SPACES"``, or the old form ``KEY VALUE…``."""
    import shlex

    first = text.split(None, 1)
    if "=" not in first[0]:
        if len(first) < 2:
            raise InvalidInput(f"change {change!r} has no value", hint="write KEY=VALUE")
        return [(first[0], first[1])]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"change {change!r}: {error}") from None
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidInput(f"change {change!r}: {word!r} is not KEY=VALUE")
        pairs.append((key, value))
    return pairs


def _set_env(env: list[str], pairs: list[tuple[str, str]]) -> list[str]:
    made = dict(line.partition("=")[::2] for line in env)
    made.update(pairs)
    return [f"{key}={value}" for key, value in made.items()]


def _port(text: str, change: str) -> str:
    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    low, dash, high = number.partition("-")
    numbers = (low, high) if dash else (low,)
    if protocol not in ("tcp", "udp", "sctp") or not all(
        n.isascii() and n.isdigit() and len(n) < 6 and 0 < int(n) < 65536 for n in numbers
    ):
        raise InvalidInput(f"change {change!r}: {text!r} is not PORT[/PROTOCOL]")
    return f"{number}/{protocol}"


def _absolute(text: str, change: str) -> str:
    if not text.startswith("/"):
        raise InvalidInput(f"change {change!r}: {text!r} is not an absolute path")
    return text


def _one(text: str, change: str) -> str:
    if len(text.split()) != 1:
        raise InvalidInput(f"change {change!r} takes one word")
    return text


def _healthcheck(text: str, change: str) -> Healthcheck:
    if text.upper() == "NONE":
        return Healthcheck(test=["NONE"])
    word, _, rest = text.partition(" ")
    if word.upper() != "CMD" or not rest.strip():
        raise InvalidInput(f"change {change!r}: write HEALTHCHECK CMD … or HEALTHCHECK NONE")
    rest = rest.strip()
    words = _words(rest, change, shell=True)
    return Healthcheck(
        test=["CMD", *words] if rest.startswith("[") and words[:1] != ["/bin/sh"] else ["CMD-SHELL", rest]
    )
