"""State of containers on disk until ``store`` is there."""

from __future__ import annotations

import os

from lading.errors import Conflict, InvalidInput, NotFound
from lading.formats.jsontext import dumps, loads
from lading.formats.schema import Record


class StateRecord(Record):
    id: str
    bundle: str
    pid: int = 0
    start_time: int = 0
    created: float = 0.0
    rootfs: str = ""
    owner: int = 0
    spec: dict[str, object] = {}
    cgroup: str = ""


class Store:
    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, id: str) -> str:
        if not id or id in (".", "..") or not all(c.isalnum() or c in "_+-." for c in id):
            raise InvalidInput(f"container id {id!r}: letters, digits and _ + - . only")
        return f"{self.root}/{id}"

    def create(self, id: str) -> str:
        os.makedirs(self.root, 0o700, exist_ok=True)
        try:
            os.mkdir(self.path(id), 0o711)
        except FileExistsError:
            raise Conflict(f"container {id} exists already") from None
        return self.path(id)

    def write(self, record: StateRecord) -> None:
        path = self.path(record.id)
        with open(path + "/state.json.new", "w") as f:
            f.write(dumps(record.encode()))
        os.rename(path + "/state.json.new", path + "/state.json")

    def read(self, id: str) -> StateRecord:
        try:
            with open(self.path(id) + "/state.json") as f:
                return StateRecord.decode(loads(f.read()))
        except FileNotFoundError:
            raise NotFound(f"container {id} does not exist") from None

    def ids(self) -> list[str]:
        try:
            return sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []

    def remove(self, id: str) -> None:
        path = self.path(id)
        for name in os.listdir(path):
            os.unlink(f"{path}/{name}")
        os.rmdir(path)
