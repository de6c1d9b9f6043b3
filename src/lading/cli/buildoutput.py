"""What becomes of ``lading build``: outputs from flags, and the files that tell of the result."""

from __future__ import annotations

import os

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.build.builder import Wanted
    from lading.build.exporting import Exported
    from lading.build.request import Request
    from lading.flags import Parsed


def wanted(parsed: Parsed) -> Wanted:
    """What the flags ask for; refused here is what could only fail after the build. Raises :class:`InvalidInput`."""
    from lading.build.builder import Wanted
    from lading.build.outputs import choose
    from lading.build.sharing import INLINE, places
    from lading.cli.outfile import writing

    outputs = choose(
        parsed["output"],
        load=parsed["load"],
        push=parsed["push"],
        names=parsed["tag"],
        annotations=parsed["annotation"],
    )
    for output in outputs:
        if output.dest == "-" and os.isatty(1):
            raise InvalidInput("standard output is a terminal", hint="give the output a file with dest=")
        if output.streams and output.dest != "-":
            above = os.path.dirname(output.dest) or "."
            if not os.path.isdir(above):
                raise InvalidInput(f"--output dest={output.dest}: {above} is no directory")
        if not output.archive and os.path.exists(output.dest + "/index.json"):
            raise InvalidInput(
                f"--output dest={output.dest} is an OCI layout already", hint="name a new directory"
            )
    for flag in ("iidfile", "metadata-file"):
        above = os.path.dirname(parsed[flag]) or "."
        if not os.path.isdir(above):
            raise InvalidInput(f"--{flag} {parsed[flag]}: {above} is no directory")
    if parsed["iidfile"] and not any(output.is_image for output in outputs):
        raise InvalidInput("--iidfile goes with an image, and no output is one")
    made = Wanted(outputs, writing)
    made.rewrite = parsed["reproducible"]
    made.final = bool(parsed["metadata-file"])
    made.cache_to = places(parsed["cache-to"], to=True)
    made.cache_from = places(parsed["cache-from"], to=False)
    if parsed["sbom"] or parsed["provenance"] or parsed["attest"]:
        from lading.build.evidence import wanted as attested

        made.attest = attested(parsed["sbom"], parsed["provenance"], parsed["attest"])
    if made.attest:
        if not any(output.is_image for output in outputs):
            raise InvalidInput("--sbom and --provenance go with an image, and no output is one")
        if any(output.form.docker for output in outputs):
            raise InvalidInput(
                "--sbom and --provenance: Docker's manifests cannot be attested",
                hint="leave oci-mediatypes out",
            )
    if any(place.kind == INLINE for place in made.cache_to):
        if not any(output.is_image for output in outputs):
            raise InvalidInput("--cache-to type=inline goes with an image, and no output is one")
        if any(output.form.docker for output in outputs):
            raise InvalidInput(
                "--cache-to type=inline: Docker's manifests have no annotations to carry a cache"
            )
    return made


def requests(request: Request, parsed: Parsed) -> list[Request]:
    """The request for each platform."""
    import copy

    from lading.formats import platform as platforms

    if parsed["reproducible"] and request.settings.moment is None:
        request.settings.moment = 0
    named = platform_names(parsed)
    if len(named) < 2:
        return [request]
    made = []
    for name in named:
        one = copy.copy(request)
        one.platform = platforms.parse(name)
        made.append(one)
    return made


def platform_names(parsed: Parsed) -> list[str]:
    """What ``--platform`` names, each once."""
    return list(dict.fromkeys(n for text in parsed["platform"] for n in text.split(",") if n))


def tell(made: Exported, parsed: Parsed, *, several: bool) -> None:
    """Write ``--iidfile`` and ``--metadata-file``. Raises :class:`LadingError`."""
    from lading.formats import jsontext
    from lading.images.files import write_atomically

    if parsed["iidfile"]:
        text = made.target.digest if several and made.target is not None else made.id
        _write(parsed["iidfile"], text.encode(), "--iidfile")
    if not parsed["metadata-file"]:
        return
    told: dict[str, object] = {}
    if made.provenance is not None:
        told["buildx.build.provenance"] = made.provenance
    if made.target is not None:
        descriptor = made.target.encode()
        annotations = {**made.target.annotations, "config.digest": made.id}
        if made.created:
            annotations["org.opencontainers.image.created"] = made.created
        descriptor["annotations"] = annotations
        told["containerimage.config.digest"] = made.id
        told["containerimage.descriptor"] = descriptor
        told["containerimage.digest"] = made.target.digest
    if made.names:
        from lading.formats.reference import Reference

        told["image.name"] = ",".join(Reference.parse(name).canonical for name in made.names)
    data = jsontext.dumps(told, sort=True).encode() + b"\n"
    if os.path.exists(parsed["metadata-file"]) and not os.path.isfile(parsed["metadata-file"]):
        _write(parsed["metadata-file"], data, "--metadata-file")
    else:
        write_atomically(parsed["metadata-file"], data)


def _write(path: str, data: bytes, flag: str) -> None:
    from lading.errors import LadingError

    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise LadingError(f"{flag} {path}: {error.strerror}", reason="io") from None
