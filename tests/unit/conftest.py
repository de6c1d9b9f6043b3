"""Property tests say what is true, not how fast: on a machine with other work any example may take a second."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("lading", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lading")
