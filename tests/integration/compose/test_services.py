"""What a service can ask for, seen from inside its container."""

from __future__ import annotations

import fcntl
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@contextmanager
def holding(lock: Path) -> Iterator[None]:
    """As another command does that works on the project."""
    with open(lock) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def test_configs_and_secrets_are_files_with_their_owners_and_modes(app: Any) -> None:
    app.write("from a file\n", "secret.txt")
    app.write(
        """
        name: shop
        services:
          it:
            image: busybox
            command: sleep 1000
            init: true
            configs: [{source: c, target: /etc/c, uid: "5", gid: "6", mode: 0440}]
            secrets: [file, {source: env, target: other}]
        configs: {c: {content: "for ${WHO:-nobody}\\n"}}
        secrets: {file: {file: ./secret.txt}, env: {environment: KEY}}
        """
    )
    refused = app("up", "-d", check=False)
    assert "secrets.env.environment: the variable KEY is not set" in refused.stderr
    app.lading.env["KEY"] = "of the caller"
    try:
        app("up", "-d")
        assert app.out("exec", "it", "cat", "/etc/c", "/run/secrets/file") == "for nobody\nfrom a file"
        assert app.out("exec", "it", "cat", "/run/secrets/other") == "of the caller"
        assert app.out("exec", "it", "stat", "-c", "%u %g %a", "/etc/c") == "5 6 440"
        kept = app.lading.base / "root/compose/shop"
        assert len(os.listdir(kept)) == 2
        app.lading.env["KEY"] = "another"
        assert "Recreated" in app("up", "-d").stderr
        assert app.out("exec", "it", "cat", "/run/secrets/other") == "another"
        app("down")
        assert not kept.exists()
    finally:
        del app.lading.env["KEY"]


def test_namespaces_hooks_and_volumes_are_shared_as_the_file_says(app: Any) -> None:
    app.write(
        """
        name: shop
        services:
          main:
            image: busybox
            command: sleep 1000
            hostname: main-host
            volumes: ["v:/v"]
            post_start: [{command: [sh, -c, "echo started > /v/hook"]}]
            pre_stop: [{command: [sh, -c, "echo stopping > /v/hook"]}]
            extra_hosts: ["somewhere=10.9.8.7"]
            stop_grace_period: 0s
          side:
            image: busybox
            command: sleep 1000
            network_mode: service:main
            pid: service:main
            volumes_from: ["main:ro"]
            stop_grace_period: 0s
        volumes: {v: }
        """
    )
    app("up", "-d")
    assert app.out("exec", "side", "cat", "/v/hook") == "started"
    assert app("exec", "side", "touch", "/v/x", check=False).returncode == 1
    assert "sleep 1000" in app.out("exec", "side", "ps").splitlines()[1]
    assert app.out("exec", "main", "grep", "-c", "10.9.8.7", "/etc/hosts") == "1"
    app("stop")
    app("run", "--rm", "--no-deps", "-T", "main", "cat", "/v/hook")
    assert app.out("run", "--rm", "--no-deps", "-T", "main", "cat", "/v/hook") == "stopping"


def test_down_takes_anonymous_volumes_along_and_nothing_that_has_a_name(app: Any) -> None:
    named = "0123456789abcdef" * 4  # as long as the name that an anonymous one gets
    app.lading.out("volume", "create", named)
    text = """
        name: shop
        services:
          it: {image: busybox, command: sleep 1000, init: true, environment: {N: '%s'}, volumes: ["/cache", "kept:/kept"]}
        volumes: {kept: {external: true, name: %s}}
        """
    try:
        app.write(text % (1, named))
        app("up", "-d")
        app("exec", "it", "sh", "-c", "echo mine > /kept/file; echo old > /cache/file")
        app.write(text % (2, named))
        assert "Recreated" in app("up", "-d").stderr
        assert app.out("exec", "it", "cat", "/cache/file") == "old"
        app("down", "--volumes", "--timeout", "0")
        assert app.lading.out("volume", "ls", "-q") == named
    finally:
        app.lading("volume", "rm", named)


def test_one_off_commands_have_a_container_of_their_own(app: Any) -> None:
    app.write(
        """
        name: shop
        services:
          db: {image: busybox, command: sleep 1000, init: true}
          tool: {image: busybox, command: "echo default", environment: {A: 1}, depends_on: [db], profiles: [tools]}
        """
    )
    app("up", "-d")
    assert app.out("ps", "--services") == "db"
    assert app.out("run", "--rm", "-T", "tool") == "default"
    assert app.out("run", "--rm", "-T", "-e", "B=2", "tool", "sh", "-c", "echo $A $B") == "1 2"
    assert app("run", "--rm", "-T", "tool", "sh", "-c", "exit 7", check=False).returncode == 7
    assert app("run", "--rm", "-T", "-i", "tool", "cat", input="through\n").stdout == "through\n"
    with holding(app.lading.base / "run/compose/shop.lock"):
        waiting = app.start("run", "-d", "tool", "sleep", "1000")
        assert "another command works on the project shop" in waiting.stderr.readline()
    identity = waiting.communicate(timeout=90)[0].strip()
    app.write("name: shop\nservices: {alone: {image: busybox, command: 'true'}}", "alone.yaml")
    assert "shop-db-1" in app("-f", "alone.yaml", "run", "--rm", "-T", "alone").stderr
    assert len(identity) == 64
    assert app.out("ps", "--services") == "db"
    app("-f", "alone.yaml", "run", "--rm", "-T", "--remove-orphans", "alone")
    assert app.out("ps", "-a", "--services") == ""
    app("up", "-d")
    app("down", "--timeout", "0")
    assert app.out("ps", "-aq") == ""


def test_images_are_built_and_containers_follow_them(app: Any) -> None:
    app.write(
        "FROM busybox\nARG WHO=nobody\nRUN echo $WHO > /who\nCOPY more /more\nCMD sleep 1000\n",
        "ctx/Dockerfile",
    )
    app.write("one\n", "ctx/more")
    app.write(
        """
        name: shop
        services:
          made: {build: {context: ctx, args: {WHO: me}}, init: true}
          inline: {build: {dockerfile_inline: "FROM busybox\\nRUN echo here > /there\\nCMD cat /there\\n"}}
        """
    )
    app("up", "-d")
    assert app.out("exec", "made", "cat", "/who", "/more") == "me\none"
    app("wait", "inline")
    assert app.out("logs", "--no-log-prefix", "inline") == "here"
    before = app.out("ps", "-q", "made")
    app.write("two\n", "ctx/more")
    assert "shop-made  Built" in app("up", "-d", "--build", "--quiet-pull", "made").stderr
    assert app.out("exec", "made", "cat", "/more") == "two"
    assert app.out("ps", "-q", "made") != before
    silent = app("run", "--rm", "-T", "--build", "--quiet-build", "inline", "true")
    assert "shop-inline  Built" not in silent.stderr
    assert sorted(app.out("config", "--images").splitlines()) == ["shop-inline", "shop-made"]
    app("down", "--rmi", "local", "--timeout", "0")
    assert "shop-made" not in app.lading.out("images")


def test_what_is_published_and_copied_is_found(app: Any) -> None:
    app.write(
        "name: shop\nservices: {it: {image: busybox, command: sleep 1000, init: true, ports: ['127.0.0.1::80']}}"
    )
    app("up", "-d")
    (row,) = [json.loads(line) for line in app.out("ps", "--format", "json").splitlines()]
    (published,) = row["Publishers"]
    assert app.out("port", "it", "80") == f"127.0.0.1:{published['PublishedPort']}"
    app.write("copied\n", "file")
    app("cp", "file", "it:/tmp/file")
    assert app.out("exec", "it", "cat", "/tmp/file") == "copied"
    app("cp", "it:/tmp/file", "back")
    assert (app.directory / "back").read_text() == "copied\n"
    assert "sleep 1000" in app.out("top")
    app("pause")
    assert app.out("ps", "--status", "paused", "-q")
    app("unpause")
    app("kill", "-s", "KILL")
    assert app("wait", "it", check=False).returncode == 137
    app("rm", "-f")
    assert app.out("ps", "-aq") == ""


def test_a_network_whose_definition_changed_is_made_anew_under_its_containers(app: Any) -> None:
    text = """
        name: shop
        services:
          a: {image: busybox, command: sleep 1000, init: true}
          b: {image: busybox, command: sleep 1000, init: true, networks: {default: {aliases: [bee]}}}
        networks: {default: {driver_opts: {com.docker.network.driver.mtu: %s}}}
        """
    app.write(text % 1400)
    app("up", "-d")
    before = app.out("ps", "-q")
    app.write(text % 1300)
    assert "Network shop_default  Recreated" in app("up", "-d").stderr
    assert app.out("ps", "-q") == before
    assert "mtu 1300" in app.out("exec", "a", "ip", "link", "show", "eth0")
    app("exec", "a", "ping", "-c", "1", "-W", "30", "bee")


def test_a_log_is_rotated_and_a_domain_named_where_options_say(app: Any) -> None:
    app.write(
        """
        services:
          named: {image: busybox, domainname: example.org, command: cat /proc/sys/kernel/domainname}
          loud:
            image: busybox
            command: [sh, -c, 'i=0; while [ $$i -lt 600 ]; do echo "line $$i of what is said"; i=$$((i+1)); done']
            logging: {driver: json-file, options: {max-size: 8k, max-file: 2}}
        """
    )
    app("up", "--no-log-prefix", "--attach", "loud")
    assert app.out("logs", "--no-log-prefix", "named") == "example.org"
    said = app.out("logs", "--no-log-prefix", "loud").splitlines()
    assert said[-1] == "line 599 of what is said"
    assert 0 < len(said) < 400
    (rotated,) = (app.lading.base / "root").rglob("log.1")
    found = [path for path in rotated.parent.iterdir() if path.name.startswith("log")]
    assert len(found) == 2
    assert all(path.stat().st_size <= 8000 for path in found)


def test_a_container_becomes_an_image_or_an_archive_and_its_command_is_shown_as_it_was_typed(
    app: Any, tmp_path: Path
) -> None:
    app.write("services: {it: {image: busybox, init: true, command: sh -c 'echo made > /made; sleep 1000'}}")
    app("up", "-d")
    (row,) = [json.loads(line) for line in app.out("ps", "--no-trunc", "--format", "json").splitlines()]
    assert row["Command"] == """"sh -c 'echo made > /made; sleep 1000'\""""
    app("commit", "--message", "why", "it", "made:1")
    try:
        app("export", "it", "-o", str(tmp_path / "it.tar"))
        with tarfile.open(tmp_path / "it.tar") as archive:
            assert archive.extractfile("made").read() == b"made\n"  # type: ignore[union-attr]
        assert app.lading("run", "--rm", "made:1", "cat", "/made").stdout == "made\n"
    finally:
        app.lading("rmi", "--force", "made:1")
    assert app("export", "other", check=False).returncode == 1
    identity = app.out("run", "-d", "it", "sleep", "5")
    assert len(identity) == 64
    app.lading("rm", "--force", identity)
