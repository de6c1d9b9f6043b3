"""Sums of money, in hundredths."""


def written(cents: int) -> str:
    """As people write it: 1234 is 12.34."""
    return f"{cents // 100}.{cents % 100:02d}"
