"""How log lines are shown."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lading.cli.logs import show
from lading.node.model import LogLine


def test_lines_of_a_pods_containers_are_never_mixed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = [
        LogLine(time=0.0, container="a", stream="stdout", stamp="1", text=b"long, ", partial=True),
        LogLine(time=0.0, container="b", stream="stdout", stamp="2", text=b"short"),
        LogLine(time=0.0, container="a", stream="stdout", stamp="3", text=b"longer"),
        LogLine(time=0.0, container="a", stream="stdout", stamp="4", text=b"next"),
    ]
    context = SimpleNamespace(node=SimpleNamespace(logs=lambda *_, **__: iter(lines)))
    parsed = {"since": "", "until": "", "tail": "all", "timestamps": True, "follow": True}
    assert show(context, parsed, "pod", prefix=True) == 0  # type: ignore[arg-type]
    assert capfdbinary.readouterr().out == b"[b] 2 short\n[a] 1 long, longer\n[a] 4 next\n"
