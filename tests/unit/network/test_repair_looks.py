"""What ``check`` sees once may be gone at the next look: a pod detaches at that moment."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lading.network import repair


@pytest.mark.parametrize(
    ("looks", "found"),
    [([["up"], []], []), ([["up"], ["down"], []], []), ([["up"], ["up"], []], ["lvx"]), ([[]], [])],
)
def test_a_port_is_a_leak_when_it_is_up_and_nobodys_twice(
    looks: list[list[str]], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(looks)
    monkeypatch.setattr(
        repair,
        "_unowned",
        lambda _networks: [(SimpleNamespace(name="lvx", up=s == "up"), "blue") for s in next(left)],
    )
    assert [f.object for f in repair._leaked(None, False)] == found  # type: ignore[arg-type]
