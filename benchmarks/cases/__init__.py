"""The questions, one module a subject. :func:`every` lists them in the order of the table."""

from __future__ import annotations

from benchmarks.cases.build import Cached, Cold, NoChange
from benchmarks.cases.layers import Commit, Sixteen
from benchmarks.cases.memory import MemoryOwnKeeper, MemoryShared
from benchmarks.cases.network import PodToPod, PublishedPort
from benchmarks.cases.pull import Pull
from benchmarks.cases.registry import RegistryImage, RegistrySmall
from benchmarks.cases.rkt import RktRender, RktRun, RktRunMany, RktSize
from benchmarks.cases.run import RunBridge, RunNone
from benchmarks.cases.runtime import RuntimeRun
from benchmarks.cases.throughput import Throughput
from benchmarks.harness import Case
from benchmarks.peers import Bench


def every(bench: Bench) -> list[Case]:
    """All cases, unprepared."""
    return [
        RunBridge(bench),
        RunNone(bench),
        RuntimeRun(bench),
        Throughput(bench),
        Pull(bench),
        MemoryOwnKeeper(bench),
        MemoryShared(bench),
        PodToPod(bench),
        PublishedPort(bench),
        NoChange(bench),
        Cold(bench),
        Cached(bench),
        RktRun(bench),
        RktRunMany(bench),
        RktRender(bench),
        RktSize(bench),
        RegistryImage(bench),
        RegistrySmall(bench),
        Commit(bench),
        Sixteen(bench),
    ]
