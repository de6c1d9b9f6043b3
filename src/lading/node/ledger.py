"""What a keeper writes into the records, also when they cannot be written for a while.

A full disk, or somebody who holds the records' lock for longer than anybody waits, must not cost an exit code: it is known
to nobody but the keeper, which would end with it. So what cannot be written now is kept, in order, and tried again.
"""

from __future__ import annotations

from lading.errors import Exhausted, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lading.node.database import Database
    from lading.node.loop import Loop

#: Failures that pass when somebody makes space, or lets go.
PASSING = (Exhausted, TimedOut)
#: Seconds until the next try.
AGAIN = 1.0


class Ledger:
    """``patient``: whether to keep what cannot be written; a command in the foreground says what is wrong, and ends.

    ``room`` is asked when the disk is full: whether it took something away.
    """

    def __init__(
        self, database: Database, loop: Loop, *, patient: bool, room: Callable[[], bool] = lambda: False
    ) -> None:
        self.database = database
        self.loop = loop
        self.patient = patient
        self.room = room
        self._owed: list[Callable[[], object]] = []

    @property
    def owes(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._owed)

    def write(self, act: Callable[[], object], *, now: bool = False) -> bool:
        """Do ``act`` in one transaction, now or later; whether it is done. ``now``: raise what prevents it.

        Later it is given what the records' objects say by then: rows are written as they are, not as they were.
        """
        if now or not self._owed:
            try:
                self._commit([act])
                return True
            except PASSING:
                if now or not self.patient:
                    raise
            self.loop.after(AGAIN, self._pay)
        self._owed.append(act)
        return False

    def _commit(self, acts: list[Callable[[], object]]) -> None:
        while True:
            try:
                with self.database:
                    for act in acts:
                        act()
                return
            except Exhausted:
                if not (self.room() or self.database.make_room()):
                    raise

    def _pay(self) -> None:
        try:
            self._commit(self._owed)
        except PASSING:
            self.loop.after(AGAIN, self._pay)
        else:
            self._owed.clear()
