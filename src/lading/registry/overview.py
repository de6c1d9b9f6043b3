"""The registry seen from its own machine: what it has, and taking something away."""

from __future__ import annotations

from lading.errors import InvalidInput, NotFound
from lading.registry import words
from lading.registry.errors import Refusal
from lading.registry.ledger import Change
from lading.registry.manifests import Manifests
from lading.registry.store import Store


class Repository:
    """A repository: its ``name`` and how many ``tags``, ``manifests`` and ``blobs`` of ``size`` bytes it has."""

    __slots__ = ("blobs", "manifests", "name", "size", "tags")

    def __init__(self, name: str, tags: int, manifests: int, blobs: int, size: int) -> None:
        self.name = name
        self.tags = tags
        self.manifests = manifests
        self.blobs = blobs
        self.size = size


class Tag:
    """A tag: what it stands for, and when it was ``moved`` there (seconds since 1970)."""

    __slots__ = ("digest", "media_type", "moved", "name")

    def __init__(self, name: str, digest: str, media_type: str, moved: float) -> None:
        self.name = name
        self.digest = digest
        self.media_type = media_type
        self.moved = moved


def repositories(store: Store) -> list[Repository]:
    """Every repository, by name."""
    rows = store.ledger.rows(
        "SELECT r.name, (SELECT count(*) FROM tags t WHERE t.repository = r.id), "
        "(SELECT count(*) FROM manifests m WHERE m.repository = r.id), "
        "(SELECT count(*) FROM blobs b WHERE b.repository = r.id), "
        "(SELECT coalesce(sum(size), 0) FROM blobs b WHERE b.repository = r.id) FROM repositories r ORDER BY r.name"
    )
    return [Repository(str(name), *(int(str(count)) for count in counts)) for name, *counts in rows]


def tags(store: Store, name: str) -> list[Tag]:
    """The tags of a repository. Raises :class:`NotFound`."""
    if store.ledger.row("SELECT 1 FROM repositories WHERE name = ?", name) is None:
        raise NotFound(f"there is no repository {name[:200]!r}", hint="`lading registry ls`")
    rows = store.ledger.rows(
        "SELECT t.name, t.digest, m.media_type, t.moved FROM tags t JOIN repositories r ON r.id = t.repository "
        "JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest WHERE r.name = ? ORDER BY t.name",
        name,
    )
    return [Tag(str(row[0]), str(row[1]), str(row[2]), float(str(row[3]))) for row in rows]


def remove(store: Store, text: str, *, force: bool) -> str:
    """Remove ``REPOSITORY:TAG``, ``REPOSITORY@DIGEST`` or, with ``force``, a repository with all it has; what was done.

    Raises :class:`NotFound`, :class:`InvalidInput`.
    """
    name, at, digest = text.partition("@")
    colon = tag = ""
    if not at:
        name, colon, tag = text.partition(":")
    try:
        words.repository(name)
        if at:
            Manifests(store).remove(name, words.digest(digest))
            return f"Removed {text}"
        if colon:  # also before nothing: a script's empty variable must not stand for the whole repository
            Manifests(store).untag(name, words.tag(tag))
            return f"Untagged {text}"
    except Refusal as error:
        kind = NotFound if error.status == 404 else InvalidInput
        raise kind(error.message) from None
    if not force:
        raise InvalidInput(
            f"{name} is a whole repository",
            hint="name a tag or a digest, or use --force",
            reason="repository",
        )

    def change(made: Change) -> None:
        row = made.db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise NotFound(f"there is no repository {name}", hint="`lading registry ls`")
        for table in ("tags", "refs", "manifests", "blobs"):
            made.db.execute(f"DELETE FROM {table} WHERE repository = ?", row)
        made.db.execute("DELETE FROM repositories WHERE id = ?", row)

    store.ledger.write(change)
    return f"Removed the repository {name}"
