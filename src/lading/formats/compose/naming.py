"""Names: of a project, of what it makes, of its containers.

Source: Compose specification, "Version and name"; docker compose's documentation of ``COMPOSE_PROJECT_NAME``.
"""

from __future__ import annotations

from lading.errors import InvalidInput

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_REST = _FIRST | {"_", "-"}


def check(name: str, where: str) -> str:
    """``name`` itself when a project may be called so. Raises :class:`InvalidInput`."""
    if not name or name[0] not in _FIRST or not _REST.issuperset(name) or len(name) > 63:
        raise InvalidInput(
            f"{where}: {name[:80]!r} is not a project's name: lower-case letters, digits, '-' and '_', a letter or digit first",
            hint=f"write {normal(name)!r}" if normal(name) else "",
            reason="project-name",
        )
    return name


def normal(text: str) -> str:
    """A project's name made of a directory's: what may not be in one is left out."""
    kept = "".join(c for c in text.lower() if c in _REST).lstrip("_-")
    return kept[:63]


def container(project: str, service: str, number: int) -> str:
    """What the ``number``th container of a service is called."""
    return f"{project}-{service}-{number}"
