"""``lading build``: a Dockerfile and its context to an image."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


_TERMINATED = 143  # what a shell says of a program that SIGTERM ended


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which a service manager or a job that is called off sends: it is met as Ctrl-C is, and undoes what was begun."""


def _terminate(_number: int, _frame: object) -> None:
    raise _Terminated


def build(context: Context, parsed: Parsed) -> int:
    """Build an image, and print its id with ``--quiet``."""
    import signal

    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return _build(context, parsed)
    except _Terminated:
        print("lading build: ended by SIGTERM", file=sys.stderr)
        return _TERMINATED
    finally:
        signal.signal(signal.SIGTERM, before)


def _build(context: Context, parsed: Parsed) -> int:
    from lading.build.builder import Builder
    from lading.build.executor import StepFailed
    from lading.cli import buildcheck, buildinput, buildoutput
    from lading.cli.buildprogress import display
    from lading.formats.dockerfile import DockerfileError
    from lading.kernel import Kernel

    what = buildoutput.wanted(parsed)
    shown = display(parsed["progress"], quiet=parsed["quiet"])
    try:
        request = buildinput.request(context, parsed, shown)
        try:
            if parsed["check"] or parsed["call"] == "check":
                shown.close()
                return buildcheck.check(request)
            warnings = buildcheck.warned(request)
            requests = buildoutput.requests(request, parsed)
            made = Builder(context.roots, context.images, Kernel()).make(requests, shown, what)
        finally:
            request.close()
        for line in warnings:
            shown.warn(line)
    except DockerfileError as error:
        shown.close()
        print(error.render(), file=sys.stderr)
        return 1
    except StepFailed as error:
        shown.close()
        shown.tell_failure(error, request.dockerfile)
        return 1
    except BaseException:
        shown.close()
        raise
    shown.close()
    buildoutput.tell(made, parsed, several=len(requests) > 1)
    if not shown.told_elsewhere():
        shown.done(made.id, made.names)
    elif made.id and all(output.dest != "-" for output in what.outputs):
        print(made.id)
    return 0
