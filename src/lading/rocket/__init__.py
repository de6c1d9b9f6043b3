"""The App Container face: verbs for its images on the command line.

It stands on the command line's own rooms (tables, output files, errors), which know it by the names in their table alone.
"""
