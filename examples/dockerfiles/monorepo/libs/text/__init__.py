"""Words."""


def plural(count: int, word: str) -> str:
    """A number and what is counted."""
    return f"{count} {word}" + ("" if count == 1 else "s")
