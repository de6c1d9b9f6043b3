"""Compose files: the file as typed records. Read, interpolated, merged, validated; nothing here touches the machine.

Source: the Compose specification (compose-spec, "The Compose Specification", and its JSON schema). The way of a file:

``document``       bytes → tree of JSON values, with the line of everything in it, and the tags ``!reset`` and ``!override``
``interpolation``  ``${NAME:-default}`` in its values
``canonical``      short forms → long forms
``merging``        several files, ``extends``: one tree
``model``          tree → :class:`~lading.formats.compose.model.Project`
``loading``        all of it in its order, with ``include``; files are read by a function that the caller gives
"""
