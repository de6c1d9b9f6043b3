"""The one table, for a terminal and for a document alike (it is Markdown)."""

from __future__ import annotations

import math

from benchmarks.harness import Case, Result

WORDS = {True: "reached", False: "**not reached**", None: "no peer to judge by"}


def line(case: Case, results: list[Result]) -> list[str]:
    """The cells of one case: what, Lading, peers with their ratios, goal, verdict."""
    by_name = {result.name: result for result in results}
    mine = by_name["lading"]
    peers = [_peer(case, mine, result) for result in results if result.name != "lading"]
    own = _value(mine.median, case.unit) if mine.samples else mine.problem or "no result"
    return [case.title, own, "; ".join(peers), case.goal, WORDS[case.reached(by_name)]]


def _peer(case: Case, mine: Result, peer: Result) -> str:
    if not peer.samples:
        return f"{peer.name} missing ({peer.problem})"
    text = f"{peer.name} {_value(peer.median, case.unit)}"
    if not mine.samples:
        return text
    ratio = peer.median / mine.median if case.less_is_better else mine.median / peer.median
    return f"{text} ({ratio:.1f}×)" if math.isfinite(ratio) else text


def _value(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{'' if unit.startswith('/') else ' '}{unit}"


def render(rows: list[list[str]]) -> str:
    """A Markdown table with padded columns; ratios above 1 mean that Lading is better."""
    head = ["what (median)", "lading", "peers (× = how much better Lading is)", "goal", "verdict"]
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
