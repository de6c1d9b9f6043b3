"""Lading: one integrated container stack, with an open standard at every joint."""

__version__ = "0.1.0"
