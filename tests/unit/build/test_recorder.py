"""Writing results down in a child: what fails is told, and costs no other result."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lading.build.cache import Result
from lading.build.progress import Progress
from lading.build.recorder import Recorder
from lading.errors import LadingError


class Cache:
    """Writes a file for each key; a key says what goes wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, key: str, result: Result, *, name: str, size: int, seconds: float) -> None:
        if key == "broken":
            raise LadingError("it is broken")
        if key == "killed":
            os.kill(os.getpid(), 9)
        (self._path / key).touch()


class Told(Progress):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.mark.parametrize(
    ("keys", "recorded", "warning"),
    [
        (["a", "b"], {"a", "b"}, ""),
        (["a", "broken", "b"], {"a", "b"}, "a step's result was not recorded: it is broken"),
        (["a", "killed", "b"], {"a"}, "a step's result was not recorded: its process was killed"),
    ],
)
def test_what_cannot_be_recorded_is_told_and_the_rest_is_there(tmp_path, keys, recorded, warning):
    told = Told()
    recorder = Recorder(Cache(tmp_path), told)  # type: ignore[arg-type]
    for key in keys:
        recorder.add([key], Result([]), "", 0, 0.0)
    recorder.finish()
    assert set(os.listdir(tmp_path)) == recorded
    assert told.warnings == ([warning] if warning else [])
