"""How money is written."""

import unittest

from money import written


class WrittenTest(unittest.TestCase):
    """Hundredths."""

    def test_small_sums_keep_their_zeros(self) -> None:
        self.assertEqual([written(5), written(1234)], ["0.05", "12.34"])
