"""How much longer ``make fuzz`` runs the property tests: it sets LADING_FUZZ."""

from __future__ import annotations

import os

LONGER = 25 if os.environ.get("LADING_FUZZ") else 1
"""What a test multiplies its own number of examples by; one that names no number gets so many times Hypothesis' hundred."""
EXAMPLES = 100 * LONGER
PATIENCE = 1800.0
"""Seconds that a property test may then take."""
