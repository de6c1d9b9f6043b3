"""One step, in a child of the executor: from the operation to a layer, and a report of one JSON object.

``{"diffID", "created", "size", "notes"}``; ``"again": true`` when another build was faster and its result was taken; for a
failure ``{"error", "hint", "reason", "code"}``.
"""

from __future__ import annotations

import os

from lading.build.cache import LayerMade, Result
from lading.build.graph import CopyOp, DirectoryOp, RunOp
from lading.errors import LadingError
from lading.formats import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from lading.build.graph import Op, Vertex
    from lading.build.workshop import Workshop


class CommandFailed(LadingError):
    """The command of a RUN step ended with a status other than 0, its ``code``."""

    reason = "command-failed"

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def main(
    workshop: Workshop,
    vertex: Vertex,
    inputs: Sequence[Result],
    given: Sequence[Op],
    keys: Sequence[str],
    pipes: Sequence[int],
) -> NoReturn:
    """Carry out ``vertex`` and leave the process. ``pipes``: for the report, standard output and standard error."""
    status = 70
    try:
        control, out, err = pipes
        _alone(workshop)
        try:
            report = _carry_out(workshop, vertex, inputs, given, keys, out, err)
            status = 0
        except LadingError as error:
            report = {"error": error.message, "hint": error.hint, "reason": error.reason}
            if isinstance(error, CommandFailed):
                report["code"] = error.code
            status = 1
        except KeyboardInterrupt:
            report = {"error": "interrupted", "reason": "interrupted"}
        except OSError as error:
            named = f"{error.filename}: " if error.filename else ""
            report = {"error": f"{named}{error.strerror or error}", "reason": "io"}
        except Exception as error:
            if os.environ.get("LADING_DEBUG"):
                import traceback

                traceback.print_exc()
            report = {"error": f"internal error: {type(error).__name__}: {error}", "reason": "internal"}
        data = memoryview(jsontext.dumps(report).encode())
        while data:
            data = data[os.write(control, data) :]
    finally:
        os._exit(status)


def _alone(workshop: Workshop) -> None:
    """A child that ends with its parent, hears signals by itself, and has no part in the parent's ways."""
    import signal

    from lading.kernel.process import PR_SET_PDEATHSIG

    os.setpgid(0, 0)  # Ctrl-C is the parent's, who tells us
    workshop.kernel.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupted)
    if os.getppid() == 1:
        raise KeyboardInterrupt


def _interrupted(_number: int, _frame: object) -> None:
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _carry_out(
    workshop: Workshop,
    vertex: Vertex,
    inputs: Sequence[Result],
    given: Sequence[Op],
    keys: Sequence[str],
    out: int,
    err: int,
) -> dict[str, object]:
    before = inputs[0]
    with workshop.alone_with(keys[0]) as turn:
        if not vertex.fresh:
            # Somebody else may have been at the same step, and is done now.
            found = workshop.cache.get(keys[0]) or turn.heard()
            if found is not None and found.diff_ids[:-1] == before.diff_ids:
                turn.tell(found)
                last = found.layers[-1]
                return {"diffID": last.diff_id, "created": last.created, "size": last.size, "again": True}
        if isinstance(vertex.op, RunOp):
            from lading.build import running

            made = running.run(workshop, vertex, vertex.op, inputs, given, out, err)
        elif isinstance(vertex.op, CopyOp):
            from lading.build import placing

            made = placing.copy(workshop, vertex.op, inputs, given)
        elif isinstance(vertex.op, DirectoryOp):
            from lading.build import placing

            made = placing.directory(workshop, vertex.op, inputs)
        else:
            raise LadingError(f"nobody can carry out a {type(vertex.op).__name__}")
        created = workshop.now()
        turn.tell(Result([*before.layers, LayerMade(made.diff_id, created, made.size)]))
    notes = [f"note: the socket {name} stays out of the image" for name in made.skipped]
    notes += [f"note: {text}" for text in workshop.notes]
    return {"diffID": made.diff_id, "created": created, "size": made.size, "notes": notes}


def error_of(report: dict[str, object]) -> LadingError:
    """The error that a report tells of."""
    return LadingError(
        str(report.get("error", "the step failed")),
        hint=str(report.get("hint", "")),
        reason=str(report.get("reason", "internal")),
    )
