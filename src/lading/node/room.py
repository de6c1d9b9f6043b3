"""Room on a full disk, for the record that a pod has ended: what its containers wrote goes before that where it goes anyway."""

from __future__ import annotations

import os

from lading.errors import LadingError
from lading.kernel import clearing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.node.model import PodRecord
    from lading.node.shop import Shop


def make(shop: Shop, record: PodRecord) -> bool:
    """Empty the writable layers of a pod that has ended and is to be removed; whether something was in them.

    What else is in its directory stays for who removes it, so that this may be interrupted.
    """
    found = False
    for made in record.containers:
        try:
            with os.scandir(f"{shop.pod_directory(record.id)}/{made.name}/upper") as entries:
                paths = [entry.path for entry in entries]
            for path in paths:
                clearing.clear(shop.kernel, path)
                found = True
        except (OSError, LadingError):
            continue
    return found
