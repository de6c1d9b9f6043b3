"""``exec``, ``attach`` and ``cp`` of ``lading compose``: one container of a service, and then as ``lading``'s own verbs do."""

from __future__ import annotations

import os

from lading.compose.application import Application
from lading.compose.choosing import chosen, one
from lading.errors import InvalidInput, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.compose import state
    from lading.flags import Parsed


def as_typed(words: list[str]) -> Parsed:
    """What ``lading WORDS…`` is asked."""
    from lading.cli.commands import ROOT
    from lading.flags import parse

    return parse(ROOT, words)


def exec_(context: Context, parsed: Parsed) -> int:
    """Run a command in a running container: its exit code. There is a terminal where there is one on both sides."""
    from lading.cli.exec import execute

    app = Application(context, parsed)
    member = one(app, parsed.args[0], parsed["index"])
    words = ["exec"]
    terminal = not parsed["no-tty"] and not parsed["detach"] and os.isatty(0) and os.isatty(1)
    words += ["--tty"] if terminal else []
    words += ["--interactive"] if parsed["interactive"] and not parsed["detach"] else []
    words += ["--detach"] if parsed["detach"] else []
    words += ["--privileged"] if parsed["privileged"] else []
    words += [f"--env={text}" for text in parsed["env"]]
    words += [f"--user={parsed['user']}"] if parsed["user"] else []
    words += [f"--workdir={parsed['workdir']}"] if parsed["workdir"] else []
    return execute(context, as_typed([*words, member.id, *parsed.args[1:]]), member.id, parsed.args[1:])


def attach(context: Context, parsed: Parsed) -> int:
    """The streams of a running container, until it ends or the user detaches."""
    from lading.cli.exec import attach as single

    app = Application(context, parsed)
    member = one(app, parsed.args[0], parsed["index"])
    words = ["attach"]
    words += [f"--detach-keys={parsed['detach-keys']}"] if parsed["detach-keys"] else []
    words += ["--no-stdin"] if parsed["no-stdin"] else []
    words += [f"--sig-proxy={str(parsed['sig-proxy']).lower()}"]
    return single(context, as_typed([*words, member.name]))


def cp(context: Context, parsed: Parsed) -> int:
    """Copy files between here and a service's container (into every one with --all)."""
    from lading.cli.files import cp as single

    app = Application(context, parsed)
    source, destination = parsed.args
    ours = [_side(text) for text in (source, destination)]
    if bool(ours[0]) == bool(ours[1]):
        raise InvalidInput(
            "one of the two is SERVICE:PATH, the other a path here", hint="or - for a tar stream"
        )
    service = ours[0] or ours[1]
    _, found = chosen(app, [service], index=parsed["index"], oneoffs=None if parsed["all"] else False)
    if not found:
        raise NotFound(f"service {service} has no container", hint=f"lading compose create {service}")
    every = parsed["all"] and bool(ours[1])
    flags = ["--archive"] if parsed["archive"] else []
    flags += ["--follow-link"] if parsed["follow-link"] else []
    status = 0
    for member in found if every else found[:1]:
        words = [
            member.name + text[len(service) :] if side else text
            for text, side in zip(parsed.args, ours, strict=True)
        ]
        status = max(status, single(context, as_typed(["cp", *flags, *words])))
    return status


def _side(text: str) -> str:
    """The service of ``SERVICE:PATH``; empty of a path."""
    head, colon, _ = text.partition(":")
    return head if colon and "/" not in head and not head.startswith(".") else ""


def commit(context: Context, parsed: Parsed) -> int:
    """Make an image of what a service's container changed."""
    from lading.cli.files import commit as single

    member = _any(Application(context, parsed), parsed.args[0], parsed["index"])
    words = [f"--change={text}" for text in parsed["change"]]
    words += [f"--{flag}={parsed[flag]}" for flag in ("author", "message") if parsed[flag]]
    words += [f"--pause={str(parsed['pause']).lower()}"]
    return single(context, as_typed(["commit", *words, member.name, *parsed.args[1:]]))


def export(context: Context, parsed: Parsed) -> int:
    """Write the files of a service's container."""
    from lading.cli.files import export as single

    member = _any(Application(context, parsed), parsed.args[0], parsed["index"])
    words = [f"--output={parsed['output']}"] if parsed["output"] else []
    return single(context, as_typed(["export", *words, member.name]))


def _any(app: Application, service: str, index: int | None) -> state.Member:
    """A container of a service, whether it runs or not. Raises NotFound."""
    _, found = chosen(app, [service], index=index)
    if not found:
        raise NotFound(f"service {service} has no container", hint=f"lading compose create {service}")
    return found[0]
