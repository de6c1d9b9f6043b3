"""How things are counted."""

import unittest

from text import plural


class PluralTest(unittest.TestCase):
    """One and several."""

    def test_one_is_no_plural(self) -> None:
        self.assertEqual([plural(1, "item"), plural(2, "item")], ["1 item", "2 items"])
