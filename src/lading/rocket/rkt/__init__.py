"""``lading rkt``: Rocket's command line on the engine's own pods."""
