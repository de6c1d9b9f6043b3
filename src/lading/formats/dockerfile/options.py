"""The flags of each instruction (``--from=…``), as far as they are the same for all: names, kinds, values.

Source: BuildKit's ``frontend/dockerfile/instructions`` (``bflag.go``, ``parse.go``).
"""

from __future__ import annotations

from lading.formats.dockerfile.mistakes import DockerfileError, did_you_mean, quoted

TEXT, TRUTH, MANY = "text", "truth", "many"
"""Kinds: one value; true or false, true without a value; a value each time it is given."""

_COPYING = {"chown": TEXT, "chmod": TEXT, "link": TRUTH, "exclude": MANY}
FLAGS: dict[str, dict[str, str]] = {
    "FROM": {"platform": TEXT},
    "RUN": {"mount": MANY, "network": TEXT, "security": TEXT, "device": MANY},
    "COPY": {**_COPYING, "from": TEXT, "parents": TRUTH},
    "ADD": {**_COPYING, "keep-git-dir": TRUTH, "checksum": TEXT, "unpack": TRUTH},
    "HEALTHCHECK": {
        "interval": TEXT,
        "timeout": TEXT,
        "start-period": TEXT,
        "start-interval": TEXT,
        "retries": TEXT,
    },
}
"""Instruction → flag → kind. The others have none."""


class Options:
    """The flags that were given to one instruction."""

    __slots__ = ("many", "texts", "truths")

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.truths: dict[str, bool] = {}
        self.many: dict[str, list[str]] = {}

    def text(self, name: str) -> str:
        """The value of a flag, empty without it."""
        return self.texts.get(name, "")

    def truth(self, name: str) -> bool:
        """Whether a flag is on."""
        return self.truths.get(name, False)

    def all(self, name: str) -> list[str]:
        """Every value of a flag that may be given again."""
        return self.many.get(name, [])

    def names(self) -> list[str]:
        """The names that were given, in alphabetical order."""
        return sorted([*self.texts, *self.truths, *self.many])


NONE = Options()


def parse(keyword: str, flags: list[str]) -> Options:
    """The flags of an instruction called ``keyword``. Raises :class:`DockerfileError` for one that it does not know."""
    if not flags:
        return NONE
    known = FLAGS.get(keyword, {})
    made = Options()
    for flag in flags:
        name, equals, value = flag[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            raise _unknown(keyword, name, known)
        if name in made.texts or name in made.truths:
            raise DockerfileError(
                f"{keyword}: --{name} is given twice", hint="leave one out", token=f"--{name}"
            )
        if kind == TRUTH:
            made.truths[name] = _truth(keyword, name, equals, value)
        elif not equals:
            raise DockerfileError(
                f"{keyword}: --{name} wants a value",
                hint=f"write --{name}=VALUE, without a space",
                token=flag,
            )
        elif kind == TEXT:
            made.texts[name] = value
        else:
            made.many.setdefault(name, []).append(value)
    return made


def _truth(keyword: str, name: str, equals: str, value: str) -> bool:
    lowered = value.lower()
    if lowered == "true" or not equals:
        return True
    if lowered == "false":
        return False
    raise DockerfileError(
        f"{keyword}: --{name} is true or false, not {quoted(value)}",
        hint=f"write --{name} or --{name}=false",
        token=f"--{name}",
    )


def _unknown(keyword: str, name: str, known: dict[str, str]) -> DockerfileError:
    owners = [other for other, flags in FLAGS.items() if name in flags]
    hint = did_you_mean(name, known)
    if hint:
        hint = hint.replace("did you mean ", "did you mean --")
    elif owners:
        hint = f"--{name} is a flag of {' and '.join(owners)}"
    elif known:
        hint = f"the flags of {keyword} are {', '.join('--' + flag for flag in sorted(known))}"
    else:
        hint = f"{keyword} has no flags"
    return DockerfileError(
        f"{keyword} has no flag --{name[:40]}", hint=hint, token=f"--{name}", reason="unknown-flag"
    )
