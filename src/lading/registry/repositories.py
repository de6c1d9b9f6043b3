"""Lists of repositories and of tags, page by page.

Source: distribution-spec, "Listing Tags"; the catalog is Docker's, which the specification's predecessor described.
"""

from __future__ import annotations

from collections.abc import Callable

from lading.registry.errors import NAME_UNKNOWN, Refusal
from lading.registry.store import Store

PAGE = 1000
MOST = 10000
_STRETCH = 500


class Page:
    """``names`` in order of their bytes; ``last`` is where the next page begins, empty when there is none."""

    __slots__ = ("last", "names")

    def __init__(self, names: list[str], last: str) -> None:
        self.names = names
        self.last = last


class Repositories:
    """The repositories of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def exists(self, name: str) -> bool:
        """Whether anything was ever pushed there."""
        return self._store.ledger.row("SELECT 1 FROM repositories WHERE name = ?", name) is not None

    def tags(self, name: str, count: int | None, last: str) -> Page:
        """Up to ``count`` tags behind ``last``. Raises :class:`Refusal` (``NAME_UNKNOWN``)."""
        row = self._store.ledger.row("SELECT id FROM repositories WHERE name = ?", name)
        if row is None:
            raise Refusal(NAME_UNKNOWN, f"there is no repository {name}", detail=name)
        if count == 0:
            return Page([], "")
        wanted = MOST if count is None else min(count, MOST)
        rows = self._store.ledger.rows(
            "SELECT name FROM tags WHERE repository = ? AND name > ? ORDER BY name LIMIT ?",
            row[0],
            last,
            wanted + 1,
        )
        return _page([str(r[0]) for r in rows], wanted)

    def catalog(self, count: int | None, last: str, visible: Callable[[str], bool]) -> Page:
        """Up to ``count`` repositories behind ``last``, of those that are ``visible``."""
        if count == 0:
            return Page([], "")
        wanted = PAGE if count is None else min(count, MOST)
        names: list[str] = []
        while len(names) <= wanted:
            rows = self._store.ledger.rows(
                "SELECT name FROM repositories WHERE name > ? ORDER BY name LIMIT ?", last, _STRETCH
            )
            if not rows:
                break
            last = str(rows[-1][0])
            names += [str(row[0]) for row in rows if visible(str(row[0]))]
        return _page(names[: wanted + 1], wanted)


def _page(names: list[str], wanted: int) -> Page:
    if len(names) <= wanted:
        return Page(names, "")
    return Page(names[:wanted], names[wanted - 1])
