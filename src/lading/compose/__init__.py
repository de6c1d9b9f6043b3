"""Compose files as a face of ``lading``: services become Pods of one container each, networks and volumes what they name.

:mod:`lading.formats.compose` reads the file; this package translates (``pods``), decides what has to change (``plan``), and
carries it out in the order of the dependencies (``converge``, ``workers``). The command line knows its verbs by the names in
``table`` alone.
"""
