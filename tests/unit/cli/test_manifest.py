"""Reading manifests: which documents go together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lading.cli.manifest import read
from lading.errors import LadingError

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  containers:
  - {name: c, image: i, envFrom: [{configMapRef: {name: conf}}]}
"""
CONF = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {a: b}\nbinaryData: {c: aGk=}\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\ndata: {a: Yg==}\nstringData: {a: plain}\n"
CLAIM = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce]}\n"


def written(tmp_path: Path, *documents: str) -> str:
    path = tmp_path / "m.yaml"
    path.write_text("---\n".join(documents))
    return str(path)


def test_a_pod_takes_along_what_it_names_wherever_that_stands(tmp_path: Path) -> None:
    found = read(written(tmp_path, POD.replace("NAME", "x"), SECRET, CLAIM, CONF, POD.replace("NAME", "y")))
    assert [pod.metadata.name for pod, _ in found.pods] == ["x", "y"]
    (taken,) = found.pods[1][0].spec.extras.sources
    assert (taken.kind, taken.name, taken.values, taken.binary) == (
        "ConfigMap",
        "conf",
        {"a": "b"},
        {"c": "aGk="},
    )
    assert found.sources[0].values == {"a": "plain"}, "stringData comes before data"
    assert [claim.metadata.name for claim in found.claims] == ["data"]
    assert found.notes == [
        "PersistentVolumeClaim data: spec.accessModes has no effect: a claim is a volume of this disk"
    ]


def test_a_list_is_its_items(tmp_path: Path) -> None:
    conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}}
    spec = {"containers": [{"name": "c", "image": "i"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [conf, pod]})
    assert len(read(written(tmp_path, text)).pods) == 1


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([POD], "there is no ConfigMap 'conf'"),
        ([CONF], "no Pod in it"),
        ([POD, CONF, CONF], "two documents are called"),
        ([POD, CONF.replace("{a: b}", "{a/b: x}")], "data.a/b"),
        ([POD, CONF, SECRET.replace("Yg==", "b!")], "not base64"),
        ([POD, CONF, CONF.replace("ConfigMap", "Deployment")], "'Deployment' is not supported"),
        ([POD, CONF, CLAIM.replace("accessModes: [ReadWriteOnce]", "volumeName: x")], "spec.volumeName is not"),
        ([POD, CONF.replace("data: {a: b}", "dat: {a: b}")], "dat"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, documents: list[str], words: str) -> None:
    with pytest.raises(LadingError) as caught:
        read(written(tmp_path, *[text.replace("NAME", "x") for text in documents]))
    assert words in str(caught.value)
