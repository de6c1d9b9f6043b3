"""Documents that are almost right: the strategies of property tests about what a stranger sends."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 1 << 31, 1 << 63, 1 << 70, 1.5, 1e300]),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "\ud800", "..", "/", "a" * 5000, "sha256:", "linux/amd64", "\n"]),
    st.just([]),
    st.just({}),
    st.lists(st.integers(), max_size=3),
)


@st.composite
def mutated(draw: st.DrawFn, value: object) -> object:
    """A copy of a JSON document of which up to three members are something else, gone, or twice there."""
    made = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        at = made
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = at[key]  # type: ignore[index]
            if isinstance(inner, (dict, list)) and inner and draw(st.booleans()):
                at = inner
                continue
            what = draw(st.sampled_from(["other", "gone", "more"]))
            if what == "other":
                at[key] = draw(JUNK)  # type: ignore[index]
            elif what == "gone":
                del at[key]  # type: ignore[attr-defined]
            elif isinstance(at, list):
                at.append(inner)
            else:
                at[draw(st.text(max_size=8))] = inner  # type: ignore[index]
            break
    return made
