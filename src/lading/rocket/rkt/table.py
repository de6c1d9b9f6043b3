"""Names, arguments and flags of ``lading rkt``; what the verbs do is in the modules that their actions name."""

from __future__ import annotations

from lading.flags import Command
from lading.rocket.rkt import table_images, table_pods


def commands() -> list[Command]:
    """Every verb."""
    return [*table_images.commands(), *table_pods.commands()]
