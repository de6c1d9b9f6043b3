"""Two processes at work on one image store, both killed with SIGKILL: nothing that was done is lost, nothing is left for good.

``python store_pairs.py DIRECTORY SEED ROUNDS HOST:PORT``. In each round two forks load, pull, import, commit, tag, save,
remove, prune and let images travel, names of their own that stand for the same content, and tell a pipe before and after each
step. One dies at an event that the dice draw (an audit hook counts them, as in store_trials.py), the other a little later at one
of its own. Then: what was reported as done is there and whole, before any repair; a repair finishes everything; a second one
finds nothing; and prune leaves no file that no image needs. The same seed draws the same work; the scheduler draws the rest.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path

from lading.formats.reference import Reference
from lading.images import Images, rendering
from lading.images.oci import format_of
from lading.images.pack import pack_union
from lading.images.pull import PullOptions
from lading.images.travelling import compressed, is_final
from support.store_trials import NOISE, Deadly, tar

STEPS = 10
NAMES = 3
MOST = 1200  # about the events of all steps: some processes come to their end


def content(store: Images, name: str) -> str:
    """The digest of all that the image ``name`` shows."""
    made = hashlib.sha256()
    pack_union(store.get(name).layers, made.update)
    return made.hexdigest()


class Worker:
    """One of the two: draws its steps and does them. ``told`` is the pipe to the parent."""

    def __init__(self, number: int, base: str, registry: str, dice: random.Random, told: int) -> None:
        self.store = Images(base + "/images")
        self.number = number
        self.aside = os.environ["TRIAL_ASIDE"]
        self.registry = registry
        self.dice = dice
        self.told = told

    def tell(self, *words: str) -> None:
        os.write(self.told, json.dumps(words).encode() + b"\n")

    def run(self, here: set[str]) -> None:
        """``here``: this worker's names that stand for an image when it begins."""
        kinds = ["load", "pull", "import", "commit", "tag", "rmi", "rmi", "prune", "save", "travel", "travel"]
        for _ in range(STEPS):
            kind = self.dice.choice(kinds)
            name = f"w{self.number}:{self.dice.randrange(NAMES)}"
            if kind == "pull":
                name = f"{self.registry}/{name}"
            if kind in ("rmi", "travel"):
                if not here:
                    continue
                name = self.dice.choice(sorted(here))
            self.tell("begin", name if kind not in ("prune", "save") else "")
            getattr(self, "do_" + kind)(name)
            if kind == "rmi":
                here.discard(name)
                self.tell("gone", name)
            elif kind not in ("prune", "save"):
                here.add(name)
                self.tell("made", name, content(self.store, name))

    def do_load(self, name: str) -> None:
        self.store.load(f"{self.aside}/{name}.tar")  # the other's archives hold the same image

    def do_pull(self, name: str) -> None:
        options = PullOptions(config=self.aside + "/config", environ={"HOME": self.aside})
        self.store.pull(name, options=options)

    def do_import(self, name: str) -> None:
        self.store.import_(io.BytesIO(tar(imported=NOISE)), names=[name])

    def do_commit(self, name: str) -> None:
        self.store.commit(self.store.get("keep:1"), self.aside + "/upper", names=[name])

    def do_tag(self, name: str) -> None:
        self.store.tag("keep:1", name)

    def do_rmi(self, name: str) -> None:
        self.store.remove(name)

    def do_travel(self, name: str) -> None:
        named = self.store.names.get(Reference.parse(name))
        assert named is not None
        with self.store.lease() as lease:
            compressed(self.store, named.target, lease=lease)
        made = self.store.names.get(Reference.parse(name))
        assert made is not None and is_final(self.store, made.target.digest)

    def do_prune(self, _name: str) -> None:
        self.store.prune()

    def do_save(self, _name: str) -> None:
        self.store.save(["keep:1"], io.BytesIO())


class Pair:
    """The store, and what the two have told of it: ``sums`` by name, of what is there; ``open`` names may be either way."""

    def __init__(self, base: str, registry: str, seed: int) -> None:
        self.base = base
        self.root = base + "/images"
        self.aside = Path(os.environ["TRIAL_ASIDE"])
        self.registry = registry
        self.dice = random.Random(seed)
        self.sums: dict[str, str] = {}
        self.open: set[str] = set()
        self.kills = self.steps = 0
        store = Images(self.root)
        store.import_(io.BytesIO(tar(kept=b"kept" * 1000)), names=["keep:1"])
        self.keep = content(store, "keep:1")
        (self.aside / "upper/new").mkdir(parents=True)
        (self.aside / "upper/new/noise").write_bytes(NOISE)
        apart = Images(f"{self.aside}/images")
        image = apart.import_(io.BytesIO(tar(one=NOISE)))
        image = apart.commit(image, f"{self.aside}/upper")
        for name in (f"w{w}:{n}" for w in range(2) for n in range(NAMES)):
            apart.tag(image, name)
            with (self.aside / f"{name}.tar").open("wb") as file:
                apart.save([name], file)

    def fork(self, number: int) -> tuple[int, int]:
        """Start a worker that dies at an event of the dice's choice: its pid, and where to read what it tells."""
        read, write = os.pipe()
        dice = random.Random(self.dice.random())
        last = self.dice.randrange(1, MOST)
        here = {name for name in self.sums if f"w{number}:" in name}
        pid = os.fork()
        if pid:
            os.close(write)
            return pid, read
        status = 1
        try:
            os.close(read)
            worker = Worker(number, self.base, self.registry, dice, write)
            sys.addaudithook(Deadly(last))
            worker.run(here)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def round(self) -> None:
        """Let both work and die, then ask."""
        workers = [self.fork(0), self.fork(1)]
        self.open = set()
        for pid, pipe in workers:
            with open(pipe) as lines:
                self.hear([json.loads(line) for line in lines])
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert status in (0, -signal.SIGKILL), f"a step failed by itself: {status}"
            self.kills += status != 0
        self.nothing_is_lost()
        store = Images(self.root)
        store.check(repair=True)
        assert store.check() == []
        self.nothing_is_lost()
        store.prune()
        self.nothing_is_left(store)

    def hear(self, lines: list[list[str]]) -> None:
        """Take down what one of them told, in order."""
        doing = ""
        for verb, name, *sum_ in lines:
            doing = name if verb == "begin" else ""
            if verb == "made":
                self.steps += 1
                self.sums[name] = sum_[0]
            elif verb == "gone":
                self.steps += 1
                del self.sums[name]
        if doing:
            self.open.add(doing)

    def nothing_is_lost(self) -> None:
        """Every image that was reported is there, unpacked and packed; nobody has made names of his own."""
        store = Images(self.root)
        assert content(store, "keep:1") == self.keep
        names = {n for image in store.list() for n in image.names} - {"keep:1"}
        assert names - self.open == self.sums.keys() - self.open, (names, self.sums, self.open)
        for name in names:
            image = store.get(name)
            here = content(store, name)
            if name not in self.open:
                assert here == self.sums[name], name
            for target in {image.digest, *image.targets.values()}:
                kind = image.descriptor.replace(digest=target)
                for blob in format_of(kind.media_type).references(store.content, kind):
                    for _ in rendering.verified(store, blob.digest):
                        pass
            self.sums[name] = here
        for name in self.open - names:
            self.sums.pop(name, None)
        self.open = set()

    def nothing_is_left(self, store: Images) -> None:
        """After a prune the store holds what its images need and no more."""
        needed = set()
        layers = set()
        for image in store.list():
            assert image.names, image
            layers.update(path.split("/")[-2] for path in image.layers)
            for target in {image.digest, *image.targets.values()}:
                kind = image.descriptor.replace(digest=target)
                needed.update(d.digest for d in format_of(kind.media_type).references(store.content, kind))
        assert all(rendering.has(store, digest) for digest in needed)
        assert {digest for digest, _ in store.content.list()} <= needed
        assert set(store.layers.list()) == layers
        for place in ("staging", "leases", "ingest"):
            assert os.listdir(f"{self.root}/{place}") == [], place
        assert not [n for n in os.listdir(self.root + "/resolved") if n.startswith(".")]


def main() -> None:
    base, seed, rounds, registry = sys.argv[1:]
    pair = Pair(base, registry, int(seed))
    for _ in range(int(rounds)):
        pair.round()
    print(json.dumps({"kills": pair.kills, "steps": pair.steps}))


if __name__ == "__main__":
    main()
