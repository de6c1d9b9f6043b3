"""``lading build``: a Dockerfile and its context to an image."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed


def build(context: Context, parsed: Parsed) -> int:
    """Build an image, and print its id with ``--quiet``."""
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
