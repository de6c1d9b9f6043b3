"""Admission lists everything wrong with a Pod, by the field's path, and tells which fields have no effect."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lading.formats.pod import Container, Pod
from lading.node.admission import Refused, admit, default

GOOD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app.kubernetes.io/name": "web"}},
    "spec": {
        "volumes": [
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"name": "host", "hostPath": {"path": "/srv", "type": "Directory"}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "info", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ],
        "initContainers": [
            {"name": "first", "image": "busybox"},
            {"name": "side", "image": "busybox", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["true"]}}},
        ],
        "containers": [
            {
                "name": "app",
                "image": "registry.example:5000/team/app:1.0",
                "ports": [{"containerPort": 80, "hostPort": 8080, "name": "http"}],
                "env": [
                    {"name": "A", "value": "$(B)"},
                    {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                ],
                "resources": {"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "500m"}},
                "volumeMounts": [{"name": "scratch", "mountPath": "/tmp", "subPath": "a/b"}],
                "livenessProbe": {"httpGet": {"path": "/", "port": "http"}},
                "readinessProbe": {"tcpSocket": {"port": 80}, "successThreshold": 2},
                "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
                "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "runAsUser": 1000},
            }
        ],
        "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}], "fsGroup": 1},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db.example"]}],
        "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["example.com"], "options": [{"name": "ndots", "value": "2"}]},
        "terminationGracePeriodSeconds": 5,
    },
}  # fmt: skip


def changed(*changes: tuple[str, object]) -> Pod:
    """GOOD with values set at paths such as ``spec.containers.0.image``."""
    document = copy.deepcopy(GOOD)
    for path, value in changes:
        place: Any = document
        *way, last = path.split("/")
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    return Pod.decode(document)


def problems(pod: Pod) -> dict[str, str]:
    with pytest.raises(Refused) as caught:
        admit(pod)
    return {p.path: p.reason for p in caught.value.problems}


def test_a_good_pod_is_admitted_without_notes() -> None:
    assert admit(changed()) == []


C = "spec/containers/0"
INVALID: list[tuple[str, object, str]] = [
    (f"{C}/securityContext/procMount", "Unmasked", "spec.containers[0].securityContext.procMount"),
    ("metadata/name", "Web", "metadata.name"),
    ("metadata/name", "", "metadata.name"),
    ("metadata/name", "a" * 254, "metadata.name"),
    ("metadata/labels", {"-x": "y"}, "metadata.labels.-x"),
    ("metadata/labels", {"x": "not ok!"}, "metadata.labels.x"),
    ("metadata/annotations", {"a b": ""}, "metadata.annotations.a b"),
    ("metadata/annotations", {"a": "x" * 300000}, "metadata.annotations"),
    ("spec/containers", [], "spec.containers"),
    ("spec/restartPolicy", "Sometimes", "spec.restartPolicy"),
    ("spec/terminationGracePeriodSeconds", -1, "spec.terminationGracePeriodSeconds"),
    ("spec/activeDeadlineSeconds", 0, "spec.activeDeadlineSeconds"),
    ("spec/hostname", "a.b", "spec.hostname"),
    ("spec/dnsPolicy", "Cluster", "spec.dnsPolicy"),
    ("spec/dnsConfig/nameservers", ["x"], "spec.dnsConfig.nameservers[0]"),
    ("spec/dnsConfig/nameservers", ["1.1.1.1"] * 4, "spec.dnsConfig.nameservers"),
    ("spec/hostAliases/0/ip", "x", "spec.hostAliases[0].ip"),
    ("spec/hostAliases/0/hostnames", ["A B"], "spec.hostAliases[0].hostnames[0]"),
    ("spec/volumes/0/name", "A", "spec.volumes[0].name"),
    ("spec/volumes/1/name", "scratch", "spec.volumes[1].name"),
    ("spec/volumes/0", {"name": "scratch"}, "spec.volumes[0]"),
    ("spec/volumes/0/hostPath", {"path": "/x"}, "spec.volumes[0]"),
    ("spec/volumes/0/emptyDir/uid", -1, "spec.volumes[0].emptyDir.uid"),
    ("spec/volumes/0/emptyDir/medium", "Disk", "spec.volumes[0].emptyDir.medium"),
    ("spec/volumes/0/emptyDir/sizeLimit", "1 GB", "spec.volumes[0].emptyDir.sizeLimit"),
    ("spec/volumes/1/hostPath/path", "/a/../b", "spec.volumes[1].hostPath.path"),
    ("spec/volumes/1/hostPath/type", "Dir", "spec.volumes[1].hostPath.type"),
    ("spec/volumes/3/downwardAPI/items/0/path", "../x", "spec.volumes[3].downwardAPI.items[0].path"),
    ("spec/initContainers/0/name", "app", "spec.containers[0].name"),
    ("spec/initContainers/0/livenessProbe", {"exec": {"command": ["true"]}}, "spec.initContainers[0].livenessProbe"),
    ("spec/initContainers/0/lifecycle", {"preStop": {"sleep": {"seconds": 1}}}, "spec.initContainers[0].lifecycle"),
    (f"{C}/name", "a_b", "spec.containers[0].name"),
    (f"{C}/image", "", "spec.containers[0].image"),
    (f"{C}/image", "UPPER CASE", "spec.containers[0].image"),
    (f"{C}/imagePullPolicy", "Sometimes", "spec.containers[0].imagePullPolicy"),
    (f"{C}/workingDir", "x", "spec.containers[0].workingDir"),
    (f"{C}/ports/0/containerPort", 0, "spec.containers[0].ports[0].containerPort"),
    (f"{C}/ports/0/hostPort", 65536, "spec.containers[0].ports[0].hostPort"),
    (f"{C}/ports/0/protocol", "tcp", "spec.containers[0].ports[0].protocol"),
    (f"{C}/ports/0/hostIP", "x", "spec.containers[0].ports[0].hostIP"),
    (f"{C}/ports/0/name", "a-very-long-port-name", "spec.containers[0].ports[0].name"),
    (f"{C}/env/0/name", "A=B", "spec.containers[0].env[0].name"),
    (f"{C}/env/1/value", "x", "spec.containers[0].env[1].valueFrom"),
    (f"{C}/env/1/valueFrom/fieldRef/fieldPath", "spec.x", "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath"),
    (f"{C}/env/2/valueFrom/resourceFieldRef/divisor", "2m",
     "spec.containers[0].env[2].valueFrom.resourceFieldRef.divisor"),
    (f"{C}/resources/limits/cpu", "one", "spec.containers[0].resources.limits.cpu"),
    (f"{C}/resources/limits/memory", "-1", "spec.containers[0].resources.limits.memory"),
    (f"{C}/resources/requests/cpu", "2", "spec.containers[0].resources.requests.cpu"),
    (f"{C}/resources/limits/memory", "100m", "spec.containers[0].resources.limits.memory"),
    (f"{C}/volumeMounts/0/name", "gone", "spec.containers[0].volumeMounts[0].name"),
    (f"{C}/volumeMounts/0/mountPath", "tmp", "spec.containers[0].volumeMounts[0].mountPath"),
    (f"{C}/volumeMounts/0/subPath", "../x", "spec.containers[0].volumeMounts[0].subPath"),
    (f"{C}/volumeMounts/0/subPathExpr", "$(A)", "spec.containers[0].volumeMounts[0].subPathExpr"),
    (f"{C}/volumeMounts/0/mountPropagation", "Bidirectional", "spec.containers[0].volumeMounts[0].mountPropagation"),
    (f"{C}/volumeMounts/0/recursiveReadOnly", "Enabled", "spec.containers[0].volumeMounts[0].recursiveReadOnly"),
    (f"{C}/livenessProbe", {}, "spec.containers[0].livenessProbe"),
    (f"{C}/livenessProbe/exec", {"command": ["x"]}, "spec.containers[0].livenessProbe"),
    (f"{C}/livenessProbe/httpGet/port", "gone", "spec.containers[0].livenessProbe.httpGet.port"),
    (f"{C}/livenessProbe/httpGet/scheme", "ftp", "spec.containers[0].livenessProbe.httpGet.scheme"),
    (f"{C}/livenessProbe/successThreshold", 2, "spec.containers[0].livenessProbe.successThreshold"),
    (f"{C}/livenessProbe/periodSeconds", 0, "spec.containers[0].livenessProbe.periodSeconds"),
    (f"{C}/readinessProbe/terminationGracePeriodSeconds", 1,
     "spec.containers[0].readinessProbe.terminationGracePeriodSeconds"),
    (f"{C}/lifecycle/preStop/exec", {"command": ["x"]}, "spec.containers[0].lifecycle.preStop"),
    (f"{C}/lifecycle/stopSignal", "SIGNOPE", "spec.containers[0].lifecycle.stopSignal"),
    (f"{C}/terminationMessagePath", "x", "spec.containers[0].terminationMessagePath"),
    (f"{C}/stdinOnce", True, "spec.containers[0].stdinOnce"),
    (f"{C}/securityContext/runAsUser", -1, "spec.containers[0].securityContext.runAsUser"),
    (f"{C}/securityContext/capabilities/add", ["FLY"], "spec.containers[0].securityContext.capabilities.add[0]"),
    (f"{C}/securityContext/seccompProfile", {"type": "Localhost"},
     "spec.containers[0].securityContext.seccompProfile.localhostProfile"),
    ("spec/securityContext/sysctls", [{"name": "vm.swappiness", "value": "1"}],
     "spec.securityContext.sysctls[0].name"),
    ("spec/volumes/0", {"name": "scratch", "configMap": {"name": "x"}}, "spec.volumes[0].configMap"),
    ("spec/volumes/0", {"name": "scratch", "secret": {"secretName": "x"}}, "spec.volumes[0].secret"),
    ("spec/volumes/0", {"name": "scratch", "projected": {"sources": [{"secret": {"name": "x"}}]}},
     "spec.volumes[0].projected.sources[0].secret"),
    (f"{C}/envFrom", [{"configMapRef": {"name": "x"}}], "spec.containers[0].envFrom[0].configMapRef"),
    (f"{C}/envFrom", [{}], "spec.containers[0].envFrom[0]"),
    (f"{C}/env/1/valueFrom", {"secretKeyRef": {"name": "x", "key": "y"}},
     "spec.containers[0].env[1].valueFrom.secretKeyRef"),
    (f"{C}/restartPolicy", "Sometimes", "spec.containers[0].restartPolicy"),
    (f"{C}/restartPolicyRules", [{"action": "Restart", "exitCodes": {"operator": "In", "values": [3]}}],
     "spec.containers[0].restartPolicy"),
    ("spec/hostnameOverride", "Not_a_name", "spec.hostnameOverride"),
    ("spec/securityContext/fsGroup", -5, "spec.securityContext.fsGroup"),
    ("spec/securityContext/sysctls", [{"name": "kernel.semaphore", "value": "1"}], "spec.securityContext.sysctls[0].name"),
    ("spec/volumes/0", {"name": "scratch", "secret": {}}, "spec.volumes[0].secret.secretName"),
    ("spec/volumes/0", {"name": "scratch", "secret": {"secretName": "a b"}}, "spec.volumes[0].secret.secretName"),
    (f"{C}/volumeMounts/0/mountPath", "/a/..", "spec.containers[0].volumeMounts[0].mountPath"),
    (f"{C}/volumeMounts/0/mountPath", "/proc/", "spec.containers[0].volumeMounts[0].mountPath"),
    (f"{C}/volumeMounts/0/mountPath", "/proc/self/attr", "spec.containers[0].volumeMounts[0].mountPath"),
    (f"{C}/volumeMounts", [{"name": "host", "mountPath": "/proc/sys"}], "spec.containers[0].volumeMounts[0].mountPath"),
    (f"{C}/volumeMounts", [{"name": "scratch", "mountPath": "/a"}, {"name": "host", "mountPath": "/a/"}],
     "spec.containers[0].volumeMounts[1].mountPath"),
    (f"{C}/securityContext/seccompProfile", {"type": "Localhost", "localhostProfile": "/etc/x"},
     "spec.containers[0].securityContext.seccompProfile.localhostProfile"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "field"), INVALID, ids=lambda v: v if isinstance(v, str) else None)
def test_an_invalid_field_is_named_by_its_path(path: str, value: object, field: str) -> None:
    found = problems(changed((path, value)))
    assert found.get(field) == "invalid", found


UNSUPPORTED: list[tuple[str, object, str]] = [
    ("spec/ephemeralContainers", [{"name": "x"}], "spec.ephemeralContainers"),
    ("spec/schedulingGates", [{"name": "x"}], "spec.schedulingGates"),
    ("spec/resourceClaims", [{"name": "x"}], "spec.resourceClaims"),
    ("spec/runtimeClassName", "gvisor", "spec.runtimeClassName"),
    ("spec/overhead", {"cpu": "1"}, "spec.overhead"),
    ("spec/subdomain", "x", "spec.subdomain"),
    ("spec/setHostnameAsFQDN", True, "spec.setHostnameAsFQDN"),
    ("spec/os", {"name": "windows"}, "spec.os"),
    ("metadata/finalizers", ["x"], "metadata.finalizers"),
    ("spec/workloadRef", {"name": "x"}, "spec.workloadRef"),
    ("spec/volumes/0", {"name": "scratch", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
     "spec.volumes[0].projected.sources[0].serviceAccountToken"),
    ("spec/volumes/0", {"name": "scratch", "nfs": {}}, "spec.volumes[0].nfs"),
    ("spec/volumes/0", {"name": "scratch", "awsElasticBlockStore": {}}, "spec.volumes[0].awsElasticBlockStore"),
    (f"{C}/env/1/valueFrom", {"fileKeyRef": {"key": "y"}}, "spec.containers[0].env[1].valueFrom.fileKeyRef"),
    (f"{C}/volumeDevices", [{"name": "x", "devicePath": "/dev/x"}], "spec.containers[0].volumeDevices"),
    (f"{C}/resources/limits/nvidia.com~gpu", "1", "spec.containers[0].resources.limits.nvidia.com~gpu"),
    (f"{C}/resources/claims", [{"name": "x"}], "spec.containers[0].resources.claims"),
    (f"{C}/lifecycle/preStop", {"tcpSocket": {"port": 1}}, "spec.containers[0].lifecycle.preStop.tcpSocket"),
    (f"{C}/securityContext/appArmorProfile", {"type": "RuntimeDefault"},
     "spec.containers[0].securityContext.appArmorProfile.type"),
    (f"{C}/livenessProbe", {"grpc": {"port": 1, "service": "x" * 128}}, "spec.containers[0].livenessProbe.grpc.service"),
    (f"{C}/securityContext/seLinuxOptions", {"level": "s0"}, "spec.containers[0].securityContext.seLinuxOptions"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "field"), UNSUPPORTED, ids=lambda v: v if isinstance(v, str) else None
)
def test_what_the_node_does_not_do_is_refused_by_name(path: str, value: object, field: str) -> None:
    found = problems(changed((path, value)))
    assert found == {field: "unsupported"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ([("spec/shareProcessNamespace", True), ("spec/hostPID", True)], "spec.shareProcessNamespace"),
        ([("spec/dnsPolicy", "None"), ("spec/dnsConfig", {})], "spec.dnsConfig.nameservers"),
        ([("spec/hostNetwork", True)], "spec.containers[0].ports[0].hostPort"),
        ([("spec/securityContext/runAsNonRoot", True), (f"{C}/securityContext/runAsUser", 0)],
         "spec.containers[0].securityContext.runAsNonRoot"),
        ([(f"{C}/securityContext/privileged", True), (f"{C}/securityContext/allowPrivilegeEscalation", False)],
         "spec.containers[0].securityContext.allowPrivilegeEscalation"),
        ([(f"{C}/securityContext/capabilities/add", ["SYS_ADMIN"]),
          (f"{C}/securityContext/allowPrivilegeEscalation", False)],
         "spec.containers[0].securityContext.allowPrivilegeEscalation"),
        ([(f"{C}/ports", [{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}])],
         "spec.containers[0].ports[1].hostPort"),
    ],
)  # fmt: skip
def test_a_contradiction_is_found(changes: list[tuple[str, object]], field: str) -> None:
    assert field in problems(changed(*changes))


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("spec/nodeSelector", {"a": "b"}, "spec.nodeSelector"),
        ("spec/tolerations", [{"operator": "Exists"}], "spec.tolerations"),
        ("spec/serviceAccountName", "x", "spec.serviceAccountName"),
        ("spec/imagePullSecrets", [{"name": "x"}], "spec.imagePullSecrets"),
        ("metadata/namespace", "prod", "metadata.namespace"),
        ("status", {"phase": "Running"}, "status"),
        (
            f"{C}/resources/limits/ephemeral-storage",
            "1Gi",
            "spec.containers[0].resources.limits.ephemeral-storage",
        ),
    ],
)
def test_a_field_without_effect_is_accepted_and_said(path: str, value: object, field: str) -> None:
    notes = admit(changed((path, value)))
    assert len(notes) == 1
    assert notes[0].startswith(f"{field} has no effect: ")


def test_every_problem_is_listed_at_once() -> None:
    found = problems(changed(("metadata/name", "X"), (f"{C}/image", ""), ("spec/restartPolicy", "x")))
    assert set(found) == {"metadata.name", "spec.containers[0].image", "spec.restartPolicy"}


def test_defaults_are_the_api_servers() -> None:
    pod = default(changed(("spec/hostNetwork", True), (f"{C}/ports/0/hostPort", 0)))
    container = pod.spec.containers[0]
    assert container.ports[0].host_port == 80
    assert container.resources is not None and container.resources.requests == {
        "cpu": "500m",
        "memory": "64Mi",
    }
    assert container.image_pull_policy == "IfNotPresent"


def test_a_container_made_by_run_passes_without_kubernetes_rules() -> None:
    pod = changed(("metadata/name", "My_Container.1"))
    pod.spec.extras.container = True
    assert admit(pod) == []


def test_what_is_empty_has_its_default_before_it_is_judged() -> None:
    pod = changed(
        ("spec/restartPolicy", ""),
        ("spec/dnsPolicy", ""),
        (f"{C}/terminationMessagePath", ""),
        (f"{C}/terminationMessagePolicy", ""),
        (f"{C}/ports/0/protocol", ""),
        (f"{C}/livenessProbe/httpGet/scheme", ""),
        (f"{C}/livenessProbe/timeoutSeconds", 0),
        (f"{C}/livenessProbe/periodSeconds", 0),
        (f"{C}/livenessProbe/successThreshold", 0),
        (f"{C}/livenessProbe/failureThreshold", 0),
    )
    assert admit(default(pod)) == [] and pod == default(changed())


def test_containers_on_the_hosts_network_may_not_have_one_port() -> None:
    ports = [{"containerPort": 80}]
    second = {"name": "second", "image": "busybox", "ports": ports}
    pod = changed(("spec/hostNetwork", True), (f"{C}/ports", ports))
    pod.spec.containers.append(Container.decode(second))
    assert "spec.containers[1].ports[0].hostPort" in problems(default(pod))


def test_a_number_that_is_too_large_is_not_said_to_be_too_small() -> None:
    with pytest.raises(Refused, match="99999999999 is not from 1 to"):
        admit(changed(("spec/activeDeadlineSeconds", 99999999999)))
