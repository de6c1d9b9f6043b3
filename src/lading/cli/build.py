"""``lading build``: a Dockerfile and its context to an image."""

from __future__ import annotations

import os
import sys

from lading.errors import InvalidInput, NotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.contexts import LocalContext
    from lading.build.request import Request
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.dockerfile import Dockerfile

_NAMES = ("Dockerfile", "Containerfile")
_LARGEST = 16 << 20


def build(context: Context, parsed: Parsed) -> int:
    """Build an image, and print its id with ``--quiet``."""
    from lading.build.builder import Builder
    from lading.build.executor import StepFailed
    from lading.cli import buildoutput
    from lading.cli.buildprogress import display
    from lading.formats.dockerfile import DockerfileError
    from lading.kernel import Kernel

    what = buildoutput.wanted(parsed)
    shown = display(parsed["progress"], quiet=parsed["quiet"])
    try:
        request = _request(context, parsed)
        requests = buildoutput.requests(request, parsed)
        made = Builder(context.roots, context.images, Kernel()).make(requests, shown, what)
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


def _request(context: Context, parsed: Parsed) -> Request:
    from lading.build.request import Request
    from lading.build.workshop import Settings
    from lading.cli.buildoutput import platform_names
    from lading.formats import platform as platforms
    from lading.images.make import source_date

    where = parsed.args[0] if parsed.args else "."
    settings = Settings()
    if os.environ.get("SOURCE_DATE_EPOCH"):
        settings.moment = source_date(0)
    dockerfile, directory = _dockerfile(parsed, where)
    here = platforms.host()
    platform = platforms.parse(next(iter(platform_names(parsed)), ""))
    request = Request(dockerfile, platform=platform, build_platform=here, settings=settings)
    if directory:
        request.contexts[""] = _context(context, directory, "the build context", parsed["file"])
    request.args = _pairs(parsed["build-arg"], "--build-arg", environ=True)
    if settings.moment is not None:
        request.args.setdefault("SOURCE_DATE_EPOCH", str(settings.moment))
    request.labels = _pairs(parsed["label"], "--label", environ=False)
    request.target = parsed["target"]
    request.no_cache = parsed["no-cache"]
    request.no_cache_stages = frozenset(
        name.lower() for text in parsed["no-cache-filter"] for name in text.split(",") if name
    )
    request.pull = parsed["pull"]
    return request


def _dockerfile(parsed: Parsed, where: str) -> tuple[Dockerfile, str]:
    """The parsed file, and the context's directory."""
    from lading.formats.dockerfile import parse

    if where == "-" or "://" in where:
        raise Unsupported(f"a context at {where!r} is not supported", hint="give a directory")
    if not os.path.isdir(where):
        if not os.path.lexists(where):
            raise NotFound(f"the build context {where!r} does not exist")
        raise InvalidInput(f"the build context {where!r} is no directory")
    path = parsed["file"]
    if path == "-":
        data = sys.stdin.buffer.read(_LARGEST + 1)
        name = "Dockerfile"
    else:
        if not path:
            found = [n for n in _NAMES if os.path.exists(f"{where}/{n}")]
            if not found:
                raise NotFound(
                    f"there is no Dockerfile in {where!r}",
                    hint="name the file with --file",
                    reason="no-dockerfile",
                )
            path = f"{where}/{found[0]}" if where != "." else found[0]
        name = path
        try:
            with open(path, "rb") as file:
                data = file.read(_LARGEST + 1)
        except FileNotFoundError:
            raise NotFound(f"the Dockerfile {path!r} does not exist", hint="name it with --file") from None
        except OSError as error:
            raise InvalidInput(f"the Dockerfile {path!r}: {error.strerror}") from None
    return parse(data, name), where


def _context(context: Context, directory: str, what: str, dockerfile: str) -> LocalContext:
    from lading.build.contexts import LocalContext
    from lading.kernel import Kernel

    return LocalContext.at(Kernel(), directory, what=what, ignore=None, data=context.roots.data + "/build")


def _pairs(texts: list[str], flag: str, *, environ: bool) -> dict[str, str]:
    """``NAME=VALUE`` rows; a name alone takes the caller's variable where ``environ`` says so."""
    made = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise InvalidInput(f"{flag} {text!r} has no name", hint="write NAME=VALUE")
        if not equals and environ:
            found = os.environ.get(name)
            if found is None:
                continue
            value = found
        made[name] = value
    return made
