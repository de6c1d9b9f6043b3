"""The registry: distribution-spec 1.1 over the content store that images use.

The core is plain blocking Python that knows no HTTP: :mod:`~lading.registry.store` (content, records, leases),
:mod:`~lading.registry.uploads`, :mod:`~lading.registry.repositories`, :mod:`~lading.registry.manifests`,
:mod:`~lading.registry.referrers`, :mod:`~lading.registry.garbage` and :mod:`~lading.registry.access`. What is between it and the
network is :mod:`lading.registry.edge`, on aiohttp, which nothing else imports.
"""

from __future__ import annotations
