"""App Container images in the store: archives checked and kept, dependencies pinned, roots rendered, and both ways to OCI.

``FORMAT`` is what the rest of the store knows of them (:func:`lading.images.oci.format_of`). Modules are imported one by one:
``receive`` brings an archive in, ``archive`` reads one without keeping it, ``build`` makes them, ``root`` takes them apart.
"""

from __future__ import annotations

from lading.images.aci.format import ACI

FORMAT = ACI()
