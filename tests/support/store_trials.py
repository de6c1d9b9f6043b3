"""The image store on bad days, in a process of its own: killed at every instant that matters, and out of disk.

``python store_trials.py kill OPERATION DIRECTORY [HOST:PORT]`` forks a child for each instant. An audit hook in the child counts
what changes or opens files, and ends the child with SIGKILL at the instant's number: no clock is involved, so every run kills
where the one before did. ``… full …`` leaves less and more room on the disk that DIRECTORY is on. Both print a JSON report;
anything that is not as it has to be is an exception.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tarfile
from collections.abc import Callable

from lading.cli.outfile import writing
from lading.errors import Exhausted
from lading.images import Images
from lading.images.pull import PullOptions

EVENTS = frozenset(
    "open os.mkdir os.rename os.link os.symlink os.remove os.rmdir os.chmod os.chown os.truncate os.utime "
    "os.setxattr fcntl.flock os.listdir".split()
)
MOST = 16  # kills for each operation


def tar(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo("d/" + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            for kind, other in ((tarfile.LNKTYPE, "link"), (tarfile.SYMTYPE, "symlink")):
                info = tarfile.TarInfo(f"d/{name}.{other}")
                info.type, info.linkname = kind, "d/" + name
                archive.addfile(info)
    return out.getvalue()


NOISE = os.urandom(1 << 18)


class Trial:
    """A store with the images ``keep:1`` and ``victim:1``, and one operation on it."""

    def __init__(self, operation: str, base: str, registry: str) -> None:
        self.root = base + "/images"
        self.out = base + "/out.tar"
        self.aside = os.environ["TRIAL_ASIDE"]  # a directory on a disk that is not full
        self.registry = registry
        self.act: Callable[[], object] = getattr(self, "do_" + operation)
        self.prepare()

    def prepare(self) -> None:
        """Bring the store to where the operation starts from."""
        store = Images(self.root)
        present = {name for image in store.list() for name in image.names}
        if "keep:1" not in present:
            store.import_(io.BytesIO(tar(kept=b"kept" * 1000)), names=["keep:1"])
        if "victim:1" not in present:
            self.add_victim(store)
        for name in present - {"keep:1", "victim:1"}:
            store.remove(name)
        store.prune()
        upper = self.aside + "/upper"
        os.makedirs(upper + "/new", exist_ok=True)
        if not os.path.exists(upper + "/new/noise"):
            with open(upper + "/new/noise", "wb") as file:
                file.write(NOISE)
        if not os.path.exists(self.aside + "/archive.tar"):
            apart = Images(self.aside + "/images")
            image = apart.import_(io.BytesIO(tar(one=NOISE)), names=["loaded:1"])
            apart.commit(image, upper, names=["loaded:2"])
            with open(self.aside + "/archive.tar", "wb") as file:
                apart.save(["loaded:1", "loaded:2"], file)

    def add_victim(self, store: Images) -> None:
        image = store.import_(io.BytesIO(tar(base=b"base" * 500)), names=[])
        store.commit(image, self.small_upper(), names=["victim:1"])
        store.prune()

    def small_upper(self) -> str:
        upper = self.aside + "/small"
        os.makedirs(upper + "/etc", exist_ok=True)
        with open(upper + "/etc/file", "w") as file:
            file.write("small")
        return upper

    # --- operations -------------------------------------------------------------------------------------------------

    def do_pull(self) -> None:
        options = PullOptions(config=self.aside + "/config", environ={"HOME": self.aside})
        Images(self.root).pull(f"{self.registry}/app:1", options=options)

    def do_load(self) -> None:
        Images(self.root).load(self.aside + "/archive.tar")

    def do_rmi(self) -> None:
        Images(self.root).remove("victim:1")

    def do_prune(self) -> None:
        Images(self.root).prune(all=True, in_use=[Images(self.root).get("keep:1").id])

    def do_commit(self) -> None:
        store = Images(self.root)
        store.commit(store.get("keep:1"), self.aside + "/upper", names=["committed:1"])

    def do_tag(self) -> None:
        Images(self.root).tag("keep:1", "localhost/deep/er/tagged:1")

    def do_import(self) -> None:
        Images(self.root).import_(io.BytesIO(tar(imported=NOISE)), names=["imported:1"])

    def do_save(self) -> None:
        store = Images(self.root)
        with writing(self.out) as stream:
            store.save(["keep:1", "victim:1"], stream)

    # --- what has to be so ------------------------------------------------------------------------------------------

    def check_whole(self, *, partial: bool) -> None:
        """Every image complete, nothing left over; ``partial`` allows transfers that the next pull resumes."""
        store = Images(self.root)
        found = store.check()
        assert found == [], found
        names = {name for image in store.list() for name in image.names}
        assert "keep:1" in names, names
        if self.act.__name__ not in ("do_rmi", "do_prune"):
            assert "victim:1" in names, names
        for image in store.list():
            assert all(os.path.isdir(path) for path in image.layers), image
        for place in ("staging", "leases", *(() if partial else ("ingest",))):
            left = os.listdir(f"{self.root}/{place}") if os.path.isdir(f"{self.root}/{place}") else []
            assert left == [], (place, left)
        assert partial or not os.path.exists(self.out + ".part")


class Deadly:
    """An audit hook that kills its process at event ``number`` (0: never), one of its own or of a child's.

    ``seen``: how many there were.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = 0
        self.pid = os.getpid()

    def __call__(self, event: str, _arguments: object) -> None:
        if event in EVENTS:
            self.seen += 1
            if self.seen == self.number:
                os.kill(self.pid, signal.SIGKILL)


def child(act: Callable[[], object], number: int) -> tuple[bool, int]:
    """Do it in a fork that dies at event ``number`` (0: never); whether it was killed, and how many events there were."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            deadly = Deadly(number)
            sys.addaudithook(deadly)
            act()
            os.write(write, b"%d" % deadly.seen)
            status = 0
        except BaseException as error:
            sys.__stderr__.write(f"{type(error).__name__}: {error}\n")
            sys.__stderr__.flush()
        finally:
            os._exit(status)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == -signal.SIGKILL or status == 0, f"the operation failed by itself: {status}"
    return status != 0, int(said or b"0")


def kill(trial: Trial) -> dict[str, int]:
    _, events = child(trial.act, 0)
    trial.check_whole(partial=False)
    kills = 0
    step = max(1, events // MOST)
    for number in range(1, events + 1, step):
        trial.prepare()
        if not child(trial.act, number)[0]:
            continue
        kills += 1
        # The output of a save is the caller's, in the caller's directory.
        for name in os.listdir(os.path.dirname(trial.out)):
            if name.endswith(".part"):
                os.unlink(os.path.join(os.path.dirname(trial.out), name))
        Images(trial.root).check(repair=True)
        trial.check_whole(partial=True)
        if "victim:1" in {n for i in Images(trial.root).list() for n in i.names}:
            assert child(trial.act, 0)[0] is False  # and now it works
        Images(trial.root).prune()
        trial.check_whole(partial=False)
    return {"events": events, "kills": kills}


def fill(path: str, leave: int) -> None:
    """Fill the disk but for ``leave`` bytes."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        there = os.fstatvfs(fd)
        size = max(there.f_bavail * there.f_frsize - leave, 0)
        os.posix_fallocate(fd, 0, size) if size else None
    finally:
        os.close(fd)


def full(trial: Trial) -> dict[str, int]:
    filler = os.path.dirname(trial.root) + "/filler"
    failures = 0
    leave = 0
    while True:
        trial.prepare()
        fill(filler, leave)
        try:
            trial.act()
        except Exhausted as error:
            failures += 1
            assert error.reason == "disk-full" and "disk is full" in str(error) and "\n" not in str(error), (
                error
            )
        else:
            break
        finally:
            os.unlink(filler)
        assert not any(name.startswith("out.tar") for name in os.listdir(os.path.dirname(trial.out)))
        trial.check_whole(partial=False)
        names = {n for i in Images(trial.root).list() for n in i.names}
        assert names - {"loaded:1"} == {"keep:1", "victim:1"}, names  # the first of two images may be whole
        leave += 16384
        assert leave < 16 << 20, "it never succeeds"
    trial.check_whole(partial=False)
    return {"failures": failures, "needed": leave}


def main() -> None:
    kind, operation, base, *rest = sys.argv[1:]
    trial = Trial(operation, base, rest[0] if rest else "")
    print(json.dumps({"kill": kill, "full": full}[kind](trial)))


if __name__ == "__main__":
    main()
