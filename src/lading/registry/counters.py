"""Counters of a server, in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

import threading
from collections.abc import Callable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

Labels = tuple[tuple[str, str], ...]


class Counters:
    """Numbers that only grow, histograms of seconds, and gauges that are asked for when somebody looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._help: dict[str, tuple[str, str]] = {}
        self._values: dict[tuple[str, Labels], float] = {}
        self._histograms: dict[tuple[str, Labels], list[float]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}

    def declare(self, name: str, kind: str, meaning: str) -> None:
        """A family: ``counter``, ``gauge`` or ``histogram``."""
        self._help[name] = kind, meaning

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count ``amount`` more."""
        key = name, tuple(labels.items())
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def set(self, name: str, value: float) -> None:
        """The value of a gauge now."""
        with self._lock:
            self._values[name, ()] = value

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """One more measurement of a histogram."""
        key = name, tuple(labels.items())
        with self._lock:
            found = self._histograms.get(key)
            if found is None:
                found = self._histograms[key] = [0.0] * (len(BUCKETS) + 2)
            for index, bound in enumerate(BUCKETS):
                if seconds <= bound:
                    found[index] += 1
                    break
            found[-2] += 1
            found[-1] += seconds

    def ask(self, name: str, value: Callable[[], float]) -> None:
        """A gauge whose value is computed when somebody looks."""
        self._gauges[name] = value

    def text(self) -> str:
        """Everything, in the order it was declared."""
        with self._lock:
            values = dict(self._values)
            histograms = {key: list(found) for key, found in self._histograms.items()}
        for name, ask in self._gauges.items():
            values[name, ()] = ask()
        lines: list[str] = []
        for name, (kind, meaning) in self._help.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
            for (family, labels), value in values.items():
                if family == name:
                    lines.append(
                        f"{name}{_labelled(labels)} {value:g}"
                        if value < 1e6
                        else f"{name}{_labelled(labels)} {value:.0f}"
                    )
            for (family, labels), found in histograms.items():
                if family == name:
                    lines += _histogram(name, labels, found)
        return "\n".join(lines) + "\n"


def _histogram(name: str, labels: Labels, found: list[float]) -> list[str]:
    lines, total = [], 0.0
    for index, bound in enumerate(BUCKETS):
        total += found[index]
        lines.append(f"{name}_bucket{_labelled((*labels, ('le', f'{bound:g}')))} {total:.0f}")
    lines.append(f"{name}_bucket{_labelled((*labels, ('le', '+Inf')))} {found[-2]:.0f}")
    lines.append(f"{name}_sum{_labelled(labels)} {found[-1]:.6f}")
    lines.append(f"{name}_count{_labelled(labels)} {found[-2]:.0f}")
    return lines


def _labelled(labels: Labels) -> str:
    if not labels:
        return ""
    shown = ",".join(
        '{}="{}"'.format(key, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for key, value in labels
    )
    return "{" + shown + "}"
