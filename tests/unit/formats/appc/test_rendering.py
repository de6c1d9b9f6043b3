"""Rendering: the order of layers and what stays of each, checked against extraction done step by step."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import Exhausted, InvalidInput, NotFound
from lading.formats.appc.rendering import Described, Rendered, order

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


Graph = dict[str, tuple[frozenset[str] | None, list[str]]]


def _order(graph: Graph, top: str = "A") -> list[Rendered]:
    def lookup(image_id: str) -> Described:
        if image_id not in graph:
            raise NotFound(f"image {image_id} is not here")
        return Described(*graph[image_id])

    return order(top, lookup)


def _names(graph: Graph) -> str:
    return "".join(layer.image_id for layer in _order(graph))


def _graph(**dependencies: str) -> Graph:
    return {name: (None, list(below)) for name, below in dependencies.items()}


def test_an_image_alone_is_one_layer() -> None:
    assert _order(_graph(A="")) == [Rendered("A", None)]


def test_the_texts_tree_is_b_d_c_a() -> None:
    assert _names(_graph(A="BC", B="", C="D", D="")) == "BDCA"


def test_an_image_twice_keeps_its_upper_place() -> None:
    """The text extracts D, B, D, C, A; whole, the second D hides everything of the first."""
    assert _names(_graph(A="BC", B="D", C="D", D="")) == "BDCA"


def test_an_image_twice_with_different_whitelists_is_two_layers() -> None:
    graph: Graph = {
        "A": (None, ["B", "C"]),
        "B": (frozenset({"x"}), ["D"]),
        "C": (frozenset({"y"}), ["D"]),
        "D": (None, []),
    }
    assert _order(graph) == [
        Rendered("D", frozenset({"x"})),
        Rendered("B", frozenset({"x"})),
        Rendered("D", frozenset({"y"})),
        Rendered("C", frozenset({"y"})),
        Rendered("A", None),
    ]


def test_a_path_must_be_in_every_whitelist_on_the_way() -> None:
    graph: Graph = {
        "A": (frozenset({"x", "y", "z"}), ["B"]),
        "B": (None, ["C"]),
        "C": (frozenset({"y", "z", "w"}), ["D"]),
        "D": (frozenset({"w", "z"}), []),
    }
    assert [sorted(layer.keep or ()) for layer in _order(graph)] == [
        ["z"],
        ["y", "z"],
        ["x", "y", "z"],
        ["x", "y", "z"],
    ]


def test_what_keeps_nothing_is_left_out_with_all_below_it() -> None:
    graph: Graph = {
        "A": (frozenset({"x"}), ["B", "D"]),
        "B": (frozenset({"y"}), ["C"]),
        "C": (None, []),
        "D": (None, []),
    }
    assert [layer.image_id for layer in _order(graph)] == ["D", "A"]


@pytest.mark.parametrize(
    "graph", [_graph(A="A"), _graph(A="B", B="C", C="A"), _graph(A="BC", B="", C="B" + "C")]
)
def test_a_loop_is_refused(graph: Graph) -> None:
    with pytest.raises(InvalidInput) as caught:
        _order(graph)
    assert caught.value.reason == "dependency-loop"


def test_a_missing_dependency_is_the_lookups_error() -> None:
    with pytest.raises(NotFound, match="image B"):
        _order(_graph(A="B"))


def test_many_diamonds_are_as_long_as_they_have_images() -> None:
    graph: Graph = {"A": (None, ["0", "0x"])}
    for n in range(30):
        graph[str(n)] = graph[f"{n}x"] = (None, [str(n + 1), f"{n + 1}x"])
    graph["30"] = graph["30x"] = (None, [])
    assert len(_order(graph)) == 63


@pytest.mark.parametrize(
    "graph",
    [
        {"A": (None, ["0"]), **{str(n): (None, [str(n + 1)]) for n in range(100)}},
        {"A": (None, [str(n) for n in range(500)]), **{str(n): (None, []) for n in range(500)}},
        {"A": (None, ["B"] * 500), "B": (None, [])},
    ],
    ids=["deep", "wide", "repeated"],
)
def test_a_graph_beyond_all_measure_is_refused(graph: Graph) -> None:
    with pytest.raises(Exhausted):
        _order(graph)


# -- against the text ----------------------------------------------------------------------------------------------

FILES = ("a", "b", "c/d", "c/e", "c")


def _extract(root: dict[str, str], image: str, files: frozenset[str], keep: frozenset[str] | None) -> None:
    """Put an image's files into ``root`` as tar would: what is in the way is removed."""
    for path in sorted(files):
        if keep is not None and path not in keep:
            continue
        for other in list(root):
            if other.startswith(path + "/") or path.startswith(other + "/"):
                del root[other]
        root[path] = image


def _by_the_text(
    graph: Graph,
    files: dict[str, frozenset[str]],
    image: str,
    keep: frozenset[str] | None,
    root: dict[str, str],
) -> None:
    whitelist, dependencies = graph[image]
    both = whitelist if keep is None else keep if whitelist is None else keep & whitelist
    for dependency in dependencies:
        _by_the_text(graph, files, dependency, both, root)
    _extract(root, image, files[image], both)


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[Graph, dict[str, frozenset[str]]]:
    graph: Graph = {}
    files: dict[str, frozenset[str]] = {}
    names = "ABCDEF"
    for index, name in enumerate(names):
        below = draw(st.lists(st.sampled_from(names[index + 1 :]), max_size=3)) if name != "F" else []
        whitelist = draw(st.none() | st.frozensets(st.sampled_from(FILES), min_size=1))
        graph[name] = (whitelist, below)
        own = draw(st.frozensets(st.sampled_from(FILES)))
        # One image has a name as a file or as a directory, not as both.
        files[name] = own - {"c"} if own & {"c/d", "c/e"} else own
    return graph, files


@pytest.mark.fuzz
@pytest.mark.timeout(900)
@FUZZ
@given(_worlds())
def test_the_layers_laid_over_each_other_are_what_the_text_extracts(
    world: tuple[Graph, dict[str, frozenset[str]]],
) -> None:
    graph, files = world
    expected: dict[str, str] = {}
    _by_the_text(graph, files, "A", None, expected)
    made: dict[str, str] = {}
    for layer in _order(graph):
        _extract(made, layer.image_id, files[layer.image_id], layer.keep)
    assert made == expected
