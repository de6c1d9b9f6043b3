"""Versions, the configuration as JSON, and the service that nobody needs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

from lading.cli.commands import ROOT
from lading.flags import parse
from lading.images.aci.trust import Entry, TrustStore
from lading.rocket.rkt import settings
from lading.roots import Roots


def printed(capsys, monkeypatch, tmp_path, *words):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    parsed = parse(ROOT, ["rkt", *words])
    roots = Roots(str(tmp_path / "data"), str(tmp_path / "run"), str(tmp_path / "config"), 0)
    assert getattr(settings, words[0])(SimpleNamespace(roots=roots), parsed) == 0
    return capsys.readouterr().out


def test_versions(capsys, monkeypatch, tmp_path):
    lines = printed(capsys, monkeypatch, tmp_path, "version").splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "Lading Version", "appc Version", "Python Version", "Python OS/Arch",
    ]  # fmt: skip
    assert lines[1] == "appc Version: 0.8.11" and lines[3].startswith("Python OS/Arch: linux/")


def test_the_configuration_is_entries_that_may_be_read_again(capsys, monkeypatch, tmp_path):
    (tmp_path / "config/auth.d").mkdir(parents=True)
    basic = {
        "rktVersion": "v1", "rktKind": "auth", "domains": ["b.example", "a.example/x"], "type": "basic",
        "credentials": {"user": "ann", "password": "p:w"},
    }  # fmt: skip
    oauth = {
        "rktVersion": "v1", "rktKind": "auth", "domains": ["c.example"], "type": "oauth", "credentials": {"token": "t"},
    }  # fmt: skip
    (tmp_path / "config/auth.d/1.json").write_text(json.dumps(basic))
    (tmp_path / "config/auth.d/2.json").write_text(json.dumps(oauth))
    (tmp_path / "docker").mkdir()
    logins = {
        "auths": {"r.example": {"auth": "dTpw"}, "t.example": {"identitytoken": "secret"}, "h.example": {}}
    }
    (tmp_path / "docker/config.json").write_text(json.dumps(logins))
    entries = [
        Entry("x.example", "AB" * 20, "/k", object(), local=True),
        Entry("", "CD" * 20, "/m", None, local=True),
    ]  # type: ignore[arg-type]
    monkeypatch.setattr(TrustStore, "entries", lambda _: entries)
    found = json.loads(printed(capsys, monkeypatch, tmp_path, "config"))
    assert list(found) == ["stage0"]
    *auths, login, paths, trusted = found["stage0"]
    assert trusted == {
        "rktVersion": "v1", "rktKind": "trust", "prefix": "x.example", "fingerprint": "AB" * 20, "path": "/k",
    }  # fmt: skip
    assert auths == [{**basic, "domains": ["a.example/x"]}, {**basic, "domains": ["b.example"]}, oauth]
    assert login == {
        "rktVersion": "v1", "rktKind": "dockerAuth", "registries": ["r.example"], "credentials": {"user": "u", "password": "p"},
    }  # fmt: skip
    assert (paths["rktKind"], paths["data"]) == ("paths", str(tmp_path / "data"))
    short = printed(capsys, monkeypatch, tmp_path, "config", "--pretty-print=false")
    assert json.loads(short) == found and short.count("\n") == 1


def test_the_service_says_that_it_is_ready_and_waits_for_its_end(tmp_path):
    code = (
        "from lading.cli.commands import ROOT; from lading.flags import parse; from lading.rocket.rkt import settings;"
        "raise SystemExit(settings.metadata_service(None, parse(ROOT, ['rkt', 'metadata-service', '--listen-port=1'])))"
    )
    place = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(place)
        heard.settimeout(60)
        environ = {**os.environ, "NOTIFY_SOCKET": place}
        with subprocess.Popen(
            [sys.executable, "-c", code], env=environ, stderr=subprocess.PIPE, text=True
        ) as made:
            try:
                assert heard.recv(4096).split(b"\n")[0] == b"READY=1"
                assert made.poll() is None
                made.send_signal(signal.SIGTERM)
                assert heard.recv(4096) == b"STOPPING=1"
                assert made.wait(60) == 0
            finally:
                made.kill()
            assert made.stderr is not None and "metadata service of its own" in made.stderr.read()
