"""``prune --filter``: which of what nothing uses is removed.

Every filter has to hold, as in Docker: ``label`` twice removes what has both.
"""

from __future__ import annotations

import time

from lading.cli.output import filters, labels_match
from lading.formats import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lading.node import PodRecord


class Choice:
    """What ``texts`` choose; ``known`` are the keys that make sense there. Raises :class:`InvalidInput`."""

    def __init__(self, texts: Sequence[str], known: Sequence[str] = ("until", "label", "label!")) -> None:
        wanted = filters(texts, known)
        now = time.time()
        self.before = [duration.moment(text, now) for text in wanted.get("until", [])]
        self.labels = wanted.get("label", [])
        self.without = wanted.get("label!", [])

    def takes(self, created: float, labels: Mapping[str, str]) -> bool:
        """Whether something made at ``created`` (seconds since 1970) with ``labels`` is chosen."""
        return (
            all(created < moment for moment in self.before)
            and labels_match(self.labels, labels)
            and not any(labels_match([text], labels) for text in self.without)
        )

    def takes_pod(self, record: PodRecord) -> bool:
        """Whether a container, or a pod by the labels of its own and of its containers, is chosen."""
        from lading.cli.inspect import definition_of, labels_of

        labels: dict[str, str] = {}
        for container in record.containers:
            labels.update(labels_of(record, definition_of(record, container)))
        return self.takes(record.created, labels)
