"""What cannot be written into the records now is written later, in order, and nothing of it twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from lading.errors import Corrupt, Exhausted, LadingError, TimedOut
from lading.node import ledger
from lading.node.database import Database
from lading.node.ledger import Ledger
from lading.node.loop import Loop


class Disk(Database):
    """A database whose commits fail while ``trouble`` is set."""

    trouble: LadingError | None = None

    def __exit__(self, *args: object) -> None:
        if self.trouble is not None and self._depth == 1:
            self._depth = 0
            self._roll_back()
            raise self.trouble
        super().__exit__(*args)  # type: ignore[arg-type]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(ledger, "AGAIN", 0.0)
    made = Disk(str(tmp_path / "node.db"))
    made.query("CREATE TABLE said (what TEXT)")
    return made


def _say(disk: Disk, what: str) -> object:
    return disk.query("INSERT INTO said VALUES (?)", (what,))


def _said(disk: Disk) -> list[str]:
    return [row[0] for row in disk.query("SELECT what FROM said")]


@pytest.mark.parametrize("trouble", [Exhausted("full"), TimedOut("locked")])
def test_it_is_patient_with_what_passes(disk: Disk, trouble: LadingError) -> None:
    loop = Loop()
    kept = Ledger(disk, loop, patient=True)
    assert kept.write(lambda: _say(disk, "before"))
    disk.trouble = trouble
    assert not kept.write(lambda: _say(disk, "one"))
    for _ in range(5):
        loop.turn()
    disk.trouble = None
    assert not kept.write(lambda: _say(disk, "two"))  # not before what is owed
    assert kept.owes and _said(disk) == ["before"]
    loop.turn()
    assert not kept.owes and _said(disk) == ["before", "one", "two"]
    assert kept.write(lambda: _say(disk, "after")) and loop.waits_for(set())
    assert _said(disk) == ["before", "one", "two", "after"]
    loop.close()


def test_it_raises_what_does_not_pass_and_what_shall_be_done_now(disk: Disk) -> None:
    loop = Loop()
    for trouble, patient, now in (
        (Corrupt("damaged"), True, False),
        (Exhausted("full"), False, False),
        (Exhausted("full"), True, True),
    ):
        disk.trouble = trouble
        kept = Ledger(disk, loop, patient=patient)
        with pytest.raises(type(trouble)):
            kept.write(lambda: _say(disk, "never"), now=now)
        assert not kept.owes
    disk.trouble = None
    assert _said(disk) == []
    loop.close()


def test_on_a_full_disk_it_asks_for_room_before_it_waits_or_fails(disk: Disk) -> None:
    asked = []

    def room() -> bool:
        asked.append(len(asked))
        disk.trouble = None if len(asked) == 2 else disk.trouble
        return len(asked) < 3

    kept = Ledger(disk, Loop(), patient=False, room=room)
    disk.trouble = Exhausted("full")
    assert kept.write(lambda: _say(disk, "one"))
    assert asked == [0, 1] and _said(disk) == ["one"]
    disk.trouble = Exhausted("full")
    disk.make_room()
    with pytest.raises(Exhausted):
        kept.write(lambda: _say(disk, "two"))
    assert asked == [0, 1, 2] and _said(disk) == ["one"]
