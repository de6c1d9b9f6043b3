"""``kill -9`` of our own processes at random instants, and what has to be true afterwards.

A :class:`Trial` has roots of its own. Each round lets several workers (``killing_work``) use the command line beside each
other, kills processes of theirs meanwhile, and then asks four questions: does ``check --repair`` finish everything;
is everything still there that a finished command left; can all of it be used and removed; is the machine then what it
was before the round? The dice are seeded: the same seed draws the same work and the same waits.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
LIMIT = 60.0
"""Seconds after which a command hangs: far more than a loaded machine needs."""


class Broken(Exception):
    """A promise was not kept; the text says which, and what was done before."""


class World:
    """The commands below one directory, and the processes that belong to it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("LADING_")}
        for name, place in (("ROOT", "data"), ("RUN", "run"), ("CONFIG", "etc")):
            self.env[f"LADING_{name}"] = f"{base}/{place}"
        self.env |= {"PYTHONPATH": str(SOURCE), "DOCKER_CONFIG": f"{base}/docker"}
        self.tag = f"lading-{zlib.crc32(f'{base}/data'.encode()) & 0xFFFFFF:06x}"
        self._mark = f"LADING_RUN={base}/run".encode()
        self.log: list[str] = []
        self._lock = threading.Lock()
        self._own: set[int] = set()
        self._ending = threading.Event()
        self._reaper = threading.Thread(target=self._reap, daemon=True)
        self._reaper.start()

    def close(self) -> None:
        """Stop reaping."""
        self._ending.set()
        self._reaper.join()

    def __call__(
        self, *words: str, program: str = "lading", input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, however it ends."""
        module = {"lading": "lading", "lading-runtime": "lading.runtime.cli"}[program]
        # Files and not pipes: what the command leaves running may hold its streams, and is not waited for.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
            with self._lock:
                process = subprocess.Popen(
                    [sys.executable, "-m", module, *words], env=self.env, cwd="/", start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=out, stderr=error,
                )  # fmt: skip
                self._own.add(process.pid)
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                where = self.stacks(process.pid)
                process.kill()
                process.wait()
                raise Broken(f"{program} {' '.join(words)} hung:\n{where}") from None
            finally:
                with self._lock:
                    self._own.discard(process.pid)
            out.seek(0)
            error.seek(0)
            said, complaint = out.read(), error.read()
        spoken = f"{process.returncode:4} {program} {' '.join(words)}"
        self.log.append(f"{time.monotonic():.3f} {spoken} {complaint.strip()[-300:]}"[:600])
        return subprocess.CompletedProcess(words, process.returncode, said, complaint)

    @contextmanager
    def owning(self, pid: int) -> Iterator[None]:
        """``pid`` is waited for by somebody: the reaper leaves it alone."""
        with self._lock:
            self._own.add(pid)
        try:
            yield
        finally:
            with self._lock:
                self._own.discard(pid)

    def must(self, *words: str, program: str = "lading") -> str:
        """Run a command that has to succeed; what it said."""
        done = self(*words, program=program)
        if done.returncode:
            raise Broken(f"{program} {' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def processes(self) -> dict[int, str]:
        """Every process that runs our code for these roots, by pid, and what it is: a container's command has the
        container's environment, so it is none of them."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                if self._mark not in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    continue
                status = Path(f"/proc/{entry}/status").read_text()
                command = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if not re.search(r"^State:\s+Z", status, re.M):
                found[int(entry)] = self._kind(int(entry), status, command)
        return found

    def _kind(self, pid: int, status: str, command: bytes) -> str:
        numbers = re.search(r"^NSpid:(.*)$", status, re.M)
        if numbers is not None and len(numbers[1].split()) > 1:
            return "init"
        if b"lading.runtime" in command:
            return "runtime"
        if pid in self._own:
            return "command"
        if b"resolver" in command:
            return "resolver"
        parent = re.search(r"^PPid:\s+(\d+)$", status, re.M)
        return "helper" if parent is not None and int(parent[1]) in self._own else "keeper"

    def kill(self, pid: int) -> bool:
        """SIGKILL ``pid``, if it is still ours; by descriptor, so that the number cannot mean somebody else."""
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            if self._mark not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return False
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    def stacks(self, pid: int) -> str:
        """Where the processes of these roots are, for the report of a hang."""
        lines = []
        for other, kind in sorted(self.processes().items()):
            try:
                place = Path(f"/proc/{other}/wchan").read_text()
                call = Path(f"/proc/{other}/syscall").read_text().strip()
                words = Path(f"/proc/{other}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            lines.append(f"  {'*' if other == pid else ' '}{other} {kind} {place} {call} {words}")
        return "\n".join(lines)

    def _reap(self) -> None:
        """In init's place: orphans of what was killed are adopted by this process when it is a subreaper."""
        while not self._ending.wait(0.02):
            with self._lock:
                for task in os.listdir("/proc/self/task"):
                    try:
                        children = Path(f"/proc/self/task/{task}/children").read_text().split()
                    except OSError:
                        continue
                    for child in map(int, children):
                        try:
                            zombie = (
                                Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
                            )
                            if zombie and child not in self._own:
                                os.waitpid(child, os.WNOHANG)
                        except (OSError, ChildProcessError):
                            continue

    # -- the machine -------------------------------------------------------------------------------------------------

    def machine(self) -> dict[str, list[str]]:
        """All that these roots have on the machine, as comparable lists. Names that may differ from round to round
        (a keeper's pid) are left out; how many there are is not."""
        short = f"ld{self.tag.removeprefix('lading-')}-"
        data, run = f"{self.base}/data", f"{self.base}/run"
        links = []
        for name in os.listdir("/sys/class/net"):
            try:
                master = os.path.basename(os.readlink(f"/sys/class/net/{name}/master"))
            except OSError:
                master = ""
            if name.startswith(short) or master.startswith(short):
                links.append(f"{name} {master}")
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        groups = []
        for hierarchy in Path("/sys/fs/cgroup").iterdir():
            for directory, _, _ in os.walk(f"{hierarchy}/{self.tag}"):
                groups.append(directory)
            for name in _names(f"{hierarchy}/lading"):
                if name.startswith(f"rt-{self.tag}"):
                    groups.append(f"{hierarchy}/lading/{name}")
        table = subprocess.run(
            ["nft", "list", "table", "inet", self.tag], capture_output=True, text=True, check=False
        ).stdout
        return {
            "pods": _names(f"{data}/pods"),
            "runtime states": [n for n in _names(f"{run}/runtime") if n != "@seccomp"],
            "keepers": _names(f"{run}/keepers"),
            "memory": _names(f"{run}/pods"),
            "volumes": _names(f"{data}/volumes"),
            "layers": _names(f"{data}/images/layers"),
            "staging": _names(f"{data}/images/staging") + _names(f"{data}/images/ingest"),
            "links": sorted(links),
            "mounts": sorted(m for m in mounts if m.startswith(f"{self.base}/")),
            "cgroups": sorted(groups),
            "rules": sorted(line.strip() for line in table.splitlines() if "elements" in line),
            "records": _rows(f"{data}/node.db", "pods", "containers"),
            "network records": _rows(f"{data}/network/network.db"),
            "processes": sorted(self.processes().values()),
        }


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _rows(path: str, *tables: str) -> list[str]:
    if not os.path.exists(path):
        return []
    database = sqlite3.connect(path, timeout=60)
    try:
        found = [r[0] for r in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        wanted = [t for t in found if not tables or t in tables]
        return [f"{t} {database.execute(f'SELECT count(*) FROM {t}').fetchone()[0]}" for t in sorted(wanted)]
    finally:
        database.close()


class Killer(threading.Thread):
    """Kills ``count`` processes, each after a random wait; now and then all at once, as an out-of-memory killer would."""

    def __init__(
        self, world: World, dice: random.Random, count: int, spare: frozenset[int] = frozenset()
    ) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.dice = dice
        self.count = count
        self.spare = spare
        self.killed: Counter[str] = Counter()

    def run(self) -> None:
        while self.killed.total() < self.count:
            time.sleep(self.dice.uniform(0.0, 0.25))
            everything = self.dice.random() < 0.08
            alive = self.world.processes()
            if not alive:
                continue
            # A kind first, so that the rare and short-lived ones have their turn as well.
            kind = self.dice.choice(sorted(set(alive.values())))
            chosen = [pid for pid in sorted(alive) if alive[pid] == kind]
            for pid in sorted(alive) if everything else [self.dice.choice(chosen)]:
                if self.world.kill(pid):
                    self.killed[alive[pid]] += 1
                    self.world.log.append(f"{time.monotonic():.3f} KILL {pid} {alive[pid]}")
