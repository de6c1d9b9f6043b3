"""One command killed at each of its instants: strace(1) counts the calls that change something, and kills at the K-th.

No clock is involved. A tracer counts for each process apart, so the K-th call of a helper or a keeper is an instant of its
own beside the command's; ``when=K`` kills whoever comes there. (A process that is traced already cannot be held at the
gate of ``runtime.birth``: those few instants belong to the random kills.)
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from support.killing import LIMIT, Broken
from support.killing_trial import Trial
from support.killing_work import POD, own_users

CALLS = (
    "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,write,pwrite64,ftruncate,"
    "fsync,fdatasync,mount,umount2,move_mount,fsmount,open_tree,mount_setattr,setns,unshare,clone,clone3,fork,vfork,"
    "sendto,sendmsg,bind,listen,execve,chroot,pivot_root,kill,pidfd_send_signal,fchown,fchownat,fchmod,chmod,exit_group"
)

#: Name → commands that lead there, the command that is killed, and what is removed afterwards (``rm``, ``pod rm``, …).
OPERATIONS: dict[str, tuple[list[list[str]], list[str]]] = {
    "create": ([], ["create", "--name", "walk", "-v", "/anonymous", "busybox", "sleep", "600"]),
    "run": ([], ["run", "--name", "walk", "busybox", "true"]),
    "run-detached": ([], ["run", "-d", "-p", "127.0.0.1::80", "--name", "walk", "busybox", "sleep", "600"]),
    "run-rm": ([], ["run", "--rm", "--name", "walk", "-v", "/anonymous", "--network", "keep", "busybox", "true"]),
    "run-users": ([], ["run", "-d", "-p", "127.0.0.1::80", "--userns", "auto", "--name", "walk", "busybox", "sleep", "600"]),
    "start": ([["create", "--name", "walk", "busybox", "sleep", "600"]], ["start", "walk"]),
    "stop": ([["run", "-d", "--name", "walk", "busybox", "sleep", "600"]], ["stop", "-t", "0", "walk"]),
    "rm": ([["run", "--name", "walk", "-v", "/anonymous", "busybox", "true"]], ["rm", "-v", "walk"]),
    "rm-force": ([["run", "-d", "--name", "walk", "busybox", "sleep", "600"]], ["rm", "-f", "walk"]),
    "exec": ([["run", "-d", "--name", "walk", "busybox", "sleep", "600"]], ["exec", "walk", "true"]),
    "commit": ([["run", "-d", "--name", "walk", "busybox", "sleep", "600"]], ["commit", "walk", "localhost/walk"]),
    "volume": ([], ["run", "--rm", "-v", "wwalk:/etc", "--network", "none", "busybox", "true"]),
    "network-create": ([], ["network", "create", "wwalk"]),
    "network-connect": (
        [["network", "create", "wwalk"], ["run", "-d", "--name", "walk", "busybox", "sleep", "600"]],
        ["network", "connect", "wwalk", "walk"],
    ),
    "network-rm": ([["network", "create", "wwalk"]], ["network", "rm", "wwalk"]),
    "pod": ([], ["pod", "run", "POD"]),
    "pod-rm": ([["pod", "run", "POD"]], ["pod", "rm", "-f", "walk"]),
    "pod-users": ([], ["pod", "run", "OWN"]),
    "pod-users-rm": ([["pod", "run", "OWN"]], ["pod", "rm", "-f", "walk"]),
    "pull": ([], ["pull", "-q", "BIG"]),
    "rmi": ([["pull", "-q", "BIG"]], ["rmi", "BIG"]),
}  # fmt: skip


class Walk(Trial):
    """Walks through the instants of an operation; after each the questions of :class:`Trial` are asked."""

    def prepare(self) -> None:
        super().prepare()
        Path(self.world.base, "walk.yaml").write_text(POD.replace("NAME", "walk"))
        Path(self.world.base, "own.yaml").write_text(own_users(POD.replace("NAME", "walk")))

    def instants(self, operation: str) -> int:
        """How many calls the busiest process of the operation makes."""
        before, command = OPERATIONS[operation]
        for words in before:
            self.world.must(*self._words(words))
        report = Path(self.world.base, "trace")
        self._traced(self._words(command), "-o", str(report), "-e", f"trace={CALLS}")
        counts = Counter(re.findall(r"^(\d+) ", report.read_text(), re.M))
        self.questions({})
        return max(counts.values())

    def kill_at(self, operation: str, instant: int) -> None:
        """Kill the operation there and ask. Raises :class:`Broken`."""
        before, command = OPERATIONS[operation]
        self.world.log.clear()
        try:
            for words in before:
                self.world.must(*self._words(words))
            inject = f"inject={CALLS}:signal=KILL:when={instant}"
            status = self._traced(
                self._words(command), "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", inject
            )
            self.killed[f"{operation}{'' if status == -signal.SIGKILL else ' (a helper of it)'}"] += 1
            self.questions({})
        except Broken as error:
            log = "\n  ".join(self.world.log[-40:])
            raise Broken(f"{operation}, killed at call {instant}: {error}\n  {log}") from None

    def _words(self, words: list[str]) -> list[str]:
        base = self.world.base
        known = {"POD": f"{base}/walk.yaml", "OWN": f"{base}/own.yaml", "BIG": f"{self.registry.host}/big:w0"}
        return [known.get(word, word) for word in words]

    def _traced(self, words: list[str], *options: str) -> int:
        """Run a command below a tracer of its own (``-D``: the command is our child), then take the tracer away."""
        world = self.world
        process = subprocess.Popen(
            ["strace", "-D", "-f", "-qq", *options, sys.executable, "-m", "lading", *words],
            env=world.env, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with world.owning(process.pid):
            try:
                status = process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                where = world.stacks(process.pid)
                process.kill()
                process.wait()
                raise Broken(f"hung:\n{where}") from None
        for pid in world.processes():
            try:
                if Path(f"/proc/{pid}/comm").read_text() == "strace\n":
                    world.kill(pid)
            except OSError:
                continue
        deadline = time.monotonic() + 30
        while any(self._is_tracer(pid) for pid in world.processes()) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.world.log.append(f"{status:4} lading {' '.join(words)}")
        return status

    @staticmethod
    def _is_tracer(pid: int) -> bool:
        try:
            return os.path.exists(f"/proc/{pid}") and Path(f"/proc/{pid}/comm").read_text() == "strace\n"
        except OSError:
            return False


def sample(total: int, most: int) -> list[int]:
    """``most`` instants of 1 … ``total``, evenly, the last ones included."""
    if total <= most:
        return list(range(1, total + 1))
    return sorted({1 + round(n * (total - 1) / (most - 1)) for n in range(most)})
