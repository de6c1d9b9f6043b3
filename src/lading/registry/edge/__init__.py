"""Between the registry's core and the network: HTTP on aiohttp. Only what serves imports this."""

from __future__ import annotations
