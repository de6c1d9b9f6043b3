"""``--check``: what is better left in a Dockerfile, without building; and the same warnings beside ordinary builds."""

from __future__ import annotations

import sys

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.request import Request
    from lading.formats.dockerfile.linter import Report
    from lading.formats.dockerfile.rules import Warning

_MOST = 50


def look(request: Request) -> Report:
    """The report on a request's file. Raises :class:`DockerfileError` for a broken ``check`` directive."""
    from lading.formats.dockerfile.linter import report

    return report(
        request.dockerfile,
        build_args=request.args,
        target=request.target,
        dockerignore=request.ignore,
        check=request.args.get("BUILDKIT_DOCKERFILE_CHECK"),
        build_platform=request.build_platform,
        target_platform=request.platform,
    )


def check(request: Request) -> int:
    """Print what is found; 0 when nothing is. A mistake that a build would stop at is one more."""
    found = look(request)
    lines: list[str] = []
    for warning in found.warnings:
        lines += [f"WARNING: {warning.rule}: {warning.description}", *_shown(request, warning), ""]
    if found.error is not None:
        print("\n".join(lines), end="\n" if lines else "")
        print(found.error.render(), file=sys.stderr)
        return 1
    count = len(found.warnings)
    if not count:
        print("Check complete, no warnings found.")
        return 0
    lines.append(f"Check complete, {count} warning{'' if count == 1 else 's'} found.")
    print("\n".join(lines))
    return 1


def _shown(request: Request, warning: Warning) -> list[str]:
    head, *rest = warning.render(request.dockerfile.source, around=1).split("\n")
    return [head, *rest]


def warned(request: Request) -> list[str]:
    """A line for each warning, for the end of a build. Raises :class:`InvalidInput` where the file says they are errors."""
    found = look(request)
    lines = [f"{warning.rule}: {warning.message} ({warning.location})" for warning in found.warnings[:_MOST]]
    if len(found.warnings) > _MOST:
        lines.append(f"and {len(found.warnings) - _MOST} more: --check shows them")
    if found.fails:
        count = len(found.warnings)
        raise InvalidInput(
            "\n".join(
                [
                    *lines,
                    f"{count} warning{'' if count == 1 else 's'}, and the file says that they are errors",
                ]
            ),
            hint="change the file, or its line `# check=error=true`",
            reason="check",
        )
    return lines
