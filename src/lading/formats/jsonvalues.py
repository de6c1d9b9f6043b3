"""What the interpreter's JSON scanner lets pass, and a document of ours may not hold: see :mod:`lading.formats.jsontext`."""

from __future__ import annotations


def _children(level: list[object]) -> list[object]:
    """The containers one level below ``level``."""
    below: list[object] = []
    for item in level:
        inside = item.values() if type(item) is dict else item if type(item) is list else ()
        below += [child for child in inside if type(child) is dict or type(child) is list]
    return below


def too_deep(value: object, levels: int) -> bool:
    """Whether there are more than ``levels`` of nesting."""
    level = [value]
    for _ in range(levels):
        level = _children(level)
        if not level:
            return False
    return True


def encodable(value: object) -> bool:
    """Whether every string has a UTF-8 form. Works level by level: the depth is not checked yet."""
    level = [value]
    while level:
        try:
            for item in level:
                inside = (
                    [*item, *item.values()] if type(item) is dict else item if type(item) is list else (item,)
                )
                for child in inside:
                    if type(child) is str:
                        child.encode()
        except UnicodeEncodeError:
            return False
        level = _children(level)
    return True
