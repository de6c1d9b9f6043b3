"""Pushes and deletes under constant collection of garbage: what is referenced is never lost.

``LADING_SOAK=300`` has it go on for that many seconds; a few by default.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

from lading.registry.checking import check
from lading.registry.store import Store
from support.registryserver import MANIFEST, Client, RegistryServer, digest_of

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(3600)]

SECONDS = float(os.environ.get("LADING_SOAK", "10"))
SHARED = [random.Random(n).randbytes(3000 + n) for n in range(40)]
"""Layers that images have in common, so that what goes with one is needed by another."""


class Pusher(threading.Thread):
    """Pushes to a repository of its own, deletes, and knows at every moment what must be there."""

    def __init__(self, server: RegistryServer, number: int, end: float) -> None:
        super().__init__()
        self.name = f"soak/r{number}"
        self.tags: dict[str, tuple[str, list[bytes]]] = {}
        self.counts = {"pushed": 0, "deleted": 0, "checked": 0, "mounted": 0, "retried": 0}
        self.failure: BaseException | None = None
        self._client: Client = server.client()
        self._chance = random.Random(number)
        self._end = end

    def run(self) -> None:
        try:
            while time.monotonic() < self._end:
                turn = self._chance.random()
                if turn < 0.5 or not self.tags:
                    self._push()
                elif turn < 0.75:
                    self._delete()
                else:
                    self._check(self._chance.choice(list(self.tags)))
            for tag in self.tags:
                self._check(tag)
        except BaseException as error:
            self.failure = error
        finally:
            self._client.connection.close()

    def _push(self) -> None:
        layers = [*self._chance.sample(SHARED, 2), self._chance.randbytes(self._chance.randrange(1, 20000))]
        for _ in range(10):
            described = []
            for data in (b"{}", *layers):
                digest = digest_of(data)
                self._blob(digest, data)
                described.append({"mediaType": "a/b", "digest": digest, "size": len(data)})
            value = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": described[0],
                "layers": described[1:],
            }
            tag = f"t{self._chance.randrange(12)}"
            data = json.dumps(value).encode()
            answer = self._client.ask("PUT", f"/v2/{self.name}/manifests/{tag}", data, content_type=MANIFEST)
            if answer.status == 201:
                self.tags[tag] = digest_of(data), layers
                self.counts["pushed"] += 1
                return
            # Slower than the grace, which is three seconds here and a day elsewhere: what clients do is to push again.
            assert answer.code == "MANIFEST_BLOB_UNKNOWN", answer.body
            self.counts["retried"] += 1
        raise AssertionError("a push met the garbage collector ten times in a row")

    def _blob(self, digest: str, data: bytes) -> None:
        if self._client.ask("HEAD", f"/v2/{self.name}/blobs/{digest}").status == 200:
            return
        answer = self._client.ask("POST", f"/v2/{self.name}/blobs/uploads/?mount={digest}")
        if answer.status == 201:
            self.counts["mounted"] += 1
            return
        assert answer.status == 202
        answer = self._client.ask("PUT", f"{answer.headers['location']}?digest={digest}", data)
        assert answer.status == 201, answer.body

    def _delete(self) -> None:
        tag = self._chance.choice(list(self.tags))
        digest, _ = self.tags[tag]
        if self._chance.random() < 0.5:
            assert self._client.ask("DELETE", f"/v2/{self.name}/manifests/{tag}").status == 202
            del self.tags[tag]
        else:
            assert self._client.ask("DELETE", f"/v2/{self.name}/manifests/{digest}").status == 202
            self.tags = {t: v for t, v in self.tags.items() if v[0] != digest}
        self.counts["deleted"] += 1

    def _check(self, tag: str) -> None:
        digest, layers = self.tags[tag]
        answer = self._client.ask("GET", f"/v2/{self.name}/manifests/{tag}")
        assert (answer.status, digest_of(answer.body)) == (200, digest)
        for data in layers:
            answer = self._client.ask("GET", f"/v2/{self.name}/blobs/{digest_of(data)}")
            assert (answer.status, answer.body) == (200, data)
        self.counts["checked"] += 1


def test_pushes_and_deletes_under_constant_collection_lose_nothing(tmp_path: Path) -> None:
    flags = ("--gc-interval", "100ms", "--gc-grace", "3s", "--access-log", "none")
    with RegistryServer(tmp_path, *flags) as server:
        end = time.monotonic() + SECONDS
        pushers = [Pusher(server, n, end) for n in range(6)]
        for pusher in pushers:
            pusher.start()
        for pusher in pushers:
            pusher.join()
        with server.client() as client:
            text = client.ask("GET", "/metrics").body.decode()
    counts = {key: sum(p.counts[key] for p in pushers) for key in pushers[0].counts}
    collected = {
        line.split()[0].rpartition("gc_")[2]: float(line.split()[1])
        for line in text.splitlines()
        if line.startswith("lading_registry_gc_")
    }
    print(f"\nsoak: {SECONDS:.0f} s: {counts}, {collected}")
    for pusher in pushers:
        if pusher.failure is not None:
            raise pusher.failure
    assert counts["pushed"] > 10
    assert collected["runs_total"] > 3
    assert collected["removed_blobs_total"] > 0
    assert collected["failures_total"] == 0
    store = Store(str(server.storage))
    try:
        assert check(store, repair=False) == []
    finally:
        store.close()
