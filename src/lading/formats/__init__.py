"""Floor 1: the data that crosses floors. Parse, validate, print; no I/O and no imports above the ground."""
