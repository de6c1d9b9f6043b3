"""A server's view of Lading: one keeper (a family of processes) for all pods, asked over its socket by several callers at once.

``python -m benchmarks.shared_keeper throughput TOTAL AT_ONCE IMAGE`` prints containers a second;
``… memory PODS IMAGE`` prints the megabytes (10⁶ bytes, proportional set) that each idle pod adds to the keeper.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LARGEST = 64 << 10


class Keeper:
    """The keeper process, and one call at a time to it per thread."""

    def __init__(self) -> None:
        self.path = Path(os.environ["LADING_RUN"]) / f"bench-keeper-{os.getpid()}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lading.node.keeper", "--socket", str(self.path)]
        )
        deadline = time.monotonic() + 10
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the keeper did not come up")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            return probe.connect_ex(str(self.path)) == 0

    def ask(self, **request: object) -> dict[str, object]:
        """One request, one answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            line.connect(str(self.path))
            line.send(json.dumps(request).encode())
            data = line.recv(LARGEST)
            if not data:
                sys.exit("the keeper hung up")
            answer: dict[str, object] = json.loads(data)
        if "error" in answer:
            sys.exit(f"the keeper says: {answer['error']}")
        return answer

    def processes(self) -> list[int]:
        """The front and its hands, each of which has a socket that its pid names."""
        hands = [int(path.suffix[1:]) for path in self.path.parent.glob(f"{self.path.name}.[0-9]*")]
        return [self.process.pid, *hands]

    def stop(self) -> None:
        """Ask it to end."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def pod(image: str, *command: str) -> dict[str, object]:
    """A pod of one that is removed when it ends."""
    container = {"name": "main", "image": image, "command": list(command), "imagePullPolicy": "Never"}
    extras = {"remove": True, "container": True}
    spec = {"restartPolicy": "Never", "containers": [container], "x-lading": extras}
    return {"apiVersion": "v1", "kind": "Pod", "spec": spec}


def throughput(keeper: Keeper, total: int, at_once: int, image: str) -> float:
    """Containers started, finished and removed a second."""

    def one(_number: int) -> None:
        answer = keeper.ask(op="run", pod=pod(image, "true"), wait=True)
        if answer.get("code") != 0:
            sys.exit(f"a container ended with {answer}")

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(at_once)))  # the bridge and the caches
        started = time.perf_counter()
        list(pool.map(one, range(total)))
        return total / (time.perf_counter() - started)


def memory(keeper: Keeper, pods: int, image: str) -> float:
    """Megabytes of the keeper, all of its processes, for each idle pod.

    Every hand has had a pod before: what its first one loads is not what one more costs.
    """
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: keeper.ask(op="run", pod=pod(image, "true"), wait=True), range(24)))
    time.sleep(1)
    before = sum(_pss(pid) for pid in keeper.processes())
    made = [keeper.ask(op="run", pod=pod(image, "sleep", "1000"))["id"] for _ in range(pods)]
    time.sleep(1)
    after = sum(_pss(pid) for pid in keeper.processes())
    for identifier in made:
        keeper.ask(op="remove", id=identifier, force=True)
    return (after - before) / pods


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def main(arguments: list[str]) -> None:
    """Start a keeper, measure, stop it."""
    keeper = Keeper()
    try:
        if arguments[0] == "throughput":
            print(throughput(keeper, int(arguments[1]), int(arguments[2]), arguments[3]))
        else:
            print(memory(keeper, int(arguments[1]), arguments[2]))
    finally:
        keeper.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
