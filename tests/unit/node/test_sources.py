"""ConfigMaps and Secrets: as variables, as files, and how the files lie on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lading.errors import InvalidInput
from lading.formats.pod import Container, ExitCodes, Pod, RestartRule
from lading.node import atomicdir, environment, sources
from lading.node.environment import Facts
from lading.node.restart import Restarts, pod_policy


def pod(**spec: object) -> Pod:
    container = {"name": "c", "image": "i", **spec.pop("container", {})}  # type: ignore[dict-item]
    made = Pod.decode(
        {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"containers": [container], **spec}}
    )
    made.spec.extras = made.spec.extras.decode(
        {
            "sources": [
                {
                    "kind": "ConfigMap",
                    "name": "conf",
                    "values": {"one": "1", "two": "2"},
                    "binary": {"raw": "AP8="},
                },
                {"kind": "Secret", "name": "conf", "values": {"two": "hidden"}},
            ]
        }
    )
    return made


def variables(made: Pod) -> dict[str, str]:
    found = environment.environment(
        made, made.spec.containers[0], [], hostname="h", home="/", facts=Facts([])
    )
    return {k: v for k, v in found.items() if k not in ("PATH", "HOSTNAME", "HOME")}


def test_later_sources_and_own_variables_win_and_may_refer_to_earlier_ones() -> None:
    made = pod(
        container={
            "envFrom": [{"configMapRef": {"name": "conf"}}, {"secretRef": {"name": "conf"}, "prefix": ""},
                        {"configMapRef": {"name": "conf"}, "prefix": "P_"},
                        {"configMapRef": {"name": "none", "optional": True}}],
            "env": [{"name": "one", "value": "<$(one)$(two)>"},
                    {"name": "key", "valueFrom": {"secretKeyRef": {"name": "conf", "key": "two"}}},
                    {"name": "gone", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "x", "optional": True}}}],
        }
    )  # fmt: skip
    assert variables(made) == {
        "one": "<1hidden>",
        "two": "hidden",
        "P_one": "1",
        "P_two": "2",
        "key": "hidden",
    }


@pytest.mark.parametrize(
    "source",
    [
        {"configMapKeyRef": {"name": "none", "key": "one"}},
        {"configMapKeyRef": {"name": "conf", "key": "raw"}},
        {"secretKeyRef": {"name": "conf", "key": "one"}},
    ],
)
def test_a_key_that_must_be_there_and_is_not_is_named(source: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="env v: there is no"):
        variables(pod(container={"env": [{"name": "v", "valueFrom": source}]}))


def listed(volume: dict[str, object]) -> dict[str, tuple[bytes, int]]:
    made = pod(volumes=[{"name": "v", **volume}])
    return {f.path: (f.data, f.mode) for f in sources.files(made.spec.volumes[0], made, Facts([]))}


def test_files_are_all_keys_or_the_items_with_their_modes() -> None:
    every = {"one": (b"1", 0o600), "two": (b"2", 0o600), "raw": (b"\0\xff", 0o600)}
    assert listed({"configMap": {"name": "conf", "defaultMode": 0o600}}) == every
    items = [{"key": "one", "path": "a/b", "mode": 0}, {"key": "two", "path": "c"}]
    assert listed({"configMap": {"name": "conf", "items": items}}) == {"a/b": (b"1", 0), "c": (b"2", 0o644)}
    assert listed({"secret": {"secretName": "none", "optional": True}}) == {}
    projected = {
        "defaultMode": 0o440,
        "sources": [
            {"configMap": {"name": "conf"}},
            {"secret": {"name": "conf"}},
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ],
    }
    assert listed({"projected": projected}) == {
        "one": (b"1", 0o440),
        "raw": (b"\0\xff", 0o440),
        "two": (b"hidden", 0o440),
        "l": (b'a="b"', 0o440),
    }


def test_a_directory_changes_by_one_rename_and_keeps_what_is_the_same(tmp_path: Path) -> None:
    place = tmp_path / "v"
    files = [sources.File("a", b"1", 0o400), sources.File("d/e/f", b"2", 0o644)]
    atomicdir.write(str(place), files)
    assert os.readlink(place / "a") == "..data/a"
    assert os.readlink(place / "d") == "..data/d"
    assert (place / "d/e/f").read_bytes() == b"2"
    assert stat.S_IMODE(os.stat(place / "a").st_mode) == 0o400
    first = os.readlink(place / "..data")
    atomicdir.write(str(place), files)
    assert os.readlink(place / "..data") == first
    atomicdir.write(str(place), [sources.File("a", b"new", 0o400)])
    assert (place / "a").read_bytes() == b"new"
    # One version of the files is left, and no link to what is not there any more.
    assert sorted(os.listdir(place)) == sorted(["..data", os.readlink(place / "..data"), "a"])
    assert os.readlink(place / "..data") != first


def test_a_write_that_was_interrupted_is_finished_by_the_next(tmp_path: Path) -> None:
    place = tmp_path / "v"
    (place / "..2020_half").mkdir(parents=True)
    os.symlink("..2020_half", place / "..data_tmp")
    atomicdir.write(str(place), [sources.File("a", b"1", 0o644)])
    assert (place / "a").read_bytes() == b"1"
    assert len(os.listdir(place)) == 3


def test_paths_that_stand_in_each_others_way_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="in its way"):
        atomicdir.write(str(tmp_path / "v"), [sources.File("a", b"", 0o644), sources.File("a/b", b"", 0o644)])


def test_a_containers_own_policy_and_its_rules_come_before_the_pods() -> None:
    own = Container(name="c", restart_policy="Never")
    assert not pod_policy("Always", "main", own).wants(1, 0)
    own.restart_policy_rules = [
        RestartRule(action="Restart", exit_codes=ExitCodes(operator="In", values=[42]))
    ]
    policy = pod_policy("Always", "main", own)
    assert policy.wants(42, 0) and not policy.wants(1, 0)
    own.restart_policy_rules[0].exit_codes = ExitCodes(operator="NotIn", values=[0, 42])
    restarts = Restarts(pod_policy("Never", "main", own))
    assert restarts.died(42, 0.0, 1.0) is None
    assert restarts.died(1, 0.0, 1.0) is not None
