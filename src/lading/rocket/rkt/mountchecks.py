"""Where volumes come from and what they cover: what is to be refused before a pod is made, and what is to be told.

Source: spec/ace.md, "Volume Setup".
"""

from __future__ import annotations

import os
import stat

from lading.errors import InvalidInput
from lading.formats.appc.pod import HOST
from lading.formats.appc.reify import placed
from lading.images.aci.finding import KIND
from lading.node import layered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lading.formats.appc.pod import PodManifest, Volume
    from lading.rocket.rkt.appimages import AppImage


def look(manifest: PodManifest, images: Mapping[str, AppImage]) -> list[str]:
    """Notes about what volumes hide; ``manifest`` is reified, ``images`` are by their IDs.

    Raises :class:`InvalidInput` for the source of a volume that a symbolic link leads to, and for a directory in the place of
    a file of an image of a registry.
    """
    notes: list[str] = []
    for volume in manifest.volumes:
        _check_source(volume)
    for app in manifest.apps:
        image = images[app.image.id]
        for mount in placed(manifest, app, image.manifest):
            what = f"app {app.name!r}: volume {mount.volume.name!r}"
            _check_source(mount.volume)
            found = layered.find(image.image.layers, mount.path)
            if found is not None and not stat.S_ISDIR(found[1].st_mode) and _is_directory(mount.volume):
                if image.image.kind != KIND:
                    raise InvalidInput(
                        f"{what} is a directory, and the image has a file at {mount.path}",
                        hint="mount it at another path",
                    )
                notes.append(f"{what} takes the place of the file that the image has at {mount.path}")
            if layered.holds_something(image.image.layers, mount.path):
                notes.append(f"{what} hides what the image has in {mount.path}")
    return notes


def _is_directory(volume: Volume) -> bool:
    return volume.kind != HOST or os.path.isdir(volume.source)


def _check_source(volume: Volume) -> None:
    """Who may write to a directory on the way could lead a link from there to anywhere on the host."""
    if volume.kind != HOST:
        return
    parts = volume.source.split("/")
    for end in range(2, len(parts) + 1):
        place = "/".join(parts[:end])
        if os.path.islink(place):
            raise InvalidInput(
                f"volume {volume.name!r}: its source {volume.source} leads through the symbolic link {place}",
                hint=f"write where it leads: {os.path.realpath(volume.source)}",
                reason="symbolic-link",
            )
