"""``rkt export``: what an app of an ended pod left behind, as an image archive."""

from __future__ import annotations

import os
import sys

from lading.cli.outfile import writing
from lading.errors import Conflict, InvalidInput
from lading.images.aci.build import from_container
from lading.rocket.rkt import appimages, pods, seen
from lading.rocket.rkt.statuses import as_rocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Parsed
    from lading.formats.appc.image import ImageManifest
    from lading.rocket.rkt.seen import SeenApp

_EXTENSION = ".aci"


@as_rocket
def export(context: Context, parsed: Parsed) -> int:
    """Write the archive; nothing is printed but what is left out of it."""
    uuid, path = parsed.args
    if not path.endswith(_EXTENSION):
        raise InvalidInput(f"{path!r}: the name of an archive ends in {_EXTENSION}")
    pod = seen.find(context.node, uuid)
    if pod.state not in (pods.EXITED, pods.GARBAGE_STATE):
        raise Conflict(
            f'pod "{pod.pod.uuid}" is not exited but {pod.state}: only exited pods can be exported',
            hint=f"lading rkt stop {pod.pod.uuid[:8]}" if pod.state == pods.RUNNING else "run it first",
            reason="not-exited",
        )
    app = pod.chosen(parsed["app"], "export")
    if os.path.lexists(path) and not parsed["overwrite"]:
        raise Conflict(f"{path} exists", hint="replace it with --overwrite", reason="exists")
    manifest = _manifest(context, app)
    with context.node.root(app.reference) as rootfs, writing(path, "") as out:
        built = from_container(manifest, rootfs, out)
    for name in built.skipped:
        print(f"{name}: no archive can hold what this is; left out", file=sys.stderr)
    return 0


def _manifest(context: Context, app: SeenApp) -> ImageManifest:
    """That of the app's image, on its own feet: what the image depends on is in the archive itself."""
    image = context.images.get(app.container.image_id)
    found = appimages.app_image(context.images, image).manifest
    return found.replace(dependencies=[], path_whitelist=[])
