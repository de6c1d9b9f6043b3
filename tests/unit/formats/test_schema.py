"""Records: strict decoding with a path to the culprit, honest encoding, and defaults that nobody shares."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from types import GenericAlias, UnionType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import InvalidInput
from lading.formats import (
    jsontext,
    oci_image,
    oci_limits,
    oci_runtime,
    oci_special,
    pod,
    podenv,
    podlife,
    podsecurity,
    podvolumes,
)
from lading.formats.schema import Record, _plan, _resolve, camel, elsewhere, walk

FUZZ = settings(max_examples=5_000 if os.environ.get("LADING_FUZZ") else 100, deadline=None)


class Inner(Record):
    names: list[str] = []
    table: dict[str, int] = {}


class Middle(Record):
    inner: Inner = Inner()
    many: list[Inner] = []


class Outer(Record):
    _wire = {"odd_name": "odd.name"}
    _keep_empty = ("count",)
    title: str
    count: int = 0
    ratio: float = 1.0
    flag: bool = False
    maybe: bool | None = None
    either: int | str = ""
    odd_name: str = ""
    class_: str = ""
    anything: object = None
    middle: Middle = Middle()
    pointer: Inner | None = None


# -- defaults ------------------------------------------------------------------------------------------------------


def test_changing_one_record_never_changes_another_however_deep() -> None:
    first, second = Outer(title="a"), Outer.decode({"title": "b"})
    for record in (first, second):
        record.middle.inner.names.append("x")
        record.middle.inner.table["y"] = 1
        record.middle.many.append(Inner())
    fresh = (Outer(title="c"), Outer.decode({"title": "d"}), Outer.decode({"title": "e", "middle": {}}))
    assert [record.middle for record in fresh] == [Middle()] * 3
    assert Middle() == Middle(inner=Inner(names=[], table={}), many=[])


def test_a_copy_with_changes_leaves_the_original_alone() -> None:
    first = Outer(title="a", count=1)
    second = first.replace(count=2)
    assert (first.count, second.count, second.title) == (1, 2, "a")


def test_a_field_that_does_not_exist_cannot_be_constructed() -> None:
    with pytest.raises(TypeError, match="no field 'titel'"):
        Outer(titel="a")
    with pytest.raises(TypeError, match="needs 'title'"):
        Outer()


def test_records_are_equal_by_class_and_fields() -> None:
    assert Outer(title="a") == Outer.decode({"title": "a"})
    assert Outer(title="a") != Outer(title="b")
    assert Inner() != Middle()


# -- strictness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason", "message"),
    [
        ({}, "missing-field", "title: required field is missing"),
        ({"title": None}, "missing-field", "title: required field is missing"),
        ([], "invalid", "document: expected an object, found a list"),
        ({"title": 1}, "invalid", "title: expected a string, found 1"),
        ({"title": "a", "count": True}, "invalid", "count: expected an integer, found True"),
        ({"title": "a", "count": 1.0}, "invalid", "count: expected an integer, found 1.0"),
        ({"title": "a", "count": "1"}, "invalid", "count: expected an integer, found '1'"),
        ({"title": "a", "flag": 1}, "invalid", "flag: expected true or false, found 1"),
        ({"title": "a", "flag": "yes"}, "invalid", "flag: expected true or false, found 'yes'"),
        ({"title": "a", "ratio": "1"}, "invalid", "ratio: expected a number, found '1'"),
        ({"title": "a", "ratio": True}, "invalid", "ratio: expected a number, found True"),
        ({"title": "a", "either": 1.5}, "invalid", "either: expected an integer or a string, found 1.5"),
        ({"title": "a", "either": False}, "invalid", "either: expected an integer or a string, found False"),
        ({"title": "a", "middle": {"many": {}}}, "invalid", "middle.many: expected a list, found an object"),
        (
            {"title": "a", "middle": {"many": [{}, 3]}},
            "invalid",
            "middle.many[1]: expected an object, found 3",
        ),
        (
            {"title": "a", "middle": {"many": [{}, {"names": ["x", None]}]}},
            "invalid",
            "middle.many[1].names[1]: expected a string, found null",
        ),
        (
            {"title": "a", "pointer": {"table": {"k": "v"}}},
            "invalid",
            "pointer.table.k: expected an integer, found 'v'",
        ),
        (
            {"title": "a", "pointer": {"table": {1: 2}}},
            "invalid",
            "pointer.table: the key 1 must be a string",
        ),
        (
            {"title": "a", "middle": {"inner": {"nmaes": []}}},
            "unknown-field",
            "middle.inner.nmaes: unknown field",
        ),
        ({"title": "a", "Count": 1}, "unknown-field", "Count: unknown field: did you mean 'count'?"),
        ({"title": "a", "odd_name": "x"}, "unknown-field", "odd_name: unknown field"),
        ({"title": "a", 5: 1}, "unknown-field", "5: unknown field"),
    ],
)
def test_a_wrong_document_is_refused_with_the_path_to_the_culprit(
    value: object, reason: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Outer.decode(value)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "value",
    [
        {"title": "a\0b"},
        {"title": "a", "either": "\0"},
        {"title": "a", "middle": {"inner": {"names": ["ok", "\0"]}}},
        {"title": "a", "middle": {"inner": {"table": {"\0": 1}}}},
    ],
)
def test_a_nul_in_a_string_is_refused_because_no_system_call_takes_one(value: object) -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        Outer.decode(value)


@pytest.mark.parametrize("number", [1 << 64, -(1 << 63) - 1, 10**400])
@pytest.mark.parametrize("field", ["count", "either", "ratio"])
def test_numbers_beyond_64_bits_are_refused(field: str, number: int) -> None:
    with pytest.raises(InvalidInput, match="64 bits"):
        Outer.decode({"title": "a", field: number})


def test_the_extremes_of_64_bits_are_accepted() -> None:
    assert Outer.decode({"title": "a", "count": (1 << 64) - 1}).count == (1 << 64) - 1
    assert Outer.decode({"title": "a", "count": -(1 << 63)}).count == -(1 << 63)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_are_none_are_refused(number: float) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        Outer.decode({"title": "a", "ratio": number})


def test_hostile_names_cannot_break_or_drown_the_error_line() -> None:
    for key in ("a\nError: all is well", "\x1b[2J", "x" * 100_000):
        for value in ({key: 1}, {"title": "a", "pointer": {"table": {key: "v"}}}):
            with pytest.raises(InvalidInput) as caught:
                Outer.decode(value)
            assert str(caught.value).isprintable()
            assert len(str(caught.value)) < 200


def test_a_long_value_is_cut_in_the_error() -> None:
    with pytest.raises(InvalidInput) as caught:
        Outer.decode({"title": "a", "count": "y" * 1_000_000})
    assert len(str(caught.value)) < 120


def test_the_caller_names_where_the_document_stands() -> None:
    with pytest.raises(InvalidInput, match=r"^pod\.yaml\.title: "):
        Outer.decode({}, where="pod.yaml")


def test_readers_of_open_formats_ignore_what_they_do_not_know() -> None:
    got = Outer.decode({"title": "a", "new": 1, "pointer": {"newer": {}}}, strict=False)
    assert got == Outer(title="a", pointer=Inner())


def test_an_explicit_null_is_an_absent_field() -> None:
    assert Outer.decode({"title": "a", "count": None, "middle": None, "pointer": None}) == Outer(title="a")


def test_an_integer_is_a_number_where_a_number_is_wanted() -> None:
    ratio = Outer.decode({"title": "a", "ratio": 2}).ratio
    assert (ratio, type(ratio)) == (2.0, float)


# -- encoding ------------------------------------------------------------------------------------------------------


def test_fields_at_their_default_are_left_out_but_those_a_format_demands_stay() -> None:
    assert Outer(title="a").encode() == {"title": "a", "count": 0}


def test_false_and_zero_are_values_where_absent_means_something_else() -> None:
    assert Outer(title="a", maybe=False).encode() == {"title": "a", "count": 0, "maybe": False}
    assert Outer.decode({"title": "a", "maybe": False}).maybe is False


def test_names_on_the_wire_are_camel_case_unless_the_format_says_otherwise() -> None:
    assert camel("read_only_paths") == "readOnlyPaths"
    assert camel("class_") == "class"
    record = Outer(title="a", odd_name="x", class_="y")
    assert record.encode() == {"title": "a", "count": 0, "odd.name": "x", "class": "y"}
    assert Outer.decode(record.encode()) == record


def test_walking_a_record_gives_what_is_set() -> None:
    assert dict(walk(Outer(title="a", flag=True))) == {"title": "a", "flag": True}


def test_a_subclass_has_its_parents_fields_first() -> None:
    class More(Inner):
        extra: str = ""

    assert More._fields == ("names", "table", "extra")
    assert More.decode({"names": ["a"], "extra": "b"}).encode() == {"names": ["a"], "extra": "b"}


# -- every declared format -----------------------------------------------------------------------------------------

FORMATS = [
    cls
    for module in (
        oci_image,
        oci_limits,
        oci_runtime,
        oci_special,
        pod,
        podenv,
        podlife,
        podsecurity,
        podvolumes,
    )
    for cls in vars(module).values()
    if inspect.isclass(cls) and issubclass(cls, Record) and cls.__module__ == module.__name__
]


def strategy(kind: object) -> st.SearchStrategy[object]:
    """Values of an annotation as :mod:`lading.formats.schema` resolves it."""
    if isinstance(kind, UnionType):
        return st.one_of([st.none() if arm is type(None) else strategy(arm) for arm in kind.__args__])
    if isinstance(kind, GenericAlias):
        if kind.__origin__ is list:
            return st.lists(strategy(kind.__args__[0]), max_size=2)
        return st.dictionaries(text, strategy(kind.__args__[1]), max_size=2)
    if kind in SCALARS:
        return SCALARS[kind]
    assert isinstance(kind, type) and issubclass(kind, Record)
    return st.deferred(lambda: records(kind))


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
SCALARS: dict[object, st.SearchStrategy[object]] = {
    str: text,
    int: st.integers(-(1 << 63), (1 << 64) - 1),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    object: st.none() | st.booleans() | st.lists(text, max_size=1),
}


def records(cls: type[Record]) -> st.SearchStrategy[Record]:
    """Random records of ``cls``; a random part of the optional fields is left at its default."""
    fields = {name: strategy(_resolve(cls, wire)) for wire, (name, _) in _plan(cls).items()}
    required = {name: made for name, made in fields.items() if not hasattr(cls, name)}
    optional = [name for name in fields if name not in required]
    some = st.lists(st.sampled_from(optional), max_size=4, unique=True) if optional else st.just([])
    return some.flatmap(lambda names: st.builds(cls, **required, **{name: fields[name] for name in names}))


@pytest.mark.parametrize("cls", FORMATS, ids=lambda c: f"{c.__module__.rpartition('.')[2]}.{c.__name__}")
@settings(FUZZ, max_examples=2_000 if os.environ.get("LADING_FUZZ") else 15)
@given(data=st.data())
def test_every_record_survives_the_wire(cls: type[Record], data: st.DataObject) -> None:
    record = data.draw(records(cls))
    wire = jsontext.loads(jsontext.dumps(record.encode()))
    assert cls.decode(wire).encode() == record.encode()


@pytest.mark.parametrize("cls", FORMATS, ids=lambda c: f"{c.__module__.rpartition('.')[2]}.{c.__name__}")
def test_no_two_fields_share_a_name_on_the_wire(cls: type[Record]) -> None:
    assert len(_plan(cls)) == len(cls._fields)


@pytest.mark.parametrize("cls", FORMATS, ids=lambda c: f"{c.__module__.rpartition('.')[2]}.{c.__name__}")
def test_every_rename_and_exception_names_a_field_that_exists(cls: type[Record]) -> None:
    assert set(cls._wire) <= set(cls._fields)
    assert set(cls._keep_empty) <= set(cls._fields)


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (
            oci_runtime.Linux,
            "uidMappings cgroupsPath rootfsPropagation intelRdt timeOffsets netDevices readonlyPaths",
        ),
        (
            oci_runtime.Process,
            "apparmorProfile selinuxLabel oomScoreAdj ioPriority execCPUAffinity consoleSize",
        ),
        (oci_runtime.Memory, "kernelTCP disableOOMKiller useHierarchy checkBeforeUpdate"),
        (oci_runtime.BlockIO, "throttleReadBpsDevice throttleReadIOPSDevice leafWeight weightDevice"),
        (oci_runtime.IntelRdt, "closID l3CacheSchema memBwSchema enableCMT enableMBM"),
        (oci_runtime.IDMapping, "containerID hostID size"),
        (oci_image.ImageConfig, "os.version os.features rootfs history"),
        (oci_image.RootFS, "type diff_ids"),
        (
            pod.PodSpec,
            "hostPID hostIPC setHostnameAsFQDN dnsConfig hostAliases terminationGracePeriodSeconds",
        ),
        (
            pod.Volume,
            "emptyDir hostPath persistentVolumeClaim downwardAPI scaleIO awsElasticBlockStore gcePersistentDisk",
        ),
        (pod.SecurityContext, "seLinuxOptions appArmorProfile runAsNonRoot readOnlyRootFilesystem procMount"),
        (pod.ContainerPort, "hostIP hostPort containerPort"),
    ],
)
def test_names_with_acronyms_are_those_of_the_specification(cls: type[Record], names: str) -> None:
    assert set(names.split()) <= set(_plan(cls))


@pytest.mark.parametrize("cls", FORMATS, ids=lambda c: f"{c.__module__.rpartition('.')[2]}.{c.__name__}")
def test_every_annotation_means_something(cls: type[Record]) -> None:
    assert [_resolve(cls, wire) for wire in _plan(cls)].count(None) == 0


def test_records_that_few_pods_need_are_loaded_when_one_has_them() -> None:
    code = (
        "import sys\nfrom lading.formats.pod import Pod\n"
        "parts = [f'lading.formats.pod{n}' for n in ('env', 'life', 'security', 'volumes')]\n"
        "def loaded(): return [m.rpartition('pod')[2] for m in parts if m in sys.modules]\n"
        "box = {'name': 'c', 'image': 'i', 'env': [{'name': 'a', 'value': 'b'}], 'x-lading': {'init': True}}\n"
        "pod = Pod.decode({'spec': {'containers': [box]}})\n"
        "Pod.decode(pod.encode())\nassert loaded() == [], loaded()\n"
        "box['livenessProbe'] = {'exec': {'command': ['true']}}\n"
        "pod = Pod.decode({'spec': {'containers': [box]}})\nassert loaded() == ['life'], loaded()\n"
        "assert pod.spec.containers[0].liveness_probe.exec.command == ['true']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL)


def test_a_module_knows_what_is_declared_elsewhere_and_nothing_more() -> None:
    find = elsewhere("here", {"lading.formats.podlife": "Probe Lifecycle"})
    assert find("Probe") is pod.Probe
    with pytest.raises(AttributeError, match="module 'here' has no attribute 'ExecAction'"):
        find("ExecAction")
    assert all(isinstance(getattr(m, name), type) for m in (pod, oci_runtime) for name in m.__all__)


@pytest.mark.parametrize("cls", FORMATS, ids=lambda c: f"{c.__module__.rpartition('.')[2]}.{c.__name__}")
def test_an_annotation_means_what_python_says_it_means(cls: type[Record]) -> None:
    home = sys.modules[cls.__module__]
    for wire, (name, _) in _plan(cls).items():
        text = cls.__annotations__[name]
        assert _resolve(cls, wire) == eval(
            text,
            vars(oci_limits) | vars(oci_special) | {n: getattr(pod, n) for n in pod.__all__} | vars(home),
        )


def test_annotations_of_rarer_forms_are_understood_as_well() -> None:
    class Odd(Record):
        either: list[str] | list[int] | None = None
        deep: dict[str, list[dict[str, int | str]]] = {}
        several: int | str | float = 0

    assert _resolve(Odd, "either") == list[str] | list[int] | None
    assert _resolve(Odd, "deep") == dict[str, list[dict[str, int | str]]]
    assert _resolve(Odd, "several") == int | str | float
