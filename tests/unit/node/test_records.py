"""The node's rows: names are given once, references mean one thing, nothing is lost between processes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from lading.errors import Conflict, Corrupt, InvalidInput, NotFound
from lading.formats.pod import Container, Pod, PodExtras, PodSpec
from lading.node import amending, lookup
from lading.node.database import Database
from lading.node.model import ContainerRecord, PodRecord
from lading.node.records import Records, new_id


def _record(name: str, *containers: str) -> PodRecord:
    pod_id = new_id()
    names = containers or ("main",)
    pod = Pod(
        spec=PodSpec(
            containers=[Container(name=n, image="img") for n in names],
            extras=PodExtras(container=not containers),
        )
    )
    made = PodRecord(id=pod_id, name=name, pod=pod, created=time.time())
    for place, inner in enumerate(names):
        identity = new_id() if containers else pod_id
        made.containers.append(
            ContainerRecord(
                id=identity, pod_id=pod_id, name=inner, index=place, image="img", image_id="sha256:1"
            )
        )
    return made


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(f"{tmp_path}/deep/node.db")


def test_what_is_written_is_read_back_whole(records: Records) -> None:
    record = _record("web", "a", "b")
    record.containers[1].volumes = {"/x": "vol"}
    records.insert(record)
    record.containers[0].state, record.containers[0].pid = "running", 42
    records.save(record, record.containers[0], "start", {"k": "v"})
    assert records.get(record.id) == record
    assert [e.action for e in lookup.events(records.database)] == ["create", "start"]
    assert lookup.names_using_volume(records.database) == {"vol": ["web/b"]}


def test_second_pod_of_a_name_is_a_conflict_and_leaves_no_trace(records: Records) -> None:
    records.insert(_record("web"))
    with pytest.raises(Conflict) as caught:
        records.insert(_record("web"))
    assert (
        caught.value.reason == "name-taken"
        and len(records.list()) == 1
        and len(lookup.events(records.database)) == 1
    )


def test_references_are_names_ids_prefixes_and_paths(records: Records) -> None:
    pod, single = _record("pod", "a", "b"), _record("solo")
    records.insert(pod)
    records.insert(single)
    assert records.resolve("pod") == (pod, None)
    assert records.resolve(pod.id[:20]) == (pod, None)
    assert records.resolve("pod/b") == (pod, pod.containers[1])
    assert records.resolve(pod.containers[0].id[:30]) == (pod, pod.containers[0])
    assert records.resolve("solo")[0].container.id == single.id
    for missing in ("nope", "pod/c", "fffff"):
        with pytest.raises(NotFound):
            records.resolve(missing)
    for bad in ("", "/", "pod/"):
        with pytest.raises(InvalidInput):
            records.resolve(bad)


def test_ambiguous_prefix_is_refused(records: Records) -> None:
    first, second = _record("one"), _record("two")
    second.id = second.containers[0].id = second.containers[0].pod_id = first.id[:40] + "0" * 24
    records.insert(first)
    records.insert(second)
    with pytest.raises(InvalidInput):
        records.resolve(first.id[:40])


def test_many_writers_wait_for_each_other(records: Records) -> None:
    errors: list[BaseException] = []
    records.insert(_record("first"))

    def write(number: int) -> None:
        own = Records(records.database.path)
        try:
            for step in range(5):
                record = _record(f"n{number}-{step}")
                own.insert(record)
                own.delete(record)
        except BaseException as error:
            errors.append(error)
        own.database.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and [r.name for r in records.list()] == ["first"]


def test_failed_transaction_changes_nothing(records: Records) -> None:
    record = _record("web")
    records.insert(record)
    with pytest.raises(RuntimeError), records.database:
        records.delete(record)
        raise RuntimeError
    assert records.get(record.id) is not None


def test_newer_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = f"{tmp_path}/node.db"
    database = Database(path)
    database.connection().execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(Corrupt) as caught:
        Database(path).query("SELECT 1")
    assert caught.value.reason == "newer-records"
    with open(path, "wb") as stream:
        stream.write(os.urandom(8192))
    for extra in ("-wal", "-shm"):
        if os.path.exists(path + extra):
            os.unlink(path + extra)
    with pytest.raises(Corrupt):
        Database(path).query("SELECT 1")


def test_a_keeper_that_writes_leaves_a_pause_written(records: Records) -> None:
    record = _record("web")
    records.insert(record)
    made = record.container
    made.state, made.pid, made.pid_start = "running", 42, 7
    records.save(record, made, "start")
    paused = records.resolve("web")[0]
    paused.container.state = "paused"
    amending.set_state(records, paused, paused.container, "pause")
    made.health = "healthy"
    records.save(record, made)  # to its keeper it runs
    found = records.resolve("web")[0].container
    assert (found.state, found.health) == ("paused", "healthy")
    for state, pid in (("exited", 0), ("running", 43)):
        made.state, made.pid = state, pid
        records.save(record, made)
        assert records.resolve("web")[0].container.state == state


def test_what_a_newer_lading_knows_of_a_container_is_passed_over(records: Records) -> None:
    record = _record("web")
    record.container.reason = "Completed"
    records.insert(record)
    with records.database as db:
        db.query("UPDATE containers SET extra = json_set(extra, '$.mood', 'good')")
    assert records.resolve("web")[0].container.reason == "Completed"
