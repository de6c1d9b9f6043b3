"""One written instruction to its typed record: what each accepts, and what it says about anything else.

Source: BuildKit's ``frontend/dockerfile/instructions/parse.go``.
"""

from __future__ import annotations

from lading.formats.dockerfile import model, options, stages
from lading.formats.dockerfile.lines import Written
from lading.formats.dockerfile.mistakes import DockerfileError, did_you_mean, quoted
from lading.formats.dockerfile.words import blank_separated, first_word, quoted_words, why_not_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from lading.formats.dockerfile.expansion import Expander

    Made = TypeVar("Made", bound=model.Instruction)


def instruction(written: Written, escape: str) -> model.Instruction:
    """The typed record of ``written``. Raises :class:`DockerfileError`, not yet told where it is."""
    builder = _BUILDERS.get(written.keyword)
    if builder is None:
        raise DockerfileError(
            f"unknown instruction {quoted(written.word)}",
            hint=_unknown_hint(written),
            token=written.word,
            reason="unknown-instruction",
        )
    try:
        return builder(written, escape)
    except DockerfileError as error:
        if written.keyword in _WORDY and any(word.startswith("#") for word in blank_separated(written.rest)):
            error.hint = "a comment has a line of its own: move what begins with #"
        raise


_WORDY = frozenset(("ADD", "COPY", "ENV", "EXPOSE", "FROM", "LABEL", "STOPSIGNAL"))
"""Instructions of which people think that # ends them."""


def _unknown_hint(written: Written) -> str:
    if written.word in ("{", "<!DOCTYPE", "//") or written.word.startswith(("<", "{", "//")):
        return "is this file a Dockerfile?"
    near = did_you_mean(written.keyword, _BUILDERS)
    return near or "when it continues the line above, end that one with the escape character"


def _record(kind: type[Made], written: Written) -> Made:
    return kind(written.word, written.original, written.location, written.comments)


def _options(written: Written) -> options.Options:
    return options.parse(written.keyword, written.flags)


def _wanted(written: Written, what: str, example: str) -> str:
    """The rest of the line, which may not be empty."""
    if not written.rest:
        raise DockerfileError(
            f"{written.keyword} wants {what}",
            hint=f"for example {example}",
            token=written.word,
            reason="missing-argument",
        )
    return written.rest


def _plain(written: Written) -> None:
    if written.flags:
        _options(written)


# -- stages ------------------------------------------------------------------------------------------------------------

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def _from(written: Written, escape: str) -> stages.Stage:
    words = blank_separated(_wanted(written, "an image", "FROM debian:bookworm"))
    chosen = _options(written)
    made = _record(stages.Stage, written)
    made.as_word = made.written_name = made.name = ""
    if len(words) == 3 and words[1].lower() == "as":
        made.as_word, made.written_name = words[1], words[2]
        made.name = words[2].lower()
        if not ("a" <= made.name[0] <= "z") or not _NAME.issuperset(made.name):
            raise DockerfileError(
                f"stage name {quoted(words[2])}: a letter, then letters, digits, '-', '_' and '.'",
                hint="for example FROM image AS build-1",
                token=words[2],
            )
    elif len(words) != 1:
        raise DockerfileError(
            f"FROM wants an image, or an image, AS and a name, not {len(words)} words",
            hint="write FROM image AS name",
            token=words[1],
        )
    made.base = words[0]
    made.platform = chosen.text("platform")
    if "platform" in chosen.texts and not made.platform:
        raise DockerfileError(
            "FROM: --platform is empty", hint="write --platform=linux/amd64", token="--platform="
        )
    made.index = 0
    made.instructions = []
    return made


# -- variables and metadata --------------------------------------------------------------------------------------------


def _arg(written: Written, escape: str) -> model.Arg:
    _plain(written)
    made = _record(model.Arg, written)
    made.definitions = []
    for word in quoted_words(_wanted(written, "a name", "ARG VERSION=1.0"), escape):
        name, equals, value = word.partition("=")
        if not name:
            raise DockerfileError(
                f"ARG {quoted(word)}: the name is missing", hint="write ARG NAME=value", token=word
            )
        made.definitions.append(model.Definition(name, value if equals else None))
    return made


def _pairs(written: Written, escape: str, kind: type[model.Env]) -> model.Env:
    _plain(written)
    made = _record(kind, written)
    keyword = written.keyword
    rest = _wanted(written, "name=value", f"{keyword} name=value")
    words = quoted_words(rest, escape)
    if not words or "=" not in words[0]:
        name, value = first_word(rest)
        if not value:
            raise DockerfileError(
                f"{keyword} {quoted(name)}: the value is missing",
                hint=f"write {keyword} {name}=value",
                token=name,
            )
        made.pairs = [model.Pair(name, value, legacy=True)]
        return made
    made.pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(
                f"{keyword}: {quoted(word)} has no =",
                hint=f'write name=value; a value with spaces stands in quotes: {keyword} name="two words"',
                token=word,
            )
        if not name:
            raise DockerfileError(
                f"{keyword}: the name before {quoted(word)} is missing",
                hint=f"write {keyword} name=value",
                token=word,
            )
        made.pairs.append(model.Pair(name, value))
    return made


def _env(written: Written, escape: str) -> model.Env:
    return _pairs(written, escape, model.Env)


def _label(written: Written, escape: str) -> model.Env:
    return _pairs(written, escape, model.Label)


def _maintainer(written: Written, escape: str) -> model.Maintainer:
    _plain(written)
    made = _record(model.Maintainer, written)
    made.author = _wanted(written, "a name", 'LABEL org.opencontainers.image.authors="Ada"')
    return made


def _workdir(written: Written, escape: str) -> model.Workdir:
    _plain(written)
    made = _record(model.Workdir, written)
    made.path = _wanted(written, "a path", "WORKDIR /app")
    return made


def _user(written: Written, escape: str) -> model.User:
    _plain(written)
    made = _record(model.User, written)
    made.user = _wanted(written, "a user", "USER nobody, or USER 1000:1000")
    return made


def _expose(written: Written, escape: str) -> model.Expose:
    _plain(written)
    made = _record(model.Expose, written)
    made.ports = sorted(blank_separated(_wanted(written, "a port", "EXPOSE 80 53/udp")))
    from lading.formats.dockerfile.ports import exposed

    for port in made.ports:
        if "$" not in port and "'" not in port and '"' not in port and escape not in port:
            exposed(port)
    return made


def _volume(written: Written, escape: str) -> model.Volume:
    _plain(written)
    made = _record(model.Volume, written)
    text = _wanted(written, "a path", "VOLUME /data")
    words = blank_separated(text) if written.listed is None else written.listed
    made.paths = [word.strip() for word in words]
    if not made.paths or not all(made.paths):
        raise DockerfileError("VOLUME: a path is empty", hint='write VOLUME ["/data"]', token=text)
    return made


def _stopsignal(written: Written, escape: str) -> model.Stopsignal:
    _plain(written)
    made = _record(model.Stopsignal, written)
    made.signal = _wanted(written, "a signal", "STOPSIGNAL SIGTERM")
    if not any(char in made.signal for char in f"$'\"{escape}"):
        made._expand_more(_no_variables())
    return made


def _no_variables() -> Expander:
    from lading.formats.dockerfile.expansion import Expander

    return Expander(lambda name: None)


def _shell(written: Written, escape: str) -> model.Shell:
    _plain(written)
    made = _record(model.Shell, written)
    text = _wanted(written, "a JSON list", 'SHELL ["/bin/bash", "-c"]')
    if written.listed is None:
        raise DockerfileError(
            f"SHELL wants a JSON list: {why_not_json(text)}",
            hint='write SHELL ["/bin/bash", "-c"]',
            token=text,
        )
    if not written.listed:
        raise DockerfileError("SHELL: the list is empty", hint='write SHELL ["/bin/sh", "-c"]', token=text)
    made.words = written.listed
    return made


# -- commands ----------------------------------------------------------------------------------------------------------


def _command(made: model.Command, written: Written, example: str) -> None:
    text = _wanted(written, "a command", example)
    if written.listed is not None and any("\0" in word for word in written.listed):
        raise DockerfileError(
            f"{written.keyword}: a NUL character in a word", hint="no program can get one", token=text
        )
    made.exec = written.listed
    made.shell = text if written.listed is None else ""


def _run(written: Written, escape: str) -> model.Run:
    chosen = _options(written)
    made = _record(model.Run, written)
    made.flags = chosen.names()
    made.mounts, made.devices = [], []
    if made.flags:
        from lading.formats.dockerfile import mounts

        made.mounts = [mounts.RunMount.parse(text) for text in chosen.all("mount")]
        made.devices = [mounts.Device.parse(text) for text in chosen.all("device")]
    made.network = chosen.texts.get("network", "default")
    made.security = chosen.texts.get("security", "sandbox")
    for flag, value, known in (
        ("network", made.network, ("default", "none", "host")),
        ("security", made.security, ("sandbox", "insecure")),
    ):
        if value not in known:
            raise DockerfileError(
                f"RUN: --{flag}={value[:40]} is unknown",
                hint=did_you_mean(value, known) or f"write one of {', '.join(known)}",
                token=f"--{flag}={value}",
            )
    made.heredocs = written.heredocs
    _command(made, written, "RUN apt-get update")
    if made.exec is not None and not made.exec:
        raise DockerfileError(
            "RUN: the list is empty", hint='write RUN ["program", "argument"]', token=written.rest
        )
    return made


def _cmd(written: Written, escape: str) -> model.Cmd:
    _plain(written)
    made = _record(model.Cmd, written)
    _command(made, written, 'CMD ["program", "argument"], or CMD [] for none')
    return made


def _entrypoint(written: Written, escape: str) -> model.Entrypoint:
    _plain(written)
    made = _record(model.Entrypoint, written)
    _command(made, written, 'ENTRYPOINT ["program"], or ENTRYPOINT [] for none')
    return made


def _healthcheck(written: Written, escape: str) -> model.Healthcheck:
    made = _record(model.Healthcheck, written)
    kind, rest = first_word(_wanted(written, "CMD or NONE", "HEALTHCHECK CMD curl -f http://localhost/"))
    chosen = _options(written)
    made.disabled = kind.upper() == "NONE"
    made.exec, made.shell = None, ""
    if made.disabled:
        if rest:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments", hint="leave them out", token=rest)
        if chosen.texts:
            raise DockerfileError(
                "HEALTHCHECK NONE takes no flags", hint="leave them out", token=written.flags[0]
            )
    elif kind.upper() != "CMD":
        raise DockerfileError(
            f"HEALTHCHECK {quoted(kind)} is neither CMD nor NONE",
            hint=f"write HEALTHCHECK CMD {kind} …",
            token=kind,
        )
    elif not rest:
        raise DockerfileError(
            "HEALTHCHECK CMD wants a command",
            hint="for example HEALTHCHECK CMD curl -f http://localhost/",
            token=kind,
        )
    else:
        from lading.formats.dockerfile.words import json_list

        made.exec = json_list(rest)
        made.shell = rest if made.exec is None else ""
        if made.exec is not None and not made.exec:
            raise DockerfileError("HEALTHCHECK CMD: the list is empty", token=rest)
    for name in ("interval", "timeout", "start-period", "start-interval"):
        setattr(made, name.replace("-", "_"), _duration(name, chosen.text(name)))
    made.retries = _retries(chosen.text("retries"))
    return made


def _duration(name: str, text: str) -> int:
    if not text:
        return 0
    from lading.errors import InvalidInput
    from lading.formats import duration

    try:
        value = duration.nanoseconds(text)
    except InvalidInput as error:
        raise DockerfileError(
            f"HEALTHCHECK: --{name}: {error.message}", hint=error.hint, token=text
        ) from None
    if value and value < 1_000_000:
        raise DockerfileError(
            f"HEALTHCHECK: --{name}={text[:40]} is less than 1ms", hint="write 0 or more", token=text
        )
    return value


def _retries(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) >= 2**31:
        raise DockerfileError(
            f"HEALTHCHECK: --retries={text[:40]} is not a number of times",
            hint="for example --retries=3",
            token=text,
        )
    return int(text)


# -- files ------------------------------------------------------------------------------------------------------------


def _transfer(made: model.Transfer, written: Written, chosen: options.Options) -> None:
    keyword = written.keyword
    words = blank_separated(written.rest) if written.listed is None else written.listed
    if len(words) < 2:
        raise DockerfileError(
            f"{keyword} wants a source and a destination",
            hint=f"for example {keyword} {words[0] if words else 'file'} /app/",
            token=written.rest or written.word,
            reason="missing-argument",
        )
    made.destination = words[-1]
    made.sources, made.documents = [], []
    if written.heredocs or (written.listed is None and "<<" in written.rest):
        _documents(made, words, written)
    else:
        made.sources = words[:-1]
    made.chown, made.chmod = chosen.text("chown"), chosen.text("chmod")
    made.exclude, made.link = chosen.all("exclude"), chosen.truth("link")


def _documents(made: model.Transfer, words: list[str], written: Written) -> None:
    """Tell the sources that are files from those that are documents."""
    from lading.formats.dockerfile.heredocs import heredoc

    waiting = list(written.heredocs)
    if heredoc(words[-1]) is not None:
        raise DockerfileError(
            f"{written.keyword}: a heredoc is no destination", hint="end with a path", token=words[-1]
        )
    for word in words[:-1]:
        announced = heredoc(word)
        if announced is None:
            made.sources.append(word)
        elif waiting and waiting[0].name == announced.name:
            made.documents.append(waiting.pop(0))
        else:
            waiting.append(announced)
            break
    if waiting or "<<" in made.sources or "<<-" in made.sources:
        raise DockerfileError(
            f"{written.keyword}: a heredoc's name holds white space, or is apart from <<",
            hint="write <<NAME in one word",
            token="<<",
        )


def _copy(written: Written, escape: str) -> model.Copy:
    chosen = _options(written)
    made = _record(model.Copy, written)
    _transfer(made, written, chosen)
    made.parents = chosen.truth("parents")
    made.from_ = chosen.text("from")
    if "from" in chosen.texts and not made.from_:
        raise DockerfileError(
            "COPY: --from is empty", hint="write --from=stage or --from=image", token="--from="
        )
    if "$" in made.from_[:-1]:
        raise DockerfileError(
            f"COPY --from={made.from_[:60]}: variables are not expanded here",
            hint="give the image a stage of its own (FROM image:$VERSION AS name) and write --from=name",
            token=made.from_,
        )
    _check_transfer(made)
    return made


def _add(written: Written, escape: str) -> model.Add:
    chosen = _options(written)
    made = _record(model.Add, written)
    _transfer(made, written, chosen)
    made.checksum = chosen.text("checksum")
    made.keep_git_dir = chosen.truths.get("keep-git-dir")
    made.unpack = chosen.truths.get("unpack")
    _check_transfer(made)
    return made


def _check_transfer(made: model.Transfer) -> None:
    plain = len(made.sources) == 1 and not made.documents and ":" not in made.sources[0]
    if not plain or made.chmod or (isinstance(made, model.Add) and made.checksum):
        from lading.formats.dockerfile.transfers import check

        check(made)


# -- triggers ----------------------------------------------------------------------------------------------------------


def _onbuild(written: Written, escape: str) -> model.Onbuild:
    _plain(written)
    text = _wanted(written, "an instruction", "ONBUILD RUN make")
    inner = Written(text, written.location, (), escape)
    inner.heredocs = written.heredocs
    refuse_trigger(inner)
    made = _record(model.Onbuild, written)
    made.trigger = instruction(inner, escape)
    made.expression = text + "".join(f"\n{h.content}{h.name}" for h in written.heredocs)
    return made


def refuse_trigger(written: Written) -> None:
    """Raises :class:`DockerfileError` for what may not follow ONBUILD."""
    if written.keyword in ("FROM", "ONBUILD", "MAINTAINER"):
        raise DockerfileError(
            f"ONBUILD {written.keyword} is not allowed",
            hint=f"any other instruction may follow ONBUILD, {written.keyword} may not",
            token=written.word,
        )


_BUILDERS: dict[str, Callable[[Written, str], model.Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
