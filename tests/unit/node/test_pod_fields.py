"""Every field of the upstream Pod is on the page and meets its fate there: it works, is noted, or is refused by its path.

The table below names the fields of core/v1 (the API of July 2026, alpha fields and all) with a value to try each with.
"""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from lading.errors import InvalidInput
from lading.formats.pod import (
    ConfigSource,
    Container,
    Pod,
    PodSecurityContext,
    PodSpec,
    SecurityContext,
    Volume,
    VolumeMount,
)
from lading.formats.schema import Record, camel
from lading.node.admission import Refused, admit

PAGE = Path(__file__).parents[3] / "docs" / "kubernetes-pods.md"

WORKS, NOTED, REFUSED = "works", "noted", "refused"
EXEC = {"exec": {"command": ["true"]}}
ITEM = [{"key": "k", "path": "p"}]
LABELS = [{"path": "p", "fieldRef": {"fieldPath": "metadata.labels"}}]

MINIMAL: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "name": "http"}]}],
    },
}
C = "spec.containers[0]"
V = "spec.volumes[0]"

#: Where fields live → what must stand beside them, which fields works/are noted/refused, each with a value to try.
TABLE: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "spec": (
        {},
        {
            WORKS: {
                "volumes": [], "initContainers": [{"name": "i", "image": "i"}], "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1, "activeDeadlineSeconds": 9, "dnsPolicy": "Default", "hostNetwork": True,
                "hostPID": True, "hostIPC": True, "shareProcessNamespace": True, "securityContext": {}, "hostname": "h",
                "hostAliases": [], "dnsConfig": {}, "os": {"name": "linux"}, "hostUsers": True, "hostnameOverride": "h.x",
                "containers": [{"name": "c", "image": "i"}],
            },
            NOTED: {
                "nodeSelector": {"a": "b"}, "serviceAccountName": "s", "serviceAccount": "s", "nodeName": "n",
                "affinity": {"a": {}},
                "automountServiceAccountToken": True, "imagePullSecrets": [{"name": "s"}], "schedulerName": "s",
                "tolerations": [{}], "priorityClassName": "p", "priority": 1, "readinessGates": [{}],
                "enableServiceLinks": True, "preemptionPolicy": "Never", "topologySpreadConstraints": [{}],
            },
            REFUSED: {
                "ephemeralContainers": [{}], "subdomain": "s", "runtimeClassName": "r", "overhead": {"cpu": "1"},
                "setHostnameAsFQDN": True, "schedulingGates": [{}], "resourceClaims": [{}], "resources": {},
                "workloadRef": {"a": 1}, "schedulingGroup": {"a": 1}, "evictionResponders": [{}],
            },
        },
    ),
    "spec.securityContext": (
        {},
        {
            WORKS: {
                "runAsUser": 1, "runAsGroup": 1, "runAsNonRoot": True, "supplementalGroups": [1], "fsGroup": 1, "sysctls": [],
                "supplementalGroupsPolicy": "Strict", "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"},
            },
            REFUSED: {"seLinuxOptions": {}, "windowsOptions": {}, "seLinuxChangePolicy": "Recursive"},
        },
    ),
    C: (
        {"name": "c", "image": "i"},
        {
            WORKS: {
                "name": "d", "image": "j", "command": ["a"], "args": ["a"], "workingDir": "/", "ports": [], "envFrom": [],
                "env": [], "resources": {}, "restartPolicy": "Never", "volumeMounts": [], "livenessProbe": EXEC,
                "readinessProbe": EXEC, "startupProbe": EXEC, "lifecycle": {}, "terminationMessagePath": "/m",
                "terminationMessagePolicy": "File", "imagePullPolicy": "Never", "securityContext": {}, "stdin": True,
                "stdinOnce": False, "tty": True, "restartPolicyRules": [],
            },
            NOTED: {"resizePolicy": [{}]},
            REFUSED: {"volumeDevices": [{"name": "v", "devicePath": "/d"}]},
        },
    ),
    f"{C}.securityContext": (
        {},
        {
            WORKS: {
                "capabilities": {"add": ["KILL"], "drop": ["ALL"]}, "privileged": True, "runAsUser": 1, "runAsGroup": 1,
                "runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                "procMount": "Default", "seccompProfile": {"type": "RuntimeDefault"},
                "appArmorProfile": {"type": "Unconfined"},
            },
            REFUSED: {"seLinuxOptions": {}, "windowsOptions": {}},
        },
    ),
    f"{C}.resources": ({}, {WORKS: {"limits": {"cpu": 1}, "requests": {"memory": 1}}, REFUSED: {"claims": [{}]}}),
    f"{C}.ports[0]": (
        {"containerPort": 80},
        {WORKS: {"name": "a", "hostPort": 1, "containerPort": 2, "protocol": "UDP", "hostIP": "127.0.0.1"}},
    ),
    f"{C}.livenessProbe": (
        EXEC,
        {
            WORKS: {
                "initialDelaySeconds": 1, "timeoutSeconds": 1, "periodSeconds": 1, "successThreshold": 1,
                "failureThreshold": 1, "terminationGracePeriodSeconds": 1, **EXEC,
            }
        },
    ),
    f"{C}.readinessProbe": (
        {}, {WORKS: {"httpGet": {"port": "http"}, "tcpSocket": {"port": 1}, "grpc": {"port": 1}, **EXEC}}
    ),
    f"{C}.startupProbe.httpGet": (
        {"port": 80},
        {
            WORKS: {"path": "/", "port": "http", "host": "h", "scheme": "HTTPS", "httpHeaders": [{"name": "a", "value": "b"}]},
            REFUSED: {"protocol": "HTTP2"},
        },
    ),
    f"{C}.startupProbe.grpc": ({"port": 80}, {WORKS: {"port": 1, "service": "s"}, REFUSED: {"mode": "TLS"}}),
    f"{C}.startupProbe.tcpSocket": ({"port": 80}, {WORKS: {"port": "http", "host": "h"}}),
    f"{C}.lifecycle": (
        {},
        {WORKS: {"postStart": EXEC, "preStop": EXEC, "stopSignal": "SIGINT"}},
    ),
    f"{C}.lifecycle.preStop": (
        {},
        {WORKS: {"httpGet": {"port": 80}, "sleep": {"seconds": 1}, **EXEC}, REFUSED: {"tcpSocket": {"port": 80}}},
    ),
    f"{C}.volumeMounts[0]": (
        {"name": "v", "mountPath": "/v", "readOnly": True},
        {
            WORKS: {
                "name": "v", "readOnly": True, "recursiveReadOnly": "IfPossible", "mountPath": "/w", "subPath": "a",
                "mountPropagation": "HostToContainer", "subPathExpr": "a", "bindMountOptions": ["noexec"],
            }
        },
    ),
    f"{C}.env[0]": (
        {"name": "E"},
        {WORKS: {"name": "F", "value": "v", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}},
    ),
    f"{C}.env[0].valueFrom": (
        {},
        {
            WORKS: {
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"},
                "resourceFieldRef": {"resource": "limits.cpu", "containerName": "c", "divisor": "1m"},
                "configMapKeyRef": {"name": "cm", "key": "k", "optional": True}, "secretKeyRef": {"name": "s", "key": "k"},
            },
            REFUSED: {"fileKeyRef": {"volumeName": "v"}},
        },
    ),
    f"{C}.envFrom[0]": (
        {"configMapRef": {"name": "cm"}},
        {WORKS: {"prefix": "A", "configMapRef": {"name": "cm", "optional": True}}},
    ),
    f"{C}.restartPolicyRules[0]": (
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}},
        {WORKS: {"exitCodes": {"operator": "NotIn", "values": [1]}, "action": "Restart"}},
    ),
    V: (
        {"name": "v"},
        {
            WORKS: {
                "emptyDir": {}, "hostPath": {"path": "/", "type": "Directory"}, "configMap": {"name": "cm"},
                "secret": {"secretName": "s"}, "downwardAPI": {"items": LABELS}, "projected": {"sources": []},
                "persistentVolumeClaim": {"claimName": "c", "readOnly": True},
            },
            REFUSED: {
                name: {}
                for name in (
                    "gcePersistentDisk awsElasticBlockStore gitRepo nfs iscsi glusterfs rbd flexVolume cinder cephfs flocker "
                    "fc azureFile vsphereVolume quobyte azureDisk photonPersistentDisk portworxVolume scaleIO storageos csi "
                    "ephemeral image"
                ).split()
            },
        },
    ),
    f"{V}.emptyDir": (
        {"medium": "Memory"},
        {WORKS: {"medium": "Memory", "sizeLimit": "1Mi", "mode": 0o1777, "uid": 1, "gid": 1}},
    ),
    f"{V}.configMap": (
        {"name": "cm"},
        {WORKS: {"name": "cm", "items": ITEM, "defaultMode": 0o400, "optional": True}, REFUSED: {"defaultUser": 1}},
    ),
    f"{V}.secret": (
        {"secretName": "s"},
        {WORKS: {"secretName": "s", "items": ITEM, "defaultMode": 0o400, "optional": True}, REFUSED: {"defaultUser": 1}},
    ),
    f"{V}.secret.items[0]": (ITEM[0], {WORKS: {"key": "k", "path": "q", "mode": 0o400}, REFUSED: {"user": 1}}),
    f"{V}.downwardAPI": ({}, {WORKS: {"items": LABELS, "defaultMode": 0o400}, REFUSED: {"defaultUser": 1}}),
    f"{V}.downwardAPI.items[0]": (
        LABELS[0],
        {WORKS: {"path": "q", "mode": 0o400, "fieldRef": {"fieldPath": "metadata.name"}}, REFUSED: {"user": 1}},
    ),
    f"{V}.projected": ({}, {WORKS: {"sources": [], "defaultMode": 0o400}, REFUSED: {"defaultUser": 1}}),
    f"{V}.projected.sources[0]": (
        {},
        {
            WORKS: {"secret": {"name": "s"}, "downwardAPI": {"items": LABELS}, "configMap": {"name": "cm"}},
            REFUSED: {"serviceAccountToken": {}, "clusterTrustBundle": {}, "podCertificate": {}},
        },
    ),
    "spec.hostAliases[0]": ({"ip": "1.2.3.4"}, {WORKS: {"ip": "1.2.3.5", "hostnames": ["h"]}}),
    "spec.dnsConfig": (
        {},
        {WORKS: {"nameservers": ["1.1.1.1"], "searches": ["a"], "options": [{"name": "ndots", "value": "1"}]}},
    ),
}  # fmt: skip

ROWS = [
    pytest.param(where, field, value, fate, id=f"{where}.{field}-{fate}")
    for where, (_, fates) in TABLE.items()
    for fate, fields in fates.items()
    for field, value in fields.items()
]


def _put(document: dict[str, Any], where: str, thing: dict[str, Any]) -> None:
    place: Any = document
    steps = re.findall(r"\w+", where)
    last = steps[-1]
    for step, following in itertools.pairwise(steps):
        fresh: Any = [{}] if following.isdigit() else {}
        if not step.isdigit():
            place = place.setdefault(step, fresh)
            if following.isdigit() and not place:
                place.append({})
        else:
            place = place[int(step)]
    if last.isdigit():
        place[int(last)] = thing
    else:
        place[last] = {**place.get(last, {}), **thing}


def _pod(where: str, thing: dict[str, Any]) -> Pod:
    document = copy.deepcopy(MINIMAL)
    if where.startswith(f"{V}."):
        document["spec"]["volumes"] = [{"name": "v"}]
    for place, field in ((f"{C}.env", "env"), (f"{C}.envFrom", "envFrom")):
        if where.startswith(f"{C}.restartPolicyRules"):
            document["spec"]["containers"][0]["restartPolicy"] = "Never"
        if where.startswith(f"{place}["):
            document["spec"]["containers"][0][field] = [{"name": "E"} if field == "env" else {}]
    _put(document, where, thing)
    for volume in document["spec"]["volumes"]:
        if "secret" in volume:
            volume["secret"].setdefault("secretName", "s")
    pod = Pod.decode(document)
    pod.spec.extras.sources = [
        ConfigSource(kind="ConfigMap", name="cm", values={"k": "v"}),
        ConfigSource(kind="Secret", name="s", values={"k": "v"}),
    ]
    return pod


def _thing(where: str, field: str, value: object) -> dict[str, Any]:
    base = dict(TABLE[where][0])
    if field == "subPathExpr":
        base.pop("subPath", None)
    if field == "mountPropagation":
        base.pop("recursiveReadOnly", None)
    return {**base, field: value}


@pytest.mark.parametrize(("where", "field", "value", "fate"), ROWS)
def test_a_field_meets_its_fate(where: str, field: str, value: object, fate: str) -> None:
    pod = _pod(where, _thing(where, field, value))
    path = f"{where}.{field}"
    if fate == REFUSED:
        with pytest.raises(Refused) as caught:
            admit(pod)
        mine = [p for p in caught.value.problems if p.reason == "unsupported"]
        # SELinux is one word for two fields.
        assert any(p.path.startswith(path.replace("ChangePolicy", "Options")) for p in mine), (
            caught.value.problems
        )
    else:
        notes = admit(pod)
        assert [note.split(" has no effect")[0] for note in notes] == ([path] if fate == NOTED else [])


@pytest.mark.parametrize("where", TABLE)
def test_a_field_that_upstream_does_not_have_is_an_error_with_its_path(where: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"{where}.notAField")) as caught:
        _pod(where, {**TABLE[where][0], "notAField": 1})
    assert caught.value.reason == "unknown-field"


@pytest.mark.parametrize(
    ("where", "record"),
    [
        ("spec", PodSpec),
        ("spec.securityContext", PodSecurityContext),
        (C, Container),
        (f"{C}.securityContext", SecurityContext),
        (f"{C}.volumeMounts[0]", VolumeMount),
        (V, Volume),
    ],
)
def test_no_field_of_the_schema_is_missing_from_the_table(where: str, record: type[Record]) -> None:
    known = {record._wire.get(name) or camel(name) for name in record._fields}
    listed = {field for fields in TABLE[where][1].values() for field in fields} | set(TABLE[where][0])
    assert known - {"x-lading"} == listed


#: Whose fields the page speaks of as a whole; those that are refused are named nevertheless.
AS_A_WHOLE = tuple(
    f"{where}."
    for where in (
        f"{C}.ports[0]",
        f"{C}.livenessProbe",
        f"{C}.startupProbe.httpGet",
        f"{C}.startupProbe.grpc",
        f"{C}.startupProbe.tcpSocket",
        f"{C}.env[0]",
        f"{C}.resources",
        f"{C}.restartPolicyRules[0]",
        V,
        "spec.hostAliases[0]",
        "spec.dnsConfig",
    )
)


def test_the_page_names_every_field() -> None:
    named = set(re.findall(r"`([A-Za-z]+)`", PAGE.read_text(encoding="utf-8")))
    missing = [
        f"{where}.{field}"
        for where, (_, fates) in TABLE.items()
        for fate, fields in fates.items()
        for field in fields
        if field not in named and (fate == REFUSED or not f"{where}.".startswith(AS_A_WHOLE))
    ]
    assert missing == []
