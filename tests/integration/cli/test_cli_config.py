"""ConfigMaps, Secrets and claims beside a Pod, down to the files in its containers."""

from __future__ import annotations

import json
import os
import stat

import pytest

pytestmark = pytest.mark.root

MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {color: blue, app.ini: "[a]"}
---
apiVersion: v1
kind: Secret
metadata: {name: hidden}
stringData: {password: hunter2}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claimed, labels: {made: here}}
spec: {}
---
apiVersion: v1
kind: Pod
metadata: {name: configured, labels: {app: demo}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {fsGroup: 4321}
  volumes:
  - {name: conf, configMap: {name: conf}}
  - {name: hidden, secret: {secretName: hidden, defaultMode: 0400}}
  - name: all
    projected:
      sources:
      - {configMap: {name: conf, items: [{key: color, path: deep/color}]}}
      - {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: data, persistentVolumeClaim: {claimName: claimed}}
  containers:
  - name: main
    image: busybox
    command: [sleep, "600"]
    envFrom: [{configMapRef: {name: conf}, prefix: C_}]
    env:
    - {name: PW, valueFrom: {secretKeyRef: {name: hidden, key: password}}}
    - {name: SAID, value: "$(C_color) $(PW)"}
    - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    volumeMounts:
    - {name: conf, mountPath: /conf}
    - {name: hidden, mountPath: /hidden}
    - {name: all, mountPath: /all}
    - {name: data, mountPath: /data}
    - {name: conf, mountPath: /etc/app.ini, subPath: app.ini}
"""


def test_they_become_variables_and_files(lading) -> None:  # type: ignore[no-untyped-def]
    lading("pod", "run", "-", input=MANIFEST, check=True)

    def inside(script: str) -> str:
        return str(lading.out("pod", "exec", "configured", "--", "sh", "-c", script))

    assert inside('echo $SAID; test -n "$HOST" && echo known') == "blue hunter2\nknown"
    assert inside("cat /conf/color /all/deep/color /all/labels /hidden/password /etc/app.ini") == (
        'blueblueapp="demo"hunter2[a]'
    )
    assert inside("readlink -f /conf/color").startswith("/conf/..2")
    assert inside("ls -lnL /hidden/password").split()[:4] == ["-r--r-----", "1", "0", "4321"]
    assert inside("touch /conf/x 2>/dev/null || touch /data/x && ls /data") == "x"
    assert lading.out("volume", "inspect", "--format", "{Labels[made]}", "claimed") == "here"
    shown = lading.out("pod", "inspect", "configured")
    assert "hunter2" not in shown and "blue" in shown
    # Again with the same name: the manifest as it is now.
    assert lading("pod", "run", "-", input=MANIFEST).returncode == 1
    lading("pod", "run", "--replace", "-", input=MANIFEST.replace("color: blue", "color: red"), check=True)
    assert inside("echo $C_color; cat /conf/color; ls /data") == "red\nredx"
    place = json.loads(lading.out("pod", "inspect", "configured"))[0]["status"]["x-lading"]["id"]
    files = lading.base / "root/pods" / place / "volumes/hidden"
    assert not stat.S_IMODE(os.stat(files / "password").st_mode) & 0o007
    lading.out("pod", "rm", "-f", "configured")
    lading.out("volume", "rm", "claimed")


def test_a_container_restarts_by_its_own_rules(lading) -> None:  # type: ignore[no-untyped-def]
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    script = "test -e /v/again && exit 3; touch /v/again; exit 42"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ruled"},
        "spec": {
            "restartPolicy": "Always",
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [
                {
                    "name": "main",
                    "image": "busybox",
                    "command": ["sh", "-c", script],
                    "restartPolicy": "Never",
                    "restartPolicyRules": [rule],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                }
            ],
        },
    }
    assert lading("pod", "run", "--attach", "-", input=json.dumps(pod)).returncode == 3
    (shown,) = json.loads(lading.out("pod", "inspect", "ruled"))
    assert shown["status"]["containerStatuses"][0]["restartCount"] == 1
    lading.out("pod", "rm", "ruled")
