"""The whole way of an application of three services: a database with a volume, a server, somebody who asks it."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

THREE = """
name: shop
services:
  web:
    image: busybox
    command: sh -c 'mkdir /www; cp /db/rows /www/index.html; exec httpd -f -p 80 -h /www'
    init: true
    depends_on: {db: {condition: service_healthy}}
    volumes: ["rows:/db:ro"]
    networks: {back: {aliases: [shop-front]}}
  db:
    image: busybox
    command: sh -c 'echo row >> /data/rows; echo ready; trap "exit 0" TERM; while :; do sleep 0.1; done'
    volumes: ["rows:/data"]
    healthcheck: {test: "test -s /data/rows", interval: 100ms}
    networks: [back]
  asks:
    image: busybox
    command: sh -c 'wget -qO- http://web/ && wget -qO- http://shop-front/'
    depends_on: [web]
    networks: [back]
volumes: {rows: }
networks: {back: }
"""


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_up_ps_logs_exec_and_down_and_the_volume_lives_on(app: Any) -> None:
    app.write(THREE)
    app("up", "-d")
    found = {row["Service"]: row for row in rows(app.out("ps", "-a", "--format", "json"))}
    assert sorted(found) == ["asks", "db", "web"]
    assert (found["db"]["Name"], found["db"]["State"], found["db"]["Health"]) == (
        "shop-db-1",
        "running",
        "healthy",
    )
    assert app.out("wait", "asks") == 'container "shop-asks-1" exited with status code 0'
    assert app.out("logs", "--no-log-prefix", "asks").splitlines() == ["row", "row"]
    assert "db-1    | ready" in app.out("logs").splitlines()
    assert app.out("exec", "db", "cat", "/data/rows") == "row"
    assert app.out("ps", "--services").splitlines() == ["db", "web"]
    assert app.out("ls", "--quiet") == "shop"

    app("down")
    assert app.out("ps", "-a", "--quiet") == ""
    assert app.lading.out("volume", "ls", "-q").splitlines() == ["shop_rows"]

    app("up", "-d", "db")
    assert app.out("exec", "db", "cat", "/data/rows").splitlines() == ["row", "row"]
    app("down", "--volumes")
    assert app.lading.out("volume", "ls", "-q") == ""
    assert "shop_back" not in app.lading.out("network", "ls")


def test_up_again_changes_only_what_changed(app: Any) -> None:
    app.write(THREE)
    app("up", "-d", "web")
    before = {row["Service"]: row["ID"] for row in rows(app.out("ps", "--format", "json"))}
    said = app("up", "-d", "web").stderr
    assert "Recreated" not in said
    app.write(THREE.replace("init: true", "init: true\n    environment: {NEW: value}"))
    app("up", "-d", "web")
    after = {row["Service"]: row["ID"] for row in rows(app.out("ps", "--format", "json"))}
    assert after["db"] == before["db"]
    assert after["web"] != before["web"]
    assert app.out("exec", "web", "sh", "-c", "echo $NEW") == "value"
    assert sorted(row["Name"] for row in rows(app.out("ps", "-a", "--format", "json"))) == [
        "shop-db-1",
        "shop-web-1",
    ]


def test_services_are_scaled_up_and_down(app: Any) -> None:
    app.write("name: shop\nservices: {a: {image: busybox, command: sleep 1000, init: true}}")
    app("up", "-d", "--scale", "a=3")
    assert sorted(row["Name"] for row in rows(app.out("ps", "--format", "json"))) == [
        "shop-a-1",
        "shop-a-2",
        "shop-a-3",
    ]
    app("scale", "a=1")
    assert [row["Name"] for row in rows(app.out("ps", "--format", "json"))] == ["shop-a-1"]


def test_a_dependency_that_fails_is_named_with_its_last_lines(app: Any) -> None:
    app.write(
        """
        name: shop
        services:
          job: {image: busybox, command: "sh -c 'echo cannot do it >&2; exit 3'"}
          web: {image: busybox, command: sleep 1000, depends_on: {job: {condition: service_completed_successfully}}}
        """
    )
    for words in (("up", "-d"), ("run", "--rm", "-T", "web", "true")):
        done = app(*words, check=False)
        assert done.returncode == 1
        assert "job | cannot do it" in done.stderr
        assert "dependency job failed: container shop-job-1 exited (3)" in done.stderr.splitlines()[-1]
    assert app.out("ps", "--quiet") == ""
