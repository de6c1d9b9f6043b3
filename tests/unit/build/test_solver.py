"""The solver: what is looked up, computed, carried out, and what is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lading.build.graph import Graph, ImageOp, RunOp, Vertex
from lading.build.solver import EXECUTE, LOOK, SEEK, WEIGH, Solver


def graph_of(*rows: tuple[str, list[int]], fresh: frozenset[int] = frozenset()) -> Graph:
    made = Graph()
    for number, (name, inputs) in enumerate(rows):
        op = RunOp(args=[name]) if inputs else ImageOp(diff_ids=[name])
        assert made.add(Vertex(op, inputs, name=name, fresh=number in fresh)) == number
    return made


class Driver:
    """Answers a solver from what a cache knows, and writes down what happened."""

    def __init__(
        self,
        graph: Graph,
        targets: list[int],
        *,
        known=(),
        by_content=(),
        weightless=(),
        fails=(),
        parallel=2,
    ) -> None:
        self.graph = graph
        self.solver = Solver(graph, targets, parallel=parallel)
        self.known = set(known)
        self.by_content = set(by_content)
        self.weightless = set(weightless)
        self.fails = set(fails)
        self.told: list[str] = []
        self.most = 0

    def run(self) -> list[str]:
        running: list[int] = []
        for _ in range(10_000):
            if self.solver.finished:
                return self.told
            for action in self.solver.next():
                name, vertex = self.graph[action.vertex].name, action.vertex
                if action.kind == LOOK:
                    leaf = isinstance(self.graph[vertex].op, ImageOp)
                    if leaf or vertex in self.known:
                        self.told.append(f"found {name}")
                        self.solver.found(vertex)
                    else:
                        self.solver.missed(vertex)
                elif action.kind == WEIGH:
                    if vertex in self.weightless:
                        self.solver.missed(vertex)
                    else:
                        self.solver.content(vertex)
                elif action.kind == SEEK:
                    if vertex in self.by_content:
                        self.told.append(f"same content {name}")
                        self.solver.found(vertex)
                    else:
                        self.solver.missed(vertex)
                else:
                    assert action.kind == EXECUTE
                    self.told.append(f"run {name}")
                    running.append(vertex)
                    self.most = max(self.most, len(running))
            if running:
                done = running.pop(0)
                if done in self.fails:
                    self.solver.failed(done)
                else:
                    self.solver.made(done)
        raise AssertionError("it never ends")


def test_a_chain_is_carried_out_in_order():
    graph = graph_of(("base", []), ("a", [0]), ("b", [1]))
    assert Driver(graph, [2]).run() == ["found base", "run a", "run b"]


def test_a_known_target_needs_nothing_before_it():
    graph = graph_of(("base", []), ("a", [0]), ("b", [1]))
    assert Driver(graph, [2], known=[2]).run() == ["found b"]


def test_work_begins_behind_the_last_known_step():
    graph = graph_of(("base", []), ("a", [0]), ("b", [1]), ("c", [2]))
    assert Driver(graph, [3], known=[1]).run() == ["found a", "run b", "run c"]


def test_a_step_that_nobody_needs_is_never_touched():
    graph = graph_of(("base", []), ("a", [0]), ("lonely", [0]))
    assert Driver(graph, [1]).run() == ["found base", "run a"]


def test_the_same_content_by_another_way_is_not_carried_out_again():
    # "build" runs anew and gives what it gave before, so what copies from it is known by content.
    graph = graph_of(("base", []), ("build", [0]), ("copy", [0, 1]), ("last", [2]))
    told = Driver(graph, [3], by_content=[2, 3]).run()
    assert told == ["found base", "run build", "same content copy", "same content last"]


def test_a_step_whose_content_cannot_be_told_is_carried_out():
    graph = graph_of(("base", []), ("build", [0]), ("copy", [0, 1]))
    told = Driver(graph, [2], by_content=[1, 2], weightless=[2]).run()
    assert told == ["found base", "same content build", "run copy"]


def test_independent_steps_run_side_by_side_up_to_the_limit():
    rows = [("base", []), ("a", [0]), ("b", [0]), ("c", [0]), ("end", [1, 2, 3])]
    driver = Driver(graph_of(*rows), [4], parallel=2)
    driver.run()
    assert driver.most == 2
    driver = Driver(graph_of(*rows), [4], parallel=3)
    driver.run()
    assert driver.most == 3


def test_a_fresh_step_is_neither_looked_up_by_key_nor_by_content():
    graph = graph_of(("base", []), ("a", [0]), ("b", [1]), fresh=frozenset([1]))
    assert Driver(graph, [2], known=[1, 2], by_content=[1]).run() == ["found b"]
    assert Driver(graph, [2], known=[1], by_content=[1]).run() == ["found base", "run a", "run b"]


def test_after_a_failure_nothing_more_is_begun_and_what_runs_is_waited_for():
    graph = graph_of(("base", []), ("a", [0]), ("b", [0]), ("c", [0]), ("end", [1, 2, 3]))
    driver = Driver(graph, [4], fails=[1], parallel=2)
    assert driver.run() == ["found base", "run a", "run b"]
    assert driver.solver.broken


def test_equal_steps_are_one():
    graph = Graph()
    base = graph.add(Vertex(ImageOp(diff_ids=["x"])))
    one = graph.add(Vertex(RunOp(args=["a"]), [base], name="first"))
    assert graph.add(Vertex(RunOp(args=["a"]), [base], name="again")) == one
    assert graph.add(Vertex(RunOp(args=["a"]), [base], platform="linux/arm64")) != one


def test_what_is_no_part_of_the_result_is_no_part_of_the_key():
    graph = Graph()
    base = graph.add(Vertex(ImageOp(diff_ids=["x"])))
    plain = graph.add(Vertex(RunOp(args=["a"]), [base]))
    assert graph.add(Vertex(RunOp(args=["a"], extra_env=["http_proxy=http://x"]), [base])) == plain
    assert graph.add(Vertex(RunOp(args=["a"], env=["http_proxy=http://x"]), [base])) != plain


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 14))
    rows = [("base", [])]
    for number in range(1, size):
        inputs = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3))
        rows.append((f"step{number}", inputs))
    return rows


@given(graphs(), st.data())
def test_whatever_the_cache_knows_every_step_comes_after_its_inputs_and_at_most_once(rows, data):
    graph = graph_of(*rows)
    everything = st.sets(st.integers(0, len(rows) - 1))
    target = data.draw(st.integers(0, len(rows) - 1))
    driver = Driver(
        graph,
        [target],
        known=data.draw(everything),
        by_content=data.draw(everything),
        fails=data.draw(everything),
        parallel=data.draw(st.integers(1, 4)),
    )
    told = driver.run()
    ran = [line.split()[1] for line in told if line.startswith("run ")]
    assert len(ran) == len(set(ran))
    needed = {graph[i].name for i in graph.needed([target])}
    assert set(ran) <= needed
    there = set()
    for line in told:
        name = line.split()[-1]
        if line.startswith("run "):
            vertex = next(v for v in graph.vertices if v.name == name)
            assert {graph[i].name for i in vertex.inputs} <= there, told
        there.add(name)
    if not driver.solver.broken:
        assert graph[target].name in there
