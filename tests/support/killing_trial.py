"""Rounds of work, kills, repair and questions: see ``killing``."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections import Counter
from pathlib import Path

from support.killing import Broken, Killer, World
from support.killing_work import POD, Worker, bundle
from support.registry import Registry, tar

KEEP_IMAGE = "localhost/keep:1"


class Trial:
    """One pair of roots with things in it that have to survive everything, and rounds of kills beside them."""

    def __init__(self, base: Path, seed: int, workers: int = 3) -> None:
        self.world = World(base)
        self.seed = seed
        self.workers = workers
        self.killed: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self.commands = 0
        self.registry = Registry()
        self.registry.__enter__()

    def close(self) -> None:
        """Remove everything."""
        world = self.world
        try:
            world("check", "--repair")
            for kind in ("container", "pod"):
                listed = world("ps", "-aq") if kind == "container" else world("pod", "ps", "-q")
                words = ("rm",) if kind == "container" else ("pod", "rm")
                for id in listed.stdout.split():
                    world(*words, "-f", id)
            for name in world("network", "ls", "-q", "--filter", "type=custom").stdout.split():
                world("network", "rm", name)
        finally:
            for pid in world.processes():
                world.kill(pid)
            self.registry.__exit__(None, None, None)
            world.close()

    def prepare(self) -> None:
        """What nobody removes: it is looked at after every round."""
        world = self.world
        world.must("bootstrap", "-q", "busybox")
        noise = random.Random(self.seed).randbytes(1 << 20)
        layers = [tar({f"layer{n}/{m}": noise[: 40000 + n] for m in range(20)}) for n in range(3)]
        box = Path(world.base, "box.tar")
        bundle(world)
        layers.append(Path(world.base, "bundle.tar").read_bytes())
        box.unlink(missing_ok=True)
        labels = [f"w{n}" for n in range(self.workers)]
        self.registry.image("big", *labels, layers=layers, compress=lambda d: gzip.compress(d, 1, mtime=0))
        world.must("volume", "create", "keep")
        world.must("network", "create", "keep")
        command = ("sh", "-c", "echo layer > /kept; echo volume > /v/kept")
        world.must("run", "--name", "keep-ended", "-v", "keep:/v", "busybox", *command)
        world.must("commit", "keep-ended", KEEP_IMAGE)
        world.must("run", "-d", "--name", "keep-running", "--network", "keep", KEEP_IMAGE, "sleep", "100000")
        file = Path(world.base, "keep.yaml")
        file.write_text(POD.replace("NAME", "keep-pod"))
        world.must("pod", "run", str(file))
        self.running = world.must("inspect", "--format", "{State[Pid]}", "keep-running")
        world.must("check")
        self.before = world.machine()

    def round(self, number: int, kills: int) -> None:
        """One round; raises :class:`Broken` with what was done in it."""
        dice = random.Random(f"{self.seed}/{number}")
        self.world.log.clear()
        host = self.registry.host
        workers = [
            Worker(self.world, random.Random(dice.random()), f"w{n}", host) for n in range(self.workers)
        ]
        for worker in workers:
            worker.label = f"w{workers.index(worker)}"
            worker.stories = number * 1000
        killer = Killer(self.world, dice, kills)
        for thread in (*workers, killer):
            thread.start()
        killer.join()
        for worker in workers:
            worker.stop.set()
        for worker in workers:
            worker.join()
        self.killed += killer.killed
        self.commands += sum(worker.commands for worker in workers)
        try:
            for worker in workers:
                if worker.error is not None:
                    raise worker.error
            self.questions({key: text for worker in workers for key, text in worker.book.items()})
        except Broken as error:
            log = "\n  ".join(self.world.log[-120:])
            raise Broken(f"seed {self.seed}, round {number}: {error}\n  {log}") from None

    # -- the questions -----------------------------------------------------------------------------------------------

    def questions(self, book: dict[tuple[str, str], str]) -> None:
        """See the module."""
        self.repair()
        self.kept()
        self.acknowledged(book)
        self.remove_the_rest()
        self.compare()

    def repair(self) -> None:
        """Everything is finished in one go, and a second look finds nothing."""
        done = self.world("check", "--repair", "--format", "json")
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode or not all(f["fixed"] for f in findings):
            raise Broken(f"check --repair: {done.returncode}: {done.stderr} {findings}")
        self.repairs.update(f["what"] for f in findings)
        again = self.world("check")
        if again.returncode:
            raise Broken(
                f"after check --repair there is still something: {again.stdout} (repaired: {findings})"
            )

    def kept(self) -> None:
        """What was there before the round is there after it, and works."""
        world = self.world
        said = world.must("exec", "keep-running", "cat", "/kept")
        if said != "layer":
            raise Broken(f"keep-running lost its file: {said!r}")
        pid = world.must("inspect", "--format", "{State[Pid]}", "keep-running")
        if pid != self.running:
            raise Broken(f"keep-running was started again: {self.running}, {pid}")
        said = world.must("run", "--rm", "-v", "keep:/v", KEEP_IMAGE, "cat", "/kept", "/v/kept")
        if said != "layer\nvolume":
            raise Broken(f"the image or the volume lost something: {said!r}")
        said = world.must("start", "-a", "keep-ended")
        said = world.must("pod", "exec", "keep-pod", "-c", "one", "--", "cat", "/mem/x")
        if said != "first":
            raise Broken(f"keep-pod lost its memory volume: {said!r}")

    def acknowledged(self, book: dict[tuple[str, str], str]) -> None:
        """What a command said was made, and nobody removed, is there; a volume with its content."""
        world = self.world
        for (kind, name), content in book.items():
            words = ["inspect", name] if kind == "container" else [kind, "inspect", name]
            world.must(*words)
            if kind == "volume" and content:
                said = world.must(
                    "run", "--rm", "-v", f"{name}:/etc", "--network", "none", "busybox", "cat", "/etc/written"
                )
                if said != content:
                    raise Broken(f"volume {name} lost its content: {said!r}")
            elif kind == "image" and content:
                world.must("run", "--rm", "--network", "none", name, "true")

    def remove_the_rest(self) -> None:
        """Everything that is there can be removed."""
        world = self.world
        for name in world.must("ps", "-a", "--format", "{names}").split():
            if not name.startswith("keep") and "/" not in name:
                world.must("rm", "-f", "-v", name)
        for name in world.must("pod", "ps", "--format", "{name}").split():
            if not name.startswith("keep"):
                world.must("pod", "rm", "-f", name)
        for name in world.must("volume", "ls", "-q").split():
            if name.startswith("w"):
                world.must("volume", "rm", name)
        for name in world.must("network", "ls", "--format", "{name}").split():
            if name.startswith("w"):
                world.must("network", "rm", name)
        for name in world.must("images", "--format", "{repository}:{tag}").split():
            if "/big:" in name or "localhost/w" in name:
                world.must("rmi", name)
        world.must("image", "prune", "-f")
        root = ("--root", f"{world.base}/rt")
        for own in world.must(*root, "list", "-q", program="lading-runtime").split():
            world.must(*root, "delete", "--force", own, program="lading-runtime")

    def compare(self) -> None:
        """The machine is what it was; what is on its way out gets time for it."""
        deadline = time.monotonic() + 30
        while True:
            now = self.world.machine()
            if now == self.before:
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        lines = []
        for kind, old in self.before.items():
            more = Counter(now[kind]) - Counter(old)
            less = Counter(old) - Counter(now[kind])
            lines += [f"{kind}: + {name}" for name in more.elements()]
            lines += [f"{kind}: - {name}" for name in less.elements()]
        for state in now["runtime states"]:
            for file in Path(self.world.base, "run/runtime", state).glob("*"):
                lines.append(f"{file}: {file.read_text(errors='replace')[:300]}")
        events = self.world("events", "--since", "60s", "--until", "0s").stdout.splitlines()
        said = self.world("check").stdout
        raise Broken("\n    ".join(["the machine is not what it was:", *lines, said, *events[-40:]]))
