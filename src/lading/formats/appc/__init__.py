"""App Container (appc) 0.8.11 as data: names, manifests, isolators, discovery texts, conversion. No I/O.

Source: https://github.com/appc/spec (spec/aci.md, ace.md, pods.md, discovery.md, types.md). Modules are imported one by one:
:mod:`~lading.formats.appc.image` and :mod:`~lading.formats.appc.pod` are where to begin.
"""
