"""``lading build``: a Dockerfile and its context to an image."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed

_ENDING = {1: "SIGHUP", 15: "SIGTERM"}
_PATIENCE = 3.0  # seconds


def build(context: Context, parsed: Parsed) -> int:
    """Build an image, and print its id with ``--quiet``."""
    with _Ending() as ending:
        try:
            return _build(context, parsed)
        except KeyboardInterrupt:
            if not ending.number:
                raise
            print(f"lading build: ended by {_ENDING[ending.number]}", file=sys.stderr)
            return 128 + ending.number


class _Ending:
    """SIGTERM and SIGHUP end a build in good order, as Ctrl-C does. A context manager; ``number``: which of the two came, or 0.

    For a while what comes after the first changes nothing: a key is held, and what was begun is being undone.
    """

    def __init__(self) -> None:
        self.number = 0
        self._until = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> _Ending:
        for number in (_signal.SIGINT, *_ENDING):
            before = _signal.getsignal(number)
            if before in (_signal.SIG_DFL, _signal.default_int_handler):
                self._before[number] = before
                _signal.signal(number, self._come)
        return self

    def _come(self, number: int, _frame: object) -> None:
        now = time.monotonic()
        if now < self._until:
            return
        self._until = now + _PATIENCE
        if number in _ENDING:
            self.number = number
        raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            _signal.signal(number, before)


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
