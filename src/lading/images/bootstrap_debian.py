"""Debian base images, made by mmdebstrap from Debian's own archive."""

from __future__ import annotations

import os
import shutil
import subprocess

from lading.errors import InvalidInput, LadingError, NotFound
from lading.formats import platform as platforms
from lading.formats.oci_image import History, ImageConfig, RunConfig
from lading.formats.reference import Reference
from lading.images.bootstrap_busybox import PATH
from lading.images.make import now
from lading.images.newlayer import OwnLayer
from lading.images.register import create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.images import Images
    from lading.images.image import Image

STABLE = "bookworm"
_CHUNK = 1 << 20
_PACKAGE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+-.:")
_SUITE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
# dpkg writes these down anew on every machine; none is needed in a container, and they differ from run to run.
_CLEAN = (
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/cache/ldconfig/aux-cache '
    '"$1"/var/log/apt/* "$1"/var/log/dpkg.log "$1"/var/log/alternatives.log "$1"/var/log/bootstrap.log '
    '"$1"/etc/machine-id'
)


def bootstrap_debian(
    images: Images, reference: Reference, include: list[str], progress: Callable[[str], None]
) -> Image:
    """Make ``debian:SUITE`` with the packages ``include``; takes about 15 seconds and the network.

    With ``SOURCE_DATE_EPOCH`` set, the same packages give the same image. Raises :class:`NotFound` when mmdebstrap is
    missing or a suite or package does not exist, :class:`InvalidInput` for names that cannot be packages.
    """
    suite = reference.tag or STABLE
    if suite == "latest":
        suite = STABLE
    slim = suite.endswith("-slim")
    suite = suite.removesuffix("-slim")
    if not suite or not _SUITE.issuperset(suite) or suite.startswith("-"):
        raise InvalidInput(f"{suite!r} is not a Debian suite", hint="for example debian:bookworm")
    packages = [p for part in include for p in part.replace(",", " ").split()]
    for package in packages:
        if not _PACKAGE.issuperset(package) or not package[:1].isalnum():
            raise InvalidInput(f"{package!r} is not a Debian package's name")
    tool = shutil.which("mmdebstrap")
    if tool is None:
        raise NotFound(
            "mmdebstrap, which makes Debian base images, is not installed", hint="apt-get install mmdebstrap"
        )
    time = now()
    command = [tool, "--variant=minbase", "--format=tar", "--quiet", f"--customize-hook={_CLEAN}"]
    if packages:
        command.append("--include=" + ",".join(packages))
    if slim:
        command += ["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*"]
        command.append("--dpkgopt=path-include=/usr/share/doc/*/copyright")
    command += [suite, "-"]
    progress(f"making debian:{suite} from Debian's packages")
    with images.lease() as lease, OwnLayer(images, lease=lease) as layer:
        _run(command, layer.write, suite)
        progress("unpacking")
        descriptor, diff_id = layer.finish()
        host = platforms.host()
        text = " ".join(["lading bootstrap", f"debian:{suite}", *(f"--include {p}" for p in packages)])
        config = ImageConfig(
            created=time,
            os=host.os,
            architecture=host.architecture,
            variant=host.variant,
            config=RunConfig(env=[PATH], cmd=["bash"]),
            history=[History(created=time, created_by=text)],
        )
        tagged = reference.with_tag(reference.tag or STABLE)
        return create(images, config, [descriptor], [diff_id], [tagged.canonical], lease=lease)


def _run(command: list[str], write: Callable[[bytes], object], suite: str) -> None:
    """Run mmdebstrap and pass on its tar; its words on stderr become our error."""
    import tempfile

    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    with tempfile.TemporaryFile() as words:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, env=environment
        ) as process:
            assert process.stdout is not None
            try:
                while data := process.stdout.read(_CHUNK):
                    write(data)
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            words.seek(0)
            lines = [line for line in words.read().decode(errors="replace").splitlines() if line.strip()]
            said = [line for line in lines if line.startswith(("E:", "W:"))]
            raise _explain(said or lines, suite)


def _explain(lines: list[str], suite: str) -> LadingError:
    text = "; ".join(
        line.removeprefix("E: ").strip() for line in lines[-4:] if line.startswith("E:")
    ) or "; ".join(lines[-2:])
    if any("Unable to locate package" in line or "has no installation candidate" in line for line in lines):
        missing = next(line for line in lines if "package" in line.lower())
        return NotFound(f"cannot bootstrap debian:{suite}: {missing.removeprefix('E: ').strip()}")
    return LadingError(f"cannot bootstrap debian:{suite}: mmdebstrap failed: {text}", reason="bootstrap")
