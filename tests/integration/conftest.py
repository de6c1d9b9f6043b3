"""What tests of several floors share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.signing import Signer


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    """Who makes keys and signatures. Its directory has a short name: gpg-agent's socket lives there."""
    with tempfile.TemporaryDirectory(prefix="sign-") as home:
        made = Signer(Path(home))
        yield made
        made.close()
