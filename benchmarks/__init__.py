"""Lading against its peers: the same work, the same machine, the same minutes. Run with ``make bench``."""
