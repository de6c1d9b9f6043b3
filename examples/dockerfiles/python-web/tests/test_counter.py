"""The counter keeps its number."""

import tempfile
import unittest
from pathlib import Path

from visits.counter import Counter


class CounterTest(unittest.TestCase):
    """In a directory of its own."""

    def test_it_goes_on_where_it_was(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "visits"
            self.assertEqual([Counter(path).add(), Counter(path).add()], [1, 2])
